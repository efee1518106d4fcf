/* Segments come and go: blank files are made ahead of need, dead segments erased or removed. */
#include "relay/base/err.h"
#include "relay/base/rng.h"
#include "relay/spool/plant.h"
#include "relay/spool/store.h"

int
tidy_fd(struct spool *s, struct segment *seg)
{
	if (seg->fd >= 0)
		return seg->fd;
	LIST_FOR (it, &s->segments) {
		struct segment *other = LIST_ENTRY(it, struct segment, node);

		if (s->n_fds < SPOOL_FDS_MAX)
			break;
		if (other->state == SEGMENT_CLOSED && other->jobs == 0 && !other->is_dirty)
			tidy_close_fd(s, other);
	}
	seg->fd = s->io->open_file(s->io->arg, s->dir, seg->name, false);
	if (seg->fd >= 0)
		s->n_fds++;
	return seg->fd;
}

void
tidy_close_fd(struct spool *s, struct segment *seg)
{
	if (seg->fd < 0)
		return;
	s->io->close_fd(s->io->arg, seg->fd);
	seg->fd = -1;
	s->n_fds--;
}

void
tidy_space(struct spool *s)
{
	struct spool_space space = {0};

	/* Unknown counts as none: a file system that cannot say is not to be filled. */
	if (s->io->space_of(s->io->arg, s->dir, &space) != 0)
		space = (struct spool_space){0};
	s->space = space;
}

uint64_t
tidy_usable(const struct spool *s)
{
	if (s->space.free_files < SPOOL_FILES_MIN || s->space.free_bytes <= s->min_free)
		return 0;
	return s->space.free_bytes - s->min_free;
}

/* Marks let mail go, so they may use what min_free keeps back. */
static bool
notes_want(const struct spool *s)
{
	return s->notes == NULL || segment_room(s->notes) < s->segment_bytes / 4;
}

static void
be_born(struct spool *s, struct segment *seg, enum segment_kind kind)
{
	seg->header = (struct segment_header){.kind = kind,
	    .number = s->next_number++,
	    .nonce = PLANTED(PLANT_NONCE_REUSED) ? 1 : rng_u64(),
	    .first_serial = s->next_serial};
	seg->state = SEGMENT_OPEN;
	seg->end = seg->safe = SEGMENT_HEADER;
	seg->is_sealed = false;
	seg->last_seq = seg->need_seq = seg->gaps = 0;
	list_append(&s->segments, &seg->node);
	(void)map_set_u64(s->by_number, seg->header.number, seg); /* numbers are new */
}

struct segment *
tidy_take_free(struct spool *s, enum segment_kind kind)
{
	size_t keep = kind == SEGMENT_MESSAGES && notes_want(s) ? 1 : 0;

	LIST_FOR (it, &s->free) {
		struct segment *seg = LIST_ENTRY(it, struct segment, node);

		if (s->n_free <= keep || tidy_fd(s, seg) < 0)
			break;
		list_remove(it);
		s->n_free--;
		be_born(s, seg, kind);
		tidy_fill(s);
		return seg;
	}
	tidy_fill(s);
	return NULL;
}

void
tidy_unborn(struct spool *s, struct segment *seg)
{
	(void)map_remove_u64(s->by_number, seg->header.number); /* it is there */
	list_remove(&seg->node);
	if (seg->is_own) {
		tidy_close_fd(s, seg);
		segment_free(&seg);
		return;
	}
	seg->state = SEGMENT_FREE;
	list_append(&s->free, &seg->node);
	s->n_free++;
}

struct segment *
tidy_new_own(struct spool *s)
{
	char name[SEGMENT_NAME_SIZE];
	struct segment *seg;

	segment_name(s->next_file++, name);
	seg = segment_new(name);
	seg->is_own = true;
	seg->size = UINT64_MAX;
	be_born(s, seg, SEGMENT_MESSAGES);
	return seg;
}

bool
tidy_may_fill(const struct spool *s)
{
	return s->fill != NULL || (!s->is_fill_failed && tidy_usable(s) >= s->segment_bytes);
}

void
tidy_fill(struct spool *s)
{
	char name[SEGMENT_NAME_SIZE];
	size_t wanted = notes_want(s) ? 2 : 1;
	struct segment *seg;

	if (s->fill != NULL || s->is_fill_failed || s->is_closing || s->n_free >= wanted)
		return;
	if (!tidy_may_fill(s) &&
	    !(notes_want(s) && s->n_free == 0 && s->space.free_bytes >= s->segment_bytes))
		return;
	segment_name(s->next_file++, name);
	seg = segment_new(name);
	seg->size = s->segment_bytes;
	s->fill = job_new(JOB_FILL, seg);
	s->fill->size = s->segment_bytes;
	commit_push(s->committer, s->fill);
}

void
tidy_fill_done(struct spool *s, struct job *j)
{
	struct segment *seg = j->seg;

	must(s->fill == j);
	if (j->failed == 0 && j->filled < j->size && !s->is_closing) {
		commit_push(s->committer, j);
		return;
	}
	s->fill = NULL;
	if (s->is_closing) {
		/* A part of a file is removed by the next start. */
		if (j->fd >= 0)
			s->io->close_fd(s->io->arg, j->fd);
		segment_free(&seg);
		job_free(&j);
		return;
	}
	tidy_space(s);
	if (j->failed == 0) {
		seg->fd = j->fd;
		s->n_fds++;
		list_append(&s->free, &seg->node);
		s->n_free++;
		tidy_fill(s);
	} else {
		s->is_fill_failed = true;
		s->fill_code = io_code(j->failed);
		segment_free(&seg);
	}
	job_free(&j);
	notes_write(s);
	plan_run(s);
}

/* What cannot be read may hold a copy of any message that a mark speaks of. */
static bool
has_unreadable(const struct spool *s)
{
	LIST_FOR (it, &s->segments)
		if (LIST_ENTRY(it, struct segment, node)->is_unreadable)
			return true;
	return false;
}

static bool
refs_are_gone(const struct spool *s, const struct segment *seg)
{
	if (has_unreadable(s))
		return false;
	for (size_t i = 0; i < seg->n_refs; i++)
		if (map_get_u64(s->by_number, seg->refs[i]) != NULL)
			return PLANTED(PLANT_MARKS_RETIRED_EARLY);
	return true;
}

/* Blank files, those on their way to be blank among them. */
static size_t
blank_soon(const struct spool *s)
{
	size_t n = s->n_free;

	LIST_FOR (it, &s->segments)
		n += LIST_ENTRY(it, struct segment, node)->state == SEGMENT_RETIRING;
	return n;
}

static enum retire_how
retire_how(const struct spool *s, const struct segment *seg)
{
	if (seg->is_damaged)
		return RETIRE_SET_ASIDE;
	if (seg->is_own || seg->is_failed || seg->size != s->segment_bytes ||
	    blank_soon(s) > SPOOL_FREE_KEEP) /* it is retiring itself */
		return RETIRE_UNLINK;
	return RETIRE_ERASE;
}

static void
retire(struct spool *s, struct segment *seg)
{
	struct job *j;

	seg->state = SEGMENT_RETIRING;
	if (tidy_fd(s, seg) < 0) {
		seg->state = SEGMENT_STUCK;
		return;
	}
	j = job_new(JOB_RETIRE, seg);
	j->how = retire_how(s, seg);
	commit_push(s->committer, j);
}

void
tidy_consider(struct spool *s, struct segment *seg)
{
	if (seg->state != SEGMENT_CLOSED || seg->n_live > 0 || seg->jobs > 0 || s->is_closing)
		return;
	if (seg->is_unreadable) {
		seg->state = SEGMENT_STUCK;
		return;
	}
	if (seg->header.kind == SEGMENT_NOTES && !refs_are_gone(s, seg))
		return;
	seg->state = SEGMENT_DYING;
	/* The marks that replace or settle what is in it must outlive it. */
	seg->need_seq = s->mark_seq;
	if (seg->need_seq <= s->synced_seq || list_is_empty(&s->marks) ||
	    (PLANTED(PLANT_NOTE_RETIRED_EARLY) && seg->header.kind == SEGMENT_NOTES))
		retire(s, seg);
	else
		notes_sync(s);
}

void
tidy_dying(struct spool *s)
{
	LIST_FOR (it, &s->segments) {
		struct segment *seg = LIST_ENTRY(it, struct segment, node);

		if (seg->state == SEGMENT_DYING && seg->need_seq <= s->synced_seq)
			retire(s, seg);
	}
}

static void
consider_notes(struct spool *s)
{
	LIST_FOR (it, &s->segments) {
		struct segment *seg = LIST_ENTRY(it, struct segment, node);

		if (seg->header.kind == SEGMENT_NOTES)
			tidy_consider(s, seg);
	}
}

void
tidy_retired(struct spool *s, struct job *j)
{
	struct segment *seg = j->seg;

	if (j->failed != 0) {
		seg->state = SEGMENT_STUCK;
		job_free(&j);
		return;
	}
	(void)map_remove_u64(s->by_number, seg->header.number); /* it is there */
	list_remove(&seg->node);
	if (j->how == RETIRE_ERASE) {
		seg->state = SEGMENT_FREE;
		seg->n_refs = 0;
		seg->is_compact = false;
		list_append(&s->free, &seg->node);
		s->n_free++;
	} else {
		tidy_close_fd(s, seg);
		segment_free(&seg);
	}
	job_free(&j);
	consider_notes(s);
	notes_write(s);
	plan_run(s);
}

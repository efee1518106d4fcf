/*
 * The log of marks (NOTE, DONE, SEAL).  The loop writes it itself, so that a mark is in the page
 * cache when the call returns; the committer only syncs it.  Whatever is not synced is kept in
 * memory: after a failure all of it is written again, in order, into a fresh segment.  That is
 * safe, because every mark is true whether it survived or not.
 */
#include "relay/base/mem.h"
#include "relay/spool/crc32c.h"
#include "relay/spool/plant.h"
#include "relay/spool/store.h"

static struct spool_message *
mark_message(struct spool *s, const struct mark *k)
{
	struct spool_message *m =
	    k->type == RECORD_NOTE ? table_get(&s->by_serial, k->serial) : NULL;

	return m != NULL && m->note_mark == (uint32_t)k->seq ? m : NULL;
}

/* All marks that are not synced go to the end of the log; who waits for one waits for all. */
static void
rewind_marks(struct spool *s)
{
	LIST_FOR (it, &s->marks) {
		struct mark *k = LIST_ENTRY(it, struct mark, node);
		struct spool_message *m = mark_message(s, k);

		k->is_written = false;
		k->seq = ++s->mark_seq;
		if (m != NULL)
			m->note_mark = (uint32_t)k->seq;
	}
	if (s->open_seq > s->synced_seq)
		s->open_seq = s->mark_seq;
	LIST_FOR (it, &s->doomed)
		LIST_ENTRY(it, struct doomed, node)->seq = s->mark_seq;
	LIST_FOR (it, &s->segments)
		LIST_ENTRY(it, struct segment, node)->need_seq = s->mark_seq;
}

static void
fail_segment(struct spool *s, struct segment *seg)
{
	seg->is_failed = true;
	seg->is_dirty = false;
	seg->state = SEGMENT_CLOSED;
	if (s->notes == seg)
		s->notes = NULL;
}

static int
write_header(struct spool *s, struct segment *seg)
{
	unsigned char block[SEGMENT_HEADER];
	struct iovec iov = {.iov_base = block, .iov_len = sizeof(block)};

	segment_encode(&seg->header, block);
	return io_write_all(s->io, seg->fd, &iov, 1, 0);
}

/* A segment with `need` bytes left; NULL: none now, or its header could not be written. */
static struct segment *
notes_segment(struct spool *s, uint64_t need)
{
	struct segment *seg = s->notes;

	if (seg != NULL && segment_room(seg) >= need)
		return seg;
	if (seg != NULL) {
		seg->state = SEGMENT_CLOSED;
		s->notes = NULL;
		tidy_consider(s, seg);
	}
	seg = tidy_take_free(s, SEGMENT_NOTES);
	if (seg == NULL)
		return NULL;
	s->notes = seg;
	if (write_header(s, seg) == 0)
		return seg;
	fail_segment(s, seg);
	tidy_consider(s, seg);
	return NULL;
}

static int
write_mark(struct spool *s, struct segment *seg, struct mark *k)
{
	struct record r = {
	    .nonce = seg->header.nonce, .length = k->n, .serial = k->serial, .type = k->type};
	unsigned char header[RECORD_HEADER];
	struct iovec iov[2] = {{header, sizeof(header)}, {k->payload, k->n}};

	record_encode(&r, header);
	record_set_crc(header, crc32c(record_crc_of_header(header), k->payload, k->n));
	return io_write_all(s->io, seg->fd, iov, 2, seg->end);
}

/* Which message segments the mark speaks of: they must be gone before its own may go. */
static void
refer_homes(struct segment *seg, const struct mark *k)
{
	struct span payload = span_of(k->payload, k->n);
	struct record_homes homes;
	struct record_seal seal;

	if (k->type == RECORD_DONE && record_decode_homes(payload, &homes) == 0) {
		segment_refer(seg, homes.home);
		if (homes.former != 0)
			segment_refer(seg, homes.former);
	}
	if (k->type == RECORD_SEAL && record_decode_seal(payload, &seal) == 0)
		segment_refer(seg, seal.number);
}

static void
mark_written(struct spool *s, struct segment *seg, struct mark *k)
{
	struct spool_message *m = mark_message(s, k);

	if (m != NULL) {
		struct segment *before = m->note_home;

		message_drop_note(m);
		message_set_note(m, seg, seg->end, k->n - RECORD_HOMES);
		if (before != NULL && before != seg)
			tidy_consider(s, before);
	}
	refer_homes(seg, k);
	k->is_written = true;
	seg->end += record_size(k->n);
	seg->last_seq = k->seq;
	seg->is_dirty = true;
}

/* Writes the marks that wait; false: a segment failed, and all of them wait again. */
static bool
write_waiting(struct spool *s)
{
	LIST_FOR (it, &s->marks) {
		struct mark *k = LIST_ENTRY(it, struct mark, node);
		struct segment *seg;

		if (k->is_written)
			continue;
		seg = notes_segment(s, record_size(k->n));
		if (seg == NULL) {
			tidy_fill(s);
			return true;
		}
		if (write_mark(s, seg, k) != 0) {
			fail_segment(s, seg);
			rewind_marks(s);
			tidy_consider(s, seg);
			return false;
		}
		mark_written(s, seg, k);
	}
	return true;
}

void
notes_write(struct spool *s)
{
	/* Ends: each failure uses up a blank file, and without one nothing is tried. */
	while (!write_waiting(s))
		continue;
	/* Somebody waits for these, not only the tick. */
	if (s->open_seq > s->synced_seq || !list_is_empty(&s->doomed))
		notes_sync(s);
}

static struct mark *
mark_new(struct spool *s, enum record_type type, uint64_t serial, size_t n)
{
	struct mark *k = mem_alloc(sizeof(*k) + n);

	k->type = type;
	k->serial = serial;
	k->n = n;
	k->seq = ++s->mark_seq;
	return k;
}

static void
mark_add(struct spool *s, struct mark *k)
{
	struct list *last = s->marks.prev;
	bool is_behind = last != &s->marks && !LIST_ENTRY(last, struct mark, node)->is_written;
	struct segment *seg = s->notes;

	list_append(&s->marks, &k->node);
	/* The common case, without a walk over the marks of the last second. */
	if (!is_behind && seg != NULL && segment_room(seg) >= record_size(k->n)) {
		if (write_mark(s, seg, k) == 0) {
			mark_written(s, seg, k);
			return;
		}
		fail_segment(s, seg);
		rewind_marks(s);
		tidy_consider(s, seg);
	}
	notes_write(s);
}

void
notes_put(struct spool *s, struct spool_message *m, struct span note)
{
	struct mark *k = mark_new(s, RECORD_NOTE, m->serial, RECORD_HOMES + note.n);
	struct record_homes homes = {.home = m->home->header.number, .former = m->former};

	record_encode_homes(&homes, k->payload);
	if (note.n > 0)
		memcpy(k->payload + RECORD_HOMES, note.p, note.n);
	m->note_mark = (uint32_t)k->seq;
	mark_add(s, k);
}

void
notes_done(struct spool *s, uint64_t serial, const struct record_homes *homes)
{
	struct mark *k = mark_new(s, RECORD_DONE, serial, RECORD_HOMES);

	record_encode_homes(homes, k->payload);
	mark_add(s, k);
}

void
notes_seal(struct spool *s, const struct segment *seg)
{
	struct mark *k = mark_new(s, RECORD_SEAL, 0, RECORD_SEAL_LENGTH);
	struct record_seal seal = {.number = seg->header.number,
	    .nonce = seg->header.nonce,
	    .end = seg->end,
	    .gaps = seg->gaps};

	record_encode_seal(&seal, k->payload);
	mark_add(s, k);
}

void
notes_sync(struct spool *s)
{
	struct job *j;

	if (s->is_syncing) {
		s->is_sync_wanted = true;
		return;
	}
	s->is_sync_wanted = false;
	j = job_new(JOB_SYNC, NULL);
	LIST_FOR (it, &s->segments) {
		struct segment *seg = LIST_ENTRY(it, struct segment, node);

		if (!seg->is_dirty || j->n_fds == JOB_SYNCS_MAX)
			continue;
		j->fds[j->n_fds++] = seg->fd;
		j->seq = seg->last_seq;
		seg->jobs++;
	}
	if (j->n_fds == 0) {
		job_free(&j);
		return;
	}
	s->is_syncing = true;
	commit_push(s->committer, j);
}

static bool
job_has_fd(const struct job *j, int fd)
{
	for (int i = 0; i < j->n_fds; i++)
		if (j->fds[i] == fd)
			return true;
	return false;
}

static void
forget_synced(struct spool *s, uint64_t seq)
{
	s->synced_seq = seq;
	LIST_FOR_SAFE (it, &s->marks) {
		struct mark *k = LIST_ENTRY(it, struct mark, node);

		if (k->seq > seq)
			return;
		list_remove(it);
		mem_free(k);
	}
}

/* The files of `j` have answered; a failed sync takes all of them out of use. */
static void
release_synced(struct spool *s, const struct job *j)
{
	LIST_FOR (it, &s->segments) {
		struct segment *seg = LIST_ENTRY(it, struct segment, node);

		if (seg->header.kind != SEGMENT_NOTES || seg->fd < 0 || !job_has_fd(j, seg->fd))
			continue;
		seg->jobs--;
		if (j->failed != 0)
			fail_segment(s, seg);
		else if (seg->last_seq <= j->seq)
			seg->is_dirty = false;
	}
}

void
notes_sync_done(struct spool *s, struct job *j)
{
	s->is_syncing = false;
	if (PLANTED(PLANT_MARKS_NOT_REPEATED))
		j->failed = 0;
	release_synced(s, j);
	if (j->failed == 0) {
		forget_synced(s, j->seq);
	} else {
		rewind_marks(s);
		notes_write(s);
		s->is_sync_wanted = true;
	}
	if (s->is_sync_wanted)
		notes_sync(s);
	LIST_FOR (it, &s->segments) {
		struct segment *seg = LIST_ENTRY(it, struct segment, node);

		if (seg->header.kind == SEGMENT_NOTES)
			tidy_consider(s, seg);
	}
	tidy_dying(s);
	plan_release(s);
	plan_run(s); /* it may have waited for a seal */
}

/*
 * Places for messages: the loop decides where each record goes and hands the committer batches.
 * A batch touches one segment, and a new segment is begun only behind the batches of the one
 * before, so at any time one segment has a tail that is not synced.
 */
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/spool/plant.h"
#include "relay/spool/store.h"

static uint64_t
item_size(const struct item *i)
{
	return record_size(i->length);
}

static struct item *
first_pending(struct spool *s)
{
	return LIST_ENTRY(s->pending.next, struct item, node);
}

static struct item *
take_pending(struct spool *s)
{
	struct item *i = first_pending(s);

	list_remove(&i->node);
	s->pending_bytes -= item_size(i);
	return i;
}

static void
place(struct item *i, struct segment *seg)
{
	struct record r = {.nonce = seg->header.nonce,
	    .length = i->length,
	    .serial = i->serial,
	    .type = RECORD_MSG};

	record_encode(&r, i->head);
	i->offset = seg->end;
	seg->end += item_size(i);
}

static struct job *
push_batch(struct spool *s, struct segment *seg, struct list *items)
{
	struct job *j = job_new(JOB_BATCH, seg);

	LIST_FOR_SAFE (it, items) {
		list_remove(it);
		list_append(&j->items, it);
	}
	j->start = LIST_ENTRY(j->items.next, struct item, node)->offset;
	j->is_birth = j->start == SEGMENT_HEADER;
	j->is_create = seg->is_own;
	j->header = seg->header;
	seg->jobs++;
	commit_push(s->committer, j);
	return j;
}

static void
push_ready(struct spool *s, struct list *ready)
{
	if (list_is_empty(ready))
		return;
	if (s->open == NULL || !commit_extend(s->committer, s->open, ready))
		s->open = push_batch(s, s->active, ready);
}

static void
plan_own(struct spool *s)
{
	struct item *i = take_pending(s);
	uint64_t size = item_size(i);
	struct list items;
	struct segment *seg;

	if (tidy_usable(s) < size + SPOOL_SLACK) {
		spool_answer(s, i, NULL, -E_FULL);
		return;
	}
	s->space.free_bytes -= size;
	seg = tidy_new_own(s);
	place(i, seg);
	seg->state = SEGMENT_CLOSED;
	list_init(&items);
	list_append(&items, &i->node);
	(void)push_batch(s, seg, &items); /* alone: nothing is added to it */
	s->open = NULL;
}

/* Where a closed segment ends is written down once all of it is synced. */
static void
seal_whole(struct spool *s, struct segment *seg)
{
	if (seg->state != SEGMENT_CLOSED || seg->safe != seg->end || seg->is_failed ||
	    seg->is_sealed)
		return;
	seg->is_sealed = true;
	notes_seal(s, seg);
}

static void
close_active(struct spool *s)
{
	struct segment *seg = s->active;

	seg->state = SEGMENT_CLOSED;
	s->active = NULL;
	s->open = NULL;
	seal_whole(s, seg);
	tidy_consider(s, seg);
}

void
plan_give_back(struct spool *s)
{
	struct segment *seg = s->active;

	if (seg == NULL || seg->n_live > 0 || seg->jobs > 0 || seg->end == SEGMENT_HEADER ||
	    s->open != NULL || !list_is_empty(&s->pending) ||
	    spool_has_room(s, s->segment_bytes / SPOOL_OWN_SHARE))
		return;
	close_active(s);
}

/* False: no segment for the first pending item now; it waits, or was refused. */
static bool
begin_active(struct spool *s)
{
	if (s->active != NULL)
		close_active(s);
	s->active = tidy_take_free(s, SEGMENT_MESSAGES);
	if (s->active != NULL)
		return true;
	if (tidy_may_fill(s))
		return false;
	/* Not even a blank file may be made: whatever waits for one is refused. */
	while (!list_is_empty(&s->pending))
		spool_refuse_soon(s, take_pending(s), s->is_fill_failed ? s->fill_code : -E_FULL);
	return false;
}

void
plan_run(struct spool *s)
{
	struct list ready;

	list_init(&ready);
	if (s->open_seq > s->synced_seq || s->is_closing)
		return;
	while (!list_is_empty(&s->pending)) {
		uint64_t need = item_size(first_pending(s));
		struct item *i;

		if (need > (s->segment_bytes - SEGMENT_HEADER) / SPOOL_OWN_SHARE) {
			push_ready(s, &ready);
			plan_own(s);
			continue;
		}
		if (s->active == NULL || segment_room(s->active) < need) {
			push_ready(s, &ready);
			if (!begin_active(s))
				return;
		}
		i = take_pending(s);
		place(i, s->active);
		list_append(&ready, &i->node);
	}
	push_ready(s, &ready);
}

/* A copy has arrived: the message lives there now, unless it was settled meanwhile. */
static void
copy_done(struct spool *s, struct item *i, struct segment *seg)
{
	struct spool_message *m = table_get(&s->by_serial, i->serial);
	struct segment *source = i->source;

	source->jobs--;
	if (m == NULL && i->err == 0) {
		struct record_homes homes = {
		    .home = seg->header.number, .former = source->header.number};

		notes_done(s, i->serial, &homes);
	}
	if (m != NULL)
		m->is_copying = false;
	if (i->err != 0)
		source->is_compact = true;
	if (m != NULL && i->err == 0) {
		message_leave(m);
		m->former = (uint32_t)source->header.number;
		message_enter(s, m, seg, i->offset);
	}
	item_free(&i);
	tidy_consider(s, source);
}

static void
drop_copy(struct spool *s, struct item *i)
{
	struct spool_message *m = table_get(&s->by_serial, i->serial);

	i->source->jobs--;
	if (m != NULL)
		m->is_copying = false;
	tidy_consider(s, i->source);
	item_free(&i);
}

static void
answer_all(struct spool *s, struct list *items, int code)
{
	while (!list_is_empty(items)) {
		struct item *i = LIST_ENTRY(items->next, struct item, node);

		list_remove(&i->node);
		spool_answer(s, i, NULL, code);
	}
}

static void
batch_kept(struct spool *s, struct job *j)
{
	struct segment *seg = j->seg;
	struct item *last = LIST_ENTRY(j->items.prev, struct item, node);

	seg->safe = last->offset + item_size(last);
	seal_whole(s, seg);
	/* Held until every answer is given: a callback may settle the only message in it. */
	seg->jobs++;
	while (!list_is_empty(&j->items)) {
		struct item *i = LIST_ENTRY(j->items.next, struct item, node);

		list_remove(&i->node);
		if (i->m == NULL) {
			copy_done(s, i, seg);
		} else if (i->err != 0) {
			spool_answer(s, i, NULL, i->err);
		} else {
			message_enter(s, i->m, seg, i->offset);
			spool_answer(s, i, i->m, 0);
		}
	}
	seg->jobs--;
	tidy_consider(s, seg);
	spool_problem(s, &s->is_disk_bad, false, "spool-disk", NULL, NULL);
}

/* A batch that had not been begun loses its place; its items go back before all that wait. */
static void
unplan(struct spool *s, struct job *j)
{
	struct segment *seg = j->seg;

	while (!list_is_empty(&j->items)) {
		struct item *i = LIST_ENTRY(j->items.prev, struct item, node);

		list_remove(&i->node);
		list_prepend(&s->pending, &i->node);
		s->pending_bytes += item_size(i);
	}
	seg->jobs--;
	if (s->active == seg)
		s->active = NULL;
	if (j->is_birth) {
		tidy_unborn(s, seg);
		return;
	}
	seg->end = j->start;
	seg->state = SEGMENT_CLOSED;
	seal_whole(s, seg);
	tidy_consider(s, seg);
}

static void
take_back(struct spool *s)
{
	struct list jobs;

	list_init(&jobs);
	commit_take_back(s->committer, &jobs);
	/* From the last on, so that order and ends come out right. */
	while (!list_is_empty(&jobs)) {
		struct job *j = LIST_ENTRY(jobs.prev, struct job, node);

		list_remove(&j->node);
		unplan(s, j);
		job_free(&j);
	}
	s->open = NULL;
}

static void
doom(struct spool *s, struct job *j)
{
	struct doomed *d = mem_alloc(sizeof(*d));

	list_init(&d->items);
	d->code = io_code(j->failed);
	d->seq = s->mark_seq;
	LIST_FOR_SAFE (it, &j->items) {
		struct item *i = LIST_ENTRY(it, struct item, node);

		list_remove(it);
		if (i->m == NULL)
			drop_copy(s, i);
		else
			list_append(&d->items, it);
	}
	list_append(&s->doomed, &d->node);
}

/*
 * What was written may or may not be on disk, now or after the next start.  So the segment's end
 * before this batch is written down as the truth (SEAL), and only when that is durable are the
 * messages refused.  Should nothing be durable any more they stay without an answer, which is the
 * only true one.
 */
static void
batch_lost(struct spool *s, struct job *j)
{
	struct segment *seg = j->seg;

	seg->jobs++; /* stays until it is sealed */
	take_back(s);
	seg->is_failed = true;
	seg->state = SEGMENT_CLOSED;
	seg->end = j->start;
	if (s->active == seg)
		s->active = NULL;
	if (!PLANTED(PLANT_SEAL_NOT_WRITTEN))
		notes_seal(s, seg);
	/* No segment is begun before that is durable: only the newest may have a torn tail. */
	s->open_seq = s->mark_seq;
	doom(s, j);
	seg->jobs--;
	tidy_consider(s, seg);
	notes_sync(s);
	if (PLANTED(PLANT_SEAL_NOT_SYNCED) || PLANTED(PLANT_SEAL_NOT_WRITTEN))
		plan_release(s);
	spool_problem(s, &s->is_disk_bad, true, "spool-disk",
	    "a write to the spool failed; its messages were refused",
	    "look at the disk (dmesg, smartctl); mail is taken again once writing succeeds");
}

void
plan_batch_done(struct spool *s, struct job *j)
{
	struct segment *seg = j->seg;

	if (s->open == j)
		s->open = NULL;
	seg->jobs--;
	if (j->is_create && j->fd >= 0) {
		seg->fd = j->fd;
		s->n_fds++;
	}
	if (j->failed == 0) {
		batch_kept(s, j);
	} else if (!j->is_touched) {
		answer_all(s, &j->items, io_code(j->failed));
		tidy_unborn(s, seg);
	} else {
		batch_lost(s, j);
	}
	job_free(&j);
	plan_run(s);
}

void
plan_release(struct spool *s)
{
	LIST_FOR_SAFE (it, &s->doomed) {
		struct doomed *d = LIST_ENTRY(it, struct doomed, node);

		if (d->seq > s->synced_seq && !PLANTED(PLANT_SEAL_NOT_SYNCED))
			continue;
		list_remove(it);
		answer_all(s, &d->items, d->code);
		mem_free(d);
	}
}

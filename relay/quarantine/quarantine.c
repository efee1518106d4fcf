#include "relay/quarantine/quarantine.h"
#include "relay/base/clock.h"
#include "relay/base/heap.h"
#include "relay/base/log.h"
#include "relay/base/map.h"
#include "relay/base/mem.h"
#include "relay/quarantine/lister.h"
#include "relay/spool/plant.h"

enum {
	SCAN_SLICE = 128,  /* letters whose heads are read in one task */
	EXPIRE_SLICE = 64, /* letters that go in one tick */
	FULL_SHOWN_MS = 60 * 60 * 1000
};

/* What stands in memory of a letter. */
struct kept {
	struct heap_node stored; /* wall time */
	uint64_t size;           /* of the file */
	char id[];
};

struct scan {
	struct task task;
	struct quarantine *q;
	struct lister lister;
	bool is_started, is_over;
	int failed;
	struct {
		struct span id;
		int64_t stored_ms;
		uint64_t size;
		int err;
	} found[SCAN_SLICE];
	size_t n;
};

/* Letters that are whole, to be made durable with shared syncs.  What comes to be whole while the helper
 * has others before it is settled together with them. */
struct group {
	struct task task;
	struct quarantine *q;
	struct list filled, settled; /* the helper's */
	struct list told;            /* the loop's, unless the task is pushed */
	size_t n_filled;
	bool is_pushed; /* the loop's */
};

struct quarantine {
	struct loop *loop;
	struct quarantine_options options;
	const struct quarantine_events *events;
	void *arg;
	struct shelf shelf;
	struct helper *helper;
	struct timer *tick;
	struct map *by_id; /* struct kept */
	struct heap by_age;
	uint64_t bytes, n_damaged;
	size_t n_puts;
	struct list puts;
	struct group group;
	struct scan *scan;
	bool is_closing, has_failed;
	int64_t full_until_ms; /* monotonic; 0: not shown */
};

/* --- what is known ----------------------------------------------------------------------------- */

static void
forget(struct quarantine *q, struct kept *k)
{
	heap_remove(&q->by_age, &k->stored);
	(void)map_remove(q->by_id, span_str(k->id)); /* it is k */
	q->bytes -= k->size;
	mem_free(k);
}

static void
know(struct quarantine *q, struct span id, int64_t stored_ms, uint64_t size)
{
	struct kept *k = map_get(q->by_id, id);

	if (k != NULL)
		forget(q, k);
	k = mem_alloc(sizeof(*k) + id.n + 1);
	memcpy(k->id, id.p, id.n);
	k->size = size;
	k->stored.ms = stored_ms;
	heap_add(&q->by_age, &k->stored);
	(void)map_set(q->by_id, id, k); /* nothing stood there */
	q->bytes += size;
}

void
quarantine_gone(struct quarantine *q, struct span id)
{
	struct kept *k = map_get(q->by_id, id);

	if (k != NULL)
		forget(q, k);
}

bool
quarantine_has(const struct quarantine *q, struct span id)
{
	return map_get(q->by_id, id) != NULL;
}

/* --- the count at the start -------------------------------------------------------------------- */

static void
scan_run(struct task *t)
{
	struct scan *s = (struct scan *)t;
	struct span id;

	s->n = 0;
	if (!s->is_started) { /* all names at once, before any letter is being written */
		s->is_started = true;
		s->failed = lister_start(&s->lister, &s->q->shelf, true);
		return;
	}
	while (s->n < SCAN_SLICE && lister_next(&s->lister, &id)) {
		struct letter l;
		int r = shelf_read(&s->q->shelf, id, &l);

		if (r == -E_NOT_FOUND)
			continue; /* removed meanwhile */
		s->found[s->n].id = id;
		s->found[s->n].err = r;
		if (r == 0) {
			s->found[s->n].stored_ms = l.stored_ms;
			s->found[s->n].size = l.head + l.size;
			letter_free(&l);
		}
		s->n++;
	}
	s->is_over = s->n < SCAN_SLICE;
}

static void
scan_end(struct quarantine *q)
{
	struct scan *s = q->scan;

	if (s->failed < 0)
		q->events->on_problem(q->arg, "quarantine-read",
		    "the quarantine's folder cannot be read",
		    "look at the disk and at the rights of state_dir/quarantine, then restart");
	else
		log_event(LOG_INFO, "quarantine counted", KV_INT("messages", map_count(q->by_id)),
		    KV_INT("bytes", q->bytes));
	if (q->n_damaged > 0)
		q->events->on_problem(q->arg, "quarantine-damaged",
		    "a file in quarantine is not as it was written",
		    "the log names it (\"quarantine file damaged\"); check the disk, then remove "
		    "it and restart");
	lister_free(&s->lister);
	mem_free(s);
	q->scan = NULL;
}

static void
scan_done(struct task *t)
{
	struct scan *s = (struct scan *)t;
	struct quarantine *q = s->q;

	for (size_t i = 0; i < s->n; i++) {
		if (s->found[i].err < 0) {
			q->n_damaged++;
			log_event(LOG_ERROR, "quarantine file damaged", KV("id", s->found[i].id),
			    KV_STR("why", err_name(-s->found[i].err)));
		} else if (map_get(q->by_id, s->found[i].id) == NULL) {
			know(q, s->found[i].id, s->found[i].stored_ms, s->found[i].size);
		}
	}
	if (s->failed == 0 && !s->is_over && !q->is_closing)
		helper_push(q->helper, t);
	else
		scan_end(q);
}

static void
scan_begin(struct quarantine *q)
{
	struct scan *s = mem_alloc(sizeof(*s));

	s->task = (struct task){.run = scan_run, .done = scan_done};
	s->q = q;
	q->scan = s;
	helper_push(q->helper, &s->task);
}

/* --- one letter on its way in ------------------------------------------------------------------ */

struct put {
	struct task task;
	struct list node;  /* in puts */
	struct list among; /* of its group's lists one */
	struct quarantine *q;
	struct quarantine_source from;
	struct draft draft;
	int64_t stored_ms;
	uint64_t size; /* of the file */
	char *chunk;
	size_t n;
	bool is_begun, gives_up;
	bool is_filled; /* the rest is its group's */
	int result;
};

/* In the helper. */
static void
settle_group(struct quarantine *q)
{
	struct draft *drafts[SHELF_GROUP_MAX] = {NULL};
	int results[SHELF_GROUP_MAX];
	struct group *g = &q->group;
	size_t n = 0;

	if (g->n_filled == 0)
		return;
	LIST_FOR (it, &g->filled)
		drafts[n++] = &LIST_ENTRY(it, struct put, among)->draft;
	shelf_settle(&q->shelf, drafts, n, results);
	for (size_t i = 0; i < n; i++) {
		struct put *p = LIST_ENTRY(g->filled.next, struct put, among);

		p->result = results[i];
		if (p->result < 0)
			shelf_abandon(&q->shelf, &p->draft);
		list_remove(&p->among);
		list_append(&g->settled, &p->among);
	}
	g->n_filled = 0;
}

static void
fill(struct put *p)
{
	struct group *g = &p->q->group;

	p->result = shelf_fill(&p->q->shelf, &p->draft);
	if (p->result < 0)
		return;
	p->is_filled = true;
	list_append(&g->filled, &p->among);
	if (++g->n_filled == SHELF_GROUP_MAX)
		settle_group(p->q);
}

static void
put_run(struct task *t)
{
	struct put *p = (struct put *)t;
	const struct shelf *s = &p->q->shelf;
	bool is_whole;

	if (!p->is_begun && !p->gives_up)
		p->result = shelf_begin(s, &p->draft);
	p->is_begun = true;
	if (p->result == 0 && !p->gives_up)
		p->result = shelf_add(s, &p->draft, p->chunk, p->n);
	is_whole = p->result == 0 && !p->gives_up && p->draft.at == p->draft.size;
	if (is_whole)
		fill(p);
	if (!p->is_filled && p->result < 0)
		shelf_abandon(s, &p->draft);
}

static void
say_state(struct quarantine *q, const struct err *err)
{
	if (err != NULL)
		q->events->on_problem(q->arg, "quarantine-write", err->text,
		    err->code == E_FULL
			? "free disk space, or lower quarantine.max or queue.min_free; until then "
			  "such mail waits in the spool"
			: "check the disk; until then such mail waits in the spool");
	else if (q->has_failed)
		q->events->on_problem(q->arg, "quarantine-write", "", NULL);
	q->has_failed = err != NULL;
}

static void
put_end(struct put *p)
{
	struct quarantine *q = p->q;
	struct err err = {0};
	bool is_ours = p->result == -E_FULL || p->result == -E_IO;

	if (p->result < 0)
		(void)err_set(&err, -p->result, "a message cannot be written into quarantine: %s",
		    err_name(-p->result));
	else
		know(q, span_str(p->draft.name), p->stored_ms, p->size);
	q->n_puts--;
	list_remove(&p->node);
	if (!q->is_closing) {
		if (p->result == 0 || is_ours)
			say_state(q, p->result < 0 ? &err : NULL);
		q->events->on_stored(
		    q->arg, &p->from, span_str(p->draft.name), p->result < 0 ? &err : NULL);
	}
	draft_free(&p->draft);
	mem_free(p->chunk);
	mem_free(p);
}

/* Reads what comes next and hands it to the helper. */
static void
put_next(struct put *p)
{
	uint64_t left = p->draft.size - p->draft.at;
	int r = 0;

	p->n = left < SHELF_CHUNK ? (size_t)left : SHELF_CHUNK;
	if (p->n > 0)
		r = p->q->is_closing
			? -E_CLOSED
			: p->q->events->on_read(p->q->arg, &p->from, p->draft.at, p->chunk, p->n);
	p->gives_up = r < 0;
	p->result = r;
	helper_push(p->q->helper, &p->task);
}

static void
group_run(struct task *t)
{
	struct group *g = (struct group *)t;

	settle_group(g->q);
	while (!list_is_empty(&g->settled)) {
		struct list *first = g->settled.next;

		list_remove(first);
		list_append(&g->told, first);
	}
}

static void
group_done(struct task *t)
{
	struct group *g = (struct group *)t;

	g->is_pushed = false;
	while (!list_is_empty(&g->told)) {
		struct put *p = LIST_ENTRY(g->told.next, struct put, among);

		list_remove(&p->among);
		put_end(p);
	}
}

static void
push_group(struct quarantine *q)
{
	if (q->group.is_pushed)
		return;
	q->group.is_pushed = true;
	helper_push(q->helper, &q->group.task);
}

static void
put_done(struct task *t)
{
	struct put *p = (struct put *)t;

	if (p->is_filled)
		push_group(p->q);
	else if (p->result < 0)
		put_end(p);
	else
		put_next(p);
}

bool
quarantine_has_room(const struct quarantine *q)
{
	return q->n_puts < QUARANTINE_PUTS_MAX;
}

int
quarantine_put(struct quarantine *q, const struct quarantine_source *from, const struct letter *l)
{
	struct put *p = mem_alloc(sizeof(*p));
	int r = draft_prepare(&p->draft, l);

	if (r < 0) {
		mem_free(p);
		return r;
	}
	p->task = (struct task){.run = put_run, .done = put_done};
	p->q = q;
	p->from = *from;
	p->stored_ms = l->stored_ms;
	p->size = p->draft.head.n + l->size;
	p->chunk = mem_alloc(l->size < SHELF_CHUNK ? (size_t)l->size + 1 : SHELF_CHUNK);
	q->n_puts++;
	list_append(&q->puts, &p->node);
	put_next(p);
	return 0;
}

/* --- age and room ------------------------------------------------------------------------------ */

struct expiry {
	struct task task;
	struct quarantine *q;
	int64_t stored_ms;
	uint64_t size;
	bool is_early;
	int result;
	char id[LETTER_ID_MAX + 1];
};

static void
expiry_run(struct task *t)
{
	struct expiry *e = (struct expiry *)t;

	/* A name that a power loss brings back goes again at the next start. */
	e->result = shelf_remove(&e->q->shelf, span_str(e->id), false);
}

static void
expiry_done(struct task *t)
{
	struct expiry *e = (struct expiry *)t;
	struct quarantine *q = e->q;

	if (e->result == 0 && !q->is_closing)
		q->events->on_expired(q->arg, span_str(e->id), e->is_early);
	else if (e->result < 0 && e->result != -E_NOT_FOUND &&
		 map_get(q->by_id, span_str(e->id)) == NULL)
		know(q, span_str(e->id), e->stored_ms, e->size); /* the next tick tries again */
	mem_free(e);
}

static void
expire(struct quarantine *q, struct kept *k, bool is_early)
{
	struct expiry *e = mem_alloc(sizeof(*e));

	e->task = (struct task){.run = expiry_run, .done = expiry_done};
	e->q = q;
	e->stored_ms = k->stored.ms;
	e->size = k->size;
	e->is_early = is_early;
	(void)span_copy(span_str(k->id), e->id, sizeof(e->id)); /* as long as an id */
	forget(q, k);
	helper_push(q->helper, &e->task);
}

static void
say_full(struct quarantine *q, bool is_full)
{
	int64_t now_ms = clock_mono_ms();

	if (is_full && q->full_until_ms == 0)
		q->events->on_problem(q->arg, "quarantine-full",
		    "the quarantine is full: mail younger than quarantine.keep had to go",
		    "raise quarantine.max, or lower quarantine.keep to what is kept anyway");
	if (is_full)
		q->full_until_ms = now_ms + FULL_SHOWN_MS;
	else if (q->full_until_ms != 0 && now_ms >= q->full_until_ms) {
		q->events->on_problem(q->arg, "quarantine-full", "", NULL);
		q->full_until_ms = 0;
	}
}

/* What a crash has left half done is done again, under the same name: the letter that was there may
 * be too old by now, the one that takes its place is not. */
static bool
is_being_put(const struct quarantine *q, struct span id)
{
	LIST_FOR (it, &q->puts)
		if (span_eq(span_str(LIST_ENTRY(it, const struct put, node)->draft.name), id))
			return true;
	return false;
}

static bool
may_expire(const struct quarantine *q, const struct kept *k)
{
	struct span id = span_str(k->id);

	return PLANTED(PLANT_LETTER_EXPIRES_IN_USE) ||
	       (!is_being_put(q, id) && !q->events->is_in_use(q->arg, id));
}

static void
on_tick(void *arg)
{
	struct quarantine *q = arg;
	int64_t wall_ms = clock_wall_ms();
	bool is_full = false;

	/* Until all are counted nobody knows which is the oldest. */
	for (int i = 0; q->scan == NULL && i < EXPIRE_SLICE; i++) {
		struct heap_node *first = heap_first(&q->by_age);
		struct kept *k = first != NULL ? HEAP_ENTRY(first, struct kept, stored) : NULL;
		bool is_old = k != NULL && first->ms + q->options.keep_ms <= wall_ms;

		if (k == NULL || (!is_old && q->bytes <= q->options.max))
			break;
		/* It is given back, or gone, in a moment; the younger ones wait that long too. */
		if (!may_expire(q, k))
			break;
		is_full = is_full || !is_old;
		expire(q, k, !is_old);
	}
	say_full(q, is_full);
	loop_timer(q->loop, &q->tick, QUARANTINE_TICK_MS, on_tick, q);
}

/* --- its life ---------------------------------------------------------------------------------- */

struct quarantine *
quarantine_open(const struct quarantine_options *options, struct loop *loop,
    const struct quarantine_events *events, void *arg, struct err *err)
{
	struct quarantine *q = mem_alloc(sizeof(*q));
	int r;

	q->loop = loop;
	q->options = *options;
	q->events = events;
	q->arg = arg;
	q->shelf.io = options->io != NULL ? options->io : &spool_io_system;
	q->shelf.dir = q->options.dir = mem_dup(span_str(options->dir));
	q->shelf.min_free = options->min_free;
	q->shelf.share_min = options->share_min;
	q->by_id = map_new();
	list_init(&q->puts);
	q->group = (struct group){.task = {.run = group_run, .done = group_done}, .q = q};
	list_init(&q->group.filled);
	list_init(&q->group.settled);
	list_init(&q->group.told);
	r = shelf_open(&q->shelf);
	if (r < 0) {
		(void)err_set(err, -r,
		    "cannot use %s: %s; give it to the spool's user, and see that no other relay "
		    "has it",
		    options->dir, err_name(-r));
		quarantine_close(&q);
		return NULL;
	}
	q->helper = helper_start(loop);
	scan_begin(q);
	loop_timer(loop, &q->tick, QUARANTINE_TICK_MS, on_tick, q);
	return q;
}

void
quarantine_close(struct quarantine **q)
{
	struct quarantine *gone = *q;
	struct heap_node *first;

	if (gone == NULL)
		return;
	gone->is_closing = true;
	timer_cancel(&gone->tick);
	helper_stop(&gone->helper);
	while ((first = heap_first(&gone->by_age)) != NULL)
		forget(gone, HEAP_ENTRY(first, struct kept, stored));
	heap_free(&gone->by_age);
	map_free(&gone->by_id);
	shelf_close(&gone->shelf);
	mem_free((void *)(uintptr_t)gone->options.dir);
	mem_free(gone);
	*q = NULL;
}

struct quarantine_totals
quarantine_totals(const struct quarantine *q)
{
	const struct heap_node *first = heap_first(&q->by_age);

	return (struct quarantine_totals){.messages = map_count(q->by_id),
	    .bytes = q->bytes,
	    .max = q->options.max,
	    .oldest_ms = first != NULL ? first->ms : -1,
	    .is_counting = q->scan != NULL};
}

const struct shelf *
quarantine_shelf(const struct quarantine *q)
{
	return &q->shelf;
}

struct helper *
quarantine_helper(const struct quarantine *q)
{
	return q->helper;
}

int64_t
quarantine_keep_ms(const struct quarantine *q)
{
	return q->options.keep_ms;
}

/*
 * hold.c - when what is held is filtered again, and what becomes of it when that never helps.
 */
#include "relay/walk/hold.h"
#include "relay/base/clock.h"
#include "relay/base/log.h"
#include "relay/base/mem.h"
#include "relay/deliver/bounce.h"

enum { WHY_MAX = 600 };

struct hold_work *
hold_new(void)
{
	struct hold_work *h = mem_alloc(sizeof(*h));

	list_init(&h->ready);
	list_init(&h->cursor.node);
	h->by_serial = map_new();
	h->is_recovering = true;
	return h;
}

static void
end_recovery(struct hold_work *h)
{
	map_free(&h->by_serial);
	mem_free(h->parts);
	h->parts = NULL;
	h->n_parts = h->parts_size = 0;
	h->is_recovering = false;
}

void
hold_free(struct delivery *d)
{
	if (d->hold == NULL)
		return;
	again_free(d);
	queue_cursor_end(&d->hold->cursor);
	timer_cancel(&d->hold->next);
	list_remove(&d->hold->ready); /* the entries go with the queue */
	end_recovery(d->hold);
	mem_free(d->hold);
	d->hold = NULL;
}

/* --- its time ---------------------------------------------------------------------------------- */

int64_t
hold_calm_ms(uint32_t tries)
{
	int64_t ms = HOLD_CALM_MS;

	if (tries == 0)
		return 0;
	while (--tries > 0 && ms < HOLD_CALM_LAST)
		ms *= 2;
	return ms < HOLD_CALM_LAST ? ms : HOLD_CALM_LAST;
}

void
hold_wait_for(struct delivery *d, struct queue_entry *e, int64_t wait_ms)
{
	int64_t left_ms = settle_time_left(d, e);

	/* It has cost enough: what is left is its end, or an admin's word. */
	if (wait_ms > left_ms || e->hold.deaths >= HOLD_DEATHS_MAX)
		wait_ms = left_ms > 0 ? left_ms : 0;
	list_remove(&e->hold.node);
	e->hold.state = HOLD_WAITING;
	e->hold.next = e->hold.most = 0;
	for (size_t i = 0; i < e->n_legs; i++) {
		struct queue_leg *leg = &e->legs[i];

		if (leg->state != LEG_IDLE || !leg_awaits_filter(leg))
			continue;
		leg->attempts = e->hold.tries;
		queue_defer(d->queue, leg, clock_mono_ms() + wait_ms);
	}
}

void
hold_wait(struct delivery *d, struct queue_entry *e)
{
	if (!entry_awaits_filter(e))
		return;
	hold_await(d, e);
	hold_wait_for(d, e, settle_retry_after(d, 0));
}

/* All legs that wait for the filters leave the heap together. */
static void
take_out(struct delivery *d, struct queue_entry *e)
{
	for (size_t i = 0; i < e->n_legs; i++)
		if (e->legs[i].state == LEG_DEFERRED && leg_awaits_filter(&e->legs[i]))
			queue_undefer(d->queue, &e->legs[i]);
}

/* Bounced, or in quarantine where nobody may be told. */
static void
expire(struct delivery *d, struct queue_entry *e)
{
	for (size_t i = 0; i < e->n_rcpts; i++) {
		struct queue_rcpt *r = &e->rcpts[i];
		struct buf why = BUF_INIT(WHY_MAX * 2);

		if (!rcpt_awaits_filter(e, r))
			continue;
		/* An outsider is not told what our filters are called. */
		if (bounce_is_allowed(e, r))
			(void)buf_add_str(
			    &why, "5.4.7 It was held here to be checked, and time has run out");
		else
			(void)buf_addf(&why, "held until it expired: %.*s",
			    SPAN_ARG(span_take(rcpt_reply(e, r), WHY_MAX))); /* both fit */
		rcpt_set(r, RCPT_FAILED, buf_span(&why));
		settle_tell(d, e, r, "expired");
		buf_free(&why);
	}
	settle_entry(d, e);
}

static size_t
count_ready(const struct hold_work *h)
{
	size_t n = 0;

	LIST_FOR (it, &h->ready)
		n++;
	return n;
}

static void
make_ready(struct delivery *d, struct queue_entry *e)
{
	e->hold.state = HOLD_READY;
	list_append(&d->hold->ready, &e->hold.node);
}

void
hold_go_on(struct delivery *d, struct queue_entry *e, uint32_t next, uint32_t most)
{
	e->hold.next = next;
	e->hold.most = most;
	make_ready(d, e);
}

void
hold_due(struct delivery *d, struct queue_entry *e)
{
	take_out(d, e);
	if (e->hold.state != HOLD_WAITING)
		return; /* it is at it */
	if (settle_time_left(d, e) <= 0) {
		expire(d, e);
	} else if (e->hold.deaths >= HOLD_DEATHS_MAX || count_ready(d->hold) >= HOLD_READY_MAX) {
		hold_wait_for(d, e, HOLD_AGAIN_MS);
		deliver_rest(d, e);
	} else {
		make_ready(d, e);
	}
}

void
hold_forgive(struct queue_entry *e)
{
	e->hold.deaths = 0;
	e->hold.is_damaged = false;
}

void
hold_now(struct delivery *d, struct queue_entry *e)
{
	hold_forgive(e);
	if (!entry_awaits_filter(e) || e->hold.state != HOLD_WAITING)
		return;
	take_out(d, e);
	make_ready(d, e);
}

/* --- something works again ---------------------------------------------------------------------- */

void
hold_await(struct delivery *d, const struct queue_entry *e)
{
	struct hold_work *h = d->hold;
	struct span filter = entry_waits_for(e);

	for (size_t i = 0; i < h->n_awaited; i++)
		if (span_eq(filter, span_str(h->awaited[i])))
			return;
	if (filter.n == 0 || h->n_awaited == HOLD_AWAITED_MAX)
		return;
	(void)span_copy(filter, h->awaited[h->n_awaited], sizeof(h->awaited[0])); /* it fits */
	h->n_awaited++;
	if (d->on_awaits != NULL)
		d->on_awaits(d->arg, filter);
}

/* It has been heard of: who is held for it from now on asks anew. */
static void
end_await(struct hold_work *h, struct span filter)
{
	for (size_t i = h->n_awaited; i > 0; i--) {
		struct span one = span_str(h->awaited[i - 1]);

		if (filter.n > 0 && !span_eq(one, filter) && !span_eq(one, SPAN("*")))
			continue;
		h->n_awaited--;
		if (i - 1 < h->n_awaited)
			memcpy(h->awaited[i - 1], h->awaited[h->n_awaited], sizeof(h->awaited[0]));
	}
}

void
hold_signal(struct delivery *d, struct span filter, bool is_policy)
{
	struct hold_work *h = d->hold;
	bool is_other = h->is_passing || h->is_wanted;
	struct queue_totals totals;

	if (!is_policy)
		end_await(h, filter);
	queue_totals(d->queue, clock_wall_ms(), &totals);
	if (totals.held == 0)
		return;

	/* Two at once: one walk for both. */
	if (!is_other || !span_eq(filter, span_str(h->filter)))
		(void)span_copy(is_other ? (struct span){0} : filter, h->filter,
		    sizeof(h->filter)); /* as long as a filter's name may be */
	h->is_filter = !is_policy || (is_other && h->is_filter);
	h->is_policy = is_policy || (is_other && h->is_policy);
	h->is_wanted = true;
}

static bool
is_meant(const struct hold_work *h, const struct queue_entry *e)
{
	struct span waits_for = entry_waits_for(e);

	if (waits_for.n == 0)
		return h->is_policy;
	return h->is_filter && (h->filter[0] == '\0' || span_eq(waits_for, SPAN("*")) ||
				   span_eq(waits_for, span_str(h->filter)));
}

/* How long it is to be left alone yet, having been tried of late. */
static int64_t
unrest_ms(const struct queue_entry *e)
{
	int64_t ms = e->hold.tried_wall_ms + hold_calm_ms(e->hold.tries) - clock_wall_ms();

	return ms > 0 ? ms : 0;
}

/* It has been tried so lately that its turn comes only then, but not later. */
static void
wait_until_calm(struct delivery *d, struct queue_entry *e)
{
	int64_t due_ms = clock_mono_ms() + unrest_ms(e);
	bool is_later = false;

	for (size_t i = 0; i < e->n_legs; i++)
		is_later =
		    is_later || (e->legs[i].state == LEG_DEFERRED &&
				    leg_awaits_filter(&e->legs[i]) && e->legs[i].due.ms > due_ms);
	if (!is_later)
		return;
	take_out(d, e);
	hold_wait_for(d, e, unrest_ms(e));
}

static bool
is_next(struct delivery *d, struct queue_entry *e)
{
	if (e->hold.state != HOLD_WAITING || !is_meant(d->hold, e) ||
	    e->hold.deaths >= HOLD_DEATHS_MAX || settle_time_left(d, e) <= 0)
		return false;
	if (unrest_ms(e) == 0)
		return true;
	wait_until_calm(d, e);
	return false;
}

/* The next one that the walk is for; NULL: none was found in this turn. */
static struct queue_entry *
walk_on(struct delivery *d)
{
	struct hold_work *h = d->hold;
	struct queue_entry *e = NULL;

	if (h->is_wanted && !h->is_passing) {
		h->is_wanted = false;
		h->is_passing = true;
		queue_cursor_start(d->queue, &h->cursor);
	}
	for (unsigned n = 0; n < HOLD_PASS_LOOKS && h->is_passing; n++) {
		e = queue_cursor_next_held(d->queue, &h->cursor, HOLD_PASS_STEPS);
		if (e == NULL || is_next(d, e))
			break;
		deliver_rest(d, e);
		e = NULL;
	}
	if (h->is_passing && queue_cursor_is_over(d->queue, &h->cursor)) {
		queue_cursor_end(&h->cursor);
		h->is_passing = false;
	}
	return e;
}

/* Nothing: a turn has begun, and its end does the work. */
static void
on_next(void *arg)
{
	(void)arg;
}

void
hold_run(struct delivery *d)
{
	struct hold_work *h = d->hold;
	struct queue_entry *e = NULL;

	if (h->job != NULL || h->is_recovering || !h->has_fronts)
		return;
	if (!list_is_empty(&h->ready))
		e = LIST_ENTRY(h->ready.next, struct queue_entry, hold.node);
	else
		e = walk_on(d);
	if (e != NULL) {
		take_out(d, e);
		again_begin(d, e);
	}
	if (h->job == NULL && (h->is_passing || h->is_wanted || !list_is_empty(&h->ready)))
		loop_timer(d->loop, &h->next, 1, on_next, d);
}

/* --- recovery ---------------------------------------------------------------------------------- */

void
hold_recover(struct delivery *d, struct queue_entry *e)
{
	if (!d->hold->is_recovering || !entry_awaits_filter(e))
		return;
	hold_await(d, e);
	(void)map_set_u64(
	    d->hold->by_serial, spool_message_serial(e->msg), e->item); /* once each */
}

void
hold_recover_part(struct delivery *d, struct spool_message *m)
{
	struct hold_work *h = d->hold;

	if (h->n_parts == h->parts_size) {
		h->parts_size = h->parts_size > 0 ? h->parts_size * 2 : 64;
		h->parts = mem_grow(h->parts, h->parts_size * sizeof(h->parts[0]));
	}
	h->parts[h->n_parts++] = m;
}

/* What the part says of the message it was made from; the note that said so too may be lost. */
static void
move_rcpts(struct delivery *d, const struct queue_entry *part)
{
	struct map *by_serial = d->hold->by_serial;
	struct queue_item *item = map_get_u64(by_serial, part->replaces);
	struct queue_entry *e = item != NULL ? queue_wake(d->queue, item) : NULL;

	if (e == NULL)
		return; /* gone, as it should be */
	for (size_t i = 0; i < entry_moved_count(part); i++) {
		uint32_t k = entry_moved(part, i);

		if (k < e->n_rcpts && rcpt_awaits_filter(e, &e->rcpts[k]))
			rcpt_set(&e->rcpts[k], RCPT_MOVED, (struct span){0});
	}
	for (size_t i = 0; i < e->n_legs; i++)
		if (e->legs[i].state == LEG_DEFERRED && !leg_awaits_filter(&e->legs[i]) &&
		    leg_copy(&e->legs[i])->fate == COPY_HOLD && !leg_owes_report(&e->legs[i]) &&
		    !leg_has(&e->legs[i], RCPT_TO_QUARANTINE))
			queue_undefer(d->queue, &e->legs[i]);
	if (!entry_awaits_filter(e))
		(void)map_remove_u64(by_serial, part->replaces); /* it may be gone in a moment */
	log_event(LOG_INFO, "held message was replaced", KV_STR("id", e->id));
	settle_entry(d, e);
}

void
hold_recovered(struct delivery *d)
{
	struct hold_work *h = d->hold;

	for (size_t i = 0; i < h->n_parts; i++) {
		struct queue_entry *part = deliver_load(d, h->parts[i]);

		if (part == NULL)
			continue; /* told; it stays in the spool for the next start */
		move_rcpts(d, part);
		deliver_recover_entry(d, part);
	}
	end_recovery(h);
}

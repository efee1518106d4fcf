#include "relay/walk/admin.h"
#include "relay/base/clock.h"
#include "relay/deliver/bounce.h"
#include "relay/deliver/report.h"
#include "relay/walk/hold.h"

enum { WORDS_MAX = 256 };

/* One order: what was found so far decides what is said of the message. */
struct order {
	struct delivery *d;
	struct queue_entry *e;
	const struct selection *s;
	bool is_done, is_active;
	const char *why; /* something was refused */
};

static void
set(struct order *o, struct queue_rcpt *r, enum rcpt_state state, const char *event,
    const char *words)
{
	struct buf text = BUF_INIT(WORDS_MAX);

	(void)buf_add_str(&text, words); /* fits, with any name */
	(void)buf_add_str(&text, o->s->by);
	report_rcpt(o->d->journal, o->e, r, event, NULL, buf_span(&text));
	rcpt_set(r, state, state == RCPT_WAITING ? (struct span){0} : buf_span(&text));
	buf_free(&text);
	o->is_done = true;
}

static struct queue_leg *
leg_of(const struct order *o, const struct queue_rcpt *r)
{
	return &o->e->legs[r->leg];
}

/* Out of the heap or its gateway's list, when nobody in it waits any more. */
static void
rest_idle_legs(struct order *o)
{
	for (size_t i = 0; i < o->e->n_legs; i++) {
		struct queue_leg *l = &o->e->legs[i];

		if (leg_has(l, RCPT_WAITING) || leg_awaits_filter(l))
			continue;
		if (l->state ==
		    LEG_DEFERRED) { /* a report that is owed is looked at next, in settle_entry */
			queue_undefer(o->d->queue, l);
		} else if (l->state == LEG_READY) {
			list_remove(&l->node);
			l->state = LEG_IDLE;
		}
	}
}

/* --- retry ------------------------------------------------------------------------------------- */

static bool
leg_is_meant(const struct order *o, const struct queue_leg *l)
{
	for (size_t i = 0; i < o->e->n_rcpts; i++)
		if (leg_of(o, &o->e->rcpts[i]) == l &&
		    selection_has_rcpt(o->s, o->e, &o->e->rcpts[i]))
			return true;
	return false;
}

static void
retry_legs(struct order *o, int64_t after_ms)
{
	for (size_t i = 0; i < o->e->n_legs; i++) {
		struct queue_leg *l = &o->e->legs[i];

		if (!leg_is_meant(o, l))
			continue;
		if (leg_awaits_filter(l))
			hold_forgive(o->e);
		if (l->state == LEG_ACTIVE) {
			o->is_active = true;
		} else if (l->state == LEG_READY) {
			o->is_done = true; /* it waits for a server that is free */
		} else if (l->state == LEG_DEFERRED) {
			queue_undefer(o->d->queue, l);
			queue_defer(o->d->queue, l, clock_mono_ms() + after_ms);
			o->is_done = true;
		}
	}
}

/* What is held, of a message that was named: 7_deliver.c says which of it may go. */
static void
retry_held(struct order *o)
{
	bool is_anyone_free = false;

	for (size_t i = 0; i < o->e->n_rcpts; i++) {
		const struct queue_rcpt *r = &o->e->rcpts[i];

		if (r->state != RCPT_HELD)
			continue;
		if (rcpt_copy(o->e, r)->fate == COPY_HOLD && o->e->facts.n > 0)
			is_anyone_free = true;
		else if (rcpt_copy(o->e, r)->fate != COPY_DELIVER)
			o->why = "the policy keeps this copy from its recipients; "
				 "the queue cannot send it";
		else if (rcpt_is_held_by_admin(o->e, r))
			o->why = "an administrator holds it; `postern queue release` lets it go";
		else
			is_anyone_free = true;
	}
	if (!is_anyone_free)
		return;
	o->is_done = true;
	deliver_now(o->d, o->e);
	o->e = NULL; /* perhaps gone */
}

/* --- hold and release -------------------------------------------------------------------------- */

static void
hold(struct order *o, struct queue_rcpt *r)
{
	if (r->state != RCPT_WAITING)
		return;
	if (leg_of(o, r)->state == LEG_ACTIVE)
		o->is_active = true;
	else
		set(o, r, RCPT_HELD, "held", QUEUE_HELD_BY_ADMIN);
}

static void
release(struct order *o, struct queue_rcpt *r)
{
	if (r->state != RCPT_HELD)
		return;
	if (rcpt_is_held_by_admin(o->e, r))
		set(o, r, RCPT_WAITING, "released", "released by admin ");
	else if (rcpt_copy(o->e, r)->fate != COPY_DELIVER)
		o->why = "the policy keeps this copy from its recipients; the queue cannot send "
			 "it until it is filtered again";
	else
		o->why = "no administrator holds it; `postern queue show` says why it is here, and "
			 "`postern queue retry ID` tries it again";
}

static void
send_released(struct order *o)
{
	int64_t warn_after_ms = o->d->config->queue.warn_after_ms;

	/* It was not the gateway that it was late for: if it goes now, nobody need be told. */
	if (o->is_done && clock_wall_ms() - o->e->received_ms >= warn_after_ms)
		o->e->is_warned = true;
	for (size_t i = 0; i < o->e->n_legs; i++)
		if (o->e->legs[i].state == LEG_IDLE && leg_has(&o->e->legs[i], RCPT_WAITING))
			deliver_leg(o->d, &o->e->legs[i]);
}

/* --- delete and bounce ------------------------------------------------------------------------- */

static void
forget(struct order *o, struct queue_rcpt *r)
{
	if (leg_of(o, r)->state == LEG_ACTIVE || (r->is_in_bounce && o->e->is_notice_in_flight) ||
	    r->is_in_letter || (o->e->hold.state == HOLD_STORING && rcpt_awaits_filter(o->e, r)))
		o->is_active = true;
	else
		set(o, r, RCPT_DELETED, "deleted", "deleted by admin ");
}

/* A success that is still to be reported is delivered all the same. */
static void
forget_successes(struct order *o)
{
	for (size_t i = 0; i < o->e->n_rcpts && o->is_done && !o->is_active; i++)
		if (o->e->rcpts[i].state == RCPT_RELAYED && !o->e->is_notice_in_flight)
			o->e->rcpts[i].state = RCPT_DELIVERED;
}

static void
bounce(struct order *o, struct queue_rcpt *r)
{
	if (r->state == RCPT_FAILED)
		return; /* its report is on its way */
	if (leg_of(o, r)->state == LEG_ACTIVE || r->is_in_letter) {
		o->is_active = true;
	} else if (rcpt_copy(o->e, r)->fate != COPY_DELIVER) {
		o->why = "the policy keeps this copy from its recipients, and senders are not told "
			 "of that";
	} else if (!bounce_is_allowed(o->e, r)) {
		o->why = bounce_obstacle(o->e, r);
	} else if (bounce_route(o->d->config, o->e).gateway == NULL) {
		o->why = "no gateway leads to its sender or to postmaster";
	} else {
		set(o, r, RCPT_FAILED, "returned", "returned by admin ");
		/* An outsider needs no name. */
		rcpt_set(r, RCPT_FAILED,
		    SPAN("5.7.1 Returned by the administrator of this mail system"));
	}
}

/* --- all of them ------------------------------------------------------------------------------- */

static void
each_recipient(struct order *o, void (*act)(struct order *o, struct queue_rcpt *r))
{
	for (size_t i = 0; i < o->e->n_rcpts; i++)
		if (selection_has_rcpt(o->s, o->e, &o->e->rcpts[i]))
			act(o, &o->e->rcpts[i]);
}

static void
act(struct order *o, enum admin_verb verb, int64_t after_ms)
{
	switch (verb) {
	case ADMIN_RETRY:
		retry_legs(o, after_ms);
		if (o->s->n_ids > 0)
			retry_held(o);
		break;
	case ADMIN_HOLD:
		each_recipient(o, hold);
		break;
	case ADMIN_RELEASE:
		each_recipient(o, release);
		send_released(o);
		break;
	case ADMIN_DELETE:
		each_recipient(o, forget);
		forget_successes(o);
		break;
	case ADMIN_BOUNCE:
		each_recipient(o, bounce);
		break;
	}
}

enum admin_result
admin_do(struct delivery *d, struct queue_entry *e, enum admin_verb verb, const struct selection *s,
    int64_t after_ms, const char **why)
{
	struct order o = {.d = d, .e = e, .s = s};

	if (e->transit != NULL)
		return ADMIN_ACTIVE; /* its client still waits for an answer */
	act(&o, verb, after_ms);
	if (o.e != NULL && o.is_done && verb != ADMIN_RETRY) {
		rest_idle_legs(&o);
		settle_entry(d, o.e);
	} else if (o.e != NULL) {
		deliver_rest(d, o.e);
	}
	if (o.is_done)
		return ADMIN_DONE;
	if (o.is_active)
		return ADMIN_ACTIVE;
	*why = o.why;
	return o.why != NULL ? ADMIN_REFUSED : ADMIN_UNCHANGED;
}

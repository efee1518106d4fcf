/*
 * through.c - accept = "through": the gateway's answer comes before ours.
 *
 * A message all of whose recipients go to such gateways is held in memory (struct transit) while they
 * are asked.  All took it: 250, and nothing was written.  All refused it for good: their refusal.
 * Anything else, and whatever is not over after through_wait, is made durable and then answered 250;
 * the attempt that goes on settles the spooled message when its reply comes, and no second one begins
 * meanwhile.  The answer itself is front's: 6_commit.c says it.
 */
#include "relay/base/clock.h"
#include "relay/base/log.h"
#include "relay/smtp/reply.h"
#include "relay/walk/delivery.h"

enum { REPLY_TEXT_MAX = 400 };

static bool
is_through(const struct delivery *d, struct span gateway)
{
	const struct conf_gateway *g = config_gateway(d->config, gateway);

	return g != NULL && g->accept == GATEWAY_THROUGH;
}

bool
through_is_fit(const struct delivery *d, const struct commit *c)
{
	if (!transit_has_room(commit_prefixes(c) + c->body_size))
		return false;
	for (size_t i = 0; i < c->n_copies; i++)
		if (c->copies[i].fate != COPY_DELIVER)
			return false;
	for (size_t i = 0; i < c->n_rcpts; i++)
		if (!is_through(d, c->rcpts[i].gateway))
			return false;
	return true;
}

static void
answer(struct delivery *d, struct transit *t, const struct refusal *refusal)
{
	if (!t->is_answered)
		d->on_through(d->arg, &t->arrival, refusal);
	t->is_answered = true;
}

/* The last that is heard of it here. */
static void
drop(struct delivery *d, struct queue_entry *e)
{
	transit_free(&e->transit);
	queue_remove(d->queue, &e);
}

static bool
is_busy(const struct queue_entry *e)
{
	for (size_t i = 0; i < e->n_legs; i++)
		if (e->legs[i].state == LEG_ACTIVE || e->legs[i].state == LEG_READY)
			return true;
	return false;
}

static bool
is_active(const struct queue_entry *e)
{
	for (size_t i = 0; i < e->n_legs; i++)
		if (e->legs[i].state == LEG_ACTIVE)
			return true;
	return false;
}

/* Whether all recipients are in one state. */
static bool
all_are(const struct queue_entry *e, enum rcpt_state state)
{
	for (size_t i = 0; i < e->n_rcpts; i++)
		if (e->rcpts[i].state != state)
			return false;
	return true;
}

/* What no gateway has begun to take, none shall: the client sends it again. */
static void
stop_legs(struct delivery *d, struct queue_entry *e)
{
	for (size_t i = 0; i < e->n_legs; i++) {
		struct queue_leg *leg = &e->legs[i];

		if (leg->state == LEG_DEFERRED) {
			queue_undefer(d->queue, leg);
		} else if (leg->state == LEG_READY) {
			list_remove(&leg->node);
			leg->state = LEG_IDLE;
		}
	}
}

/* It could not be made durable: the client is told to try again, and perhaps somebody has a copy. */
static void
give_up(struct delivery *d, struct queue_entry *e, bool is_full)
{
	static const struct refusal full = {.code = 452,
	    .enhanced = {"4.3.1", 5},
	    .text = {"No room to keep the message now, try again later", 48}};
	static const struct refusal failed = {.code = 451,
	    .enhanced = {"4.3.0", 5},
	    .text = {"The message could not be stored, try again later", 48}};

	answer(d, e->transit, is_full ? &full : &failed);
	e->transit->state = TRANSIT_GIVEN_UP;
	stop_legs(d, e);
	if (!is_active(e))
		drop(d, e);
}

bool
through_is_given_up(const struct queue_entry *e)
{
	return e->transit != NULL && e->transit->state == TRANSIT_GIVEN_UP;
}

static void
store(struct delivery *d, struct queue_entry *e)
{
	timer_cancel(&e->transit->wait);
	if (transit_store(e->transit, d->intake, d->spool) < 0)
		give_up(d, e, false);
}

static void
on_wait_over(void *arg)
{
	struct transit *t = arg;
	struct delivery *d = t->arrival.owner;

	store(d, t->entry);
}

/* Printable ASCII, as a reply line of ours may have it. */
static struct span
clean(struct span from, char to[REPLY_TEXT_MAX])
{
	size_t n = from.n < REPLY_TEXT_MAX ? from.n : REPLY_TEXT_MAX;

	for (size_t i = 0; i < n; i++)
		to[i] = from.p[i] >= ' ' && from.p[i] <= '~' ? from.p[i] : '?';
	return span_of(to, n);
}

/* "550 5.1.1 text", as the first recipient heard it. */
static void
answer_refused(struct delivery *d, struct queue_entry *e)
{
	char room[REPLY_TEXT_MAX];
	struct span text = rcpt_reply(e, &e->rcpts[0]), code = span_word(&text);
	struct refusal refusal = {.code = 550, .enhanced = SPAN("5.0.0"), .text = span_trim(text)};
	struct span enhanced = smtp_enhanced_code(refusal.text, '5');
	uint64_t number;

	if (span_to_u64(code, &number) && number >= 500 && number <= 599)
		refusal.code = (uint16_t)number;
	if (enhanced.n > 0) {
		refusal.enhanced = enhanced;
		refusal.text = span_trim(span_skip(refusal.text, enhanced.n));
	}
	if (refusal.text.n == 0)
		refusal.text = SPAN("Refused by the mail server behind this one");
	refusal.text = clean(refusal.text, room);
	answer(d, e->transit, &refusal);
}

void
through_begin(struct delivery *d, const struct arrival *a, struct transit *t, int64_t data_end_ms)
{
	struct queue_entry *e = t->entry;
	int64_t wait_ms = INT64_MAX, gone_ms = clock_mono_ms() - data_end_ms;

	t->arrival = *a;
	t->arrival.owner = d;
	list_append(&d->transits, &t->node);
	must(queue_add(d->queue, e) == 0); /* the id was looked at before */
	for (size_t i = 0; i < e->n_legs; i++) {
		const struct conf_gateway *g = config_gateway(d->config, e->legs[i].gateway);

		if (g->through_wait_ms < wait_ms)
			wait_ms = g->through_wait_ms;
		deliver_leg(d, &e->legs[i]);
	}
	if (gone_ms > 0)
		wait_ms -= gone_ms; /* it counts from the end of DATA; a clock cannot prolong it */
	loop_timer(d->loop, &t->wait, wait_ms > 0 ? wait_ms : 0, on_wait_over, t);
}

void
through_settle(struct delivery *d, struct queue_entry *e)
{
	switch (e->transit->state) {
	case TRANSIT_ASKING:
		if (is_busy(e))
			return;
		if (all_are(e, RCPT_DELIVERED)) {
			answer(d, e->transit, NULL);
			drop(d, e);
		} else if (all_are(e, RCPT_FAILED)) {
			answer_refused(d, e);
			drop(d, e);
		} else {
			store(d, e);
		}
		return;
	case TRANSIT_STORING:
		if (all_are(e, RCPT_DELIVERED))
			answer(d, e->transit, NULL);
		return; /* through_arrived goes on */
	case TRANSIT_GIVEN_UP:
		if (!is_active(e))
			drop(d, e);
		return;
	}
}

void
through_arrived(struct delivery *d, struct arrival *a, const struct err *err)
{
	struct queue_entry *e = a->entry;

	if (err != NULL && all_are(e, RCPT_DELIVERED)) {
		drop(d, e); /* its client knows */
	} else if (err != NULL) {
		give_up(d, e, err->code == E_FULL);
	} else {
		answer(d, e->transit, NULL);
		transit_free(&e->transit);
		settle_entry(d, e);
	}
}

void
through_hurry(struct delivery *d)
{
	LIST_FOR_SAFE (it, &d->transits) {
		struct transit *t = LIST_ENTRY(it, struct transit, node);

		if (t->state == TRANSIT_ASKING)
			store(d, t->entry);
	}
}

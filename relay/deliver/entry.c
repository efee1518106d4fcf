/* What an entry of the queue, its legs and its recipients are at. */
#include "relay/base/mem.h"
#include "relay/deliver/queue.h"

static bool
state_is_settled(enum rcpt_state state)
{
	return state == RCPT_DELIVERED || state == RCPT_BOUNCED || state == RCPT_DELETED ||
	       state == RCPT_QUARANTINED || state == RCPT_MOVED;
}

bool
rcpt_awaits_filter(const struct queue_entry *e, const struct queue_rcpt *r)
{
	return r->state == RCPT_HELD && e->facts.n > 0 && !e->hold.is_damaged &&
	       rcpt_copy(e, r)->fate == COPY_HOLD;
}

bool
leg_awaits_filter(const struct queue_leg *l)
{
	const struct queue_entry *e = l->entry;

	return e->facts.n > 0 && !e->hold.is_damaged && leg_copy(l)->fate == COPY_HOLD &&
	       leg_has(l, RCPT_HELD);
}

bool
entry_awaits_filter(const struct queue_entry *e)
{
	for (size_t i = 0; i < e->n_legs; i++)
		if (leg_awaits_filter(&e->legs[i]))
			return true;
	return false;
}

size_t
entry_moved_count(const struct queue_entry *e)
{
	return e->moved.n / sizeof(uint32_t);
}

uint32_t
entry_moved(const struct queue_entry *e, size_t i)
{
	struct wire w = wire_over(span_skip(e->moved, i * sizeof(uint32_t)));

	return get_u32(&w);
}

struct span
entry_waits_for(const struct queue_entry *e)
{
	struct span found = {0};

	if (e->hold.waits_for != NULL)
		return span_str(e->hold.waits_for);
	for (size_t i = 0; i < e->n_copies; i++) {
		struct span one = e->copies[i].waits_for;

		if (found.n > 0 && one.n > 0 && !span_eq(found, one))
			return SPAN("*");
		if (one.n > 0)
			found = one;
	}
	return found;
}

bool
entry_is_settled(const struct queue_entry *e)
{
	for (size_t i = 0; i < e->n_rcpts; i++)
		if (!state_is_settled(e->rcpts[i].state))
			return false;
	return true;
}

bool
entry_has(const struct queue_entry *e, enum rcpt_state state)
{
	for (size_t i = 0; i < e->n_rcpts; i++)
		if (e->rcpts[i].state == state)
			return true;
	return false;
}

bool
leg_has(const struct queue_leg *l, enum rcpt_state state)
{
	const struct queue_entry *e = l->entry;

	/* All legs are asked one after another: with a copy for each of thousands of recipients, a
	 * walk over all of them would be for each leg. */
	for (uint32_t i = l->first; i > 0; i = e->rcpts[i - 1].next)
		if (e->rcpts[i - 1].state == state)
			return true;
	return false;
}

bool
entry_owes_report(const struct queue_entry *e)
{
	return entry_has(e, RCPT_FAILED) || entry_has(e, RCPT_RELAYED);
}

bool
leg_owes_report(const struct queue_leg *l)
{
	return leg_has(l, RCPT_FAILED) || leg_has(l, RCPT_RELAYED);
}

void
rcpt_set(struct queue_rcpt *r, enum rcpt_state state, struct span reply)
{
	char *old = r->reply; /* freed last: `reply` may point into it */

	r->state = state;
	r->reply = reply.n > 0 ? mem_dup(span_take(reply, QUEUE_REPLY_MAX)) : NULL;
	mem_free(old);
}

void
leg_set_reply(struct queue_leg *l, struct span reply, const char *server)
{
	mem_free(l->reply);
	mem_free(l->server);
	l->reply = reply.n > 0 ? mem_dup(span_take(reply, QUEUE_REPLY_MAX)) : NULL;
	l->server = server != NULL ? mem_dup(span_take(span_str(server), QUEUE_NAME_MAX)) : NULL;
}

struct span
rcpt_reply(const struct queue_entry *e, const struct queue_rcpt *r)
{
	return span_str(r->reply != NULL ? r->reply : e->legs[r->leg].reply);
}

bool
rcpt_is_open(const struct queue_rcpt *r)
{
	return r->state == RCPT_WAITING || r->state == RCPT_FAILED || r->state == RCPT_HELD ||
	       r->state == RCPT_TO_QUARANTINE;
}

bool
rcpt_is_held_by_admin(const struct queue_entry *e, const struct queue_rcpt *r)
{
	return r->state == RCPT_HELD && rcpt_copy(e, r)->fate == COPY_DELIVER &&
	       span_starts(span_str(r->reply), SPAN(QUEUE_HELD_BY_ADMIN));
}

bool
queue_can_be_sent(const struct queue_entry *e)
{
	for (size_t i = 0; i < e->n_copies; i++)
		if (e->copies[i].fate == COPY_DELIVER)
			return true;
	return false;
}

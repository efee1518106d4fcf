#include "relay/deliver/queue.h"
#include "relay/base/err.h"
#include "relay/base/map.h"
#include "relay/base/mem.h"
#include "relay/deliver/ages.h"

struct queue {
	struct map *by_id;
	struct list entries;
	size_t n_entries;
	struct heap deferred; /* legs by their time */
	struct list cursors;
	struct queue_totals totals; /* without the ages */
	struct ages ages;
};

const int64_t queue_age_bounds_ms[QUEUE_AGES - 1] = {
    5 * 60000LL, 3600000LL, 4 * 3600000LL, 86400000LL, 5 * 86400000LL};
const uint32_t queue_tries_bounds[QUEUE_TRIES - 1] = {2, 6, 21};

static bool
state_is_settled(enum rcpt_state state)
{
	return state == RCPT_DELIVERED || state == RCPT_BOUNCED || state == RCPT_DELETED ||
	       state == RCPT_QUARANTINED;
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

	for (size_t i = 0; i < e->n_rcpts; i++)
		if (&e->legs[e->rcpts[i].leg] == l && e->rcpts[i].state == state)
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

struct queue *
queue_new(void)
{
	struct queue *q = mem_alloc(sizeof(*q));

	q->by_id = map_new();
	list_init(&q->entries);
	list_init(&q->cursors);
	return q;
}

void
queue_free(struct queue **q)
{
	if (*q == NULL)
		return;
	LIST_FOR_SAFE (it, &(*q)->entries) {
		struct queue_entry *e = LIST_ENTRY(it, struct queue_entry, node);

		queue_remove(*q, &e);
	}
	map_free(&(*q)->by_id);
	heap_free(&(*q)->deferred);
	mem_free(*q);
	*q = NULL;
}

int
queue_add(struct queue *q, struct queue_entry *e)
{
	if (map_get(q->by_id, span_str(e->id)) != NULL)
		return -E_EXISTS;
	(void)map_set(q->by_id, span_str(e->id), e); /* nothing stood there */
	list_append(&q->entries, &e->node);
	q->n_entries++;
	q->totals.messages++;
	q->totals.bytes += e->size;
	ages_add(&q->ages, e->received_ms);
	queue_recount(q, e);
	return 0;
}

void
queue_remove(struct queue *q, struct queue_entry **e)
{
	struct queue_entry *gone = *e;

	for (size_t i = 0; i < gone->n_legs; i++) {
		struct queue_leg *l = &gone->legs[i];

		if (l->state == LEG_DEFERRED)
			queue_undefer(q, l);
		list_remove(&l->node);
	}
	(void)map_remove(q->by_id, span_str(gone->id)); /* it is the entry itself */
	LIST_FOR (it, &q->cursors) {
		struct queue_cursor *c = LIST_ENTRY(it, struct queue_cursor, node);

		if (c->next == &gone->node)
			c->next = gone->node.next;
	}
	list_remove(&gone->node);
	q->n_entries--;
	q->totals.messages--;
	q->totals.bytes -= gone->size;
	q->totals.held -= gone->is_counted_held;
	ages_remove(&q->ages, gone->received_ms);
	entry_free(e);
}

struct queue_entry *
queue_find(const struct queue *q, struct span id)
{
	return map_get(q->by_id, id);
}

size_t
queue_count(const struct queue *q)
{
	return q->n_entries;
}

struct list *
queue_entries(struct queue *q)
{
	return &q->entries;
}

const struct queue_entry *
queue_oldest(const struct queue *q)
{
	if (list_is_empty(&q->entries))
		return NULL;
	return LIST_ENTRY(q->entries.next, const struct queue_entry, node);
}

void
queue_cursor_start(struct queue *q, struct queue_cursor *c)
{
	c->next = q->entries.next;
	c->left = q->n_entries;
	list_append(&q->cursors, &c->node);
}

struct queue_entry *
queue_cursor_next(struct queue *q, struct queue_cursor *c)
{
	struct list *found = c->next;

	if (found == &q->entries || c->left == 0)
		return NULL;
	c->next = found->next;
	c->left--;
	return LIST_ENTRY(found, struct queue_entry, node);
}

void
queue_cursor_end(struct queue_cursor *c)
{
	list_remove(&c->node);
}

void
queue_totals(const struct queue *q, int64_t wall_ms, struct queue_totals *to)
{
	*to = q->totals;
	ages_histogram(&q->ages, wall_ms, queue_age_bounds_ms, QUEUE_AGES - 1, to->ages);
}

void
queue_recount(struct queue *q, struct queue_entry *e)
{
	bool is_held = entry_has(e, RCPT_HELD);

	if (is_held != e->is_counted_held)
		q->totals.held += is_held ? 1 : (uint64_t)-1;
	e->is_counted_held = is_held;
}

static uint64_t *
tries_of(struct queue *q, const struct queue_leg *l)
{
	size_t i = 0;

	while (i < QUEUE_TRIES - 1 && l->attempts >= queue_tries_bounds[i])
		i++;
	return &q->totals.tries[i];
}

void
queue_defer(struct queue *q, struct queue_leg *l, int64_t due_ms)
{
	must(l->state != LEG_DEFERRED);
	l->state = LEG_DEFERRED;
	l->due.ms = due_ms;
	heap_add(&q->deferred, &l->due);
	(*tries_of(q, l))++;
	q->totals.deferred += l->entry->n_deferred++ == 0;
}

void
queue_undefer(struct queue *q, struct queue_leg *l)
{
	must(l->state == LEG_DEFERRED);
	heap_remove(&q->deferred, &l->due);
	list_remove(&l->node); /* of its gateway's parked ones, if it is there */
	l->state = LEG_IDLE;
	(*tries_of(q, l))--;
	q->totals.deferred -= --l->entry->n_deferred == 0;
}

int64_t
queue_next_ms(const struct queue *q)
{
	const struct heap_node *first = heap_first(&q->deferred);

	return first != NULL ? first->ms : -1;
}

struct queue_leg *
queue_take_due(struct queue *q, int64_t now_ms)
{
	struct heap_node *first = heap_first(&q->deferred);
	struct queue_leg *l;

	if (first == NULL || first->ms > now_ms)
		return NULL;
	l = HEAP_ENTRY(first, struct queue_leg, due);
	queue_undefer(q, l);
	return l;
}

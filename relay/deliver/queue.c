#include "relay/deliver/queue.h"
#include "relay/base/err.h"
#include "relay/base/map.h"
#include "relay/base/mem.h"
#include "relay/base/table.h"
#include "relay/deliver/ages.h"

enum { WAKE_RETRY_MS = 60 * 1000 }; /* after the disk could not give it back */

struct queue {
	struct table by_key; /* items */
	struct list items;
	struct heap deferred; /* legs of those awake, by their time */
	struct heap asleep;   /* items, by that of their first leg */
	struct list cursors;
	struct queue_totals totals; /* without the ages */
	struct ages ages;
	queue_loader *load;
	void *load_arg;
};

const int64_t queue_age_bounds_ms[QUEUE_AGES - 1] = {
    5 * 60000LL, 3600000LL, 4 * 3600000LL, 86400000LL, 5 * 86400000LL};
const uint32_t queue_tries_bounds[QUEUE_TRIES - 1] = {2, 6, 21};

struct queue *
queue_new(void)
{
	struct queue *q = mem_alloc(sizeof(*q));

	q->by_key.key_at = offsetof(struct queue_item, key);
	list_init(&q->items);
	list_init(&q->cursors);
	return q;
}

void
queue_set_loader(struct queue *q, queue_loader *load, void *arg)
{
	q->load = load;
	q->load_arg = arg;
}

void
queue_free(struct queue **q)
{
	if (*q == NULL)
		return;
	LIST_FOR_SAFE (it, &(*q)->items) {
		struct queue_item *item = LIST_ENTRY(it, struct queue_item, node);
		struct queue_entry *e = item->entry;

		if (e != NULL) {
			queue_remove(*q, &e);
			continue;
		}
		/* Others may be awake: they take themselves out of what it is in, too. */
		must(table_remove(&(*q)->by_key, item->key) == item);
		list_remove(&item->node);
		list_remove(&item->parked);
		mem_free(item);
	}
	table_free(&(*q)->by_key);
	heap_free(&(*q)->deferred);
	heap_free(&(*q)->asleep);
	mem_free(*q);
	*q = NULL;
}

int
queue_add(struct queue *q, struct queue_entry *e)
{
	struct queue_item *item = mem_alloc(sizeof(*item));

	*item = (struct queue_item){
	    .key = map_hash(span_str(e->id)), .received_ms = e->received_ms, .entry = e};
	list_init(&item->parked);
	if (!table_add(&q->by_key, item)) {
		mem_free(item);
		return -E_EXISTS;
	}
	e->item = item;
	/* What was held is as old as it was, and comes last. */
	if (item->received_ms < queue_oldest_ms(q))
		list_prepend(&q->items, &item->node);
	else
		list_append(&q->items, &item->node);
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
	struct queue_item *item = gone->item;

	for (size_t i = 0; i < gone->n_legs; i++) {
		struct queue_leg *l = &gone->legs[i];

		if (l->state == LEG_DEFERRED)
			queue_undefer(q, l);
		list_remove(&l->node);
	}
	must(table_remove(&q->by_key, item->key) == item);
	LIST_FOR (it, &q->cursors) {
		struct queue_cursor *c = LIST_ENTRY(it, struct queue_cursor, node);

		if (c->next == &item->node)
			c->next = item->node.next;
	}
	list_remove(&item->node);
	list_remove(&item->parked);
	q->totals.messages--;
	q->totals.bytes -= gone->size;
	q->totals.held -= gone->is_counted_held;
	ages_remove(&q->ages, item->received_ms);
	mem_free(item);
	entry_free(e);
}

bool
queue_has(const struct queue *q, struct span id)
{
	return table_get(&q->by_key, map_hash(id)) != NULL;
}

struct queue_entry *
queue_find(struct queue *q, struct span id)
{
	struct queue_item *item = table_get(&q->by_key, map_hash(id));
	struct queue_entry *e = item != NULL ? queue_wake(q, item) : NULL;

	return e != NULL && span_eq(span_str(e->id), id) ? e : NULL;
}

size_t
queue_count(const struct queue *q)
{
	return q->by_key.count;
}

int64_t
queue_oldest_ms(const struct queue *q)
{
	if (list_is_empty(&q->items))
		return -1;
	return LIST_ENTRY(q->items.next, const struct queue_item, node)->received_ms;
}

void
queue_cursor_start(struct queue *q, struct queue_cursor *c)
{
	c->next = q->items.next;
	c->left = queue_count(q);
	list_append(&q->cursors, &c->node);
}

struct queue_entry *
queue_cursor_next(struct queue *q, struct queue_cursor *c)
{
	while (c->next != &q->items && c->left > 0) {
		struct queue_item *item = LIST_ENTRY(c->next, struct queue_item, node);
		struct queue_entry *e = queue_wake(q, item);

		c->next = c->next->next;
		c->left--;
		if (e != NULL)
			return e;
	}
	return NULL;
}

struct queue_entry *
queue_cursor_next_held(struct queue *q, struct queue_cursor *c, size_t steps)
{
	for (; steps > 0 && !queue_cursor_is_over(q, c); steps--) {
		struct queue_item *item = LIST_ENTRY(c->next, struct queue_item, node);
		struct queue_entry *e = item->entry;

		c->next = c->next->next;
		c->left--;
		if (e == NULL && item->awaits_filter)
			e = queue_wake(q, item);
		if (e != NULL && entry_awaits_filter(e))
			return e;
	}
	return NULL;
}

bool
queue_cursor_is_over(const struct queue *q, const struct queue_cursor *c)
{
	return c->next == &q->items || c->left == 0;
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
	list_remove(&l->entry->item->parked);
	l->state = LEG_IDLE;
	(*tries_of(q, l))--;
	q->totals.deferred -= --l->entry->n_deferred == 0;
}

/* --- sleep ------------------------------------------------------------------------------------- */

static bool
leg_wants_time(const struct queue_leg *l)
{
	return leg_has(l, RCPT_WAITING) || leg_owes_report(l) || leg_has(l, RCPT_TO_QUARANTINE) ||
	       leg_awaits_filter(l);
}

bool
queue_may_sleep(const struct queue_entry *e)
{
	if (e->msg == NULL || e->transit != NULL || e->is_renamed || e->is_notice_in_flight ||
	    e->is_letter_in_flight || e->hold.state != HOLD_WAITING)
		return false;
	for (size_t i = 0; i < e->n_legs; i++) {
		const struct queue_leg *l = &e->legs[i];

		/* What waking makes of it must be what it is. */
		if (l->state != (leg_wants_time(l) ? LEG_DEFERRED : LEG_IDLE))
			return false;
	}
	return true;
}

void
queue_sleep(struct queue *q, struct queue_entry **e, struct list *parked)
{
	struct queue_entry *tired = *e;
	struct queue_item *item = tired->item;

	must(q->load != NULL && queue_may_sleep(tired));
	queue_recount(q, tired);
	item->due.ms = INT64_MAX;
	for (size_t i = 0; i < tired->n_legs; i++) {
		struct queue_leg *l = &tired->legs[i];

		if (l->state != LEG_DEFERRED)
			continue;
		if (l->due.ms < item->due.ms)
			item->due.ms = l->due.ms;
		heap_remove(&q->deferred, &l->due); /* it counts as deferred as before */
		list_remove(&l->node);
	}
	item->awaits_filter = entry_awaits_filter(tired);
	item->msg = tired->msg;
	item->entry = NULL;
	heap_add(&q->asleep, &item->due);
	if (parked != NULL && list_is_empty(&item->parked))
		list_append(parked, &item->parked);
	*e = NULL;
	entry_free(&tired);
}

static void
wake_leg(struct queue *q, struct queue_leg *l, bool was_parked)
{
	l->state = LEG_DEFERRED;
	l->is_unreachable = was_parked;
	heap_add(&q->deferred, &l->due);
	l->entry->n_deferred++;
}

static void
put_back(struct queue *q, struct queue_item *item, struct queue_entry *e)
{
	bool was_parked = !list_is_empty(&item->parked);

	heap_remove(&q->asleep, &item->due);
	item->entry = e;
	e->item = item;
	e->received_ms = item->received_ms;
	e->is_counted_held = entry_has(e, RCPT_HELD);
	for (size_t i = 0; i < e->n_legs; i++)
		if (leg_wants_time(&e->legs[i]))
			wake_leg(q, &e->legs[i], was_parked);
	/* Of one leg alone the time is known better than from its note. */
	for (size_t i = 0; i < e->n_legs && e->n_deferred == 1; i++)
		if (e->legs[i].state == LEG_DEFERRED) {
			heap_remove(&q->deferred, &e->legs[i].due);
			e->legs[i].due.ms = item->due.ms;
			heap_add(&q->deferred, &e->legs[i].due);
		}
}

struct queue_entry *
queue_wake(struct queue *q, struct queue_item *item)
{
	struct queue_entry *e = item->entry;

	if (e == NULL)
		e = q->load(q->load_arg, item->msg);
	if (e != NULL && item->entry == NULL)
		put_back(q, item, e);
	return e;
}

struct queue_entry *
queue_wake_due(struct queue *q, int64_t now_ms)
{
	struct heap_node *first = heap_first(&q->asleep);
	struct queue_item *item;
	struct queue_entry *e;

	if (first == NULL || first->ms > now_ms)
		return NULL;
	item = HEAP_ENTRY(first, struct queue_item, due);
	e = queue_wake(q, item);
	if (e == NULL) {
		heap_remove(&q->asleep, first);
		first->ms = now_ms + WAKE_RETRY_MS;
		heap_add(&q->asleep, first);
	}
	return e;
}

int64_t
queue_next_ms(const struct queue *q)
{
	const struct heap_node *leg = heap_first(&q->deferred), *item = heap_first(&q->asleep);
	int64_t leg_ms = leg != NULL ? leg->ms : INT64_MAX;
	int64_t item_ms = item != NULL ? item->ms : INT64_MAX;
	int64_t next_ms = leg_ms < item_ms ? leg_ms : item_ms;

	return next_ms != INT64_MAX ? next_ms : -1;
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

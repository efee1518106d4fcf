/*
 * fake_courier.h - a courier without sockets, in the place of relay/deliver/courier.c: what is
 * carried waits until the test says how it ended.
 */
#ifndef TEST_FAKE_COURIER_H
#define TEST_FAKE_COURIER_H
#include "relay/base/clock.h"
#include "relay/base/mem.h"
#include "relay/deliver/courier.h"

struct carry {
	struct list node;
	struct carriage carriage;
};

struct fake_trial {
	struct list node;
	struct gateway *gateway;
	struct target *target;
};

struct courier {
	const struct courier_events *events;
	void *arg;
	struct list carries, trials;
	size_t n;
};

/* The test's: something was taken up (true: it has ended already), or was cut off. */
static bool on_carry(struct courier *k, struct carry *c);
static void on_cut(const struct carry *c);

struct courier *
courier_new(struct loop *loop, struct spool *spool, const char *hostname,
    const struct courier_events *events, void *arg)
{
	struct courier *k = mem_alloc(sizeof(*k));

	(void)loop;
	(void)spool;
	(void)hostname;
	k->events = events;
	k->arg = arg;
	list_init(&k->carries);
	list_init(&k->trials);
	return k;
}

void
courier_free(struct courier **k)
{
	mem_free(*k);
	*k = NULL;
}

size_t
courier_active(const struct courier *k)
{
	return k->n;
}

void
courier_carry(struct courier *k, struct gateway *g, size_t target, struct queue_leg *leg)
{
	struct carry *c = mem_alloc(sizeof(*c));
	struct queue_entry *e = leg->entry;

	must(leg->state == LEG_IDLE && list_is_empty(&leg->node));
	c->carriage = (struct carriage){
	    .leg = leg, .gateway = g, .target = target, .server = g->targets[target].text};
	for (size_t i = 0; i < e->n_rcpts && c->carriage.n_rcpts < CLIENT_RCPTS_MAX; i++) {
		struct queue_rcpt *r = &e->rcpts[i];

		if (&e->legs[r->leg] != leg || r->state != RCPT_WAITING || r->is_tried)
			continue;
		r->is_tried = true;
		c->carriage.rcpts[c->carriage.n_rcpts++] = i;
	}
	must(c->carriage.n_rcpts > 0);
	leg->state = LEG_ACTIVE;
	g->targets[target].n_connections++;
	list_append(&k->carries, &c->node);
	k->n++;
	(void)on_carry(k, c);
}

static inline void
fake_courier_release(struct courier *k, struct carry *c)
{
	c->carriage.gateway->targets[c->carriage.target].n_connections--;
	list_remove(&c->node);
	k->n--;
	mem_free(c);
}

/* As courier.c tells it: health first, then the message's end. */
static inline void
fake_courier_end(struct courier *k, struct carry *c, const struct client_end *end)
{
	struct gateway *g = c->carriage.gateway;
	struct target *t = &g->targets[c->carriage.target];
	bool changed = false;

	if (end->outcome == CLIENT_UNREACHABLE)
		changed = target_down(t, clock_mono_ms());
	else if (end->outcome == CLIENT_LOST || end->outcome == CLIENT_UNCERTAIN)
		changed = target_lost(t, clock_mono_ms());
	else if (end->outcome == CLIENT_ACCEPTED || end->outcome == CLIENT_REFUSED)
		changed = target_up(t, clock_mono_ms());
	if (changed)
		k->events->on_health(k->arg, g, t, t->is_up ? TARGET_UP : TARGET_DOWN, end->reply);
	k->events->on_end(k->arg, &c->carriage, end);
	fake_courier_release(k, c);
	k->events->on_change(k->arg, g);
}

void
courier_try(struct courier *k, struct gateway *g, struct target *t)
{
	struct fake_trial *f = mem_alloc(sizeof(*f));

	f->gateway = g;
	f->target = t;
	t->is_in_trial = true;
	t->n_connections++;
	list_append(&k->trials, &f->node);
}

static inline void
fake_courier_tried(struct courier *k, struct fake_trial *f, bool is_up)
{
	struct gateway *g = f->gateway;
	struct target *t = f->target;

	list_remove(&f->node);
	mem_free(f);
	t->n_connections--;
	if (is_up ? target_up(t, clock_mono_ms()) : target_down(t, clock_mono_ms()))
		k->events->on_health(k->arg, g, t, is_up ? TARGET_UP : TARGET_DOWN, SPAN("x"));
	k->events->on_change(k->arg, g);
}

void
courier_drained(struct courier *k, struct gateway *g)
{
	(void)k;
	(void)g;
}

void
courier_drop(struct courier *k, struct gateway *g)
{
	LIST_FOR_SAFE (it, &k->carries) {
		struct carry *c = LIST_ENTRY(it, struct carry, node);

		if (c->carriage.gateway != g)
			continue;
		on_cut(c);
		fake_courier_release(k, c);
	}
	LIST_FOR_SAFE (other, &k->trials) {
		struct fake_trial *f = LIST_ENTRY(other, struct fake_trial, node);

		if (f->gateway != g)
			continue;
		list_remove(&f->node);
		mem_free(f);
	}
}

#endif

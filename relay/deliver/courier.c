#include "relay/deliver/courier.h"
#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/deliver/transit.h"

struct courier {
	struct loop *loop;
	struct spool *spool;
	const char *hostname;
	const struct courier_events *events;
	void *arg;
	size_t n_active;
};

struct connection {
	struct list node; /* in gateway->connections */
	struct courier *courier;
	struct gateway *gateway;
	size_t target;
	struct client *client;
	bool is_idle; /* counted in the target's n_idle */
	struct timer *idle_timer;
	bool is_trial;
	struct carriage carriage; /* leg NULL: none */
	struct span addresses[CLIENT_RCPTS_MAX];
};

struct courier *
courier_new(struct loop *loop, struct spool *spool, const char *hostname,
    const struct courier_events *events, void *arg)
{
	struct courier *k = mem_alloc(sizeof(*k));

	*k = (struct courier){
	    .loop = loop, .spool = spool, .hostname = hostname, .events = events, .arg = arg};
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
	return k->n_active;
}

static struct target *
target_of(const struct connection *c)
{
	return &c->gateway->targets[c->target];
}

static void on_idle_time(void *arg);

static void
set_idle(struct connection *c, bool is_idle)
{
	if (c->is_idle != is_idle)
		target_of(c)->n_idle += is_idle ? 1u : -1u;
	c->is_idle = is_idle;
	timer_cancel(&c->idle_timer);
	if (is_idle)
		loop_timer(c->courier->loop, &c->idle_timer, COURIER_IDLE_MS, on_idle_time, c);
}

static void
on_idle_time(void *arg)
{
	struct connection *c = arg;

	set_idle(c, false);
	client_quit(c->client);
}

static void
close_connection(struct connection *c)
{
	set_idle(c, false);
	target_of(c)->n_connections--;
	list_remove(&c->node);
	client_free(&c->client);
	mem_free(c);
}

/* --- what the client tells --------------------------------------------------------------------- */

static void
note_health(struct connection *c, bool has_changed, bool is_up, struct span why)
{
	struct courier *k = c->courier;

	if (has_changed)
		k->events->on_health(k->arg, c->gateway, target_of(c), is_up, why);
}

static void
note_up(struct connection *c)
{
	c->is_trial = false;
	note_health(c, target_up(target_of(c)), true, (struct span){0});
}

static void
note_failure(struct connection *c, const struct client_end *end)
{
	int64_t now_ms = clock_mono_ms();
	bool is_down = false;

	if (end->outcome == CLIENT_UNREACHABLE)
		is_down = target_down(target_of(c), now_ms);
	else if (end->outcome == CLIENT_LOST || end->outcome == CLIENT_UNCERTAIN)
		is_down = target_lost(target_of(c), now_ms);
	if (is_down)
		(void)span_copy(end->reply, target_of(c)->why, sizeof(target_of(c)->why)); /* cut */
	note_health(c, is_down, false, end->reply);
}

static void
on_ready(void *arg)
{
	struct connection *c = arg;

	set_idle(c, true);
	note_up(c);
	c->courier->events->on_change(c->courier->arg, c->gateway);
}

static void
on_rcpt(void *arg, size_t i, int code, struct span reply)
{
	struct connection *c = arg;

	note_up(c); /* it talks */
	c->carriage.is_refused[i] = true;
	c->courier->events->on_rcpt(c->courier->arg, &c->carriage, i, code, reply);
}

static void
on_end(void *arg, const struct client_end *end)
{
	struct connection *c = arg;
	struct courier *k = c->courier;
	struct gateway *g = c->gateway;

	if (end->outcome == CLIENT_ACCEPTED || end->outcome == CLIENT_REFUSED)
		note_up(c);
	else
		note_failure(c, end);
	k->n_active--;
	k->events->on_end(k->arg, &c->carriage, end);
	c->carriage.leg = NULL;
	if (end->is_over)
		close_connection(c);
	k->events->on_change(k->arg, g);
}

static void
on_gone(void *arg, const struct client_end *end)
{
	struct connection *c = arg;
	struct courier *k = c->courier;
	struct gateway *g = c->gateway;

	if (end->outcome == CLIENT_UNREACHABLE)
		note_failure(c, end);
	else if (c->is_trial)
		target_of(c)->is_in_trial = false;
	close_connection(c);
	k->events->on_change(k->arg, g);
}

static const struct client_events client_events = {
    .on_ready = on_ready, .on_rcpt = on_rcpt, .on_end = on_end, .on_gone = on_gone};

/* --- what the dispatcher asks ------------------------------------------------------------------ */

static struct connection *
idle_connection(struct gateway *g, size_t target)
{
	LIST_FOR (it, &g->connections) {
		struct connection *c = LIST_ENTRY(it, struct connection, node);

		if (c->target == target && c->is_idle && client_is_idle(c->client))
			return c;
	}
	return NULL;
}

static struct connection *
open_connection(struct courier *k, struct gateway *g, size_t target)
{
	struct connection *c = mem_alloc(sizeof(*c));
	struct target *t = &g->targets[target];

	c->courier = k;
	c->gateway = g;
	c->target = target;
	list_append(&g->connections, &c->node);
	t->n_connections++;
	c->client = client_new(k->loop, &t->ip, t->server->port, k->hostname, &client_events, c);
	return c;
}

static void
fill_carriage(struct connection *c, struct queue_leg *leg)
{
	struct queue_entry *e = leg->entry;
	struct carriage *carriage = &c->carriage;

	*carriage = (struct carriage){
	    .leg = leg, .gateway = c->gateway, .target = c->target, .server = target_of(c)->text};
	for (size_t i = 0; i < e->n_rcpts && carriage->n_rcpts < CLIENT_RCPTS_MAX; i++) {
		struct queue_rcpt *r = &e->rcpts[i];

		if (&e->legs[r->leg] != leg || r->state != RCPT_WAITING || r->is_tried)
			continue;
		r->is_tried = true;
		c->addresses[carriage->n_rcpts] = r->address;
		carriage->rcpts[carriage->n_rcpts++] = i;
	}
	must(carriage->n_rcpts > 0);
}

static int
read_message(void *arg, uint64_t offset, void *to, size_t n)
{
	struct connection *c = arg;
	const struct queue_leg *leg = c->carriage.leg;
	char *at = to;

	while (n > 0) {
		size_t part = n;
		uint64_t place = leg_place(leg, offset, &part);
		int rc = transit_read(c->courier->spool, leg->entry, place, at, part);

		if (rc < 0)
			return rc;
		offset += part;
		at += part;
		n -= part;
	}
	return 0;
}

static void
start_client(struct connection *c)
{
	const struct queue_entry *e = c->carriage.leg->entry;
	struct client_mail mail = {.from = e->from,
	    .rcpts = c->addresses,
	    .n_rcpts = c->carriage.n_rcpts,
	    .size = leg_size(c->carriage.leg),
	    .is_8bit = e->is_8bit,
	    .read = read_message,
	    .read_arg = c};

	client_send(c->client, &mail);
}

void
courier_carry(struct courier *k, struct gateway *g, size_t target, struct queue_leg *leg)
{
	struct connection *c = idle_connection(g, target);

	if (c == NULL)
		c = open_connection(k, g, target);
	set_idle(c, false);
	leg->state = LEG_ACTIVE;
	k->n_active++;
	fill_carriage(c, leg);
	start_client(c);
}

void
courier_try(struct courier *k, struct gateway *g, struct target *t)
{
	struct connection *c = open_connection(k, g, (size_t)(t - g->targets));

	t->is_in_trial = true;
	c->is_trial = true;
}

void
courier_quit(struct courier *k, struct gateway *g)
{
	(void)k;
	LIST_FOR_SAFE (it, &g->connections) {
		struct connection *c = LIST_ENTRY(it, struct connection, node);

		set_idle(c, false);
		client_quit(c->client);
	}
}

void
courier_drop(struct courier *k, struct gateway *g)
{
	(void)k;
	LIST_FOR_SAFE (it, &g->connections)
		close_connection(LIST_ENTRY(it, struct connection, node));
}

#include "relay/deliver/courier.h"
#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/deliver/transit.h"

#include <string.h>

struct courier {
	struct loop *loop;
	struct spool *spool;
	const char *hostname;
	struct trust *trust; /* NULL: no gateway has TLS */
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
	bool is_idle;        /* counted in the target's n_idle */
	struct timer *timer; /* idle: until QUIT; a probe: its patience */
	int64_t opened_ms;
	bool is_greeted; /* counted in the target's n_greeted */
	bool is_trial;
	struct probing *probing;                    /* NULL: none */
	struct carriage carriage;                   /* leg NULL: none */
	struct client_rcpt rcpts[CLIENT_RCPTS_MAX]; /* what the client is told of them */
};

struct probing {
	struct probe found;
	void (*on_done)(void *arg, struct gateway *g, size_t target, const struct probe *p);
	void *arg;
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
courier_use_trust(struct courier *k, struct trust *trust)
{
	k->trust = trust;
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
	timer_cancel(&c->timer);
	if (is_idle)
		loop_timer(c->courier->loop, &c->timer, COURIER_IDLE_MS, on_idle_time, c);
}

static void
quit(struct connection *c)
{
	set_idle(c, false);
	client_quit(c->client);
}

static void
on_idle_time(void *arg)
{
	quit(arg);
}

static void
end_probe(struct connection *c)
{
	struct probing *p = c->probing;

	if (p == NULL)
		return;
	c->probing = NULL;
	p->on_done(p->arg, c->gateway, c->target, &p->found);
	mem_free(p);
}

static void
close_connection(struct connection *c)
{
	set_idle(c, false);
	target_of(c)->n_connections--;
	target_of(c)->n_greeted -= c->is_greeted;
	list_remove(&c->node);
	client_free(&c->client);
	end_probe(c);
	mem_free(c);
}

/* --- what the client tells --------------------------------------------------------------------- */

static void
tell_health(struct connection *c, enum target_state state, struct span why)
{
	struct courier *k = c->courier;

	k->events->on_health(k->arg, c->gateway, target_of(c), state, why);
}

static void
note_up(struct connection *c)
{
	c->is_trial = false;
	if (target_up(target_of(c), clock_mono_ms()))
		tell_health(c, TARGET_UP, (struct span){0});
}

static void
note_pace(struct connection *c, int64_t now_ms)
{
	if (gateway_judge(c->gateway, target_of(c), now_ms))
		tell_health(c, target_of(c)->is_slow ? TARGET_SLOW : TARGET_UP, (struct span){0});
}

static unsigned
others(const struct connection *c)
{
	return target_of(c)->n_connections - 1;
}

/* The connection, or the message on it, was refused only since there are too many: others to the
 * same server are fine, or the server itself says so and others have still to hear from it. */
static bool
is_one_too_many(const struct connection *c, const struct client_end *end)
{
	bool is_said = health_is_overload(end->code, end->reply);

	if (c->is_trial || others(c) == 0)
		return false;
	if (end->outcome == CLIENT_LOST)
		return end->code == 421;
	return end->outcome == CLIENT_UNREACHABLE &&
	       (is_said || target_of(c)->n_greeted > c->is_greeted);
}

static void
note_failure(struct connection *c, const struct client_end *end)
{
	struct target *t = target_of(c);
	int64_t now_ms = clock_mono_ms();
	bool is_down = false;

	if (end->outcome == CLIENT_STALE || end->outcome == CLIENT_UNREADABLE)
		return;
	(void)span_copy(end->reply, t->last_reply, sizeof(t->last_reply)); /* cut */
	if (is_one_too_many(c, end))
		health_refused(&t->health, others(c), now_ms);
	else if (end->outcome == CLIENT_UNREACHABLE)
		is_down = target_down(t, now_ms);
	else if (end->outcome == CLIENT_LOST || end->outcome == CLIENT_UNCERTAIN)
		is_down = target_lost(t, now_ms);
	if (!is_down)
		return;
	(void)span_copy(end->reply, t->why, sizeof(t->why)); /* cut */
	tell_health(c, TARGET_DOWN, end->reply);
}

static void
on_reply(void *arg, int code, struct span reply)
{
	struct connection *c = arg;
	struct target *t = target_of(c);
	int64_t now_ms = clock_mono_ms();

	if (c->probing != NULL) {
		struct probe *found = &c->probing->found;
		bool is_banner = found->banner_ms < 0;

		if (is_banner)
			found->banner_ms = now_ms - c->opened_ms;
		if (found->ready_ms < 0) /* behind it comes the reply to QUIT */
			(void)span_copy(reply, is_banner ? found->banner : found->ehlo,
			    CLIENT_REPLY_MAX + 1); /* as long as a reply */
	}
	if (c->is_greeted || code / 100 != 2)
		return;
	c->is_greeted = true;
	t->n_greeted++;
	health_greeted(&t->health, now_ms - c->opened_ms, t->is_slow, now_ms);
	note_pace(c, now_ms);
}

/* Free for the next message, unless there shall be none, or fewer connections. */
/* What it offers may have changed since it was last asked. */
static void
note_ability(struct connection *c)
{
	struct client_extensions offered = client_extensions(c->client);
	struct target *t = target_of(c), before = *t;

	t->is_asked = true;
	t->takes_8bit = (offered.bits & CLIENT_8BITMIME) != 0;
	t->takes_utf8 = (offered.bits & CLIENT_SMTPUTF8) != 0;
	t->size_limit = offered.bits & CLIENT_SIZE ? offered.size_limit : 0;
	if (t->is_asked != before.is_asked || t->takes_8bit != before.takes_8bit ||
	    t->takes_utf8 != before.takes_utf8 || t->size_limit != before.size_limit)
		c->courier->events->on_ability(c->courier->arg, c->gateway);
}

static void
on_ready(void *arg)
{
	struct connection *c = arg;
	struct courier *k = c->courier;
	struct gateway *g = c->gateway;
	struct target *t = target_of(c);

	note_up(c);
	note_ability(c);
	if (c->probing != NULL) {
		c->probing->found.is_fine = true;
		c->probing->found.ready_ms = clock_mono_ms() - c->opened_ms;
	}
	if (c->probing != NULL || t->is_drained || t->n_connections > t->health.limit)
		quit(c); /* and c may be gone */
	else
		set_idle(c, true);
	k->events->on_change(k->arg, g);
}

static void
on_rcpt(void *arg, size_t i, int code, struct span reply)
{
	struct connection *c = arg;
	struct health *h = &target_of(c)->health;

	note_up(c); /* it talks */
	c->carriage.is_refused[i] = true;
	c->carriage.n_refused++;
	if (code >= 500)
		h->n_failed++;
	else
		h->n_deferred++;
	c->courier->events->on_rcpt(c->courier->arg, &c->carriage, i, code, reply);
}

/* Whoever was not refused by name shares the message's fate. */
static void
count_others(struct connection *c, const struct client_end *end)
{
	struct health *h = &target_of(c)->health;
	size_t n = c->carriage.n_rcpts - c->carriage.n_refused;

	if (end->outcome == CLIENT_ACCEPTED)
		h->n_delivered += n;
	else if (end->outcome == CLIENT_REFUSED && end->code >= 500)
		h->n_failed += n;
	else if (end->outcome == CLIENT_REFUSED || end->outcome == CLIENT_LOST ||
		 end->outcome == CLIENT_UNCERTAIN)
		h->n_deferred += n;
}

static void
note_answer(struct connection *c, const struct client_end *end)
{
	struct target *t = target_of(c);
	int64_t now_ms = clock_mono_ms();

	note_up(c);
	(void)span_copy(end->reply, t->last_reply, sizeof(t->last_reply)); /* cut */
	if (end->outcome == CLIENT_ACCEPTED) {
		health_took(&t->health, end->waited_ms, target_busy(t), t->is_slow, now_ms);
		note_pace(c, now_ms);
	} else if (health_is_overload(end->code, end->reply)) {
		health_refused(&t->health, t->health.limit, now_ms);
	}
}

static void
on_end(void *arg, const struct client_end *end)
{
	struct connection *c = arg;
	struct courier *k = c->courier;
	struct gateway *g = c->gateway;
	struct client_end told = *end;

	if (end->outcome == CLIENT_UNREACHABLE && is_one_too_many(c, end))
		told.outcome = CLIENT_STALE; /* it was not asked: on another connection it is */
	count_others(c, end);
	if (end->outcome == CLIENT_ACCEPTED || end->outcome == CLIENT_REFUSED)
		note_answer(c, end);
	else
		note_failure(c, end);
	k->n_active--;
	k->events->on_end(k->arg, &c->carriage, &told);
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

	if (c->probing != NULL && !c->probing->found.is_fine)
		(void)span_copy(end->reply, c->probing->found.why, sizeof(c->probing->found.why));
	if (end->outcome == CLIENT_UNREACHABLE)
		note_failure(c, end);
	else if (c->is_trial)
		target_of(c)->is_in_trial = false;
	close_connection(c);
	k->events->on_change(k->arg, g);
}

static const struct client_events client_events = {.on_ready = on_ready,
    .on_rcpt = on_rcpt,
    .on_end = on_end,
    .on_gone = on_gone,
    .on_reply = on_reply};

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

static const struct ip *
source_for(const struct conf_gateway *g, const struct ip *to)
{
	for (size_t i = 0; i < g->n_sources; i++)
		if (ip_is_v4(&g->sources[i]) == ip_is_v4(to))
			return &g->sources[i];
	return NULL;
}

static struct connection *
open_connection(struct courier *k, struct gateway *g, size_t target)
{
	struct connection *c = mem_alloc(sizeof(*c));
	struct target *t = &g->targets[target];
	struct client_options options = {.ip = t->ip,
	    .port = t->server->port,
	    .hostname = k->hostname,
	    .source = source_for(g->conf, &t->ip),
	    .timeouts = &g->conf->timeouts};

	must(g->conf->tls == GATEWAY_TLS_OFF || k->trust != NULL);
	if (g->conf->tls != GATEWAY_TLS_OFF)
		options.trust = trust_server(k->trust, t->server);
	c->courier = k;
	c->gateway = g;
	c->target = target;
	list_append(&g->connections, &c->node);
	t->n_connections++;
	c->opened_ms = clock_mono_ms();
	c->client = client_new(k->loop, &options, &client_events, c);
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
		c->rcpts[carriage->n_rcpts] = (struct client_rcpt){
		    .address = r->address, .notify = r->notify, .orcpt = r->orcpt};
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
	    .rcpts = c->rcpts,
	    .n_rcpts = c->carriage.n_rcpts,
	    .size = leg_size(c->carriage.leg),
	    .is_8bit = e->is_8bit,
	    .is_utf8 = e->is_utf8,
	    .ret = e->ret,
	    .envid = e->envid,
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
	target_given(target_of(c), clock_mono_ms());
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

/* The probe lasts too long: dropped, with what was heard so far. */
static void
on_probe_late(void *arg)
{
	struct connection *c = arg;
	struct courier *k = c->courier;
	struct gateway *g = c->gateway;

	if (!c->probing->found.is_fine)
		(void)span_copy(SPAN("timed out after 20 s"), c->probing->found.why,
		    sizeof(c->probing->found.why)); /* short */
	close_connection(c);
	k->events->on_change(k->arg, g);
}

void
courier_probe(struct courier *k, struct gateway *g, size_t target,
    void (*on_done)(void *arg, struct gateway *g, size_t target, const struct probe *p), void *arg)
{
	struct connection *c = open_connection(k, g, target);
	struct probing *p = mem_alloc(sizeof(*p));

	p->found.banner_ms = p->found.ready_ms = -1;
	p->on_done = on_done;
	p->arg = arg;
	c->probing = p;
	loop_timer(k->loop, &c->timer, COURIER_PROBE_MS, on_probe_late, c);
}

void
courier_drained(struct courier *k, struct gateway *g)
{
	(void)k;
	LIST_FOR_SAFE (it, &g->connections) {
		struct connection *c = LIST_ENTRY(it, struct connection, node);

		if (target_of(c)->is_drained && c->is_idle)
			quit(c);
	}
}

void
courier_quit(struct courier *k, struct gateway *g)
{
	(void)k;
	LIST_FOR_SAFE (it, &g->connections) {
		quit(LIST_ENTRY(it, struct connection, node));
	}
}

void
courier_drop(struct courier *k, struct gateway *g)
{
	(void)k;
	LIST_FOR_SAFE (it, &g->connections)
		close_connection(LIST_ENTRY(it, struct connection, node));
}

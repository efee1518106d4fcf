/*
 * Step 7, deliver: a message that is durable goes to its gateways.
 *
 * Each leg (the recipients of one gateway) waits in that gateway's list.  At the end of every
 * turn of the loop, whoever waits is given to the best server that is free: the lowest preference
 * first, weight inside it; a server that fails is left out and the next one is asked at once.
 */
#include "relay/base/clock.h"
#include "relay/base/id.h"
#include "relay/base/log.h"
#include "relay/base/mem.h"
#include "relay/deliver/bounce.h"
#include "relay/walk/delivery.h"

static struct gateway *
find_gateway(struct delivery *d, struct span name)
{
	for (size_t i = 0; i < d->n_gateways; i++)
		if (span_eq(span_str(d->gateways[i]->conf->name), name))
			return d->gateways[i];
	return NULL;
}

/* A gateway that has left the configuration: its mail goes where such mail goes today. */
static struct gateway *
new_way(struct delivery *d, struct queue_leg *leg)
{
	const struct queue_entry *e = leg->entry;

	for (size_t i = 0; i < e->n_rcpts; i++)
		if (&e->legs[e->rcpts[i].leg] == leg) {
			const struct conf_gateway *conf =
			    bounce_gateway(d->config, e->rcpts[i].address);

			return conf != NULL ? find_gateway(d, span_str(conf->name)) : NULL;
		}
	return NULL;
}

void
deliver_leg(struct delivery *d, struct queue_leg *leg)
{
	struct gateway *g = find_gateway(d, leg->gateway);

	if (g == NULL)
		g = new_way(d, leg);
	if (g == NULL) {
		settle_held(d, leg,
		    SPAN("its gateway is not in the configuration any more; add it, "
			 "reload, and retry the message"));
		return;
	}
	leg->state = LEG_READY;
	leg->is_unreachable = false;
	list_append(&g->ready, &leg->node);
}

void
deliver_start(struct delivery *d, struct queue_entry *e)
{
	must(queue_add(d->queue, e) == 0); /* room and id were looked at before the commit */
	for (size_t i = 0; i < e->n_legs; i++)
		if (leg_has(&e->legs[i], RCPT_WAITING))
			deliver_leg(d, &e->legs[i]);
	aside_begin(d, e);
}

void
deliver_recover(struct delivery *d, struct spool_message *m, struct span envelope, struct span note)
{
	struct queue_entry *e = entry_new(spool_message_id(m), envelope);

	if (e != NULL && e->prefixes > spool_message_size(m))
		entry_free(&e);
	if (e == NULL) {
		d->on_problem(d->arg, "envelope",
		    "a spooled message has an envelope this version cannot read",
		    "start the version that accepted it, or look at the spool's folder");
		return;
	}
	e->msg = m;
	entry_set_size(e, spool_message_size(m));
	if (note.n > 0 && note_get(note, e) < 0)
		log_event(LOG_WARN, "note unreadable", KV_STR("id", e->id));
	if (queue_find(d->queue, span_str(e->id)) != NULL) {
		struct id other = id_new(); /* two of one id: neither is given up */

		log_event(
		    LOG_WARN, "id found twice", KV_STR("id", e->id), KV("new", id_span(&other)));
		(void)span_copy(id_span(&other), e->id, sizeof(e->id)); /* fits */
	}
	must(queue_add(d->queue, e) == 0);
	/* Through the heap, so that what was deferred keeps its time. */
	for (size_t i = 0; i < e->n_legs; i++)
		if (leg_has(&e->legs[i], RCPT_WAITING) || leg_has(&e->legs[i], RCPT_FAILED) ||
		    leg_has(&e->legs[i], RCPT_TO_QUARANTINE))
			queue_defer(d->queue, &e->legs[i], e->legs[i].due.ms);
}

void
deliver_now(struct delivery *d, struct queue_entry *e)
{
	for (size_t i = 0; i < e->n_rcpts; i++)
		if (e->rcpts[i].state == RCPT_HELD &&
		    rcpt_copy(e, &e->rcpts[i])->fate == COPY_DELIVER)
			rcpt_set(&e->rcpts[i], RCPT_WAITING, span_str(e->rcpts[i].reply));
	for (size_t i = 0; i < e->n_legs; i++) {
		struct queue_leg *leg = &e->legs[i];

		if (leg->state == LEG_DEFERRED)
			queue_undefer(d->queue, leg);
		if (leg->state == LEG_IDLE && leg_has(leg, RCPT_WAITING))
			deliver_leg(d, leg);
	}
	settle_entry(d, e);
}

/* --- the end of a turn ------------------------------------------------------------------------- */

/* A leg comes out of the heap: to be sent, or since its sender is still to be told. */
static void
take_due(struct delivery *d, int64_t now_ms)
{
	struct queue_leg *leg;

	while ((leg = queue_take_due(d->queue, now_ms)) != NULL) {
		if (leg_has(leg, RCPT_WAITING))
			deliver_leg(d, leg);
		else
			settle_entry(d, leg->entry);
	}
}

/* The spool's bytes are checked before a gateway hears of them. */
static void
hand_over(struct delivery *d, struct gateway *g, size_t target, struct queue_leg *leg)
{
	leg->state = LEG_IDLE;
	if (leg->entry->msg != NULL && spool_verify(d->spool, leg->entry->msg) < 0) {
		d->on_problem(d->arg, "spool-read",
		    "a spooled message cannot be read back as it was written",
		    "it is held: see `postern queue list`; check the disk");
		settle_held(d, leg, SPAN("its bytes in the spool are damaged"));
		return;
	}
	courier_carry(d->courier, g, target, leg);
}

static void
dispatch(struct delivery *d, struct gateway *g)
{
	LIST_FOR_SAFE (it, &g->ready) {
		struct queue_leg *leg = LIST_ENTRY(it, struct queue_leg, node);
		size_t target = 0;
		enum pick pick = gateway_pick(g, leg->tried, &target);

		if (pick == PICK_WAIT && leg->tried == 0)
			return; /* those behind it would get the same answer */
		if (pick == PICK_WAIT)
			continue;
		list_remove(&leg->node);
		if (pick == PICK_OK) {
			hand_over(d, g, target, leg);
		} else {
			leg->state = LEG_IDLE;
			settle_unreachable(d, leg, g);
		}
	}
}

static void
try_servers(struct delivery *d, struct gateway *g, int64_t now_ms)
{
	struct target *t;

	while ((t = gateway_trial_due(g, now_ms)) != NULL)
		courier_try(d->courier, g, t);
}

static void on_wake(void *arg);

static void
sooner(int64_t *wake_ms, int64_t ms)
{
	if (ms >= 0 && (*wake_ms < 0 || ms < *wake_ms))
		*wake_ms = ms;
}

static void
on_turn_end(void *arg)
{
	struct delivery *d = arg;
	int64_t now_ms = clock_mono_ms(), wake_ms = -1;

	if (d->is_stopping)
		return;
	d->has_changed = false;
	take_due(d, now_ms);
	for (size_t i = 0; i < d->n_gateways; i++) {
		sooner(&wake_ms, resolve_refresh(d->resolver, d->gateways[i], now_ms));
		try_servers(d, d->gateways[i], now_ms);
		dispatch(d, d->gateways[i]);
		sooner(&wake_ms, gateway_next_trial_ms(d->gateways[i]));
	}
	sooner(&wake_ms, queue_next_ms(d->queue));
	if (d->has_changed)
		wake_ms = now_ms;
	if (wake_ms >= 0)
		loop_timer(d->loop, &d->wake, wake_ms > now_ms ? wake_ms - now_ms : 0, on_wake, d);
}

/* Nothing: a turn has begun, and its end does the work. */
static void
on_wake(void *arg)
{
	(void)arg;
}

/* --- what the courier tells -------------------------------------------------------------------- */

void
deliver_released(struct delivery *d, struct gateway *g)
{
	LIST_FOR_SAFE (it, queue_entries(d->queue)) {
		struct queue_entry *e = LIST_ENTRY(it, struct queue_entry, node);

		for (size_t i = 0; i < e->n_legs; i++) {
			struct queue_leg *leg = &e->legs[i];

			if (leg->state != LEG_DEFERRED || !leg->is_unreachable ||
			    !span_eq(leg->gateway, span_str(g->conf->name)))
				continue;
			queue_undefer(d->queue, leg);
			deliver_leg(d, leg);
		}
	}
}

static void
on_change(void *arg, struct gateway *g)
{
	struct delivery *d = arg;

	(void)g; /* the turn's end looks at all of them */
	d->has_changed = true;
}

static void
on_health(void *arg, struct gateway *g, const struct target *t, bool is_up, struct span why)
{
	struct delivery *d = arg;
	struct buf name = BUF_INIT(256), what = BUF_INIT(1024);

	log_event(is_up ? LOG_INFO : LOG_WARN, is_up ? "server up" : "server down",
	    KV_STR("gateway", g->conf->name), KV_STR("server", t->text), KV("why", why));
	/* Names of the configuration are short; a cut text would still say which. */
	(void)buf_addf(&name, "gateway %s", g->conf->name);
	(void)buf_addf(&what, "no server of gateway %s answers; last: %s: %.*s", g->conf->name,
	    t->text, SPAN_ARG(why));
	(void)buf_add_char(&name, '\0');
	(void)buf_add_char(&what, '\0');
	if (is_up) {
		d->on_problem(d->arg, name.p, "", NULL);
		deliver_released(d, g);
	} else if (!gateway_is_up(g) && !name.failed && !what.failed) {
		d->on_problem(d->arg, name.p, what.p,
		    "start one of its servers, or correct their addresses; mail waits here");
	}
	buf_free(&name);
	buf_free(&what);
}

const struct courier_events deliver_events = {.on_rcpt = settle_refused_rcpt,
    .on_end = settle_carriage,
    .on_change = on_change,
    .on_health = on_health};

/* A name that could not be looked up has addresses now: mail that waited for that goes on. */
static void
on_names(void *arg, struct gateway *g)
{
	struct delivery *d = arg;

	d->has_changed = true;
	if (gateway_is_up(g))
		deliver_released(d, g);
}

void
delivery_init(struct delivery *d, struct loop *loop, const struct config *config)
{
	d->loop = loop;
	d->config = config;
	d->queue = queue_new();
	d->n_gateways = config->n_gateways;
	d->gateways = mem_array(config->n_gateways, sizeof(*d->gateways));
	for (size_t i = 0; i < config->n_gateways; i++)
		d->gateways[i] = gateway_new(&config->gateways[i]);
	list_init(&d->transits);
	list_init(&d->releases);
	d->resolver = resolve_new(on_names, d);
	loop_at_turn_end(loop, on_turn_end, d);
	loop_timer(loop, &d->wake, 0, on_wake, d); /* recovery brings mail before any turn */
}

void
delivery_free(struct delivery *d)
{
	loop_forget_turn_end(d->loop, on_turn_end, d);
	timer_cancel(&d->wake);
	for (size_t i = 0; i < d->n_gateways; i++)
		courier_drop(d->courier, d->gateways[i]);
	LIST_FOR_SAFE (it, &d->transits) {
		struct transit *t = LIST_ENTRY(it, struct transit, node);

		transit_free(&t);
	}
	queue_free(&d->queue);
	resolve_free(&d->resolver);
	for (size_t i = 0; i < d->n_gateways; i++)
		gateway_free(&d->gateways[i]);
	mem_free(d->gateways);
	courier_free(&d->courier);
	intake_free(&d->intake);
}

/*
 * Step 7, deliver: a message that is durable goes to its gateways.
 *
 * Each leg (the recipients of one gateway) waits in one of that gateway's lists.  At the end of
 * every turn of the loop, whoever waits is given to the best server that is free: the lowest
 * preference first, weight inside it; a server that fails is left out and the next one is asked at
 * once.  While no server of a gateway can be had its legs are parked: they cost nothing, and are
 * taken up again one by one as a server has room for them, those that are new beside those that
 * waited.  However many there are, a turn looks at TURN_LEGS of each kind at most.
 */
#include "relay/base/clock.h"
#include "relay/base/id.h"
#include "relay/base/log.h"
#include "relay/base/mem.h"
#include "relay/deliver/bounce.h"
#include "relay/walk/hold.h"

enum {
	TURN_LEGS = 500,
	TURN_MS = 10, /* and for so long: one that sleeps is read from a disk, which may be slow */
	AGAIN_LEGS = 100,   /* these are looked at each time, busy server or not */
	AGES_MS = 60 * 1000 /* how often those that wait are looked at for their age */
};

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

static struct gateway *
way_of(struct delivery *d, struct queue_leg *leg)
{
	struct gateway *g = find_gateway(d, leg->gateway);

	return g != NULL ? g : new_way(d, leg);
}

void
deliver_leg(struct delivery *d, struct queue_leg *leg)
{
	struct gateway *g = way_of(d, leg);

	if (g == NULL) {
		settle_hold(d, leg,
		    SPAN("its gateway is not in the configuration any more; add it, "
			 "reload, and retry the message"));
		queue_defer(d->queue, leg, clock_mono_ms()); /* the turn's end settles the rest */
		return;
	}
	leg->state = LEG_READY;
	leg->is_unreachable = false;
	list_append(leg->tried == 0 ? &g->ready : &g->again, &leg->node);
}

void
deliver_start(struct delivery *d, struct queue_entry *e)
{
	must(queue_add(d->queue, e) == 0); /* room and id were looked at before the commit */
	for (size_t i = 0; i < e->n_legs; i++)
		if (leg_has(&e->legs[i], RCPT_WAITING))
			deliver_leg(d, &e->legs[i]);
	hold_wait(d, e);
	aside_begin(d, e);
	deliver_rest(d, e); /* all of it may be held */
}

/* NULL: a version that is not ours has written the envelope. */
static struct queue_entry *
read_entry(struct spool_message *m, struct span id, struct span envelope, struct span note)
{
	struct queue_entry *e = entry_new(id, envelope);

	if (e != NULL && !entry_fits(e, spool_message_size(m)))
		entry_free(&e);
	if (e == NULL)
		return NULL;
	e->msg = m;
	entry_set_size(e, spool_message_size(m));
	if (note.n > 0 && note_get(note, e) < 0)
		log_event(LOG_WARN, "note unreadable", KV_STR("id", e->id));
	return e;
}

struct queue_entry *
deliver_load(struct delivery *d, struct spool_message *m)
{
	struct buf head = BUF_INIT(SPOOL_ID_MAX + SPOOL_ENVELOPE_MAX),
		   note = BUF_INIT(SPOOL_NOTE_MAX);
	struct queue_entry *e = NULL;
	struct span id, envelope;

	if (spool_recall(d->spool, m, &head, &id, &envelope, &note) == 0)
		e = read_entry(m, id, envelope, buf_span(&note));
	if (e == NULL)
		d->on_problem(d->arg, "spool-read", "a spooled message cannot be read back",
		    "it is tried again each minute; check the disk");
	buf_free(&head);
	buf_free(&note);
	return e;
}

/* A message that slept. */
static struct queue_entry *
load_entry(void *arg, struct spool_message *m)
{
	return deliver_load(arg, m);
}

void
deliver_recover(struct delivery *d, struct spool_message *m, struct span id, struct span envelope,
    struct span note)
{
	struct queue_entry *e = read_entry(m, id, envelope, note);

	if (e == NULL) {
		d->on_problem(d->arg, "envelope",
		    "a spooled message has an envelope this version cannot read",
		    "start the version that accepted it, or look at the spool's folder");
		return;
	}
	if (e->replaces != 0 && d->hold->is_recovering) {
		hold_recover_part(d, m); /* what it replaces may be found later */
		entry_free(&e);
		return;
	}
	deliver_recover_entry(d, e);
}

void
deliver_recover_entry(struct delivery *d, struct queue_entry *e)
{
	if (queue_has(d->queue, span_str(e->id))) {
		struct id other = id_new(); /* two of one id: neither is given up */

		log_event(
		    LOG_WARN, "id found twice", KV_STR("id", e->id), KV("new", id_span(&other)));
		(void)span_copy(id_span(&other), e->id, sizeof(e->id)); /* fits */
		e->is_renamed = true;
	}
	must(queue_add(d->queue, e) == 0);
	/* Through the heap, so that what was deferred keeps its time. */
	for (size_t i = 0; i < e->n_legs; i++)
		if (leg_has(&e->legs[i], RCPT_WAITING) || leg_owes_report(&e->legs[i]) ||
		    leg_has(&e->legs[i], RCPT_TO_QUARANTINE) || leg_awaits_filter(&e->legs[i]))
			queue_defer(d->queue, &e->legs[i], e->legs[i].due.ms);
	hold_recover(d, e);
	deliver_rest(d, e);
}

/* Whether a leg waits for a server to be there: it goes, or is put, into that gateway's list. */
static bool
is_parked(struct delivery *d, struct queue_leg *leg, struct gateway **g)
{
	if (leg->state != LEG_DEFERRED || !leg->is_unreachable)
		return false;
	*g = way_of(d, leg);
	if (*g != NULL && list_is_empty(&leg->node) && list_is_empty(&leg->entry->item->parked))
		list_append(&(*g)->parked, &leg->node);
	return true;
}

void
deliver_rest(struct delivery *d, struct queue_entry *e)
{
	struct gateway *g = NULL;
	bool is_any_parked = false;

	if (!queue_may_sleep(e))
		return;
	for (size_t i = 0; i < e->n_legs; i++)
		is_any_parked |= is_parked(d, &e->legs[i], &g);
	if (is_any_parked && (e->n_legs > 1 || g == NULL))
		return;
	/* While the spool is being recovered all is as the notes say. */
	if (d->spool != NULL && e->n_deferred > 1)
		settle_write_note(d, e); /* of several, each one's time is known from there alone */
	if (d->spool != NULL && !spool_is_noted(d->spool))
		return;
	queue_sleep(d->queue, &e, g != NULL ? &g->asleep : NULL);
}

void
deliver_now(struct delivery *d, struct queue_entry *e)
{
	for (size_t i = 0; i < e->n_rcpts; i++)
		if (e->rcpts[i].state == RCPT_HELD &&
		    rcpt_copy(e, &e->rcpts[i])->fate == COPY_DELIVER &&
		    !rcpt_is_held_by_admin(e, &e->rcpts[i]))
			rcpt_set(&e->rcpts[i], RCPT_WAITING, span_str(e->rcpts[i].reply));
	for (size_t i = 0; i < e->n_legs; i++) {
		struct queue_leg *leg = &e->legs[i];

		if (leg->state == LEG_DEFERRED)
			queue_undefer(d->queue, leg);
		if (leg->state == LEG_IDLE && leg_has(leg, RCPT_WAITING))
			deliver_leg(d, leg);
	}
	hold_now(d, e);
	settle_entry(d, e);
}

/* --- the end of a turn ------------------------------------------------------------------------- */

static bool
is_spent(int64_t began_ms)
{
	return clock_mono_ms() - began_ms >= TURN_MS;
}

/* A leg comes out of the heap: to be sent, or since its sender is still to be told. */
static void
take_due(struct delivery *d, int64_t now_ms)
{
	struct queue_leg *leg;

	for (unsigned n = 0; n < TURN_LEGS && queue_wake_due(d->queue, now_ms) != NULL; n++)
		if (is_spent(now_ms))
			break;
	for (unsigned n = 0; n < TURN_LEGS; n++) {
		struct gateway *g;

		leg = n == 0 || !is_spent(now_ms) ? queue_take_due(d->queue, now_ms) : NULL;
		if (leg == NULL)
			return;
		g = leg->is_unreachable ? way_of(d, leg) : NULL;
		if (leg_awaits_filter(leg))
			hold_due(d, leg->entry);
		else if (!leg_has(leg, RCPT_WAITING))
			settle_entry(d, leg->entry);
		else if (g != NULL && !gateway_is_usable(g))
			settle_unreachable(d, leg, g); /* still: for its age's sake */
		else
			deliver_leg(d, leg);
	}
}

/* `checked`: what the spool says of its bytes, before a gateway hears of them. */
static void
hand_over(struct delivery *d, struct gateway *g, size_t target, struct queue_leg *leg, int checked)
{
	leg->state = LEG_IDLE;
	if (settle_tried(d, leg))
		return;
	if (checked < 0) {
		d->on_problem(d->arg, "spool-read",
		    "a spooled message cannot be read back as it was written",
		    "it is held: see `postern queue list`; check the disk");
		settle_held(d, leg, SPAN("its bytes in the spool are damaged"));
		return;
	}
	courier_carry(d->courier, g, target, leg);
}

/* False: it goes on waiting. */
static bool
dispatch_leg(struct delivery *d, struct gateway *g, struct queue_leg *leg, int64_t now_ms)
{
	size_t target = 0;
	enum pick pick = gateway_pick(g, leg->tried, now_ms, &target);
	bool is_parked = leg->state == LEG_DEFERRED;
	int checked = 0;

	if (pick == PICK_WAIT || (pick == PICK_NONE && is_parked))
		return false;
	if (pick == PICK_OK && leg->entry->msg != NULL)
		checked = spool_verify(d->spool, leg->entry->msg);
	if (checked == -E_AGAIN) {
		d->has_changed = true; /* it is large: the next turn goes on with it */
		return false;
	}
	if (is_parked)
		queue_undefer(d->queue, leg);
	list_remove(&leg->node);
	leg->state = LEG_IDLE;
	if (pick == PICK_OK)
		hand_over(d, g, target, leg, checked);
	else
		settle_unreachable(d, leg, g);
	return true;
}

/* Those behind the first would get the same answer. */
static bool
dispatch_first(struct delivery *d, struct gateway *g, struct list *legs, int64_t now_ms)
{
	return !list_is_empty(legs) &&
	       dispatch_leg(d, g, LIST_ENTRY(legs->next, struct queue_leg, node), now_ms);
}

/* Each was refused by other servers than the next one: all are looked at, those that wait behind
 * the rest then.  A leg's end may free others of its message: no place in the list is kept. */
static void
dispatch_again(struct delivery *d, struct gateway *g, int64_t now_ms)
{
	struct list end;

	if (list_is_empty(&g->again))
		return;
	list_append(&g->again, &end);
	for (unsigned n = 0; n < AGAIN_LEGS && g->again.next != &end; n++) {
		struct list *first = g->again.next;

		if (dispatch_leg(d, g, LIST_ENTRY(first, struct queue_leg, node), now_ms))
			continue;
		list_remove(first);
		list_append(&g->again, first);
	}
	list_remove(&end);
}

/* One that sleeps is not woken for nothing. */
static bool
dispatch_sleeper(struct delivery *d, struct gateway *g, int64_t now_ms)
{
	struct queue_item *item;
	struct queue_entry *e;
	size_t target;

	if (list_is_empty(&g->asleep) || gateway_pick(g, 0, now_ms, &target) != PICK_OK)
		return false;
	item = LIST_ENTRY(g->asleep.next, struct queue_item, parked);
	e = queue_wake(d->queue, item);
	if (e != NULL)
		return dispatch_leg(d, g, &e->legs[0], now_ms);
	list_remove(&item->parked); /* it cannot be read: its time in the heap brings it back */
	return true;
}

static bool
dispatch_parked(struct delivery *d, struct gateway *g, int64_t now_ms)
{
	return dispatch_first(d, g, &g->parked, now_ms) || dispatch_sleeper(d, g, now_ms);
}

static void
dispatch(struct delivery *d, struct gateway *g, int64_t now_ms)
{
	int64_t began_ms = clock_mono_ms(); /* what was woken before is not to be its loss */

	dispatch_again(d, g, now_ms);
	for (unsigned n = 0; n < TURN_LEGS; n++) {
		bool is_found =
		    g->is_parked_next
			? dispatch_parked(d, g, now_ms) || dispatch_first(d, g, &g->ready, now_ms)
			: dispatch_first(d, g, &g->ready, now_ms) || dispatch_parked(d, g, now_ms);

		if (!is_found)
			return;
		g->is_parked_next = !g->is_parked_next;
		if (is_spent(began_ms))
			break;
	}
	d->has_changed = true; /* there may be more */
}

/* False: that is enough for one turn. */
static bool
look_at_ages(struct delivery *d, struct list *legs)
{
	unsigned n = 0;

	for (struct list *it = legs->next; it != legs;) {
		struct list *next = it->next;

		/* What ends takes others of its message along: from the beginning, then. */
		if (settle_ready(d, LIST_ENTRY(it, struct queue_leg, node))) {
			if (++n == AGAIN_LEGS)
				return false;
			next = legs->next;
		}
		it = next;
	}
	return true;
}

/* What waits for a busy server is in no heap: a notice and its end come all the same.  While the
 * oldest of all mail is young that costs nothing. */
static void
look_at_all_ages(struct delivery *d, int64_t now_ms)
{
	const struct conf_queue *conf = &d->config->queue;
	int64_t first_ms = conf->expire_after_ms, oldest_ms = queue_oldest_ms(d->queue);

	if (conf->warn_after_ms > 0 && conf->warn_after_ms < first_ms)
		first_ms = conf->warn_after_ms;
	if (now_ms < d->ages_ms || oldest_ms < 0 || clock_wall_ms() - oldest_ms < first_ms)
		return;
	d->ages_ms = now_ms + AGES_MS;
	for (size_t i = 0; i < d->n_gateways; i++)
		if (!look_at_ages(d, &d->gateways[i]->ready) ||
		    !look_at_ages(d, &d->gateways[i]->again)) {
			d->ages_ms = now_ms;
			d->has_changed = true;
			return;
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
	bool is_any_waiting = false;

	if (d->is_stopping)
		return;
	d->has_changed = false;
	take_due(d, now_ms);
	look_at_all_ages(d, now_ms);
	hold_run(d);
	for (size_t i = 0; i < d->n_gateways; i++) {
		sooner(&wake_ms, resolve_refresh(d->resolver, d->gateways[i], now_ms));
		try_servers(d, d->gateways[i], now_ms);
		dispatch(d, d->gateways[i], now_ms);
		sooner(&wake_ms, gateway_next_trial_ms(d->gateways[i]));
		is_any_waiting |= !list_is_empty(&d->gateways[i]->ready) ||
				  !list_is_empty(&d->gateways[i]->again);
	}
	if (is_any_waiting)
		sooner(&wake_ms, d->ages_ms > now_ms ? d->ages_ms : now_ms + AGES_MS);
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

static void
on_change(void *arg, struct gateway *g)
{
	struct delivery *d = arg;

	(void)g; /* the turn's end looks at all of them */
	d->has_changed = true;
}

/* `status` names a gateway that nothing can be delivered to. */
static void
tell_usable(struct delivery *d, const struct gateway *g)
{
	struct buf name = BUF_INIT(256), what = BUF_INIT(1024);
	bool is_usable = gateway_is_usable(g);

	/* Names of the configuration are short; a cut text would still say which. */
	(void)buf_addf(&name, "gateway %s", g->conf->name);
	(void)buf_addf(&what, "no server of gateway %s answers: ", g->conf->name);
	gateway_why(g, &what);
	(void)buf_add_char(&name, '\0');
	(void)buf_add_char(&what, '\0');
	if (!name.failed && what.n > 0) {
		what.p[what.n - 1] = '\0';
		d->on_problem(d->arg, name.p, is_usable ? "" : what.p,
		    is_usable ? NULL
			      : "start one of its servers, correct their addresses, or undrain "
				"one; mail waits here");
	}
	buf_free(&name);
	buf_free(&what);
}

static void
on_health(
    void *arg, struct gateway *g, const struct target *t, enum target_state state, struct span why)
{
	static const char *const events[] = {[TARGET_UP] = "server up",
	    [TARGET_SLOW] = "server slow",
	    [TARGET_DRAINING] = "server draining",
	    [TARGET_DOWN] = "server down"};

	log_event(state == TARGET_UP ? LOG_INFO : LOG_WARN, events[state],
	    KV_STR("gateway", g->conf->name), KV_STR("server", t->text), KV("why", why));
	tell_usable(arg, g);
}

void
deliver_drained(struct delivery *d, struct gateway *g)
{
	courier_drained(d->courier, g);
	tell_usable(d, g);
	d->has_changed = true;
}

static void
on_ability(void *arg, struct gateway *g)
{
	struct delivery *d = arg;

	for (size_t i = 0; i < d->n_gateways; i++)
		if (d->gateways[i] == g && d->on_ability != NULL)
			d->on_ability(d->arg, i);
}

const struct courier_events deliver_events = {.on_rcpt = settle_refused_rcpt,
    .on_end = settle_carriage,
    .on_change = on_change,
    .on_ability = on_ability,
    .on_health = on_health};

/* A name that could not be looked up has addresses now: mail that waited for that goes on. */
static void
on_names(void *arg, struct gateway *g)
{
	struct delivery *d = arg;

	/* A new address counts as up: no server has to come up for the alarm to end. */
	if (gateway_is_usable(g))
		tell_usable(d, g);
	d->has_changed = true; /* the turn's end looks at all gateways */
}

void
delivery_init(struct delivery *d, struct loop *loop, const struct config *config)
{
	d->loop = loop;
	d->config = config;
	d->queue = queue_new();
	queue_set_loader(d->queue, load_entry, d);
	d->n_gateways = config->n_gateways;
	d->gateways = mem_array(config->n_gateways, sizeof(*d->gateways));
	for (size_t i = 0; i < config->n_gateways; i++)
		d->gateways[i] = gateway_new(&config->gateways[i], clock_mono_ms());
	list_init(&d->transits);
	list_init(&d->releases);
	d->hold = hold_new();
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
	hold_free(d);
	queue_free(&d->queue);
	resolve_free(&d->resolver);
	for (size_t i = 0; i < d->n_gateways; i++)
		gateway_free(&d->gateways[i]);
	mem_free(d->gateways);
	courier_free(&d->courier);
	intake_free(&d->intake);
}

/*
 * Step 8, settle: what a gateway said becomes the end of a recipient's way, or its next attempt.
 *
 * Delivered ones are done.  A refusal for good is reported to the sender, durably, before the
 * original is forgotten; what may not be answered (null sender, tagged mail) goes into quarantine,
 * with the gateway's reply as its reason.  All else is tried again by queue.retry until
 * queue.expire_after.  Nothing is ever nowhere.
 */
#include "relay/base/clock.h"
#include "relay/base/id.h"
#include "relay/base/log.h"
#include "relay/deliver/bounce.h"
#include "relay/deliver/report.h"
#include "relay/walk/delivery.h"

enum {
	NOTICE_RETRY_MS = 60 * 1000, /* after a notice that the spool could not keep */
	PARKED_MS = 60 * 60 * 1000   /* a leg without a server: its age is looked at so often */
};

void
settle_tell(struct delivery *d, struct queue_entry *e, struct queue_rcpt *r, const char *event)
{
	report_rcpt(d->journal, e, r, event, e->legs[r->leg].server, rcpt_reply(e, r));
}

/* --- one transaction --------------------------------------------------------------------------- */

static bool
is_for_good(int code)
{
	return code >= 500;
}

void
settle_refused_rcpt(
    void *arg, const struct carriage *carriage, size_t i, int code, struct span reply)
{
	struct queue_rcpt *r = &carriage->leg->entry->rcpts[carriage->rcpts[i]];

	(void)arg;
	leg_set_reply(carriage->leg, reply, carriage->server);
	rcpt_set(r, is_for_good(code) ? RCPT_FAILED : RCPT_WAITING, reply);
	if (r->state == RCPT_WAITING)
		carriage->leg->refused |= UINT64_C(1) << carriage->target;
}

/* The same for everyone in the transaction who was not refused by name. */
static void
set_others(const struct carriage *carriage, enum rcpt_state state, struct span reply)
{
	struct queue_entry *e = carriage->leg->entry;

	for (size_t i = 0; i < carriage->n_rcpts; i++)
		if (!carriage->is_refused[i])
			rcpt_set(&e->rcpts[carriage->rcpts[i]], state, reply);
}

/* They were not really asked: the next server shall be, within the same attempt. */
static void
ask_again(const struct carriage *carriage)
{
	struct queue_entry *e = carriage->leg->entry;

	for (size_t i = 0; i < carriage->n_rcpts; i++)
		if (!carriage->is_refused[i])
			e->rcpts[carriage->rcpts[i]].is_tried = false;
}

/* This one cannot take the message now: within the same attempt, another may. */
static void
try_next_server(const struct carriage *carriage, struct span reply)
{
	set_others(carriage, RCPT_WAITING, reply);
	carriage->leg->tried |= UINT64_C(1) << carriage->target;
	ask_again(carriage);
}

/* RFC 3461 section 5.2.2: behind a server without DSN nobody tells the sender of success, so we do. */
static void
owe_success(const struct carriage *carriage)
{
	struct queue_entry *e = carriage->leg->entry;

	for (size_t i = 0; i < carriage->n_rcpts; i++) {
		struct queue_rcpt *r = &e->rcpts[carriage->rcpts[i]];

		if (r->state == RCPT_DELIVERED && bounce_is_wanted(e, r, DSN_RELAYED))
			r->state = RCPT_RELAYED;
	}
}

static void
take_outcome(struct delivery *d, const struct carriage *carriage, const struct client_end *end)
{
	struct queue_leg *leg = carriage->leg;

	if (end->outcome != CLIENT_NO_RCPT && end->outcome != CLIENT_STALE)
		leg_set_reply(leg, end->reply, carriage->server);
	switch (end->outcome) {
	case CLIENT_ACCEPTED:
		set_others(carriage, RCPT_DELIVERED, end->reply);
		if (!end->has_dsn)
			owe_success(carriage);
		break;
	case CLIENT_REFUSED:
		if (is_for_good(end->code))
			set_others(carriage, RCPT_FAILED, end->reply);
		else
			try_next_server(carriage, end->reply);
		break;
	case CLIENT_UNCERTAIN:
		/* Perhaps it was taken: a second copy is the price of losing none. */
		try_next_server(carriage, end->reply);
		break;
	case CLIENT_NO_RCPT:
		break;
	case CLIENT_UNREACHABLE:
	case CLIENT_LOST:
		try_next_server(carriage, (struct span){0});
		leg->is_unreachable = end->outcome == CLIENT_UNREACHABLE;
		break;
	case CLIENT_STALE:
		ask_again(carriage);
		break;
	case CLIENT_UNREADABLE:
		d->on_problem(d->arg, "spool-read", "a spooled message cannot be read",
		    "it is held: see `postern queue list`; check the disk");
		set_others(carriage, RCPT_HELD, end->reply);
		break;
	}
}

static void
tell_carriage(struct delivery *d, const struct carriage *carriage)
{
	struct queue_entry *e = carriage->leg->entry;

	for (size_t i = 0; i < carriage->n_rcpts; i++) {
		struct queue_rcpt *r = &e->rcpts[carriage->rcpts[i]];

		if (r->state == RCPT_DELIVERED || r->state == RCPT_RELAYED)
			settle_tell(d, e, r, "delivered");
		else if (r->state == RCPT_HELD)
			settle_tell(d, e, r, "held");
	}
}

static bool is_delayed(const struct delivery *d, const struct queue_entry *e);

/* --- the end of an attempt --------------------------------------------------------------------- */

int64_t
settle_retry_after(const struct delivery *d, uint32_t attempts)
{
	const struct conf_queue *conf = &d->config->queue;
	size_t i = attempts > 0 ? attempts - 1 : 0;

	must(conf->n_retry > 0);
	return conf->retry_ms[i < conf->n_retry ? i : conf->n_retry - 1];
}

int64_t
settle_time_left(const struct delivery *d, const struct queue_entry *e)
{
	return e->received_ms + d->config->queue.expire_after_ms - clock_wall_ms();
}

/* How long a parked leg may be left alone: until it is too old, or its sender is to be told. */
static int64_t
parked_for(const struct delivery *d, const struct queue_entry *e)
{
	int64_t left_ms = settle_time_left(d, e),
		wait_ms = left_ms < PARKED_MS ? left_ms : PARKED_MS;
	int64_t warn_ms = e->received_ms + d->config->queue.warn_after_ms - clock_wall_ms();

	return !e->is_warned && warn_ms > 0 && warn_ms < wait_ms ? warn_ms : wait_ms;
}

/* Its heap only keeps watch on its age: it goes on as soon as a server has room for it. */
static void
park(struct delivery *d, struct queue_leg *leg, struct gateway *g)
{
	leg->is_unreachable = true;
	queue_defer(d->queue, leg, clock_mono_ms() + parked_for(d, leg->entry));
	list_append(&g->parked, &leg->node);
}

/* Every recipient of the leg that still waits: tried again later, or too old by now. */
static void
end_waiting(struct delivery *d, struct queue_leg *leg, struct gateway *unreachable)
{
	struct queue_entry *e = leg->entry;
	int64_t left_ms = settle_time_left(d, e), wait_ms = settle_retry_after(d, leg->attempts);
	bool is_over = left_ms <= 0;

	for (size_t i = 0; i < e->n_rcpts; i++) {
		struct queue_rcpt *r = &e->rcpts[i];

		if (&e->legs[r->leg] != leg || r->state != RCPT_WAITING)
			continue;
		if (is_over)
			r->state = RCPT_FAILED; /* its last reply stays */
		settle_tell(d, e, r, is_over ? "expired" : "deferred");
	}
	if (!is_over && unreachable != NULL)
		park(d, leg, unreachable);
	else if (!is_over) /* the last attempt is at the very end, not a whole interval later */
		queue_defer(
		    d->queue, leg, clock_mono_ms() + (wait_ms < left_ms ? wait_ms : left_ms));
}

static bool
has_untried(const struct queue_leg *leg)
{
	const struct queue_entry *e = leg->entry;

	for (size_t i = 0; i < e->n_rcpts; i++)
		if (&e->legs[e->rcpts[i].leg] == leg && e->rcpts[i].state == RCPT_WAITING &&
		    !e->rcpts[i].is_tried)
			return true;
	return false;
}

/* `unreachable`: its gateway, when no server of it can be had.  However long that lasts, it is one
 * attempt: the intervals of queue.retry are for mail that a server does not want yet. */
static void
end_attempt(struct delivery *d, struct queue_leg *leg, struct gateway *unreachable)
{
	struct queue_entry *e = leg->entry;

	if (unreachable == NULL || leg->attempts == 0)
		leg->attempts++;
	leg->tried = leg->refused = 0;
	leg->is_unreachable = false;
	for (size_t i = 0; i < e->n_rcpts; i++)
		if (&e->legs[e->rcpts[i].leg] == leg)
			e->rcpts[i].is_tried = false;
	if (leg_has(leg, RCPT_WAITING))
		end_waiting(d, leg, unreachable);
	settle_entry(d, e);
}

/* For now is for this server: within the same attempt, another may take them.  Only when this one
 * was asked for all: recipients that it has not heard of are not to wait for those it refused. */
static void
offer_refused(struct queue_leg *leg)
{
	struct queue_entry *e = leg->entry;

	leg->tried |= leg->refused;
	leg->refused = 0;
	for (size_t i = 0; i < e->n_rcpts; i++)
		if (&e->legs[e->rcpts[i].leg] == leg && e->rcpts[i].state == RCPT_WAITING)
			e->rcpts[i].is_tried = false;
}

/* Of many recipients some are done: a kill before the last of them must not send it to all again. */
static void
note_some(struct delivery *d, const struct carriage *carriage)
{
	struct queue_entry *e = carriage->leg->entry;
	bool has_any = false;

	for (size_t i = 0; i < carriage->n_rcpts; i++)
		has_any = has_any || e->rcpts[carriage->rcpts[i]].state != RCPT_WAITING;
	if (has_any && e->msg != NULL)
		settle_write_note(d, e);
}

bool
settle_tried(struct delivery *d, struct queue_leg *leg)
{
	if (has_untried(leg))
		return false;
	if (leg->refused != 0) {
		offer_refused(leg);
		deliver_leg(d, leg);
	} else {
		end_attempt(d, leg, NULL);
	}
	return true;
}

void
settle_carriage(void *arg, const struct carriage *carriage, const struct client_end *end)
{
	struct delivery *d = arg;
	struct queue_leg *leg = carriage->leg;

	leg->state = LEG_IDLE;
	leg->is_unreachable = false;
	take_outcome(d, carriage, end);
	tell_carriage(d, carriage);
	if (through_is_given_up(leg->entry)) {
		settle_entry(d, leg->entry);
		return;
	}
	if (leg->refused != 0 && !has_untried(leg))
		offer_refused(leg);
	if (has_untried(leg)) {
		bool was_unreachable = leg->is_unreachable;

		note_some(d, carriage);
		deliver_leg(d, leg); /* the next server, or the next hundred recipients */
		leg->is_unreachable = was_unreachable;
		return;
	}
	end_attempt(d, leg, NULL);
}

/* What an admin wants to read beside a message that met no server at all. */
static void
say_unreachable(struct queue_leg *leg, const struct gateway *g)
{
	struct buf reason = BUF_INIT(QUEUE_REPLY_MAX);

	gateway_why(g, &reason);
	leg_set_reply(leg, buf_span(&reason), NULL);
	buf_free(&reason);
}

void
settle_unreachable(struct delivery *d, struct queue_leg *leg, struct gateway *g)
{
	/* Down at the greeting, or known to be down.  Not when they broke in the middle of this very
	 * message, or one has refused it: that is for queue.retry. */
	bool is_unreachable = (leg->is_unreachable || leg->tried == 0) && !gateway_is_usable(g);
	bool was_parked = leg->is_unreachable && leg->tried == 0;

	if (is_unreachable && was_parked && !is_delayed(d, leg->entry) &&
	    settle_time_left(d, leg->entry) > 0) {
		park(d, leg, g); /* nothing is new: nothing is told or written */
		deliver_rest(d, leg->entry);
		return;
	}
	if (leg->tried == 0)
		say_unreachable(leg, g);
	end_attempt(d, leg, is_unreachable ? g : NULL);
}

void
settle_hold(struct delivery *d, struct queue_leg *leg, struct span why)
{
	struct queue_entry *e = leg->entry;

	leg->state = LEG_IDLE;
	for (size_t i = 0; i < e->n_rcpts; i++) {
		struct queue_rcpt *r = &e->rcpts[i];

		if (&e->legs[r->leg] != leg || r->state != RCPT_WAITING)
			continue;
		rcpt_set(r, RCPT_HELD, why);
		settle_tell(d, e, r, "held");
	}
}

void
settle_held(struct delivery *d, struct queue_leg *leg, struct span why)
{
	settle_hold(d, leg, why);
	settle_entry(d, leg->entry);
}

/* --- what is left of a message ----------------------------------------------------------------- */

/* Those of whom nobody may be told, or (`all`) everyone: nothing else can be done for them. */
static void
put_failed_aside(struct delivery *d, struct queue_entry *e, bool all)
{
	for (size_t i = 0; i < e->n_rcpts; i++) {
		struct queue_rcpt *r = &e->rcpts[i];

		if (r->state != RCPT_FAILED || (!all && bounce_is_allowed(e, r)))
			continue;
		r->state = RCPT_TO_QUARANTINE; /* the gateway's reply stays */
	}
	aside_begin(d, e);
}

/* Failures at once; successes when nobody waits any more, so that they are one report.  Of those
 * only a sender is told.  Returns whether there is anything to tell. */
static bool
mark_in_bounce(struct queue_entry *e, bool tells_sender)
{
	bool is_over = !entry_has(e, RCPT_WAITING), has_any = false;

	for (size_t i = 0; i < e->n_rcpts; i++) {
		struct queue_rcpt *r = &e->rcpts[i];

		if (r->state == RCPT_RELAYED && !tells_sender)
			r->state = RCPT_DELIVERED;
		r->is_in_bounce = r->state == RCPT_FAILED || (r->state == RCPT_RELAYED && is_over);
		has_any = has_any || r->is_in_bounce;
	}
	return has_any;
}

/* The report is a message of its own, from <>; settle_notice goes on when it is durable. */
static bool
send_notice(
    struct delivery *d, struct queue_entry *e, const struct bounce_route *route, bool is_delay)
{
	struct id id = id_new();
	struct bounce_text report = {.text = BUF_INIT(BOUNCE_TEXT_MAX)};
	int rc = bounce_build(d->config, d->spool, e, route, id_span(&id), is_delay, &report);
	struct commit_copy copy = {.fate = COPY_DELIVER};
	struct commit_rcpt rcpt = {.address = route->to,
	    .gateway = span_str(route->gateway->name),
	    .notify = NOTIFY_NEVER};
	struct envelope envelope = {.kind = route->kind,
	    .flow = e->flow,
	    .is_8bit = report.is_8bit,
	    .is_utf8 = report.is_utf8,
	    .received_ms = clock_wall_ms(),
	    .copies = &copy,
	    .n_copies = 1,
	    .rcpts = &rcpt,
	    .n_rcpts = 1};
	struct arrival a = {.is_notice = true};

	(void)span_copy(span_str(e->id), a.about, sizeof(a.about)); /* as long as an id */
	if (rc == 0) {
		struct intake_body body = {
		    .body = buf_span(&report.text), .fd = -1, .size = report.text.n};

		rc = intake_put(d->intake, d->spool, &a, id_span(&id), &envelope, &body);
	}
	if (rc < 0)
		log_event(
		    LOG_ERROR, "no notice", KV_STR("id", e->id), KV_STR("why", err_name(-rc)));
	e->is_notice_in_flight = rc == 0;
	buf_free(&report.text);
	return rc == 0;
}

/* Of failures, and of successes that were asked for. */
static void
report_ends(struct delivery *d, struct queue_entry *e)
{
	struct bounce_route route = bounce_route(d->config, e);
	bool tells_sender = route.kind == MAIL_BOUNCE && route.gateway != NULL;

	put_failed_aside(d, e, route.gateway == NULL);
	if (!mark_in_bounce(e, tells_sender) || send_notice(d, e, &route, false))
		return;
	put_failed_aside(d, e, true);   /* what cannot be written now will not be on retry either */
	(void)mark_in_bounce(e, false); /* nothing is left to tell */
}

static void
report_delay(struct delivery *d, struct queue_entry *e)
{
	struct bounce_route route = bounce_route(d->config, e);

	e->is_warned = true;
	/* Only a sender is told of a delay; postmaster has the queue to look at. */
	if (e->kind == MAIL_RELAYED && route.kind == MAIL_BOUNCE && route.gateway != NULL)
		(void)send_notice(d, e, &route, true); /* logged; the mail itself is still here */
}

static bool
is_delayed(const struct delivery *d, const struct queue_entry *e)
{
	int64_t warn_after_ms = d->config->queue.warn_after_ms;

	if (e->is_warned || warn_after_ms <= 0 || clock_wall_ms() - e->received_ms < warn_after_ms)
		return false;
	for (size_t i = 0; i < e->n_rcpts; i++)
		if (e->rcpts[i].state == RCPT_WAITING &&
		    bounce_is_wanted(e, &e->rcpts[i], DSN_DELAYED))
			return true;
	return false;
}

bool
settle_ready(struct delivery *d, struct queue_leg *leg)
{
	struct queue_entry *e = leg->entry;

	if (e->transit != NULL) /* its client waits, and not for long */
		return false;
	if (settle_time_left(d, e) <= 0) {
		list_remove(&leg->node);
		leg->state = LEG_IDLE;
		if (leg->reply == NULL)
			leg_set_reply(
			    leg, SPAN("no server of its gateway had room for it in time"), NULL);
		end_attempt(d, leg, NULL);
		return true;
	}
	if (is_delayed(d, e) && !e->is_notice_in_flight)
		settle_entry(d, e); /* it waits on, since a leg of it is READY */
	return false;
}

void
settle_write_note(struct delivery *d, struct queue_entry *e)
{
	struct buf note = BUF_INIT(SPOOL_NOTE_MAX);

	queue_recount(d->queue, e);
	note_put(&note, e);
	if (!note.failed)
		spool_note(d->spool, e->msg, buf_span(&note));
	buf_free(&note);
}

static bool
is_under_way(const struct queue_entry *e)
{
	for (size_t i = 0; i < e->n_legs; i++)
		if (e->legs[i].state == LEG_ACTIVE)
			return true;
	return false;
}

void
settle_entry(struct delivery *d, struct queue_entry *e)
{
	if (e->transit != NULL) {
		through_settle(d, e);
		return;
	}
	aside_begin(d, e);
	/* A gateway may still speak of it: its leg's end settles the rest. */
	if (is_under_way(e)) {
		settle_write_note(d, e);
		return;
	}
	if (entry_owes_report(e) && !e->is_notice_in_flight)
		report_ends(d, e);
	if (is_delayed(d, e) && !e->is_notice_in_flight)
		report_delay(d, e);
	if (!entry_is_settled(e)) {
		settle_write_note(d, e);
		deliver_rest(d, e);
		return;
	}
	spool_forget(d->spool, &e->msg);
	queue_remove(d->queue, &e);
}

/* The notice could not be kept: its recipients stay failed, and it is tried again. */
static void
retry_notice(struct delivery *d, struct queue_entry *about)
{
	for (size_t i = 0; i < about->n_legs; i++)
		if (about->legs[i].state == LEG_IDLE && leg_owes_report(&about->legs[i])) {
			queue_defer(d->queue, &about->legs[i], clock_mono_ms() + NOTICE_RETRY_MS);
			return;
		}
}

void
settle_notice(struct delivery *d, struct arrival *a, const struct err *err)
{
	struct queue_entry *about = queue_find(d->queue, span_str(a->about));

	if (err == NULL)
		deliver_start(d, a->entry);
	if (about == NULL)
		return; /* a delay notice, and meanwhile it was delivered */
	about->is_notice_in_flight = false;
	for (size_t i = 0; i < about->n_rcpts; i++) {
		struct queue_rcpt *r = &about->rcpts[i];

		if (!r->is_in_bounce)
			continue;
		r->is_in_bounce = false;
		if (err == NULL && r->state == RCPT_FAILED) {
			r->state = RCPT_BOUNCED; /* its last reply stays for the report */
			settle_tell(d, about, r, "bounced");
		} else if (err == NULL && r->state == RCPT_RELAYED) {
			r->state = RCPT_DELIVERED;
		}
	}
	if (err != NULL)
		retry_notice(d, about);
	else
		settle_entry(d, about);
}

#include "relay/deliver/show.h"
#include "relay/base/clock.h"
#include "relay/base/json.h"

/* Whether its sender is still to be told is no matter of the recipient's. */
static const char *const rcpt_states[] = {[RCPT_WAITING] = "waiting",
    [RCPT_FAILED] = "failed",
    [RCPT_HELD] = "held",
    [RCPT_DELIVERED] = "delivered",
    [RCPT_BOUNCED] = "bounced",
    [RCPT_RELAYED] = "delivered",
    [RCPT_DELETED] = "deleted",
    [RCPT_TO_QUARANTINE] = "to quarantine",
    [RCPT_QUARANTINED] = "quarantined",
    [RCPT_MOVED] = "filtered again"};

static bool
has_leg_in(const struct queue_entry *e, enum leg_state state)
{
	for (size_t i = 0; i < e->n_legs; i++)
		if (e->legs[i].state == state)
			return true;
	return false;
}

const char *
show_state(const struct queue_entry *e)
{
	if (has_leg_in(e, LEG_ACTIVE))
		return "active";
	if (entry_awaits_filter(e) && !entry_has(e, RCPT_WAITING) && !entry_owes_report(e))
		return "held"; /* its next time is the filters' */
	if (has_leg_in(e, LEG_READY))
		return "waiting";
	if (has_leg_in(e, LEG_DEFERRED))
		return "deferred";
	return entry_has(e, RCPT_HELD) ? "held" : "waiting";
}

/* The first recipient that still waits for something; its gateway and reply stand for all. */
static const struct queue_rcpt *
first_open(const struct queue_entry *e)
{
	for (size_t i = 0; i < e->n_rcpts; i++)
		if (rcpt_is_open(&e->rcpts[i]))
			return &e->rcpts[i];
	return NULL;
}

/* Monotonic; -1: not in the heap. */
static int64_t
due_of(const struct queue_leg *l)
{
	return l->state == LEG_DEFERRED ? l->due.ms : -1;
}

static void
show_due(struct json *j, int64_t due_ms)
{
	if (due_ms < 0)
		json_none(j, "next_attempt");
	else
		json_time(j, "next_attempt", clock_wall_ms() + (due_ms - clock_mono_ms()));
}

static void
show_next_attempt(struct json *j, const struct queue_entry *e)
{
	int64_t next_ms = -1;

	for (size_t i = 0; i < e->n_legs; i++) {
		int64_t due_ms = due_of(&e->legs[i]);

		if (due_ms >= 0 && (next_ms < 0 || due_ms < next_ms))
			next_ms = due_ms;
	}
	show_due(j, next_ms);
}

/* What the sender has asked for (RFC 3461), where it has. */
static void
show_notify(struct json *j, const struct queue_rcpt *r)
{
	static const struct {
		unsigned bit;
		const char *name;
	} words[] = {{NOTIFY_NEVER, "never"}, {NOTIFY_SUCCESS, "success"},
	    {NOTIFY_FAILURE, "failure"}, {NOTIFY_DELAY, "delay"}};

	if (r->notify != 0) {
		json_open(j, "notify", '[');
		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
			if (r->notify & words[i].bit)
				json_str(j, NULL, words[i].name);
		json_close(j, ']');
	}
	if (r->orcpt.n > 0)
		json_text(j, "orcpt", r->orcpt);
}

static int64_t
attempts_of(const struct queue_entry *e)
{
	uint32_t most = 0;

	for (size_t i = 0; i < e->n_legs; i++)
		if (e->legs[i].attempts > most)
			most = e->legs[i].attempts;
	return most;
}

static void
show_rcpts(struct json *j, const struct queue_entry *e)
{
	json_open(j, "recipients", '[');
	for (size_t i = 0; i < e->n_rcpts; i++) {
		const struct queue_rcpt *r = &e->rcpts[i];

		json_open(j, NULL, '{');
		json_text(j, "to", r->address);
		json_str(j, "state", rcpt_states[r->state]);
		json_text(j, "gateway", e->legs[r->leg].gateway);
		json_str(j, "server", e->legs[r->leg].server);
		json_int(j, "attempts", e->legs[r->leg].attempts);
		show_due(j, rcpt_is_open(r) ? due_of(&e->legs[r->leg]) : -1);
		json_text(j, "reply", rcpt_reply(e, r));
		show_notify(j, r);
		json_close(j, '}');
	}
	json_close(j, ']');
}

void
show_entry(struct buf *to, const struct queue_entry *e, bool has_detail, struct span headers)
{
	const struct queue_rcpt *first = first_open(e);
	struct json j = {.to = to};

	json_open(&j, NULL, '{');
	json_str(&j, "id", e->id);
	json_str(&j, "state", show_state(e));
	json_text(&j, "from", e->from);
	json_open(&j, "to", '[');
	for (size_t i = 0; i < e->n_rcpts; i++)
		if (rcpt_is_open(&e->rcpts[i]))
			json_text(&j, NULL, e->rcpts[i].address);
	json_close(&j, ']');
	json_int(&j, "size", (int64_t)e->size);
	json_time(&j, "received", e->received_ms);
	json_int(&j, "attempts", attempts_of(e));
	show_next_attempt(&j, e);
	json_text(&j, "last_reply", first != NULL ? rcpt_reply(e, first) : (struct span){0});
	json_text(&j, "gateway", first != NULL ? e->legs[first->leg].gateway : e->legs[0].gateway);
	if (has_detail) {
		json_text(&j, "flow", e->flow);
		if (e->envid.n > 0)
			json_text(&j, "envid", e->envid);
		show_rcpts(&j, e);
		if (headers.n > 0)
			json_text(&j, "headers", headers);
	}
	json_close(&j, '}');
	(void)buf_add_char(to, '\n'); /* the owner tests to->failed */
}

static void
show_counts(
    struct json *j, const char *key, const char *const *names, const uint64_t *counts, size_t n)
{
	json_open(j, key, '{');
	for (size_t i = 0; i < n; i++)
		json_int(j, names[i], (int64_t)counts[i]);
	json_close(j, '}');
}

static void
show_queue_totals(struct json *j, struct queue *q)
{
	static const char *const ages[QUEUE_AGES] = {"5m", "1h", "4h", "1d", "5d", "older"};
	static const char *const tries[QUEUE_TRIES] = {"1", "5", "20", "more"};
	int64_t oldest_ms = queue_oldest_ms(q), age_ms = 0;
	struct queue_totals t;

	queue_totals(q, clock_wall_ms(), &t);
	if (oldest_ms >= 0)
		age_ms = clock_wall_ms() - oldest_ms;
	json_open(j, "queue", '{');
	json_int(j, "messages", (int64_t)t.messages);
	json_int(j, "bytes", (int64_t)t.bytes);
	json_int(j, "oldest_seconds", age_ms > 0 ? age_ms / 1000 : 0);
	json_int(j, "deferred", (int64_t)t.deferred);
	json_int(j, "held", (int64_t)t.held);
	show_counts(j, "ages", ages, t.ages, QUEUE_AGES);
	show_counts(j, "attempts", tries, t.tries, QUEUE_TRIES);
	json_close(j, '}');
}

const char *
show_target_state(const struct target *t)
{
	static const char *const names[] = {[TARGET_UP] = "up",
	    [TARGET_SLOW] = "slow",
	    [TARGET_DRAINING] = "draining",
	    [TARGET_DOWN] = "down"};

	return names[t->state];
}

static void
show_name(struct json *j, const struct gateway *g, const char *server, const char *state)
{
	json_str(j, "gateway", g->conf->name);
	json_str(j, "server", server);
	json_str(j, "state", state);
}

/* A time of the monotonic clock, on the wall's. */
static void
show_mono(struct json *j, const char *key, int64_t mono_ms)
{
	json_time(j, key, clock_wall_ms() + (mono_ms - clock_mono_ms()));
}

static void
show_latency(struct json *j, const struct health *h)
{
	if (health_p95_ms(h) < 0) {
		json_none(j, "latency_ms");
		return;
	}
	json_open(j, "latency_ms", '{');
	json_int(j, "average", health_average_ms(h) < 0 ? 0 : health_average_ms(h));
	json_int(j, "p95", health_p95_ms(h));
	json_close(j, '}');
}

static void
show_target(struct buf *to, const struct gateway *g, const struct target *t)
{
	struct json j = {.to = to};

	json_open(&j, NULL, '{');
	show_name(&j, g, t->text, show_target_state(t));
	json_int(&j, "preference", t->server->preference);
	json_int(&j, "weight", t->server->weight);
	json_int(&j, "connections", t->n_connections);
	json_int(&j, "limit", t->health.limit);
	json_int(&j, "delivered", (int64_t)t->health.n_delivered);
	json_int(&j, "deferred", (int64_t)t->health.n_deferred);
	json_int(&j, "failed", (int64_t)t->health.n_failed);
	show_latency(&j, &t->health);
	json_str(&j, "last_reply", t->last_reply[0] != '\0' ? t->last_reply : NULL);
	show_mono(&j, "since", t->since_ms);
	if (target_wants_trial(t))
		show_mono(&j, "next_trial", t->trial_ms);
	else
		json_none(&j, "next_trial");
	json_close(&j, '}');
	(void)buf_add_char(to, '\n'); /* the owner tests to->failed */
}

/* A server without an address; there is nothing else to say of it. */
static void
show_unresolved(struct buf *to, const struct gateway *g, size_t s)
{
	const struct conf_server *server = &g->conf->servers[s];
	struct json j = {.to = to};

	json_open(&j, NULL, '{');
	show_name(&j, g, server->text, "unresolved");
	json_int(&j, "preference", server->preference);
	json_int(&j, "weight", server->weight);
	json_close(&j, '}');
	(void)buf_add_char(to, '\n'); /* the owner tests to->failed */
}

static bool
is_unresolved(const struct gateway *g, size_t s)
{
	return g->names[s].state == NAME_FAILED || g->names[s].state == NAME_UNKNOWN;
}

void
show_servers(struct buf *to, const struct gateway *g, struct span server)
{
	for (size_t i = 0; i < g->n_targets; i++)
		if (!g->targets[i].is_gone && (server.n == 0 || target_is(&g->targets[i], server)))
			show_target(to, g, &g->targets[i]);
	for (size_t i = 0; i < g->conf->n_servers; i++)
		if (is_unresolved(g, i) &&
		    (server.n == 0 || span_eq_nocase(server, span_str(g->conf->servers[i].text))))
			show_unresolved(to, g, i);
}

static void
show_gateway(struct json *j, const struct gateway *g)
{
	for (size_t i = 0; i < g->n_targets; i++)
		if (!g->targets[i].is_gone) {
			json_open(j, NULL, '{');
			show_name(j, g, g->targets[i].text, show_target_state(&g->targets[i]));
			json_close(j, '}');
		}
	for (size_t i = 0; i < g->conf->n_servers; i++)
		if (is_unresolved(g, i)) {
			json_open(j, NULL, '{');
			show_name(j, g, g->conf->servers[i].text, "unresolved");
			json_close(j, '}');
		}
}

void
show_status(struct buf *to, struct queue *q, struct gateway *const *gateways, size_t n)
{
	struct json j = {.to = to};

	json_open(&j, NULL, '{');
	show_queue_totals(&j, q);
	json_open(&j, "gateways", '[');
	for (size_t i = 0; i < n; i++)
		show_gateway(&j, gateways[i]);
	json_close(&j, ']');
	json_close(&j, '}');
	(void)buf_add_char(to, '\n'); /* the owner tests to->failed */
}

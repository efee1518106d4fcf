#include "relay/deliver/show.h"
#include "relay/base/clock.h"
#include "relay/base/json.h"

enum { STATE_COUNT = 7 };

static const char *const rcpt_states[STATE_COUNT] = {
    "waiting", "failed", "held", "delivered", "bounced", "to quarantine", "quarantined"};

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
	if (has_leg_in(e, LEG_READY))
		return "waiting";
	if (has_leg_in(e, LEG_DEFERRED))
		return "deferred";
	return entry_has(e, RCPT_HELD) ? "held" : "waiting";
}

static bool
is_open(const struct queue_rcpt *r)
{
	return r->state == RCPT_WAITING || r->state == RCPT_FAILED || r->state == RCPT_HELD ||
	       r->state == RCPT_TO_QUARANTINE;
}

/* The first recipient that still waits for something; its gateway and reply stand for all. */
static const struct queue_rcpt *
first_open(const struct queue_entry *e)
{
	for (size_t i = 0; i < e->n_rcpts; i++)
		if (is_open(&e->rcpts[i]))
			return &e->rcpts[i];
	return NULL;
}

static void
show_next_attempt(struct json *j, const struct queue_entry *e)
{
	int64_t next_ms = -1;

	for (size_t i = 0; i < e->n_legs; i++)
		if (e->legs[i].state == LEG_DEFERRED &&
		    (next_ms < 0 || e->legs[i].due.ms < next_ms))
			next_ms = e->legs[i].due.ms;
	if (next_ms < 0)
		json_none(j, "next_attempt");
	else
		json_time(j, "next_attempt", clock_wall_ms() + (next_ms - clock_mono_ms()));
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
		json_text(j, "reply", rcpt_reply(e, r));
		json_close(j, '}');
	}
	json_close(j, ']');
}

void
show_entry(struct buf *to, const struct queue_entry *e, bool has_detail)
{
	const struct queue_rcpt *first = first_open(e);
	struct json j = {.to = to};

	json_open(&j, NULL, '{');
	json_str(&j, "id", e->id);
	json_str(&j, "state", show_state(e));
	json_text(&j, "from", e->from);
	json_open(&j, "to", '[');
	for (size_t i = 0; i < e->n_rcpts; i++)
		if (is_open(&e->rcpts[i]))
			json_text(&j, NULL, e->rcpts[i].address);
	json_close(&j, ']');
	json_int(&j, "size", (int64_t)e->size);
	json_time(&j, "received", e->received_ms);
	json_int(&j, "attempts", attempts_of(e));
	show_next_attempt(&j, e);
	json_text(&j, "last_reply", first != NULL ? rcpt_reply(e, first) : (struct span){0});
	json_text(&j, "gateway", first != NULL ? e->legs[first->leg].gateway : e->legs[0].gateway);
	if (has_detail)
		show_rcpts(&j, e);
	json_close(&j, '}');
	(void)buf_add_char(to, '\n'); /* the owner tests to->failed */
}

static void
show_queue_totals(struct json *j, struct queue *q)
{
	const struct queue_entry *oldest = queue_oldest(q);
	int64_t deferred = 0, held = 0, bytes = 0, age_ms = 0;

	LIST_FOR (it, queue_entries(q)) {
		const struct queue_entry *e = LIST_ENTRY(it, const struct queue_entry, node);
		const char *state = show_state(e);

		bytes += (int64_t)e->size;
		deferred += state[0] == 'd';
		held += state[0] == 'h';
	}
	if (oldest != NULL)
		age_ms = clock_wall_ms() - oldest->received_ms;
	json_open(j, "queue", '{');
	json_int(j, "messages", (int64_t)queue_count(q));
	json_int(j, "bytes", bytes);
	json_int(j, "oldest_seconds", age_ms > 0 ? age_ms / 1000 : 0);
	json_int(j, "deferred", deferred);
	json_int(j, "held", held);
	json_close(j, '}');
}

static void
show_server(struct json *j, const struct gateway *g, const char *server, const char *state)
{
	json_open(j, NULL, '{');
	json_str(j, "gateway", g->conf->name);
	json_str(j, "server", server);
	json_str(j, "state", state);
	json_close(j, '}');
}

static void
show_gateway(struct json *j, const struct gateway *g)
{
	for (size_t i = 0; i < g->n_targets; i++)
		if (!g->targets[i].is_gone)
			show_server(j, g, g->targets[i].text, g->targets[i].is_up ? "up" : "down");
	for (size_t i = 0; i < g->conf->n_servers; i++)
		if (g->names[i].state == NAME_FAILED || g->names[i].state == NAME_UNKNOWN)
			show_server(j, g, g->conf->servers[i].text, "unresolved");
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

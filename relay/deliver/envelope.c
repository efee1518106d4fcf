/* The bytes of an envelope and of a note: what a message of the queue looks like on disk. */
#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/deliver/queue.h"

enum { ENVELOPE_VERSION = 1, NOTE_VERSION = 1, HELD_WHY_MAX = 2048 };

void
envelope_put(struct buf *to, const struct envelope *e)
{
	put_u8(to, ENVELOPE_VERSION);
	put_u8(to, (uint8_t)e->kind);
	put_span(to, e->flow);
	put_span(to, e->from);
	put_u8(to, e->is_8bit);
	put_u8(to, e->is_tagged);
	put_i64(to, e->received_ms);
	put_u32(to, (uint32_t)e->n_rcpts);
	for (size_t i = 0; i < e->n_rcpts; i++) {
		put_span(to, e->rcpts[i].address);
		put_span(to, e->rcpts[i].gateway);
		put_u8(to, (uint8_t)e->rcpts[i].fate);
		put_span(to, e->rcpts[i].why);
	}
}

/* The index of a gateway among those seen, adding it; n_seen stays within QUEUE_LEGS_MAX. */
static bool
leg_index(struct span *seen, size_t *n_seen, struct span gateway, uint32_t *index)
{
	for (size_t i = 0; i < *n_seen; i++)
		if (span_eq(seen[i], gateway)) {
			*index = (uint32_t)i;
			return true;
		}
	if (*n_seen == QUEUE_LEGS_MAX)
		return false;
	*index = (uint32_t)*n_seen;
	seen[(*n_seen)++] = gateway;
	return true;
}

static void
get_rcpts(struct wire *w, struct queue_entry *e)
{
	struct span gateways[QUEUE_LEGS_MAX];
	uint32_t n = get_count(w, COMMIT_RCPTS_MAX);

	if (n == 0)
		w->failed = true;
	e->rcpts = mem_array(n, sizeof(*e->rcpts));
	while (e->n_rcpts < n && !w->failed) {
		struct queue_rcpt *r = &e->rcpts[e->n_rcpts++];
		struct span gateway, why;
		enum rcpt_fate fate;

		r->address = get_span(w, COMMIT_ADDRESS_MAX);
		gateway = get_span(w, QUEUE_NAME_MAX);
		fate = (enum rcpt_fate)get_enum(w, FATE_HELD);
		why = get_span(w, HELD_WHY_MAX);
		if (!leg_index(gateways, &e->n_legs, gateway, &r->leg))
			w->failed = true;
		r->is_refused = fate == FATE_HELD;
		if (r->is_refused)
			rcpt_set(r, RCPT_HELD, why);
	}
	e->legs = mem_array(e->n_legs, sizeof(*e->legs));
	for (size_t i = 0; i < e->n_legs; i++) {
		e->legs[i].entry = e;
		e->legs[i].gateway = gateways[i];
		list_init(&e->legs[i].node);
	}
}

struct queue_entry *
entry_new(struct span id, struct span envelope)
{
	struct queue_entry *e = mem_alloc(sizeof(*e));
	struct wire w;

	list_init(&e->node);
	e->envelope = mem_dup(envelope);
	w = wire_over(span_of(e->envelope, envelope.n));
	if (get_u8(&w) != ENVELOPE_VERSION)
		w.failed = true;
	e->kind = (enum mail_kind)get_enum(&w, MAIL_POSTMASTER);
	e->flow = get_span(&w, QUEUE_NAME_MAX);
	e->from = get_span(&w, COMMIT_ADDRESS_MAX);
	e->is_8bit = get_bool(&w);
	e->is_tagged = get_bool(&w);
	e->received_ms = get_i64(&w);
	if (e->received_ms < 0 || e->received_ms > clock_wall_ms())
		e->received_ms = clock_wall_ms(); /* ages are subtracted from the clock later */
	get_rcpts(&w, e);
	if (!span_copy(id, e->id, sizeof(e->id)) || id.n == 0 || wire_end(&w) != 0)
		entry_free(&e);
	return e;
}

void
entry_free(struct queue_entry **e)
{
	if (*e == NULL)
		return;
	for (size_t i = 0; i < (*e)->n_rcpts; i++)
		mem_free((*e)->rcpts[i].reply);
	for (size_t i = 0; i < (*e)->n_legs; i++) {
		mem_free((*e)->legs[i].reply);
		mem_free((*e)->legs[i].server);
	}
	mem_free((*e)->rcpts);
	mem_free((*e)->legs);
	mem_free((*e)->envelope);
	mem_free(*e);
	*e = NULL;
}

static void
put_leg(struct buf *to, const struct queue_leg *l, int64_t now_ms, int64_t wall_ms)
{
	int64_t due_ms = l->state == LEG_DEFERRED ? l->due.ms : now_ms;

	put_u32(to, l->attempts);
	put_i64(to, wall_ms + (due_ms - now_ms));
	put_span(to, span_str(l->reply));
	put_span(to, span_str(l->server));
}

void
note_put(struct buf *to, const struct queue_entry *e)
{
	int64_t now_ms = clock_mono_ms(), wall_ms = clock_wall_ms();

	put_u8(to, NOTE_VERSION);
	put_u8(to, e->is_warned);
	put_u32(to, (uint32_t)e->n_legs);
	for (size_t i = 0; i < e->n_legs; i++)
		put_leg(to, &e->legs[i], now_ms, wall_ms);
	put_u32(to, (uint32_t)e->n_rcpts);
	for (size_t i = 0; i < e->n_rcpts; i++) {
		put_u8(to, (uint8_t)e->rcpts[i].state);
		put_span(to, span_str(e->rcpts[i].reply));
	}
}

static int64_t
due_from_wall(int64_t due_wall_ms)
{
	const int64_t longest_ms = 30LL * 24 * 3600 * 1000; /* a clock that was wrong once */
	int64_t wall_ms = clock_wall_ms(), left_ms;

	if (due_wall_ms <= wall_ms)
		return clock_mono_ms();
	left_ms = due_wall_ms - wall_ms;
	return clock_mono_ms() + (left_ms < longest_ms ? left_ms : longest_ms);
}

static void
replace(char **text, struct span with)
{
	mem_free(*text);
	*text = with.n > 0 ? mem_dup(with) : NULL;
}

/* Walks the note; into `e` only when it is to be applied, so that a bad one changes nothing. */
static int
walk_note(struct span note, struct queue_entry *e, bool applies)
{
	struct wire w = wire_over(note);
	bool is_warned;

	if (get_u8(&w) != NOTE_VERSION)
		return -E_CORRUPT;
	is_warned = get_bool(&w);
	if (get_u32(&w) != e->n_legs)
		return -E_CORRUPT;
	for (size_t i = 0; i < e->n_legs; i++) {
		uint32_t attempts = get_u32(&w);
		int64_t due_ms = get_i64(&w);
		struct span reply = get_span(&w, QUEUE_REPLY_MAX);
		struct span server = get_span(&w, QUEUE_NAME_MAX);

		if (!applies)
			continue;
		e->legs[i].attempts = attempts;
		e->legs[i].due.ms = due_from_wall(due_ms);
		replace(&e->legs[i].reply, reply);
		replace(&e->legs[i].server, server);
	}
	if (get_u32(&w) != e->n_rcpts)
		return -E_CORRUPT;
	for (size_t i = 0; i < e->n_rcpts; i++) {
		enum rcpt_state state = (enum rcpt_state)get_enum(&w, RCPT_BOUNCED);
		struct span reply = get_span(&w, HELD_WHY_MAX);

		if (applies)
			rcpt_set(&e->rcpts[i], state, reply);
	}
	if (applies)
		e->is_warned = is_warned;
	return wire_end(&w);
}

int
note_get(struct span note, struct queue_entry *e)
{
	int rc = walk_note(note, e, false);

	return rc != 0 ? rc : walk_note(note, e, true);
}

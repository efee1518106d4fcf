/* The bytes of an envelope and of a note: what a message of the queue looks like on disk. */
#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/deliver/queue.h"

enum {
	ENVELOPE_VERSION = 3, /* 2: copies had no cuts; 1: nothing held could be filtered again */
	NOTE_VERSION = 2,
	HELD_WHY_MAX = 2048,
	NOTE_LEG = 20, /* bytes of a leg and of a recipient without their texts */
	NOTE_RCPT = 5,
	NOTE_WHOLE = 1024 * 1024, /* bytes; a longer one has its texts cut: */
	NOTE_TEXT_SHORT = 100     /* COMMIT_RCPTS_MAX of everything fit then */
};

static void
put_cuts(struct buf *to, const struct commit_copy *c)
{
	put_u32(to, (uint32_t)c->n_cuts);
	for (size_t i = 0; i < c->n_cuts; i++) {
		put_u64(to, c->cuts[i].at);
		put_u64(to, c->cuts[i].n);
		put_u32(to, (uint32_t)c->cuts[i].text.n);
	}
}

int
envelope_put_prefixes(struct buf *to, const struct envelope *e)
{
	for (size_t i = 0; i < e->n_copies; i++) {
		const struct commit_copy *c = &e->copies[i];

		(void)buf_add_span(to, c->prefix); /* sticky */
		for (size_t k = 0; k < c->n_cuts; k++)
			(void)buf_add_span(to, c->cuts[k].text); /* sticky */
	}
	return to->failed ? -E_LIMIT : 0;
}

void
envelope_put(struct buf *to, const struct envelope *e)
{
	put_u8(to, ENVELOPE_VERSION);
	put_u8(to, (uint8_t)e->kind);
	put_span(to, e->flow);
	put_span(to, e->from);
	put_u8(to, e->is_8bit);
	put_u8(to, e->is_utf8);
	put_u8(to, (uint8_t)e->ret);
	put_span(to, e->envid);
	put_i64(to, e->received_ms);
	put_u32(to, (uint32_t)e->n_copies);
	for (size_t i = 0; i < e->n_copies; i++) {
		put_u32(to, (uint32_t)e->copies[i].prefix.n);
		put_u8(to, (uint8_t)e->copies[i].fate);
		put_span(to, e->copies[i].why);
		put_span(to, e->copies[i].waits_for);
		put_u8(to, e->copies[i].is_tagged);
		put_cuts(to, &e->copies[i]);
	}
	put_u32(to, (uint32_t)e->n_rcpts);
	for (size_t i = 0; i < e->n_rcpts; i++) {
		put_span(to, e->rcpts[i].address);
		put_span(to, e->rcpts[i].gateway);
		put_u32(to, e->rcpts[i].copy);
		put_u8(to, (uint8_t)e->rcpts[i].notify);
		put_span(to, e->rcpts[i].orcpt);
	}
	put_u32(to, e->received);
	put_span(to, e->facts);
	put_u64(to, e->replaces);
	put_u32(to, (uint32_t)(e->n_moved * sizeof(uint32_t)));
	for (size_t i = 0; i < e->n_moved; i++)
		put_u32(to, e->moved[i]);
}

static void
get_cuts(struct wire *w, struct queue_copy *c, uint64_t *texts)
{
	uint64_t end = 0;

	c->n_cuts = get_count(w, COMMIT_CUTS_MAX);
	c->cuts = c->n_cuts > 0 ? mem_array(c->n_cuts, sizeof(*c->cuts)) : NULL;
	for (uint32_t i = 0; i < c->n_cuts && !w->failed; i++) {
		struct queue_cut *cut = &c->cuts[i];

		cut->at = get_u64(w);
		cut->n = get_u64(w);
		cut->text_n = get_u32(w);
		if (cut->at < end || cut->n > UINT64_MAX - cut->at)
			w->failed = true;
		end = cut->at + cut->n;
		*texts += cut->text_n;
	}
}

static void
get_copies(struct wire *w, struct queue_entry *e, unsigned version)
{
	uint32_t n = get_count(w, COMMIT_COPIES_MAX);

	e->copies = mem_array(n, sizeof(*e->copies));
	while (e->n_copies < n && !w->failed) {
		struct queue_copy *c = &e->copies[e->n_copies++];

		c->prefix = e->prefixes;
		c->prefix_n = get_u32(w);
		c->fate = (enum copy_fate)get_enum(w, COPY_HOLD);
		c->why = get_span(w, HELD_WHY_MAX);
		if (version > 1)
			c->waits_for = get_span(w, COMMIT_FILTER_MAX);
		c->is_tagged = get_bool(w);
		e->prefixes += c->prefix_n;
		if (version > 2)
			get_cuts(w, c, &e->prefixes);
	}
}

/* Recipients of one copy and one gateway share a leg.  A copy has few. */
static uint32_t
leg_index(struct queue_entry *e, struct span gateway, uint32_t copy)
{
	struct queue_copy *c = &e->copies[copy];

	for (uint32_t i = c->first_leg; i > 0; i = e->legs[i - 1].next_leg)
		if (span_eq(e->legs[i - 1].gateway, gateway))
			return i - 1;
	e->legs[e->n_legs] =
	    (struct queue_leg){.gateway = gateway, .copy = copy, .next_leg = c->first_leg};
	c->first_leg = (uint32_t)++e->n_legs;
	return c->first_leg - 1;
}

static void
get_rcpt(struct wire *w, struct queue_entry *e, struct queue_rcpt *r)
{
	struct span gateway;
	uint32_t copy;

	r->address = get_span(w, COMMIT_ADDRESS_MAX);
	gateway = get_span(w, QUEUE_NAME_MAX);
	copy = get_u32(w);
	r->notify = get_enum(w, NOTIFY_ALL);
	r->orcpt = get_span(w, NOTIFY_ORCPT_MAX);
	if (copy >= e->n_copies)
		w->failed = true;
	if (w->failed)
		return;
	r->leg = leg_index(e, gateway, copy);
	r->next = e->legs[r->leg].first;
	e->legs[r->leg].first = (uint32_t)(r - e->rcpts) + 1;
	if (e->copies[copy].fate == COPY_QUARANTINE)
		rcpt_set(r, RCPT_TO_QUARANTINE, e->copies[copy].why);
	else if (e->copies[copy].fate == COPY_HOLD)
		rcpt_set(r, RCPT_HELD, e->copies[copy].why);
}

static void
get_rcpts(struct wire *w, struct queue_entry *e)
{
	uint32_t n = get_count(w, COMMIT_RCPTS_MAX);

	if (n == 0)
		w->failed = true;
	e->rcpts = mem_array(n, sizeof(*e->rcpts));
	e->legs = mem_array(n, sizeof(*e->legs)); /* at most one each; cut below */
	while (e->n_rcpts < n && !w->failed)
		get_rcpt(w, e, &e->rcpts[e->n_rcpts++]);
	if (e->n_legs > 0)
		e->legs = mem_grow(e->legs, e->n_legs * sizeof(*e->legs));
	for (size_t i = 0; i < e->n_legs; i++) {
		e->legs[i].entry = e;
		list_init(&e->legs[i].node);
	}
}

/* What is held begins with our Received; of who was moved there is a whole number. */
static void
get_hold(struct wire *w, struct queue_entry *e)
{
	e->received = get_u32(w);
	e->facts = get_span(w, HELD_FACTS_MAX);
	e->replaces = get_u64(w);
	e->moved = get_span(w, COMMIT_RCPTS_MAX * sizeof(uint32_t));
	if (e->moved.n % sizeof(uint32_t) != 0 || (e->replaces == 0) != (e->moved.n == 0))
		w->failed = true;
	for (size_t i = 0; i < e->n_copies; i++)
		if (e->copies[i].fate == COPY_HOLD && e->received > e->copies[i].prefix_n)
			w->failed = true;
}

struct queue_entry *
entry_new(struct span id, struct span envelope)
{
	struct queue_entry *e = mem_alloc(sizeof(*e));
	unsigned version;
	struct wire w;

	list_init(&e->hold.node);
	e->envelope = mem_dup(envelope);
	w = wire_over(span_of(e->envelope, envelope.n));
	version = get_u8(&w);
	if (version == 0 || version > ENVELOPE_VERSION)
		w.failed = true;
	e->kind = (enum mail_kind)get_enum(&w, MAIL_POSTMASTER);
	e->flow = get_span(&w, QUEUE_NAME_MAX);
	e->from = get_span(&w, COMMIT_ADDRESS_MAX);
	e->is_8bit = get_bool(&w);
	e->is_utf8 = get_bool(&w);
	e->ret = (enum notify_ret)get_enum(&w, RET_HDRS);
	e->envid = get_span(&w, NOTIFY_ENVID_MAX);
	e->received_ms = get_i64(&w);
	if (e->received_ms < 0 || e->received_ms > clock_wall_ms())
		e->received_ms = clock_wall_ms(); /* ages are subtracted from the clock later */
	get_copies(&w, e, version);
	get_rcpts(&w, e);
	if (version > 1)
		get_hold(&w, e);
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
	for (size_t i = 0; i < (*e)->n_copies; i++)
		mem_free((*e)->copies[i].cuts);
	mem_free((*e)->rcpts);
	mem_free((*e)->legs);
	mem_free((*e)->copies);
	list_remove(&(*e)->hold.node);
	mem_free((*e)->hold.waits_for);
	mem_free((*e)->envelope);
	mem_free(*e);
	*e = NULL;
}

bool
entry_fits(const struct queue_entry *e, uint64_t spooled)
{
	if (spooled < e->prefixes)
		return false;
	for (size_t i = 0; i < e->n_copies; i++) {
		const struct queue_copy *c = &e->copies[i];
		const struct queue_cut *last = c->n_cuts > 0 ? &c->cuts[c->n_cuts - 1] : NULL;

		if (last != NULL && last->at + last->n > spooled - e->prefixes)
			return false;
	}
	return true;
}

static uint64_t
copy_size(const struct queue_entry *e, const struct queue_copy *c)
{
	uint64_t n = c->prefix_n + e->body;

	for (uint32_t i = 0; i < c->n_cuts; i++)
		n = n - c->cuts[i].n + c->cuts[i].text_n;
	return n;
}

void
entry_set_size(struct queue_entry *e, uint64_t spooled)
{
	must(entry_fits(e, spooled) && e->n_copies > 0);
	e->body = spooled - e->prefixes;
	e->size = copy_size(e, &e->copies[0]);
}

const struct queue_copy *
leg_copy(const struct queue_leg *l)
{
	return &l->entry->copies[l->copy];
}

const struct queue_copy *
rcpt_copy(const struct queue_entry *e, const struct queue_rcpt *r)
{
	return leg_copy(&e->legs[r->leg]);
}

uint64_t
leg_size(const struct queue_leg *l)
{
	return copy_size(l->entry, leg_copy(l));
}

static void
bound(size_t *n, uint64_t most)
{
	if (*n > most)
		*n = (size_t)most;
}

/* Of the bytes behind the header section: what was let be, and texts in place of what was not. */
static uint64_t
place_in_cuts(const struct queue_entry *e, const struct queue_copy *c, uint64_t offset, size_t *n)
{
	uint64_t text = c->prefix + c->prefix_n, from = 0;

	for (uint32_t i = 0; i < c->n_cuts; i++) {
		const struct queue_cut *cut = &c->cuts[i];
		uint64_t plain = cut->at - from;

		if (offset < plain) {
			bound(n, plain - offset);
			return e->prefixes + from + offset;
		}
		offset -= plain;
		if (offset < cut->text_n) {
			bound(n, cut->text_n - offset);
			return text + offset;
		}
		offset -= cut->text_n;
		text += cut->text_n;
		from = cut->at + cut->n;
	}
	return e->prefixes + from + offset;
}

uint64_t
leg_place(const struct queue_leg *l, uint64_t offset, size_t *n)
{
	const struct queue_copy *c = leg_copy(l);

	if (offset >= c->prefix_n)
		return place_in_cuts(l->entry, c, offset - c->prefix_n, n);
	/* Of one copy alone, or of the last, the body follows at once. */
	if ((c->prefix + c->prefix_n != l->entry->prefixes || c->n_cuts > 0) &&
	    *n > c->prefix_n - offset)
		*n = (size_t)(c->prefix_n - offset);
	return c->prefix + offset;
}

static struct span
cut(const char *text, size_t max)
{
	return span_take(span_str(text), max);
}

static void
put_leg(struct buf *to, const struct queue_leg *l, int64_t now_ms, int64_t wall_ms, size_t max)
{
	/* One that is parked waits for a server, not for a time. */
	bool has_time = l->state == LEG_DEFERRED && !l->is_unreachable;
	int64_t due_ms = has_time ? l->due.ms : now_ms;

	put_u32(to, l->attempts);
	put_i64(to, wall_ms + (due_ms - now_ms));
	put_span(to, cut(l->reply, max));
	put_span(to, cut(l->server, max));
}

/* How much is told of each text: all, or what fits when there are thousands of long ones.  A note
 * that could not be written would bring back what was settled long ago; and of thousands one is written with
 * each hundred that a gateway has answered. */
static size_t
longest_text(const struct queue_entry *e)
{
	size_t n = 0;

	for (size_t i = 0; i < e->n_legs; i++)
		n += NOTE_LEG + span_str(e->legs[i].reply).n + span_str(e->legs[i].server).n;
	for (size_t i = 0; i < e->n_rcpts; i++)
		n += NOTE_RCPT + span_str(e->rcpts[i].reply).n;
	return n <= NOTE_WHOLE ? QUEUE_REPLY_MAX : NOTE_TEXT_SHORT;
}

void
note_put(struct buf *to, const struct queue_entry *e)
{
	int64_t now_ms = clock_mono_ms(), wall_ms = clock_wall_ms();
	size_t max = longest_text(e);

	put_u8(to, NOTE_VERSION);
	put_u8(to, e->is_warned);
	put_u32(to, e->hold.tries);
	put_u32(to, e->hold.deaths);
	put_i64(to, e->hold.tried_wall_ms);
	put_u8(to, e->hold.is_damaged);
	put_u8(to, e->hold.waits_for != NULL);
	put_span(to, span_str(e->hold.waits_for));
	put_u32(to, (uint32_t)e->n_legs);
	for (size_t i = 0; i < e->n_legs; i++)
		put_leg(to, &e->legs[i], now_ms, wall_ms, max);
	put_u32(to, (uint32_t)e->n_rcpts);
	for (size_t i = 0; i < e->n_rcpts; i++) {
		put_u8(to, (uint8_t)e->rcpts[i].state);
		put_span(to, cut(e->rcpts[i].reply, max));
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

static void
walk_hold(struct wire *w, struct queue_entry *e, bool applies)
{
	uint32_t tries = get_u32(w), deaths = get_u32(w);
	int64_t tried_ms = get_i64(w);
	bool is_damaged = get_bool(w), says_filter = get_bool(w);
	struct span waits_for = get_span(w, COMMIT_FILTER_MAX);

	if (tried_ms < 0 || tried_ms > clock_wall_ms())
		tried_ms = clock_wall_ms(); /* it is subtracted from the clock later */
	if (!applies)
		return;
	e->hold.tries = tries;
	e->hold.deaths = deaths;
	e->hold.tried_wall_ms = tried_ms;
	e->hold.is_damaged = is_damaged;
	mem_free(e->hold.waits_for);
	e->hold.waits_for = says_filter ? mem_dup(waits_for) : NULL;
}

/* Walks the note; into `e` only when it is to be applied, so that a bad one changes nothing. */
static int
walk_note(struct span note, struct queue_entry *e, bool applies)
{
	struct wire w = wire_over(note);
	unsigned version = get_u8(&w);
	bool is_warned;

	if (version == 0 || version > NOTE_VERSION)
		return -E_CORRUPT;
	is_warned = get_bool(&w);
	if (version > 1)
		walk_hold(&w, e, applies);
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
		enum rcpt_state state = (enum rcpt_state)get_enum(&w, RCPT_MOVED);
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

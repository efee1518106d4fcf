#include "relay/ipc/front_spool.h"
#include "relay/base/err.h"

enum {
	COMMIT_NAME_MAX = 256,      /* id, flow, gateway */
	COMMIT_WHY_MAX = 2048,      /* why a recipient is held */
	COMMIT_ENVELOPE_HEAD = 128, /* beside flow, sender, ENVID and facts */
	COMMIT_COPY_BYTES = 24,     /* beside why it is held, and for whom, and its cuts */
	COMMIT_CUT_BYTES = 20,
	COMMIT_BODY_MAX = 1 << 20, /* inline; the channel's own limits are far below */
	REFUSAL_TEXT_MAX = 512
};

static void
put_cuts(struct buf *to, const struct commit_copy *c)
{
	put_u32(to, (uint32_t)c->n_cuts);
	for (size_t i = 0; i < c->n_cuts; i++) {
		put_u64(to, c->cuts[i].at);
		put_u64(to, c->cuts[i].n);
		put_span(to, c->cuts[i].text);
	}
}

void
commit_put(struct buf *to, const struct commit *c)
{
	put_span(to, c->id);
	put_span(to, c->flow);
	put_span(to, c->from);
	put_u8(to, c->is_8bit);
	put_u8(to, c->is_utf8);
	put_u8(to, (uint8_t)c->ret);
	put_span(to, c->envid);
	put_u32(to, c->received);
	put_span(to, c->facts);
	put_i64(to, c->data_end_ms);
	put_u32(to, (uint32_t)c->n_copies);
	for (size_t i = 0; i < c->n_copies; i++) {
		put_span(to, c->copies[i].prefix);
		put_u8(to, (uint8_t)c->copies[i].fate);
		put_span(to, c->copies[i].why);
		put_span(to, c->copies[i].waits_for);
		put_u8(to, c->copies[i].is_tagged);
		put_cuts(to, &c->copies[i]);
	}
	put_u32(to, (uint32_t)c->n_rcpts);
	for (size_t i = 0; i < c->n_rcpts; i++) {
		put_span(to, c->rcpts[i].address);
		put_span(to, c->rcpts[i].gateway);
		put_u32(to, c->rcpts[i].copy);
		put_u8(to, (uint8_t)c->rcpts[i].notify);
		put_span(to, c->rcpts[i].orcpt);
	}
	put_u64(to, c->skip);
	put_u64(to, c->body_size);
	put_u8(to, c->is_inline);
	put_span(to, c->is_inline ? c->body : (struct span){0});
}

static void
get_cuts(struct wire *w, struct commit_copy *c, struct commit_cut *cuts, uint32_t max)
{
	uint64_t end = 0;

	c->n_cuts = get_count(w, max);
	c->cuts = cuts;
	for (size_t i = 0; i < c->n_cuts && !w->failed; i++) {
		cuts[i].at = get_u64(w);
		cuts[i].n = get_u64(w);
		cuts[i].text = get_span(w, COMMIT_TEXT_MAX);
		if (cuts[i].at < end || cuts[i].n > UINT64_MAX - cuts[i].at)
			w->failed = true;
		end = cuts[i].at + cuts[i].n;
	}
}

static bool
cuts_are_in_body(const struct commit *c)
{
	for (size_t i = 0; i < c->n_copies; i++) {
		size_t n = c->copies[i].n_cuts;
		const struct commit_cut *last = n > 0 ? &c->copies[i].cuts[n - 1] : NULL;

		if (last != NULL && last->at + last->n > c->body_size - c->skip)
			return false;
	}
	return true;
}

static void
get_copies(struct wire *w, struct commit *c, struct commit_copy *copies, struct commit_cut *cuts)
{
	uint32_t cuts_left = COMMIT_CUTS_MAX;

	c->n_copies = get_count(w, COMMIT_COPIES_MAX);
	c->copies = copies;
	for (size_t i = 0; i < c->n_copies && !w->failed; i++) {
		copies[i].prefix = get_span(w, COMMIT_HEADER_MAX);
		copies[i].fate = (enum copy_fate)get_enum(w, COPY_DISCARD);
		copies[i].why = get_span(w, COMMIT_WHY_MAX);
		copies[i].waits_for = get_span(w, COMMIT_FILTER_MAX);
		copies[i].is_tagged = get_bool(w);
		get_cuts(w, &copies[i], cuts + COMMIT_CUTS_MAX - cuts_left, cuts_left);
		cuts_left -= (uint32_t)copies[i].n_cuts;
	}
	if (!w->failed && commit_prefixes(c) > COMMIT_PREFIXES_MAX)
		w->failed = true;
}

static void
get_rcpts(struct wire *w, struct commit *c, struct commit_rcpt *rcpts)
{
	c->n_rcpts = get_count(w, COMMIT_RCPTS_MAX);
	c->rcpts = rcpts;
	if (c->n_rcpts == 0)
		w->failed = true; /* nobody would ever get it */
	for (size_t i = 0; i < c->n_rcpts && !w->failed; i++) {
		rcpts[i].address = get_span(w, COMMIT_ADDRESS_MAX);
		rcpts[i].gateway = get_span(w, COMMIT_NAME_MAX);
		rcpts[i].copy = get_u32(w);
		rcpts[i].notify = get_enum(w, NOTIFY_ALL);
		rcpts[i].orcpt = get_span(w, NOTIFY_ORCPT_MAX);
		if (rcpts[i].address.n == 0 || rcpts[i].copy >= c->n_copies)
			w->failed = true;
	}
}

uint64_t
commit_rcpt_size(const struct commit_rcpt *r)
{
	return COMMIT_RCPT_BYTES + r->address.n + r->gateway.n + r->orcpt.n;
}

uint64_t
commit_envelope_size(const struct commit *c)
{
	uint64_t size = COMMIT_ENVELOPE_HEAD + c->flow.n + c->from.n + c->envid.n + c->facts.n;

	for (size_t i = 0; i < c->n_copies; i++)
		size += COMMIT_COPY_BYTES + c->copies[i].why.n + c->copies[i].waits_for.n +
			COMMIT_CUT_BYTES * c->copies[i].n_cuts;
	for (size_t i = 0; i < c->n_rcpts; i++)
		size += commit_rcpt_size(&c->rcpts[i]);
	return size;
}

uint64_t
commit_prefixes(const struct commit *c)
{
	uint64_t n = 0;

	for (size_t i = 0; i < c->n_copies; i++) {
		n += c->copies[i].prefix.n;
		for (size_t k = 0; k < c->copies[i].n_cuts; k++)
			n += c->copies[i].cuts[k].text.n;
	}
	return n;
}

/* Control bytes in an address would let one command become two at the gateway. */
static bool
is_fit_for_a_command(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < ' ' || s.p[i] == 0x7f)
			return false;
	return true;
}

static bool
addresses_are_fit(const struct commit *c)
{
	if (!is_fit_for_a_command(c->from) || !is_fit_for_a_command(c->envid))
		return false;
	for (size_t i = 0; i < c->n_rcpts; i++)
		if (!is_fit_for_a_command(c->rcpts[i].address) ||
		    !is_fit_for_a_command(c->rcpts[i].orcpt))
			return false;
	return true;
}

int
commit_get(struct span payload, struct commit *c, struct commit_room *room)
{
	struct wire w = wire_over(payload);

	*c = (struct commit){0};
	c->id = get_span(&w, COMMIT_NAME_MAX);
	c->flow = get_span(&w, COMMIT_NAME_MAX);
	c->from = get_span(&w, COMMIT_ADDRESS_MAX);
	c->is_8bit = get_bool(&w);
	c->is_utf8 = get_bool(&w);
	c->ret = (enum notify_ret)get_enum(&w, RET_HDRS);
	c->envid = get_span(&w, NOTIFY_ENVID_MAX);
	c->received = get_u32(&w);
	c->facts = get_span(&w, HELD_FACTS_MAX);
	c->data_end_ms = get_i64(&w);
	get_copies(&w, c, room->copies, room->cuts);
	get_rcpts(&w, c, room->rcpts);
	c->skip = get_u64(&w);
	c->body_size = get_u64(&w);
	c->is_inline = get_bool(&w);
	c->body = get_span(&w, COMMIT_BODY_MAX);
	if (c->id.n == 0 || c->skip > c->body_size || c->data_end_ms < 0 || !cuts_are_in_body(c))
		w.failed = true;
	if (c->is_inline ? c->body.n != c->body_size : c->body.n != 0)
		w.failed = true;
	if (wire_end(&w) != 0 || !addresses_are_fit(c)) {
		*c = (struct commit){0};
		return -E_CORRUPT;
	}
	return 0;
}

void
refusal_put(struct buf *to, const struct refusal *r)
{
	put_u16(to, r->code);
	put_span(to, r->enhanced);
	put_span(to, r->text);
}

int
refusal_get(struct span payload, struct refusal *r)
{
	struct wire w = wire_over(payload);

	*r = (struct refusal){0};
	r->code = get_u16(&w);
	r->enhanced = get_span(&w, COMMIT_NAME_MAX);
	r->text = get_span(&w, REFUSAL_TEXT_MAX);
	if (r->code != 451 && r->code != 452 && (r->code < 500 || r->code > 599))
		w.failed = true;
	if (wire_end(&w) != 0) {
		*r = (struct refusal){0};
		return -E_CORRUPT;
	}
	return 0;
}

void
ability_put(struct buf *to, const struct gateway_ability *a)
{
	put_u8(to, a->is_known);
	put_u8(to, a->takes_8bit);
	put_u8(to, a->takes_utf8);
	put_u64(to, a->size_limit);
}

int
ability_get(struct span payload, struct gateway_ability *a)
{
	struct wire w = wire_over(payload);

	*a = (struct gateway_ability){0};
	a->is_known = get_bool(&w);
	a->takes_8bit = get_bool(&w);
	a->takes_utf8 = get_bool(&w);
	a->size_limit = get_u64(&w);
	if (wire_end(&w) == 0)
		return 0;
	*a = (struct gateway_ability){0};
	return -E_CORRUPT;
}

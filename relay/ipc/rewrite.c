#include "relay/ipc/rewrite.h"

void
rewrite_put(struct buf *to, const struct rewrite *r)
{
	put_u8(to, r->has_head);
	put_u32(to, r->section);
	put_span(to, r->head);
	put_u32(to, (uint32_t)r->n_cuts);
	for (size_t i = 0; i < r->n_cuts; i++) {
		put_u64(to, r->cuts[i].at);
		put_u64(to, r->cuts[i].n);
		put_u16(to, r->cuts[i].part);
		put_span(to, r->cuts[i].text);
	}
	scan_parts_put(to, r->parts, r->n_parts);
}

static void
get_cuts(struct wire *w, struct rewrite *r)
{
	uint64_t end = 0, bytes = 0;

	r->n_cuts = get_count(w, REWRITE_CUTS_MAX);
	if (r->n_cuts == 0)
		w->failed = true;
	for (size_t i = 0; i < r->n_cuts && !w->failed; i++) {
		struct rewrite_cut *c = &r->cuts[i];

		c->at = get_u64(w);
		c->n = get_u64(w);
		c->part = get_u16(w);
		c->text = get_span(w, REWRITE_TEXT_MAX);
		bytes += c->text.n;
		if (c->at < end || c->n > UINT64_MAX - c->at || bytes > REWRITE_TEXT_MAX)
			w->failed = true;
		end = c->at + c->n;
	}
}

int
rewrite_get(struct span payload, struct rewrite *r)
{
	struct wire w = wire_over(payload);

	*r = (struct rewrite){.has_head = get_bool(&w)};
	r->section = get_u32(&w);
	r->head = get_span(&w, REWRITE_HEAD_MAX);
	get_cuts(&w, r);
	(void)scan_parts_get(&w, r->parts, REWRITE_PARTS_MAX, &r->n_parts); /* each is bounded */
	for (size_t i = 0; i < r->n_cuts; i++)
		if (r->cuts[i].part != REWRITE_NO_PART && r->cuts[i].part >= r->n_parts)
			w.failed = true;
	return wire_end(&w);
}

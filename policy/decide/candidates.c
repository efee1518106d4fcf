/* candidates.c - which rules of a row are looked at: all of them, or those that can match. */
#include "policy/decide/walk.h"

static void
find(struct index_hits *h, const struct decide_walk *w, const struct rule_index *x)
{
	const struct facts *facts = w->facts;

	index_hits_start(h, x);
	index_find_ip(h, x, &facts->client);
	if (facts->has_host)
		index_find(h, x, FACET_HOST, facts->host);
	if (facts->has_helo)
		index_find(h, x, FACET_HELO, facts->helo);
	index_find(h, x, FACET_FROM, facts->from);
	index_find(h, x, FACET_TO, facts->to);
	index_find(h, x, FACET_COUNTRY, facts->country);
	index_find(h, x, FACET_ASN, w->asn);
	index_find(h, x, FACET_TLS, facts->tls);
	index_find(h, x, FACET_AUTH, facts->user);
}

void
candidates_start(struct candidates *c, const struct decide_walk *w, const struct rule_row *row)
{
	c->row = row;
	c->next = 0;
	c->is_indexed = w->tracer == NULL && index_is_built(&row->index);
	if (!c->is_indexed)
		return;
	find(&c->hits, w, &row->index);
	c->is_indexed = !c->hits.is_over;
}

const struct rule *
candidates_next(struct candidates *c, const struct decide_walk *w)
{
	uint32_t rule;

	if (c->is_indexed)
		return index_next(&c->hits, &rule) ? &w->snapshot->rules[rule] : NULL;
	return c->next < c->row->n ? &w->snapshot->rules[c->row->items[c->next++]] : NULL;
}

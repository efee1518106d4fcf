/* edit.c - what the `policy` command asks of a snapshot: which rules, and its text changed. */
#include "policy/rules/compiler.h"

enum { HINT_MAX = 160 };

struct query {
	enum facet facet;
	struct span value;
	bool has_ip;
	struct ip ip;
};

static bool
is_asked(const struct rule *r, const struct query *q)
{
	bool has_facet = false;

	for (uint16_t i = 0; i < r->n_facets; i++) {
		const struct rule_facet *f = r->facets[i];
		enum truth truth;

		if (f->facet != q->facet)
			continue;
		has_facet = true;
		truth = q->has_ip ? matcher_match_ip(&f->matcher, &q->ip, q->value)
				  : matcher_match(&f->matcher, q->value);
		if (truth != (f->is_negated ? TRUTH_FALSE : TRUTH_TRUE))
			return false;
	}
	return has_facet;
}

/* The lines of this zone. */
static void
query_zone(const struct snapshot *s, struct span zone, bool is_white,
    void (*on_rule)(void *arg, uint32_t id), void *arg)
{
	if (zone.n > 0 && zone.p[zone.n - 1] == '.')
		zone = span_take(zone, zone.n - 1);
	for (size_t i = 0; i < s->n_lists; i++)
		if (s->lists[i].is_white == is_white && span_eq_nocase(s->lists[i].zone, zone))
			on_rule(arg, s->lists[i].rule);
}

int
snapshot_query(const struct snapshot *s, struct span facet, struct span value,
    void (*on_rule)(void *arg, uint32_t id), void *arg, struct err *err)
{
	struct query q = {.value = value};
	char hint[HINT_MAX], room[IP_TEXT_MAX];

	if (span_eq(facet, SPAN("dnsbl")) || span_eq(facet, SPAN("dnswl"))) {
		query_zone(s, value, span_eq(facet, SPAN("dnswl")), on_rule, arg);
		return 0;
	}
	if (!words_facet(facet, &q.facet)) {
		words_hint(facet, words_facets, hint, sizeof(hint));
		return err_set(
		    err, E_SYNTAX, "`%.*s` is no facet; %s", SPAN_ARG(span_take(facet, 80)), hint);
	}
	q.has_ip = q.facet == FACET_CLIENT;
	if (q.has_ip) {
		if (!ip_parse(value, &q.ip))
			return err_set(err, E_SYNTAX,
			    "`%.*s` is no address; write 192.0.2.1 or 2001:db8::1",
			    SPAN_ARG(span_take(value, 80)));
		q.value = ip_format(&q.ip, room);
	}
	for (size_t i = 0; i < s->n_rules; i++)
		if (is_asked(&s->rules[i], &q))
			on_rule(arg, s->rules[i].id);
	return 0;
}

static int
edited(struct buf *to, struct err *err)
{
	return to->failed ? err_set(err, E_LIMIT, "a policy is at most %zu bytes", to->max) : 0;
}

int
snapshot_text_add(const struct snapshot *s, struct span rule, struct buf *to, struct err *err)
{
	rule = span_trim(rule);
	if (rule.n == 0 || span_find(rule, '\n') < rule.n)
		return err_set(err, E_SYNTAX, "a rule is one line; import a text for more");
	/* What fails is in to->failed. */
	if (s->text.n > 0) {
		(void)buf_add_span(to, s->text);
		if (s->text.p[s->text.n - 1] != '\n')
			(void)buf_add_char(to, '\n');
	}
	(void)buf_add_span(to, rule);
	(void)buf_add_char(to, '\n');
	return edited(to, err);
}

int
snapshot_text_remove(const struct snapshot *s, uint32_t id, struct buf *to, struct err *err)
{
	const struct rule *r = snapshot_rule(s, id);
	size_t from, behind;

	if (r == NULL)
		return err_set(err, E_NOT_FOUND, "the policy has no rule %u", id);
	from = span_rfind(span_take(s->text, (size_t)(r->line.p - s->text.p)), '\n');
	/* Without a line in front, rfind gives the length of what it searched: the rule's indent. */
	from = from < (size_t)(r->line.p - s->text.p) ? from + 1 : 0;
	behind = (size_t)(r->line.p + r->line.n - s->text.p);
	behind += span_find(span_skip(s->text, behind), '\n') + 1;
	if (from > 0)
		(void)buf_add_span(to, span_take(s->text, from)); /* what fails is in to->failed */
	if (behind < s->text.n)
		(void)buf_add_span(to, span_skip(s->text, behind));
	return edited(to, err);
}

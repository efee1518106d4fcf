/* evaluate.c - whether a rule's facets match the facts. */
#include "policy/decide/walk.h"

static enum truth
negated(enum truth t)
{
	switch (t) {
	case TRUTH_FALSE:
		return TRUTH_TRUE;
	case TRUTH_TRUE:
		return TRUTH_FALSE;
	case TRUTH_UNKNOWN:
	case TRUTH_LIMIT:
	case TRUTH_SPENT:
		return t;
	}
	return TRUTH_UNKNOWN;
}

/* The truth of a content predicate, as the filter worker found it: an untrusted byte. */
static enum truth
content_truth(const struct facts *facts, uint32_t predicate)
{
	if (predicate >= facts->n_truths || facts->truths[predicate] > TRUTH_SPENT)
		return TRUTH_UNKNOWN;
	return (enum truth)facts->truths[predicate];
}

/* What there is none of matches no value, so that `tls !*` is mail in the clear. */
static enum truth
known_or_none(const struct rule_facet *f, struct span fact)
{
	return fact.n > 0 ? matcher_match(&f->matcher, fact) : TRUTH_FALSE;
}

/* One tag that matches is enough; without any, no value matches and every `!` does. */
static enum truth
one_tag(const struct rule_facet *f, struct span name, enum truth before, struct span *value)
{
	enum truth t = before == TRUTH_TRUE ? before : matcher_match(&f->matcher, name);

	if (t == TRUTH_TRUE && before != TRUTH_TRUE)
		*value = name;
	return t == TRUTH_FALSE ? before : t;
}

/* Tags given so far, and those that the filters have given. */
static enum truth
tag_truth(const struct decide_walk *w, const struct rule_facet *f, struct span *value)
{
	const struct facts *facts = w->facts;
	enum truth t = TRUTH_FALSE;

	*value = f->written;
	for (size_t i = 0; i < w->v->n_tags; i++)
		t = one_tag(f, w->v->tags[i].name, t, value);
	for (size_t i = 0; i < facts->n_filter_tags; i++)
		t = one_tag(f, facts->filter_tags[i].name, t, value);
	for (size_t i = 0; i < facts->n_outcomes; i++) {
		struct span name = outcome_tag(w, &facts->outcomes[i]);

		if (name.n > 0)
			t = one_tag(f, name, t, value);
	}
	return t;
}

static enum truth
facet_truth(const struct decide_walk *w, const struct rule_facet *f, struct span *value)
{
	const struct facts *facts = w->facts;

	switch (f->facet) {
	case FACET_CLIENT:
		*value = w->client;
		return matcher_match_ip(&f->matcher, &facts->client, w->client);
	case FACET_HOST:
		*value = facts->host;
		return facts->has_host ? matcher_match(&f->matcher, facts->host) : TRUTH_UNKNOWN;
	case FACET_HELO:
		*value = facts->helo;
		return facts->has_helo ? matcher_match(&f->matcher, facts->helo) : TRUTH_UNKNOWN;
	case FACET_FROM:
		*value = facts->from;
		return matcher_match(&f->matcher, facts->from);
	case FACET_TO:
		*value = facts->to;
		return matcher_match(&f->matcher, facts->to);
	case FACET_COUNTRY:
		*value = facts->country;
		return facts->country.n > 0 ? matcher_match(&f->matcher, facts->country)
					    : TRUTH_UNKNOWN;
	case FACET_ASN:
		*value = w->asn;
		return w->asn.n > 0 ? matcher_match(&f->matcher, w->asn) : TRUTH_UNKNOWN;
	case FACET_TLS:
		*value = facts->tls;
		return known_or_none(f, facts->tls);
	case FACET_AUTH:
		*value = facts->user;
		return known_or_none(f, facts->user);
	case FACET_TAG:
		return tag_truth(w, f, value);
	case FACET_SUBJECT:
	case FACET_HEADER:
	case FACET_BODY:
	case FACET_URL:
	case FACET_ATTACHMENT:
	case FACET_ATTACHMENT_TYPE:
		*value = f->written; /* the text itself stays in the worker */
		return content_truth(facts, f->predicate);
	}
	return TRUTH_UNKNOWN;
}

/* What keeps a rule from matching is said before what leaves it open: a rule that is TRUTH_SPENT might match. */
static int
rank(enum truth t)
{
	switch (t) {
	case TRUTH_TRUE:
		return 0;
	case TRUTH_SPENT:
		return 1;
	case TRUTH_LIMIT:
		return 2;
	case TRUTH_UNKNOWN:
		return 3;
	case TRUTH_FALSE:
		break;
	}
	return 4;
}

struct judged
rule_judge(const struct decide_walk *w, const struct rule *r)
{
	struct judged all = {.truth = TRUTH_TRUE, .fact = "client", .value = w->client};

	for (size_t i = 0; i < r->n_facets; i++) {
		const struct rule_facet *f = r->facets[i];
		struct span value = {0};
		enum truth truth = facet_truth(w, f, &value);

		if (f->is_negated)
			truth = negated(truth);
		if (truth == TRUTH_FALSE)
			return (struct judged){TRUTH_FALSE, facet_name(f->facet), value};
		if (all.truth == TRUTH_TRUE || rank(truth) > rank(all.truth))
			all = (struct judged){truth, facet_name(f->facet), value};
	}
	return all;
}

bool
rule_is_expired(const struct decide_walk *w, const struct rule *r)
{
	return w->facts->now_wall_ms >= r->expires_ms;
}

struct list_answer
rule_answer(const struct decide_walk *w, const struct rule *r)
{
	if (r->list >= w->facts->n_answers)
		return (struct list_answer){.state = LIST_UNKNOWN};
	return w->facts->answers[r->list];
}

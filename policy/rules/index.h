/*
 * index.h - which rules of a row can match at all, so that a decision does not walk them all.
 *
 * A rule with a plain value (exact, domain, network; not negated) can only match where the fact has
 * that value: it is filed under one such value, the one that fewest rules share.  Rules without one
 * (globs, regexes, lists, negations) are the rest, looked at every time.  What is found is a
 * superset in listed order; whoever asks still judges each rule, so that no hash collision and no
 * choice made here can change a decision.
 *
 * All zeros is no index.  Built once, then only asked; belongs to its snapshot.
 */
#ifndef RULES_INDEX_H
#define RULES_INDEX_H
#include "policy/rules/rule.h"

enum {
	INDEX_RULES_MIN = 8, /* a shorter row is walked as fast */
	INDEX_RUNS_MAX = 256 /* values of one session that rules are filed under */
};

/* Rules that one value found, by their indexes in listed order; the last one has INDEX_LAST. */
#define INDEX_LAST 0x80000000u

struct index_hits {
	const uint32_t *runs[INDEX_RUNS_MAX];
	size_t n;
	size_t at;      /* the run that is read */
	uint32_t until; /* as long as its next rule stands before this one */
	uint32_t last;  /* what was found before: two values may share a run */
	bool is_over;   /* more than INDEX_RUNS_MAX: walk the row */
};

/* Files `row` (n indexes into `rules`, in listed order). */
void index_build(struct rule_index *x, const struct rule *rules, const uint32_t *row, size_t n);
void index_free(struct rule_index *x);
static inline bool
index_is_built(const struct rule_index *x)
{
	return x->size > 0;
}

/* Begins with the rest; then each fact that is known adds the rules filed under it. */
void index_hits_start(struct index_hits *h, const struct rule_index *x);
void index_find_ip(struct index_hits *h, const struct rule_index *x, const struct ip *ip);
void index_find(
    struct index_hits *h, const struct rule_index *x, enum facet facet, struct span fact);
/* The next rule in listed order; false: that was all. */
bool index_next(struct index_hits *h, uint32_t *rule);

#endif

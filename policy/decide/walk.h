/*
 * walk.h - what the files of the decision share: one run of decide_stage.
 */
#ifndef DECIDE_WALK_H
#define DECIDE_WALK_H
#include "policy/decide/decide.h"
#include "policy/rules/index.h"

enum { DECIDE_ASN_MAX = 16 };

struct decide_walk {
	const struct snapshot *snapshot;
	enum stage stage;
	const struct facts *facts;
	struct verdict *v;
	decide_tracer *tracer;
	void *tracer_arg;
	char client_text[IP_TEXT_MAX];
	struct span client; /* as text; empty where no step and no rule reads it */
	char asn_text[DECIDE_ASN_MAX];
	struct span asn; /* digits; empty: unknown */
};

/* What a rule's facets came to, and the facet that settled it. */
struct judged {
	enum truth truth;
	const char *fact;
	struct span value;
};

/* candidates.c: the rules of a row that are to be looked at, in listed order. */
struct candidates {
	const struct rule_row *row;
	bool is_indexed;
	size_t next; /* without the index */
	struct index_hits hits;
};
void candidates_start(
    struct candidates *c, const struct decide_walk *w, const struct rule_row *row);
/* NULL: that was all. */
const struct rule *candidates_next(struct candidates *c, const struct decide_walk *w);

/* evaluate.c: all facets of a rule; FALSE beats UNKNOWN beats LIMIT beats SPENT beats TRUE. */
struct judged rule_judge(const struct decide_walk *w, const struct rule *r);
bool rule_is_expired(const struct decide_walk *w, const struct rule *r);
/* The answer of the rule's DNS list; LIST_UNKNOWN when there is none. */
struct list_answer rule_answer(const struct decide_walk *w, const struct rule *r);

void walk_trace(const struct decide_walk *w, const char *fact, struct span value, uint32_t rule,
    const char *result);
/* Adds a tag, or its score to the tag of that name and origin; `rule` 0: a filter's. */
void walk_tag(struct decide_walk *w, const struct verdict_tag *tag, uint32_t rule);

/* Who decided, and what to say. */
struct ruling {
	enum action action;
	uint32_t rule; /* 0: none */
	struct span by;
	int code;             /* 0: by the action */
	const char *enhanced; /* NULL: by the code */
	struct span text;     /* for an outsider; cleaned to printable ASCII */
	struct span why;      /* for the admin */
};

/* verdict.c: takes the ruling over when it is stronger than what stands. */
void walk_rule(struct decide_walk *w, const struct ruling *ruling);
/* conduct.c: how the client behaves, as far as the flow's connect asks. */
void walk_greet(struct decide_walk *w); /* STAGE_CONNECT: who talks too early */
void walk_helo(struct decide_walk *w);
void walk_rate(struct decide_walk *w);
void walk_greylist(struct decide_walk *w);
/* sender.c: STAGE_MAIL, what the DNS says of the sender's domain. */
void walk_sender(struct decide_walk *w);
/* outcome.c: the tag that an outcome stands for, for this recipient; empty: none. */
struct span outcome_tag(const struct decide_walk *w, const struct filter_outcome *o);
/* outcome.c: filters' tags and outcomes, then the score. */
void walk_outcomes(struct decide_walk *w);
void walk_score(struct decide_walk *w);

#endif

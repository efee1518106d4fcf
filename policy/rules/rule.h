/*
 * rule.h - one compiled rule, and the snapshot's inside as the decision reads it.
 *
 * Everything lives in the snapshot's arena or points into its text.  Immutable once parsed.
 */
#ifndef RULES_RULE_H
#define RULES_RULE_H
#include "policy/dnsbl/answer.h"
#include "policy/rules/matcher.h"

enum {
	RULE_LINE_MAX = 8192,    /* bytes */
	RULE_FACETS_MAX = 16,    /* facets of one rule */
	RULE_TEXT_MAX = 300,     /* bytes of a `text`: with code and id it fits RFC 5321's 512 */
	RULE_NOTE_MAX = 1000,    /* bytes of a `note` */
	RULE_NAME_MAX = 64,      /* bytes of a tag's name */
	RULE_SCORE_MAX = 1000000 /* points, either sign */
};

enum rule_verb {
	RULE_ACCEPT,
	RULE_REJECT,
	RULE_TEMPFAIL,
	RULE_QUARANTINE,
	RULE_DISCARD,
	RULE_HOLD,
	RULE_KEEP,
	RULE_TAG,
	RULE_SCORE
};

/* The first stage in which all facets of a rule are known; in the order of decide.h's stages. */
enum rule_stage {
	RULE_AT_CONNECT,
	RULE_AT_HELO,
	RULE_AT_MAIL,
	RULE_AT_RCPT,
	RULE_AT_DATA,
	RULE_STAGES
};

struct rule_facet {
	enum facet facet;
	bool is_negated;
	uint32_t predicate;  /* content facets: index of the predicate */
	struct span written; /* the value as it stands in the rule */
	struct matcher matcher;
};

enum { RULE_NO_LIST = UINT16_MAX };

struct rule {
	uint32_t id;
	enum rule_verb verb;
	enum rule_stage stage;
	bool is_observed;
	uint16_t list; /* dnsbl and dnswl lines: index of the list; else RULE_NO_LIST */
	uint16_t n_facets;
	int32_t score_milli;
	struct rule_facet **facets; /* each for itself: predicates point to their matchers */
	int64_t expires_ms;    /* wall time from which it never matches; INT64_MAX: never expires */
	struct span line;      /* as written, without blanks at its ends */
	struct span condition; /* facets and values as written; of a list line "Listed by ZONE" */
	struct span name;      /* of the tag; empty: none */
	struct span text;
};

/* index.h: the rules of one row by a value that their fact must have. */
struct rule_index {
	struct index_slot *slots;
	size_t size; /* of slots, a power of two; 0: none built */
	uint32_t *positions, *rest;
	size_t n_rest;
	uint64_t bits[3]; /* lengths of networks */
	uint8_t forms[FACET_ATTACHMENT_TYPE + 1];
	uint16_t below_max[FACET_ATTACHMENT_TYPE + 1]; /* bytes of the longest VALUE_BELOW */
};

/* Rules, as indexes in listed order. */
struct rule_row {
	uint32_t *items;
	size_t n, cap;
	struct rule_index index;
};

/* The rules of one stage. */
struct rule_order {
	struct rule_row marks; /* tag, score and observe rules */
	struct rule_row
	    deciders; /* deciding rules, and every dnsbl and dnswl line at its own place */
};

struct list_ranges {
	struct answer_range items[ANSWER_RANGES_MAX];
	size_t n;
};

struct snapshot {
	struct arena memory;
	unsigned holders;
	uint64_t version;
	struct span text;
	struct rule *rules;
	size_t n_rules, cap_rules;
	uint32_t *by_id; /* indexes of rules by rising id; NULL: as they are listed, from 1 */
	uint32_t facets; /* bit FACET_: a rule looks at it */
	bool reads_client_text; /* a glob or a regex looks at the client's address */
	struct rule_order stages[RULE_STAGES];
	struct dns_list lists[POLICY_LISTS_MAX];
	struct list_ranges ranges[POLICY_LISTS_MAX];
	size_t n_lists;
	struct predicate *predicates;
	size_t n_predicates, cap_predicates;
	struct regex_room room;
	struct valuelist **values; /* list files */
	size_t n_values;
};

/* The rule with this id; NULL: there is none. */
const struct rule *snapshot_rule(const struct snapshot *s, uint32_t id);
const char *facet_name(enum facet facet);
const char *rule_verb_name(enum rule_verb verb);

#endif

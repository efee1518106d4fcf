/*
 * matcher.h - one compiled value of a rule: exact, network, domain, glob, regex or list.
 *
 * A matcher lives in its snapshot's arena; regex code is freed with the snapshot.  Regexes run
 * in PCRE2's interpreter, never its JIT (the sandbox forbids writable code), within the limits
 * below and of effort.h; a pattern that meets one is TRUTH_LIMIT, which matches nothing.
 */
#ifndef RULES_MATCHER_H
#define RULES_MATCHER_H
#include "policy/rules/effort.h"
#include "policy/rules/lexer.h"
#include "policy/rules/valuelist.h"

enum {
	REGEX_PATTERN_MAX = 4096,   /* bytes */
	REGEX_NEST_MAX = 100,       /* parentheses */
	REGEX_MATCH_LIMIT = 200000, /* steps from one starting point */
	REGEX_DEPTH_LIMIT = 20000,  /* nested backtracking points */
	REGEX_HEAP_LIMIT = 16384    /* KiB */
};

/* What all regexes of a snapshot share. */
struct regex_room {
	pcre2_compile_context *compile;
	pcre2_match_context *match;
	pcre2_match_data *data;
	struct regex *all;
	struct regex_effort {
		struct effort effort;
		bool is_shared; /* by all matches of a message, see snapshot_begin_message */
	} * spending;
};

enum match_form { MATCH_VALUE, MATCH_GLOB, MATCH_REGEX, MATCH_LIST };

struct matcher {
	enum match_form form;
	enum value_kind kind;
	struct value value; /* MATCH_VALUE; its text, of MATCH_GLOB too, points into the policy */
	union {
		const pcre2_code *code;
		const struct valuelist *list;
	} by;
	const struct regex_room *room; /* MATCH_REGEX */
};

void regex_room_init(struct regex_room *room);
void regex_room_free(struct regex_room *room);

/* The value of a token that is no list; `m` is filled. 0 or -E_SYNTAX with what would be right. */
int matcher_compile(struct matcher *m, const struct token *t, enum value_kind kind,
    struct regex_room *room, struct arena *memory, struct err *err);
/* matcher_match for a client's address; `text` is the address as text, for globs and regexes. */
enum truth matcher_match_ip(const struct matcher *m, const struct ip *ip, struct span text);

#endif

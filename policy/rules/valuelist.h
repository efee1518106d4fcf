/*
 * valuelist.h - the values of one list file, `list:NAME`, for one kind of facet.
 *
 * One value a line, in any form that a rule takes but `!` and another list; it may hold blanks and
 * may stand in "…".  `#` begins a comment at a word's start.  A list may hold a million values,
 * found without a walk, and a few patterns (globs and regexes) that are tried in turn.
 */
#ifndef RULES_VALUELIST_H
#define RULES_VALUELIST_H
#include "policy/rules/netset.h"
#include "policy/rules/textset.h"
#include "policy/rules/value.h"
#include "relay/base/mem.h"

enum {
	VALUELIST_NAME_MAX = 64,
	VALUELIST_TEXT_MAX = 64 * 1024 * 1024,
	VALUELIST_PATTERNS_MAX = 1000
};

struct matcher; /* matcher.h */
struct regex_room;

struct valuelist {
	enum value_kind kind;
	struct netset nets;
	struct textset exact, domains, below;
	struct matcher *patterns;
	size_t n_patterns;
	struct arena memory; /* of the patterns */
};

/* A list's name: letters, digits, '-', '_' and '.', no '.' in front. It becomes a file name. */
bool valuelist_is_name(struct span name);
/* Called for each wrong line. */
typedef void valuelist_complaint(void *arg, uint32_t line, const char *text);
/* The regexes of its patterns are `room`'s, which must be freed first; the text need not outlive it. */
struct valuelist *valuelist_parse(struct span text, enum value_kind kind, struct regex_room *room,
    valuelist_complaint *complain, void *arg);
/* As matcher_match: TRUTH_LIMIT when no value matches and a regex met its limit. */
enum truth valuelist_match(const struct valuelist *list, struct span fact);
/* The same for a client; `text` is its address as text, for the patterns. */
enum truth valuelist_match_ip(const struct valuelist *list, const struct ip *ip, struct span text);
void valuelist_free(struct valuelist **list);

#endif

/*
 * pattern.h - one compiled "/regex/flags" of a filter's settings (PCRE2, UTF, unanchored; flags
 * i, m, s, x), matched under limits so that no message can make it run for long: those of
 * one starting point are below, those of all patterns over a message are effort.h's.
 *
 * Compiled in the zygote, used in every worker; one thread.
 */
#ifndef CONTENT_PATTERN_H
#define CONTENT_PATTERN_H
#include "policy/rules/effort.h"

enum {
	PATTERN_TEXT_MAX = 4096,
	PATTERN_MATCH_LIMIT = 500000, /* PCRE2's calls of match() */
	PATTERN_DEPTH_LIMIT = 5000,
	PATTERN_HEAP_LIMIT_KIB = 20000
};

enum pattern_result { PATTERN_NO, PATTERN_YES, PATTERN_LIMIT };

struct pattern;

/* NULL: not a pattern; `why` says what is wrong and where. */
struct pattern *pattern_new(struct span text, char *why, size_t why_n);
void pattern_free(struct pattern **p);
/* PATTERN_LIMIT, too, once `effort` is spent. */
enum pattern_result pattern_match(
    const struct pattern *p, struct span value, struct effort *effort);
struct span pattern_text(const struct pattern *p); /* as it was written */

#endif

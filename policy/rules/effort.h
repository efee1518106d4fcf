/*
 * effort.h - how much work regexes may do, counted in what they do and not in time, so that the same
 * message is judged alike on any machine and as often as it is judged.
 *
 * PCRE2's own limits are for one starting point: /[a-z]+\d/ on 64 KiB of letters stays below them and
 * takes 20 seconds.  So every regex is compiled with PCRE2_AUTO_CALLOUT and calls us at each item; that
 * costs it a third.  The alternative, fewer or shorter rules, would not bound it: one rule is enough.
 * What a back reference compares in vain is not counted: /(.+)\1x/i over 8,000 letters takes 6 seconds.
 */
#ifndef RULES_EFFORT_H
#define RULES_EFFORT_H
#include "relay/base/span.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

enum {
	EFFORT_STEP = 16, /* an item of a regex is tried */
	EFFORT_START =
	    256 /* a match is begun; beside it and each step every byte that is passed costs 1 */
};
/* Of all regexes over one message: some 3 seconds of one core. */
#define EFFORT_MESSAGE 4000000000ull
/* Of one match over what a client says before its message; under 50 ms, since front does nothing else meanwhile. */
#define EFFORT_MATCH 40000000ull

struct effort {
	uint64_t left;
	size_t at; /* in the subject, at the last step */
	bool is_spent;
};

void effort_begin(struct effort *e, uint64_t units);
/* pcre2_match over the whole subject.  PCRE2_ERROR_CALLOUT: all is spent, now or before. */
int effort_match(struct effort *e, const pcre2_code *code, struct span subject,
    pcre2_match_data *data, pcre2_match_context *limits);

#endif

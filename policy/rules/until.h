/* until.h - the date of an `until` option: YYYY-MM-DD or YYYY-MM-DDTHH:MMZ, UTC. */
#ifndef RULES_UNTIL_H
#define RULES_UNTIL_H
#include "relay/base/err.h"
#include "relay/base/span.h"

/* Wall milliseconds from which the rule is expired: a bare date's is the next midnight.
 * 0, or -E_SYNTAX with what would be right. */
int until_parse(struct span text, int64_t *expires_ms, struct err *err);

#endif

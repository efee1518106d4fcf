/*
 * bucket.h - a token bucket: n at once, then as they come back, n in each period.
 *
 * Kept as the time at which it is full again (the generic cell rate algorithm), so that it costs
 * eight bytes and no timer.  Pure: the time is passed in; any clock that does not run back does.
 */
#ifndef RATE_BUCKET_H
#define RATE_BUCKET_H
#include "policy/config/config.h"

struct bucket {
	int64_t full_ns; /* all zeros: full */
};

/* Takes one; false when there is none, and nothing is taken.  No limit (n == 0): always true. */
bool bucket_take(struct bucket *b, const struct conf_allowance *limit, int64_t now_ms);
/* Whether bucket_take would say no. */
bool bucket_is_empty(const struct bucket *b, const struct conf_allowance *limit, int64_t now_ms);

#endif

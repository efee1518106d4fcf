#include "policy/rate/bucket.h"

enum { NS_PER_MS = 1000000 };

/* When the bucket would be full again after one more was taken; false: there is none to take. */
static bool
next(const struct bucket *b, const struct conf_allowance *limit, int64_t now_ms, int64_t *full_ns)
{
	int64_t now_ns = now_ms * NS_PER_MS, per_ns = limit->per_ms * NS_PER_MS;
	int64_t from = b->full_ns > now_ns ? b->full_ns : now_ns;

	*full_ns = from + per_ns / limit->n;
	return *full_ns - now_ns <= per_ns;
}

bool
bucket_take(struct bucket *b, const struct conf_allowance *limit, int64_t now_ms)
{
	int64_t full_ns;

	if (limit->n == 0)
		return true;
	if (!next(b, limit, now_ms, &full_ns))
		return false;
	b->full_ns = full_ns;
	return true;
}

bool
bucket_is_empty(const struct bucket *b, const struct conf_allowance *limit, int64_t now_ms)
{
	int64_t full_ns;

	return limit->n > 0 && !next(b, limit, now_ms, &full_ns);
}

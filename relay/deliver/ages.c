#include "relay/deliver/ages.h"
#include "relay/base/err.h"

enum { MINUTE_MS = 60 * 1000 };

static int64_t
minute_of(int64_t arrived_ms)
{
	return arrived_ms > 0 ? arrived_ms / MINUTE_MS : 0;
}

static uint32_t *
counter(struct ages *a, int64_t minute)
{
	return &a->minutes[minute % AGES_MINUTES];
}

static bool
is_ancient(const struct ages *a, int64_t minute)
{
	return minute <= a->top - AGES_MINUTES;
}

/* Makes `minute` the newest: the counters that are used again give what they hold to `ancient`. */
static void
advance(struct ages *a, int64_t minute)
{
	int64_t from = a->top + 1;

	if (minute - from >= AGES_MINUTES)
		from = minute - AGES_MINUTES + 1; /* once round is enough */
	for (int64_t i = from; i <= minute; i++) {
		a->ancient += *counter(a, i);
		*counter(a, i) = 0;
	}
	a->top = minute;
}

void
ages_add(struct ages *a, int64_t arrived_ms)
{
	int64_t minute = minute_of(arrived_ms);

	if (minute > a->top)
		advance(a, minute);
	if (is_ancient(a, minute))
		a->ancient++;
	else
		(*counter(a, minute))++;
}

void
ages_remove(struct ages *a, int64_t arrived_ms)
{
	int64_t minute = minute_of(arrived_ms);

	if (is_ancient(a, minute)) {
		must(a->ancient > 0);
		a->ancient--;
	} else {
		must(*counter(a, minute) > 0);
		(*counter(a, minute))--;
	}
}

void
ages_histogram(
    const struct ages *a, int64_t now_ms, const int64_t *bounds_ms, size_t n, uint64_t *counts)
{
	size_t bucket = 0;
	int64_t oldest = a->top - AGES_MINUTES;

	for (size_t i = 0; i <= n; i++)
		counts[i] = 0;
	for (int64_t minute = a->top; minute > oldest && minute >= 0; minute--) {
		int64_t age_ms = (minute_of(now_ms) - minute) * MINUTE_MS;

		while (bucket < n && age_ms >= bounds_ms[bucket])
			bucket++;
		counts[bucket] += a->minutes[minute % AGES_MINUTES];
	}
	counts[n] += a->ancient;
}

/*
 * ages.h - how many messages are how old, counted as they come and go: one counter for each minute of
 * arrival, so that a histogram of ages costs the same with ten messages and with a million.
 *
 * Pure.  All zeros is empty.  Arrivals beyond AGES_MINUTES before the newest are counted together.
 */
#ifndef DELIVER_AGES_H
#define DELIVER_AGES_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { AGES_MINUTES = 16384 }; /* eleven days */

struct ages {
	int64_t top; /* the newest minute that has a counter */
	uint64_t ancient;
	uint32_t minutes[AGES_MINUTES];
};

/* Both with the same time for the same message; milliseconds, 0 and above. */
void ages_add(struct ages *a, int64_t arrived_ms);
void ages_remove(struct ages *a, int64_t arrived_ms);
/* Into counts[i] how many are younger than bounds_ms[i] (ascending) and not in a bucket before, the rest
 * into counts[n]; to the minute.  What is older than the counters go is in the rest. */
void ages_histogram(
    const struct ages *a, int64_t now_ms, const int64_t *bounds_ms, size_t n, uint64_t *counts);

#endif

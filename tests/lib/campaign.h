/*
 * campaign.h - what the simulators of power losses (spool_sim.h, release_sim.h) and the tests that run
 * them share: what a campaign has come to, how calls fail in it, and how many points are taken.
 */
#ifndef TESTS_CAMPAIGN_H
#define TESTS_CAMPAIGN_H
#include "relay/base/err.h"
#include "relay/base/span.h"

#include <errno.h>
#include <stdlib.h>

struct sim_result {
	uint64_t n_points, n_released;
	uint64_t seed, nth; /* the last ones taken */
	char wrong[800];    /* "": nothing */
};

/* The n-th call fails, and some after it. */
enum { SIM_FAILURES = 4 };
static const struct {
	int fails, with;
} sim_failures[SIM_FAILURES] = {{1, EIO}, {2, EIO}, {12, ENOSPC}, {1 << 30, EIO}};

/* Of two campaigns `round` points each in turn. */
static inline void
campaign_both(struct sim_result *to, uint64_t points, uint64_t round,
    void (*one)(struct sim_result *to, uint64_t points),
    void (*other)(struct sim_result *to, uint64_t points))
{
	while (to->n_points < points && to->wrong[0] == '\0') {
		one(to, round);
		other(to, round);
	}
}

/* As the variable says, or as usual. */
static inline uint64_t
campaign_points(const char *variable, uint64_t usual)
{
	const char *text = getenv(variable);
	uint64_t n = usual;

	if (text != NULL && !span_to_u64(span_str(text), &n))
		die("%s=%s is no number", variable, text);
	return n;
}

#endif

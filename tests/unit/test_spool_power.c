/*
 * The power-loss simulator (tests/lib/spool_sim.h), twice: made-up work with failures now and then,
 * and the same work with its n-th file call failing, for every n.  `make test` takes a share of the
 * points; `make fault` sets FAULT_POINTS and takes them all.
 */
#include "relay/base/log.h"
#include "tests/lib/spool_sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <time.h>
#include <cmocka.h>

enum { POINTS = 12000, STEPS = 120, NTH_STEPS = 36, NTH_SETS = 4 };

static uint64_t n_points;

/* Points for one of the two tests. */
static uint64_t
share(void)
{
	const char *points = getenv("FAULT_POINTS");
	uint64_t n = POINTS;

	if (points != NULL && !span_to_u64(span_str(points), &n))
		fail_msg("FAULT_POINTS=%s is no number", points);
	return n / 2;
}

static double
seconds(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* for the figure that is printed */
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void
finish(struct sim **sim)
{
	char wrong[sizeof((*sim)->wrong)];

	n_points += (*sim)->n_points;
	memcpy(wrong, (*sim)->wrong, sizeof(wrong));
	sim_free(sim);
	if (wrong[0] != '\0')
		fail_msg("%s", wrong);
}

static void
report(const char *what, uint64_t before, double began)
{
	print_message("# %s: %llu points in %.1f s\n", what,
	    (unsigned long long)(n_points - before), seconds() - began);
}

static void
test_power_fails_at_any_call(void **state)
{
	uint64_t before = n_points, wanted = share();
	double began = seconds();

	(void)state;
	for (uint64_t seed = 1; n_points - before < wanted; seed++) {
		struct sim *sim =
		    sim_new(seed, (enum sim_mood)(seed % SIM_MOODS), wanted - (n_points - before));

		sim->has_faults = seed / SIM_MOODS % 2 == 1;
		sim_run(sim, STEPS);
		finish(&sim);
	}
	report("power fails at any call", before, began);
}

/* The run of one seed with its n-th call failing; false: it makes fewer calls. */
static bool
run_nth(uint64_t n, enum sim_mood mood, int fails, int with)
{
	struct sim *sim = sim_new(7000 + (uint64_t)mood, mood, UINT64_MAX);
	bool was_reached;

	sim->is_quiet = true;
	sim->fs->fail_at = n;
	sim->fs->fails = fails;
	sim->fs->fail_with = with;
	sim_run(sim, NTH_STEPS);
	was_reached = sim->fs->n_failed > 0 || sim->failed_before > 0;
	finish(&sim);
	return was_reached;
}

static void
test_nth_call_fails(void **state)
{
	static const struct {
		int fails, with;
	} sets[NTH_SETS] = {{1, EIO}, {2, EIO}, {12, ENOSPC}, {1 << 30, EIO}};
	uint64_t before = n_points, wanted = share();
	double began = seconds();

	(void)state;
	/* Each set and mood has its calls in an order that spreads the first few over the run. */
	for (uint64_t i = 0; n_points - before < wanted; i++) {
		uint64_t n = 1 + i / (NTH_SETS * SIM_MOODS) * 97 % 1009;

		(void)run_nth(n, (enum sim_mood)(i % SIM_MOODS), sets[i / SIM_MOODS % NTH_SETS].fails,
		    sets[i / SIM_MOODS % NTH_SETS].with);
	}
	report("nth call fails", before, began);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_power_fails_at_any_call),
	    cmocka_unit_test(test_nth_call_fails),
	};

	log_setup("test", false, (enum log_level)(LOG_ERROR + 1));
	return cmocka_run_group_tests(tests, NULL, NULL);
}

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

enum { POINTS = 30000 };

/* Of all points the half; a build with sanitizers is slow, and looks for other things. */
static uint64_t
share(void)
{
	return campaign_points("FAULT_POINTS", SIM_IS_SLOW ? POINTS / 10 : POINTS) / 2;
}

static double
seconds(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now); /* for the figure that is printed */
	return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void
run(const char *what, void (*campaign)(struct sim_result *to, uint64_t points))
{
	struct sim_result result = {0};
	double began = seconds();

	campaign(&result, share());
	if (result.wrong[0] != '\0')
		fail_msg("%s", result.wrong);
	assert_true(result.n_points >= share());
	(void)printf("# %s: %llu points in %.1f s, nothing wrong\n", what,
	    (unsigned long long)result.n_points, seconds() - began);
}

static void
test_power_fails_at_any_call(void **state)
{
	(void)state;
	run("power loss and kill -9 at any call", sim_any_call);
}

static void
test_nth_call_fails(void **state)
{
	(void)state;
	run("the nth call fails, for each n", sim_nth_call);
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

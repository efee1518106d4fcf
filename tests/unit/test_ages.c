/* Messages counted by their age, against a count by hand. */
#include "relay/deliver/ages.h"
#include "relay/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MINUTE 60000LL
#define START  (1700000000000LL / MINUTE * MINUTE)

static const int64_t bounds[] = {5 * MINUTE, 60 * MINUTE};

static void
check(const struct ages *a, int64_t now_ms, uint64_t young, uint64_t middle, uint64_t old)
{
	uint64_t counts[3];

	ages_histogram(a, now_ms, bounds, 2, counts);
	assert_int_equal(counts[0], young);
	assert_int_equal(counts[1], middle);
	assert_int_equal(counts[2], old);
}

static void
test_buckets(void **state)
{
	struct ages *a = mem_alloc(sizeof(*a));

	(void)state;
	check(a, START, 0, 0, 0);
	ages_add(a, START);
	ages_add(a, START + 30000);
	check(a, START, 2, 0, 0);
	check(a, START + 5 * MINUTE - 1, 2, 0, 0);
	check(a, START + 5 * MINUTE, 0, 2, 0);
	check(a, START + 60 * MINUTE, 0, 0, 2);
	ages_add(a, START - 10 * MINUTE); /* older than the first: recovery */
	check(a, START, 2, 1, 0);
	ages_remove(a, START);
	check(a, START, 1, 1, 0);
	ages_remove(a, START + 1);
	ages_remove(a, START - 10 * MINUTE);
	check(a, START, 0, 0, 0);
	mem_free(a);
}

/* Past the counters: in the rest, and found there when it goes. */
static void
test_ancient(void **state)
{
	const int64_t long_ago = START - (AGES_MINUTES + 5) * MINUTE;
	struct ages *a = mem_alloc(sizeof(*a));

	(void)state;
	ages_add(a, START);
	ages_add(a, long_ago);
	ages_add(a, 0);
	check(a, START, 1, 0, 2);
	ages_add(a, START + AGES_MINUTES * MINUTE); /* START's counter is used again */
	check(a, START + AGES_MINUTES * MINUTE, 1, 0, 3);
	ages_remove(a, START);
	ages_remove(a, long_ago);
	ages_remove(a, 0);
	check(a, START + AGES_MINUTES * MINUTE, 1, 0, 0);
	ages_add(a, START + 40LL * AGES_MINUTES * MINUTE); /* a clock that jumps */
	check(a, START + 40LL * AGES_MINUTES * MINUTE, 1, 0, 1);
	ages_remove(a, START + AGES_MINUTES * MINUTE);
	check(a, START + 40LL * AGES_MINUTES * MINUTE, 1, 0, 0);
	mem_free(a);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_buckets),
	    cmocka_unit_test(test_ancient),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

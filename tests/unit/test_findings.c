/* What is found about a message, where it is more than fits. */
#include "relay/walk/findings.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { FILTERS = 3 };

static const struct conf_flow flow = {.n_filters = FILTERS};

static bool
has_failed(const struct scan_result *r, uint8_t filter)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n_outcomes; i++)
		n += r->outcomes[i].filter == filter && r->outcomes[i].outcome == -1;
	assert_true(n <= 1);
	return n == 1;
}

static void
test_failures_always_have_a_place(void **state)
{
	static const struct {
		size_t before, after;
		uint32_t failed;
	} rows[] = {
	    {0, 0, 0},
	    {0, 3, 7},
	    {5, 6, 2},
	    {5, 5, 8}, /* no such filter in the flow */
	    {SCAN_OUTCOMES_MAX, SCAN_OUTCOMES_MAX, 0},
	    {SCAN_OUTCOMES_MAX - 3, SCAN_OUTCOMES_MAX, 7},
	    {SCAN_OUTCOMES_MAX - 2, SCAN_OUTCOMES_MAX, 7},
	    {SCAN_OUTCOMES_MAX - 1, SCAN_OUTCOMES_MAX, 4},
	    {SCAN_OUTCOMES_MAX, SCAN_OUTCOMES_MAX, 1},
	    {SCAN_OUTCOMES_MAX, SCAN_OUTCOMES_MAX, 7},
	};
	static struct scan_result r;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("row %zu\n", i);
		r = (struct scan_result){.n_outcomes = rows[i].before};
		findings_add_failures(&r, &flow, rows[i].failed);
		assert_int_equal(r.n_outcomes, rows[i].after);
		for (uint8_t k = 0; k < FILTERS; k++)
			assert_int_equal(has_failed(&r, k), rows[i].failed >> k & 1);
		if (rows[i].before > 0) /* the first ones stay */
			assert_int_equal(r.outcomes[0].outcome, 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_failures_always_have_a_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

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
		findings_add_failures(&r, &(struct scan){.flow = &flow}, rows[i].failed);
		assert_int_equal(r.n_outcomes, rows[i].after);
		for (uint8_t k = 0; k < FILTERS; k++)
			assert_int_equal(has_failed(&r, k), rows[i].failed >> k & 1);
		if (rows[i].before > 0) /* the first ones stay */
			assert_int_equal(r.outcomes[0].outcome, 0);
	}
}

/* A worker marks a part for the outcome in the last place, which a failure takes: the mark goes with it, and what
 * is left can be passed on. */
static void
test_marks_go_with_their_outcomes(void **state)
{
	static const struct pnf_outcome outcomes[] = {{"one", "tag", ""}, {.name = NULL}};
	static const struct pnf_about names_about = {
	    .name = "names", .may = PNF_MAY_NAME_PARTS, .outcomes = outcomes};
	static const struct pnf_about other_about = {.name = "other", .outcomes = outcomes};
	static const struct conf_filter names = {.name = "names", .plugin = &names_about};
	static const struct conf_filter other = {.name = "other", .plugin = &other_about};
	static const struct conf_flow two = {
	    .n_filters = 2, .filters = {{.filter = &names}, {.filter = &other}}};
	static struct scan_result r, back;
	struct buf b = BUF_INIT(1 << 20);

	(void)state;
	r = (struct scan_result){.n_outcomes = SCAN_OUTCOMES_MAX,
	    .n_parts = 1,
	    .parts = {{.at = 10, .n = 20}},
	    .n_marks = 3,
	    .marks = {{SCAN_OUTCOMES_MAX - 2, 0, SPAN("a")}, {SCAN_OUTCOMES_MAX - 1, 0, SPAN("b")},
		{0, 0, SPAN("c")}}};
	findings_add_failures(&r, &(struct scan){.flow = &two}, 1U << 1);
	assert_int_equal(r.n_marks, 2);
	assert_true(span_eq(r.marks[0].why, SPAN("a")) && span_eq(r.marks[1].why, SPAN("c")));
	scan_result_put(&b, &r);
	assert_int_equal(scan_result_get(buf_span(&b), &two, &back), 0);
	buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_failures_always_have_a_place),
	    cmocka_unit_test(test_marks_go_with_their_outcomes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

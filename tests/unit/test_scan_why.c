/* What is said of a filter that has failed for a message without a word of its own. */
#include "relay/front/scan_why.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { ID = 7 };

static const struct conf_filter slow = {
    .name = "slow", .deadline_ms = 5000, .max_failures = 3, .pause_ms = 1500};
static const struct conf_filter quick = {
    .name = "quick", .deadline_ms = 250, .max_failures = 5, .pause_ms = 30000};
static const struct conf_flow flow = {
    .filters = {{.filter = &slow}, {.filter = &quick}}, .n_filters = 2};

static void
test_whys(void **state)
{
	static const struct {
		struct worker_death death;
		uint32_t given_up, skip;
		unsigned n_deaths;
		size_t filter;
		const char *blamed, *why;
	} rows[] = {
	    {{11, 0, 0, ID, false}, 1, 1, 2, 0, "slow",
		"crashed on this message (signal 11: Segmentation fault)"},
	    {{9, 0, 0, ID, true}, 1, 1, 2, 0, "slow", "took over 5 s for this message"},
	    {{9, 0, 1, ID, true}, 2, 2, 2, 1, "quick", "took over 250 ms for this message"},
	    {{0, 0, 1, ID, false}, 2, 2, 2, 1, "quick",
		"ended its process on this message (exit status 0)"},
	    {{0, 3, 1, ID, false}, 2, 2, 2, 1, "quick",
		"ended its process on this message (exit status 3)"},
	    /* Not asked, for no fault of this message. */
	    {{0, 0, -1, 0, false}, 0, 1, 0, 0, "-",
		"switched off after 3 failures in a row; tried again every 1500 ms"},
	    {{0, 0, -1, 0, false}, 0, 2, 0, 1, "-",
		"switched off after 5 failures in a row; tried again every 30 s"},
	    {{11, 0, 0, ID, false}, 1, 3, 2, 1, "slow",
		"switched off after 5 failures in a row; tried again every 30 s"},
	    /* Nobody could run it. */
	    {{0, 0, -1, 0, false}, 0, 0, 0, 0, "-", "not asked: no worker was free in time"},
	    {{6, 0, -1, ID, false}, 0, 0, 2, 1, "-",
		"its worker crashed on this message (signal 6: Aborted)"},
	    {{9, 0, -1, ID, true}, 0, 0, 2, 1, "-",
		"its worker took too long to read this message"},
	    {{0, 0, -1, ID, false}, 0, 0, 2, 1, "-", "its worker gave no answer to this message"},
	    /* Of another message, or of a filter that is none: nobody is blamed. */
	    {{11, 0, 0, ID + 1, false}, 0, 0, 1, 0, "-",
		"its worker crashed on this message (signal 11: Segmentation fault)"},
	    {{11, 0, 2, ID, false}, 0, 0, 1, 0, "-",
		"its worker crashed on this message (signal 11: Segmentation fault)"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct scan s = {.flow = &flow,
		    .id = ID,
		    .given_up = rows[i].given_up,
		    .n_deaths = rows[i].n_deaths,
		    .request = {.skip = rows[i].skip}};
		char text[SCAN_WHY_MAX];
		struct span why;

		if (rows[i].n_deaths > 0)
			scan_note_end(&s, &rows[i].death);
		why = scan_why(&s, rows[i].filter, text);
		if (!span_eq(why, span_str(rows[i].why)))
			fail_msg("row %zu: %.*s", i, SPAN_ARG(why));
		assert_string_equal(scan_blamed(&s, &rows[i].death), rows[i].blamed);
	}
	assert_string_equal(scan_blamed(NULL, &rows[0].death), "-"); /* it had no message */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_whys)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

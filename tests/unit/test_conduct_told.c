/* What fronts tell of a client's conduct, put together for `postern explain`. */
#include "relay/command/conduct_told.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void
test_take(void **state)
{
	/* the answers of up to three fronts; connect, mail, rcpt, and the second recipient's */
	static const struct row {
		const char *answers[3];
		enum rate_fact connect, mail, rcpt;
		enum greylist_fact greylist;
		int64_t left_ms;
	} rows[] = {
	    {{"1 1 1 0 0 1 500"}, RATE_WITHIN, RATE_WITHIN, RATE_WITHIN, GREYLIST_WAIT, 500},
	    {{"0 0 0 0 0 0 0"}, RATE_UNKNOWN, RATE_UNKNOWN, RATE_UNKNOWN, GREYLIST_UNKNOWN, 0},
	    /* the worst of rates, the best that is known of the sender */
	    {{"1 1 1 0 0 1 500", "2 4 5 0 0 2 0", "3 1 0 0 0 0 0"}, RATE_ERRORS, RATE_MESSAGES,
		RATE_RECIPIENTS, GREYLIST_PASSED, 0},
	    {{"1 1 1 0 0 4 0", "1 1 1 0 0 1 9"}, RATE_WITHIN, RATE_WITHIN, RATE_WITHIN,
		GREYLIST_CORRESPONDENT, 0},
	    /* cut, or none */
	    {{"1 1"}, RATE_UNKNOWN, RATE_UNKNOWN, RATE_UNKNOWN, GREYLIST_UNKNOWN, 0},
	    {{"1 1 1 1"}, RATE_WITHIN, RATE_WITHIN, RATE_WITHIN, GREYLIST_UNKNOWN, 0},
	    {{"1 1 1 1 5 1"}, RATE_WITHIN, RATE_WITHIN, RATE_WITHIN, GREYLIST_UNKNOWN, 0},
	    {{""}, RATE_UNKNOWN, RATE_UNKNOWN, RATE_UNKNOWN, GREYLIST_UNKNOWN, 0},
	    {{"x y z"}, RATE_UNKNOWN, RATE_UNKNOWN, RATE_UNKNOWN, GREYLIST_UNKNOWN, 0},
	    {{"6 99 1 5 0 5 0"}, RATE_UNKNOWN, RATE_UNKNOWN, RATE_WITHIN, GREYLIST_UNKNOWN, 0},
	    {{"1 1 1 0 0 1 99999999999999999999"}, RATE_WITHIN, RATE_WITHIN, RATE_WITHIN,
		GREYLIST_UNKNOWN, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		static struct conduct c;
		struct facts facts = {0};

		c = (struct conduct){0};
		for (size_t k = 0; k < 3 && rows[i].answers[k] != NULL; k++)
			conduct_take(&c, span_str(rows[i].answers[k]), 0, 2);
		assert_int_equal(c.connect, rows[i].connect);
		assert_int_equal(c.mail, rows[i].mail);
		conduct_set(&c, 1, &facts);
		assert_int_equal(facts.rate, rows[i].rcpt);
		assert_int_equal(facts.greylist, rows[i].greylist);
		assert_int_equal(facts.greylist_left_ms, rows[i].left_ms);
	}
}

/* No more recipients than were asked for. */
static void
test_take_no_more(void **state)
{
	static struct conduct c;

	(void)state;
	conduct_take(&c, SPAN("1 1 1 2 0 2 0 2 0"), 50, 2);
	assert_int_equal(c.rcpts[49].greylist, GREYLIST_UNKNOWN);
	assert_int_equal(c.rcpts[50].greylist, GREYLIST_PASSED);
	assert_int_equal(c.rcpts[51].greylist, GREYLIST_PASSED);
	assert_int_equal(c.rcpts[52].greylist, GREYLIST_UNKNOWN);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_take),
	    cmocka_unit_test(test_take_no_more),
	};

	return cmocka_run_group_tests_name("conduct_told", tests, NULL, NULL);
}

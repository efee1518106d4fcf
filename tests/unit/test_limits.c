/* What front counts of its clients: connections by flow, rates, who waits for the banner. */
#include "relay/base/clock.h"
#include "relay/front/limits.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { LIMITED, OTHER, UNASKED, FLOWS };

static struct conf_flow flows[FLOWS];
static struct config config;
static struct limits *limits;
static struct tallies *tallies;
static struct ip a, b;

static int
setup(void **state)
{
	static const struct conf_rate rate = {
	    .connections = 2, .messages = {2, 60000, "2/1m"}, .errors = {1, 60000, "1/1m"}};

	(void)state;
	flows[LIMITED] = flows[OTHER] = (struct conf_flow){.connect = CONNECT_RATE, .rate = rate};
	flows[UNASKED] = (struct conf_flow){.connect = CONNECT_ACCESS, .rate = rate};
	config = (struct config){.flows = flows, .n_flows = FLOWS};
	tallies = tallies_new();
	limits = limits_new(&config, tallies);
	assert_true(ip_parse(SPAN("2001:db8::1"), &a));
	assert_true(ip_parse(SPAN("2001:db8::2"), &b)); /* the same client */
	clock_fake(1000000, 1);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	limits_free(&limits);
	tallies_free(&tallies);
	clock_fake(0, -1);
	return 0;
}

static void
test_connections(void **state)
{
	(void)state;
	assert_true(limits_enter(limits, &flows[LIMITED], &a));
	assert_true(limits_enter(limits, &flows[LIMITED], &b));
	assert_false(limits_enter(limits, &flows[LIMITED], &a));
	assert_true(limits_enter(limits, &flows[OTHER], &a)); /* each flow for itself */
	limits_leave(limits, &flows[OTHER], &a);
	limits_leave(limits, &flows[LIMITED], &a);
	assert_true(limits_enter(limits, &flows[LIMITED], &b));
	limits_leave(limits, &flows[LIMITED], &b);
	limits_leave(limits, &flows[LIMITED], &b);
	for (int i = 0; i < 5; i++)
		assert_true(limits_enter(limits, &flows[UNASKED], &a));
	for (int i = 0; i < 5; i++)
		limits_leave(limits, &flows[UNASKED], &a);
}

static void
test_rates_follow_the_clock(void **state)
{
	(void)state;
	assert_int_equal(limits_take(limits, &flows[LIMITED], RATE_MESSAGES, &a), RATE_WITHIN);
	assert_int_equal(limits_take(limits, &flows[LIMITED], RATE_MESSAGES, &b), RATE_WITHIN);
	assert_int_equal(limits_take(limits, &flows[LIMITED], RATE_MESSAGES, &a), RATE_MESSAGES);
	assert_int_equal(limits_take(limits, &flows[OTHER], RATE_MESSAGES, &a), RATE_WITHIN);
	assert_int_equal(limits_take(limits, &flows[UNASKED], RATE_MESSAGES, &a), RATE_UNKNOWN);
	clock_fake(1000000 + 30000, 1);
	assert_int_equal(limits_take(limits, &flows[LIMITED], RATE_MESSAGES, &a), RATE_WITHIN);
	assert_int_equal(limits_look(limits, &flows[LIMITED], RATE_ERRORS, &a), RATE_WITHIN);
	assert_int_equal(limits_take(limits, &flows[LIMITED], RATE_ERRORS, &a), RATE_WITHIN);
	assert_int_equal(limits_look(limits, &flows[LIMITED], RATE_ERRORS, &a), RATE_ERRORS);
	assert_int_equal(limits_look(limits, &flows[UNASKED], RATE_ERRORS, &a), RATE_UNKNOWN);
}

static void
test_patience_is_known_for_a_day(void **state)
{
	(void)state;
	assert_false(limits_is_patient(limits, &a));
	limits_note_patient(limits, &a);
	assert_true(limits_is_patient(limits, &b));
	clock_fake(1000000 + LIMITS_PATIENT_MS - 1, 1);
	assert_true(limits_is_patient(limits, &a));
	clock_fake(1000000 + LIMITS_PATIENT_MS, 1);
	assert_false(limits_is_patient(limits, &a));
}

#define LIMITS_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    LIMITS_TEST(test_connections),
	    LIMITS_TEST(test_rates_follow_the_clock),
	    LIMITS_TEST(test_patience_is_known_for_a_day),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

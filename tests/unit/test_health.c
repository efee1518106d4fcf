/* How many connections a server bears, and whether it is slow: on times that are made up. */
#include "relay/deliver/health.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { MOST = 20, FAST_MS = 5 };

static struct health h;

static int
set_up(void **state)
{
	(void)state;
	health_init(&h, MOST);
	return 0;
}

/* `n` messages, each on the last of all connections that the limit allows. */
static void
take(unsigned n, int64_t wait_ms, int64_t now_ms)
{
	for (unsigned i = 0; i < n; i++)
		health_took(&h, wait_ms, h.limit, false, now_ms);
}

static void
test_start(void **state)
{
	(void)state;
	assert_int_equal(h.limit, HEALTH_START);
	take(MOST - HEALTH_START, FAST_MS, 0); /* one more with each success */
	assert_int_equal(h.limit, MOST);
	take(1000, FAST_MS, 0);
	assert_int_equal(h.limit, MOST);
	health_init(&h, 3);
	assert_int_equal(h.limit, 3);
	take(100, FAST_MS, 0);
	assert_int_equal(h.limit, 3);
}

/* Growth needs a limit that is reached. */
static void
test_no_growth_unused(void **state)
{
	(void)state;
	for (int i = 0; i < 100; i++)
		health_took(&h, FAST_MS, HEALTH_START - 1, false, 0);
	assert_int_equal(h.limit, HEALTH_START);
}

static void
test_return(void **state)
{
	unsigned sent = 0;

	(void)state;
	take(MOST, FAST_MS, 0);
	health_return(&h);
	assert_int_equal(h.limit, HEALTH_RETURN);
	/* Each round of `limit` messages doubles it, up to half of what it was. */
	for (unsigned wanted = 2; wanted <= 8; wanted *= 2) {
		take(h.limit, FAST_MS, 0);
		assert_int_equal(h.limit, wanted);
	}
	take(2, FAST_MS, 0);
	assert_int_equal(h.limit, MOST / 2);
	for (; h.limit == MOST / 2; sent++)
		take(1, FAST_MS, 0);
	assert_int_equal(sent, MOST / 2); /* then by one a round */
	take(1000, FAST_MS, 0);
	assert_int_equal(h.limit, MOST);
}

static void
test_refused(void **state)
{
	(void)state;
	take(MOST, FAST_MS, 0);
	health_refused(&h, MOST - 1, 1000);
	assert_int_equal(h.limit, MOST / 2);
	health_refused(&h, MOST - 2, 1000); /* of the same event */
	assert_int_equal(h.limit, MOST / 2);
	health_refused(&h, 4, 1000); /* but no more than there are */
	assert_int_equal(h.limit, 4);
	take(100, FAST_MS, 1000 + HEALTH_HOLD_MS - 1);
	assert_int_equal(h.limit, 4);
	take(3, FAST_MS, 1000 + HEALTH_HOLD_MS);
	assert_int_equal(h.limit, 4);
	take(1, FAST_MS, 1000 + HEALTH_HOLD_MS);
	assert_int_equal(h.limit, 5);
	for (int i = 1; i < 10; i++)
		health_refused(&h, 0, 1000 + HEALTH_HOLD_MS + i * HEALTH_HALVE_MS);
	assert_int_equal(h.limit, 1); /* never none */
}

static void
test_halved_at_time_zero(void **state)
{
	(void)state;
	health_refused(&h, MOST, 0);
	assert_int_equal(h.limit, HEALTH_START / 2);
}

static void
test_latency_rises(void **state)
{
	(void)state;
	take(100, FAST_MS, 0);
	assert_int_equal(h.limit, MOST);
	take(20, HEALTH_RISE_MS * 4, 1000);
	assert_int_equal(h.limit, MOST / 2);
	for (int64_t ms = 2000; ms < 8000; ms += HEALTH_HALVE_MS)
		take(5, HEALTH_RISE_MS * 4, ms);
	assert_int_equal(h.limit, HEALTH_LATENCY_LEAST); /* slow alone is no refusal */
	take(2000, HEALTH_RISE_MS * 4, 100000);          /* in the end that is what is usual */
	take(1000, HEALTH_RISE_MS * 4, 200000);
	assert_int_equal(h.limit, MOST);
}

/* Slow from its first message on is no rise, and small times are none either. */
static void
test_no_rise(void **state)
{
	(void)state;
	take(100, 30000, 0);
	assert_int_equal(h.limit, MOST);
	health_init(&h, MOST);
	take(100, 1, 0);
	take(100, HEALTH_RISE_MS / 2, 0);
	assert_int_equal(h.limit, MOST);
}

static struct pace
pace_of(int64_t ms, unsigned n)
{
	return (struct pace){.us = ms * 1000, .n = n};
}

static void
test_slow(void **state)
{
	const struct {
		int64_t ms, best_ms;
		unsigned n, best_n;
		bool was_slow, is_slow;
	} cases[] = {
	    {2000, 20, 3, 3, false, true},
	    {2000, 20, 2, 3, false, false}, /* too few samples */
	    {2000, 20, 3, 2, false, false}, /* of the peer */
	    {500, 1, 3, 3, false, false},   /* below the floor */
	    {501, 1, 3, 3, false, true},
	    {2000, 500, 3, 3, false, false}, /* four times is not more than four times */
	    {2001, 500, 3, 3, false, true},
	    {1001, 500, 3, 3, true, true}, /* it takes less to stay slow */
	    {1000, 500, 3, 3, true, false},
	    {251, 1, 3, 3, true, true},
	    {250, 1, 3, 3, true, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct pace p = pace_of(cases[i].ms, cases[i].n);
		struct pace best = pace_of(cases[i].best_ms, cases[i].best_n);

		assert_int_equal(pace_is_slow(&p, &best, cases[i].was_slow), cases[i].is_slow);
	}
}

static void
test_pace(void **state)
{
	(void)state;
	assert_int_equal(health_average_ms(&h), -1);
	take(1, 800, 0);
	assert_int_equal(health_average_ms(&h), 800); /* the first is all there is */
	take(1, 0, 0);
	assert_int_equal(health_average_ms(&h), 700);
	health_took(&h, 0, 1, true, 0); /* a slow one's answers weigh more */
	assert_int_equal(health_average_ms(&h), 350);
	health_took(&h, -5, 1, true, 0); /* a clock that went backwards */
	assert_int_equal(health_average_ms(&h), 175);
	for (int i = 0; i < 3; i++)
		health_greeted(&h, 40, false, 7);
	assert_true(pace_is_known(&h.greeting));
	assert_int_equal(h.greeting.sampled_ms, 7);
}

static void
test_histogram(void **state)
{
	uint64_t sum = 0;

	(void)state;
	assert_int_equal(health_p95_ms(&h), -1);
	take(94, 5, 0);
	take(6, 100, 0);
	assert_int_equal(h.latency[0], 94);
	assert_int_equal(h.latency[4], 6); /* up to 100 ms, that included */
	assert_in_range(health_p95_ms(&h), 51, 100);
	assert_int_equal(h.latency_sum_ms, 94 * 5 + 6 * 100);
	take(1, 3600000, 0);
	assert_int_equal(h.latency[HEALTH_BUCKETS - 1], 1);
	take(5000, 5, 0); /* what was long ago is forgotten; the counters are not */
	assert_in_range(health_p95_ms(&h), 1, 5);
	for (size_t i = 0; i < HEALTH_BUCKETS; i++)
		sum += h.latency[i];
	assert_int_equal(sum, 5101);
	health_init(&h, MOST);
	take(1, 3600000, 0);
	assert_int_equal(health_p95_ms(&h), 60000); /* the last bound there is */
}

static void
test_overload(void **state)
{
	const struct {
		int code;
		const char *reply;
		bool is_overload;
	} cases[] = {
	    {421, "421 4.3.2 shutting down", true},
	    {421, "", true},
	    {452, "452 4.3.2 not now", true},
	    {451, "451 4.4.5 congestion", true},
	    {450, "450 4.7.1 Error: Too many connections from 10.0.0.1", true},
	    {432, "432 4.3.2 STOREDRV; recipient thread limit exceeded", true},
	    {451, "451 TOO MANY CONCURRENT sessions", true},
	    {451, "451 4.7.1 greylisted", false},
	    {452, "452 4.5.3 too many recipients", false},
	    {452, "452 4.2.2 mailbox full", false},
	    {451, "451", false},
	    {550, "550 5.7.1 too many connections", false},
	    {250, "250 4.3.2", false},
	    {0, "timed out", false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (health_is_overload(cases[i].code, span_str(cases[i].reply)) !=
		    cases[i].is_overload)
			fail_msg("%s", cases[i].reply);
}

#define TEST(f) cmocka_unit_test_setup(f, set_up)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_start),
	    TEST(test_no_growth_unused),
	    TEST(test_return),
	    TEST(test_refused),
	    TEST(test_halved_at_time_zero),
	    TEST(test_latency_rises),
	    TEST(test_no_rise),
	    TEST(test_slow),
	    TEST(test_pace),
	    TEST(test_histogram),
	    TEST(test_overload),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

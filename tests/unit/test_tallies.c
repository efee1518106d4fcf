/* Numbers that fronts share: sums and largest ones, what is forgotten, and what a liar among them can do. */
#include "policy/rate/rates.h"
#include "policy/rate/tallies.h"
#include "relay/base/mem.h"
#include "relay/base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { FRONTS = 3, MANY = 400000 };

static const uint64_t secret[2] = {0x1234, 0x5678};
static void *pages[FRONTS];
static struct tallies *fronts[FRONTS];
static struct ip a, b;

static int
setup(void **state)
{
	(void)state;
	for (int i = 0; i < FRONTS; i++)
		pages[i] = mem_alloc(TALLIES_BYTES);
	for (int i = 0; i < FRONTS; i++) {
		const void *others[FRONTS];
		size_t n = 0;

		for (int k = 0; k < FRONTS; k++)
			if (k != i)
				others[n++] = pages[k];
		fronts[i] = tallies_over(pages[i], others, n, secret);
	}
	assert_true(ip_parse(SPAN("192.0.2.1"), &a));
	assert_true(ip_parse(SPAN("192.0.2.2"), &b));
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	for (int i = 0; i < FRONTS; i++) {
		tallies_free(&fronts[i]);
		mem_free(pages[i]);
	}
	return 0;
}

static void
test_names(void **state)
{
	static const struct {
		const char *a, *b;
		unsigned matter_a, matter_b;
		bool is_same;
	} rows[] = {
	    {"192.0.2.1", "192.0.2.1", 0, 0, true},
	    {"192.0.2.1", "::ffff:192.0.2.1", 0, 0, true},
	    {"192.0.2.1", "192.0.2.1", 0, 1, false},
	    {"192.0.2.1", "192.0.2.2", 0, 0, false},
	    {"2001:db8::1", "2001:db8::2:1", 7, 7, true},
	    {"2001:db8::1", "2001:db8:0:1::1", 7, 7, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ip x, y;

		assert_true(ip_parse(span_str(rows[i].a), &x) && ip_parse(span_str(rows[i].b), &y));
		if ((tallies_name(fronts[0], rows[i].matter_a, &x) ==
			tallies_name(fronts[1], rows[i].matter_b, &y)) != rows[i].is_same)
			fail_msg("row %zu", i);
	}
}

static void
test_sums_and_largest(void **state)
{
	uint64_t name = tallies_name(fronts[0], 0, &a), other = tallies_name(fronts[0], 0, &b);

	(void)state;
	for (int i = 0; i < FRONTS; i++)
		assert_true(tallies_set(fronts[i], TALLY_HELD, name, 10 + i, 1));
	for (int i = 0; i < FRONTS; i++) {
		assert_int_equal(tallies_own(fronts[i], TALLY_HELD, name), 10 + i);
		assert_int_equal(tallies_sum(fronts[i], TALLY_HELD, name), 33);
		assert_int_equal(tallies_largest(fronts[i], TALLY_HELD, name, 100), 12);
		assert_int_equal(tallies_largest(fronts[i], TALLY_HELD, name, 11), 11);
		assert_int_equal(tallies_sum(fronts[i], TALLY_HELD, other), 0);
		/* Each kind for itself. */
		assert_int_equal(tallies_sum(fronts[i], TALLY_RATES, name), 0);
		assert_int_equal(tallies_largest(fronts[i], TALLY_GUESSES, name, 100), 0);
		assert_int_equal(tallies_largest(fronts[i], TALLY_PATIENT, name, 100), 0);
	}
	memset(pages[1], 0, TALLIES_BYTES); /* as when that front has died */
	assert_int_equal(tallies_sum(fronts[0], TALLY_HELD, name), 22);
	assert_int_equal(tallies_own(fronts[1], TALLY_HELD, name), 0);
}

/* One client's bucket, taken from at the front that the digits say: it is one bucket. */
static void
test_one_rate_over_all(void **state)
{
	static const struct conf_rate limits = {.messages = {6, 60000, "6/1m"}};
	static const char *const rows[] = {
	    "000000", "111111", "012012", "001122", "210210", "222220"};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rates *r[FRONTS];
		int64_t now_ms = 1000 + 600000 * (int64_t)i;

		for (int k = 0; k < FRONTS; k++)
			r[k] = rates_new(&limits, fronts[k], 0);
		for (size_t n = 0; n < 6; n++)
			if (rates_take(r[rows[i][n] - '0'], RATE_MESSAGES, &a, now_ms) !=
			    RATE_WITHIN)
				fail_msg("row %zu, take %zu", i, n);
		for (int k = 0; k < FRONTS; k++) {
			assert_int_equal(
			    rates_look(r[k], RATE_MESSAGES, &a, now_ms), RATE_MESSAGES);
			assert_int_equal(
			    rates_take(r[k], RATE_MESSAGES, &a, now_ms), RATE_MESSAGES);
			assert_int_equal(rates_look(r[k], RATE_MESSAGES, &b, now_ms), RATE_WITHIN);
		}
		/* In the long run as many come back as one front would give. */
		for (size_t n = 1; n <= 12; n++) {
			int64_t then_ms = now_ms + 10000 * (int64_t)n;

			assert_int_equal(
			    rates_take(r[n % FRONTS], RATE_MESSAGES, &a, then_ms), RATE_WITHIN);
			assert_int_equal(
			    rates_take(r[(n + 1) % FRONTS], RATE_MESSAGES, &a, then_ms),
			    RATE_MESSAGES);
		}
		for (int k = 0; k < FRONTS; k++)
			rates_free(&r[k]);
	}
}

/* In too little room: what is held is never forgotten, of the rest the smallest. */
static void
test_room(void **state)
{
	size_t n_refused = 0, n_kept = 0;

	(void)state;
	rng_seed(2);
	for (uint64_t i = 0; i < MANY; i++)
		n_refused += !tallies_set(fronts[0], TALLY_HELD, rng_u64() | 1, 1, 1);
	assert_true(n_refused > MANY / 2);
	assert_true(n_refused < MANY);
	rng_seed(2);
	for (uint64_t i = 0; i < MANY; i++)
		n_kept += tallies_own(fronts[0], TALLY_HELD, rng_u64() | 1) == 1;
	assert_int_equal(n_kept, MANY - n_refused);
	rng_seed(2);
	for (uint64_t i = 0; i < MANY; i++) { /* all leave, and there is room again */
		uint64_t name = rng_u64() | 1;

		if (tallies_own(fronts[0], TALLY_HELD, name) == 1)
			assert_true(tallies_set(fronts[0], TALLY_HELD, name, 0, 1));
	}
	for (uint64_t i = 0; i < 20000; i++)
		assert_true(tallies_set(fronts[0], TALLY_HELD, rng_u64() | 1, 1, 1));
	for (uint64_t i = 1; i <= MANY; i++)
		assert_true(
		    tallies_set(fronts[0], TALLY_PATIENT, rng_u64() | 1, (int64_t)i, INT64_MAX));
}

/* Whatever one front writes there, the others neither crash nor count less than they have themselves. */
static void
test_a_liar(void **state)
{
	static const struct conf_rate limits = {.messages = {2, 1000, "2/1s"}};
	uint64_t name = tallies_name(fronts[0], 0, &a);
	struct rates *r = rates_new(&limits, fronts[0], 0);
	unsigned char *lies = pages[1];

	(void)state;
	assert_true(tallies_set(fronts[0], TALLY_HELD, name, 5, 1));
	for (int turn = 0; turn < 4; turn++) {
		static const int64_t values[] = {INT64_MIN, -1, INT64_MAX, UINT32_MAX};

		(void)tallies_set(fronts[1], TALLY_HELD, name, values[turn], INT64_MAX);
		(void)tallies_set(fronts[2], TALLY_HELD, name, values[turn], INT64_MAX);
		if (values[turn] < 0)
			assert_int_equal(tallies_sum(fronts[0], TALLY_HELD, name), 5);
		else
			assert_int_equal(
			    tallies_sum(fronts[0], TALLY_HELD, name), 5 + 2 * (uint64_t)UINT32_MAX);
		assert_int_equal(tallies_own(fronts[0], TALLY_HELD, name), 5);
	}
	/* An empty bucket that is said to stay so for ever is full again in a period, once he is gone. */
	name = tallies_name(fronts[0], RATE_MESSAGES, &a);
	assert_true(tallies_set(fronts[1], TALLY_RATES, name, INT64_MAX, INT64_MAX));
	assert_int_equal(rates_take(r, RATE_MESSAGES, &a, 1000), RATE_MESSAGES);
	memset(lies, 0, TALLIES_BYTES);
	assert_int_equal(rates_take(r, RATE_MESSAGES, &a, 1000), RATE_WITHIN);
	rng_seed(3);
	rng_bytes(lies, TALLIES_BYTES);
	for (int i = 0; i < 1000; i++)
		for (enum tally kind = TALLY_HELD; kind <= TALLY_PATIENT; kind++) {
			name = rng_u64();
			assert_true(tallies_sum(fronts[0], kind, name) <= UINT32_MAX);
			assert_true(tallies_largest(fronts[0], kind, name, 1000) <= 1000);
			assert_true(tallies_largest(fronts[0], kind, name, 1000) >= 0);
		}
	rates_free(&r);
}

#define TALLIES_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TALLIES_TEST(test_names),
	    TALLIES_TEST(test_sums_and_largest),
	    TALLIES_TEST(test_one_rate_over_all),
	    TALLIES_TEST(test_room),
	    TALLIES_TEST(test_a_liar),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

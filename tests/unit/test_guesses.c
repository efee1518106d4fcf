/* Failed sign-ins: waits that double, addresses that hear no more, and what is forgotten when. */
#include "relay/front/guesses.h"
#include "relay/base/clock.h"
#include "relay/base/mem.h"
#include "relay/base/rng.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { MANY = 400000 }; /* addresses: three times as many as there is room for */

static struct ip
ip_of(const char *text)
{
	struct ip ip;

	assert_true(ip_parse(span_str(text), &ip));
	return ip;
}

static void
test_waits(void **state)
{
	static const int64_t expected[] = {1000, 2000, 4000, 8000, 16000, 32000, 32000, 32000};
	struct ip a = ip_of("192.0.2.1"), b = ip_of("192.0.2.2");
	struct tallies *g = tallies_new();

	(void)state;
	clock_fake(1000, 1);
	for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
		assert_int_equal(guesses_failed(g, &a), expected[i]);
	assert_int_equal(guesses_failed(g, &b), 1000); /* another address */
	assert_false(guesses_is_refused(g, &a));
	for (size_t i = sizeof(expected) / sizeof(expected[0]); i < GUESSES_MAX; i++) {
		assert_false(guesses_is_refused(g, &a));
		(void)guesses_failed(g, &a);
	}
	assert_true(guesses_is_refused(g, &a));
	assert_false(guesses_is_refused(g, &b));
	clock_fake(1000 + GUESSES_FORGET_MS - 1, 1);
	assert_true(guesses_is_refused(g, &a));
	clock_fake(1000 + GUESSES_FORGET_MS, 1);
	assert_false(guesses_is_refused(g, &a));
	assert_int_equal(guesses_failed(g, &a), 1000);
	tallies_free(&g);
	assert_null(g);
}

static void
test_networks(void **state)
{
	struct ip a = ip_of("2001:db8::1"), same = ip_of("2001:db8::ffff:1"),
		  other = ip_of("2001:db8:0:1::1");
	struct tallies *g = tallies_new();

	(void)state;
	clock_fake(1000, 1);
	assert_int_equal(guesses_failed(g, &a), 1000);
	assert_int_equal(guesses_failed(g, &same), 2000);
	assert_int_equal(guesses_failed(g, &other), 1000);
	tallies_free(&g);
}

static struct ip
nth(unsigned i)
{
	struct ip ip = ip_of("10.0.0.0");

	ip.bytes[13] = (uint8_t)(i >> 16);
	ip.bytes[14] = (uint8_t)(i >> 8);
	ip.bytes[15] = (uint8_t)i;
	return ip;
}

/* Many addresses take no more memory, and those that are not remembered are not spared either. */
static void
test_bound(void **state)
{
	struct tallies *g;
	unsigned n_forgotten = 0;
	struct ip ip;

	(void)state;
	rng_seed(1);
	g = tallies_new();
	clock_fake(1000, 1);
	for (unsigned i = 0; i < MANY; i++) {
		int64_t wait_ms;

		ip = nth(i);
		wait_ms = guesses_failed(g, &ip);
		if (wait_ms != GUESSES_FIRST_MS)
			assert_int_equal(wait_ms, GUESSES_WAIT_MAX_MS);
		n_forgotten += wait_ms != GUESSES_FIRST_MS;
		if (i == MANY / 8)
			assert_int_equal(n_forgotten, 0);
	}
	assert_true(n_forgotten > MANY / 2);
	ip = nth(0); /* whoever was there before is remembered still */
	assert_int_equal(guesses_failed(g, &ip), 2000);
	clock_fake(1000 + GUESSES_FORGET_MS, 1);
	ip = nth(MANY);
	assert_int_equal(guesses_failed(g, &ip), 1000);
	assert_int_equal(guesses_failed(g, &ip), 2000);
	tallies_free(&g);
}

/* Fails and looks at one front or the other as the words say: what it does not matter where. */
static void
test_several_fronts(void **state)
{
	static const uint64_t secret[2] = {1, 2};
	void *pages[2] = {mem_alloc(TALLIES_BYTES), mem_alloc(TALLIES_BYTES)};
	const void *of[2] = {pages[0], pages[1]};
	struct tallies *fronts[2] = {
	    tallies_over(pages[0], &of[1], 1, secret), tallies_over(pages[1], &of[0], 1, secret)};
	struct ip a = ip_of("192.0.2.1");
	int64_t expected_ms = GUESSES_FIRST_MS;

	(void)state;
	clock_fake(1000, 1);
	for (unsigned i = 0; i < GUESSES_MAX; i++) {
		clock_fake(1000 + 60000 * i, 1);
		for (int k = 0; k < 2; k++)
			assert_false(guesses_is_refused(fronts[k], &a));
		/* Not turn by turn: each has gaps that are longer than what is remembered. */
		assert_int_equal(guesses_failed(fronts[i / 3 % 2], &a), expected_ms);
		expected_ms = expected_ms < GUESSES_WAIT_MAX_MS ? 2 * expected_ms : expected_ms;
	}
	for (int k = 0; k < 2; k++)
		assert_true(guesses_is_refused(fronts[k], &a));
	clock_fake(1000 + 60000 * (GUESSES_MAX - 1) + GUESSES_FORGET_MS, 1);
	for (int k = 0; k < 2; k++)
		assert_false(guesses_is_refused(fronts[k], &a));
	assert_int_equal(guesses_failed(fronts[0], &a), GUESSES_FIRST_MS);
	assert_int_equal(guesses_failed(fronts[1], &a), 2 * GUESSES_FIRST_MS);
	for (int k = 0; k < 2; k++) {
		tallies_free(&fronts[k]);
		mem_free(pages[k]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_waits),
	    cmocka_unit_test(test_networks),
	    cmocka_unit_test(test_bound),
	    cmocka_unit_test(test_several_fronts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

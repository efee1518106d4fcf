/* Failed sign-ins: waits that double, addresses that hear no more, and what is forgotten when. */
#include "relay/front/guesses.h"
#include "relay/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

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
	struct guesses *g = guesses_new();

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
	guesses_free(&g);
	assert_null(g);
}

static void
test_networks(void **state)
{
	struct ip a = ip_of("2001:db8::1"), same = ip_of("2001:db8::ffff:1"),
		  other = ip_of("2001:db8:0:1::1");
	struct guesses *g = guesses_new();

	(void)state;
	clock_fake(1000, 1);
	assert_int_equal(guesses_failed(g, &a), 1000);
	assert_int_equal(guesses_failed(g, &same), 2000);
	assert_int_equal(guesses_failed(g, &other), 1000);
	guesses_free(&g);
}

/* A trickle of addresses, each with one failure: what is forgotten takes no memory for long. */
static void
test_sweep(void **state)
{
	enum { EACH_MS = 1000, IN_TIME = GUESSES_FORGET_MS / EACH_MS };
	struct guesses *g = guesses_new();
	struct ip ip = ip_of("10.0.0.0");
	size_t most = 0;

	(void)state;
	for (unsigned i = 0; i < 20 * IN_TIME; i++) {
		clock_fake(1000 + (int64_t)i * EACH_MS, 1);
		ip.bytes[13] = (uint8_t)(i >> 16);
		ip.bytes[14] = (uint8_t)(i >> 8);
		ip.bytes[15] = (uint8_t)i;
		assert_int_equal(guesses_failed(g, &ip), 1000);
		if (guesses_count(g) > most)
			most = guesses_count(g);
	}
	assert_true(most >= IN_TIME && most <= 2 * IN_TIME);
	guesses_free(&g);
}

/* Many addresses take no more memory, and are not spared either. */
static void
test_bound(void **state)
{
	struct guesses *g = guesses_new();
	struct ip ip = ip_of("10.0.0.0");

	(void)state;
	clock_fake(1000, 1);
	for (unsigned i = 0; i < GUESSES_CLIENTS_MAX; i++) {
		ip.bytes[13] = (uint8_t)(i >> 16);
		ip.bytes[14] = (uint8_t)(i >> 8);
		ip.bytes[15] = (uint8_t)i;
		assert_int_equal(guesses_failed(g, &ip), 1000);
	}
	ip = ip_of("192.0.2.1");
	assert_int_equal(guesses_failed(g, &ip), GUESSES_WAIT_MAX_MS);
	clock_fake(1000 + GUESSES_FORGET_MS, 1);
	assert_int_equal(guesses_failed(g, &ip), 1000);
	assert_int_equal(guesses_failed(g, &ip), 2000);
	guesses_free(&g);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_waits),
	    cmocka_unit_test(test_networks),
	    cmocka_unit_test(test_sweep),
	    cmocka_unit_test(test_bound),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

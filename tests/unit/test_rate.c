/* Token buckets, the table that forgets, and the rates of clients. */
#include "policy/rate/bucket.h"
#include "policy/rate/rates.h"
#include "policy/rate/recent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* What comes at which time, and whether there is one to take. */
static void
test_bucket(void **state)
{
	static const struct {
		uint32_t n;
		int64_t per_ms;
		struct {
			int64_t at_ms;
			bool is_taken;
		} takes[8];
	} rows[] = {
	    {1, 1000, {{0, true}, {0, false}, {999, false}, {1000, true}, {1999, false}}},
	    {2, 1000, {{5, true}, {5, true}, {5, false}, {504, false}, {505, true}, {505, false}}},
	    {7, 60000,
		{{0, true}, {0, true}, {0, true}, {0, true}, {0, true}, {0, true}, {0, true},
		    {0, false}}},
	    /* After a long pause no more than n at once. */
	    {2, 1000, {{0, true}, {1000000, true}, {1000000, true}, {1000000, false}}},
	    /* A clock that stands, or runs back, gives nothing for free. */
	    {1, 1000, {{5000, true}, {4000, false}, {5000, false}, {6000, true}}},
	    {1, 86400000, {{0, true}, {86399999, false}, {86400000, true}}},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct conf_allowance limit = {rows[i].n, rows[i].per_ms, ""};
		struct bucket b = {0};

		for (size_t k = 0; k < COUNT(rows[i].takes); k++) {
			int64_t at_ms = rows[i].takes[k].at_ms;

			if (k > 0 && at_ms == 0 && !rows[i].takes[k].is_taken &&
			    rows[i].takes[k - 1].at_ms > 0)
				break; /* the row's end */
			if (bucket_is_empty(&b, &limit, at_ms) == rows[i].takes[k].is_taken ||
			    bucket_take(&b, &limit, at_ms) != rows[i].takes[k].is_taken)
				fail_msg("row %zu, take %zu", i, k);
		}
	}
}

/* Whatever the limit, a burst is exactly n, and in the long run n come in each period. */
static void
test_bucket_is_exact(void **state)
{
	static const struct conf_allowance limits[] = {{1, 1000, ""}, {3, 1000, ""}, {7, 60000, ""},
	    {100, 60000, ""}, {31622, 1000, ""}, {1000000, 86400000, ""}};

	(void)state;
	for (size_t i = 0; i < COUNT(limits); i++) {
		struct bucket b = {0};
		uint32_t taken = 0;

		while (bucket_take(&b, &limits[i], 1000000))
			taken++;
		assert_int_equal(taken, limits[i].n);
		assert_false(bucket_take(&b, &limits[i], 1000000 - 1));
		assert_true(
		    bucket_take(&b, &limits[i], 1000000 + limits[i].per_ms / limits[i].n + 1));
	}
}

static void
test_no_limit(void **state)
{
	static const struct conf_allowance none = {0, 0, NULL};
	struct bucket b = {0};

	(void)state;
	for (int i = 0; i < 1000; i++)
		assert_true(bucket_take(&b, &none, 0));
	assert_false(bucket_is_empty(&b, &none, 0));
	assert_int_equal(b.full_ns, 0);
}

static struct span
key_of(char room[16], int i)
{
	int n = snprintf(room, 16, "k%d", i);

	return span_of(room, (size_t)n);
}

static void
test_recent_forgets_the_oldest(void **state)
{
	struct recent *r = recent_new(sizeof(int), 8);
	char room[16];

	(void)state;
	for (int i = 0; i < 100; i++) {
		int *record = recent_add(r, key_of(room, i));

		assert_int_equal(*record, 0);
		*record = i;
		assert_true(recent_count(r) <= 8);
		/* The first is used all the time, and stays. */
		record = recent_get(r, SPAN("k0"));
		assert_non_null(record);
		assert_int_equal(*record, 0);
	}
	for (int i = 97; i < 100; i++)
		assert_non_null(recent_get(r, key_of(room, i)));
	assert_null(recent_get(r, SPAN("k1")));
	assert_null(recent_get(r, SPAN("k50")));
	recent_remove(r, SPAN("k0"));
	recent_remove(r, SPAN("k0"));
	assert_null(recent_get(r, SPAN("k0")));
	recent_free(&r);
	assert_null(r);
	recent_free(&r);
}

static void
add_up(void *arg, struct span key, const void *record)
{
	assert_true(key.n > 1);
	*(int *)arg += *(const int *)record;
}

static void
test_recent_each(void **state)
{
	struct recent *r = recent_new(sizeof(int), 8);
	char room[16];
	int sum = 0;

	(void)state;
	for (int i = 1; i <= 6; i++)
		*(int *)recent_add(r, key_of(room, i)) = i;
	recent_each(r, add_up, &sum);
	assert_int_equal(sum, 21);
	recent_free(&r);
}

static struct ip
ip_of(const char *text)
{
	struct ip ip;

	assert_true(ip_parse(span_str(text), &ip));
	return ip;
}

static void
test_rates(void **state)
{
	static const struct conf_rate limits = {
	    .messages = {2, 60000, "2/1m"}, .recipients = {3, 60000, "3/1m"}};
	struct tallies *t = tallies_new();
	struct rates *r = rates_new(&limits, t, 0);
	struct ip a = ip_of("192.0.2.1"), b = ip_of("192.0.2.2"), six = ip_of("2001:db8::1"),
		  same = ip_of("2001:db8::ffff:0:1"), other = ip_of("2001:db8:0:1::1");

	(void)state;
	assert_int_equal(rates_look(r, RATE_MESSAGES, &a, 0), RATE_WITHIN);
	assert_int_equal(rates_take(r, RATE_MESSAGES, &a, 0), RATE_WITHIN);
	assert_int_equal(rates_take(r, RATE_MESSAGES, &a, 0), RATE_WITHIN);
	assert_int_equal(rates_look(r, RATE_MESSAGES, &a, 0), RATE_MESSAGES);
	assert_int_equal(rates_take(r, RATE_MESSAGES, &a, 0), RATE_MESSAGES);
	assert_int_equal(rates_take(r, RATE_MESSAGES, &b, 0), RATE_WITHIN);
	assert_int_equal(rates_take(r, RATE_RECIPIENTS, &a, 0), RATE_WITHIN);
	assert_int_equal(rates_take(r, RATE_MESSAGES, &a, 30000), RATE_WITHIN);
	assert_int_equal(rates_take(r, RATE_ERRORS, &a, 0), RATE_UNKNOWN);
	assert_int_equal(rates_take(r, RATE_CONNECTIONS, &a, 0), RATE_UNKNOWN);
	for (int i = 0; i < 3; i++)
		assert_int_equal(
		    rates_take(r, RATE_RECIPIENTS, i % 2 ? &six : &same, 0), RATE_WITHIN);
	assert_int_equal(rates_take(r, RATE_RECIPIENTS, &same, 0), RATE_RECIPIENTS);
	assert_int_equal(rates_take(r, RATE_RECIPIENTS, &other, 0), RATE_WITHIN);
	rates_free(&r);
	tallies_free(&t);
}

static void
test_network(void **state)
{
	static const struct {
		const char *ip;
		uint8_t v4, v6;
		const char *network;
	} rows[] = {
	    {"192.0.2.77", 32, 64, "192.0.2.77"},
	    {"192.0.2.77", 24, 64, "192.0.2.0"},
	    {"192.0.2.77", 25, 64, "192.0.2.0"},
	    {"192.0.2.200", 25, 64, "192.0.2.128"},
	    {"192.0.2.77", 0, 64, "0.0.0.0"},
	    {"2001:db8:1:2:3:4:5:6", 24, 64, "2001:db8:1:2::"},
	    {"2001:db8:1:2:3:4:5:6", 24, 128, "2001:db8:1:2:3:4:5:6"},
	    {"2001:db8:1:2:3:4:5:6", 24, 33, "2001:db8::"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct ip ip = ip_of(rows[i].ip), wanted = ip_of(rows[i].network);
		struct ip network = ip_network(&ip, rows[i].v4, rows[i].v6);

		if (!ip_eq(&network, &wanted))
			fail_msg("row %zu", i);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_bucket),
	    cmocka_unit_test(test_bucket_is_exact),
	    cmocka_unit_test(test_no_limit),
	    cmocka_unit_test(test_recent_forgets_the_oldest),
	    cmocka_unit_test(test_recent_each),
	    cmocka_unit_test(test_rates),
	    cmocka_unit_test(test_network),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

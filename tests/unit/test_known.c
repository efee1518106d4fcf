/* What sources have said of recipients: how long it counts, and how much is kept. */
#include "relay/lookup/known.h"
#include "relay/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { NOW_MS = 1000000, POSITIVE_MS = 60000, NEGATIVE_MS = 5000, STALE_MS = 100000 };
static const struct conf_keep keep = {
    .positive_ms = POSITIVE_MS, .negative_ms = NEGATIVE_MS, .stale_ms = STALE_MS};

static void
test_times(void **state)
{
	static const struct {
		enum recipient_state state;
		int64_t after_ms;
		bool is_known, is_fresh;
	} rows[] = {
	    {RECIPIENT_EXISTS, 0, true, true}, {RECIPIENT_EXISTS, POSITIVE_MS - 1, true, true},
	    {RECIPIENT_EXISTS, POSITIVE_MS, true, false},
	    {RECIPIENT_EXISTS, POSITIVE_MS + STALE_MS - 1, true, false},
	    {RECIPIENT_EXISTS, POSITIVE_MS + STALE_MS, false, false},
	    {RECIPIENT_NONE, NEGATIVE_MS - 1, true, true},
	    {RECIPIENT_NONE, NEGATIVE_MS, false, false}, /* a denial never goes stale */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct known *k = known_new(10);
		struct known_answer a;
		int64_t now_ms = NOW_MS + rows[i].after_ms;

		known_put(k, SPAN("Bob@Example.org"), NOW_MS, &keep, rows[i].state, "why");
		assert_int_equal(
		    known_get(k, SPAN("bOB@example.ORG"), now_ms, &a), rows[i].is_known);
		if (rows[i].is_known) {
			assert_int_equal(a.state, rows[i].state);
			assert_int_equal(now_ms < a.expires_ms, rows[i].is_fresh);
			assert_int_equal(a.learned_ms, NOW_MS);
			assert_string_equal(a.why, "why");
		}
		assert_int_equal(known_count(k), rows[i].is_known);
		known_free(&k);
	}
}

static void
test_newest_counts(void **state)
{
	struct known *k = known_new(10);
	struct known_answer a;
	char longest[2 * LOOKUP_WHY_MAX];

	(void)state;
	memset(longest, 'x', sizeof(longest) - 1);
	longest[sizeof(longest) - 1] = '\0';
	known_put(k, SPAN("a@b"), NOW_MS, &keep, RECIPIENT_EXISTS, "first");
	known_put(k, SPAN("a@b"), NOW_MS, &keep, RECIPIENT_NONE, longest);
	assert_int_equal(known_count(k), 1);
	assert_true(known_get(k, SPAN("A@B"), NOW_MS, &a));
	assert_int_equal(a.state, RECIPIENT_NONE);
	assert_int_equal(strlen(a.why), LOOKUP_WHY_MAX);
	assert_true(known_drop(k, SPAN("A@b")));
	assert_false(known_drop(k, SPAN("A@b")));
	assert_false(known_get(k, SPAN("a@b"), NOW_MS, &a));
	known_free(&k);
}

static void
test_never_more_than_the_limit(void **state)
{
	struct known *k = known_new(4);
	struct known_answer a;
	char address[16];

	(void)state;
	for (int i = 0; i < 10; i++) {
		(void)snprintf(address, sizeof(address), "u%d@x", i); /* short */
		known_put(k, span_str(address), NOW_MS + i, &keep, RECIPIENT_EXISTS, "");
		assert_true(known_count(k) <= 4);
	}
	assert_false(known_get(k, SPAN("u5@x"), NOW_MS, &a)); /* the oldest have gone */
	assert_true(known_get(k, SPAN("u9@x"), NOW_MS, &a));
	assert_int_equal(known_drop_all(k), 4);
	assert_int_equal(known_count(k), 0);
	known_free(&k);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_times),
	    cmocka_unit_test(test_newest_counts),
	    cmocka_unit_test(test_never_more_than_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

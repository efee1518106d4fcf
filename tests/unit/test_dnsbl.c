/* Ranges of DNS list answers and what a set of addresses means. */
#include "policy/dnsbl/answer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define A(a, b, c, d) ((uint32_t)(a) << 24 | (uint32_t)(b) << 16 | (uint32_t)(c) << 8 | (d))

static void
test_ranges(void **state)
{
	static const struct {
		const char *text;
		uint32_t address;
		bool is_in;
	} rows[] = {
	    {"127.0.0.2", A(127, 0, 0, 2), true},
	    {"127.0.0.2", A(127, 0, 0, 3), false},
	    {"127.0.0.2-127.0.0.11", A(127, 0, 0, 2), true},
	    {"127.0.0.2-127.0.0.11", A(127, 0, 0, 11), true},
	    {"127.0.0.2-127.0.0.11", A(127, 0, 0, 12), false},
	    {"127.0.0.2-127.0.0.11", A(127, 0, 0, 1), false},
	    {"127.0.0.200-127.0.1.5", A(127, 0, 1, 0), true},
	    {"127.0.0.2-11", A(127, 0, 0, 11), true},
	    {"127.0.0.2-11", A(127, 0, 0, 12), false},
	    {"127.0.*.2-3", A(127, 0, 255, 3), true},
	    {"127.0.*.2-3", A(127, 0, 0, 2), true},
	    {"127.0.*.2-3", A(127, 0, 7, 4), false},
	    {"127.0.*.2-3", A(127, 1, 7, 2), false},
	    {"127.0-1.*.2", A(127, 1, 7, 2), true},
	    {"127.*.*.*", A(127, 9, 9, 9), true},
	    {"127.0.0.&8", A(127, 0, 0, 8), true},
	    {"127.0.0.&8", A(127, 0, 0, 14), true},
	    {"127.0.0.&8", A(127, 0, 0, 6), false},
	    {"127.0.0.&24", A(127, 0, 0, 16), true},
	    {"127.0.0.&24", A(127, 0, 0, 68), false},
	    {"127.0.&1.&2", A(127, 0, 3, 2), true},
	    {"127.0.&1.&2", A(127, 0, 2, 2), false},
	    {"127.0.0.&255", A(127, 0, 1, 8), false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct answer_range r;

		assert_int_equal(answer_range_parse(span_str(rows[i].text), &r, NULL), 0);
		if (answer_range_has(&r, rows[i].address) != rows[i].is_in)
			fail_msg("%s, row %zu", rows[i].text, i);
	}
}

static void
test_wrong_ranges(void **state)
{
	static const char *const rows[] = {"", "127", "127.0.0", "127.0.0.", ".127.0.0.2",
	    "127.0.0.2.3", "127.0.0.256", "127.0.0.x", "127.0.0.-", "127.0.0.3-2", "127.0.0.2-",
	    "-127.0.0.2", "127.0.0.11-127.0.0.2", "127.0.0.2-127.0.0", "127.0.0.*-127.0.0.9",
	    "10.0.0.2", "126.0.0.2-127.0.0.2", "127.0.0.2-128.0.0.1", "*.0.0.2", "127.0.0.1",
	    "127.255.255.254", "127.255.255.0-127.255.255.255", "127.255.255.*", "127.0.0.0002",
	    "127.0.0.2-127.0.0.3-127.0.0.4", "127.0.0.&", "127.0.0.&0", "127.0.0.&256",
	    "127.0.0.&2-&4", "127.0.0.&2-127.0.0.&2", "&127.0.0.2", "127.0.0.2&"};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct answer_range r;
		struct err err = {0};

		if (answer_range_parse(span_str(rows[i]), &r, &err) != -E_SYNTAX)
			fail_msg("taken: %s", rows[i]);
		assert_true(err.text[0] != '\0');
	}
}

static void
test_errors_of_a_list(void **state)
{
	static const struct {
		uint32_t address;
		bool is_error;
	} rows[] = {{A(127, 0, 0, 1), true}, {A(127, 0, 0, 2), false}, {A(127, 0, 0, 0), false},
	    {A(127, 255, 255, 0), true}, {A(127, 255, 255, 255), true},
	    {A(127, 255, 254, 255), false}, {A(126, 255, 255, 255), true}, {A(128, 0, 0, 0), true},
	    {A(192, 0, 2, 1), true}, {0, true}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (answer_is_error(rows[i].address) != rows[i].is_error)
			fail_msg("row %zu", i);
}

static void
test_typing(void **state)
{
	struct answer_range all = answer_range_default(), two;
	uint32_t deciding;
	uint32_t none[] = {A(127, 0, 0, 3)}, listed[] = {A(127, 0, 0, 9), A(127, 0, 0, 2)};
	uint32_t mixed[] = {A(127, 0, 0, 2), A(127, 255, 255, 254)}, web[] = {A(203, 0, 113, 5)};

	(void)state;
	assert_int_equal(answer_range_parse(SPAN("127.0.0.2"), &two, NULL), 0);
	assert_int_equal(answer_type(&two, 1, NULL, 0, &deciding), ANSWER_NOT_LISTED);
	assert_int_equal(deciding, 0);
	assert_int_equal(answer_type(&two, 1, none, 1, &deciding), ANSWER_NOT_LISTED);
	assert_int_equal(answer_type(&two, 1, listed, 2, &deciding), ANSWER_LISTED);
	assert_int_equal(deciding, A(127, 0, 0, 2));
	assert_int_equal(answer_type(&all, 1, listed, 2, &deciding), ANSWER_LISTED);
	assert_int_equal(deciding, A(127, 0, 0, 9));
	assert_int_equal(answer_type(&two, 1, mixed, 2, &deciding), ANSWER_ERROR);
	assert_int_equal(deciding, A(127, 255, 255, 254));
	assert_int_equal(answer_type(&all, 1, web, 1, &deciding), ANSWER_ERROR);
}

/* Whatever the ranges, an error address is never a listing, and the default has its edges. */
static void
test_default_edges(void **state)
{
	struct answer_range all = answer_range_default();

	(void)state;
	assert_true(answer_range_has(&all, A(127, 0, 0, 2)));
	assert_true(answer_range_has(&all, A(127, 255, 254, 255)));
	assert_false(answer_range_has(&all, A(127, 0, 0, 1)));
	assert_false(answer_range_has(&all, A(127, 255, 255, 0)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_ranges),
	    cmocka_unit_test(test_wrong_ranges),
	    cmocka_unit_test(test_errors_of_a_list),
	    cmocka_unit_test(test_typing),
	    cmocka_unit_test(test_default_edges),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "relay/base/base64.h"
#include "relay/base/err.h"
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* RFC 4648 section 10, and the two digits it does not have. */
static const struct {
	struct span plain, base64;
} rows[] = {
    {SPAN(""), SPAN("")},
    {SPAN("f"), SPAN("Zg==")},
    {SPAN("fo"), SPAN("Zm8=")},
    {SPAN("foo"), SPAN("Zm9v")},
    {SPAN("foob"), SPAN("Zm9vYg==")},
    {SPAN("fooba"), SPAN("Zm9vYmE=")},
    {SPAN("foobar"), SPAN("Zm9vYmFy")},
    {SPAN("\0\xff\xfe\xfb\xf0"), SPAN("AP/++/A=")},
};

static void
test_add(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b = BUF_INIT(100);

		assert_int_equal(base64_add(&b, rows[i].plain), 0);
		if (!span_eq(buf_span(&b), rows[i].base64))
			fail_msg("%zu: %.*s", i, SPAN_ARG(buf_span(&b)));
		buf_free(&b);
	}
}

static void
test_limit(void **state)
{
	struct buf b = BUF_INIT(8);

	(void)state;
	assert_int_equal(base64_add(&b, SPAN("foobar")), 0);
	assert_int_equal(base64_add(&b, SPAN("f")), -E_LIMIT);
	assert_true(b.failed);
	buf_free(&b);
}

static void
test_decode(void **state)
{
	static const struct span wrong[] = {SPAN("Z"), SPAN("Zg="), SPAN("Zg"), SPAN("Zh=="),
	    SPAN("Zm9="), SPAN("===="), SPAN("Z==="), SPAN("Zg==Zg=="), SPAN("Zm9v\r\n"),
	    SPAN("Zm 9"), SPAN("Zm9\0"), SPAN("Zg=A"), SPAN("-_8="), SPAN("Zm9vZg==Zm9v")};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b = BUF_INIT(100);

		assert_int_equal(base64_decode(&b, rows[i].base64), 0);
		assert_true(span_eq(buf_span(&b), rows[i].plain));
		buf_free(&b);
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct buf b = BUF_INIT(100);

		assert_int_equal(buf_add_char(&b, 'x'), 0);
		if (base64_decode(&b, wrong[i]) != -E_SYNTAX)
			fail_msg("%zu is taken", i);
		assert_true(span_eq(buf_span(&b), SPAN("x")));
		buf_free(&b);
	}
}

static void
test_decode_limit(void **state)
{
	struct buf b = BUF_INIT(5);

	(void)state;
	assert_int_equal(base64_decode(&b, SPAN("Zm9vYmFy")), -E_LIMIT);
	buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_add),
	    cmocka_unit_test(test_limit),
	    cmocka_unit_test(test_decode),
	    cmocka_unit_test(test_decode_limit),
	};

	return cmocka_run_group_tests_name("base64", tests, NULL, NULL);
}

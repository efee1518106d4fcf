/* test_tags.c - the fields other systems read. */
#include "relay/message/tags.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void
scores(void **state)
{
	static const struct {
		int64_t milli;
		const char *want;
	} cases[] = {{0, "0"}, {1000, "1"}, {2500, "2.5"}, {-500, "-0.5"}, {1, "0.001"},
	    {-12340, "-12.34"}, {10, "0.01"}, {1050, "1.05"}, {2147483647, "2147483.647"},
	    {INT64_MIN, "-9223372036854775.808"}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf out = BUF_INIT(100);

		assert_int_equal(tags_add_score(&out, cases[i].milli), 0);
		if (!span_eq(buf_span(&out), span_str(cases[i].want)))
			fail_msg("%zu: %.*s", i, SPAN_ARG(buf_span(&out)));
		buf_free(&out);
	}
}

static void
fields(void **state)
{
	struct tag_line tag = {.name = SPAN("bulk"),
	    .by = SPAN("content"),
	    .why = SPAN("say \"x\\y\"\r\nX-Spam-Flag: NO\xc3\xa9\t"),
	    .score_milli = 2500};
	struct buf out = BUF_INIT(4096);

	(void)state;
	assert_int_equal(tags_add(&out, &tag), 0);
	tag = (struct tag_line){.name = SPAN("a;b c\r\n"), .by = SPAN("x\"y")};
	assert_int_equal(tags_add(&out, &tag), 0);
	assert_int_equal(tags_add_verdict(&out, true, -1500, SPAN("01JD")), 0);
	assert_int_equal(tags_add_verdict(&out, false, 0, SPAN("01JE")), 0);
	assert_int_equal(tags_add_spam_flag(&out), 0);
	assert_true(
	    span_eq(buf_span(&out), SPAN("X-Postern-Tag: bulk; by=content; score=2.5; "
					 "why=\"say \\\"x\\\\y\\\"??X-Spam-Flag: NO???\"\r\n"
					 "X-Postern-Tag: a?b?c??; by=x?y; score=0; why=\"\"\r\n"
					 "X-Postern-Verdict: tag; score=-1.5; id=01JD\r\n"
					 "X-Postern-Verdict: pass; score=0; id=01JE\r\n"
					 "X-Spam-Flag: YES\r\n")));
	buf_free(&out);
}

static void
cut(void **state)
{
	static char text[3000];
	struct tag_line tag = {.name = {text, sizeof(text)},
	    .by = {text, sizeof(text)},
	    .why = {text, sizeof(text)},
	    .score_milli = INT64_MIN};
	struct buf out = BUF_INIT(4096), small = BUF_INIT(20);

	(void)state;
	memset(text, '"', sizeof(text));
	assert_int_equal(tags_add(&out, &tag), 0);
	assert_true(out.n < 700);
	assert_true(tags_add(&small, &tag) < 0);
	assert_true(tags_add_verdict(&small, true, 0, SPAN("x")) < 0);
	buf_free(&out);
	buf_free(&small);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(scores),
	    cmocka_unit_test(fields),
	    cmocka_unit_test(cut),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

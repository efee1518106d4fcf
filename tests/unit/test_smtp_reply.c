/* test_smtp_reply.c - replies read under every split, and written. */
#include "relay/smtp/reply.h"
#include "relay/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

struct push_case {
	const char *input;
	ssize_t used; /* or an error */
	int code;
	const char *text, *enhanced;
};

static const struct push_case PUSH_CASES[] = {
    {"250 ok\r\n", 8, 250, "ok", ""},
    {"250\r\n", 5, 250, "", ""},
    {"250 ok\n220 x", 7, 250, "ok", ""},
    {"250-a\r\n250-b c\r\n250 d\r\nNEXT", 23, 250, "a\nb c\nd", ""},
    {"250-a\r\n250\r\n", 12, 250, "a\n", ""},
    {"550 5.1.1 no such user\r\n", 24, 550, "5.1.1 no such user", "5.1.1"},
    {"550 5.1.10\r\n", 12, 550, "5.1.10", "5.1.10"},
    {"550-5.1.1\r\n550 5.1.1 x\r\n", 24, 550, "5.1.1\n5.1.1 x", "5.1.1"},
    {"550 4.1.1 liar\r\n", 16, 550, "4.1.1 liar", ""},
    {"550 5.1.1111 x\r\n", 16, 550, "5.1.1111 x", ""},
    {"550 5.1.1x\r\n", 12, 550, "5.1.1x", ""},
    {"550 5..1 x\r\n", 12, 550, "5..1 x", ""},
    {"550 5.01.1 x\r\n", 14, 550, "5.01.1 x", ""},
    {"550 5.1.0 x\r\n", 13, 550, "5.1.0 x", "5.1.0"},
    {"354 3.1.1 x\r\n", 13, 354, "3.1.1 x", ""},
    {"250 a\tb\x01\xc3\xa9\r\n", 12, 250, "a b???", ""},
    {"25 ok\r\n", -E_SYNTAX, 0, NULL, NULL},
    {"250ok\r\n", -E_SYNTAX, 0, NULL, NULL},
    {"\r\n", -E_SYNTAX, 0, NULL, NULL},
    {"150 ok\r\n", -E_SYNTAX, 0, NULL, NULL},
    {"600 ok\r\n", -E_SYNTAX, 0, NULL, NULL},
    {"250-a\r\n251 b\r\n", -E_SYNTAX, 0, NULL, NULL},
    {"HTTP/1.1 400\r\n", -E_SYNTAX, 0, NULL, NULL},
};

static ssize_t
push_cut(struct smtp_reply *r, struct span input, size_t first, size_t step)
{
	size_t used = 0, n = first;

	while (used < input.n && !r->is_complete) {
		ssize_t got = smtp_reply_push(r, span_take(span_skip(input, used), n));

		if (got < 0)
			return got;
		used += (size_t)got;
		n = step;
	}
	return (ssize_t)used;
}

static void
check_push(const struct push_case *c, size_t first, size_t step)
{
	struct smtp_reply r = {.code = 0};
	ssize_t used = push_cut(&r, span_str(c->input), first, step);

	if (used != c->used)
		fail_msg("'%s' cut %zu: %zd", c->input, first, used);
	if (used < 0)
		return;
	assert_true(r.is_complete);
	assert_int_equal(r.code, c->code);
	assert_string_equal(r.text, c->text);
	assert_true(span_eq(smtp_reply_enhanced(&r), span_str(c->enhanced)));
}

static void
pushed(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(PUSH_CASES) / sizeof(PUSH_CASES[0]); i++) {
		check_push(&PUSH_CASES[i], 1, 1);
		for (size_t cut = 1; cut <= strlen(PUSH_CASES[i].input); cut++)
			check_push(&PUSH_CASES[i], cut, 1000);
	}
}

static void
push_limits(void **state)
{
	static char input[SMTP_REPLY_LINE_MAX + 10];
	struct smtp_reply r = {.code = 0};
	struct span line;

	(void)state;
	memset(input, 'x', sizeof(input));
	memcpy(input, "250 ", 4);
	input[SMTP_REPLY_LINE_MAX] = '\n';
	assert_int_equal(
	    smtp_reply_push(&r, span_of(input, SMTP_REPLY_LINE_MAX + 1)), SMTP_REPLY_LINE_MAX + 1);
	assert_int_equal(smtp_reply_push(&r, SPAN("250 x\r\n")), 0);
	r = (struct smtp_reply){.code = 0};
	input[SMTP_REPLY_LINE_MAX] = 'x';
	assert_int_equal(smtp_reply_push(&r, span_of(input, SMTP_REPLY_LINE_MAX + 1)), -E_LIMIT);

	r = (struct smtp_reply){.code = 0};
	for (int i = 0; i < SMTP_REPLY_LINES_MAX; i++)
		assert_int_equal(
		    smtp_reply_push(&r, SPAN("250-123456789012345678901234567890\r\n")), 36);
	assert_int_equal(r.text_n, SMTP_REPLY_TEXT_MAX);
	assert_int_equal(smtp_reply_push(&r, SPAN("250 x\r\n")), -E_LIMIT);

	r = (struct smtp_reply){.code = 0};
	(void)smtp_reply_push(&r, SPAN("250-mx\r\n250-SIZE 10\r\n250 X\r\n"));
	assert_true(smtp_reply_line(&r, 1, &line) && span_eq(line, SPAN("SIZE 10")));
	assert_true(smtp_reply_line(&r, 2, &line) && span_eq(line, SPAN("X")));
	assert_false(smtp_reply_line(&r, 3, &line));
}

static void
added(void **state)
{
	static const struct {
		int code;
		const char *enhanced, *text, *id, *want;
	} cases[] = {
	    {250, "", "ok", "", "250 ok\r\n"},
	    {250, "", "", "", "250\r\n"},
	    {250, "2.0.0", "", "", "250 2.0.0\r\n"},
	    {550, "5.7.1", "Listed", "01JD", "550 5.7.1 Listed [01JD]\r\n"},
	    {550, "5.7.1", "", "01JD", "550 5.7.1 [01JD]\r\n"},
	    {250, "", "mx\nSIZE 1\nPIPELINING", "", "250-mx\r\n250-SIZE 1\r\n250 PIPELINING\r\n"},
	    {550, "5.7.1", "a\nb", "I", "550-5.7.1 a\r\n550 5.7.1 b [I]\r\n"},
	    {550, "", "a\rb\xc3\xa9\x7f", "", "550 a?b???\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf out = BUF_INIT(1000);

		assert_int_equal(smtp_reply_add(&out, cases[i].code, span_str(cases[i].enhanced),
				     span_str(cases[i].text), span_str(cases[i].id)),
		    0);
		if (!span_eq(buf_span(&out), span_str(cases[i].want)))
			fail_msg("%zu: %.*s", i, SPAN_ARG(buf_span(&out)));
		buf_free(&out);
	}
}

/* Whatever the length: no line over 512, our own reader takes it, and the words are all there. */
static void
added_long(void **state)
{
	char text[1400];

	(void)state;
	for (size_t n = 400; n < sizeof(text); n += 7) {
		struct buf out = BUF_INIT(100000);
		struct smtp_reply r = {.code = 0};
		struct span rest;
		size_t words = 0;

		for (size_t i = 0; i < n; i++)
			text[i] = i % 10 == 9 && n % 2 ? ' ' : 'a';
		assert_int_equal(smtp_reply_add(&out, 451, SPAN("4.7.1"), span_of(text, n),
				     SPAN("01JD0000000000000000000000")),
		    0);
		rest = buf_span(&out);
		while (rest.n > 0)
			assert_true(span_cut(&rest, '\n').n + 1 <= 512);
		assert_int_equal(smtp_reply_push(&r, buf_span(&out)), out.n);
		assert_true(r.is_complete);
		assert_true(span_ends_nocase(
		    span_of(r.text, r.text_n), SPAN("[01JD0000000000000000000000]")));
		for (size_t i = 0; i < r.text_n; i++)
			words += r.text[i] == 'a';
		for (size_t i = 0; i < n; i++)
			words -= text[i] == 'a';
		assert_int_equal(words, 0);
		buf_free(&out);
	}
}

static void
added_to_full(void **state)
{
	struct buf out = BUF_INIT(10);

	(void)state;
	assert_int_equal(smtp_reply_add(&out, 550, SPAN("5.1.1"), SPAN("no"), SPAN("")), -E_LIMIT);
	buf_free(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(pushed),
	    cmocka_unit_test(push_limits),
	    cmocka_unit_test(added),
	    cmocka_unit_test(added_long),
	    cmocka_unit_test(added_to_full),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_decode.c - base64, quoted-printable, encoded words, charsets, parameters. */
#include "relay/message/charset.h"
#include "relay/message/decode.h"
#include "relay/message/param.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* A constant initializer, NULs and all. */
#define S(literal)                           \
	{                                    \
		literal, sizeof(literal) - 1 \
	}

#define FFFD "\xEF\xBF\xBD"

static int
setup(void **state)
{
	(void)state;
	decode_warm_up();
	return 0;
}

static void
base64(void **state)
{
	static const struct {
		struct span in, want;
		bool is_bad;
	} cases[] = {
	    {S(""), S(""), false},
	    {S("Zg=="), S("f"), false},
	    {S("Zm8="), S("fo"), false},
	    {S("Zm9v"), S("foo"), false},
	    {S("Zm9v\r\nYmFy\r\n"), S("foobar"), false},
	    {S(" Z m\t8 ="), S("fo"), false},
	    {S("AP//"), S("\0\xff\xff"), false},
	    {S("Zm8"), S("fo"), true},
	    {S("Z"), S(""), true},
	    {S("Zm9v!YmFy"), S("foobar"), true},
	    {S("Zg==Zg=="), S("ff"), true},
	    {S("=Zg=="), S("f"), true},
	    {S("Zg==="), S("f"), true},
	    {S("Zm9v\xff"), S("foo"), true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char to[100];
		bool is_bad = false;
		size_t n = decode_base64(cases[i].in, to, &is_bad);

		assert_true(n <= decode_base64_room(cases[i].in.n));
		if (!span_eq(span_of(to, n), cases[i].want) || is_bad != cases[i].is_bad)
			fail_msg("%zu: '%.*s' %d", i, (int)n, to, is_bad);
	}
}

static void
quoted_printable(void **state)
{
	static const struct {
		struct span in, want;
		bool is_bad;
	} cases[] = {
	    {S(""), S(""), false},
	    {S("a=3Db=3d"), S("a=b="), false},
	    {S("a=\r\nb"), S("ab"), false},
	    {S("a= \t\r\nb"), S("ab"), false},
	    {S("a=\nb"), S("ab"), false},
	    {S("a="), S("a"), false},
	    {S("a  \r\nb \t\n"), S("a\r\nb\n"), false},
	    {S("a=20 \r\n"), S("a \r\n"), false},
	    {S("a\rb"), S("a\rb"), false},
	    {S(" \r\n \r\n"), S("\r\n\r\n"), false},
	    {S("a=00b"), S("a\0b"), false},
	    {S("a=XYb"), S("a=XYb"), true},
	    {S("a=4"), S("a=4"), true},
	    {S("a= b"), S("a= b"), true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char to[100];
		bool is_bad = false;
		size_t n = decode_quoted_printable(cases[i].in, to, &is_bad);

		if (!span_eq(span_of(to, n), cases[i].want) || is_bad != cases[i].is_bad)
			fail_msg("%zu: '%.*s' %d", i, (int)n, to, is_bad);
	}
}

static void
words(void **state)
{
	static const struct {
		struct span in, want;
	} cases[] = {
	    {S("plain = text =? =?x"), S("plain = text =? =?x")},
	    {S("=?utf-8?Q?a_b=5F?="), S("a b_")},
	    {S("=?UTF-8*en?q?a?="), S("a")},
	    {S("=?iso-8859-1?q?caf=E9?= x"), S("caf\xc3\xa9 x")},
	    {S("=?windows-1251?B?z/Do4uXy?="),
		S("\xd0\x9f\xd1\x80\xd0\xb8\xd0\xb2\xd0\xb5\xd1\x82")},
	    {S("=?iso-2022-jp?B?GyRCJCIbKEI=?="), S("\xe3\x81\x82")},
	    /* one character over two words */
	    {S("=?utf-8?B?Y2Fmww==?= =?utf-8?B?qQ==?="), S("caf\xc3\xa9")},
	    {S("=?utf-8?q?caf=C3?=\r\n =?utf-8?q?=A9?="), S("caf\xc3\xa9")},
	    {S("=?utf-8?q?a?= =?iso-8859-1?q?=E9?="), S("a\xc3\xa9")},
	    {S("=?utf-8?q?a?= b =?utf-8?q?c?="), S("a b c")},
	    {S("x=?utf-8?q?a?=y"), S("xay")},
	    {S("=?utf-8?q?a b?="), S("a b")},
	    {S("=?nonsense?q?a=E9b?="), S("a" FFFD "b")},
	    {S("=?utf-8?q?=0D=0AX:_y?="), S("  X: y")},
	    {S("=?utf-8?x?a?="), S("=?utf-8?x?a?=")},
	    {S("=?utf-8?q?a"), S("=?utf-8?q?a")},
	    {S("=?utf-8?q?a?"), S("=?utf-8?q?a?")},
	    {S("=??q?a?="), S("=??q?a?=")},
	    {S("a\r\n b"), S("a b")},
	    {S("\xff"), S(FFFD)},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf out = BUF_INIT(1000);

		decode_words(cases[i].in, &out);
		if (!span_eq(buf_span(&out), cases[i].want))
			fail_msg("%zu: '%.*s'", i, SPAN_ARG(buf_span(&out)));
		buf_free(&out);
	}
}

/* Cut at any size: no half character, nothing past the limit. */
static void
words_are_cut(void **state)
{
	(void)state;
	for (size_t max = 0; max < 12; max++) {
		struct buf out = BUF_INIT(max);

		decode_words(SPAN("\xc3\xa9=?utf-8?q?=E3=81=82=E3=81=82?=\xff"), &out);
		assert_true(out.n <= max);
		assert_true(out.n == (max < 2 ? 0 : max < 5 ? 2 : max < 8 ? 5 : max < 11 ? 8 : 11));
		buf_free(&out);
	}
}

static void
charsets(void **state)
{
	static const struct {
		const char *name;
		struct span in, want;
		bool is_clean;
	} cases[] = {
	    {"", S("caf\xc3\xa9"), S("caf\xc3\xa9"), true},
	    {"us-ascii", S("caf\xe9"), S("caf" FFFD), false},
	    {"ISO-8859-15", S("\xa4"), S("\xe2\x82\xac"), true},
	    {"gb2312", S("\xc4\xe3"), S("\xe4\xbd\xa0"), true},
	    {"big5", S("\xa7\x41"), S("\xe4\xbd\xa0"), true},
	    {"euc-kr", S("\xb0\xa1"), S("\xea\xb0\x80"), true},
	    {"shift_jis", S("\x82\xa0"), S("\xe3\x81\x82"), true},
	    {"utf-16le", S("a\0\xe9\0"), S("a\xc3\xa9"), true},
	    {"utf-7", S("+AOk-"), S("\xc3\xa9"), true},
	    {"utf-16be", S("\0a\0"), S("a" FFFD), false}, /* ends inside */
	    {"windows-1252",
		S("a\x81"
		  "b"),
		S("a" FFFD "b"), false},
	    {"no-such", S("a\xe9"), S("a" FFFD), false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf out = BUF_INIT(1000);
		bool is_clean = charset_to_utf8(span_str(cases[i].name), cases[i].in, &out);

		if (!span_eq(buf_span(&out), cases[i].want) || is_clean != cases[i].is_clean)
			fail_msg("%s: '%.*s'", cases[i].name, SPAN_ARG(buf_span(&out)));
		buf_free(&out);
	}
	assert_true(charset_is_known(SPAN("KOI8-R")));
	assert_false(charset_is_known(SPAN("no-such")));
}

static void
params(void **state)
{
	static const struct {
		const char *value, *name, *want; /* NULL: none */
	} cases[] = {
	    {" text/plain; charset=utf-8", "charset", "utf-8"},
	    {"text/plain;CHARSET = \"utf-8\" ; x=y", "charset", "utf-8"},
	    {"text/plain; (a;b) charset (c) = (d) utf-8 (e)", "charset", "utf-8"},
	    {"a/b; name=\"x\\\"y;z\"", "name", "x\"y;z"},
	    {"a/b; name=\"open", "name", "open"},
	    {"a/b; name=two words.txt; q=1", "name", "two words.txt"},
	    {"a/b; name=a(1).txt", "name", "a(1).txt"},
	    {"a/b; name=\"a\r\n b\"", "name", "a b"},
	    {"a/b; x=\"1\" name=2", "name", "2"},
	    {"a/b; junk; \"junk;name=no\"; name=yes", "name", "yes"},
	    {"a/b;;;name=", "name", ""},
	    {"a/b; name*=utf-8'en'a%20%C3%A9", "name", "a \xc3\xa9"},
	    {"a/b; name=plain; name*=utf-8''ext", "name", "ext"},
	    {"a/b; name*1=b; name*0=a; name*2=\"c\"", "name", "abc"},
	    {"a/b; name*0*=iso-8859-1''%e9; name*1=%20; name*2*=%20", "name", "\xc3\xa9%20 "},
	    {"a/b; name*0=a; name*2=c", "name", "a"},
	    {"a/b; name*1=a", "name", NULL},
	    {"a/b; name*999999999999999999999=a", "name", NULL},
	    {"a/b; name=\"=?utf-8?q?caf=C3=A9?=\"", "name", "caf\xc3\xa9"},
	    {"a/b; filename=x", "name", NULL},
	    {"a/b; names=x", "name", NULL},
	    {"name=x", "name", NULL},
	    {"", "name", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf out = BUF_INIT(1000);
		bool is_there =
		    param_find_text(span_str(cases[i].value), span_str(cases[i].name), &out);

		if (is_there != (cases[i].want != NULL) ||
		    !span_eq(buf_span(&out), span_str(cases[i].want)))
			fail_msg("%s: '%.*s'", cases[i].value, SPAN_ARG(buf_span(&out)));
		buf_free(&out);
	}
}

static void
params_more(void **state)
{
	struct param_about about;
	struct buf out = BUF_INIT(10000), section = BUF_INIT(100000);

	(void)state;
	assert_true(param_find(SPAN("a; b=1; B=2"), SPAN("b"), &out, &about));
	assert_true(about.is_repeated && span_eq(buf_span(&out), SPAN("1")));
	buf_clear(&out);
	(void)buf_add_str(&section, "a");
	for (int i = 0; i < PARAM_SEGMENTS_MAX + 5; i++)
		(void)buf_addf(&section, ";b*%d=x", i);
	assert_true(param_find(buf_span(&section), SPAN("b"), &out, &about));
	assert_int_equal(out.n, PARAM_SEGMENTS_MAX);
	buf_clear(&out);
	buf_clear(&section);
	(void)buf_add_str(&section, "a;b=");
	while (section.n < PARAM_VALUE_MAX * 2)
		(void)buf_add_char(&section, 'x');
	assert_true(param_find(buf_span(&section), SPAN("b"), &out, &about));
	assert_int_equal(out.n, PARAM_VALUE_MAX);
	buf_clear(&out);
	param_main_value(SPAN(" (x) Text / PLAIN\r\n (y;z) ; a=b"), &out);
	assert_true(span_eq(buf_span(&out), SPAN("text/plain")));
	buf_free(&out);
	buf_free(&section);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(base64),
	    cmocka_unit_test(quoted_printable),
	    cmocka_unit_test(words),
	    cmocka_unit_test(words_are_cut),
	    cmocka_unit_test(charsets),
	    cmocka_unit_test(params),
	    cmocka_unit_test(params_more),
	};

	return cmocka_run_group_tests(tests, setup, NULL);
}

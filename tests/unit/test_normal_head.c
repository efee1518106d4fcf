/* The fields about a body, written so that all readers take them alike; and what is taken for that. */
#include "relay/base/err.h"
#include "relay/message/decode.h"
#include "relay/message/normal_head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))
#define ATTACHED    "Content-Disposition: attachment"
#define TEXT_PLAIN  "Content-Type: text/plain"

static void
test_fields(void **state)
{
	static const struct {
		const char *type, *charset, *name, *boundary, *encoding, *section;
		bool has_version;
		const char *out;
	} rows[] = {
	    {"text/plain", "", "", "", "", "", false, TEXT_PLAIN "\r\n"},
	    {"text/plain", "", "", "", "", "", true, "MIME-Version: 1.0\r\n" TEXT_PLAIN "\r\n"},
	    {"text/plain", "utf-8", "", "", "8bit", "", false,
		TEXT_PLAIN ";\r\n\tcharset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"},
	    {"text/plain", "a b", "", "", "", "", false,
		TEXT_PLAIN "\r\n"}, /* no name of a charset */
	    {"multipart/mixed", "", "", "=_x y", "", "", false,
		"Content-Type: multipart/mixed;\r\n\tboundary=\"=_x y\"\r\n"},
	    {"a/b", "", "x.txt", "", "", "", false,
		"Content-Type: a/b\r\n" ATTACHED ";\r\n\tfilename=x.txt\r\n"},
	    {"a/b", "", "a b.txt", "", "", "", false,
		"Content-Type: a/b\r\n" ATTACHED ";\r\n\tfilename=\"a b.txt\"\r\n"},
	    {"a/b", "", "\xc3\xa4.txt", "", "", "", false,
		"Content-Type: a/b\r\n" ATTACHED ";\r\n\tfilename*=utf-8''%C3%A4.txt\r\n"},
	    {"a/b", "", "100%.txt", "", "", "", false,
		"Content-Type: a/b\r\n" ATTACHED ";\r\n\tfilename*=utf-8''100%25.txt\r\n"},
	    {"a/b", "", "it's \"x\\y\".txt", "", "", "", false,
		"Content-Type: a/b\r\n" ATTACHED
		";\r\n\tfilename*=utf-8''it%27s%20%22x%5Cy%22.txt\r\n"},
	    {"a/b", "", "=?utf-8?q?x?=", "", "", "", false,
		"Content-Type: a/b\r\n" ATTACHED
		";\r\n\tfilename*=utf-8''%3D%3Futf-8%3Fq%3Fx%3F%3D\r\n"},
	    {"a/b", "", "x\r\nX: y", "", "", "", false,
		"Content-Type: a/b\r\n" ATTACHED ";\r\n\tfilename=\"xX: y\"\r\n"},
	    {"a/b", "", "", "", "", "Content-Disposition: inline; size=1\r\n", false,
		"Content-Type: a/b\r\nContent-Disposition: inline\r\n"},
	    {"a/b", "", "x", "", "", "Content-Disposition: INLINE\r\n", false,
		"Content-Type: a/b\r\nContent-Disposition: inline;\r\n\tfilename=x\r\n"},
	    {"a/b", "", "", "", "", "Content-Disposition: odd\r\n", false,
		"Content-Type: a/b\r\n" ATTACHED "\r\n"},
	    {"multipart/signed", "", "", "b", "",
		"Content-Type: multipart/signed; protocol=\"application/pgp-signature\"; "
		"micalg=pgp-sha256; boundary=b\r\n",
		false,
		"Content-Type: "
		"multipart/signed;\r\n\tboundary=b;\r\n\tprotocol=\"application/"
		"pgp-signature\";\r\n"
		"\tmicalg=pgp-sha256\r\n"},
	    {"text/plain", "", "", "", "",
		TEXT_PLAIN "; format=flowed; format=fixed; delsp=\"a\\b\"\r\n", false,
		TEXT_PLAIN ";\r\n\tdelsp=ab\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct normal_about about = {span_str(rows[i].type),
		    span_str(rows[i].charset), span_str(rows[i].name), span_str(rows[i].boundary),
		    span_str(rows[i].encoding), span_str(rows[i].section), rows[i].has_version};
		struct buf to = BUF_INIT(NORMAL_HEAD_MAX);

		assert_int_equal(normal_head_fields(&about, &to), 0);
		if (!span_eq(buf_span(&to), span_str(rows[i].out)))
			print_message("row %zu: %.*s\n", i, SPAN_ARG(buf_span(&to)));
		assert_true(span_eq(buf_span(&to), span_str(rows[i].out)));
		assert_true(normal_head_is_fine(buf_span(&to)));
		buf_free(&to);
	}
}

static void
test_long_name(void **state)
{
	struct buf name = BUF_INIT(5000), to = BUF_INIT(NORMAL_HEAD_MAX);
	struct normal_about about = {.type = SPAN("a/b")};

	(void)state;
	for (int i = 0; i < 1000; i++)
		(void)buf_add_str(&name, "\xc3\xa4");
	assert_int_equal(buf_add_str(&name, ".exe"), 0);
	about.name = buf_span(&name);
	assert_int_equal(normal_head_fields(&about, &to), 0);
	assert_true(normal_head_is_fine(buf_span(&to)));
	assert_true(span_ends_nocase(buf_span(&to), SPAN("%C3%A4.exe\r\n")));
	assert_true(to.n < 3 * NORMAL_NAME_MAX + 100);
	buf_clear(&to);
	to.max = 20;
	assert_int_equal(normal_head_fields(&about, &to), -E_LIMIT);
	buf_free(&to);
	buf_free(&name);
}

/* What is left of both ends of a name is no other name: ".e…xe", and blanks, are no ".exe". */
static void
test_long_name_has_its_ending(void **state)
{
	struct buf name = BUF_INIT(5000), to = BUF_INIT(NORMAL_HEAD_MAX);
	struct normal_about about = {.type = SPAN("a/b")};

	(void)state;
	for (size_t n = 150; n < NORMAL_NAME_MAX; n++) {
		buf_clear(&name);
		buf_clear(&to);
		for (size_t i = 0; i < n; i++)
			(void)buf_add_char(&name, 'a');
		(void)buf_add_str(&name, ".e");
		for (size_t i = 0; i < NORMAL_NAME_MAX; i++)
			(void)buf_add_char(&name, 'c');
		assert_int_equal(buf_addf(&name, "xe%38s", ""), 0);
		about.name = buf_span(&name);
		assert_int_equal(normal_head_fields(&about, &to), 0);
		assert_null(memmem(to.p, to.n, ".exe", 4));
		assert_non_null(memmem(to.p, to.n, "xe\r\n", 4));
	}
	buf_free(&name);
	buf_free(&to);
}

static void
test_section(void **state)
{
	static const struct {
		const char *in, *out;
	} rows[] = {
	    {"", "F: 1\r\n"},
	    {"X: 1\r\n", "X: 1\r\nF: 1\r\n"},
	    {"X: 1", "X: 1\r\nF: 1\r\n"},
	    {"X: 1\r\n y\r\nContent-ID: <1>\r\n", "X: 1\r\n y\r\nContent-ID: <1>\r\nF: 1\r\n"},
	    {"content-type: a/b;\r\n c=d\r\nX: 1\r\n", "X: 1\r\nF: 1\r\n"},
	    {"Content-Type : a/b\r\nX: 1\r\n", "X: 1\r\nF: 1\r\n"},
	    {"Content-Type\x80: a/b\r\nX: 1\r\n", "X: 1\r\nF: 1\r\n"},
	    {"MIME-Version: 1.0\r\nContent-Length: 5\r\nX: 1\r\n", "X: 1\r\nF: 1\r\n"},
	    {"no field\r\nX: 1\r\n", "X: 1\r\nF: 1\r\n"},
	    {"X: 1\r\n \t\r\n y\r\n", "X: 1\r\n y\r\nF: 1\r\n"},
	    {"\r\n", "F: 1\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf to = BUF_INIT(1000);

		assert_int_equal(
		    normal_head_section(span_str(rows[i].in), SPAN("F: 1\r\n"), &to), 0);
		assert_true(span_eq(buf_span(&to), span_str(rows[i].out)));
		buf_free(&to);
	}
}

static void
test_plain(void **state)
{
	static const struct {
		const char *section;
		bool is_plain;
	} rows[] = {
	    {"", true},
	    {"\r\n", true},
	    {"X: (anything; at all\r\n", true},
	    {TEXT_PLAIN "\r\nX: y\r\n\r\n", true},
	    {TEXT_PLAIN "; charset=utf-8\r\n", true},
	    {TEXT_PLAIN ";\r\n\tcharset=\"utf-8\"\r\n", true},
	    {"CONTENT-TYPE: TEXT/Plain\r\n", true},
	    {"Content-Type:\r\n text/plain\r\n", false},
	    {TEXT_PLAIN ";\r\n", false},
	    {"Content-Type: text\r\n", false},
	    {TEXT_PLAIN " (x)\r\n", false},
	    {TEXT_PLAIN "; charset = utf-8\r\n", false},
	    {TEXT_PLAIN "; charset=\"a\\b\"\r\n", false},
	    {TEXT_PLAIN "; charset=\"a\r\n", false},
	    {TEXT_PLAIN "; name*=utf-8''x\r\n", false},
	    {TEXT_PLAIN "; name=\"=?utf-8?q?x?=\"\r\n", false},
	    {TEXT_PLAIN "; a=b; A=c\r\n", false},
	    {TEXT_PLAIN "; charset=utf-8 x\r\n", false},
	    {TEXT_PLAIN "\r\n" TEXT_PLAIN "\r\n", false},
	    {"Content-Type : text/plain\r\n", false},
	    {"Content-Type\x80: a/b\r\n", false},
	    {"Content-Transfer-Encoding: base64\r\n", true},
	    {"Content-Transfer-Encoding: BASE64\r\n", true},
	    {"Content-Transfer-Encoding: x-base64\r\n", false},
	    {"Content-Transfer-Encoding: base64 (x)\r\n", false},
	    {"MIME-Version: 1.0\r\n", true},
	    {"MIME-Version: 1.0 (x)\r\n", false},
	    {"Content-Disposition: attachment; filename=x\r\n", true},
	    {"no field\r\n", false},
	    {"X: 1\r\n \r\n y\r\n", false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		if (normal_head_is_plain(span_str(rows[i].section)) != rows[i].is_plain)
			print_message("row %zu\n", i);
		assert_int_equal(normal_head_is_plain(span_str(rows[i].section)), rows[i].is_plain);
	}
}

static void
test_fine(void **state)
{
	static const struct {
		const char *fields;
		bool is_fine;
	} rows[] = {{"", true}, {TEXT_PLAIN "\r\n", true}, {TEXT_PLAIN "\n", false},
	    {TEXT_PLAIN "\r", false}, {"Subject: x\r\n", false},
	    {TEXT_PLAIN "\r\nX-Postern-Tag: x\r\n", false}, {TEXT_PLAIN "\r\n\r\n", false},
	    {TEXT_PLAIN "\x01\r\n", false}, {TEXT_PLAIN "\x80\r\n", false},
	    {"Content-Type : a/b\r\n", false}, {" folded\r\n", false}};
	static const struct {
		struct span text;
		bool is_fine, is_fine_8bit;
	} texts[] = {{{"", 0}, true, true}, {{"a\r\n", 3}, true, true}, {{"a", 1}, true, true},
	    {{"\xc3\xa4\r\n", 4}, false, true}, {{"a\n", 2}, false, false},
	    {{"a\r", 2}, false, false}, {{"\ra", 2}, false, false}, {{"\0", 1}, false, false},
	    {{"\n", 1}, false, false}};
	char line[NORMAL_LINE_MAX + 1];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(normal_head_is_fine(span_str(rows[i].fields)), rows[i].is_fine);
	for (size_t i = 0; i < COUNT(texts); i++) {
		assert_int_equal(normal_text_is_fine(texts[i].text, false), texts[i].is_fine);
		assert_int_equal(normal_text_is_fine(texts[i].text, true), texts[i].is_fine_8bit);
	}
	memset(line, 'x', sizeof(line));
	assert_true(normal_text_is_fine(span_of(line, NORMAL_LINE_MAX), false));
	assert_false(normal_text_is_fine(span_of(line, NORMAL_LINE_MAX + 1), false));
	assert_true(span_eq(normal_plain_encoding(SPAN("a\r\n")), SPAN("")));
	assert_true(span_eq(normal_plain_encoding(SPAN("\xc3\r\n")), SPAN("8bit")));
	assert_true(span_eq(normal_plain_encoding(SPAN("a\n")), SPAN("binary")));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_fields),
	    cmocka_unit_test(test_long_name),
	    cmocka_unit_test(test_long_name_has_its_ending),
	    cmocka_unit_test(test_section),
	    cmocka_unit_test(test_plain),
	    cmocka_unit_test(test_fine),
	};

	decode_warm_up();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

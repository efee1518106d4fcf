/* test_header.c - fields of a header section, well-formed or not. */
#include "relay/message/header.h"
#include "relay/message/received.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void
sections(void **state)
{
	static const struct {
		const char *message;
		size_t length;
		const char *body;
	} cases[] = {
	    {"A: b\r\n\r\nbody\r\n", 6, "body\r\n"},
	    {"A: b\n\nbody", 5, "body"},
	    {"A: b\r\n c\r\n\r\n", 10, ""},
	    {"A: b\r\n \r\nC: d\r\n", 15, ""},
	    {"\r\nbody", 0, "body"},
	    {"", 0, ""},
	    {"A: b", 4, ""},
	    {"A: b\r\n\r", 7, ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct span message = span_str(cases[i].message);

		assert_int_equal(header_section_length(message), cases[i].length);
		assert_true(span_eq(header_body(message), span_str(cases[i].body)));
	}
}

static void
fields(void **state)
{
	static const struct {
		const char *whole, *name, *value;
		bool is_malformed;
	} want[] = {
	    {" orphan\r\n", "", " orphan", true},
	    {"Subject: a\r\n b\r\n\tc\r\n", "Subject", " a\r\n b\r\n\tc", false},
	    {"To \t:x\n", "To", "x", false},
	    {"no colon here\r\n", "", "no colon here", true},
	    {"Bad name: x\r\n", "", "Bad name: x", true},
	    {"B\xc3\xa9: x\r\n", "", "B\xc3\xa9: x", true},
	    {": x\r\n", "", ": x", true},
	    {"Empty:\r\n", "Empty", "", false},
	    {"Last: y", "Last", " y", false},
	};
	struct buf section = BUF_INIT(1000);
	struct span rest;
	struct header_field f;

	(void)state;
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		(void)buf_add_str(&section, want[i].whole);
	rest = buf_span(&section);
	for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++) {
		assert_true(header_next(&rest, &f));
		assert_true(span_eq(f.whole, span_str(want[i].whole)));
		assert_true(span_eq(f.name, span_str(want[i].name)));
		assert_true(span_eq(f.value, span_str(want[i].value)));
		assert_int_equal(f.is_malformed, want[i].is_malformed);
	}
	assert_false(header_next(&rest, &f));
	assert_true(header_find(buf_span(&section), SPAN("subJECT"), &f));
	assert_true(span_eq(f.name, SPAN("Subject")));
	assert_false(header_find(buf_span(&section), SPAN("Subjec"), &f));
	assert_false(header_find(buf_span(&section), SPAN(""), &f));
	buf_free(&section);
}

static void
decoded(void **state)
{
	static const struct {
		const char *value, *want;
	} cases[] = {
	    {" plain \r\n\tfolded ", "plain \tfolded"},
	    {" =?utf-8?q?caf=C3=A9?=", "caf\xc3\xa9"},
	    {" =?utf-8?b?Y2Fmw6k=?= x", "caf\xc3\xa9 x"},
	    {" =?utf-8?q?a?=\r\n =?utf-8?q?b?=", "ab"},
	    {" caf\xc3\xa9", "caf\xc3\xa9"},
	    {" caf\xe9", "caf\xef\xbf\xbd"},
	    {"", ""},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct buf out = BUF_INIT(1000);

		header_decode(span_str(cases[i].value), &out);
		if (!span_eq(buf_span(&out), span_str(cases[i].want)))
			fail_msg("%zu: '%.*s'", i, SPAN_ARG(buf_span(&out)));
		buf_free(&out);
	}
}

static void
decoded_is_bounded(void **state)
{
	static char value[HEADER_SECTION_MAX];
	struct buf out = BUF_INIT(1000000);

	(void)state;
	memset(value, '\xff', sizeof(value));
	header_decode(span_of(value, sizeof(value)), &out);
	assert_int_equal(out.n, HEADER_DECODED_MAX / 3 * 3);
	buf_free(&out);
}

static void
trace_field(void **state)
{
	struct received r = {.helo = SPAN("evil) by x; (\r\nX: y"),
	    .hostname = SPAN("mx1.example.org"),
	    .protocol = SPAN("ESMTP"),
	    .id = SPAN("01JD"),
	    .rcpt = SPAN("a>b@\xc3\xa9"),
	    .wall_ms = 0};
	struct buf out = BUF_INIT(4096);

	(void)state;
	assert_true(ip_parse(SPAN("192.0.2.1"), &r.client));
	assert_int_equal(received_add(&out, &r), 0);
	assert_true(span_eq(
	    buf_span(&out), SPAN("Received: from evil??by?x?????X:?y (unknown [192.0.2.1])\r\n"
				 "\tby mx1.example.org with ESMTP id 01JD\r\n"
				 "\tfor <a?b@\?\?>;\r\n"
				 "\tThu, 1 Jan 1970 00:00:00 +0000\r\n")));
	assert_true(ip_parse(SPAN("2001:db8::1"), &r.client));
	r.host = SPAN("client.example");
	r.helo = SPAN("[127.0.0.1]");
	r.rcpt = SPAN("");
	assert_int_equal(received_add(&out, &r), 0);
	assert_true(memmem(out.p, out.n, "from [127.0.0.1] (client.example [IPv6:2001:db8::1])\r\n",
			54) != NULL);
	assert_int_equal(received_count(buf_span(&out)), 2);
	assert_int_equal(
	    received_count(SPAN("received : x\r\nReceivedX: y\r\nA: Received:\r\n")), 1);
	buf_free(&out);
	out = BUF_INIT(100);
	assert_true(received_add(&out, &r) < 0);
	buf_free(&out);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(sections),
	    cmocka_unit_test(fields),
	    cmocka_unit_test(decoded),
	    cmocka_unit_test(decoded_is_bounded),
	    cmocka_unit_test(trace_field),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

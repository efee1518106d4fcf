/* test_dsn.c - bounces: their parts, and that nothing foreign breaks out of them. */
#include "relay/message/dsn.h"
#include "relay/base/err.h"
#include "relay/message/decode.h"
#include "relay/message/mime.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct dsn
sample(const struct dsn_recipient *recipients, size_t n)
{
	return (struct dsn){.reporting_mta = SPAN("mx1.example.org"),
	    .postmaster = SPAN("postmaster@example.org"),
	    .sender = SPAN("joe@client.example"),
	    .id = SPAN("01JD"),
	    .boundary = SPAN("b-0123456789"),
	    .recipients = recipients,
	    .n_recipients = n,
	    .headers = SPAN("Subject: hello\r\nX-Evil: a\r\n"),
	    .arrival_ms = 1000,
	    .now_ms = 60000};
}

static bool
has(struct span text, struct span what)
{
	return text.n > 0 && memmem(text.p, text.n, what.p, what.n) != NULL;
}

static void
check_wire(struct span text)
{
	while (text.n > 0) {
		struct span line = span_cut(&text, '\n');

		assert_true(line.n > 0 && line.p[line.n - 1] == '\r');
		line.n--;
		assert_true(line.n <= 998);
		for (size_t i = 0; i < line.n; i++)
			assert_true(line.p[i] == '\t' || (line.p[i] >= 0x20 && line.p[i] < 0x7f));
	}
}

static void
bounce(void **state)
{
	static const struct dsn_recipient rcpts[] = {
	    {.address = SPAN("nobody@example.org"),
		.status = SPAN("5.1.1"),
		.reply = SPAN("550 5.1.1 User unknown\nsecond line"),
		.server = SPAN("exchange.example.org")},
	    {.address = SPAN("slow@example.org"), .status = SPAN("4.4.1"), .action = DSN_DELAYED},
	};
	struct dsn d = sample(rcpts, 2);
	struct buf out = BUF_INIT(100000);
	struct arena arena;
	struct mime_message m;

	(void)state;
	d.retry_until_ms = 86400000;
	assert_int_equal(dsn_write(&d, &out), 0);
	check_wire(buf_span(&out));
	arena_init(&arena, 1000000);
	mime_parse(buf_span(&out), NULL, &arena, &m);
	assert_int_equal(m.anomalies, 0);
	assert_int_equal(m.n_parts, 4);
	assert_true(span_eq(m.parts[0].type, SPAN("multipart/report")));
	assert_true(span_eq(m.parts[1].type, SPAN("text/plain")));
	assert_true(span_eq(m.parts[2].type, SPAN("message/delivery-status")));
	assert_true(span_eq(m.parts[3].type, SPAN("text/rfc822-headers")));
	assert_true(has(m.parts[1].raw, SPAN("  <nobody@example.org>\r\n    There is no such")));
	assert_true(has(m.parts[1].raw, SPAN("550 5.1.1 User unknown second line\r\n")));
	assert_true(has(m.parts[1].raw, SPAN("will be tried again")));
	assert_true(span_eq(
	    m.parts[2].raw, SPAN("Reporting-MTA: dns; mx1.example.org\r\n"
				 "Arrival-Date: Thu, 1 Jan 1970 00:00:01 +0000\r\n"
				 "\r\n"
				 "Final-Recipient: rfc822; nobody@example.org\r\n"
				 "Action: failed\r\n"
				 "Status: 5.1.1\r\n"
				 "Remote-MTA: dns; exchange.example.org\r\n"
				 "Diagnostic-Code: smtp; 550 5.1.1 User unknown second line\r\n"
				 "Last-Attempt-Date: Thu, 1 Jan 1970 00:01:00 +0000\r\n"
				 "\r\n"
				 "Final-Recipient: rfc822; slow@example.org\r\n"
				 "Action: delayed\r\n"
				 "Status: 4.4.1\r\n"
				 "Last-Attempt-Date: Thu, 1 Jan 1970 00:01:00 +0000\r\n"
				 "Will-Retry-Until: Fri, 2 Jan 1970 00:00:00 +0000\r\n")));
	assert_true(span_eq(m.parts[3].raw, SPAN("Subject: hello\r\nX-Evil: a\r\n")));
	assert_true(has(buf_span(&out), SPAN("To: <joe@client.example>\r\n")));
	assert_true(has(buf_span(&out), SPAN("Auto-Submitted: auto-replied\r\n")));
	assert_true(has(buf_span(&out), SPAN("Subject: Your message could not be delivered\r\n")));
	arena_free(&arena);
	buf_free(&out);
}

static void
hostile(void **state)
{
	static char text[9000];
	struct dsn_recipient rcpt = {.address = SPAN("a>\r\nBcc: x@y\xc3\xa9\0@b"),
	    .status = SPAN("5.1.1\r\nX: y"),
	    .reply = {text, sizeof(text)},
	    .server = SPAN("gw\r\n\r\nx")};
	struct dsn d = sample(&rcpt, 1);
	struct buf out = BUF_INIT(200000);
	struct arena arena;
	struct mime_message m;

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)(i % 256);
	d.headers = span_of(text, sizeof(text));
	d.sender = rcpt.address;
	d.postmaster = rcpt.address;
	assert_int_equal(dsn_write(&d, &out), 0);
	check_wire(buf_span(&out));
	arena_init(&arena, 1000000);
	mime_parse(buf_span(&out), NULL, &arena, &m);
	assert_int_equal(m.n_parts, 4);
	assert_false(has(buf_span(&out), SPAN("\nBcc")));
	assert_true(has(m.parts[2].raw, SPAN("\r\nStatus: 5.0.0\r\n")));
	arena_free(&arena);
	buf_free(&out);
}

static void
statuses(void **state)
{
	static const struct {
		const char *status;
		enum dsn_action action;
		const char *want;
	} cases[] = {{"5.1.1", DSN_FAILED, "5.1.1"}, {"4.4.7", DSN_FAILED, "4.4.7"},
	    {"5.1.1", DSN_DELAYED, "4.0.0"}, {"2.0.0", DSN_FAILED, "5.0.0"},
	    {"5.1", DSN_FAILED, "5.0.0"}, {"5.1.1.1", DSN_FAILED, "5.0.0"},
	    {"5.1.1.", DSN_FAILED, "5.0.0"}, {"5.1.1234", DSN_FAILED, "5.0.0"},
	    {"5..1", DSN_FAILED, "5.0.0"}, {"", DSN_FAILED, "5.0.0"}, {"", DSN_DELAYED, "4.0.0"},
	    {"5.999.999", DSN_FAILED, "5.999.999"}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct dsn_recipient rcpt = {.address = SPAN("a@b"),
		    .status = span_str(cases[i].status),
		    .action = cases[i].action};
		struct dsn d = sample(&rcpt, 1);
		struct buf out = BUF_INIT(100000), want = BUF_INIT(100);

		(void)buf_addf(&want, "\r\nStatus: %s\r\n", cases[i].want);
		assert_int_equal(dsn_write(&d, &out), 0);
		if (!has(buf_span(&out), buf_span(&want)))
			fail_msg("%s", cases[i].status);
		buf_free(&out);
		buf_free(&want);
	}
}

static void
refused(void **state)
{
	static const struct dsn_recipient rcpt = {.address = SPAN("a@b")};
	struct dsn d = sample(&rcpt, 0);
	struct buf out = BUF_INIT(100000), small = BUF_INIT(1000);

	(void)state;
	assert_int_equal(dsn_write(&d, &out), -E_SYNTAX);
	d = sample(&rcpt, 1);
	assert_int_equal(dsn_write(&d, &small), -E_LIMIT);
	d.headers = SPAN("A: b-0123456789\r\n");
	assert_int_equal(dsn_write(&d, &out), -E_EXISTS);
	d.boundary = SPAN("a b");
	assert_int_equal(dsn_write(&d, &out), -E_SYNTAX);
	d.boundary = SPAN("");
	assert_int_equal(dsn_write(&d, &out), -E_SYNTAX);
	d.boundary =
	    SPAN("0123456789012345678901234567890123456789012345678901234567890123456789x");
	assert_int_equal(dsn_write(&d, &out), -E_SYNTAX);
	assert_int_equal(out.n, 0);
	buf_free(&out);
	buf_free(&small);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(bounce),
	    cmocka_unit_test(hostile),
	    cmocka_unit_test(statuses),
	    cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_dsn.c - bounces: their parts, and that nothing foreign breaks out of them. */
#include "relay/message/dsn_status.h"
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
	    .original_id = SPAN("01JC"),
	    .boundary = SPAN("b-0123456789"),
	    .recipients = recipients,
	    .n_recipients = n,
	    .original = SPAN("Subject: hello\r\nX-Evil: a\r\n"),
	    .arrival_ms = 1000,
	    .now_ms = 60000};
}

static int
write(const struct dsn *d, struct buf *to)
{
	bool is_8bit;
	int rc = dsn_write(d, to, &is_8bit);

	assert_false(is_8bit);
	return rc;
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
		.reply = SPAN("550 5.1.1 User unknown\nsecond line"),
		.server = SPAN("exchange.example.org"),
		.attempted_ms = 60000},
	    {.address = SPAN("slow@example.org"),
		.orcpt = SPAN("rfc822;s+2Blow@list.example"),
		.reply = SPAN("no server can be reached"),
		.action = DSN_DELAYED,
		.attempted_ms = 60000},
	    {.address = SPAN("far@example.org"),
		.action = DSN_RELAYED,
		.reply = SPAN("250 2.6.0 ok"),
		.server = SPAN("10.0.0.1:25")},
	};
	struct dsn d = sample(rcpts, 3);
	struct buf out = BUF_INIT(100000);
	struct arena arena;
	struct mime_message m;

	(void)state;
	d.retry_until_ms = 86400000;
	d.envelope_id = SPAN("QQ314159+2B");
	assert_int_equal(write(&d, &out), 0);
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
	    m.parts[2].raw, SPAN("Original-Envelope-Id: QQ314159+\r\n"
				 "Reporting-MTA: dns; mx1.example.org\r\n"
				 "Arrival-Date: Thu, 1 Jan 1970 00:00:01 +0000\r\n"
				 "\r\n"
				 "Final-Recipient: rfc822; nobody@example.org\r\n"
				 "Action: failed\r\n"
				 "Status: 5.1.1\r\n"
				 "Remote-MTA: dns; exchange.example.org\r\n"
				 "Diagnostic-Code: smtp; 550 5.1.1 User unknown second line\r\n"
				 "Last-Attempt-Date: Thu, 1 Jan 1970 00:01:00 +0000\r\n"
				 "\r\n"
				 "Original-Recipient: rfc822; s+low@list.example\r\n"
				 "Final-Recipient: rfc822; slow@example.org\r\n"
				 "Action: delayed\r\n"
				 "Status: 4.4.1\r\n"
				 "Diagnostic-Code: X-Postern; no server can be reached\r\n"
				 "Last-Attempt-Date: Thu, 1 Jan 1970 00:01:00 +0000\r\n"
				 "Will-Retry-Until: Fri, 2 Jan 1970 00:00:00 +0000\r\n"
				 "\r\n"
				 "Final-Recipient: rfc822; far@example.org\r\n"
				 "Action: relayed\r\n"
				 "Status: 2.6.0\r\n"
				 "Remote-MTA: dns; 10.0.0.1:25\r\n"
				 "Diagnostic-Code: smtp; 250 2.6.0 ok\r\n")));
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
	    .orcpt = SPAN("rfc822;a\r\nX: y"),
	    .reply = {text, sizeof(text)},
	    .server = SPAN("gw\r\n\r\nx")};
	struct dsn d = sample(&rcpt, 1);
	struct buf out = BUF_INIT(200000);
	struct arena arena;
	struct mime_message m;

	(void)state;
	for (size_t i = 0; i < sizeof(text); i++)
		text[i] = (char)(i % 256);
	d.original = span_of(text, sizeof(text));
	d.envelope_id = rcpt.address;
	d.original_id = rcpt.address;
	d.sender = rcpt.address;
	d.postmaster = rcpt.address;
	assert_int_equal(write(&d, &out), 0);
	check_wire(buf_span(&out));
	arena_init(&arena, 1000000);
	mime_parse(buf_span(&out), NULL, &arena, &m);
	assert_int_equal(m.n_parts, 4);
	assert_false(has(buf_span(&out), SPAN("\nBcc")));
	assert_true(has(m.parts[2].raw, SPAN("\r\nStatus: 4.4.7\r\n")));
	arena_free(&arena);
	buf_free(&out);
}

static void
statuses(void **state)
{
	static const struct {
		const char *reply;
		enum dsn_action action;
		const char *want;
	} cases[] = {{"550 5.1.1 x", DSN_FAILED, "5.1.1"}, {"450 4.4.7", DSN_FAILED, "4.4.7"},
	    {"550-5.7.1 x", DSN_FAILED, "5.7.1"}, {"550 5.1.1 x", DSN_DELAYED, "4.0.0"},
	    {"250 2.0.0 x", DSN_FAILED, "5.0.0"}, {"550 5.1 x", DSN_FAILED, "5.0.0"},
	    {"554 5.1.1.1", DSN_FAILED, "5.0.0"}, {"554 5.1.1.", DSN_FAILED, "5.0.0"},
	    {"554 5.1.1234", DSN_FAILED, "5.0.0"}, {"554 5..1", DSN_FAILED, "5.0.0"},
	    {"", DSN_FAILED, "5.0.0"}, {"", DSN_DELAYED, "4.0.0"}, {"", DSN_RELAYED, "2.0.0"},
	    {"550 5.999.999", DSN_FAILED, "5.999.999"}, {"550", DSN_FAILED, "5.0.0"},
	    {"552 full", DSN_FAILED, "5.2.2"}, {"553 what", DSN_FAILED, "5.1.3"},
	    {"556 none", DSN_FAILED, "5.1.10"}, {"451 later", DSN_DELAYED, "4.3.0"},
	    {"421", DSN_DELAYED, "4.3.2"}, {"452 x", DSN_FAILED, "4.3.1"},
	    {"250 2.6.0 queued", DSN_RELAYED, "2.6.0"}, {"250 ok", DSN_RELAYED, "2.0.0"},
	    {"5.7.1 by the administrator", DSN_FAILED, "5.7.1"},
	    {"no server can be reached", DSN_FAILED, "4.4.7"},
	    {"no server can be reached", DSN_DELAYED, "4.4.1"}, {"5501 5.1.1", DSN_FAILED, "4.4.7"},
	    {"55", DSN_FAILED, "4.4.7"}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct span found = dsn_status(span_str(cases[i].reply), cases[i].action);

		if (!span_eq(found, span_str(cases[i].want)))
			fail_msg("%s: %.*s", cases[i].reply, SPAN_ARG(found));
	}
	assert_non_null(dsn_advice(SPAN("5.1.1")));
	assert_non_null(dsn_advice(SPAN("4.4.1")));
	assert_null(dsn_advice(SPAN("5.0.0")));
	assert_null(dsn_advice(SPAN("2.1.1")));
}

/* A report with an original: what became of it. */
struct returned {
	struct buf out;
	struct arena arena;
	struct mime_message m;
	bool is_8bit;
};

static const struct dsn_recipient one[] = {{.address = SPAN("a@b"), .reply = SPAN("550 no")}};

static void
give_back(struct span original, bool is_whole, bool is_utf8, struct returned *to)
{
	struct dsn d = sample(one, 1);

	d.original = original;
	d.is_whole = is_whole;
	d.is_utf8 = is_utf8;
	to->out = BUF_INIT(1 << 20);
	assert_int_equal(dsn_write(&d, &to->out, &to->is_8bit), 0);
	arena_init(&to->arena, 1000000);
	mime_parse(buf_span(&to->out), NULL, &to->arena, &to->m);
	if (!to->is_8bit)
		assert_int_equal(to->m.anomalies, 0);
}

static void
returned_free(struct returned *r)
{
	arena_free(&r->arena);
	buf_free(&r->out);
}

static void
whole_message(void **state)
{
	static const char text[] = "X-Postern-Tag: a; by=b\r\nSubject: s\r\n\r\nbody\r\n";
	struct returned r;

	(void)state;
	give_back(span_str(text), true, false, &r);
	assert_true(span_eq(r.m.parts[3].type, SPAN("message/rfc822")));
	assert_true(has(buf_span(&r.out), SPAN("\r\n\r\nSubject: s\r\n\r\nbody\r\n")));
	assert_true(has(buf_span(&r.out), SPAN("That message is attached")));
	assert_false(has(buf_span(&r.out), SPAN("X-Postern-")));
	assert_false(r.is_8bit);
	check_wire(buf_span(&r.out));
	returned_free(&r);
}

static void
whole_message_8bit(void **state)
{
	struct returned r;

	(void)state;
	give_back(SPAN("Subject: s\r\n\r\nh\xe9\r\n"), true, false, &r);
	assert_true(r.is_8bit);
	assert_true(has(buf_span(&r.out), SPAN("h\xe9\r\n")));
	assert_true(has(buf_span(&r.out), SPAN("Content-Transfer-Encoding: 8bit\r\n\r\nThis is")));
	assert_true(has(buf_span(&r.out), SPAN("Content-Transfer-Encoding: 8bit\r\n\r\nSubject")));
	returned_free(&r);
}

/* What no mail may hold, and what has no header at all. */
static void
headers_instead(void **state)
{
	static char text[2000];
	struct returned r;

	(void)state;
	give_back(SPAN("Subject: s\r\n\r\na\0b\r\n"), true, false, &r);
	assert_true(span_eq(r.m.parts[3].type, SPAN("text/rfc822-headers")));
	assert_true(span_eq(r.m.parts[3].raw, SPAN("Subject: s\r\n")));
	check_wire(buf_span(&r.out));
	returned_free(&r);
	memset(text, 'x', sizeof(text));
	memcpy(text, "A: b\r\n\r\n", 8);
	memcpy(text + 8 + 998, "\r\n", 2);
	give_back(span_of(text, 8 + 998 + 2), true, false, &r);
	assert_true(span_eq(r.m.parts[3].type, SPAN("message/rfc822")));
	returned_free(&r);
	memcpy(text + 8 + 998, "x\r\n", 3);
	give_back(span_of(text, 8 + 999 + 2), true, false, &r);
	assert_true(span_eq(r.m.parts[3].type, SPAN("text/rfc822-headers")));
	returned_free(&r);
	give_back(SPAN("\r\nno header\r\n\r\nat all\r\n"), false, false, &r);
	assert_false(has(buf_span(&r.out), SPAN("no header")));
	returned_free(&r);
}

static void
check_decoded(const struct mime_part *part, struct span want)
{
	char room[1000];
	struct span rest = part->raw;
	size_t n = 0;
	unsigned bits = 0, count = 0;

	for (size_t i = 0; i < rest.n; i++) {
		static const char digits[] =
		    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
		const char *at = rest.p[i] != '\0' ? strchr(digits, rest.p[i]) : NULL;

		if (at == NULL)
			continue;
		bits = bits << 6 | (unsigned)(at - digits);
		count += 6;
		if (count < 8)
			continue;
		count -= 8;
		assert_true(n < sizeof(room));
		room[n++] = (char)(bits >> count & 255);
	}
	if (!has(span_of(room, n), want))
		fail_msg("%.*s", (int)n, room);
}

static void
internationalized(void **state)
{
	struct dsn_recipient rcpt = {.address = SPAN("j\xc3\xb6@b"),
	    .orcpt = SPAN("utf-8;j\xc3\xb6@b"),
	    .reply = SPAN("550 5.1.1 no")};
	struct dsn d = sample(&rcpt, 1);
	struct returned r;
	struct buf out = BUF_INIT(100000);

	(void)state;
	give_back(SPAN("Subject: \xc3\xb6\r\n\r\nbody\r\n"), true, true, &r);
	assert_true(span_eq(r.m.parts[2].type, SPAN("message/global-delivery-status")));
	assert_true(span_eq(r.m.parts[3].type, SPAN("message/global")));
	check_decoded(&r.m.parts[3], SPAN("Subject: \xc3\xb6\r\n\r\nbody\r\n"));
	check_wire(buf_span(&r.out)); /* 7-bit all of it */
	assert_true(has(buf_span(&r.out), SPAN("report-type=global-delivery-status")));
	returned_free(&r);
	give_back(SPAN("Subject: \xc3\xb6 \xff\r\n\r\nbody\r\n"), false, true, &r);
	assert_true(span_eq(r.m.parts[3].type, SPAN("message/global-headers")));
	check_decoded(&r.m.parts[3], SPAN("Subject: \xc3\xb6 ?\r\n"));
	returned_free(&r);
	d.is_utf8 = true;
	d.sender = SPAN("\xc3\xa9@b");
	assert_int_equal(write(&d, &out), 0);
	assert_true(has(buf_span(&out), SPAN("To: <\xc3\xa9@b>\r\n")));
	arena_init(&r.arena, 1000000);
	mime_parse(buf_span(&out), NULL, &r.arena, &r.m);
	check_decoded(&r.m.parts[2], SPAN("Final-Recipient: utf-8; j\xc3\xb6@b\r\n"));
	arena_free(&r.arena);
	buf_free(&out);
}

static void
refused(void **state)
{
	static const struct dsn_recipient rcpt = {.address = SPAN("a@b")};
	struct dsn d = sample(&rcpt, 0);
	struct buf out = BUF_INIT(100000), small = BUF_INIT(1000);

	(void)state;
	assert_int_equal(write(&d, &out), -E_SYNTAX);
	d = sample(&rcpt, 1);
	assert_int_equal(write(&d, &small), -E_LIMIT);
	d.original = SPAN("A: b-0123456789\r\n");
	assert_int_equal(write(&d, &out), -E_EXISTS);
	d.boundary = SPAN("a b");
	assert_int_equal(write(&d, &out), -E_SYNTAX);
	d.boundary = SPAN("");
	assert_int_equal(write(&d, &out), -E_SYNTAX);
	d.boundary =
	    SPAN("0123456789012345678901234567890123456789012345678901234567890123456789x");
	assert_int_equal(write(&d, &out), -E_SYNTAX);
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
	    cmocka_unit_test(whole_message),
	    cmocka_unit_test(whole_message_8bit),
	    cmocka_unit_test(headers_instead),
	    cmocka_unit_test(internationalized),
	    cmocka_unit_test(refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

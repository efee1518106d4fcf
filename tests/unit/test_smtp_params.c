/* Parameters of MAIL and RCPT, and the addresses beyond ASCII that one of them allows. */
#include "relay/smtp/params.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define TEN     "1234567890"
#define FIFTY   TEN TEN TEN TEN TEN
#define HUNDRED FIFTY FIFTY

struct row {
	const char *line;
	int code; /* 0: fine */
	const char *enhanced;
};

static const struct smtp_fault *
mail(const char *line, struct smtp_command *c, struct smtp_mail_params *p)
{
	if (smtp_command_parse(span_str(line), c) != 0)
		fail_msg("no command: %s", line);
	return smtp_mail_params(c, p);
}

static const struct smtp_fault *
rcpt(const char *line, bool is_utf8, struct smtp_command *c, struct smtp_rcpt_params *p)
{
	if (smtp_command_parse(span_str(line), c) != 0)
		fail_msg("no command: %s", line);
	return smtp_rcpt_params(c, is_utf8, p);
}

static void
check(const struct row *row, const struct smtp_fault *fault)
{
	if ((fault != NULL ? fault->code : 0) != row->code ||
	    (fault != NULL && strcmp(fault->enhanced, row->enhanced) != 0))
		fail_msg("%s: %d %s", row->line, fault != NULL ? fault->code : 0,
		    fault != NULL ? fault->text : "");
}

static void
test_mail(void **state)
{
	static const struct row rows[] = {
	    {"MAIL FROM:<a@b>", 0, NULL},
	    {"MAIL FROM:<a@b> SIZE=0", 0, NULL},
	    {"MAIL FROM:<a@b> size=18446744073709551615", 0, NULL},
	    {"MAIL FROM:<a@b> SIZE=18446744073709551616", 0, NULL},
	    {"MAIL FROM:<a@b> SIZE=99999999999999999999", 0, NULL},
	    {"MAIL FROM:<a@b> SIZE=100000000000000000000", 501, "5.5.4"},
	    {"MAIL FROM:<a@b> SIZE=9999999999999999999x", 501, "5.5.4"},
	    {"MAIL FROM:<a@b> SIZE=-1", 501, "5.5.4"},
	    {"MAIL FROM:<a@b> SIZE", 501, "5.5.4"},
	    {"MAIL FROM:<a@b> SIZE=1 SIZE=1", 501, "5.5.4"},
	    {"MAIL FROM:<a@b> BODY=7bit", 0, NULL},
	    {"MAIL FROM:<a@b> BODY=8bitmime", 0, NULL},
	    {"MAIL FROM:<a@b> BODY=BINARYMIME", 501, "5.5.4"},
	    {"MAIL FROM:<a@b> BODY", 501, "5.5.4"},
	    {"MAIL FROM:<a@b> BODY=7BIT body=7BIT", 501, "5.5.4"},
	    {"MAIL FROM:<a@b> SMTPUTF8", 0, NULL},
	    {"MAIL FROM:<a@b> SMTPUTF8=yes", 501, "5.5.4"},
	    {"MAIL FROM:<a@b> SMTPUTF8 SMTPUTF8", 501, "5.5.4"},
	    {"MAIL FROM:<\xc3\xa9@b> SMTPUTF8", 0, NULL},
	    {"MAIL FROM:<\xc3\xa9@b>", 553, "5.6.7"},
	    {"MAIL FROM:<a@b\xc3\xbc.example>", 553, "5.6.7"},
	    {"MAIL FROM:<a@b> RET=FULL", 0, NULL},
	    {"MAIL FROM:<a@b> RET=hdrs", 0, NULL},
	    {"MAIL FROM:<a@b> RET=SOME", 501, "5.5.4"},
	    {"MAIL FROM:<a@b> RET", 501, "5.5.4"},
	    {"MAIL FROM:<a@b> RET=FULL RET=FULL", 501, "5.5.4"},
	    {"MAIL FROM:<a@b> ENVID=x", 0, NULL},
	    {"MAIL FROM:<a@b> ENVID=" HUNDRED, 0, NULL},
	    {"MAIL FROM:<a@b> ENVID=" HUNDRED "1", 501, "5.5.4"},
	    {"MAIL FROM:<a@b> ENVID=a+2Bb+3D+20c", 0, NULL},
	    {"MAIL FROM:<a@b> ENVID=a+0D+0Ab", 501, "5.5.4"},
	    {"MAIL FROM:<a@b> ENVID=a+2b", 501, "5.5.4"},
	    {"MAIL FROM:<a@b> ENVID=a+", 501, "5.5.4"},
	    {"MAIL FROM:<a@b> ENVID=+7F", 501, "5.5.4"},
	    {"MAIL FROM:<a@b> ENVID=\xc3\xa9", 501, "5.5.4"},
	    {"MAIL FROM:<a@b> ENVID", 501, "5.5.4"},
	    {"MAIL FROM:<a@b> ENVID=1 ENVID=2", 501, "5.5.4"},
	    {"MAIL FROM:<a@b> NOTIFY=NEVER", 555, "5.5.4"},
	    {"MAIL FROM:<a@b> X=y", 555, "5.5.4"},
	    {"MAIL FROM:<> RET=HDRS ENVID=x SIZE=3 BODY=8BITMIME SMTPUTF8", 0, NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct smtp_command c;
		struct smtp_mail_params p;

		check(&rows[i], mail(rows[i].line, &c, &p));
	}
}

static void
test_mail_values(void **state)
{
	struct smtp_command c;
	struct smtp_mail_params p;

	(void)state;
	assert_null(
	    mail("MAIL FROM:<> RET=HDRS ENVID=x+20y SIZE=3 BODY=8BITMIME SMTPUTF8", &c, &p));
	assert_true(p.is_8bit && p.is_utf8 && p.has_size);
	assert_int_equal(p.size, 3);
	assert_int_equal(p.ret, RET_HDRS);
	assert_true(span_eq(p.envid, SPAN("x+20y")));
	assert_null(mail("MAIL FROM:<a@b>", &c, &p));
	assert_true(!p.is_8bit && !p.is_utf8 && !p.has_size);
	assert_int_equal(p.ret, RET_NOT_GIVEN);
	assert_int_equal(p.envid.n, 0);
}

static void
test_rcpt(void **state)
{
	static const struct row rows[] = {
	    {"RCPT TO:<a@b>", 0, NULL},
	    {"RCPT TO:<a@b> NOTIFY=NEVER", 0, NULL},
	    {"RCPT TO:<a@b> NOTIFY=success,FAILURE,Delay", 0, NULL},
	    {"RCPT TO:<a@b> NOTIFY=SUCCESS,NEVER", 501, "5.5.4"},
	    {"RCPT TO:<a@b> NOTIFY=NEVER,FAILURE", 501, "5.5.4"},
	    {"RCPT TO:<a@b> NOTIFY=FAILURE,", 501, "5.5.4"},
	    {"RCPT TO:<a@b> NOTIFY=,FAILURE", 501, "5.5.4"},
	    {"RCPT TO:<a@b> NOTIFY=FAILURE,,DELAY", 501, "5.5.4"},
	    {"RCPT TO:<a@b> NOTIFY", 501, "5.5.4"},
	    {"RCPT TO:<a@b> NOTIFY=ALWAYS", 501, "5.5.4"},
	    {"RCPT TO:<a@b> NOTIFY=DELAY NOTIFY=DELAY", 501, "5.5.4"},
	    {"RCPT TO:<a@b> ORCPT=rfc822;a@b", 0, NULL},
	    {"RCPT TO:<a@b> orcpt=RFC822;a+2Bb@c", 0, NULL},
	    {"RCPT TO:<a@b> ORCPT=x400;/S+3Dmenn/", 0, NULL},
	    {"RCPT TO:<a@b> ORCPT=rfc822", 501, "5.5.4"},
	    {"RCPT TO:<a@b> ORCPT=rfc822;", 501, "5.5.4"},
	    {"RCPT TO:<a@b> ORCPT=;a@b", 501, "5.5.4"},
	    {"RCPT TO:<a@b> ORCPT=rf\"c;a@b", 501, "5.5.4"},
	    {"RCPT TO:<a@b> ORCPT=rfc822;a+0A@b", 501, "5.5.4"},
	    {"RCPT TO:<a@b> ORCPT=rfc822;a+b", 501, "5.5.4"},
	    {"RCPT TO:<a@b> ORCPT=rfc822;" HUNDRED HUNDRED HUNDRED HUNDRED HUNDRED, 501, "5.5.4"},
	    {"RCPT TO:<a@b> ORCPT=rfc822;a@b ORCPT=rfc822;a@b", 501, "5.5.4"},
	    {"RCPT TO:<a@b> ORCPT=utf-8;\xc3\xa9@b", 501, "5.5.4"},
	    {"RCPT TO:<a@b> ORCPT=utf-8;a\\x{E9}@b", 0, NULL},
	    {"RCPT TO:<\xc3\xa9@b>", 553, "5.6.7"},
	    {"RCPT TO:<a@b> SIZE=1", 555, "5.5.4"},
	};
	static const struct row utf8_rows[] = {
	    {"RCPT TO:<\xc3\xa9@b>", 0, NULL},
	    {"RCPT TO:<a@b> ORCPT=utf-8;\xc3\xa9@b", 0, NULL},
	    {"RCPT TO:<a@b> ORCPT=rfc822;\xc3\xa9@b", 501, "5.5.4"},
	    {"RCPT TO:<a@b> ORCPT=utf-8;\xc3\xa9+41@b", 501, "5.5.4"},
	};
	struct smtp_command c;
	struct smtp_rcpt_params p;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		check(&rows[i], rcpt(rows[i].line, false, &c, &p));
	for (size_t i = 0; i < sizeof(utf8_rows) / sizeof(utf8_rows[0]); i++)
		check(&utf8_rows[i], rcpt(utf8_rows[i].line, true, &c, &p));
}

static void
test_rcpt_values(void **state)
{
	static const struct {
		const char *line;
		unsigned notify;
		const char *orcpt;
	} rows[] = {
	    {"RCPT TO:<a@b>", 0, ""},
	    {"RCPT TO:<a@b> NOTIFY=NEVER ORCPT=rfc822;x@y", NOTIFY_NEVER, "rfc822;x@y"},
	    {"RCPT TO:<a@b> NOTIFY=DELAY,SUCCESS", NOTIFY_DELAY | NOTIFY_SUCCESS, ""},
	    {"RCPT TO:<a@b> ORCPT=utf-8;\xc3\xa9\xf0\x9f\x98\x80@b NOTIFY=FAILURE", NOTIFY_FAILURE,
		"utf-8;\\x{E9}\\x{1F600}@b"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct smtp_command c;
		struct smtp_rcpt_params p;
		char text[NOTIFY_ORCPT_MAX];
		size_t n = 0;

		assert_null(rcpt(rows[i].line, true, &c, &p));
		assert_int_equal(p.notify, rows[i].notify);
		assert_int_equal(smtp_orcpt_ascii(p.orcpt, text, &n), 0);
		if (!span_eq(span_of(text, n), span_str(rows[i].orcpt)))
			fail_msg("%s: %.*s", rows[i].line, (int)n, text);
	}
}

/* Fits as it came, but not any more as it goes on. */
static void
test_orcpt_that_grows(void **state)
{
	char orcpt[NOTIFY_ORCPT_MAX] = "utf-8;", to[NOTIFY_ORCPT_MAX];
	size_t n;

	(void)state;
	for (size_t i = 6; i < sizeof(orcpt); i += 2)
		memcpy(orcpt + i, "\xc3\xa9", 2);
	assert_int_equal(smtp_orcpt_ascii(span_of(orcpt, sizeof(orcpt)), to, &n), -E_LIMIT);
	assert_int_equal(smtp_orcpt_ascii(span_of(orcpt, 6 + 2 * 82), to, &n), 0);
	assert_int_equal(n, 6 + 6 * 82);
}

static void
test_utf8_addresses(void **state)
{
	static const char *const good[] = {"\xc3\xa9@b",
	    "a@b\xc3\xbc"
	    "cher.example",
	    "\"\xc3\xa9 x\"@b", "\xe6\xb5\x8b\xe8\xaf\x95@\xe6\xb5\x8b\xe8\xaf\x95.example"};
	static const char *const bad[] = {"\xc3@b", "a@\xc3", "\xff@b", "a@.\xc3\xbc",
	    "a@\xc3\xbc-", "a@\xc3\xbc..b", "\xed\xa0\x80@b", "\xc0\x80@b", "\xc3\xa9",
	    "@\xc3\xa9"};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (!smtp_address_is_valid(span_str(good[i])))
			fail_msg("should be valid: %s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (smtp_address_is_valid(span_str(bad[i])))
			fail_msg("should not be valid: %s", bad[i]);
}

static void
test_normalise(void **state)
{
	static const struct {
		const char *address;
		int status;
		const char *to;
	} rows[] = {
	    {"", 0, ""}, {"postmaster", 0, "postmaster"}, {"Bob@Example.ORG", 0, "Bob@Example.ORG"},
	    {"bob@[192.0.2.1]", 0, "bob@[192.0.2.1]"},
	    {"bob@b\xc3\xbc"
	     "cher.example",
		0, "bob@xn--bcher-kva.example"},
	    {"bob@B\xc3\x9c"
	     "CHER.Example",
		0, "bob@xn--bcher-kva.example"},
	    {"bob@fa\xc3\x9f.example", 0, "bob@xn--fa-hia.example"},
	    {"bob@bu\xcc\x88"
	     "cher.example",
		0, "bob@xn--bcher-kva.example"},                  /* NFC first */
	    {"bob@ex\xef\xbd\x81mple.org", 0, "bob@example.org"}, /* full width */
	    {"\xc3\xa9@b\xc3\xbc"
	     "cher.example",
		0, "\xc3\xa9@xn--bcher-kva.example"},
	    {"bob@xn--bcher-kva.example", 0, "bob@xn--bcher-kva.example"},
	    {"bob@\xe2\x82\xac\xc2\xad.example", -E_SYNTAX, ""},
	    {"bob@a\xef\xbc\xa0"
	     "b.example",
		-E_SYNTAX, ""}, /* a full-width @ */
	    {"bob@\xd7\x90"
	     "a.example",
		-E_SYNTAX, ""}, /* both directions */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char to[SMTP_PATH_MAX];
		size_t n = 0;
		int status = smtp_address_normalise(span_str(rows[i].address), to, &n);

		if (status != rows[i].status ||
		    (status == 0 && !span_eq(span_of(to, n), span_str(rows[i].to))))
			fail_msg("%s: %d %.*s", rows[i].address, status, (int)n, to);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_mail),
	    cmocka_unit_test(test_mail_values),
	    cmocka_unit_test(test_rcpt),
	    cmocka_unit_test(test_rcpt_values),
	    cmocka_unit_test(test_orcpt_that_grows),
	    cmocka_unit_test(test_utf8_addresses),
	    cmocka_unit_test(test_normalise),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

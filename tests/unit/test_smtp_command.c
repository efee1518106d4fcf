/* test_smtp_command.c - the grammar of command lines at its edges. */
#include "relay/smtp/command.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define TEN    "1234567890"
#define SIXTY  TEN TEN TEN TEN TEN TEN
#define LABEL  SIXTY "123"                             /* 63 */
#define DOMAIN LABEL "." LABEL "." LABEL "." SIXTY "1" /* 253 */

struct line_case {
	const char *line;
	int status;
	enum smtp_verb verb;
	const char *path; /* or argument */
	size_t n_params;
};

static void
lines(void **state)
{
	static const struct line_case cases[] = {
	    {"EHLO mx.example", 0, SMTP_EHLO, "mx.example", 0},
	    {"ehlo  [127.0.0.1] \t", 0, SMTP_EHLO, "[127.0.0.1]", 0},
	    {"EHLO", -E_SYNTAX, SMTP_EHLO, "", 0},
	    {"HELO ", -E_SYNTAX, SMTP_HELO, "", 0},
	    {"MAIL FROM:<>", 0, SMTP_MAIL, "", 0},
	    {"mail from:<a@b.example>", 0, SMTP_MAIL, "a@b.example", 0},
	    {"MAIL  FROM:  <a@b.example>  ", 0, SMTP_MAIL, "a@b.example", 0},
	    {"MAIL FROM:<a@b> SIZE=100 BODY=8BITMIME", 0, SMTP_MAIL, "a@b", 2},
	    {"MAIL FROM:<a@b> SMTPUTF8", 0, SMTP_MAIL, "a@b", 1},
	    {"MAIL FROM:<a@b> AUTH=<>", 0, SMTP_MAIL, "a@b", 1},
	    {"MAIL FROM:<a@b>SIZE=1", -E_SYNTAX, SMTP_MAIL, NULL, 0},
	    {"MAIL FROM:<a@b> SIZE=", -E_SYNTAX, SMTP_MAIL, NULL, 0},
	    {"MAIL FROM:<a@b> =1", -E_SYNTAX, SMTP_MAIL, NULL, 0},
	    {"MAIL FROM:<a@b> -A=1", -E_SYNTAX, SMTP_MAIL, NULL, 0},
	    {"MAIL FROM:<a@b> A=b=c", -E_SYNTAX, SMTP_MAIL, NULL, 0},
	    {"MAIL FROM:<a@b> A=\xc3\xa9", 0, SMTP_MAIL, "a@b", 1},
	    {"MAIL FROM:<a@b> A=\xc3", -E_SYNTAX, SMTP_MAIL, NULL, 0},
	    {"MAIL FROM:<a@b> A\xc3\xa9=1", -E_SYNTAX, SMTP_MAIL, NULL, 0},
	    {"MAIL FROM:<\xc3\xa9@b> SMTPUTF8", 0, SMTP_MAIL, "\xc3\xa9@b", 1},
	    {"MAIL FROM:a@b", -E_SYNTAX, SMTP_MAIL, NULL, 0},
	    {"MAIL FROM:<a@b", -E_SYNTAX, SMTP_MAIL, NULL, 0},
	    {"MAIL FROM: a@b>", -E_SYNTAX, SMTP_MAIL, NULL, 0},
	    {"MAIL FROM :<a@b>", -E_SYNTAX, SMTP_MAIL, NULL, 0},
	    {"MAIL TO:<a@b>", -E_SYNTAX, SMTP_MAIL, NULL, 0},
	    {"MAIL", -E_SYNTAX, SMTP_MAIL, NULL, 0},
	    {"MAIL FROM:<postmaster>", -E_SYNTAX, SMTP_MAIL, NULL, 0},
	    {"MAIL FROM:<\"a>b\"@c>", 0, SMTP_MAIL, "\"a>b\"@c", 0},
	    {"MAIL FROM:<\"a\\\">b\"@c>", 0, SMTP_MAIL, "\"a\\\">b\"@c", 0},
	    {"MAIL FROM:<@x.example,@y:a@b>", 0, SMTP_MAIL, "a@b", 0},
	    {"MAIL FROM:<@x:>", -E_SYNTAX, SMTP_MAIL, NULL, 0},
	    {"MAIL FROM:<@x,a@b>", -E_SYNTAX, SMTP_MAIL, NULL, 0},
	    {"MAIL FROM:<@x,@y>", -E_SYNTAX, SMTP_MAIL, NULL, 0},
	    {"MAIL FROM:<@[1.2.3.4]:a@b>", -E_SYNTAX, SMTP_MAIL, NULL, 0},
	    {"RCPT TO:<>", -E_SYNTAX, SMTP_RCPT, NULL, 0},
	    {"RCPT TO:<Postmaster>", 0, SMTP_RCPT, "Postmaster", 0},
	    {"RCPT TO:<root>", -E_SYNTAX, SMTP_RCPT, NULL, 0},
	    {"RCPT TO:<a@[IPv6:2001:db8::1]> NOTIFY=NEVER", 0, SMTP_RCPT, "a@[IPv6:2001:db8::1]",
		1},
	    {"DATA", 0, SMTP_DATA, "", 0},
	    {"data ", 0, SMTP_DATA, "", 0},
	    {"DATA now", -E_SYNTAX, SMTP_DATA, "now", 0},
	    {"RSET x", -E_SYNTAX, SMTP_RSET, "x", 0},
	    {"QUIT", 0, SMTP_QUIT, "", 0},
	    {"NOOP whatever it is", 0, SMTP_NOOP, "whatever it is", 0},
	    {"VRFY", -E_SYNTAX, SMTP_VRFY, "", 0},
	    {"VRFY joe", 0, SMTP_VRFY, "joe", 0},
	    {"HELP", 0, SMTP_HELP, "", 0},
	    {"XCLIENT ADDR=192.0.2.1 NAME=[UNAVAILABLE]", 0, SMTP_XCLIENT,
		"ADDR=192.0.2.1 NAME=[UNAVAILABLE]", 2},
	    {"XCLIENT", -E_SYNTAX, SMTP_XCLIENT, "", 0},
	    {"STARTTLS", 0, SMTP_STARTTLS, "", 0},
	    {"BDAT 10", 0, SMTP_BDAT, "10", 0},
	    {"bdat 0  last ", 0, SMTP_BDAT, "0  last", 0},
	    {"BDAT 999999999999999999 LAST", 0, SMTP_BDAT, "999999999999999999 LAST", 0},
	    {"BDAT 1000000000000000000 LAST", -E_SYNTAX, SMTP_BDAT, NULL, 0},
	    {"BDAT", -E_SYNTAX, SMTP_BDAT, NULL, 0},
	    {"BDAT LAST", -E_SYNTAX, SMTP_BDAT, NULL, 0},
	    {"BDAT -1", -E_SYNTAX, SMTP_BDAT, NULL, 0},
	    {"BDAT +1", -E_SYNTAX, SMTP_BDAT, NULL, 0},
	    {"BDAT 0x10", -E_SYNTAX, SMTP_BDAT, NULL, 0},
	    {"BDAT 1 FIRST", -E_SYNTAX, SMTP_BDAT, NULL, 0},
	    {"BDAT 1 LAST LAST", -E_SYNTAX, SMTP_BDAT, NULL, 0},
	    {"", 0, SMTP_UNKNOWN, "", 0},
	    {" MAIL FROM:<>", 0, SMTP_UNKNOWN, NULL, 0},
	    {"GET / HTTP/1.1", 0, SMTP_UNKNOWN, NULL, 0},
	    {"MAILFROM:<>", 0, SMTP_UNKNOWN, NULL, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct smtp_command c;
		struct span got;
		int status = smtp_command_parse(span_str(cases[i].line), &c);

		if (status != cases[i].status || c.verb != cases[i].verb)
			fail_msg("%s: status %d verb %d", cases[i].line, status, (int)c.verb);
		if (status != 0 && cases[i].path == NULL)
			continue;
		got = c.verb == SMTP_MAIL || c.verb == SMTP_RCPT ? c.path : c.argument;
		if (cases[i].path != NULL && !span_eq(got, span_str(cases[i].path)))
			fail_msg("%s: got '%.*s'", cases[i].line, SPAN_ARG(got));
		if (status == 0 && c.n_params != cases[i].n_params)
			fail_msg("%s: %zu parameters", cases[i].line, c.n_params);
	}
}

static void
addresses(void **state)
{
	static const char *const good[] = {"a@b", "a.b+c@d-e.example", "\"a b\"@c", "\"\"@c",
	    "\"\\\"\"@c", "a@1.2", "!#$%&'*+-/=?^_`{|}~@c", "a@[192.0.2.1]", "a@[ipv6:::1]",
	    "a@" LABEL ".example"};
	static const char *const bad[] = {"", "@", "a@", "@b", "a", "a b@c", ".a@b", "a.@b",
	    "a..b@c", "a@b.", "a@.b", "a@b..c", "a@-b", "a@b-", "a@b-.c", "a@b_c", "a@[1.2.3]",
	    "a@[2001:db8::1]", "a@[IPv6:192.0.2.1]", "a@[tag:x]", "a@[]", "a@b@c", "\"a@b",
	    "\"a\"b@c", "a\"b\"@c", "a@b c", "a@b\x80", "\"\x80\"@b", "\"a\tb\"@c", "a,b@c",
	    "a@" LABEL "4.example", "\"\\"};

	(void)state;
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		if (!smtp_address_is_valid(span_str(good[i])))
			fail_msg("should be valid: %s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		if (smtp_address_is_valid(span_str(bad[i])))
			fail_msg("should not be valid: %s", bad[i]);
	assert_false(smtp_address_is_valid(span_of("a\0b@c", 5)));
}

static void
limits(void **state)
{
	struct smtp_command c;
	static const char local_64[] = "MAIL FROM:<" SIXTY "1234@b>";
	static const char local_65[] = "MAIL FROM:<" SIXTY "12345@b>";
	static const char domain_255[] = "MAIL FROM:<a@" DOMAIN ".1>";
	static const char domain_256[] = "MAIL FROM:<a@" DOMAIN "1.1>";
	static const char both[] = "MAIL FROM:<" SIXTY "1234@" DOMAIN ".1>";
	char many[400] = "MAIL FROM:<>";

	(void)state;
	assert_int_equal(smtp_command_parse(span_str(local_64), &c), 0);
	assert_int_equal(smtp_command_parse(span_str(local_65), &c), -E_LIMIT);
	assert_int_equal(c.n_params, 0);
	assert_int_equal(smtp_command_parse(span_str(domain_255), &c), 0);
	assert_int_equal(smtp_command_parse(span_str(domain_256), &c), -E_LIMIT);
	assert_int_equal(smtp_command_parse(span_str(both), &c), 0);
	assert_int_equal(c.path.n, SMTP_PATH_MAX);
	for (int i = 0; i <= SMTP_PARAMS_MAX; i++) {
		size_t n = strlen(many);

		(void)snprintf(many + n, sizeof(many) - n, " P%d=x", i);
		assert_int_equal(
		    smtp_command_parse(span_str(many), &c), i < SMTP_PARAMS_MAX ? 0 : -E_LIMIT);
	}
	assert_int_equal(c.n_params, SMTP_PARAMS_MAX);
	assert_true(span_eq(c.params[15].name, SPAN("P15")));
	assert_true(span_eq(c.params[15].value, SPAN("x")));
}

static void
pieces(void **state)
{
	char to[8];
	size_t n = 0;

	(void)state;
	assert_true(span_eq(smtp_address_domain(SPAN("\"a@b\"@c.example")), SPAN("c.example")));
	assert_int_equal(smtp_address_domain(SPAN("postmaster")).n, 0);
	assert_true(smtp_domain_is_valid(SPAN("xn--bcher-kva.example")));
	assert_false(smtp_domain_is_valid(SPAN("[127.0.0.1]")));
	assert_true(smtp_helo_is_valid(SPAN("[127.0.0.1]")));
	assert_true(smtp_helo_is_valid(SPAN("odd_name!")));
	assert_false(smtp_helo_is_valid(SPAN("")));
	assert_false(smtp_helo_is_valid(SPAN("two words")));
	assert_false(smtp_helo_is_valid(SPAN("tab\tbed")));
	assert_false(smtp_helo_is_valid(SPAN("caf\xc3\xa9")));
	assert_true(smtp_xtext_decode(SPAN("a+2Bb+20"), to, sizeof(to), &n));
	assert_true(span_eq(span_of(to, n), SPAN("a+b ")));
	assert_true(smtp_xtext_decode(SPAN("12345678"), to, sizeof(to), &n));
	assert_int_equal(n, 8);
	assert_false(smtp_xtext_decode(SPAN("123456789"), to, sizeof(to), &n));
	assert_false(smtp_xtext_decode(SPAN("a+2"), to, sizeof(to), &n));
	assert_false(smtp_xtext_decode(SPAN("a+2b"), to, sizeof(to), &n));
	assert_false(smtp_xtext_decode(SPAN("a=b"), to, sizeof(to), &n));
	assert_false(smtp_xtext_decode(SPAN("a b"), to, sizeof(to), &n));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(lines),
	    cmocka_unit_test(addresses),
	    cmocka_unit_test(limits),
	    cmocka_unit_test(pieces),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

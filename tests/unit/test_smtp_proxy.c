/* PROXY headers and XCLIENT: who a forwarder says the client is. */
#include "relay/smtp/proxy.h"
#include "relay/smtp/xclient.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define BYTES(s)  s, sizeof(s) - 1
#define TCP4      "\xc0\x00\x02\x01\xc6\x33\x64\x02\x12\x34\x00\x19"
#define TCP6                                                                                   \
	"\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x02" \
	"\x12\x34\x00\x19"

struct row {
	const char *bytes;
	size_t n;
	int status;
	const char *client; /* NULL: the balancer itself */
	size_t used;
};

static const struct row rows[] = {
    {BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 4660 25\r\nEHLO x\r\n"), 1, "192.0.2.1", 43},
    {BYTES("PROXY TCP6 2001:db8::1 2001:db8::2 4660 25\r\n"), 1, "2001:db8::1", 44},
    {BYTES("PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n"), 1, "255.255.255.255", 56},
    {BYTES("PROXY UNKNOWN\r\n"), 1, NULL, 15},
    {BYTES("PROXY UNKNOWN ffff:f...f:ffff x y\r\n"), 1, NULL, 35},
    {BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 4660 25"), 0, NULL, 0},
    {BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 4660 25\n"), -E_SYNTAX, NULL, 0},
    {BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 4660\r\n"), -E_SYNTAX, NULL, 0},
    {BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 4660 25 1\r\n"), -E_SYNTAX, NULL, 0},
    {BYTES("PROXY TCP4  192.0.2.1 198.51.100.2 4660 25\r\n"), -E_SYNTAX, NULL, 0},
    {BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 65536 25\r\n"), -E_SYNTAX, NULL, 0},
    {BYTES("PROXY TCP4 192.0.2.1 198.51.100.2 4660 025\r\n"), -E_SYNTAX, NULL, 0},
    {BYTES("PROXY TCP4 2001:db8::1 2001:db8::2 4660 25\r\n"), -E_SYNTAX, NULL, 0},
    {BYTES("PROXY TCP6 192.0.2.1 198.51.100.2 4660 25\r\n"), -E_SYNTAX, NULL, 0},
    {BYTES("PROXY TCP4 192.0.2.256 198.51.100.2 4660 25\r\n"), -E_SYNTAX, NULL, 0},
    {BYTES("PROXY UDP4 192.0.2.1 198.51.100.2 4660 25\r\n"), -E_SYNTAX, NULL, 0},
    {BYTES("proxy TCP4 192.0.2.1 198.51.100.2 4660 25\r\n"), -E_SYNTAX, NULL, 0},
    {BYTES("PROXY \r\n"), -E_SYNTAX, NULL, 0},
    {BYTES("PROXY\r\n"), -E_SYNTAX, NULL, 0},
    {BYTES("EHLO client.example\r\n"), -E_SYNTAX, NULL, 0},
    {BYTES("PROXY UNKNOWN 1234567890123456789012345678901234567890123456789012345678901234567890123"
	   "4567890123456789\r\n"),
	1, NULL, 105},
    {BYTES("PROXY UNKNOWN 1234567890123456789012345678901234567890123456789012345678901234567890123"
	   "4567890123456789012\r\n"),
	-E_LIMIT, NULL, 0},
    {BYTES(SIGNATURE "\x21\x11\x00\x0c" TCP4 "EHLO"), 1, "192.0.2.1", 28},
    {BYTES(SIGNATURE "\x21\x21\x00\x24" TCP6), 1, "2001:db8::1", 52},
    {BYTES(SIGNATURE "\x21\x11\x00\x10" TCP4 "\x04\x00\x01x"), 1, "192.0.2.1", 32},
    {BYTES(SIGNATURE "\x20\x00\x00\x00"), 1, NULL, 16},
    {BYTES(SIGNATURE "\x20\x11\x00\x0c" TCP4), 1, NULL, 28},
    {BYTES(SIGNATURE "\x21\x00\x00\x04"
		     "abcd"),
	1, NULL, 20},
    {BYTES(SIGNATURE "\x21\x11\x00\x0b" TCP4), -E_SYNTAX, NULL, 0},
    {BYTES(SIGNATURE "\x21\x21\x00\x0c" TCP4), -E_SYNTAX, NULL, 0},
    {BYTES(SIGNATURE "\x21\x12\x00\x0c" TCP4), -E_SYNTAX, NULL, 0},
    {BYTES(SIGNATURE "\x21\x31\x00\x0c" TCP4), -E_SYNTAX, NULL, 0},
    {BYTES(SIGNATURE "\x22\x11\x00\x0c" TCP4), -E_SYNTAX, NULL, 0},
    {BYTES(SIGNATURE "\x11\x11\x00\x0c" TCP4), -E_SYNTAX, NULL, 0},
    {BYTES(SIGNATURE "\x21\x11\x10\x01" TCP4), -E_LIMIT, NULL, 0},
    {BYTES(SIGNATURE "\x21\x11\x10\x00" TCP4), 0, NULL, 0},
    {BYTES("\r\n\r\nX"), -E_SYNTAX, NULL, 0},
};

static void
check(const struct row *row, size_t i, int status, const struct proxy_header *h, size_t used)
{
	char text[IP_TEXT_MAX];

	if (status != row->status)
		fail_msg("row %zu: status %d", i, status);
	if (status != 1)
		return;
	assert_int_equal(used, row->used);
	assert_int_equal(h->has_client, row->client != NULL);
	if (row->client == NULL)
		return;
	assert_true(span_eq(ip_format(&h->client, text), span_str(row->client)));
	assert_int_equal(h->local_port == 25 || h->local_port == 65535, true);
	assert_true(h->client_port == 0x1234 || h->client_port == 65535);
}

static void
test_proxy(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct span input = span_of(rows[i].bytes, rows[i].n);
		struct proxy_header h;
		size_t used = 0, n = 0;
		int status = proxy_parse(input, &h, &used);

		check(&rows[i], i, status, &h, used);
		status = 0;
		/* Byte by byte it comes to the same end. */
		while (n < input.n && status == 0)
			status = proxy_parse(span_take(input, ++n), &h, &used);
		check(&rows[i], i, status, &h, used);
	}
}

static bool
parse_xclient(const char *line, struct xclient *x)
{
	struct smtp_command c;

	return smtp_command_parse(span_str(line), &c) == 0 && xclient_parse(&c, x);
}

static void
test_xclient(void **state)
{
	struct xclient x;
	char text[IP_TEXT_MAX];

	(void)state;
	assert_true(parse_xclient("XCLIENT NAME=mail.far.example addr=192.0.2.7 PORT=4660 "
				  "PROTO=ESMTP HELO=far.example LOGIN=bob+20x "
				  "DESTADDR=IPV6:2001:db8::1 DESTPORT=25",
	    &x));
	assert_string_equal(x.name, "mail.far.example");
	assert_true(x.has_addr && span_eq(ip_format(&x.addr, text), SPAN("192.0.2.7")));
	assert_true(x.has_proto && x.is_esmtp && x.is_name_told);
	assert_string_equal(x.helo, "far.example");
	assert_string_equal(x.login, "bob x");
	assert_true(
	    parse_xclient("XCLIENT NAME=[UNAVAILABLE] ADDR=[unavailable] PORT=[UNAVAILABLE] "
			  "PROTO=SMTP HELO=[TEMPUNAVAIL] LOGIN=[UNAVAILABLE] "
			  "DESTADDR=[UNAVAILABLE]",
		&x));
	assert_true(!x.has_addr && x.is_name_told && x.name[0] == '\0' && x.has_proto);
	assert_true(!x.is_esmtp && x.helo[0] == '\0' && x.login[0] == '\0');
	assert_true(parse_xclient("XCLIENT ADDR=IPV6:2001:db8::1", &x));
	assert_true(x.has_addr && !x.is_name_told && !x.has_proto);
	assert_true(parse_xclient("XCLIENT NAME=no_name..", &x)); /* is none */
	assert_true(x.is_name_told && x.name[0] == '\0');
}

static void
test_bad_xclient(void **state)
{
	static const char *const lines[] = {"XCLIENT", "XCLIENT ADDR",
	    "XCLIENT ADDR=", "XCLIENT ADDR=x", "XCLIENT ADDR=192.0.2.1 ADDR=192.0.2.1",
	    "XCLIENT PORT=65536", "XCLIENT PORT=x", "XCLIENT PROTO=HTTP", "XCLIENT HELO=a+20b",
	    "XCLIENT LOGIN=a+0Ab", "XCLIENT NAME=a+0", "XCLIENT DESTADDR=999.1.1.1",
	    "XCLIENT DESTPORT=-1", "XCLIENT OTHER=1", "XCLIENT LOGIN=\xc3\xa9"};
	struct xclient x;

	(void)state;
	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
		if (parse_xclient(lines[i], &x))
			fail_msg("should be refused: %s", lines[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_proxy),
	    cmocka_unit_test(test_xclient),
	    cmocka_unit_test(test_bad_xclient),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

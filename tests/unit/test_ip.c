#include "relay/base/ip.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static struct ip
ip_of(const char *text)
{
	struct ip ip;

	if (!ip_parse(span_str(text), &ip))
		fail_msg("%s is no address", text);
	return ip;
}

static void
expect_text(struct span got, const char *text)
{
	if (!span_eq(got, span_str(text)))
		fail_msg("%.*s instead of %s", SPAN_ARG(got), text);
}

static void
test_parse_and_format(void **state)
{
	static const struct {
		const char *text, *format;
		bool is_v4, is_loopback;
	} rows[] = {
	    {"0.0.0.0", "0.0.0.0", true, false},
	    {"192.0.2.1", "192.0.2.1", true, false},
	    {"255.255.255.255", "255.255.255.255", true, false},
	    {"127.0.0.1", "127.0.0.1", true, true},
	    {"127.255.0.9", "127.255.0.9", true, true},
	    {"128.0.0.1", "128.0.0.1", true, false},
	    {"::ffff:192.0.2.1", "192.0.2.1", true, false},
	    {"::FFFF:c000:0201", "192.0.2.1", true, false},
	    {"::ffff:127.0.0.1", "127.0.0.1", true, true},
	    {"::", "::", false, false},
	    {"::1", "::1", false, true},
	    {"::2", "::2", false, false},
	    {"::127.0.0.1", "::127.0.0.1", false, false}, /* not the mapped form */
	    {"2001:DB8:0:0:0:0:0:1", "2001:db8::1", false, false},
	    {"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		false, false},
	    {"ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
		"ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", false, false},
	};
	char text[IP_TEXT_MAX];

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct ip ip = ip_of(rows[i].text), again;

		expect_text(ip_format(&ip, text), rows[i].format);
		assert_int_equal(ip_is_v4(&ip), rows[i].is_v4);
		assert_int_equal(ip_is_loopback(&ip), rows[i].is_loopback);
		again = ip_of(text);
		assert_true(ip_eq(&ip, &again));
	}
	(void)state;
}

static void
test_no_address(void **state)
{
	static const struct span rows[] = {{"", 0}, {"1", 1}, {"1.2.3", 5}, {"1.2.3.4.5", 9},
	    {"256.0.0.1", 9}, {"1.2.3.04", 8}, {" 1.2.3.4", 8}, {"1.2.3.4 ", 8}, {"1.2.3.4\0x", 9},
	    {"::1\0", 4}, {":", 1}, {":::", 3}, {"1:2:3:4:5:6:7:8:9", 17}, {"fe80::1%lo", 10},
	    {"[::1]", 5}, {"12345::", 7}, {"::ffff:1.2.3.256", 16}, {"0x7f.1", 6},
	    {"1.2.3.4/32", 10}, {"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa", 49}};
	struct ip ip;

	for (size_t i = 0; i < COUNT(rows); i++)
		if (ip_parse(rows[i], &ip))
			fail_msg("%.*s was taken", SPAN_ARG(rows[i]));
	(void)state;
}

static void
test_nets(void **state)
{
	static const struct {
		const char *net, *format, *in, *out;
	} rows[] = {
	    {"192.0.2.1", "192.0.2.1", "192.0.2.1", "192.0.2.0"},
	    {"192.0.2.1/32", "192.0.2.1", "::ffff:192.0.2.1", "192.0.2.3"},
	    {"192.0.2.0/24", "192.0.2.0/24", "192.0.2.255", "192.0.3.0"},
	    {"192.0.2.128/25", "192.0.2.128/25", "192.0.2.128", "192.0.2.127"},
	    {"192.0.2.2/31", "192.0.2.2/31", "192.0.2.3", "192.0.2.1"},
	    {"0.0.0.0/0", "0.0.0.0/0", "255.1.2.3", "2001:db8::1"},
	    {"0.0.0.0/0", "0.0.0.0/0", "0.0.0.0", "::"},
	    {"128.0.0.0/1", "128.0.0.0/1", "128.0.0.0", "127.255.255.255"},
	    {"::ffff:192.0.2.0/120", "192.0.2.0/24", "192.0.2.7", "192.0.3.0"},
	    {"::ffff:0:0/96", "0.0.0.0/0", "1.2.3.4", "::1"},
	    {"2001:db8::/32", "2001:db8::/32", "2001:db8:ffff::", "2001:db9::"},
	    {"2001:db8:8000::/33", "2001:db8:8000::/33", "2001:db8:8000::1", "2001:db8:7fff::"},
	    {"2001:db8::1", "2001:db8::1", "2001:db8::1", "2001:db8::"},
	    {"2001:db8::/127", "2001:db8::/127", "2001:db8::1", "2001:db8::2"},
	    {"::/1", "::/1", "7fff::", "8000::"},
	    {"::/0", "::/0", "::1", "192.0.2.1"}, /* IPv4 is no part of IPv6 */
	    {"::/80", "::/80", "::1:2:3", "::ffff:192.0.2.1"},
	};
	char text[NET_TEXT_MAX];

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct ip in = ip_of(rows[i].in), out = ip_of(rows[i].out);
		struct net net, again;

		if (!net_parse(span_str(rows[i].net), &net))
			fail_msg("%s is no network", rows[i].net);
		expect_text(net_format(&net, text), rows[i].format);
		if (!net_has(&net, &in) || net_has(&net, &out))
			fail_msg("%s: %s or %s", rows[i].net, rows[i].in, rows[i].out);
		assert_true(net_parse(span_str(text), &again));
		assert_true(again.bits == net.bits && ip_eq(&again.base, &net.base));
	}
	(void)state;
}

static void
test_no_net(void **state)
{
	static const char *const rows[] = {"", "/", "/8", "10.0.0.0/", "10.0.0.0/33", "10.0.0.1/8",
	    "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/8 ", "10.0.0.0/8/8", "10.0.0.0/ 8", "::/129",
	    "2001:db8::1/32", "::ffff:10.0.0.0/24", "::ffff:10.0.0.1/104", "10.0.0/8",
	    "10.0.0.0/99999999999999999999", "::ffff:0.0.0.0/90", "0.0.0.0/128"};
	struct net net;

	for (size_t i = 0; i < COUNT(rows); i++)
		if (net_parse(span_str(rows[i]), &net))
			fail_msg("%s was taken", rows[i]);
	(void)state;
}

static void
test_reversed(void **state)
{
	static const struct {
		const char *ip, *name;
	} rows[] = {
	    {"127.0.0.2", "2.0.0.127"}, {"::ffff:192.0.2.99", "99.2.0.192"},
	    {"2001:db8::567:89ab",
		"b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2"}, /* RFC 3596 */
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf b = BUF_INIT(100), small = BUF_INIT(5);
		struct ip ip = ip_of(rows[i].ip);

		assert_int_equal(ip_add_reversed(&b, &ip), 0);
		expect_text(buf_span(&b), rows[i].name);
		assert_true(ip_add_reversed(&small, &ip) < 0);
		buf_free(&b);
		buf_free(&small);
	}
	(void)state;
}

static void
test_sockaddr(void **state)
{
	static const char *const rows[] = {"192.0.2.1", "2001:db8::1", "0.0.0.0", "::"};
	struct sockaddr_storage sa;
	struct sockaddr_in6 mapped = {.sin6_family = AF_INET6, .sin6_port = htons(25)};
	uint16_t port;
	struct ip back;

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct ip ip = ip_of(rows[i]);
		socklen_t n = ip_to_sockaddr(&ip, 2525, &sa);

		assert_int_equal(sa.ss_family, ip_is_v4(&ip) ? AF_INET : AF_INET6);
		assert_int_equal(
		    n, ip_is_v4(&ip) ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
		assert_true(ip_from_sockaddr(&sa, &back, &port));
		assert_int_equal(port, 2525);
		assert_true(ip_eq(&ip, &back));
	}
	/* What a listener for both families accepts. */
	back = ip_of("192.0.2.1");
	memcpy(&mapped.sin6_addr, back.bytes, 16);
	memcpy(&sa, &mapped, sizeof(mapped));
	assert_true(ip_from_sockaddr(&sa, &back, &port));
	assert_true(ip_is_v4(&back) && port == 25);
	sa.ss_family = AF_UNIX;
	assert_false(ip_from_sockaddr(&sa, &back, &port));
	(void)state;
}

static void
test_with_port(void **state)
{
	static const struct {
		const char *text, *ip; /* NULL: wrong */
		uint16_t port;
	} rows[] = {
	    {"127.0.0.1:25", "127.0.0.1", 25},
	    {"[::1]:65535", "::1", 65535},
	    {"[127.0.0.1]:1", "127.0.0.1", 1},
	    {"::1:25", NULL, 0},
	    {"127.0.0.1", NULL, 0},
	    {"127.0.0.1:", NULL, 0},
	    {"127.0.0.1:0", NULL, 0},
	    {"127.0.0.1:65536", NULL, 0},
	    {"127.0.0.1:-1", NULL, 0},
	    {"127.0.0.1:25x", NULL, 0},
	    {":25", NULL, 0},
	    {"[]:25", NULL, 0},
	    {"[:25", NULL, 0},
	    {"]:25", NULL, 0},
	    {"[::1]25", NULL, 0},
	    {"[::1]", NULL, 0},
	    {"host:25", NULL, 0},
	    {"", NULL, 0},
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		struct ip ip, right;
		uint16_t port;
		bool is_fine = ip_parse_with_port(span_str(rows[i].text), &ip, &port);

		if (is_fine != (rows[i].ip != NULL))
			fail_msg("%s", rows[i].text);
		if (!is_fine)
			continue;
		right = ip_of(rows[i].ip);
		assert_true(ip_eq(&ip, &right));
		assert_int_equal(port, rows[i].port);
	}
	(void)state;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_parse_and_format),
	    cmocka_unit_test(test_no_address),
	    cmocka_unit_test(test_nets),
	    cmocka_unit_test(test_no_net),
	    cmocka_unit_test(test_reversed),
	    cmocka_unit_test(test_sockaddr),
	    cmocka_unit_test(test_with_port),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What a list of domains is asked for: host names, registered domains, addresses in URLs. */
#include "policy/dnsbl/domain.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static void
test_hosts(void **state)
{
	static const char *const rows[][2] = {
	    {"www.example.org", "www.example.org"},
	    {"WWW.Example.org.", "WWW.Example.org"},
	    {"_x.a-b.example", "_x.a-b.example"},
	    {"xn--bcher-kva.example", "xn--bcher-kva.example"},
	    {"example", ""},
	    {"", ""},
	    {".", ""},
	    {"a..example", ""},
	    {".a.example", ""},
	    {"a.example..", ""},
	    {"[192.0.2.1]", ""},
	    {"192.0.2.1", ""},
	    {"a.1", ""},
	    {"a.0x1f", ""},
	    {"2001:db8::1", ""},
	    {"a b.example", ""},
	    {"a/b.example", ""},
	    {"m\xc3\xbc.example", ""},
	    {"a@b.example", ""},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		if (!span_eq(domain_host(span_str(rows[i][0])), span_str(rows[i][1])))
			fail_msg(
			    "%s: %.*s", rows[i][0], SPAN_ARG(domain_host(span_str(rows[i][0]))));
}

static void
test_limits(void **state)
{
	char name[DOMAIN_NAME_MAX + 2];

	(void)state;
	memset(name, 'a', sizeof(name));
	for (size_t i = DOMAIN_LABEL_MAX; i < DOMAIN_NAME_MAX; i += DOMAIN_LABEL_MAX + 1)
		name[i] = '.';
	assert_int_equal(domain_host(span_of(name, DOMAIN_NAME_MAX)).n, DOMAIN_NAME_MAX);
	assert_int_equal(domain_registrable(span_of(name, DOMAIN_NAME_MAX)).n,
	    DOMAIN_NAME_MAX - 2 * (DOMAIN_LABEL_MAX + 1)); /* "a….a…" of an unknown suffix */
	assert_int_equal(domain_host(span_of(name, DOMAIN_NAME_MAX + 1)).n, 0);
	name[DOMAIN_LABEL_MAX] = 'a'; /* a label of 127 */
	assert_int_equal(domain_host(span_of(name, DOMAIN_NAME_MAX)).n, 0);
}

/* The public suffix list's own examples, and those that lists of domains name. */
static void
test_registrable(void **state)
{
	static const char *const rows[][2] = {
	    {"example.com", "example.com"},
	    {"a.b.Example.COM", "Example.COM"},
	    {"www.example.co.uk.", "example.co.uk"},
	    {"co.uk", ""},
	    {"com", ""},
	    {"x.kawasaki.jp", ""},
	    {"www.city.kawasaki.jp", "city.kawasaki.jp"},
	    {"a.b.unknown-suffix", "b.unknown-suffix"},
	    {"someone.github.io", "someone.github.io"},
	    {"www.xn--85x722f.xn--55qx5d.cn", "xn--85x722f.xn--55qx5d.cn"},
	    {"192.0.2.1", ""},
	    {"localhost", ""},
	    {"not a name.example", ""},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		if (!span_eq(domain_registrable(span_str(rows[i][0])), span_str(rows[i][1])))
			fail_msg("%s: %.*s", rows[i][0],
			    SPAN_ARG(domain_registrable(span_str(rows[i][0]))));
}

/* With the system's list nothing of that is different. */
static void
test_prepared(void **state)
{
	domain_prepare();
	test_registrable(state);
}

static void
test_addresses(void **state)
{
	static const char *const rows[][2] = {
	    {"192.0.2.1", "192.0.2.1"},
	    {"192.0.2.1.", "192.0.2.1"},
	    {"3221225985", "192.0.2.1"},
	    {"0xc0000201", "192.0.2.1"},
	    {"0XC0.0.0x2.01", "192.0.2.1"},
	    {"0300.0.2.1", "192.0.2.1"},
	    {"192.513", "192.0.2.1"},
	    {"192.0.513", "192.0.2.1"},
	    {"0", "0.0.0.0"},
	    {"4294967295", "255.255.255.255"},
	    {"[2001:DB8::1]", "2001:db8::1"},
	    {"[2001:db8::1]:80", "2001:db8::1"},
	    {"[::ffff:192.0.2.1]", "192.0.2.1"},
	    {"4294967296", NULL},
	    {"256.0.0.1", NULL},
	    {"192.0.2.256", NULL},
	    {"192.0.65536", NULL},
	    {"192.0.2.1.5", NULL},
	    {"192.0.2", "192.0.0.2"},
	    {"192..2.1", NULL},
	    {"09", NULL},
	    {"0x", "0.0.0.0"},
	    {"192.0.2.1a", NULL},
	    {"1.example", NULL},
	    {"", NULL},
	    {".", NULL},
	    {"[", NULL},
	    {"[]", NULL},
	    {"[x]", NULL},
	    {"2001:db8::1", NULL},
	    {"-1", NULL},
	    {"000000000000001", NULL},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		char text[IP_TEXT_MAX];
		struct ip ip;
		bool is_address = domain_address(span_str(rows[i][0]), &ip);

		if (is_address != (rows[i][1] != NULL))
			fail_msg("%s", rows[i][0]);
		if (is_address)
			assert_true(span_eq(ip_format(&ip, text), span_str(rows[i][1])));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_hosts),
	    cmocka_unit_test(test_limits),
	    cmocka_unit_test(test_registrable),
	    cmocka_unit_test(test_prepared),
	    cmocka_unit_test(test_addresses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

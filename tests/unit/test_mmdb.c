/* Databases that tests/lib/mmdb.py has written, whole, cut and flipped. */
#include "policy/geo/mmdb.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

static const char *const files[] = {"tests/data/geo-24.mmdb", "tests/data/geo-28.mmdb",
    "tests/data/geo-32.mmdb", "tests/data/geo-v4.mmdb"};

static struct span
file_bytes(const char *path, char *to, size_t size)
{
	FILE *f = fopen(path, "rb");
	size_t n;

	assert_non_null(f);
	n = fread(to, 1, size, f);
	assert_in_range(n, 1, size - 1);
	assert_int_equal(fclose(f), 0);
	return span_of(to, n);
}

static struct ip
ip_of(const char *text)
{
	struct ip ip;

	assert_true(ip_parse(span_str(text), &ip));
	return ip;
}

static void
test_found(void **state)
{
	static const struct {
		const char *client, *country;
		uint32_t asn;
	} rows[] = {
	    {"192.0.2.0", "DE", 0},
	    {"192.0.2.127", "DE", 0},
	    {"192.0.2.128", "XX", 0},  /* registered_country */
	    {"198.51.100.9", "FR", 0}, /* country_code */
	    {"203.0.113.1", "", 0},    /* no two letters */
	    {"192.0.3.0", "", 0},
	    {"0.0.0.0", "", 0},
	    {"255.255.255.255", "", 0},
	    {"10.1.2.3", "", 64512},
	    {"10.2.0.1", "", 4294967295u},
	    {"10.3.0.1", "", 0}, /* larger than there are */
	    {"10.4.0.1", "", 0}, /* a text */
	    {"2001:db9::1", "", 0},
	    {"::", "", 0},
	};
	static char bytes[65536];

	(void)state;
	for (size_t f = 0; f < COUNT(files); f++) {
		struct err err = {0};
		struct mmdb db;
		struct ip six = ip_of("2001:db8::1");

		assert_int_equal(
		    mmdb_open(&db, file_bytes(files[f], bytes, sizeof(bytes)), &err), 0);
		for (size_t i = 0; i < COUNT(rows); i++) {
			struct ip ip = ip_of(rows[i].client);

			if (!span_eq(mmdb_country(&db, &ip), span_str(rows[i].country)) ||
			    mmdb_asn(&db, &ip) != rows[i].asn)
				fail_msg("%s: %s", files[f], rows[i].client);
		}
		assert_true(span_eq(mmdb_country(&db, &six), f == 3 ? SPAN("") : SPAN("SE")));
	}
}

static void
test_none(void **state)
{
	struct mmdb db = {0};
	struct ip ip = ip_of("192.0.2.1");
	struct err err = {0};

	(void)state;
	assert_int_equal(mmdb_country(&db, &ip).n, 0);
	assert_int_equal(mmdb_asn(&db, &ip), 0);
	assert_int_equal(mmdb_open(&db, SPAN(""), &err), -E_SYNTAX);
	assert_int_equal(mmdb_open(&db, SPAN("\xab\xcd\xefMaxMind.com"), &err), -E_SYNTAX);
	assert_int_equal(mmdb_open(&db, SPAN("\xab\xcd\xefMaxMind.com\xe1"), &err), -E_SYNTAX);
}

/* Must return and stay inside (the sanitizers watch), whatever the answer. */
static void
ask_all(struct span bytes)
{
	static const char *const clients[] = {
	    "192.0.2.1", "192.0.2.200", "10.1.2.3", "2001:db8::1"};
	/* Of its exact size, so that one byte beyond is seen. */
	char *copy = malloc(bytes.n + 1);
	struct err err = {0};
	struct mmdb db;

	assert_non_null(copy);
	memcpy(copy, bytes.p, bytes.n);
	if (mmdb_open(&db, span_of(copy, bytes.n), &err) == 0)
		for (size_t i = 0; i < COUNT(clients); i++) {
			struct ip ip = ip_of(clients[i]);

			(void)mmdb_country(&db, &ip); /* any answer will do */
			(void)mmdb_asn(&db, &ip);
		}
	free(copy);
}

static void
test_broken(void **state)
{
	static char bytes[65536];

	(void)state;
	for (size_t f = 0; f < COUNT(files); f++) {
		struct span whole = file_bytes(files[f], bytes, sizeof(bytes));

		for (size_t n = 0; n < whole.n; n++) {
			ask_all(span_take(whole, n));
			ask_all(span_skip(whole, n));
		}
		for (size_t at = 0; at < whole.n; at++) {
			char was = bytes[at];

			bytes[at] = (char)0xff;
			ask_all(whole);
			bytes[at] = (char)(was ^ 0x20);
			ask_all(whole);
			bytes[at] = was;
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_found),
	    cmocka_unit_test(test_none),
	    cmocka_unit_test(test_broken),
	};

	return cmocka_run_group_tests_name("mmdb", tests, NULL, NULL);
}

/* fuzz_mmdb.c - whatever a database holds, an answer is two letters or none, a number or none. */
#include "policy/geo/mmdb.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const clients[] = {"192.0.2.1", "10.1.2.3", "2001:db8::1", "::"};
	struct span bytes = span_of(data, size), country;
	struct err err = {0};
	struct mmdb db;

	if (mmdb_open(&db, bytes, &err) < 0) {
		must(err.code == E_SYNTAX && err.text[0] != '\0');
		return 0;
	}
	for (size_t i = 0; i < sizeof(clients) / sizeof(clients[0]); i++) {
		struct ip ip;

		must(ip_parse(span_str(clients[i]), &ip));
		country = mmdb_country(&db, &ip);
		must(country.n == 0 || (country.n == MMDB_COUNTRY_MAX && country.p >= bytes.p &&
					   country.p + country.n <= bytes.p + bytes.n));
		(void)mmdb_asn(&db, &ip); /* any number */
	}
	return 0;
}

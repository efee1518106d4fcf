/*
 * mmdb.h - reads a MaxMind DB, format 2.x, in memory: the country or the autonomous system of an
 * address.  https://maxmind.github.io/MaxMind-DB/ is the format's description.
 *
 * Why not libmaxminddb: it opens files by their names only, and the role that asks may open none and
 * gets a new database with a new policy while it runs.
 *
 * The bytes stay the caller's and must outlive the reader.  Nothing in them is believed: every
 * offset is checked, nesting and pointers are bounded, what is broken is unknown.
 */
#ifndef GEO_MMDB_H
#define GEO_MMDB_H
#include "relay/base/err.h"
#include "relay/base/ip.h"

enum {
	MMDB_MAX = 60 * 1024 * 1024, /* bytes of a database */
	MMDB_METADATA_MAX = 131072,  /* its metadata begins this close to the end */
	MMDB_DEPTH_MAX = 16,         /* maps and arrays inside each other */
	MMDB_COUNTRY_MAX = 2
};

struct mmdb {
	struct span tree, data; /* empty: no database */
	uint32_t node_count;
	unsigned record_bits; /* 24, 28 or 32 */
	bool is_v6;
};

/* 0, or -E_SYNTAX: not a database of this format. */
int mmdb_open(struct mmdb *db, struct span bytes, struct err *err);
/* country.iso_code, else registered_country.iso_code, else country_code: two letters, in the bytes.
 * Empty: unknown. */
struct span mmdb_country(const struct mmdb *db, const struct ip *ip);
/* autonomous_system_number; 0: unknown. */
uint32_t mmdb_asn(const struct mmdb *db, const struct ip *ip);

#endif

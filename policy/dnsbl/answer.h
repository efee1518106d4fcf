/*
 * answer.h - what the addresses a DNS list answers with mean (RFC 5782 section 2.1).
 *
 * Pure: no DNS here.  A list says "listed" with an address of 127.0.0.0/8; which of them a rule
 * means are its ranges.  Everything that cannot be a listing is an error of the list and never
 * matches, whatever the ranges say: an expired zone that answers every name with the address of a
 * web server, the 127.255.255.0/24 codes by which operators refuse a query, and the canary.
 */
#ifndef DNSBL_ANSWER_H
#define DNSBL_ANSWER_H
#include "relay/base/err.h"
#include "relay/base/span.h"

enum { ANSWER_RANGES_MAX = 32 }; /* ranges of one list line */

/* "127.0.0.2", "127.0.0.2-127.0.0.11" (one number to another) or octet by octet: "127.0.*.2-3",
 * "127.0.0.&24" (one of these bits is set). */
struct answer_range {
	bool is_span; /* low to high as one number; false: each octet by itself */
	uint8_t low[4], high[4];
	uint8_t bits[4]; /* of an octet by itself; 0: whatever they are */
};

enum answer_type {
	ANSWER_NOT_LISTED, /* no address, or none inside the ranges */
	ANSWER_LISTED,
	ANSWER_ERROR /* one address is an error of the list: nothing it says now is believed */
};

/* 127.0.0.2-127.255.254.255: what a line without `answers` means. */
struct answer_range answer_range_default(void);
/* Reads one range; 0, or -E_SYNTAX with what would be right. */
int answer_range_parse(struct span text, struct answer_range *out, struct err *err);
bool answer_range_has(const struct answer_range *r, uint32_t address);
/* 127.255.255.0/24, 127.0.0.1 and what is outside 127/8. */
bool answer_is_error(uint32_t address);
/*
 * Types all the addresses (host byte order) of one answer.  `deciding` is set to the first address
 * that made it LISTED or ERROR, else to 0.
 */
enum answer_type answer_type(const struct answer_range *ranges, size_t n_ranges,
    const uint32_t *addresses, size_t n, uint32_t *deciding);

#endif

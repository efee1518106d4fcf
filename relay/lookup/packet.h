/*
 * packet.h - one DNS answer off the wire (RFC 1035 section 4) as a struct dns_answer.
 *
 * Pure: bytes in, answer out; no memory, clock or log.  c-ares gives no TTL for PTR and negative
 * answers, and its parsers follow the chain of names less strictly than we want, so we read the
 * packet ourselves.
 */
#ifndef LOOKUP_PACKET_H
#define LOOKUP_PACKET_H
#include "relay/ipc/lookup.h"

enum {
	PACKET_MAX = 65535,
	PACKET_RECORDS_MAX = 1024, /* records in all sections of an answer */
	PACKET_CHAIN_MAX = 8,      /* CNAMEs from the question to the answer */
	PACKET_HOPS_MAX = 64       /* compression pointers in one name */
};

/*
 * Reads the answer to `q`.  0 with `out` filled:
 *   DNS_FOUND   addresses or names of the asked type at the end of the CNAME chain, at most as
 *               many as fit; ttl_s is the smallest of chain and records;
 *   DNS_NONE    NXDOMAIN (is_nxdomain), or no such record; has_soa, and ttl_s by RFC 2308
 *               section 5, 0 without a SOA;
 *   DNS_FAILED  any other response code, or a referral instead of an answer; ttl_s is 0.
 * -E_LIMIT: cut off (TC), to be asked again over TCP.  -E_CORRUPT: not an answer to `q` at all, or
 * one that breaks the format; `out` is DNS_FAILED then.
 */
int packet_read(struct span packet, const struct dns_question *q, struct dns_answer *out);

/* A name we may ask for: labels of 1 to 63 printable ASCII characters, no backslash (c-ares would
 * read it as an escape), at most LOOKUP_NAME_MAX in all, no dot at either end. */
bool packet_name_is_askable(struct span name);

/* The number of a type in the protocol: 1, 28, 12 or 15. */
uint16_t packet_type_number(enum dns_type type);

#endif

/*
 * lookup.h - the channel to the lookup role, used by front and spool: questions to the DNS, and
 * whether recipients exist.
 *
 * One question or answer a message; the id pairs them.  The lookup role caches by TTL, negative
 * answers too, bounds every question (`timeout_ms`, or the source's own) and always answers.
 */
#ifndef IPC_LOOKUP_H
#define IPC_LOOKUP_H
#include "relay/base/ip.h"
#include "relay/base/wire.h"

enum lookup_type {
	LOOKUP_ASK = 1,          /* struct dns_question */
	LOOKUP_ANSWER,           /* struct dns_answer */
	LOOKUP_RECIPIENT,        /* struct recipient_question */
	LOOKUP_RECIPIENT_ANSWER, /* struct recipient_answer */
};

enum { LOOKUP_NAME_MAX = 253, LOOKUP_RECORDS_MAX = 64, LOOKUP_NAMES_MAX = 8, LOOKUP_WHY_MAX = 240 };

/* RFC 5321 section 4.5.3.1.3, and domains that grow when they become ASCII. */
enum { LOOKUP_ADDRESS_MAX = 512 };

enum dns_type { DNS_A, DNS_AAAA, DNS_PTR, DNS_MX };

enum dns_status {
	DNS_FOUND,
	DNS_NONE,   /* NXDOMAIN or no record of this type: a true negative */
	DNS_FAILED, /* SERVFAIL, refused, garbage */
	DNS_TIMEOUT
};

/* The name is an entry of a DNS list, by what the list has entries for (RFC 5782 sections 2, 3). */
enum dns_list_kind { DNS_LIST_NONE, DNS_LIST_IPV4, DNS_LIST_IPV6, DNS_LIST_DOMAIN };

/* Whether the list was caught listing what nobody can be, just after it has listed `name`. */
enum dns_proof {
	DNS_PROOF_NONE,   /* nothing to prove: no list was asked, or it does not list the name */
	DNS_PROOF_GOOD,   /* it lists neither its canary nor a random address of 127/8 */
	DNS_PROOF_BAD,    /* it lists one of them */
	DNS_PROOF_MISSING /* no answer tells */
};

struct dns_question {
	enum dns_type type;
	struct span name; /* without a dot at the end */
	uint32_t timeout_ms;
	/* Of a DNS list: what it lists is DNS_FOUND only with DNS_PROOF_GOOD, else DNS_FAILED or
	 * DNS_TIMEOUT. */
	enum dns_list_kind list;
	struct span zone; /* with `list`: the end of `name` */
	bool is_fresh;    /* not from the cache; a list's proof is asked for whatever it says */
};

struct dns_answer {
	enum dns_status status;
	/* Of DNS_NONE: there is no such name at all; the SOA of the zone that says so came with it. */
	bool is_nxdomain, has_soa;
	uint32_t ttl_s; /* how long it may be kept */
	enum dns_proof proof;
	struct ip addresses[LOOKUP_RECORDS_MAX]; /* A and AAAA */
	size_t n_addresses;
	char names[LOOKUP_NAMES_MAX]
		  [LOOKUP_NAME_MAX + 1]; /* PTR; MX, "." is the null MX's (RFC 7505) */
	size_t n_names;
};

void dns_question_put(struct buf *to, const struct dns_question *q);
int dns_question_get(
    struct span payload, struct dns_question *q); /* 0 or -E_CORRUPT; points into it */
void dns_answer_put(struct buf *to, const struct dns_answer *a);
int dns_answer_get(struct span payload, struct dns_answer *a);

enum recipient_state {
	RECIPIENT_UNKNOWN, /* the source cannot say: away, slow, or found out to be wrong */
	RECIPIENT_EXISTS,
	RECIPIENT_NONE
};

struct recipient_question {
	uint32_t domain;     /* of the configuration's domains: one with a source to be asked */
	struct span address; /* without <>, its domain in ASCII */
};

struct recipient_answer {
	enum recipient_state state;
	bool is_cached, is_stale;     /* stale: past its time, the source being away */
	char why[LOOKUP_WHY_MAX + 1]; /* what the source said, one printable line; may be empty */
};

void recipient_question_put(struct buf *to, const struct recipient_question *q);
/* 0 or -E_CORRUPT; points into it.  Nothing in the address could end a line or a word. */
int recipient_question_get(struct span payload, struct recipient_question *q);
void recipient_answer_put(struct buf *to, const struct recipient_answer *a);
int recipient_answer_get(struct span payload, struct recipient_answer *a);

#endif

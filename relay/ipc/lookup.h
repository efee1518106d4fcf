/*
 * lookup.h - the channel to the lookup role, used by front and spool: DNS questions and answers.
 *
 * One question or answer a message; the id pairs them.  The lookup role caches by TTL, negative
 * answers too, bounds every question by `timeout_ms` and always answers.
 */
#ifndef IPC_LOOKUP_H
#define IPC_LOOKUP_H
#include "relay/base/ip.h"
#include "relay/base/wire.h"

enum lookup_type { LOOKUP_ASK = 1, LOOKUP_ANSWER };

enum { LOOKUP_NAME_MAX = 253, LOOKUP_RECORDS_MAX = 64 };

enum dns_type { DNS_A, DNS_AAAA, DNS_PTR };

enum dns_status {
	DNS_FOUND,
	DNS_NONE,   /* NXDOMAIN or no record of this type: a true negative */
	DNS_FAILED, /* SERVFAIL, refused, garbage */
	DNS_TIMEOUT
};

struct dns_question {
	enum dns_type type;
	struct span name; /* without a dot at the end */
	uint32_t timeout_ms;
};

struct dns_answer {
	enum dns_status status;
	uint32_t ttl_s;                          /* how long it may be kept */
	struct ip addresses[LOOKUP_RECORDS_MAX]; /* A and AAAA */
	size_t n_addresses;
	char names[8][LOOKUP_NAME_MAX + 1]; /* PTR */
	size_t n_names;
};

void dns_question_put(struct buf *to, const struct dns_question *q);
int dns_question_get(
    struct span payload, struct dns_question *q); /* 0 or -E_CORRUPT; points into it */
void dns_answer_put(struct buf *to, const struct dns_answer *a);
int dns_answer_get(struct span payload, struct dns_answer *a);

#endif

/*
 * witness.h - whether the denials of a domain's source may be believed: a source that has lost its
 * data denies everybody, and each denial would be mail refused for good.
 *
 * After each denial the source is asked for somebody whom it must know: the domain's canary, else
 * addresses that it has confirmed lately, else whether it shows anybody of the domain at all (a
 * directory) or the postmaster (a gateway: RFC 5321 section 4.5.1).  The denial is believed only
 * when the answer is yes.  One such question at a time for a domain, asked after the denials it is
 * for and shared by them.  A server vouches for itself only: whose denial came from another one
 * than the yes is not believed.  docs/decisions/0011-canaries.md says why it is like this.
 */
#ifndef LOOKUP_WITNESS_H
#define LOOKUP_WITNESS_H
#include "relay/lookup/source.h"

enum {
	WITNESS_VOUCHERS_MAX = 8, /* addresses remembered, those confirmed last */
	WITNESS_ASKED_MAX = 3,    /* of them, before the source counts as wrong */
	WITNESS_KEEP_MS = 24 * 3600 * 1000
};

struct witness;

/* Embedded in its owner, whose `done` is called once, from the loop.  `why` is one printable line:
 * why the source is not believed. */
struct witness_waiter {
	struct list node;
	struct source_server server; /* the one that has denied; set before witness_ask */
	void (*done)(void *arg, bool is_believed, const char *why);
	void *arg;
};

/* `ask` sends a query to the domain's source. */
struct witness *witness_new(
    const struct conf_domain *domain, void (*ask)(void *arg, struct source_query *q), void *arg);
/* The source has let go of its queries; waiters are dropped. */
void witness_free(struct witness **w);

void witness_confirmed(struct witness *w, struct span address); /* by the source, just now */
void witness_forget(struct witness *w, struct span address);    /* empty: all */
/* The source has just denied this address, which is at the domain. */
void witness_ask(struct witness *w, struct witness_waiter *waiter, struct span denied);

#endif

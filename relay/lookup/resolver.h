/*
 * resolver.h - DNS questions answered from the cache or by c-ares on our loop.
 *
 * Identical questions in flight are one query.  Every question has its own deadline, which ends
 * the waiting but not the query: a late answer still goes into the cache.  The resolver is owned
 * by the lookup role; it writes no files and reads /etc/resolv.conf in resolver_new only.
 *
 * Two c-ares channels: plain questions go over UDP and never fall back by themselves, because
 * c-ares 1.18 fails every query in flight to a server when one fall-back to TCP is refused; what
 * comes back truncated is asked again over the second channel, which speaks TCP only.
 */
#ifndef LOOKUP_RESOLVER_H
#define LOOKUP_RESOLVER_H
#include "policy/config/config.h"
#include "relay/base/loop.h"
#include "relay/ipc/lookup.h"

enum {
	RESOLVER_QUERIES_MAX = 10000, /* in flight; c-ares has 65,536 ids */
	RESOLVER_TIMEOUT_MIN_MS = 1,
	RESOLVER_TIMEOUT_MAX_MS = 60000,
	RESOLVER_REFUSED_MAX = 4, /* times a refused connection is tried again */
	RESOLVER_AGAIN_MS = 40    /* pause before that, doubled each time */
};

struct resolver_stats {
	uint64_t questions, cache_hits, timeouts, failures;
};

struct resolver;
struct waiter;

/* `servers` none: those of /etc/resolv.conf.  NULL and err when c-ares cannot start. */
struct resolver *resolver_new(struct loop *loop, const struct conf_dns *conf, struct err *err);
/* Waiters still there are dropped without an answer. */
void resolver_free(struct resolver **r);

/*
 * Asks.  `done` is called exactly once, at the latest after q->timeout_ms, unless cancelled; the
 * answer is valid during the call only.  When the answer is known at once (cache, a name that
 * cannot be asked, too many questions) `done` is called before this returns NULL; otherwise it
 * comes from the loop and the waiter returned is valid until then.  The name is copied.
 */
struct waiter *resolver_ask(struct resolver *r, const struct dns_question *q,
    void (*done)(void *arg, const struct dns_answer *a), void *arg);
void resolver_cancel(struct waiter **w); /* NULL is fine */
/* Keeps what a list has said and proved: of a list's question, resolver_ask keeps only DNS_NONE. */
void resolver_keep(struct resolver *r, const struct dns_question *q, const struct dns_answer *a);

struct resolver_stats resolver_stats(const struct resolver *r);
size_t resolver_cached(const struct resolver *r);

#endif

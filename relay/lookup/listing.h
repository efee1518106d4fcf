/*
 * listing.h - questions to DNS lists, and the proof that what they list may be believed.
 *
 * A list that lists everybody (given up by its operator, a parked domain, a resolver that answers
 * for what does not exist) is found out at the first client it would hurt: whoever it lists is
 * believed only when the list, asked after that, lists neither its canary (RFC 5782 section 5)
 * nor a random address of 127/8, which no cache between the list and us can know.  Only what was
 * proved is cached.  One proof at a time for each zone, shared by all who wait for it, and none
 * for what is not listed.
 */
#ifndef LOOKUP_LISTING_H
#define LOOKUP_LISTING_H
#include "relay/lookup/resolver.h"

enum { LISTING_PREFIX_MAX = 80 }; /* bytes of an entry that nobody can be, without its zone */

struct listings;
struct listing_waiter;

struct listings *listings_new(struct loop *loop, struct resolver *resolver); /* both outlive it */
void listings_free(struct listings **l); /* waiters still there are dropped without an answer */

/*
 * Asks, with q->list and q->zone.  `done` is called exactly once, unless cancelled, at the latest
 * after q->timeout_ms, proof and all; the answer is valid during the call.  It comes before this
 * returns NULL when it is known at once, else from the loop, and the waiter returned is valid until
 * then.  What q points to is copied.
 */
struct listing_waiter *listing_ask(struct listings *l, const struct dns_question *q,
    void (*done)(void *arg, const struct dns_answer *a), void *arg);
void listing_cancel(struct listing_waiter **w); /* NULL is fine */

/* An entry of such a list that nobody can have: its canary, or one made from `random`. */
void listing_canary(enum dns_list_kind kind, char to[LISTING_PREFIX_MAX]);
void listing_random(enum dns_list_kind kind, uint64_t random, char to[LISTING_PREFIX_MAX]);

#endif

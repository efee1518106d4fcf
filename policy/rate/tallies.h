/*
 * tallies.h - numbers by client that all fronts share: who has how many connections, what rates have
 * left, failed sign-ins, who is known to wait.
 *
 * Each front has a page of memory of its own (TALLIES_BYTES) that only it writes and all others read:
 * so there is no lock, nobody can take back what another has counted, and what a dead front held is
 * gone with its page.  A number is told by all pages together: counts are added up, and of what only
 * grows (times, failures) the largest is the newest, since whoever writes has read the others before.
 * Two that write at the same moment may both go by what stood there before; that is all that goes wrong.
 *
 * What others have written is not trusted: any number may stand there.  The worst that a front which was
 * taken over can do is to say too much of a client.
 *
 * A client stands there as a keyed hash.  Memory is bounded: of what would be in too little room the
 * smallest number is forgotten.
 */
#ifndef RATE_TALLIES_H
#define RATE_TALLIES_H
#include "relay/base/ip.h"

struct tallies;

enum tally {
	TALLY_HELD,    /* connections that there are: added up, never forgotten */
	TALLY_RATES,   /* when a bucket is full again, in ns (bucket.h) */
	TALLY_GUESSES, /* failed sign-ins (relay/front/guesses.h) */
	TALLY_PATIENT  /* until when it is believed, in ms */
};

enum { TALLIES_BYTES = 10 * 1024 * 1024, TALLIES_PAGES_MAX = 16 };

/* Alone, with a page of its own. */
struct tallies *tallies_new(void);
/* `own` is TALLIES_BYTES that this front alone writes, `others` what it reads; they outlive it.  All use
 * the same secret, which clients must not know. */
struct tallies *tallies_over(
    void *own, const void *const *others, size_t n_others, const uint64_t secret[2]);
void tallies_free(struct tallies **t);

/* What a client (IPv4 address, IPv6 /64: what one customer has, RFC 6177) is called in one matter: a
 * flow's connections, a listener's, a rate. */
uint64_t tallies_name(const struct tallies *t, unsigned matter, const struct ip *client);
/* The sum, and the largest, of what stands there by that name; 0: nothing.  No page counts for less than 0
 * or, with tallies_largest, for more than `most`. */
uint64_t tallies_sum(const struct tallies *t, enum tally kind, uint64_t name);
int64_t tallies_largest(const struct tallies *t, enum tally kind, uint64_t name, int64_t most);
/* Writes it to our own page, where a number below `keep_from` may be forgotten for it.  False: there is
 * no room, and nothing is written. */
bool tallies_set(
    struct tallies *t, enum tally kind, uint64_t name, int64_t value, int64_t keep_from);
/* What stands in our own page. */
int64_t tallies_own(const struct tallies *t, enum tally kind, uint64_t name);

#endif

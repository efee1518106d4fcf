/*
 * clean.h - what one engine has found clean lately, by SHA-256: the same attachment in the next
 * message, and the same bytes in several readings of one part, are scanned once.
 *
 * Belongs to an engine in one process, so it never outlives its signatures and no worker believes
 * another.  A fixed number of places; a new entry takes the place of an old one.
 */
#ifndef ANTIVIRUS_CLEAN_H
#define ANTIVIRUS_CLEAN_H
#include "relay/base/span.h"

enum { CLEAN_PLACES = 1024, CLEAN_KEY_BYTES = 32 };

struct clean_key {
	unsigned char bytes[CLEAN_KEY_BYTES];
};

struct clean {
	struct clean_key places[CLEAN_PLACES]; /* all zeros: free */
};

/* False: no key can be had, scan. */
bool clean_key(struct span bytes, struct clean_key *key);
bool clean_has(const struct clean *c, const struct clean_key *key);
void clean_add(struct clean *c, const struct clean_key *key);

#endif

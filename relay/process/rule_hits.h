/*
 * rule_hits.h - the supervisor's part in counting the hits of rules: what fronts tell goes into the
 * policy store, added up.
 *
 * While somebody else writes the store they wait here, for a second at a time; no mail and no other
 * request waits for them.  Past HITS_WAITING_MAX, and when the store stays away, they are lost, and
 * `status` says so.
 */
#ifndef PROCESS_RULE_HITS_H
#define PROCESS_RULE_HITS_H
#include "relay/process/supervisor.h"

enum {
	HITS_WAITING_MAX = 1024 * 1024, /* bytes */
	HITS_AGAIN_MS = 1000,
	HITS_TRIES = 10 /* in vain, until it is a problem */
};

/* The payload of ROLE_HITS; of one that is malformed, what stands before that. */
void rule_hits_take(struct supervisor *s, struct span payload);
/* Stores what waits, now; before an end, too. */
void rule_hits_store(struct supervisor *s);

#endif

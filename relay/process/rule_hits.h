/*
 * rule_hits.h - the supervisor's part in counting the hits of rules: what fronts tell goes into the
 * policy store, added up.
 *
 * A store that cannot be written loses hits and says so; no mail waits for it.
 */
#ifndef PROCESS_RULE_HITS_H
#define PROCESS_RULE_HITS_H
#include "relay/process/supervisor.h"

/* The payload of ROLE_HITS; of one that is malformed, what stands before that. */
void rule_hits_take(struct supervisor *s, struct span payload);

#endif

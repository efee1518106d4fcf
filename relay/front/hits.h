/*
 * hits.h - how often rules have matched since the supervisor was last told, by their ids.
 *
 * Front counts in memory and hands over what has come together (relay/ipc/hits.h), now and then and at
 * its end: a front that is killed takes the last HITS_MS along.  Bounded by the rules there are.
 */
#ifndef FRONT_HITS_H
#define FRONT_HITS_H
#include "relay/base/loop.h"
#include "relay/base/span.h"

enum { HITS_MS = 5000 }; /* at most, from a hit until it is told */

struct hits;

/* on_batch: a message for the supervisor, as relay/ipc/hits.h has it. */
struct hits *hits_new(
    struct loop *loop, void (*on_batch)(void *arg, struct span payload), void *arg);
void hits_free(struct hits **h);            /* nothing is told */
void hits_count(void *hits, uint32_t rule); /* a decide_counter */
void hits_tell(struct hits *h);             /* what there is, at once */

#endif

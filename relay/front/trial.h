/*
 * trial.h - tells whether a filter is broken: a small mail of ours goes through it alone, when the pool's
 * breaker doubts it (breaker.h), and again after each of its pauses while it is broken.
 *
 * Nobody outside has a hand in that mail, and no mail of theirs is risked or delayed for it.  It goes before mail that
 * waits for its first worker, and what filters find in it is forgotten.  One trial of a filter at a time.
 */
#ifndef FRONT_TRIAL_H
#define FRONT_TRIAL_H
#include "relay/front/worker_pool.h"

struct trials; /* of a pool, which owns them */

struct trials *trials_new(struct loop *loop, struct worker_pool *pool, struct breakers *breakers);
void trials_free(struct trials **t); /* and ends those under way */
/* Of filter i of the scan's flow, now; nothing when it is being tried. */
void trials_begin(struct trials *t, const struct scan *s, size_t i);

#endif

/*
 * helper.h - a thread that does what would block the loop, one task after the other.
 *
 * A task belongs to its owner; while it is pushed only `run` may touch what it holds.  run is
 * called in the thread, then done on the loop, in the order of the pushes.
 */
#ifndef QUARANTINE_HELPER_H
#define QUARANTINE_HELPER_H
#include "relay/base/list.h"
#include "relay/base/loop.h"

struct task {
	struct list node; /* the helper's */
	void (*run)(struct task *t);
	void (*done)(struct task *t); /* may push it again, or free it */
};

struct helper;

struct helper *helper_start(struct loop *loop);
void helper_push(struct helper *h, struct task *t);
/* Until nothing is pushed any more: runs all of it and tells it done, then ends the thread. */
void helper_stop(struct helper **h);

#endif

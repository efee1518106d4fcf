/*
 * policy_build.h - compiles a new policy beside the loop, in a thread of its own, so that no
 * session waits for it, however large it is.
 *
 * One build at a time.  The thread touches nothing but the bundle it was given and what it makes of
 * it; both come back through the loop.  Belongs to the front role; never freed: it ends with it.
 */
#ifndef PROCESS_POLICY_BUILD_H
#define PROCESS_POLICY_BUILD_H
#include "policy/rules/rules.h"
#include "relay/base/loop.h"

/* What was built, the receiver's from then on. */
struct policy_built {
	struct snapshot *snapshot; /* NULL: the bundle is none */
	struct buf bundle;         /* what it was built from */
	struct buf content;        /* the bundle for filter workers: only what looks at content */
	uint64_t generation;
};

struct policy_build;

struct policy_build *policy_build_new(
    struct loop *loop, void (*on_built)(void *arg, struct policy_built *built), void *arg);
/* Takes the bundle over.  While one is built, this one waits; of several that wait the last counts. */
void policy_build_start(struct policy_build *b, struct buf *bundle, uint64_t generation);
/* The same at once, in this thread: before there are sessions. */
void policy_build_now(struct buf *bundle, uint64_t generation, struct policy_built *built);

#endif

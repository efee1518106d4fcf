/*
 * worker.h - one worker: a fork of the zygote that judges messages for a front, one at a time.
 *
 * It owns nothing but its end of the channel and its folder; it never calls exit() (other code's
 * exit handlers belong to the zygote) and never frees the engine (its pages are shared).
 */
#ifndef WORKER_WORKER_H
#define WORKER_WORKER_H
#include "filters/chain/chain.h"
#include "filters/worker/page.h"

/* Writable memory beyond the zygote's: over what chain.h and the scanner's own limits add up to. */
#define WORKER_MEMORY_MAX (2048ull * 1024 * 1024)

/* How a worker ends. */
enum {
	WORKER_DONE = 0,
	WORKER_NO_LIMITS = 2,
	WORKER_NO_SANDBOX = 3,
	WORKER_NO_FILTERS = 4, /* a start hook or the canary failed */
	WORKER_BAD_PEER = 5    /* front said something impossible */
};

/* Enters the sandbox with `tmpdir` writable; NULL: none (tests). */
typedef int worker_sandbox(const char *tmpdir, struct err *err);

struct worker {
	struct chain *chain;
	int fd; /* its channel to front */
	int parent;
	const char *tmpdir;
	struct worker_page *page;
	unsigned messages_max; /* WORKER_MESSAGES when 0 */
	int64_t age_max_ms;    /* since its first message; WORKER_AGE_MS when 0 */
	uint64_t memory_max;   /* bytes, with the zygote's; 0: no limit */
	worker_sandbox *sandbox;
};

void worker_run(const struct worker *w) __attribute__((noreturn));

#endif

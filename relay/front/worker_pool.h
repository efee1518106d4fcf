/*
 * worker_pool.h - front's view of the filter workers: who is idle, which message waits, what
 * becomes of a message whose worker dies.
 *
 * A worker has one message at a time.  When it dies, the message goes to a fresh worker once; when
 * the same filter ends a second one, that filter counts as failed for this message and the rest of
 * the chain runs without it.  When there is no worker at all for too long, all filters failed.
 * A filter that fails message after message, and a mail of ours besides, is not asked for a while (breaker.h).
 *
 * A new zygote may come while the old one lives (new signatures).  Then the old one's workers go on until
 * its own are ready, one for one; none is ended with a message in hand.
 */
#ifndef FRONT_WORKER_POOL_H
#define FRONT_WORKER_POOL_H
#include "relay/base/list.h"
#include "relay/front/breaker.h"
#include "relay/ipc/channel.h"
#include "relay/ipc/front_filter.h"

enum {
	POOL_WAIT_MS = 30000,  /* beyond the filters' own deadlines: for a worker to be free */
	POOL_PICKUP_MS = 3000, /* for a worker to begin: one that does not even read hangs */
	POOL_DEATHS_MAX = 6,   /* workers that one message may cost */
	POOL_AGE_MAX_MS =
	    2 * WORKER_AGE_MS,    /* since its first message; well past what it counts itself */
	POOL_WORKERS_MAX = 2 * 64 /* of a zygote, and of the one that replaces it */
};

struct worker_pool;

/* One message to be filtered.  Embedded in its owner, who fills the first part. */
struct scan {
	struct scan_request request;
	const struct conf_flow *flow;
	int body_fd;   /* sealed, of the owner; -1: inline */
	uint32_t only; /* not 0: a trial (trial.h), of the one filter whose bit this is */
	/* result NULL: no filter could be run.  failed: bit i, filter i of the flow failed. */
	void (*on_done)(struct scan *s, const struct scan_result *result, uint32_t failed);
	void *arg;

	struct worker_pool *pool; /* NULL: not in the pool */
	struct list node;         /* waiting, or alone */
	struct pool_worker *worker;
	uint64_t id;
	struct timer *deadline;
	uint32_t deaths;   /* bit i: filter i has ended a worker once */
	uint32_t given_up; /* bit i: it has ended a second one; this message goes without it */
	unsigned lost;     /* workers that died without telling at which filter */
	unsigned n_deaths;
};

struct worker_pool *pool_new(struct loop *loop);
void pool_free(struct worker_pool **p); /* no scan may be in it */
/* Called when the channel of the zygote that was connected last closes by itself. */
void pool_on_lost(struct worker_pool *p, void (*on_lost)(void *arg), void *arg);
/* Called when a filter is not asked any more, and when it works again; on_works when one that is
 * watched has worked, and (NULL) when workers with new databases are there. */
void pool_on_breaker(struct worker_pool *p, const struct breakers_events *events);
void pool_watch(struct worker_pool *p, const struct conf_filter *filter); /* see breakers_watch */
/* Takes the fd.  The zygote before stays until its channel closes, that before it is forgotten. */
void pool_connect(struct worker_pool *p, int zygote_fd);
/* The bundle of a new policy version, which is the current one from now on. */
void pool_set_policy(struct worker_pool *p, uint64_t version, struct span bundle);
/* A session needs this version as long as it lives, also when it is not the current one any more. */
void pool_hold_policy(struct worker_pool *p, uint64_t version);
/* The same of the current one, whose version this returns; 0: there is none. */
uint64_t pool_hold_current(struct worker_pool *p);
void pool_release_policy(struct worker_pool *p, uint64_t version);
void pool_scan(struct worker_pool *p, struct scan *s);
void pool_cancel(struct scan *s); /* the client has gone; the worker finishes for nobody */
size_t pool_idle(const struct worker_pool *p);
size_t pool_size(const struct worker_pool *p);

#endif

/*
 * health.h - how one server does: how many connections it bears, how fast it answers, and what
 * became of the recipients it was sent.
 *
 * The limit of connections is found as TCP finds its window (RFC 5681): it grows with each success
 * up to a threshold, above that by one a round, and is halved where the server says that it is too
 * much, or where its replies suddenly take far longer.  Pure: time is passed in.
 */
#ifndef DELIVER_HEALTH_H
#define DELIVER_HEALTH_H
#include "relay/base/span.h"

enum {
	HEALTH_START = 8,         /* connections to a server nothing bad is known of */
	HEALTH_RETURN = 1,        /* to one that has just come back */
	HEALTH_LATENCY_LEAST = 4, /* slowness alone halves the limit no further */
	HEALTH_HALVE_MS = 1000,   /* refusals within this time are one event */
	HEALTH_HOLD_MS = 5000,    /* after one the limit does not grow */
	HEALTH_SAMPLES_MIN = 3,   /* fewer say nothing */
	HEALTH_RISE_TIMES = 4,    /* so much longer than usual is a steep rise … */
	HEALTH_RISE_MS = 500,     /* … when it is also at least this */
	HEALTH_BUCKETS = 14,
	HEALTH_RECENT_MAX = 1024 /* samples, then all of them count half */
};

/* Upper bounds of the latency histogram's buckets, milliseconds; the last one has none. */
extern const int64_t health_bounds_ms[HEALTH_BUCKETS - 1];

/* An exponentially weighted average. */
struct pace {
	int64_t us;
	unsigned n; /* samples, counted up to HEALTH_SAMPLES_MIN */
	int64_t sampled_ms;
};

struct health {
	unsigned limit, most; /* connections: now, and by the configuration */
	unsigned threshold;   /* from here on the limit grows by one a round */
	unsigned n_grown;     /* successes of this round */
	int64_t halved_ms, hold_ms;
	bool was_halved;
	struct pace final;                /* from the final dot to its reply */
	struct pace greeting;             /* from the connection's start to the banner */
	int64_t usual_us;                 /* what `final` was for long */
	uint64_t latency[HEALTH_BUCKETS]; /* of `final`, since the start; never falls */
	uint64_t latency_sum_ms;
	uint32_t recent[HEALTH_BUCKETS];
	uint64_t n_delivered, n_deferred, n_failed; /* recipients */
};

void health_init(struct health *h, unsigned most);
/* It has come back after being down: slow start. */
void health_return(struct health *h);
/* It took a message `wait_ms` after the final dot, while `n_busy` of its connections were in use. */
void health_took(struct health *h, int64_t wait_ms, unsigned n_busy, bool is_slow, int64_t now_ms);
void health_greeted(struct health *h, int64_t wait_ms, bool is_slow, int64_t now_ms);
/* It has refused one connection more while `n_open` were open, or said that it has too much to do. */
void health_refused(struct health *h, unsigned n_open, int64_t now_ms);
/* Whether a reply means: not so much at once (RFC 5321 section 3.8, RFC 3463 X.3.2 and X.4.5). */
bool health_is_overload(int code, struct span reply);
/* 95 of 100 of the last replies came within this; -1: there were none. */
int64_t health_p95_ms(const struct health *h);
int64_t health_average_ms(const struct health *h); /* -1: none */

/* Whether `p` is far above `best`, the fastest peer's.  was_slow: it takes less to stay it. */
bool pace_is_slow(const struct pace *p, const struct pace *best, bool was_slow);
bool pace_is_known(const struct pace *p);

#endif

/* pool_world.h - a worker pool with a scripted zygote and scripted workers, on a clock of ours. */
#ifndef UNIT_POOL_WORLD_H
#define UNIT_POOL_WORLD_H
#include "relay/front/worker_pool.h"
#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <unistd.h>

enum { WORKERS = 16, DEADLINE_MS = 1000, PAUSE_MS = 5000, WALL_MS = 1, SETTLE = 4 };

static const struct pnf_outcome outcomes[] = {{"bad", "reject", "x"}, {.name = NULL}};
static const struct pnf_about about = {.name = "looks", .outcomes = outcomes};
static const struct conf_filter looks = {.name = "looks",
    .plugin = &about,
    .deadline_ms = DEADLINE_MS,
    .max_failures = 10,
    .pause_ms = PAUSE_MS};
static const struct conf_flow flow = {
    .name = "f", .filters = {{.filter = &looks}, {.filter = &looks}}, .n_filters = 2};

struct world {
	struct loop *loop;
	struct worker_pool *pool;
	int zygote, workers[WORKERS];
	struct buf buf;
	int64_t now_ms;
	struct scan scan, second;
	unsigned n_done;
	bool has_result;
	size_t n_outcomes;
	size_t rewrite_n;
	char rewrite_end;
	uint32_t failed;
};

/* A pool lives as long as its process: kept, so that a leak checker still sees it. */
static struct worker_pool *pools[64];
static size_t n_pools;

static inline void
settle(struct world *w)
{
	for (int i = 0; i < SETTLE; i++)
		loop_turn(w->loop, 0);
}

static inline void
pass_time(struct world *w, int64_t ms)
{
	w->now_ms += ms;
	clock_fake(w->now_ms, WALL_MS);
	settle(w);
}

static inline void
on_done(struct scan *s, const struct scan_result *result, uint32_t failed)
{
	struct world *w = s->arg;

	assert_null(s->pool);
	w->n_done++;
	w->has_result = result != NULL;
	w->n_outcomes = result != NULL ? result->n_outcomes : 0;
	w->rewrite_n = result != NULL ? result->rewrite.n : 0;
	w->rewrite_end = w->rewrite_n > 0 ? result->rewrite.p[w->rewrite_n - 1] : '\0';
	w->failed = failed;
}

static inline void
scan_prepare(struct world *w, struct scan *s, struct span id)
{
	static const struct span rcpts[] = {{"a@example.org", 13}};

	*s = (struct scan){.request = {.id = id,
			       .policy = 1,
			       .rcpts = rcpts,
			       .n_rcpts = 1,
			       .is_inline = true,
			       .body = SPAN("A: b\r\n\r\nc\r\n")},
	    .flow = &flow,
	    .body_fd = -1,
	    .on_done = on_done,
	    .arg = w};
}

static inline void
new_zygote(struct world *w)
{
	int ends[2];

	channel_pair(ends);
	w->zygote = ends[1];
	pool_connect(w->pool, ends[0]);
}

static inline int
setup(void **state)
{
	struct world *w = mem_alloc(sizeof(*w));

	w->now_ms = 1000;
	clock_fake(w->now_ms, WALL_MS);
	w->loop = loop_new();
	w->pool = pools[n_pools++] = pool_new(w->loop);
	for (int i = 0; i < WORKERS; i++)
		w->workers[i] = -1;
	new_zygote(w);
	scan_prepare(w, &w->scan, SPAN("first"));
	scan_prepare(w, &w->second, SPAN("second"));
	*state = w;
	return 0;
}

static inline int
teardown(void **state)
{
	struct world *w = *state;

	pool_cancel(&w->scan);
	pool_cancel(&w->second);
	for (int i = 0; i < WORKERS; i++)
		if (w->workers[i] >= 0)
			(void)close(w->workers[i]);
	if (w->zygote >= 0)
		(void)close(w->zygote);
	settle(w);
	assert_int_equal(pool_size(w->pool), 0);
	loop_free(&w->loop);
	buf_free(&w->buf);
	clock_fake(0, -1);
	mem_free(w);
	return 0;
}

/* --- the scripted zygote and workers ------------------------------------------------------- */

static inline void
worker_comes(struct world *w, int i)
{
	int ends[2], fds[CHANNEL_FDS] = {-1, -1};

	channel_pair(ends);
	fds[0] = ends[0];
	w->workers[i] = ends[1];
	assert_int_equal(
	    channel_send_now(w->zygote, FILTER_WORKER, (uint64_t)i, (struct span){0}, fds), 0);
	(void)close(ends[0]);
	settle(w);
}

/* Not yet heard, as below what worker_says_result sends. */
static inline void
zygote_says_death(struct world *w, int i, const struct worker_death *d)
{
	struct buf b = BUF_INIT(256);

	worker_death_put(&b, d);
	assert_int_equal(
	    channel_send_now(w->zygote, FILTER_DIED, (uint64_t)i, buf_span(&b), NULL), 0);
	buf_free(&b);
}

static inline void
zygote_tells_death(struct world *w, int i, int filter, uint64_t scan)
{
	zygote_says_death(
	    w, i, &(struct worker_death){.signal = 11, .filter = filter, .scan = scan});
	settle(w);
}

static inline void
worker_closes(struct world *w, int i)
{
	(void)close(w->workers[i]);
	w->workers[i] = -1;
	settle(w);
}

/* As it is in life: the worker's end closes, then the zygote tells. */
static inline void
worker_dies(struct world *w, int i, int filter, uint64_t scan)
{
	worker_closes(w, i);
	zygote_tells_death(w, i, filter, scan);
}

static inline void
expect_nothing(struct world *w, int fd)
{
	struct message m;

	assert_int_equal(channel_receive(fd, &m, &w->buf, 0), -E_TIMEOUT);
}

static inline void
expect_kill(struct world *w, int i)
{
	struct message m;

	assert_int_equal(channel_receive(w->zygote, &m, &w->buf, 0), 0);
	assert_int_equal(m.type, FILTER_KILL);
	assert_int_equal(m.id, i);
}

/* The next message of worker i must be a scan; returns its number. */
static inline uint64_t
expect_scan(struct world *w, int i, struct span id, uint32_t skip)
{
	struct scan_request r;
	struct span rcpts[4];
	struct message m;

	assert_int_equal(channel_receive(w->workers[i], &m, &w->buf, 0), 0);
	assert_int_equal(m.type, WORKER_SCAN);
	assert_int_equal(scan_request_get(m.payload, &r, rcpts, 4), 0);
	assert_true(span_eq(r.id, id));
	assert_int_equal(r.skip, skip);
	assert_true(span_eq(r.body, SPAN("A: b\r\n\r\nc\r\n")));
	return m.id;
}

/* Worker i, which is idle, gets it; returns its number. */
static inline uint64_t
begins(struct world *w, int i, struct scan *s)
{
	pool_scan(w->pool, s);
	settle(w);
	return expect_scan(w, i, s->request.id, 0);
}

/* The first message, with a worker that comes for it. */
static inline uint64_t
first_begins(struct world *w, int i)
{
	worker_comes(w, i);
	return begins(w, i, &w->scan);
}

static inline void
worker_says_only(struct world *w, int i, uint16_t type, uint64_t id)
{
	assert_int_equal(channel_send_now(w->workers[i], type, id, (struct span){0}, NULL), 0);
}

/* Of the first filter. */
static inline void
worker_says(struct world *w, int i, uint64_t scan, int8_t outcome, uint32_t not_run)
{
	struct scan_result *result = mem_alloc(sizeof(*result));
	struct buf b = BUF_INIT(4096);

	result->not_run = not_run;
	result->n_outcomes = 1;
	result->outcomes[0] = (struct scan_outcome){0, outcome, SPAN("because"), {0}};
	scan_result_put(&b, result);
	assert_int_equal(
	    channel_send_now(w->workers[i], WORKER_RESULT, scan, buf_span(&b), NULL), 0);
	buf_free(&b);
	mem_free(result);
}

static inline void
worker_says_result(struct world *w, int i, uint64_t scan)
{
	worker_says(w, i, scan, 0, 0);
}

static inline void
worker_answers(struct world *w, int i, uint64_t scan)
{
	worker_says_result(w, i, scan);
	settle(w);
}

static inline void
expect_done(const struct world *w, unsigned n, bool has_result, uint32_t failed)
{
	assert_int_equal(w->n_done, n);
	assert_int_equal(w->has_result, has_result);
	assert_int_equal(w->n_outcomes, has_result);
	assert_int_equal(w->failed, failed);
}

/* The first message has waited for a worker, and is through. */
static inline void
first_comes_through(struct world *w, int i)
{
	worker_comes(w, i);
	worker_answers(w, i, expect_scan(w, i, SPAN("first"), 0));
	expect_done(w, 1, true, 0);
}

#endif

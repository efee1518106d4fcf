/* The pool's trials: a mail of ours tells a broken filter from messages that make one fail. */
#include "tests/unit/pool_world.h"

enum { MAX_FAILURES = 2, NOT_FIRST = 0xfffffffe };

static const struct conf_filter frail = {.name = "frail",
    .plugin = &about,
    .deadline_ms = DEADLINE_MS,
    .max_failures = MAX_FAILURES,
    .pause_ms = PAUSE_MS};
static const struct conf_flow frail_flow = {
    .name = "frail", .filters = {{.filter = &frail}, {.filter = &looks}}, .n_filters = 2};

static unsigned n_opened, n_closed, n_works;

static void
on_change(void *arg, const struct conf_filter *filter, bool is_over)
{
	(void)arg;
	assert_ptr_equal(filter, &frail);
	if (is_over)
		n_closed++;
	else
		n_opened++;
}

static void
on_works(void *arg, const struct conf_filter *filter)
{
	(void)arg;
	n_works += filter == &frail;
}

static int
setup_frail(void **state)
{
	struct world *w;

	(void)setup(state);
	w = *state;
	w->scan.flow = w->second.flow = &frail_flow;
	w->scan.request.flow = w->second.request.flow = 7;
	n_opened = n_closed = n_works = 0;
	pool_on_breaker(
	    w->pool, &(struct breakers_events){.on_change = on_change, .on_works = on_works});
	return 0;
}

/* The next message of worker i must be a trial of the first filter; returns its number. */
static uint64_t
expect_trial(struct world *w, int i)
{
	struct scan_request r;
	struct span rcpts[4];
	struct message m;

	assert_int_equal(channel_receive(w->workers[i], &m, &w->buf, 0), 0);
	assert_int_equal(m.type, WORKER_SCAN);
	assert_int_equal(scan_request_get(m.payload, &r, rcpts, 4), 0);
	assert_true(span_eq(r.id, SPAN("trial")));
	assert_int_equal(r.flow, 7);
	assert_int_equal(r.skip, NOT_FIRST);
	assert_int_equal(r.n_rcpts, 1);
	assert_true(span_starts(r.body, SPAN("Date: ")));
	return m.id;
}

/*
 * A message ends as many workers as make the filter doubtful, from worker `at` on, and goes without it; what
 * the worker after them is given next is the trial, whose number this returns.
 */
static uint64_t
begin_trial(struct world *w, int at)
{
	unsigned n_done = w->n_done;

	pool_scan(w->pool, &w->scan);
	for (int i = 0; i < MAX_FAILURES; i++) {
		worker_comes(w, at + i);
		worker_dies(w, at + i, 0, expect_scan(w, at + i, SPAN("first"), 0));
	}
	worker_comes(w, at + MAX_FAILURES);
	worker_answers(w, at + MAX_FAILURES, expect_scan(w, at + MAX_FAILURES, SPAN("first"), 1));
	expect_done(w, n_done + 1, true, 1);
	return expect_trial(w, at + MAX_FAILURES);
}

/* The second message goes through worker i, with the filter or without. */
static void
expect_asked(struct world *w, int i, bool is_asked)
{
	unsigned n_done = w->n_done;

	pool_scan(w->pool, &w->second);
	settle(w);
	worker_answers(w, i, expect_scan(w, i, SPAN("second"), is_asked ? 0 : 1));
	expect_done(w, n_done + 1, true, is_asked ? 0 : 1);
}

/* The filter ends the trial's worker too: nobody asks it, until a trial works. */
static void
test_broken(void **state)
{
	struct world *w = *state;

	worker_dies(w, 2, 0, begin_trial(w, 0));
	assert_int_equal(n_opened, 1);
	worker_comes(w, 3);
	expect_asked(w, 3, false);
	pass_time(w, PAUSE_MS - 1);
	expect_nothing(w, w->workers[3]);
	pass_time(w, 1);
	worker_says(w, 3, expect_trial(w, 3), -1, 0); /* its own word */
	settle(w);
	expect_asked(w, 3, false);
	pool_watch(w->pool, &frail);
	pass_time(w, PAUSE_MS);
	assert_int_equal(n_works + n_closed, 0);
	worker_answers(w, 3, expect_trial(w, 3));
	assert_int_equal(n_opened, 1);
	assert_int_equal(n_closed, 1);
	assert_int_equal(n_works, 1);
	expect_asked(w, 3, true);
	pass_time(w, 10 * PAUSE_MS);
	expect_nothing(w, w->workers[3]);
}

/* Whoever sends messages that end every worker they meet takes the filter from nobody else. */
static void
test_messages_at_fault(void **state)
{
	struct world *w = *state;

	for (int at = 0; at < 12; at += 4) {
		worker_answers(w, at + 2, begin_trial(w, at));
		expect_asked(w, at + 2, true);
		worker_dies(w, at + 2, -1, 0);
	}
	assert_int_equal(n_opened, 0);
}

/* So with those at which it says failure itself. */
static void
test_messages_that_end_nobody(void **state)
{
	struct world *w = *state;

	worker_comes(w, 0);
	for (unsigned i = 1; i <= 3 * MAX_FAILURES; i++) {
		pool_scan(w->pool, &w->scan);
		settle(w);
		worker_says(w, 0, expect_scan(w, 0, SPAN("first"), 0), -1, 0);
		settle(w);
		expect_done(w, i, true, 0);
		if (i % MAX_FAILURES == 0)
			worker_answers(w, 0, expect_trial(w, 0));
	}
	assert_int_equal(n_opened, 0);
}

/* Mail that waits for a worker waits a little longer, and for one trial at a time. */
static void
test_goes_first(void **state)
{
	struct world *w = *state;
	uint64_t trial;

	worker_comes(w, 0);
	for (int i = 0; i < 2 * MAX_FAILURES; i++) {
		pool_scan(w->pool, &w->scan);
		settle(w);
		if (i == MAX_FAILURES - 1)
			pool_scan(w->pool, &w->second);
		worker_says(w, 0, expect_scan(w, 0, SPAN("first"), 0), -1, 0);
		settle(w);
		if (i == MAX_FAILURES - 1) {
			trial = expect_trial(w, 0);
			worker_comes(w, 1);
			/* While it is doubted all is as before: more failures begin no more trials. */
			worker_says(w, 1, expect_scan(w, 1, SPAN("second"), 0), -1, 0);
			settle(w);
			expect_nothing(w, w->workers[1]);
			worker_answers(w, 0, trial);
		}
	}
	(void)expect_trial(w, 1); /* the other is at work yet */
}

/* One that was not run, or whose worker was lost for another reason, says nothing of the filter. */
static void
test_comes_to_nothing(void **state)
{
	struct world *w = *state;

	worker_dies(w, 2, -1, begin_trial(w, 0));
	worker_dies(w, 6, 1, begin_trial(w, 4));      /* in a filter that was not asked */
	worker_says(w, 10, begin_trial(w, 8), -1, 1); /* not loaded */
	settle(w);
	expect_asked(w, 10, true);
	assert_int_equal(n_opened, 0);
}

/* When there are no workers for too long. */
static void
test_no_workers(void **state)
{
	struct world *w = *state;

	(void)begin_trial(w, 0);
	(void)close(w->zygote);
	w->zygote = -1;
	pass_time(w, POOL_WAIT_MS + 2 * 2 * DEADLINE_MS);
	new_zygote(w);
	worker_comes(w, 3);
	expect_asked(w, 3, true);
	assert_int_equal(n_opened, 0);
}

/* It is made with the policy of its moment, and waits for another zygote when its own goes. */
static void
test_policy(void **state)
{
	struct world *w = *state;
	struct message m;

	worker_comes(w, 0);
	for (int i = 0; i < MAX_FAILURES; i++) {
		pool_scan(w->pool, &w->scan);
		settle(w);
		if (i == MAX_FAILURES - 1)
			pool_set_policy(w->pool, 5, SPAN("five"));
		worker_says(w, 0, expect_scan(w, 0, SPAN("first"), 0), -1, 0);
		settle(w);
	}
	(void)close(w->zygote);
	w->zygote = -1;
	settle(w);
	pool_set_policy(w->pool, 6, SPAN("six"));
	new_zygote(w);
	worker_comes(w, 1);
	for (uint64_t version = 6; version >= 5; version--) { /* the current one, and the trial's */
		assert_int_equal(channel_receive(w->workers[1], &m, &w->buf, 0), 0);
		assert_int_equal(m.type, WORKER_POLICY);
		assert_int_equal(m.id, version);
		(void)close(m.fds[0]);
	}
	worker_answers(w, 1, expect_trial(w, 1));
	expect_asked(w, 1, true);
}

/* A pool that goes takes its trials along: one that waits for a worker, one that waits for its pause. */
static void
test_pool_goes(void **state)
{
	struct world *w = *state;
	struct worker_pool *other, *kept = w->pool;

	for (int is_open = 0; is_open < 2; is_open++) {
		int before = w->zygote;

		other = pool_new(w->loop);
		w->pool = other;
		new_zygote(w);
		if (is_open)
			worker_dies(w, 2, 0, begin_trial(w, 0));
		else
			(void)begin_trial(w, 0);
		pool_free(&other);
		(void)close(w->zygote);
		w->zygote = before;
	}
	w->pool = kept;
	pass_time(w, 10 * PAUSE_MS);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup_frail, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_broken),
	    TEST(test_messages_at_fault),
	    TEST(test_messages_that_end_nobody),
	    TEST(test_goes_first),
	    TEST(test_comes_to_nothing),
	    TEST(test_no_workers),
	    TEST(test_policy),
	    TEST(test_pool_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

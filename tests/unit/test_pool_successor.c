/* The pool while one zygote follows another: the old one's workers go on until the new one's are ready. */
#include "tests/unit/pool_world.h"

#include <errno.h>
#include <sys/socket.h>

static void
worker_is_ready(struct world *w, int i)
{
	assert_int_equal(
	    channel_send_now(w->workers[i], WORKER_READY, 0, (struct span){0}, NULL), 0);
	settle(w);
}

/* Front has closed its end, and the worker may go. */
static bool
is_let_go(const struct world *w, int i)
{
	char byte;

	return recv(w->workers[i], &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 0;
}

static void
close_zygote(struct world *w, int fd)
{
	(void)close(fd);
	settle(w);
}

static void
count_call(void *arg)
{
	++*(int *)arg;
}

static void
test_one_for_one(void **state)
{
	struct world *w = *state;
	uint64_t scan;
	int old;

	worker_comes(w, 0);
	worker_comes(w, 1);
	scan = begins(w, 0, &w->scan);
	old = w->zygote;
	new_zygote(w);
	worker_comes(w, 2);
	worker_comes(w, 3);
	assert_false(is_let_go(w, 0) || is_let_go(w, 1));
	worker_is_ready(w, 2);
	assert_false(is_let_go(w, 0)); /* the third is not there yet; it is at work besides */
	assert_true(is_let_go(w, 1));
	worker_is_ready(w, 3);
	assert_false(is_let_go(w, 0));
	worker_answers(w, 2, begins(w, 2, &w->second));
	expect_done(w, 1, true, 0);
	worker_answers(w, 0, scan);
	expect_done(w, 2, true, 0);
	assert_true(is_let_go(w, 0));
	expect_nothing(w, old); /* nobody was killed */
	close_zygote(w, old);
	assert_int_equal(pool_size(w->pool), 2);
}

/* One that never gets a worker to start takes nothing away. */
static void
test_old_ones_serve_until_one_is_ready(void **state)
{
	struct world *w = *state;
	int old;

	worker_comes(w, 0);
	old = w->zygote;
	new_zygote(w);
	for (int i = 1; i < 4; i++) {
		worker_comes(w, i);
		pool_scan(w->pool, &w->scan);
		settle(w);
		worker_answers(w, 0, expect_scan(w, 0, SPAN("first"), 0));
		worker_dies(w, i, -1, 0);
	}
	expect_done(w, 3, true, 0);
	assert_false(is_let_go(w, 0));
	close_zygote(w, old);
}

/* A worker that the old zygote forked just before it was told to stop. */
static void
test_a_late_worker_of_the_old_one(void **state)
{
	struct world *w = *state;
	int old = w->zygote, new;

	worker_comes(w, 0);
	new_zygote(w);
	worker_comes(w, 1);
	worker_is_ready(w, 1);
	new = w->zygote;
	w->zygote = old;
	worker_comes(w, 2);
	w->zygote = new;
	assert_true(is_let_go(w, 0) && is_let_go(w, 2));
	(void)begins(w, 1, &w->scan);
	close_zygote(w, old);
}

/* Both count their workers from the same number on: a death, an order to kill, an answer keep apart. */
static void
test_numbers_are_each_zygotes_own(void **state)
{
	struct world *w = *state;
	int old = w->zygote, new, old_worker;
	uint64_t scan;

	worker_comes(w, 0);
	old_worker = w->workers[0];
	scan = begins(w, 0, &w->scan);
	new_zygote(w);
	new = w->zygote;
	worker_comes(w, 0);
	worker_is_ready(w, 0);
	w->zygote = old;
	zygote_tells_death(w, 0, 0, scan);
	(void)close(old_worker);
	settle(w);
	assert_int_equal(pool_size(w->pool), 1);
	scan = expect_scan(w, 0, SPAN("first"), 0);
	worker_answers(w, 0, scan + 1);
	expect_nothing(w, old);
	w->zygote = new;
	expect_kill(w, 0);
	close_zygote(w, old);
}

static void
test_old_one_dies_at_work(void **state)
{
	struct world *w = *state;
	int old = w->zygote, lost = 0;

	pool_on_lost(w->pool, count_call, &lost);
	worker_comes(w, 0);
	pool_scan(w->pool, &w->scan);
	settle(w);
	new_zygote(w);
	worker_comes(w, 1);
	worker_is_ready(w, 1);
	close_zygote(w, old);
	assert_int_equal(lost, 0); /* nobody is to make that channel anew */
	worker_answers(w, 1, expect_scan(w, 1, SPAN("first"), 0));
	expect_done(w, 1, true, 0);
	close_zygote(w, w->zygote);
	w->zygote = -1;
	assert_int_equal(lost, 1);
	pool_on_lost(w->pool, NULL, NULL);
}

/* The new one dies while the old one's workers are there: they serve on, one that waits included. */
static void
test_new_one_dies(void **state)
{
	struct world *w = *state;
	int old = w->zygote;

	worker_comes(w, 0);
	new_zygote(w);
	worker_comes(w, 1);
	close_zygote(w, w->zygote);
	w->zygote = old;
	worker_answers(w, 0, begins(w, 0, &w->scan));
	expect_done(w, 1, true, 0);
	new_zygote(w);
	worker_comes(w, 2);
	worker_is_ready(w, 2);
	assert_true(is_let_go(w, 0));
	close_zygote(w, old);
}

/* A third ends the patience with the first. */
static void
test_three(void **state)
{
	struct world *w = *state;
	int first = w->zygote, second;

	worker_comes(w, 0);
	pool_scan(w->pool, &w->scan);
	settle(w);
	new_zygote(w);
	second = w->zygote;
	new_zygote(w);
	assert_int_equal(pool_size(w->pool), 0);
	first_comes_through(w, 1);
	close_zygote(w, first);
	close_zygote(w, second);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_one_for_one),
	    TEST(test_old_ones_serve_until_one_is_ready),
	    TEST(test_a_late_worker_of_the_old_one),
	    TEST(test_numbers_are_each_zygotes_own),
	    TEST(test_old_one_dies_at_work),
	    TEST(test_new_one_dies),
	    TEST(test_three),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

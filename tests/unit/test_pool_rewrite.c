/* The pool while a worker sends a rewritten message ahead of its result. */
#include "tests/unit/pool_world.h"

static void
send_rewrite(struct world *w, int i, uint64_t scan, size_t n, char end)
{
	char *bytes = mem_alloc(n);

	bytes[n - 1] = end;
	assert_int_equal(
	    channel_send_now(w->workers[i], WORKER_REWRITE, scan, span_of(bytes, n), NULL), 0);
	mem_free(bytes);
	settle(w);
}

/* Its pieces come before the result, which has them together; those of one message are not the next one's. */
static void
test_rewrite(void **state)
{
	struct world *w = *state;
	uint64_t scan;

	scan = first_begins(w, 0);
	send_rewrite(w, 0, scan, SCAN_REWRITE_PIECE, 'a');
	send_rewrite(w, 0, scan, 5, 'b');
	assert_int_equal(w->n_done, 0);
	worker_answers(w, 0, scan);
	expect_done(w, 1, true, 0);
	assert_int_equal(w->rewrite_n, SCAN_REWRITE_PIECE + 5);
	assert_int_equal(w->rewrite_end, 'b');
	worker_answers(w, 0, begins(w, 0, &w->second));
	expect_done(w, 2, true, 0);
	assert_int_equal(w->rewrite_n, 0);
}

/* The asker has gone: nobody keeps the pieces for the next one. */
static void
test_rewrite_for_nobody(void **state)
{
	struct world *w = *state;
	uint64_t scan;

	scan = first_begins(w, 0);
	send_rewrite(w, 0, scan, 5, 'a');
	pool_cancel(&w->scan);
	worker_answers(w, 0, scan);
	worker_answers(w, 0, begins(w, 0, &w->second));
	expect_done(w, 1, true, 0);
	assert_int_equal(w->rewrite_n, 0);
}

/* As much as may be, and one byte more: nonsense, and tried again. */
static void
test_rewrite_too_large(void **state)
{
	struct world *w = *state;
	uint64_t scan;

	scan = first_begins(w, 0);
	for (int i = 0; i < SCAN_REWRITE_MAX / SCAN_REWRITE_PIECE; i++)
		send_rewrite(w, 0, scan, SCAN_REWRITE_PIECE, 'a');
	send_rewrite(w, 0, scan, 1, 'b');
	assert_int_equal(w->n_done, 0);
	worker_answers(w, 0, scan);
	expect_kill(w, 0);
	assert_int_equal(w->n_done, 0);
	first_comes_through(w, 1);
	assert_int_equal(w->rewrite_n, 0);
}

/* Behind a piece that is not whole there is no other: nobody sends it byte by byte. */
static void
test_rewrite_in_crumbs_kills(void **state)
{
	struct world *w = *state;
	uint64_t scan = first_begins(w, 0);

	send_rewrite(w, 0, scan, SCAN_REWRITE_PIECE, 'a');
	send_rewrite(w, 0, scan, 1, 'b');
	expect_nothing(w, w->zygote);
	send_rewrite(w, 0, scan, 1, 'c');
	expect_kill(w, 0);
	zygote_tells_death(w, 0, -1, scan);
	first_comes_through(w, 1);
	assert_int_equal(w->rewrite_n, 0);
}

static void
test_rewrite_out_of_turn_kills(void **state)
{
	struct world *w = *state;

	worker_comes(w, 0);
	send_rewrite(w, 0, 1, 5, 'a');
	expect_kill(w, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_rewrite),
	    TEST(test_rewrite_for_nobody),
	    TEST(test_rewrite_too_large),
	    TEST(test_rewrite_in_crumbs_kills),
	    TEST(test_rewrite_out_of_turn_kills),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Workers that end while the pool counts on them: what is heard first, and whose fault it is. */
#include "tests/unit/pool_world.h"

/* Its result is read before its death is believed, in whichever order the two are heard. */
static void
test_death_heard_before_the_result(void **state)
{
	struct world *w = *state;
	uint64_t scan;

	worker_comes(w, 0);
	worker_comes(w, 1);
	for (int i = 0; i < 2; i++) {
		pool_scan(w->pool, &w->scan);
		pool_scan(w->pool, &w->second);
		settle(w);
		scan = expect_scan(w, i, SPAN("first"), 0);
		(void)expect_scan(w, 1 - i, SPAN("second"), 0);
		zygote_says_death(w, i, &(struct worker_death){.filter = -1});
		worker_says_result(w, i, scan);
		settle(w);
		expect_done(w, (unsigned)i + 1, true, 0);
		expect_nothing(w, w->workers[1 - i]);
		pool_cancel(&w->second);
		if (i == 0) {
			zygote_tells_death(w, 1, -1, 0);
			worker_comes(w, 1);
			worker_comes(w, 0);
		}
	}
}

/* As a zygote does it: whoever follows is announced with the death, and what the dead one has said last is
 * heard in between. */
static void
test_death_and_birth_at_once(void **state)
{
	struct world *w = *state;
	int ends[2], fds[CHANNEL_FDS] = {-1, -1};
	uint64_t scan;

	scan = first_begins(w, 0);
	pool_scan(w->pool, &w->second);
	zygote_says_death(w, 0, &(struct worker_death){.filter = -1});
	channel_pair(ends);
	fds[0] = ends[0];
	w->workers[1] = ends[1];
	assert_int_equal(channel_send_now(w->zygote, FILTER_WORKER, 1, (struct span){0}, fds), 0);
	(void)close(ends[0]);
	assert_int_equal(
	    channel_send_now(w->workers[0], WORKER_LEAVING, 0, (struct span){0}, NULL), 0);
	worker_says_result(w, 0, scan);
	settle(w);
	expect_done(w, 1, true, 0);
	assert_int_equal(pool_size(w->pool), 1);
	worker_answers(w, 1, expect_scan(w, 1, SPAN("second"), 0));
	expect_done(w, 2, true, 0);
}

/* A worker that goes without having begun is neither its message's fault nor a filter's. */
static void
test_leaving_without_the_message(void **state)
{
	struct world *w = *state;

	pool_scan(w->pool, &w->scan);
	for (int i = 0; i < POOL_DEATHS_MAX - 1; i++) {
		worker_comes(w, i);
		(void)expect_scan(w, i, SPAN("first"), 0);
		zygote_says_death(w, i, &(struct worker_death){.filter = -1});
		settle(w);
		assert_int_equal(w->n_done, 0);
	}
	worker_comes(w, WORKERS - 1);
	worker_answers(w, WORKERS - 1, expect_scan(w, WORKERS - 1, SPAN("first"), 0));
	expect_done(w, 1, true, 0);
}

/* But not for ever, and one that could not start says why nobody gets further. */
static void
test_leaving_is_bounded(void **state)
{
	static const struct {
		struct worker_death death;
		int deaths;
	} rows[] = {{{.filter = -1}, POOL_DEATHS_MAX}, {{.filter = -1, .exit_status = 4}, 2}};
	struct world *w = *state;

	for (size_t k = 0; k < 2; k++) {
		pool_scan(w->pool, &w->scan);
		for (int i = 0; i < rows[k].deaths; i++) {
			assert_int_equal(w->n_done, k);
			worker_comes(w, i);
			(void)expect_scan(w, i, SPAN("first"), 0);
			zygote_says_death(w, i, &rows[k].death);
			settle(w);
		}
		expect_done(w, (unsigned)k + 1, false, UINT32_MAX);
	}
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_death_heard_before_the_result),
	    TEST(test_death_and_birth_at_once),
	    TEST(test_leaving_without_the_message),
	    TEST(test_leaving_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

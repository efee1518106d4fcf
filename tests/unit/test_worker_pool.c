/* The pool against a scripted zygote and scripted workers on socket pairs. */
#include "tests/unit/pool_world.h"

static void
test_result_passes(void **state)
{
	struct world *w = *state;
	uint64_t scan;

	worker_comes(w, 0);
	assert_int_equal(pool_size(w->pool), 1);
	assert_int_equal(pool_idle(w->pool), 1);
	pool_scan(w->pool, &w->scan);
	settle(w);
	assert_int_equal(pool_idle(w->pool), 0);
	scan = expect_scan(w, 0, SPAN("first"), 0);
	worker_answers(w, 0, scan);
	expect_done(w, 1, true, 0);
	assert_int_equal(pool_idle(w->pool), 1);
	assert_true(begins(w, 0, &w->second) != scan);
}

static void
test_one_message_a_worker(void **state)
{
	struct world *w = *state;

	worker_comes(w, 0);
	pool_scan(w->pool, &w->scan);
	pool_scan(w->pool, &w->second);
	settle(w);
	worker_answers(w, 0, expect_scan(w, 0, SPAN("first"), 0));
	worker_answers(w, 0, expect_scan(w, 0, SPAN("second"), 0));
	expect_done(w, 2, true, 0);
}

static void
test_one_death_gives_a_second_try(void **state)
{
	struct world *w = *state;
	uint64_t scan;

	scan = first_begins(w, 0);
	worker_dies(w, 0, 1, scan);
	assert_int_equal(w->n_done, 0);
	assert_int_equal(pool_size(w->pool), 0);
	first_comes_through(w, 1);
}

/* The second death in one filter: the chain runs without it, and the caller is told. */
static void
test_same_filter_twice_is_skipped(void **state)
{
	struct world *w = *state;

	pool_scan(w->pool, &w->scan);
	for (int i = 0; i < 2; i++) {
		worker_comes(w, i);
		worker_dies(w, i, 1, expect_scan(w, i, SPAN("first"), 0));
	}
	worker_comes(w, 2);
	worker_answers(w, 2, expect_scan(w, 2, SPAN("first"), 1U << 1));
	expect_done(w, 1, true, 1U << 1);
}

static void
test_two_filters_once_each_are_not_skipped(void **state)
{
	struct world *w = *state;

	pool_scan(w->pool, &w->scan);
	for (int i = 0; i < 2; i++) {
		worker_comes(w, i);
		worker_dies(w, i, i, expect_scan(w, i, SPAN("first"), 0));
	}
	first_comes_through(w, 2);
}

/* A message that asked for a skip before is asked anew without it. */
static void
test_a_new_scan_forgets_the_old(void **state)
{
	struct world *w = *state;

	test_same_filter_twice_is_skipped(state);
	worker_answers(w, 2, begins(w, 2, &w->scan));
	expect_done(w, 2, true, 0);
}

static void
test_death_outside_a_filter_twice_fails_all(void **state)
{
	struct world *w = *state;

	pool_scan(w->pool, &w->scan);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(w->n_done, 0);
		worker_comes(w, i);
		worker_dies(w, i, -1, expect_scan(w, i, SPAN("first"), 0));
	}
	expect_done(w, 1, false, UINT32_MAX);
}

/* The zygote speaks of another scan, or of a filter that the flow does not have: no filter is blamed. */
static void
test_death_of_another_scan_blames_nobody(void **state)
{
	struct world *w = *state;

	pool_scan(w->pool, &w->scan);
	worker_comes(w, 0);
	worker_dies(w, 0, 1, expect_scan(w, 0, SPAN("first"), 0) + 1);
	worker_comes(w, 1);
	worker_dies(w, 1, 2, expect_scan(w, 1, SPAN("first"), 0));
	expect_done(w, 1, false, UINT32_MAX);
}

static void
test_deaths_are_bounded(void **state)
{
	struct world *w = *state;

	pool_scan(w->pool, &w->scan);
	for (int i = 0; i < POOL_DEATHS_MAX; i++) {
		assert_int_equal(w->n_done, 0);
		worker_comes(w, i);
		worker_dies(w, i, 0, expect_scan(w, i, SPAN("first"), i < 2 ? 0 : 1));
	}
	expect_done(w, 1, false, UINT32_MAX);
	worker_comes(w, WORKERS - 1);
	expect_nothing(w, w->workers[WORKERS - 1]);
}

static void
test_death_before_the_channel_closes(void **state)
{
	struct world *w = *state;

	zygote_tells_death(w, 0, 0, first_begins(w, 0));
	first_comes_through(w, 1);
}

static void
test_death_of_an_idle_or_unknown_worker(void **state)
{
	struct world *w = *state;

	worker_comes(w, 0);
	worker_comes(w, 1);
	worker_dies(w, 0, -1, 0);
	zygote_tells_death(w, 99, -1, 0);
	assert_int_equal(pool_size(w->pool), 1);
	worker_answers(w, 1, begins(w, 1, &w->scan));
	expect_done(w, 1, true, 0);
}

static void
test_zygote_dies(void **state)
{
	struct world *w = *state;

	worker_comes(w, 0);
	pool_scan(w->pool, &w->scan);
	pool_scan(w->pool, &w->second);
	settle(w);
	(void)expect_scan(w, 0, SPAN("first"), 0);
	(void)close(w->zygote);
	settle(w);
	assert_int_equal(pool_size(w->pool), 0);
	assert_int_equal(w->n_done, 0);
	new_zygote(w);
	worker_comes(w, 1);
	worker_answers(w, 1, expect_scan(w, 1, SPAN("first"), 0));
	worker_answers(w, 1, expect_scan(w, 1, SPAN("second"), 0));
	expect_done(w, 2, true, 0);
}

/* One of several workers is idle when the zygote goes: it may not be given the other's message. */
static void
test_zygote_dies_with_idle_workers(void **state)
{
	struct world *w = *state;

	for (int i = 0; i < 3; i++)
		worker_comes(w, i);
	pool_scan(w->pool, &w->scan);
	settle(w);
	(void)close(w->zygote);
	settle(w);
	assert_int_equal(pool_size(w->pool), 0);
	new_zygote(w);
	first_comes_through(w, 3);
}

static void
test_zygote_is_replaced(void **state)
{
	struct world *w = *state;
	int old = w->zygote;

	worker_comes(w, 0);
	pool_scan(w->pool, &w->scan);
	settle(w);
	new_zygote(w);
	(void)close(old);
	first_comes_through(w, 1);
}

static void
test_nonsense_kills_and_tries_again(void **state)
{
	struct world *w = *state;
	struct message m;

	worker_comes(w, 0);
	pool_scan(w->pool, &w->scan);
	settle(w);
	assert_int_equal(channel_send_now(w->workers[0], WORKER_RESULT,
			     expect_scan(w, 0, SPAN("first"), 0), SPAN("nonsense"), NULL),
	    0);
	settle(w);
	expect_kill(w, 0);
	assert_int_equal(w->n_done, 0);
	first_comes_through(w, 1);
	assert_int_equal(
	    channel_receive(w->workers[0], &m, &w->buf, 0), -E_CLOSED); /* it is to die */
	pool_scan(w->pool, &w->second);
	worker_dies(w, 0, -1, 0);
	expect_done(w, 1, true, 0);
	worker_answers(w, 1, expect_scan(w, 1, SPAN("second"), 0));
}

static void
test_nonsense_twice_fails_all(void **state)
{
	struct world *w = *state;

	pool_scan(w->pool, &w->scan);
	for (int i = 0; i < 2; i++) {
		worker_comes(w, i);
		assert_int_equal(channel_send_now(w->workers[i], WORKER_RESULT,
				     expect_scan(w, i, SPAN("first"), 0), SPAN("x"), NULL),
		    0);
		settle(w);
		expect_kill(w, i);
	}
	expect_done(w, 1, false, UINT32_MAX);
}

static void
test_result_out_of_turn_kills(void **state)
{
	struct world *w = *state;
	uint64_t scan;

	worker_comes(w, 0);
	worker_answers(w, 0, 1);
	expect_kill(w, 0);
	assert_int_equal(w->n_done, 0);
	worker_comes(w, 1);
	worker_dies(w, 0, -1, 0);
	scan = begins(w, 1, &w->scan);
	worker_answers(w, 1, scan + 7);
	expect_kill(w, 1);
	assert_int_equal(w->n_done, 0);
}

/* What nobody has to say is not listened to for long: front has other work. */
static void
test_chatter_kills(void **state)
{
	static const struct {
		uint16_t before, type;
	} rows[] = {{0, 999}, {0, WORKER_SCAN}, {WORKER_READY, WORKER_READY},
	    {WORKER_LEAVING, WORKER_LEAVING}};
	struct world *w = *state;

	for (int i = 0; i < (int)(sizeof(rows) / sizeof(rows[0])); i++) {
		worker_comes(w, i);
		if (rows[i].before != 0)
			worker_says_only(w, i, rows[i].before, 0);
		settle(w);
		expect_nothing(w, w->zygote);
		worker_says_only(w, i, rows[i].type, 0);
		settle(w);
		expect_kill(w, i);
		/* It is not heard any more; its message goes on when it is dead. */
		assert_int_equal(
		    channel_send_now(w->workers[i], WORKER_READY, 0, (struct span){0}, NULL),
		    -E_CLOSED);
		zygote_tells_death(w, i, -1, 0);
	}
	assert_int_equal(pool_size(w->pool), 0);
}

/* With a message in hand, too; which then is another's. */
static void
test_chatter_at_work_kills(void **state)
{
	struct world *w = *state;
	uint64_t scan = first_begins(w, 0);

	worker_says_only(w, 0, WORKER_REWRITE, scan);
	settle(w);
	expect_kill(w, 0);
	assert_int_equal(w->n_done, 0);
	zygote_tells_death(w, 0, -1, scan);
	first_comes_through(w, 1);
}

/* A worker that breaks the protocol, or closes its channel, and lives on would be a lost place. */
static void
test_closed_channel_kills(void **state)
{
	struct world *w = *state;

	worker_comes(w, 0);
	worker_closes(w, 0);
	expect_kill(w, 0);
	assert_int_equal(pool_size(w->pool), 1);
	pool_scan(w->pool, &w->scan);
	zygote_tells_death(w, 0, -1, 0);
	assert_int_equal(pool_size(w->pool), 0);
	worker_comes(w, 1);
	(void)expect_scan(w, 1, SPAN("first"), 0);
	assert_int_equal(write(w->workers[1], "x", 1), 1);
	settle(w);
	expect_kill(w, 1);
}

static void
test_pickup(void **state)
{
	struct world *w = *state;

	worker_comes(w, 0);
	worker_comes(w, 1);
	pool_scan(w->pool, &w->scan);
	pool_scan(w->pool, &w->second);
	settle(w);
	(void)expect_scan(w, 0, SPAN("first"), 0); /* worker 1 does not even read */
	pass_time(w, POOL_PICKUP_MS - 1);
	expect_nothing(w, w->zygote);
	pass_time(w, 1);
	expect_kill(w, 1);
	expect_nothing(w, w->zygote);
	worker_dies(w, 1, -1, 0);
	worker_comes(w, 2);
	worker_answers(w, 2, expect_scan(w, 2, SPAN("second"), 0));
	expect_done(w, 1, true, 0);
}

static void
test_deadline_while_waiting(void **state)
{
	struct world *w = *state;
	int64_t limit_ms = POOL_WAIT_MS + 2 * 2 * DEADLINE_MS;

	pool_scan(w->pool, &w->scan);
	pass_time(w, limit_ms - 1);
	assert_int_equal(w->n_done, 0);
	pass_time(w, 1);
	expect_done(w, 1, false, UINT32_MAX);
	worker_comes(w, 0);
	expect_nothing(w, w->workers[0]);
}

static void
test_deadline_while_scanning_kills(void **state)
{
	struct world *w = *state;
	uint64_t scan;

	scan = first_begins(w, 0);
	pass_time(w, POOL_WAIT_MS + 2 * 2 * DEADLINE_MS);
	expect_done(w, 1, false, UINT32_MAX);
	expect_kill(w, 0);
	worker_answers(w, 0, scan); /* too late, and for nobody */
	expect_done(w, 1, false, UINT32_MAX);
}

static void
test_cancel_while_waiting(void **state)
{
	struct world *w = *state;

	pool_scan(w->pool, &w->scan);
	pool_scan(w->pool, &w->second);
	pool_cancel(&w->scan);
	pool_cancel(&w->scan); /* harmless */
	worker_comes(w, 0);
	worker_answers(w, 0, expect_scan(w, 0, SPAN("second"), 0));
	expect_done(w, 1, true, 0);
}

static void
test_cancel_while_scanning(void **state)
{
	struct world *w = *state;
	uint64_t scan;

	worker_comes(w, 0);
	pool_scan(w->pool, &w->scan);
	pool_scan(w->pool, &w->second);
	settle(w);
	scan = expect_scan(w, 0, SPAN("first"), 0);
	pool_cancel(&w->scan);
	settle(w);
	expect_nothing(w, w->workers[0]); /* still busy for nobody */
	worker_answers(w, 0, scan);
	assert_int_equal(w->n_done, 0);
	worker_answers(w, 0, expect_scan(w, 0, SPAN("second"), 0));
	expect_done(w, 1, true, 0);
}

static void
test_cancelled_scan_dies_with_its_worker(void **state)
{
	struct world *w = *state;
	uint64_t scan;

	scan = first_begins(w, 0);
	pool_cancel(&w->scan);
	worker_dies(w, 0, 0, scan);
	worker_comes(w, 1);
	expect_nothing(w, w->workers[1]);
	assert_int_equal(w->n_done, 0);
}

static void
test_leaving_worker_gets_no_more(void **state)
{
	struct world *w = *state;
	uint64_t scan;

	scan = first_begins(w, 0);
	worker_says_only(w, 0, WORKER_LEAVING, 0);
	worker_answers(w, 0, scan);
	expect_done(w, 1, true, 0);
	pool_scan(w->pool, &w->second);
	settle(w);
	expect_nothing(w, w->workers[0]);
	worker_comes(w, 1);
	(void)expect_scan(w, 1, SPAN("second"), 0);
}

/* Whoever has taken it over would not say that it leaves. */
static void
test_worker_that_stays_is_killed(void **state)
{
	struct world *w = *state;

	worker_comes(w, 0);
	for (int i = 1; i <= WORKER_MESSAGES; i++) {
		pool_scan(w->pool, &w->scan);
		settle(w);
		worker_answers(w, 0, expect_scan(w, 0, SPAN("first"), 0));
		expect_done(w, (unsigned)i, true, 0);
		if (i == WORKER_MESSAGES - 1)
			assert_int_equal(pool_idle(w->pool), 1);
	}
	expect_kill(w, 0);
	pool_scan(w->pool, &w->second);
	settle(w);
	expect_nothing(w, w->workers[0]);
	worker_dies(w, 0, -1, 0);
	worker_comes(w, 1);
	(void)expect_scan(w, 1, SPAN("second"), 0);
}

/* The same of one that says nothing else and lets its time pass. */
static void
test_worker_that_grows_old_is_killed(void **state)
{
	struct world *w = *state;

	worker_answers(w, 0, first_begins(w, 0));
	pass_time(w, POOL_AGE_MAX_MS - 1);
	worker_answers(w, 0, begins(w, 0, &w->scan));
	expect_nothing(w, w->zygote);
	pass_time(w, 1);
	worker_answers(w, 0, begins(w, 0, &w->scan));
	expect_done(w, 3, true, 0); /* it may be slow and honest */
	expect_kill(w, 0);
	pool_scan(w->pool, &w->second);
	settle(w);
	expect_nothing(w, w->workers[0]);
}

static void
expect_policy(struct world *w, int i, uint64_t version, struct span text)
{
	struct message m;
	struct span mapped;

	assert_int_equal(channel_receive(w->workers[i], &m, &w->buf, 0), 0);
	assert_int_equal(m.type, WORKER_POLICY);
	assert_int_equal(m.id, version);
	assert_int_equal(channel_map(m.fds[0], 1024, &mapped), 0);
	assert_true(span_eq(mapped, text));
	channel_unmap(&mapped);
	(void)close(m.fds[0]);
}

static void
test_policies_come_before_scans(void **state)
{
	struct world *w = *state;
	uint64_t scan;

	pool_set_policy(w->pool, 1, SPAN("one"));
	pool_hold_policy(w->pool, 1); /* of the session that asks */
	pool_set_policy(w->pool, 2, SPAN("two"));
	pool_scan(w->pool, &w->scan);
	worker_comes(w, 0);
	expect_policy(w, 0, 2, SPAN("two")); /* the current one, for those to come */
	expect_policy(w, 0, 1, SPAN("one"));
	scan = expect_scan(w, 0, SPAN("first"), 0);
	pool_set_policy(w->pool, 3, SPAN("three")); /* while it works */
	settle(w);
	expect_policy(w, 0, 3, SPAN("three"));
	pool_scan(w->pool, &w->second);
	worker_answers(w, 0, scan);
	(void)expect_scan(w, 0, SPAN("second"), 0); /* it has "one" already */
}

/* A session that outlives many policies still has its own asked, however many came since. */
static void
test_old_policies_live_with_their_sessions(void **state)
{
	static const struct span text = {"p", 1};
	struct world *w = *state;

	pool_set_policy(w->pool, 1, text);
	pool_hold_policy(w->pool, 1);
	worker_comes(w, 0);
	expect_policy(w, 0, 1, text);
	for (uint64_t v = 2; v <= WORKER_POLICIES + 1; v++)
		pool_set_policy(w->pool, v, text);
	settle(w);
	for (uint64_t v = 2; v <= WORKER_POLICIES + 1; v++)
		expect_policy(w, 0, v, text);
	pool_scan(w->pool, &w->scan); /* the worker has forgotten the first by now */
	settle(w);
	expect_policy(w, 0, 1, text);
	(void)expect_scan(w, 0, SPAN("first"), 0);
	pool_release_policy(w->pool, 1);
}

static void
test_hostile_zygote(void **state)
{
	struct world *w = *state;

	assert_int_equal(channel_send_now(w->zygote, FILTER_WORKER, 1, (struct span){0}, NULL), 0);
	assert_int_equal(channel_send_now(w->zygote, FILTER_DIED, 1, SPAN("x"), NULL), 0);
	assert_int_equal(channel_send_now(w->zygote, 999, 1, SPAN("x"), NULL), 0);
	settle(w);
	assert_int_equal(pool_size(w->pool), 0);
	for (int i = 0; i < POOL_WORKERS_MAX + 1; i++) {
		int at = i % 2;

		worker_comes(w, at);
		(void)close(w->workers[at]);
		w->workers[at] = -1;
	}
	assert_int_equal(pool_size(w->pool), POOL_WORKERS_MAX);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static const struct conf_filter *works[4];
static unsigned n_works;

static void
on_works(void *arg, const struct conf_filter *filter)
{
	(void)arg;
	works[n_works++] = filter;
}

/* Whoever has mail held for a filter hears when a message has come through it, and when there are new
 * databases; a zygote cannot make it say more. */
static void
test_works_again(void **state)
{
	struct world *w = *state;
	int before;

	n_works = 0;
	pool_on_breaker(w->pool, &(struct breakers_events){.on_works = on_works});
	pool_watch(w->pool, &looks);
	worker_answers(w, 0, first_begins(w, 0));
	assert_int_equal(n_works, 2);
	assert_null(works[0]); /* the zygote's first worker: its databases are new */
	assert_ptr_equal(works[1], &looks);
	worker_answers(w, 0, begins(w, 0, &w->scan));
	worker_comes(w, 1);
	assert_int_equal(n_works, 2); /* once */
	before = w->zygote;
	new_zygote(w);
	settle(w);
	assert_int_equal(n_works, 2);
	worker_comes(w, 2);
	assert_int_equal(n_works, 3);
	assert_null(works[2]);
	(void)close(before);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_result_passes),
	    TEST(test_one_message_a_worker),
	    TEST(test_one_death_gives_a_second_try),
	    TEST(test_same_filter_twice_is_skipped),
	    TEST(test_two_filters_once_each_are_not_skipped),
	    TEST(test_a_new_scan_forgets_the_old),
	    TEST(test_death_outside_a_filter_twice_fails_all),
	    TEST(test_death_of_another_scan_blames_nobody),
	    TEST(test_deaths_are_bounded),
	    TEST(test_death_before_the_channel_closes),
	    TEST(test_death_of_an_idle_or_unknown_worker),
	    TEST(test_zygote_dies),
	    TEST(test_zygote_dies_with_idle_workers),
	    TEST(test_zygote_is_replaced),
	    TEST(test_nonsense_kills_and_tries_again),
	    TEST(test_nonsense_twice_fails_all),
	    TEST(test_result_out_of_turn_kills),
	    TEST(test_chatter_kills),
	    TEST(test_chatter_at_work_kills),
	    TEST(test_closed_channel_kills),
	    TEST(test_pickup),
	    TEST(test_deadline_while_waiting),
	    TEST(test_deadline_while_scanning_kills),
	    TEST(test_cancel_while_waiting),
	    TEST(test_cancel_while_scanning),
	    TEST(test_cancelled_scan_dies_with_its_worker),
	    TEST(test_leaving_worker_gets_no_more),
	    TEST(test_worker_that_stays_is_killed),
	    TEST(test_worker_that_grows_old_is_killed),
	    TEST(test_policies_come_before_scans),
	    TEST(test_old_policies_live_with_their_sessions),
	    TEST(test_hostile_zygote),
	    TEST(test_works_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

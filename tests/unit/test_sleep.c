/* Messages that only wait for their time: out of memory, and back as they were. */
#include "tests/unit/delivery_world.h"

#include <stdio.h>

static const struct commit_rcpt two_ways[] = {RCPT("ok@example.org", "exchange"),
    {.address = {"b@example.org", 13}, .gateway = {"exchange", 8}, .copy = 2}};

static struct queue_item *
first_item(void)
{
	struct queue_cursor c;
	struct queue_item *item;

	queue_cursor_start(d.queue, &c);
	item = LIST_ENTRY(c.next, struct queue_item, node);
	queue_cursor_end(&c);
	return item;
}

static bool
is_asleep(void)
{
	return first_item()->entry == NULL;
}

static void
defer_one(const struct commit_rcpt *rcpts, size_t n)
{
	fakes[0].mail = fakes[1].mail = "451 4.7.1 later\r\n";
	accept_mail(SENDER, false, rcpts, n);
	run();
}

static void
test_sleeps_and_wakes(void **state)
{
	struct buf before = BUF_INIT(65536), after = BUF_INIT(65536);

	(void)state;
	defer_one(good, 1);
	assert_true(is_asleep());
	show_entry(&before, mail(), true, (struct span){0}); /* awake for it */
	assert_false(is_asleep());
	deliver_rest(&d, mail());
	assert_true(is_asleep());
	show_entry(&after, mail(), true, (struct span){0});
	assert_true(span_eq(buf_span(&before), buf_span(&after)));
	assert_non_null(strstr(before.p, "451 4.7.1 later"));
	buf_free(&before);
	buf_free(&after);
}

static void
test_its_time_comes(void **state)
{
	(void)state;
	defer_one(good, 1);
	run_at(5 * MINUTE_MS - 1);
	assert_true(is_asleep());
	fakes[0].mail = "250 ok\r\n";
	run_at(5 * MINUTE_MS);
	assert_int_equal(queue_count(d.queue), 0);
	assert_int_equal(fake_spool.n_forgotten, 1);
}

/* Two legs, each with a time of its own. */
static void
test_two_legs(void **state)
{
	(void)state;
	defer_one(two_ways, 2);
	assert_true(is_asleep());
	assert_int_equal(mail()->n_legs, 2);
	assert_int_equal(mail()->legs[0].state, LEG_DEFERRED);
	queue_undefer(d.queue, &mail()->legs[1]);
	queue_defer(d.queue, &mail()->legs[1], clock_mono_ms() + MINUTE_MS);
	deliver_rest(&d, mail());
	assert_true(is_asleep());
	fakes[0].mail = "250 ok\r\n";
	run_at(MINUTE_MS);
	assert_int_equal(fakes[0].n_messages, 3); /* two of them lone dots */
	assert_int_equal(mail()->rcpts[0].state, RCPT_WAITING);
	assert_int_equal(mail()->rcpts[1].state, RCPT_DELIVERED);
	run_at(5 * MINUTE_MS);
	assert_int_equal(queue_count(d.queue), 0);
}

/* An admin's retry is in no note: the time is kept all the same. */
static void
test_sooner_than_noted(void **state)
{
	(void)state;
	defer_one(good, 1);
	queue_undefer(d.queue, &mail()->legs[0]);
	queue_defer(d.queue, &mail()->legs[0], clock_mono_ms() + 10);
	deliver_rest(&d, mail());
	assert_true(is_asleep());
	fakes[0].mail = "250 ok\r\n";
	run_at(10);
	assert_int_equal(queue_count(d.queue), 0);
}

static void
test_held_sleeps(void **state)
{
	(void)state;
	accept_mail(SENDER, false, lost, 1);
	run();
	assert_true(is_asleep());
	run_at(48 * (int64_t)HOUR_MS);
	assert_true(is_asleep());
	assert_string_equal(show_state(mail()), "held");
}

/* While the disk takes no notes, memory is the only place where they are. */
static void
test_not_without_its_note(void **state)
{
	(void)state;
	fake_spool.is_full = true;
	defer_one(good, 1);
	assert_false(is_asleep());
}

static void
test_totals_stay(void **state)
{
	struct queue_totals awake, asleep;

	(void)state;
	defer_one(two_ways, 2);
	queue_totals(d.queue, clock_wall_ms(), &asleep);
	(void)mail();
	queue_totals(d.queue, clock_wall_ms(), &awake);
	assert_memory_equal(&awake, &asleep, sizeof(awake));
	assert_int_equal(awake.messages, 1);
	assert_int_equal(awake.deferred, 1);
	assert_int_equal(awake.tries[0], 2);
	deliver_rest(&d, mail());
	fakes[0].mail = "250 ok\r\n";
	run_at(5 * MINUTE_MS);
	queue_totals(d.queue, clock_wall_ms(), &awake);
	assert_int_equal(awake.messages + awake.deferred + awake.held + awake.bytes, 0);
	assert_int_equal(awake.tries[0] + awake.tries[1], 0);
}

static void
test_recovered_asleep(void **state)
{
	struct spool_message *m = &fake_spool.messages[0];

	(void)state;
	defer_one(good, 1);
	delivery_free(&d);
	start_delivery();
	deliver_recover(&d, m, span_str(m->id), buf_span(&m->envelope), buf_span(&m->note));
	assert_true(is_asleep());
	assert_int_equal(mail()->legs[0].attempts, 1);
	fakes[0].mail = "250 ok\r\n";
	deliver_rest(&d, mail());
	run_at(5 * MINUTE_MS);
	assert_int_equal(queue_count(d.queue), 0);
}

/* The disk does not give it back: it is tried again a minute later, and nothing is lost. */
static void
test_unreadable(void **state)
{
	(void)state;
	defer_one(good, 1);
	fake_spool.is_unreadable = true;
	fakes[0].mail = "250 ok\r\n";
	assert_null(mail());
	run_at(5 * MINUTE_MS);
	assert_int_equal(queue_count(d.queue), 1);
	assert_string_not_equal(problem, "");
	fake_spool.is_unreadable = false;
	run_at(6 * MINUTE_MS);
	assert_int_equal(queue_count(d.queue), 0);
}

static void
accept_many(unsigned from, unsigned n)
{
	char id[SPOOL_ID_MAX];

	for (unsigned i = from; i < from + n; i++)
		accept_one(span_of(id, (size_t)snprintf(id, sizeof(id), "MANY%u", i)), SENDER,
		    false, good, 1);
}

/* The end of the process frees them all: the sanitizers and tear_down look.  So many that in lists and
 * tables they are neighbours. */
static void
test_some_asleep_some_awake_at_the_end(void **state)
{
	enum { EACH = 20 };

	(void)state;
	fakes[0].mail = fakes[1].mail = "451 4.7.1 later\r\n";
	accept_many(0, EACH);
	run();
	assert_true(is_asleep());
	accept_many(EACH, EACH);
	assert_int_equal(queue_count(d.queue), 2 * EACH);
}

/* What the policy holds never meets a gateway. */
static void
test_held_from_the_start(void **state)
{
	static const struct commit_rcpt held[] = {
	    {.address = {"h@example.org", 13}, .gateway = {"exchange", 8}, .copy = 3}};

	(void)state;
	accept_mail(SENDER, false, held, 1);
	assert_true(is_asleep());
	assert_string_equal(show_state(mail()), "held");
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {TEST(test_sleeps_and_wakes), TEST(test_its_time_comes),
	    TEST(test_two_legs), TEST(test_sooner_than_noted), TEST(test_held_sleeps),
	    TEST(test_not_without_its_note), TEST(test_totals_stay), TEST(test_recovered_asleep),
	    TEST(test_unreadable), TEST(test_some_asleep_some_awake_at_the_end),
	    TEST(test_held_from_the_start)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What is held to be filtered again: when that is, and when it is over. */
#include "tests/unit/hold_world.h"

/* --- when ---------------------------------------------------------------------------------------- */

static void
test_by_the_curve(void **state)
{
	static struct held_room room;
	static const int64_t times_ms[] = {5, 10, 25, 40, 55};
	struct held h;

	(void)state;
	accept_held(2);
	run();
	assert_held();
	assert_int_equal(front.n, 0);
	assert_int_equal(fakes[0].n_connections, 0);
	for (size_t i = 0; i < 5; i++) {
		run_at(times_ms[i] * MINUTE_MS - 1);
		assert_int_equal(front.n, i);
		run_at(times_ms[i] * MINUTE_MS);
		assert_int_equal(front.n, i + 1);
		assert_held();
		says(COPY_HOLD);
		run();
		assert_int_equal(mail()->hold.tries, i + 1);
		assert_true(span_eq(rcpt_reply(mail(), &mail()->rcpts[1]), SPAN("so it was")));
	}
	assert_int_equal(held_get(buf_span(&front.payload), &h, &room), 0);
	assert_true(span_eq(h.received, SPAN(RECEIVED)) && span_eq(h.id, SPAN("MAIL1")));
	assert_true(span_eq(buf_span(&front.file), SPAN(SECTION BODY)));
	assert_int_equal(h.section, sizeof(SECTION) - 1);
	assert_true(span_eq(h.facts.helo, SPAN("h")));
	assert_int_equal(h.n_rcpts, 2);
	assert_int_equal(fake_spool.n, 1);
}

/* Whoever is held for something hears of it, and nobody else. */
static void
test_signals(void **state)
{
	static const struct {
		const char *waits_for, *signal;
		bool is_policy, is_asked;
	} rows[] = {
	    {"av", "av", false, true},
	    {"av", "other", false, false},
	    {"av", "", false, true}, /* perhaps any */
	    {"*", "other", false, true},
	    {"", "av", false, false}, /* a rule holds it */
	    {"", "", false, false},
	    {"", "", true, true},
	    {"av", "", true, false},
	};
	char id[] = "MAIL0";

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		unsigned before = front.n;

		id[4] = (char)('0' + i);
		accept_held_for(span_str(id), SENDER, span_str(rows[i].waits_for), two, 1);
		run();
		hold_signal(&d, span_str(rows[i].signal), rows[i].is_policy);
		run();
		if (front.n - before != rows[i].is_asked)
			fail_msg("row %zu", i);
		if (!rows[i].is_asked)
			deliver_now(&d, queue_find(d.queue, span_str(id)));
		run();
		says(COPY_DISCARD);
		run();
		assert_int_equal(queue_count(d.queue), 0);
	}
}

/* The fronts are asked once to say when the filter works, until they have. */
static void
test_awaited(void **state)
{
	(void)state;
	accept_held_for(SPAN("MAIL1"), SENDER, SPAN("av"), two, 1);
	accept_held_for(SPAN("MAIL2"), SENDER, SPAN("av"), two, 1);
	accept_held_for(SPAN("MAIL3"), SENDER, SPAN(""), two, 1);
	assert_int_equal(n_awaits, 1);
	assert_string_equal(awaited, "av");
	hold_signal(&d, SPAN("av"), false);
	run();
	says(COPY_HOLD); /* MAIL1: it does not */
	assert_int_equal(n_awaits, 2);
	for (int i = 0; i < 3; i++) {
		run();
		if (i > 0)
			deliver_now(
			    &d, queue_find(d.queue, i == 1 ? SPAN("MAIL1") : SPAN("MAIL3")));
		run();
		says(COPY_DISCARD);
	}
	run();
	assert_int_equal(queue_count(d.queue), 0);
	hold_signal(&d, SPAN("av"), false); /* nobody is held: it is heard all the same */
	accept_held_for(SPAN("MAIL4"), SENDER, SPAN("av"), two, 1);
	assert_int_equal(n_awaits, 3);
}

/* Success with one is a signal for the others. */
static void
test_one_for_all(void **state)
{
	(void)state;
	accept_held_for(SPAN("MAIL1"), SENDER, SPAN("av"), two, 1);
	accept_held_for(SPAN("MAIL2"), SENDER, SPAN("av"), two, 1);
	accept_held_for(SPAN("MAIL3"), SENDER, SPAN("other"), two, 1);
	retry();
	says(COPY_DELIVER);
	run();
	assert_int_equal(front.n, 2);
	says(COPY_DELIVER);
	run();
	assert_int_equal(front.n, 2);
	assert_int_equal(queue_count(d.queue), 1);
	assert_int_equal(fakes[0].n_messages, 2);
}

/* A signal does not make it hot: what was tried of late waits, the longer the oftener it was. */
static void
test_calm(void **state)
{
	int64_t at_ms = 0;

	(void)state;
	accept_held(1);
	run();
	for (uint32_t tries = 0; tries < 7; tries++) {
		hold_signal(&d, SPAN("av"), false);
		run_at(at_ms);
		assert_int_equal(front.n, tries + (hold_calm_ms(tries) == 0));
		run_at(at_ms + hold_calm_ms(tries) - 1);
		assert_int_equal(front.n, tries + (hold_calm_ms(tries) == 0));
		at_ms += hold_calm_ms(tries);
		run_at(at_ms); /* the signal is not forgotten */
		assert_int_equal(front.n, tries + 1);
		says(COPY_HOLD);
		run();
	}
	assert_int_equal(hold_calm_ms(1), HOLD_CALM_MS);
	assert_int_equal(hold_calm_ms(5), 16 * HOLD_CALM_MS);
	assert_int_equal(hold_calm_ms(UINT32_MAX), HOLD_CALM_LAST);
}

static void
test_deadly(void **state)
{
	static const enum copy_fate held[4] = {COPY_HOLD, COPY_HOLD, COPY_HOLD, COPY_HOLD};
	struct span reply;

	(void)state;
	accept_held(1);
	for (int i = 1; i <= HOLD_DEATHS_MAX; i++) {
		run_at(i * HOUR_MS);
		assert_int_equal(front.n, i);
		if (i % 2 == 0)
			again_front_lost(&d, LIFE);
		else
			front_says(held, true);
		if (i < HOLD_DEATHS_MAX)
			set_clock(i * HOUR_MS + HOLD_CALM_MS);
		run();
	}
	reply = rcpt_reply(mail(), &mail()->rcpts[0]);
	assert_non_null(memmem(reply.p, reply.n, "has cost 5 processes", 20));
	hold_signal(&d, SPAN("av"), false);
	run_at(10 * HOUR_MS);
	run_at(20 * HOUR_MS);
	assert_int_equal(front.n, HOLD_DEATHS_MAX);
	assert_held();
	retry(); /* an admin may */
	assert_int_equal(front.n, HOLD_DEATHS_MAX + 1);
	assert_int_equal(mail()->hold.deaths, 0);
	says(COPY_DELIVER);
	run();
	assert_null(mail());
}

/* Many whose time has come: some now, the others later, one after the other. */
static void
test_many(void **state)
{
	char id[16];

	(void)state;
	for (int i = 0; i < HOLD_READY_MAX + 10; i++) {
		(void)snprintf(id, sizeof(id), "MAIL%d", i);
		accept_held_for(span_str(id), SENDER, SPAN(""), two, 1);
	}
	run_at(5 * MINUTE_MS);
	for (int i = 1; i <= HOLD_READY_MAX; i++) {
		assert_int_equal(front.n, i);
		says(COPY_DISCARD);
		run();
	}
	assert_int_equal(front.n, HOLD_READY_MAX);
	run_at(5 * MINUTE_MS + HOLD_AGAIN_MS);
	for (int i = 1; i <= 10; i++) {
		assert_int_equal(front.n, HOLD_READY_MAX + i);
		says(COPY_DISCARD);
		run();
	}
	assert_int_equal(queue_count(d.queue), 0);
}

static void
test_no_front(void **state)
{
	(void)state;
	d.hold->has_fronts = false;
	accept_held(1);
	run_at(5 * MINUTE_MS);
	assert_int_equal(front.n, 0);
	d.hold->has_fronts = front.is_away = true; /* its channel is full */
	run();
	assert_int_equal(front.n, 0);
	front.is_away = false;
	run_at(5 * MINUTE_MS + HOLD_AGAIN_MS);
	assert_int_equal(front.n, 1);
	again_put_back(&d, LIFE + 1, front.job); /* of a former life */
	run();
	assert_int_equal(front.n, 1);
	again_put_back(&d, LIFE, front.job);
	assert_int_equal(mail()->hold.tries, 1);
	run_at(10 * MINUTE_MS + HOLD_AGAIN_MS - 1);
	assert_int_equal(front.n, 1);
	run_at(10 * MINUTE_MS + HOLD_AGAIN_MS);
	assert_int_equal(front.n, 2);
	/* It never answers. */
	run_at(10 * MINUTE_MS + HOLD_AGAIN_MS + HOLD_JOB_MS);
	assert_int_equal(mail()->hold.deaths, 0);
	assert_int_equal(mail()->hold.tries, 2);
	says(COPY_DELIVER); /* too late */
	assert_held();
	run_at(25 * MINUTE_MS + HOLD_AGAIN_MS + HOLD_JOB_MS);
	assert_int_equal(front.n, 3);
}

/* A flow that has left the configuration: it says so, waits as long as mail does, and is not read. */
static void
test_no_flow(void **state)
{
	struct span reply;

	(void)state;
	config.n_flows = 0;
	accept_held(1);
	run_at(5 * MINUTE_MS);
	assert_held();
	assert_int_equal(mail()->hold.tries, 1);
	reply = rcpt_reply(mail(), &mail()->rcpts[0]);
	assert_true(span_starts(reply, SPAN("its flow is not in the configuration")));
	run_at(10 * MINUTE_MS);
	assert_int_equal(mail()->hold.tries, 2);
	run_at(25 * MINUTE_MS - 1);
	assert_int_equal(mail()->hold.tries, 2);
	run_at(25 * MINUTE_MS);
	assert_int_equal(mail()->hold.tries, 3);
	assert_int_equal(front.n, 0);
	config.n_flows = 1;
	retry();
	assert_int_equal(front.n, 1);
	says(COPY_DELIVER);
	run();
	assert_null(mail());
}

/* --- its end ------------------------------------------------------------------------------------- */

static void
test_expires(void **state)
{
	static const struct commit_rcpt rcpt[] = {RCPT("x@example.org", "exchange")};

	(void)state;
	accept_held_for(SPAN("MAIL1"), SENDER, SPAN("av"), two, 1);
	accept_held_for(SPAN("MAIL2"), SPAN(""), SPAN("av"), rcpt, 1);
	front.is_away = true;
	run_at(24 * HOUR_MS - 1);
	assert_int_equal(queue_count(d.queue), 2);
	run_at(24 * HOUR_MS);
	assert_int_equal(queue_count(d.queue), 0);
	assert_true(gateway_got("time has run out"));
	assert_false(gateway_got("filter av")); /* no outsider's business */
	assert_int_equal(fake_quarantine.n, 1);
	assert_true(span_eq(fake_quarantine.letters[0].letter.id, SPAN("MAIL2")));
	assert_true(
	    span_eq(fake_quarantine.letters[0].letter.reason, SPAN("held until it expired: " WHY)));
	assert_true(
	    span_eq(buf_span(&fake_quarantine.letters[0].bytes), SPAN(RECEIVED SECTION BODY)));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    HOLD_TEST(test_by_the_curve),
	    HOLD_TEST(test_signals),
	    HOLD_TEST(test_awaited),
	    HOLD_TEST(test_one_for_all),
	    HOLD_TEST(test_calm),
	    HOLD_TEST(test_deadly),
	    HOLD_TEST(test_many),
	    HOLD_TEST(test_no_front),
	    HOLD_TEST(test_no_flow),
	    HOLD_TEST(test_expires),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

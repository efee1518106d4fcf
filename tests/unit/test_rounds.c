/* Too many recipients for one answer of front: a held message is filtered again in rounds. */
#include "tests/unit/hold_world.h"

static const struct commit_rcpt many[] = {RCPT("ok@example.org", "exchange"),
    RCPT("ok2@example.org", "exchange"), RCPT("ok3@example.org", "exchange"),
    RCPT("ok4@example.org", "exchange")};

static size_t
count_asked(void)
{
	static struct held_room room;
	struct held h;

	assert_int_equal(held_get(buf_span(&front.payload), &h, &room), 0);
	return h.n_rcpts;
}

/* What does not fit into one answer: half of them, then the others, each round its own part. */
static void
test_split(void **state)
{
	static const char *const names[] = {"MAIL1", "MAIL1-H1", "MAIL1-H2", "MAIL1-H3"};

	(void)state;
	accept_held_for(SPAN("MAIL1"), SENDER, SPAN("av"), many, 4);
	retry();
	assert_int_equal(count_asked(), 4);
	assert_names("MAIL1-H1", true);
	again_split(&d, LIFE, front.job);
	run();
	assert_int_equal(front.n, 2);
	assert_int_equal(count_asked(), 2);
	assert_names("MAIL1-H1", false);
	again_split(&d, LIFE, front.job);
	run();
	assert_int_equal(count_asked(), 1);
	says(COPY_DELIVER);
	for (unsigned i = 1; i < 4; i++) {
		run();
		assert_int_equal(fake_spool.n, 1 + i);
		assert_string_equal(fake_spool.messages[i].id, names[i]);
		assert_int_equal(mail()->rcpts[i - 1].state, RCPT_MOVED);
		assert_int_equal(front.n, 3 + i);
		assert_int_equal(count_asked(), 1);
		says(COPY_DELIVER);
	}
	run();
	assert_null(mail());
	assert_string_equal(fake_spool.messages[4].id, "MAIL1");
	assert_int_equal(fakes[0].n_messages, 4);
}

/* Who is held again in the first round does not keep the others from theirs; then all wait, and the rounds
 * were one try. */
static void
test_split_and_held(void **state)
{
	(void)state;
	accept_held_for(SPAN("MAIL1"), SENDER, SPAN("av"), many, 4);
	retry();
	again_split(&d, LIFE, front.job);
	run();
	says(COPY_HOLD);
	run();
	assert_int_equal(front.n, 3);
	assert_int_equal(count_asked(), 2);
	says(COPY_DELIVER);
	run();
	assert_int_equal(front.n, 3);
	assert_held();
	assert_int_equal(mail()->rcpts[0].state, RCPT_HELD);
	assert_int_equal(mail()->rcpts[3].state, RCPT_MOVED);
	assert_int_equal(mail()->hold.tries, 1);
	assert_true(
	    span_eq(entry_waits_for(mail()), SPAN("av"))); /* whatever the later rounds said */
	assert_int_equal(fakes[0].n_messages, 2);
	run_at(hold_calm_ms(1) - 1);
	assert_int_equal(front.n, 3);
	run_at(hold_calm_ms(1));
	assert_int_equal(front.n, 4); /* its filter works, as the second round has shown */
	assert_int_equal(count_asked(), 2);
	says(COPY_DELIVER);
	run();
	assert_null(mail());
	assert_int_equal(fakes[0].n_messages, 4);
}

/* Whatever ends a round early, none is asked about for ever and none is forgotten. */
static void
test_split_ends(void **state)
{
	(void)state;
	for (int i = 0; i < 5; i++) {
		unsigned before = front.n;

		accept_held_for(SPAN("MAIL1"), SENDER, SPAN("av"), many, 2);
		retry();
		again_split(&d, LIFE, front.job);
		run();
		assert_int_equal(front.n, before + 2);
		assert_int_equal(count_asked(), 1);
		if (i == 0)
			again_split(&d, LIFE, front.job); /* one cannot be halved */
		else if (i == 1)
			again_put_back(&d, LIFE, front.job);
		else if (i == 2)
			again_front_lost(&d, LIFE);
		else if (i == 3)
			again_split(&d, LIFE + 1, front.job); /* of another front */
		if (i < 3) {
			assert_int_equal(mail()->hold.state, HOLD_WAITING);
			assert_null(d.hold->job);
			run();
			assert_int_equal(front.n, before + 2);
			retry();
			assert_int_equal(count_asked(), 2); /* all, again */
		} else {
			assert_int_equal(mail()->hold.state, HOLD_BUSY);
		}
		assert_int_equal(order(ADMIN_DELETE), ADMIN_DONE);
		again_split(&d, LIFE, front.job);
		assert_null(d.hold->job);
		assert_null(mail());
	}
}

/* A crash between two rounds: who had theirs is in its part, who had not is asked again, and nobody twice. */
static void
test_split_crash(void **state)
{
	(void)state;
	for (int k = 0; k < 6; k++) {
		bool is_durable = k > 1, is_asked = k > 3;
		size_t first = fake_spool.n;

		set_clock(0);
		fakes[0].n_messages = 0;
		accept_held_for(SPAN("MAIL1"), SENDER, SPAN("av"), many, 4);
		retry();
		again_split(&d, LIFE, front.job);
		run();
		assert_int_equal(count_asked(), 2);
		says(COPY_DELIVER);
		fake_spool.messages[first + 1].is_committed = is_durable;
		if (is_asked)
			run(); /* its note is there, and the second round has begun */
		crash(k & 1);
		run();
		assert_int_equal(fakes[0].n_messages, is_durable ? 2 : 0);
		retry();
		assert_int_equal(count_asked(), is_durable ? 2 : 4);
		says(COPY_DELIVER);
		run();
		assert_null(mail());
		assert_int_equal(fakes[0].n_messages, 4);
		fake_spool.messages[first + 1].is_live = false;
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    HOLD_TEST(test_split),
	    HOLD_TEST(test_split_and_held),
	    HOLD_TEST(test_split_ends),
	    HOLD_TEST(test_split_crash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

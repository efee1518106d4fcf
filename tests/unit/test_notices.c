/* What senders are told of their mail, as RFC 3461 lets them ask for it, on a fake clock. */
#include "tests/unit/delivery_world.h"

static size_t
count(const char *text)
{
	size_t n = 0, length = strlen(text);

	for (int i = 0; i < 2; i++)
		for (size_t at = 0; at + length <= fakes[i].data.n; at++)
			n += memcmp(fakes[i].data.p + at, text, length) == 0;
	return n;
}

/* RFC 3461: nobody behind us confirms, so we do, once, when the last recipient is settled. */
static void
test_success_is_reported_at_the_end(void **state)
{
	struct commit_rcpt rcpts[] = {RCPT("ok@example.org", "exchange"),
	    RCPT("fine@example.org", "exchange"), RCPT("bad@example.org", "exchange")};

	(void)state;
	rcpts[0].notify = NOTIFY_SUCCESS | NOTIFY_FAILURE;
	rcpts[2].notify = NOTIFY_SUCCESS;
	fakes[0].bad_rcpt = fakes[1].bad_rcpt = "451 4.2.1 later\r\n";
	accept_mail(SENDER, false, rcpts, 3);
	run();
	assert_int_equal(mail()->rcpts[0].state, RCPT_RELAYED);
	assert_int_equal(mail()->rcpts[1].state, RCPT_DELIVERED);
	assert_int_equal(fake_spool.n, 1);
	fakes[0].bad_rcpt = fakes[1].bad_rcpt = "250 ok\r\n";
	run_at(5 * MINUTE_MS);
	assert_null(mail());
	assert_int_equal(queue_count(d.queue), 0);
	assert_int_equal(fake_spool.n, 2);
	assert_int_equal(count("Action: relayed"), 2);
	assert_int_equal(count("Action: failed"), 0);
	assert_int_equal(count("rfc822; fine@"), 0);
	assert_int_equal(count("Subject: Your message was passed on"), 1);
}

/* One report for failure and success; it is durable before the message goes. */
static void
test_success_beside_failure(void **state)
{
	struct commit_rcpt rcpts[] = {
	    RCPT("ok@example.org", "exchange"), RCPT("bad@example.org", "exchange")};
	struct spool_message *m = &fake_spool.messages[0];

	(void)state;
	rcpts[0].notify = rcpts[1].notify = NOTIFY_SUCCESS | NOTIFY_FAILURE;
	accept_mail(SENDER, false, rcpts, 2);
	run_with(false); /* the report does not reach the disk, and we are killed */
	assert_int_equal(mail()->rcpts[0].state, RCPT_RELAYED);
	delivery_free(&d);
	start_delivery();
	deliver_recover(&d, m, span_str(m->id), buf_span(&m->envelope), buf_span(&m->note));
	assert_int_equal(mail()->rcpts[0].state, RCPT_RELAYED);
	fake_spool.messages[1].is_committed = true; /* lost */
	run();
	assert_null(mail());
	assert_int_equal(count("Action: relayed"), 1);
	assert_int_equal(count("Action: failed"), 1);
	assert_int_equal(count("Subject: Your message could not be delivered"), 1);
}

/* A gateway that offers DSN is told what was asked for, and reports itself. */
static void
test_success_is_passed_on(void **state)
{
	const struct buf *said = &fakes[0].commands;
	struct commit_rcpt rcpt = good[0];

	(void)state;
	fakes[0].ehlo = "250-fake\r\n250-DSN\r\n250 8BITMIME\r\n";
	rcpt.notify = NOTIFY_SUCCESS;
	rcpt.orcpt = SPAN("rfc822;list@example.org");
	accept_mail(SENDER, false, &rcpt, 1);
	run();
	assert_null(mail());
	assert_int_equal(fake_spool.n, 1); /* we report nothing */
	assert_non_null(memmem(said->p, said->n, " NOTIFY=SUCCESS", 15));
	assert_non_null(memmem(said->p, said->n, " ORCPT=rfc822;list@example.org", 30));
	/* Our own reports ask for none (RFC 3461 section 4.1). */
	fakes[0].rcpt = "550 5.1.1 no\r\n";
	rcpt.notify = NOTIFY_FAILURE;
	accept_mail(SENDER, false, &rcpt, 1);
	for (int i = 0; i < 200; i++)
		loop_turn(loop, 1);
	commit(true);
	fakes[0].rcpt = "250 ok\r\n";
	run();
	assert_non_null(memmem(said->p, said->n, " NOTIFY=NEVER", 13));
}

static void
test_no_success_report(void **state)
{
	struct commit_rcpt rcpt = good[0];

	(void)state;
	rcpt.notify = NOTIFY_SUCCESS;
	accept_mail(SENDER, true, &rcpt, 1); /* tagged: perhaps forged */
	run();
	accept_mail(SPAN("x@elsewhere.example"), false, &rcpt, 1); /* no way to it */
	run();
	accept_mail(SPAN(""), false, &rcpt, 1);
	run();
	assert_int_equal(fake_spool.n, 3);
	assert_int_equal(fake_spool.n_forgotten, 3);
	assert_int_equal(fakes[0].n_messages, 3);
}

/* NOTIFY without FAILURE: nobody is told, so it stays here. */
static void
test_unwanted_failure_is_put_aside(void **state)
{
	static const unsigned notify[] = {NOTIFY_NEVER, NOTIFY_SUCCESS, NOTIFY_DELAY};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct commit_rcpt rcpt = bad[0];
		char id[] = "ID0";

		id[2] = (char)('1' + i);
		rcpt.notify = notify[i];
		accept_one(span_str(id), SENDER, false, &rcpt, 1);
		run();
		assert_false(queue_has(d.queue, span_str(id)));
		assert_int_equal(fake_quarantine.n, i + 1);
	}
	assert_int_equal(fake_spool.n, 3);
}

static void
test_delay_as_asked(void **state)
{
	struct commit_rcpt rcpts[] = {
	    RCPT("ok@example.org", "exchange"), RCPT("fine@example.org", "exchange")};

	(void)state;
	rcpts[0].notify = NOTIFY_FAILURE;
	rcpts[1].notify = NOTIFY_DELAY | NOTIFY_FAILURE;
	fakes[0].rcpt = fakes[1].rcpt = "451 4.2.1 full\r\n";
	accept_mail(SENDER, false, rcpts, 2);
	run();
	for (int64_t ms = 0; ms < 6 * HOUR_MS; ms += 15 * MINUTE_MS)
		run_at(ms);
	assert_int_equal(fake_spool.n, 2); /* one notice in all that time */
	assert_true(memmem(fake_spool.messages[1].bytes.p, fake_spool.messages[1].bytes.n,
			"rfc822; fine@", 13) != NULL);
	assert_null(memmem(
	    fake_spool.messages[1].bytes.p, fake_spool.messages[1].bytes.n, "rfc822; ok@", 11));
}

/* Behind a server that is busy for a day, and never asked for. */
static void
test_busy_warns_and_expires(void **state)
{
	char id[] = "ID_";

	(void)state;
	fakes[0].banner = fakes[1].banner = ""; /* takes the connection, and keeps silent */
	gateways[0].timeouts.greeting_ms = 100 * HOUR_MS;
	for (int i = 0; i < 2 * CONNECTIONS; i++) {
		id[2] = (char)('A' + i);
		accept_one(span_str(id), SENDER, false, good, 1);
	}
	accept_mail(SENDER, false, good, 1);
	for (int i = 0; i < 200; i++)
		loop_turn(loop, 1);
	assert_int_equal(mail()->legs[0].state, LEG_READY);
	for (int64_t ms = 0; ms <= 4 * HOUR_MS - 1; ms += HOUR_MS - 1) {
		set_clock(ms);
		loop_turn(loop, 1);
	}
	assert_false(mail()->is_warned);
	set_clock(4 * HOUR_MS + MINUTE_MS);
	for (int i = 0; i < 5; i++)
		loop_turn(loop, 1);
	assert_true(mail()->is_warned);
	assert_int_equal(mail()->legs[0].state, LEG_READY); /* it waits on */
	assert_true(mail()->is_notice_in_flight);
	set_clock(24 * HOUR_MS - 1);
	commit(true);
	loop_turn(loop, 1);
	assert_non_null(mail());
	set_clock(24 * HOUR_MS + MINUTE_MS);
	for (int i = 0; i < 5; i++) {
		loop_turn(loop, 1);
		commit(true);
	}
	assert_null(mail()); /* reported */
	gateways[0].timeouts = conf_timeouts_default;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_success_is_reported_at_the_end),
	    TEST(test_success_beside_failure),
	    TEST(test_success_is_passed_on),
	    TEST(test_no_success_report),
	    TEST(test_unwanted_failure_is_put_aside),
	    TEST(test_delay_as_asked),
	    TEST(test_busy_warns_and_expires),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What is kept from its recipients: which letters it becomes, and what a failure leaves behind. */
#include "tests/unit/delivery_world.h"

static const struct fake_letter *
letter(size_t i)
{
	assert_true(i < fake_quarantine.n);
	return &fake_quarantine.letters[i];
}

static void
assert_letter(size_t i, const char *id, const char *reason, size_t n_rcpts)
{
	const struct letter *l = &letter(i)->letter;

	assert_true(span_eq(l->id, span_str(id)));
	assert_true(span_eq(l->reason, span_str(reason)));
	assert_int_equal(l->n_rcpts, n_rcpts);
}

static void
test_by_policy(void **state)
{
	struct commit_rcpt rcpts[] = {
	    RCPT("a@example.org", "exchange"), RCPT("b@example.org", "other")};

	(void)state;
	rcpts[0].copy = rcpts[1].copy = 1;
	rcpts[0].notify = NOTIFY_FAILURE;
	rcpts[0].orcpt = SPAN("rfc822;A");
	accept_mail(SENDER, false, rcpts, 2);
	assert_non_null(mail()); /* until its file is durable */
	assert_int_equal(fake_spool.n_forgotten, 0);
	run();
	assert_null(mail());
	assert_int_equal(fake_spool.n_forgotten, 1);
	assert_int_equal(fakes[0].n_connections, 0);
	assert_int_equal(fake_quarantine.n, 1);
	assert_letter(0, "MAIL1", "suspicious: antivirus", 2);
	assert_true(span_eq(letter(0)->letter.subject, SPAN("kept")));
	assert_true(span_eq(letter(0)->letter.flow, SPAN("inbound")));
	assert_true(span_eq(letter(0)->letter.from, SENDER));
	assert_true(span_eq(letter(0)->letter.rcpts[1].gateway, SPAN("other")));
	assert_int_equal(letter(0)->letter.rcpts[0].notify, NOTIFY_FAILURE);
	assert_true(span_eq(letter(0)->letter.rcpts[0].orcpt, SPAN("rfc822;A")));
	assert_true(span_eq(buf_span(&letter(0)->bytes), SPAN("Subject: kept\r\n\r\ntext\r\n")));
}

/* One recipient's copy is kept, the other's is delivered: neither waits for the other. */
static void
test_beside_a_delivery(void **state)
{
	struct commit_rcpt rcpts[] = {
	    RCPT("ok@example.org", "exchange"), RCPT("b@example.org", "exchange")};

	(void)state;
	rcpts[1].copy = 1;
	accept_mail(SENDER, false, rcpts, 2);
	run_with(false);
	assert_int_equal(fakes[0].n_messages, 1);
	assert_int_equal(mail()->rcpts[0].state, RCPT_DELIVERED);
	assert_int_equal(mail()->rcpts[1].state, RCPT_TO_QUARANTINE);
	run();
	assert_null(mail());
	assert_letter(0, "MAIL1", "suspicious: antivirus", 1);
}

static void
check_unbounceable(struct span from, bool is_tagged)
{
	accept_mail(from, is_tagged, bad, 1);
	run();
	assert_null(mail());
	assert_letter(0, "MAIL1", "550 5.1.1 no such user", 1);
	assert_true(letter(0)->is_durable);
	assert_int_equal(fake_spool.n, 1); /* no bounce */
	assert_int_equal(fake_spool.n_forgotten, 1);
}

static void
test_null_sender(void **state)
{
	(void)state;
	check_unbounceable(SPAN(""), false);
}

static void
test_tagged(void **state)
{
	(void)state;
	check_unbounceable(SENDER, true);
}

/* Two reasons are two letters, one after the other, each with a name of its own. */
static void
test_two_reasons(void **state)
{
	struct commit_rcpt rcpts[] = {RCPT("bad@example.org", "exchange"),
	    RCPT("a@example.org", "exchange"), RCPT("b@example.org", "exchange")};

	(void)state;
	rcpts[1].copy = rcpts[2].copy = 1;
	accept_mail(SPAN(""), false, rcpts, 3);
	run();
	assert_null(mail());
	assert_int_equal(fake_quarantine.n, 2);
	assert_letter(0, "MAIL1", "suspicious: antivirus", 2);
	assert_letter(1, "MAIL1-3", "550 5.1.1 no such user", 1);
}

/* What cannot be written stays in the spool, and is tried again each minute. */
static void
test_a_full_disk(void **state)
{
	struct commit_rcpt rcpt = good[0];

	(void)state;
	rcpt.copy = 1;
	accept_mail(SENDER, false, &rcpt, 1);
	for (int i = 1; i <= 3; i++) {
		assert_true(fake_quarantine_end(E_FULL));
		assert_int_equal(mail()->rcpts[0].state, RCPT_TO_QUARANTINE);
		assert_int_equal(fake_spool.n_forgotten, 0);
		run_with(false);
		assert_int_equal(fake_quarantine.n, i);
		set_clock(i * MINUTE_MS);
		run_with(false);
		assert_int_equal(fake_quarantine.n, i + 1);
	}
	run();
	assert_null(mail());
	assert_letter(3, "MAIL1", "suspicious: antivirus", 1);
}

static void
test_wait_for_room(void **state)
{
	struct commit_rcpt rcpt = good[0];

	(void)state;
	rcpt.copy = 1;
	fake_quarantine.is_full = true;
	accept_mail(SENDER, false, &rcpt, 1);
	run();
	assert_non_null(mail());
	assert_int_equal(fake_quarantine.n, 0);
	fake_quarantine.is_full = false;
	run_at(2000);
	assert_null(mail());
	assert_int_equal(fake_quarantine.n, 1);
}

/* Damage is never put into a letter. */
static void
test_damaged(void **state)
{
	struct commit_rcpt rcpt = good[0];

	(void)state;
	rcpt.copy = 1;
	accept_mail(SENDER, false, &rcpt, 1);
	fake_spool.messages[0].is_damaged = true;
	run();
	assert_string_equal(show_state(mail()), "held");
	assert_false(letter(0)->is_durable);
	assert_non_null(strstr(problem, "cannot be read back"));
}

/* A large one is checked over some turns before its letter is begun. */
static void
test_large(void **state)
{
	struct commit_rcpt rcpt = good[0];

	(void)state;
	rcpt.copy = 1;
	fake_spool.messages[0].verify_steps = 5;
	accept_mail(SENDER, false, &rcpt, 1);
	assert_int_equal(fake_quarantine.n, 0);
	run();
	assert_int_equal(fake_spool.messages[0].verify_steps, 0);
	assert_int_equal(fake_quarantine.n, 1);
	assert_null(mail());
	fake_spool.messages[1].verify_steps = 5;
	fake_spool.messages[1].is_damaged = true;
	accept_mail(SENDER, false, &rcpt, 1);
	run();
	assert_string_equal(show_state(mail()), "held");
	assert_false(letter(1)->is_durable);
}

/* The role dies before a letter is durable, or before it hears so: it is written again, under a name
 * that is taken only by what the spool has still. */
static void
test_again_after_a_crash(void **state)
{
	struct commit_rcpt rcpts[] = {
	    RCPT("bad@example.org", "exchange"), RCPT("a@example.org", "exchange")};
	struct spool_message *m = &fake_spool.messages[0];

	(void)state;
	rcpts[1].copy = 1;
	accept_mail(SPAN(""), false, rcpts, 2);
	run_with(false); /* the gateway has refused the first */
	assert_letter(0, "MAIL1", "suspicious: antivirus", 1);
	for (size_t crash = 1; crash <= 2; crash++) {
		delivery_free(&d);
		start_delivery();
		deliver_recover(&d, m, span_str(m->id), buf_span(&m->envelope), buf_span(&m->note));
		run_with(false);
		assert_letter(crash, "MAIL1", "550 5.1.1 no such user", 1);
	}
	fake_quarantine.letters[0].is_put = fake_quarantine.letters[1].is_put = false; /* lost */
	run();
	assert_null(mail());
	assert_int_equal(fake_quarantine.n, 4);
	assert_letter(3, "MAIL1-2", "suspicious: antivirus", 1);
	assert_int_equal(fakes[0].data.n, 0);
	assert_int_equal(fake_spool.n, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_by_policy),
	    TEST(test_beside_a_delivery),
	    TEST(test_null_sender),
	    TEST(test_tagged),
	    TEST(test_two_reasons),
	    TEST(test_a_full_disk),
	    TEST(test_wait_for_room),
	    TEST(test_damaged),
	    TEST(test_large),
	    TEST(test_again_after_a_crash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

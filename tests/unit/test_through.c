/* accept = "through": the gateway's answer comes before ours, and nothing is lost when it does not. */
#include "tests/unit/delivery_world.h"

#include <sys/mman.h>

enum { WAIT_MS = 20000 };

static const struct commit_copy copies[] = {
    {.prefix = {"Subject: hello\r\n", 16}},
    {.prefix = {"Subject: tagged\r\n", 17}, .is_tagged = true},
};

static int
set_up_through(void **state)
{
	(void)set_up(state);
	gateways[0].accept = GATEWAY_THROUGH;
	gateways[0].through_wait_ms = WAIT_MS;
	return 0;
}

static struct commit
commit_of(const struct commit_rcpt *rcpts, size_t n)
{
	return (struct commit){.id = SPAN("MAIL1"),
	    .flow = SPAN("inbound"),
	    .from = SENDER,
	    .copies = copies,
	    .n_copies = 2,
	    .rcpts = rcpts,
	    .n_rcpts = n,
	    .body_size = 8,
	    .is_inline = true,
	    .body = SPAN("\r\ntext\r\n")};
}

static void
begin_with(const struct commit_rcpt *rcpts, size_t n, const struct intake_body *body)
{
	struct envelope envelope = {.flow = SPAN("inbound"),
	    .from = SENDER,
	    .received_ms = clock_wall_ms(),
	    .copies = copies,
	    .n_copies = 2,
	    .rcpts = rcpts,
	    .n_rcpts = n};
	struct arrival a = {.front_id = 7};
	struct transit *t = transit_new(SPAN("MAIL1"), &envelope, body);

	assert_non_null(t);
	through_begin(&d, &a, t, clock_mono_ms());
}

static void
begin(const struct commit_rcpt *rcpts, size_t n)
{
	const struct intake_body body = {.body = SPAN("\r\ntext\r\n"), .fd = -1, .size = 8};

	begin_with(rcpts, n, &body);
}

static void
test_fit(void **state)
{
	struct commit c = commit_of(good, 1);
	struct commit_copy held[] = {copies[0], copies[1]};

	(void)state;
	assert_true(through_is_fit(&d, &c));
	held[1].fate = COPY_QUARANTINE; /* that one needs the disk before the 250 in any case */
	c.copies = held;
	assert_false(through_is_fit(&d, &c));
	c.copies = copies;
	c.body_size = TRANSIT_BYTES_MAX;
	assert_false(through_is_fit(&d, &c));
	c.body_size = 8;
	gateways[0].accept = GATEWAY_QUEUE;
	assert_false(through_is_fit(&d, &c));
}

static void
test_taken(void **state)
{
	(void)state;
	begin(good, 1);
	assert_int_equal(answer, 0);
	run();
	assert_int_equal(answer, 250);
	assert_true(span_eq(buf_span(&fakes[0].data), SPAN("Subject: hello\r\n\r\ntext\r\n")));
	assert_int_equal(queue_count(d.queue), 0);
	assert_int_equal(fake_spool.n, 0); /* no byte was written */
}

/* A large body is in a memory file, behind a header section that is left out; two copies of it. */
static void
test_taken_from_a_file(void **state)
{
	const struct commit_rcpt two[] = {RCPT("ok@example.org", "exchange"),
	    {.address = SPAN("b@example.org"), .gateway = SPAN("exchange"), .copy = 1}};
	struct intake_body body = {.fd = memfd_create("body", MFD_CLOEXEC), .skip = 5, .size = 13};

	(void)state;
	assert_int_equal(write(body.fd, "X: 1\n\r\ntext\r\n", 13), 13);
	begin_with(two, 2, &body);
	run();
	assert_int_equal(answer, 250);
	assert_int_equal(fakes[0].n_messages, 2);
	assert_true(gateway_got("Subject: hello\r\n\r\ntext\r\n"));
	assert_true(gateway_got("Subject: tagged\r\n\r\ntext\r\n"));
	assert_int_equal(fake_spool.n, 0);
}

static void
test_refused_by_all(void **state)
{
	static const struct commit_rcpt two[] = {
	    RCPT("bad@example.org", "exchange"), RCPT("bad2@example.org", "exchange")};

	(void)state;
	fakes[0].rcpt = "550 5.1.1 no\x01such user\r\n";
	begin(two, 2);
	run();
	assert_int_equal(answer, 550);
	assert_non_null(strstr(answer_text, "such user"));
	for (const char *p = answer_text; *p != '\0'; p++)
		assert_true(*p >= ' ' && *p <= '~');
	assert_int_equal(queue_count(d.queue), 0);
	assert_int_equal(fake_spool.n, 0); /* neither kept nor bounced: the client has the answer */
}

/* What stands where an enhanced status code belongs is only passed on as one if it is one. */
static void
test_refused_with_a_code(void **state)
{
	static const struct commit_rcpt one[] = {RCPT("odd@example.org", "exchange")};
	static const struct {
		const char *reply, *enhanced, *text;
	} rows[] = {
	    {"550 5.1.1 nobody\r\n", "5.1.1", "nobody"},
	    {"550 5.7.509 no\r\n", "5.7.509", "no"},
	    {"550 4.1.1 nobody\r\n", "5.0.0", "4.1.1 nobody"},
	    {"550 5.x\x01.1 nobody\r\n", "5.0.0", "5.x?.1 nobody"},
	    {"550 5.1.1234 nobody\r\n", "5.0.0", "5.1.1234 nobody"},
	    {"550 5.01.1 nobody\r\n", "5.0.0", "5.01.1 nobody"},
	    {"550 5.1.1\r\n", "5.1.1", "Refused by the mail server behind this one"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		answer = 0;
		fakes[0].rcpt = rows[i].reply;
		begin(one, 1);
		run();
		assert_int_equal(answer, 550);
		assert_string_equal(answer_enhanced, rows[i].enhanced);
		assert_string_equal(answer_text, rows[i].text);
	}
}

/* One recipient is refused, the other not: what was taken is settled, the sender is told of the rest. */
static void
test_unequal_answers(void **state)
{
	(void)state;
	begin(mixed, 2);
	run_with(false);
	assert_int_equal(answer, 0); /* not before it is durable */
	assert_int_equal(fake_spool.n, 1);
	run();
	assert_int_equal(answer, 250);
	assert_int_equal(queue_count(d.queue), 0);
	assert_int_equal(fakes[0].n_messages, 2); /* the message and its bounce */
	assert_true(gateway_got("Final-Recipient: rfc822; bad@example.org"));
	assert_int_equal(fake_spool.n_forgotten, 2);
}

static void
test_deferred_is_kept(void **state)
{
	(void)state;
	fakes[0].mail = fakes[1].mail = "451 4.7.1 later\r\n";
	begin(good, 1);
	run();
	assert_int_equal(answer, 250);
	assert_string_equal(show_state(mail()), "deferred");
	assert_null(mail()->transit);
	fakes[0].mail = "250 ok\r\n";
	run_at(5 * MINUTE_MS);
	assert_null(mail());
	assert_true(span_eq(buf_span(&fakes[0].data), SPAN("Subject: hello\r\n\r\ntext\r\n")));
	assert_int_equal(fake_spool.n_forgotten, 1);
}

static void
test_dead_gateway(void **state)
{
	(void)state;
	fakes[0].banner = fakes[1].banner = NULL;
	begin(good, 1);
	run();
	assert_int_equal(answer, 250);
	assert_int_equal(fake_spool.n, 1);
	assert_non_null(mail());
	assert_non_null(mail()->msg);
}

/* Until the gateways have heard all; the clock stands still. */
static void
run_turns(int n, bool commits)
{
	for (int i = 0; i < n; i++) {
		loop_turn(loop, 1);
		if (commits)
			commit(true);
	}
}

static void
end_waiting_reply(const char *reply)
{
	(void)fake_say(&fakes[0].connections[0], reply);
	run();
}

/* The wait is over: durable, then 250; the late reply settles what was spooled, and nothing is sent
 * a second time meanwhile. */
static void
test_late_reply(void **state)
{
	(void)state;
	fakes[0].final = "";
	begin(good, 1);
	run_turns(50, true);
	assert_int_equal(answer, 0);
	set_clock(WAIT_MS);
	run_turns(10, false);
	assert_int_equal(answer, 0); /* the disk has not said so yet */
	assert_int_equal(fake_spool.n, 1);
	run_turns(10, true);
	assert_int_equal(answer, 250);
	assert_int_equal(queue_count(d.queue), 1);
	assert_int_equal(fakes[0].n_messages + fakes[1].n_messages, 1);
	end_waiting_reply("250 2.0.0 at last\r\n");
	assert_int_equal(queue_count(d.queue), 0);
	assert_int_equal(fake_spool.n_forgotten, 1);
	assert_int_equal(fakes[0].n_messages + fakes[1].n_messages, 1);
}

/* It says yes while the disk is at work: that is as good. */
static void
test_reply_while_stored(void **state)
{
	(void)state;
	fakes[0].final = "";
	begin(good, 1);
	run_turns(50, true);
	set_clock(WAIT_MS);
	run_turns(10, false);
	(void)fake_say(&fakes[0].connections[0], "250 2.0.0 at last\r\n");
	run_with(false);
	assert_int_equal(answer, 250);
	run();
	assert_int_equal(queue_count(d.queue), 0);
	assert_int_equal(fake_spool.n_forgotten, 1);
}

static void
test_disk_fails(void **state)
{
	(void)state;
	fakes[0].mail = fakes[1].mail = "451 4.7.1 later\r\n";
	begin(good, 1);
	run_with(false);
	commit(false);
	assert_int_equal(answer, 451);
	assert_int_equal(queue_count(d.queue), 0); /* the client has it */
}

/* The disk fails while a server still has the message in hand: what it says is of no interest. */
static void
test_disk_fails_meanwhile(void **state)
{
	(void)state;
	fakes[0].final = "";
	begin(good, 1);
	run_turns(50, true);
	set_clock(WAIT_MS);
	run_turns(10, false);
	commit(false);
	assert_int_equal(answer, 451);
	assert_int_equal(queue_count(d.queue), 1);
	end_waiting_reply("451 no\r\n");
	assert_int_equal(queue_count(d.queue), 0);
	assert_int_equal(fakes[0].n_messages, 1);
	assert_int_equal(fakes[1].n_messages, 0); /* the client sends it again: nobody else does */
}

static void
test_hurry(void **state)
{
	(void)state;
	fakes[0].final = "";
	begin(good, 1);
	run_turns(50, true);
	through_hurry(&d);
	run_turns(5, true);
	assert_int_equal(answer, 250);
	through_hurry(&d); /* nothing waits any more */
	end_waiting_reply("250 ok\r\n");
	assert_int_equal(queue_count(d.queue), 0);
}

/* The role ends with messages on their way. */
static void
test_end(void **state)
{
	(void)state;
	fakes[0].final = "";
	begin(good, 1);
	run_turns(50, false);
	assert_int_equal(answer, 0);
}

int
main(void)
{
#define TEST(t) cmocka_unit_test_setup_teardown(t, set_up_through, tear_down)
	const struct CMUnitTest tests[] = {TEST(test_fit), TEST(test_taken),
	    TEST(test_taken_from_a_file), TEST(test_refused_by_all), TEST(test_refused_with_a_code),
	    TEST(test_unequal_answers), TEST(test_deferred_is_kept), TEST(test_dead_gateway),
	    TEST(test_late_reply), TEST(test_reply_while_stored), TEST(test_disk_fails),
	    TEST(test_disk_fails_meanwhile), TEST(test_hurry), TEST(test_end)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

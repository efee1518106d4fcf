/* What a session may cost: memory, and the time of who says much or little and sends nothing. */
#include "tests/unit/session_world.h"

/* A command must be whole in its time: a byte now and then gives it no more, another command does. */
static void
test_a_command_that_never_ends(void **state)
{
	int64_t half_ms = conf_limits_default.command_ms / 2;

	(void)state;
	begin_session("192.0.2.1");
	say(GREETING);
	(void)heard();
	for (int i = 0; i < 4; i++) {
		set_clock(now_ms + half_ms);
		say("NO");
		assert_string_equal(heard(), "");
		set_clock(now_ms + half_ms - 1);
		say("OP\r\n");
		expect("250 ");
	}
	say("N");
	set_clock(now_ms + half_ms);
	say("O");
	set_clock(now_ms + half_ms - 1);
	say("O");
	assert_string_equal(heard(), "");
	set_clock(now_ms + 1);
	expect("421 4.4.2 ");
}

/* Who says much and sends nothing pays for it as for mistakes; a message makes up for all of it. */
static void
test_commands_that_change_nothing(void **state)
{
	static const char *const idle[] = {
	    "NOOP\r\n", "RSET\r\n", "VRFY x\r\n", "HELP\r\n", "HELO client.example\r\n"};
	enum { IDLE = sizeof(idle) / sizeof(idle[0]) };
	uint32_t max = conf_limits_default.mistakes;

	(void)state;
	begin_session("192.0.2.1");
	for (int turns = 0; turns < 2; turns++) {
		for (size_t i = 0; i < WALK_IDLE_MAX - 1; i++) {
			say(idle[i % IDLE]);
			expect("2");
		}
		say(GREETING MAIL RCPT "DATA\r\n");
		assert_non_null(strstr(heard(), "354 "));
		say(BODY);
		spool_takes();
		expect("250 ");
	}
	for (size_t i = 0; i < WALK_IDLE_MAX + max - 1; i++) {
		say(idle[i % IDLE]);
		expect("2");
		set_clock(now_ms + WALK_MISTAKE_MS);
		turn();
	}
	say("NOOP\r\n");
	assert_non_null(strstr(heard(), "421 4.7.0 Too many mistakes"));
}

static void
test_no_memory_at_mail(void **state)
{
	(void)state;
	begin_session("192.0.2.1");
	say(GREETING);
	(void)heard();
	content_set_budget(0);
	say(MAIL);
	expect("452 4.3.1 ");
	content_set_budget(CONTENT_BYTES_MAX);
	say(MAIL);
	expect("250 2.1.0 ");
}

/* Said after the true end, and the session goes on. */
static void
test_no_memory_in_data(void **state)
{
	(void)state;
	begin_message();
	say("Subject: x\r\n\r\nhello\r\n");
	content_set_budget(content_held());
	for (int i = 0; i < 100; i++)
		say("hello again, and again, and again\r\n");
	assert_string_equal(heard(), "");
	say(".\r\n");
	expect("452 4.3.1 ");
	assert_int_equal(content_held(), 0);
	content_set_budget(CONTENT_BYTES_MAX);
	say(MAIL);
	expect("250 2.1.0 ");
}

/* A client that reads no replies has them counted in the memory budget, and is the first to go. */
static void
test_no_memory_for_replies(void **state)
{
	struct session *s;
	bool was_told = false;

	(void)state;
	begin_session("192.0.2.1");
	s = LIST_ENTRY(front.sessions.next, struct session, node);
	say(GREETING);
	for (int i = 0; i < 10000 && s->connection.held <= WALK_BUFFERS_SPARED; i++)
		say(TOO_LARGE TOO_LARGE TOO_LARGE TOO_LARGE TOO_LARGE TOO_LARGE TOO_LARGE);
	assert_true(s->connection.held > WALK_BUFFERS_SPARED);
	assert_int_equal(content_held(), s->connection.held);
	content_set_budget(1);
	say("NOOP\r\n");
	assert_true(s->connection.held <= WALK_BUFFERS_SPARED);
	for (int i = 0; i < 100 && !was_told; i++)
		was_told = strstr(heard(), "421 4.3.1 No room for your session") != NULL;
	assert_true(was_told);
}

/* What a waiting session costs beside the kernel's part and the process's tables. */
static void
test_a_waiting_session_is_small(void **state)
{
	struct session *s;

	(void)state;
	begin_session("192.0.2.1");
	say(GREETING "NOOP\r\nRSET\r\n");
	(void)heard();
	s = LIST_ENTRY(front.sessions.next, struct session, node);
	assert_int_equal(s->state, SESSION_COMMAND);
	assert_null(s->checks);
	assert_null(s->transaction);
	assert_null(s->connected);
	assert_null(s->verdict);
	assert_null(s->answers);
	assert_int_equal(s->connection.held, 0);
	assert_int_equal(s->connection.in.cap + s->connection.out.cap, 0);
}

/* What is remembered of a client that is refused later is counted, and little. */
static void
test_verdicts_are_counted(void **state)
{
	enum { KEPT_MAX = 2048 };
	uint64_t kept;
	struct policy_errors errors = {0};

	(void)state;
	snapshot_release(&front.snapshot);
	front.snapshot =
	    snapshot_parse(SPAN("reject client 192.0.2.1\n"), "p", NULL, NULL, &errors);
	assert_non_null(front.snapshot);
	pool_set_policy(workers, snapshot_version(front.snapshot), (struct span){0});
	flow.connect = CONNECT_ACCESS;
	begin_session("192.0.2.1");
	expect("220 ");
	kept = content_held();
	assert_true(kept > 0 && kept < KEPT_MAX);
	say(GREETING MAIL RCPT);
	assert_non_null(strstr(heard(), "550 5.7.1"));
	assert_true(content_held() >= kept);
	hang_up();
	assert_int_equal(content_held(), 0);
}

/* Recipients are memory as well: counted with the rest, and refused when there is none left. */
static void
test_no_memory_for_recipients(void **state)
{
	enum { LONG = 400, BUDGET = 64 * 1024 };
	char orcpt[LONG + 1], line[LONG + 100];
	uint64_t before;
	int n = 0;

	(void)state;
	memset(orcpt, 'x', LONG);
	orcpt[LONG] = '\0';
	(void)snprintf(line, sizeof(line), "RCPT TO:<bob@example.org> ORCPT=rfc822;%s\r\n", orcpt);
	flow.max_recipients = 1000;
	content_set_budget(BUDGET);
	begin_session("192.0.2.1");
	say(GREETING MAIL);
	(void)heard();
	before = content_held();
	assert_true(before >= sizeof(struct transaction));
	for (say(line); strncmp(heard(), "250 ", 4) == 0; say(line)) {
		assert_true(content_held() >= before + (uint64_t)n * LONG);
		n++;
	}
	if (strncmp(replies, "452 4.3.1 ", 10) != 0)
		fail_msg("recipient %d: %s", n, replies);
	assert_true(n > 10 && n < BUDGET / LONG);
	assert_true(content_held() < BUDGET + 16 * 1024);
	say("DATA\r\n"); /* those that were taken are */
	expect("354 ");
	hang_up();
	assert_int_equal(content_held(), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_a_command_that_never_ends),
	    TEST(test_commands_that_change_nothing),
	    TEST(test_no_memory_at_mail),
	    TEST(test_no_memory_in_data),
	    TEST(test_no_memory_for_replies),
	    TEST(test_a_waiting_session_is_small),
	    TEST(test_verdicts_are_counted),
	    TEST(test_no_memory_for_recipients),
	};

	return RUN(tests);
}

/* The SMTP client against a scripted gateway: every refusal at every command, every early end. */
#include "tests/unit/client_world.h"

static const struct client_rcpt three_rcpts[] = {{.address = {"ok@example.org", 14}},
    {.address = {"bad@example.org", 15}}, {.address = {"two@example.org", 15}}};

#define WITHOUT_PIPELINING "250-fake\r\n250 8BITMIME\r\n"

static void
test_accepted(void **state)
{
	const char *const ehlos[] = {FAKE_EHLO, WITHOUT_PIPELINING, "500 5.5.1 unknown\r\n"};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		t.n_ends = 0;
		t.outcome = NOT_YET;
		t.fake.ehlo = ehlos[i];
		buf_clear(&t.fake.data);
		buf_clear(&t.fake.commands);
		connect_client();
		send_to(one_rcpt, 1);
		run_until_end(1);
		assert_int_equal(t.outcome, CLIENT_ACCEPTED);
		assert_int_equal(t.code, 250);
		assert_string_equal(t.reply, "250 2.0.0 taken");
		assert_true(span_eq(
		    buf_span(&t.fake.data), SPAN("Subject: x\r\n\r\n..dot\r\n...\r\nend\r\n")));
		assert_int_equal(has_command("BODY=8BITMIME"), i < 2);
		assert_int_equal(has_command(" SIZE=29"), i == 0);
		assert_int_equal(has_command("HELO mx.example.org\r\n"), i == 2);
		assert_true(client_is_idle(t.client));
		client_free(&t.client);
	}
}

/* One reply out of step with the rest: what it does to the message. */
struct refusal_case {
	const char *name;
	size_t field; /* of struct fake */
	const char *reply;
	int outcome, code;
	bool is_over;
};

#define AT(member) offsetof(struct fake, member)

static const struct refusal_case refusals[] = {
    {"banner 554", AT(banner), "554 5.7.1 go away\r\n", CLIENT_UNREACHABLE, 554, true},
    {"banner 421", AT(banner), "421 4.3.2 busy\r\n", CLIENT_UNREACHABLE, 421, true},
    {"banner closed", AT(banner), NULL, CLIENT_UNREACHABLE, 0, true},
    {"banner garbage", AT(banner), "SSH-2.0-OpenSSH\r\n", CLIENT_UNREACHABLE, 0, true},
    {"ehlo 421", AT(ehlo), "421 4.3.2 busy\r\n", CLIENT_UNREACHABLE, 421, true},
    {"ehlo 450", AT(ehlo), "450 4.7.1 later\r\n", CLIENT_UNREACHABLE, 450, true},
    {"ehlo closed", AT(ehlo), NULL, CLIENT_UNREACHABLE, 0, true},
    {"mail 451", AT(mail), "451 4.7.1 later\r\n", CLIENT_REFUSED, 451, false},
    {"mail 550", AT(mail), "550 5.7.1 no\r\n", CLIENT_REFUSED, 550, false},
    {"mail 421", AT(mail), "421 4.3.2 down\r\n", CLIENT_LOST, 421, true},
    {"mail closed", AT(mail), NULL, CLIENT_LOST, 0, true},
    {"mail garbage", AT(mail), "hello\r\n", CLIENT_LOST, 0, true},
    {"rcpt 450", AT(rcpt), "450 4.2.1 later\r\n", CLIENT_NO_RCPT, 0, false},
    {"rcpt 550", AT(rcpt), "550 5.1.1 no\r\n", CLIENT_NO_RCPT, 0, false},
    {"rcpt 421", AT(rcpt), "421 4.3.2 down\r\n", CLIENT_LOST, 421, true},
    {"rcpt closed", AT(rcpt), NULL, CLIENT_LOST, 0, true},
    {"data 451", AT(data_reply), "451 4.3.0 later\r\n", CLIENT_REFUSED, 451, false},
    {"data 554", AT(data_reply), "554 5.5.1 no\r\n", CLIENT_REFUSED, 554, false},
    {"data 250", AT(data_reply), "250 what\r\n", CLIENT_LOST, 0, true},
    {"data closed", AT(data_reply), NULL, CLIENT_LOST, 0, true},
    {"final 452", AT(final), "452 4.3.1 full\r\n", CLIENT_REFUSED, 452, false},
    {"final 554", AT(final), "554-5.6.0 one\r\n554 5.6.0 two\r\n", CLIENT_REFUSED, 554, false},
    {"final 421", AT(final), "421 4.3.2 down\r\n", CLIENT_LOST, 421, true},
    {"final closed", AT(final), NULL, CLIENT_UNCERTAIN, 0, true},
    {"final garbage", AT(final), "\r\n\r\n", CLIENT_UNCERTAIN, 0, true},
    {"final 354", AT(final), "354 again\r\n", CLIENT_UNCERTAIN, 0, true},
};

static void
check_refusal(const struct refusal_case *c, bool is_pipelined)
{
	struct fake fresh;

	fake_init(&fresh, t.loop);
	fake_free(&t.fake);
	t.fake = fresh;
	t.fake.ehlo = is_pipelined ? FAKE_EHLO : WITHOUT_PIPELINING;
	memcpy((char *)&t.fake + c->field, &c->reply, sizeof(c->reply));
	t.n_ends = 0;
	t.n_refused = 0;
	t.outcome = NOT_YET;
	connect_client();
	send_to(one_rcpt, 1);
	run_until_end(1);
	if (t.outcome != c->outcome || t.code != c->code || t.is_over != c->is_over)
		fail_msg("%s, pipelined %d: outcome %d code %d over %d: %s", c->name, is_pipelined,
		    t.outcome, t.code, t.is_over, t.reply);
	assert_int_equal(t.n_refused, c->outcome == CLIENT_NO_RCPT);
	assert_true(t.reply[0] != '\0' || c->outcome == CLIENT_NO_RCPT);
	client_free(&t.client);
}

static void
test_refusals(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
		check_refusal(&refusals[i], true);
		check_refusal(&refusals[i], false);
	}
}

static void
test_some_recipients(void **state)
{
	const char *const ehlos[] = {FAKE_EHLO, WITHOUT_PIPELINING};

	(void)state;
	for (int i = 0; i < 2; i++) {
		t.n_ends = 0;
		t.n_refused = 0;
		t.fake.ehlo = ehlos[i];
		connect_client();
		send_to(three_rcpts, 3);
		run_until_end(1);
		assert_int_equal(t.outcome, CLIENT_ACCEPTED);
		assert_int_equal(t.n_refused, 1);
		assert_int_equal(t.refused[0], 1);
		assert_int_equal(t.refused_codes[0], 550);
		client_free(&t.client);
	}
}

static void
test_reuse(void **state)
{
	(void)state;
	connect_client();
	send_to(one_rcpt, 1);
	run_until_end(1);
	t.fake.mail = "550 5.7.1 not you\r\n";
	send_to(one_rcpt, 1);
	run_until_end(2);
	assert_int_equal(t.outcome, CLIENT_REFUSED);
	run_until_idle(); /* after RSET */
	t.fake.mail = "250 ok\r\n";
	send_to(one_rcpt, 1);
	run_until_end(3);
	assert_int_equal(t.outcome, CLIENT_ACCEPTED);
	assert_int_equal(t.fake.n_messages, 3); /* one of them the lone dot */
	assert_int_equal(t.fake.n_connections, 1);
	/* Gone between two messages: not the message's fault. */
	t.fake.mail = NULL;
	send_to(one_rcpt, 1);
	run_until_end(4);
	assert_int_equal(t.outcome, CLIENT_STALE);
	assert_null(t.client);
}

/* A server may have had enough of the connection (452 "too many messages sent"), not of the mail. */
static void
test_refused_on_reuse(void **state)
{
	const char *const ehlos[] = {FAKE_EHLO, WITHOUT_PIPELINING};

	(void)state;
	for (int i = 0; i < 2; i++) {
		t.n_ends = t.n_gone = 0;
		t.fake.ehlo = ehlos[i];
		t.fake.mail = "250 ok\r\n";
		connect_client();
		send_to(one_rcpt, 1);
		run_until_end(1);
		t.fake.mail = "452 4.5.3 Too many messages sent\r\n";
		send_to(one_rcpt, 1);
		run_until_end(2);
		assert_int_equal(t.outcome, CLIENT_STALE);
		assert_false(client_is_idle(t.client));
		run_until_end(3); /* it quits by itself */
		assert_true(has_command("QUIT\r\n"));
		assert_null(t.client);
	}
}

static void
test_quit(void **state)
{
	(void)state;
	connect_client();
	send_to(one_rcpt, 1);
	client_quit(t.client); /* the message first */
	run_until_end(2);
	assert_int_equal(t.n_ends, 1);
	assert_int_equal(t.fake.n_messages, 1);
	assert_true(has_command("QUIT\r\n"));
	assert_null(t.client);
}

static void
test_gateway_leaves_while_idle(void **state)
{
	(void)state;
	connect_client();
	run_until_idle();
	fake_close(&t.fake.connections[0]);
	run_until_end(1);
	assert_int_equal(t.n_gone, 1);
	assert_null(t.client);
}

static void
test_too_large(void **state)
{
	(void)state;
	t.fake.ehlo = "250-fake\r\n250 SIZE 28\r\n";
	connect_client();
	send_to(one_rcpt, 1);
	run_until_end(1);
	assert_int_equal(t.outcome, CLIENT_REFUSED);
	assert_int_equal(t.code, 552);
	assert_false(has_command("MAIL"));
	run_until_idle();
	t.message = span_skip(t.message, 1); /* at the limit */
	send_to(one_rcpt, 1);
	run_until_end(2);
	assert_int_equal(t.outcome, CLIENT_ACCEPTED);
}

static void
test_unreadable(void **state)
{
	(void)state;
	t.is_unreadable = true;
	connect_client();
	send_to(one_rcpt, 1);
	run_until_end(1);
	assert_int_equal(t.outcome, CLIENT_UNREADABLE);
	assert_int_equal(t.fake.n_messages, 0);
}

static void
test_lost_in_body(void **state)
{
	(void)state;
	t.fake.closes_in_data = true;
	connect_client();
	send_to(one_rcpt, 1);
	run_until_end(1);
	assert_true(t.outcome == CLIENT_UNCERTAIN || t.outcome == CLIENT_LOST);
	assert_true(t.is_over);
}

static void
test_large_message(void **state)
{
	enum { SIZE = 900000 };
	char *text = mem_alloc(SIZE);

	(void)state;
	for (size_t i = 0; i < SIZE; i++)
		text[i] = i % 79 == 77 ? '\r' : i % 79 == 78 ? '\n' : '.';
	t.message = span_of(text, SIZE); /* every line begins with a dot, the last has no CRLF */
	connect_client();
	send_to(one_rcpt, 1);
	run_until_end(1);
	assert_int_equal(t.outcome, CLIENT_ACCEPTED);
	assert_int_equal(t.fake.data.n, SIZE + SIZE / 79 + 1 + 2);
	mem_free(text);
}

/* A reply that never ends, and one that never comes. */
static void
test_endless_reply(void **state)
{
	struct buf endless = BUF_INIT(1 << 20);

	(void)state;
	for (int i = 0; i < 5000; i++)
		(void)buf_add_str(&endless, "250-more\r\n");
	(void)buf_add_char(&endless, '\0');
	t.fake.mail = endless.p;
	connect_client();
	send_to(one_rcpt, 1);
	run_until_end(1);
	assert_int_equal(t.outcome, CLIENT_LOST);
	buf_free(&endless);
}

static void
check_silence(size_t field, int64_t wait_ms, int outcome)
{
	static const char nothing[] = "";
	const char *silent = nothing;
	struct fake fresh;

	fake_init(&fresh, t.loop);
	fake_free(&t.fake);
	t.fake = fresh;
	memcpy((char *)&t.fake + field, &silent, sizeof(silent));
	t.n_ends = 0;
	clock_fake(1000, 1000);
	connect_client();
	send_to(one_rcpt, 1);
	for (int i = 0; i < 20; i++)
		loop_turn(t.loop, 0);
	clock_fake(1000 + wait_ms - 1, 1000);
	loop_turn(t.loop, 0);
	assert_int_equal(t.n_ends, 0);
	clock_fake(1000 + wait_ms, 1000);
	loop_turn(t.loop, 0);
	assert_int_equal(t.n_ends, 1);
	assert_int_equal(t.outcome, outcome);
}

static void
test_silence(void **state)
{
	static const struct conf_timeouts timeouts = {1, 20, 300, 4000, 50000};

	(void)state;
	t.options.timeouts = &timeouts;
	check_silence(AT(banner), timeouts.greeting_ms, CLIENT_UNREACHABLE);
	check_silence(AT(ehlo), timeouts.greeting_ms, CLIENT_UNREACHABLE);
	check_silence(AT(mail), timeouts.command_ms, CLIENT_LOST);
	check_silence(AT(data_reply), timeouts.command_ms, CLIENT_LOST);
	check_silence(AT(final), timeouts.final_ms, CLIENT_UNCERTAIN);
}

static void
test_refused_connection(void **state)
{
	struct fake gone;

	(void)state;
	fake_init(&gone, t.loop);
	fake_listen(&gone, 0);
	fake_free(&gone); /* nobody listens there now */
	assert_true(ip_parse(SPAN("127.0.0.1"), &t.options.ip));
	t.options.port = gone.port;
	t.client = client_new(t.loop, &t.options, &events, NULL);
	send_to(one_rcpt, 1);
	run_until_end(1);
	assert_int_equal(t.outcome, CLIENT_UNREACHABLE);
	assert_non_null(strstr(t.reply, "refused"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_accepted, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_refusals, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_some_recipients, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_reuse, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_refused_on_reuse, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_quit, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_gateway_leaves_while_idle, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_too_large, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_unreadable, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_lost_in_body, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_large_message, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_endless_reply, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_silence, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_refused_connection, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

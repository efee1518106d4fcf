/* Steps 7 and 8 together: gateways, failures, retries, bounces, on a fake clock. */
#include "relay/ipc/lookup.h"
#include "tests/unit/delivery_world.h"

static void
test_delivered(void **state)
{
	(void)state;
	accept_mail(SENDER, false, good, 1);
	run();
	assert_int_equal(fakes[0].n_messages, 1);
	assert_int_equal(fakes[1].n_messages, 0);
	assert_true(span_eq(buf_span(&fakes[0].data), SPAN("Subject: hello\r\n\r\ntext\r\n")));
	assert_int_equal(queue_count(d.queue), 0);
	assert_int_equal(fake_spool.n_forgotten, 1);
}

static void
test_next_server_at_once(void **state)
{
	const char *const banners[] = {NULL, "421 4.3.2 busy\r\n", "554 no\r\n", "what\r\n"};

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		fakes[0].banner = banners[i];
		accept_mail(SENDER, false, good, 1);
		run();
		assert_int_equal(fakes[1].n_messages, i + 1);
		assert_int_equal(queue_count(d.queue), 0);
		set_clock(now_ms + GATEWAY_BACKOFF_MAX_MS);
	}
	assert_int_equal(fakes[0].n_messages, 0);
}

/* Broken off in the middle of the transaction: the next server in the same attempt. */
static void
test_next_server_after_loss(void **state)
{
	(void)state;
	fakes[0].rcpt = NULL;
	accept_mail(SENDER, false, good, 1);
	run();
	assert_int_equal(fakes[1].n_messages, 1);
	assert_int_equal(queue_count(d.queue), 0);
}

static void
test_deferred_and_retried(void **state)
{
	(void)state;
	fakes[0].mail = fakes[1].mail = "451 4.7.1 later\r\n";
	accept_mail(SENDER, false, good, 1);
	run();
	assert_string_equal(show_state(mail()), "deferred");
	assert_int_equal(mail()->legs[0].attempts, 1);
	assert_string_equal(mail()->rcpts[0].reply, "451 4.7.1 later");
	assert_int_equal(fakes[1].n_connections, 1); /* asked in the same attempt */
	run_at(5 * MINUTE_MS - 1);
	assert_int_equal(mail()->legs[0].attempts, 1);
	run_at(5 * MINUTE_MS);
	assert_int_equal(mail()->legs[0].attempts, 2);
	run_at(20 * MINUTE_MS);
	assert_int_equal(mail()->legs[0].attempts, 3);
	fakes[0].mail = "250 ok\r\n";
	run_at(35 * MINUTE_MS); /* the last interval repeats */
	assert_null(mail());
	assert_int_equal(fakes[0].n_messages, 4); /* three of them lone dots */
	assert_int_equal(fake_spool.n_forgotten, 1);
}

static void
test_partial_failure_bounces(void **state)
{
	(void)state;
	accept_mail(SENDER, false, mixed, 2);
	run();
	assert_null(mail());
	assert_int_equal(queue_count(d.queue), 0); /* the bounce has gone out too */
	assert_int_equal(fakes[0].n_messages, 2);
	assert_true(gateway_got("Final-Recipient: rfc822; bad@example.org"));
	assert_true(gateway_got("Status: 5.1.1"));
	assert_false(gateway_got("Final-Recipient: rfc822; ok@example.org"));
	assert_true(gateway_got("Subject: hello"));
	assert_int_equal(fake_spool.n_forgotten, 2);
}

static void
test_bounce_is_durable_first(void **state)
{
	(void)state;
	accept_mail(SENDER, false, bad, 1);
	run_with(false); /* the committer does not come */
	assert_int_equal(fake_spool.n, 2);
	assert_non_null(mail());
	assert_int_equal(mail()->rcpts[0].state, RCPT_FAILED);
	commit(false); /* the disk refuses the bounce */
	assert_non_null(mail());
	assert_int_equal(mail()->rcpts[0].state, RCPT_FAILED);
	run_at(2 * MINUTE_MS); /* and takes it later */
	assert_null(mail());
	assert_true(gateway_got("Final-Recipient: rfc822; bad@example.org"));
}

static void
test_double_bounce_goes_to_postmaster(void **state)
{
	(void)state;
	accept_mail(SPAN("bad-sender@example.org"), false, bad, 1);
	run();
	assert_null(mail());
	assert_int_equal(queue_count(d.queue), 0);
	assert_int_equal(fake_spool.n, 3);
	assert_true(gateway_got("Final-Recipient: rfc822; bad-sender@example.org"));
	assert_true(memmem(fakes[0].commands.p, fakes[0].commands.n,
			"RCPT TO:<postmaster@example.org>", 32) != NULL);
}

/* A sender with no way to it: postmaster is told. */
static void
test_unroutable_sender(void **state)
{
	(void)state;
	accept_mail(SPAN("x@elsewhere.example"), false, bad, 1);
	run();
	assert_null(mail());
	assert_true(memmem(fakes[0].commands.p, fakes[0].commands.n,
			"RCPT TO:<postmaster@example.org>", 32) != NULL);
}

static void
test_nobody_to_tell(void **state)
{
	(void)state;
	config.postmaster = "postmaster@nowhere.example";
	accept_mail(SPAN("x@elsewhere.example"), false, bad, 1);
	run();
	assert_null(mail());
	assert_int_equal(fake_quarantine.n, 1);
}

static void
test_expiry_bounces(void **state)
{
	(void)state;
	fakes[0].rcpt = fakes[1].rcpt = "451 4.2.1 full\r\n";
	accept_mail(SENDER, false, good, 1);
	run();
	for (int64_t ms = 0; ms < 24 * HOUR_MS; ms += 15 * MINUTE_MS)
		run_at(ms);
	assert_non_null(mail());
	assert_true(mail()->is_warned);
	fakes[0].rcpt = fakes[1].rcpt = "250 ok\r\n"; /* for the notices */
	assert_int_equal(fake_spool.n, 2);
	fakes[0].mail = fakes[1].mail = "451 4.2.1 full\r\n";
	run_at(24 * HOUR_MS);
	assert_null(mail());
	assert_int_equal(fake_spool.n, 3);
	fakes[0].mail = fakes[1].mail = "250 ok\r\n";
	run_at(25 * HOUR_MS);
	assert_true(gateway_got("Action: delayed"));
	assert_true(gateway_got("Action: failed"));
	assert_int_equal(queue_count(d.queue), 0);
}

static void
test_uncertain_goes_to_the_next(void **state)
{
	(void)state;
	fakes[0].final = NULL;
	accept_mail(SENDER, false, good, 1);
	run();
	assert_null(mail());
	assert_int_equal(fakes[1].n_messages, 1);
}

static void
test_damaged_is_never_sent(void **state)
{
	(void)state;
	accept_mail(SENDER, false, good, 1);
	fake_spool.messages[0].is_damaged = true;
	run();
	assert_string_equal(show_state(mail()), "held");
	assert_int_equal(fakes[0].n_connections, 0);
	assert_non_null(strstr(problem, "cannot be read back"));
}

/* A large one is checked over some turns, and others go by. */
static void
test_large_is_checked_in_steps(void **state)
{
	(void)state;
	accept_mail(SENDER, false, good, 1);
	fake_spool.messages[0].verify_steps = 5;
	run();
	assert_int_equal(fake_spool.messages[0].verify_steps, 0);
	assert_null(mail());
	assert_int_equal(fakes[0].n_messages, 1);
	accept_mail(SENDER, false, good, 1);
	fake_spool.messages[1].verify_steps = 5;
	fake_spool.messages[1].is_damaged = true;
	run();
	assert_string_equal(show_state(mail()), "held");
	assert_int_equal(fakes[0].n_messages, 1);
}

static void
test_many_recipients(void **state)
{
	enum { N = 250 };
	struct commit_rcpt rcpts[N];
	size_t n = 0;

	(void)state;
	for (size_t i = 0; i < N; i++)
		rcpts[i] = good[0];
	accept_mail(SENDER, false, rcpts, N);
	run();
	assert_null(mail());
	assert_int_equal(fakes[0].n_messages, 3); /* a hundred at a time */
	for (size_t i = 0; i + 4 < fakes[0].commands.n; i++)
		n += memcmp(fakes[0].commands.p + i, "RCPT", 4) == 0;
	assert_int_equal(n, N);
}

/* One recipient that is refused for now keeps none of the others from the only server, not even
 * those of the next hundreds. */
static void
test_refused_for_now_delays_nobody(void **state)
{
	enum { N = 250 };
	struct commit_rcpt rcpts[N];
	size_t n_delivered = 0;

	(void)state;
	for (size_t i = 0; i < N; i++)
		rcpts[i] = good[0];
	rcpts[7] = bad[0];
	fakes[0].bad_rcpt = "452 4.2.2 full\r\n";
	fake_stop(&fakes[1]);
	accept_mail(SENDER, false, rcpts, N);
	run();
	assert_non_null(mail());
	for (size_t i = 0; i < N; i++)
		n_delivered += mail()->rcpts[i].state == RCPT_DELIVERED;
	assert_int_equal(n_delivered, N - 1);
	assert_int_equal(mail()->rcpts[7].state, RCPT_WAITING);
	assert_int_equal(mail()->legs[0].attempts, 1);
	assert_int_equal(fakes[0].n_messages, 3);
}

static void
test_connection_limit(void **state)
{
	enum { N = CONNECTIONS + 5 };
	char id[] = "ID_";

	(void)state;
	fakes[0].banner = ""; /* takes the connection, and keeps silent */
	for (int i = 0; i < N; i++) {
		id[2] = (char)('A' + i);
		accept_one(span_str(id), SENDER, false, good, 1);
	}
	for (int i = 0; i < 200; i++)
		loop_turn(loop, 1);
	assert_int_equal(fakes[0].n_connections, HEALTH_START); /* nothing has gone well yet */
	assert_int_equal(fakes[1].n_connections, 0);            /* busy is not down */
	run_at(conf_timeouts_default.greeting_ms);              /* but silence is */
	assert_int_equal(queue_count(d.queue), 0);
	assert_int_equal(fakes[1].n_messages, N);
	assert_true(fakes[1].n_connections <= CONNECTIONS);
}

static void
test_idle_connection_quits(void **state)
{
	(void)state;
	accept_mail(SENDER, false, good, 1);
	run();
	run_at(COURIER_IDLE_MS - 1);
	assert_null(memmem(fakes[0].commands.p, fakes[0].commands.n, "QUIT", 4));
	run_at(COURIER_IDLE_MS);
	assert_non_null(memmem(fakes[0].commands.p, fakes[0].commands.n, "QUIT", 4));
	assert_true(list_is_empty(&d.gateways[0]->connections));
	assert_int_equal(d.gateways[0]->targets[0].n_idle, 0);
	assert_int_equal(d.gateways[0]->targets[0].n_connections, 0);
}

static void
test_recovery(void **state)
{
	struct spool_message *m = &fake_spool.messages[0];

	(void)state;
	fakes[0].bad_rcpt = fakes[1].bad_rcpt = "451 4.2.1 later\r\n";
	accept_mail(SENDER, false, mixed, 2);
	run();
	assert_int_equal(mail()->rcpts[0].state, RCPT_DELIVERED);
	delivery_free(&d); /* killed, and started again */
	start_delivery();
	deliver_recover(&d, m, span_str(m->id), buf_span(&m->envelope), buf_span(&m->note));
	run();
	assert_non_null(mail());
	assert_int_equal(mail()->legs[0].attempts, 1);
	assert_int_equal(fakes[0].n_messages, 1); /* not before its time */
	fakes[0].bad_rcpt = fakes[1].bad_rcpt = "250 ok\r\n";
	run_at(5 * MINUTE_MS);
	assert_null(mail());
	assert_int_equal(fakes[0].n_messages, 2); /* only who was missing: see the commands */
	assert_null(memmem(fakes[0].commands.p + fakes[0].commands.n - 60, 60, "<ok@", 4));
}

static void
test_gateway_left_the_configuration(void **state)
{
	const struct commit_rcpt gone[] = {RCPT("ok@example.org", "old")};

	(void)state;
	accept_mail(SENDER, false, gone, 1); /* goes where example.org goes now */
	run();
	assert_int_equal(fakes[0].n_messages, 1);
	accept_mail(SENDER, false, lost, 1);
	run();
	assert_string_equal(show_state(mail()), "held");
}

static uint64_t asked[2];
static size_t n_asked;

static void
on_question(void *arg, struct message *m)
{
	(void)arg;
	assert_true(n_asked < 2);
	asked[n_asked++] = m->id;
}

static void
on_answer(void *arg, struct message *m)
{
	(void)arg;
	resolve_take(d.resolver, m);
}

static void
on_close(void *arg)
{
	(void)arg;
}

/* Both questions for the gateway's name have this answer. */
static void
answer_name(struct channel *lookup, const char *address)
{
	static struct dns_answer a;

	assert_int_equal(n_asked, 2);
	a = (struct dns_answer){.status = DNS_FOUND, .ttl_s = 300, .n_addresses = 1};
	assert_true(ip_parse(span_str(address), &a.addresses[0]));
	for (; n_asked > 0; n_asked--) {
		struct buf payload = BUF_INIT(CHANNEL_PAYLOAD_MAX);

		dns_answer_put(&payload, &a);
		channel_send(lookup, LOOKUP_ANSWER, asked[n_asked - 1], buf_span(&payload), NULL);
		buf_free(&payload);
	}
	run();
}

/* A name leads to another address while the old one is away: nobody has to see that go down first. */
static void
test_alarm_ends_with_a_new_address(void **state)
{
	static const struct channel_events our_events = {on_answer, on_close};
	static const struct channel_events their_events = {on_question, on_close};
	struct channel *ours, *theirs;
	int ends[2];

	(void)state;
	n_asked = 0;
	servers[0].is_name = true;
	servers[0].host = "mx.example";
	gateways[0].n_servers = 1;
	delivery_free(&d);
	start_delivery();
	channel_pair(ends);
	ours = channel_new(loop, ends[0], &our_events, NULL);
	theirs = channel_new(loop, ends[1], &their_events, NULL);
	resolve_attach(d.resolver, ours);
	accept_mail(SENDER, false, good, 1);
	run();
	answer_name(theirs, "127.0.0.2"); /* nobody listens there */
	assert_non_null(mail());
	assert_non_null(strstr(problem, "no server of gateway exchange answers"));
	run_at(GATEWAY_DOUBT_MS);
	answer_name(theirs, "127.0.0.1");
	assert_null(mail());
	assert_string_equal(problem, "");
	channel_free(&ours);
	channel_free(&theirs);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_delivered),
	    TEST(test_next_server_at_once),
	    TEST(test_next_server_after_loss),
	    TEST(test_deferred_and_retried),
	    TEST(test_partial_failure_bounces),
	    TEST(test_bounce_is_durable_first),
	    TEST(test_double_bounce_goes_to_postmaster),
	    TEST(test_unroutable_sender),
	    TEST(test_nobody_to_tell),
	    TEST(test_expiry_bounces),
	    TEST(test_uncertain_goes_to_the_next),
	    TEST(test_damaged_is_never_sent),
	    TEST(test_large_is_checked_in_steps),
	    TEST(test_many_recipients),
	    TEST(test_refused_for_now_delays_nobody),
	    TEST(test_connection_limit),
	    TEST(test_idle_connection_quits),
	    TEST(test_recovery),
	    TEST(test_gateway_left_the_configuration),
	    TEST(test_alarm_ends_with_a_new_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

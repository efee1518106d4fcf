/* Steps 7 and 8 together: gateways, failures, retries, bounces, on a fake clock. */
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

static void
stop_gateways(void)
{
	for (int i = 0; i < 2; i++)
		fake_stop(&fakes[i]);
}

static void
test_all_down_then_back(void **state)
{
	uint16_t port = fakes[0].port;

	(void)state;
	stop_gateways();
	accept_mail(SENDER, false, good, 1);
	run();
	assert_string_equal(show_state(mail()), "deferred");
	assert_non_null(strstr(mail()->legs[0].reply, "refused"));
	assert_non_null(strstr(problem, "no server of gateway exchange answers"));
	fake_listen(&fakes[0], port);
	run_at(2000); /* a trial, long before the retry is due */
	assert_null(mail());
	assert_int_equal(fakes[0].n_messages, 1);
	assert_string_equal(problem, "");
}

/* An outage of three hours: one attempt, nothing written meanwhile, and gone at once after it. */
static void
test_long_outage(void **state)
{
	uint16_t port = fakes[0].port;
	size_t n_notes;
	char id[] = "ID_";

	(void)state;
	stop_gateways();
	for (int i = 0; i < 20; i++) {
		id[2] = (char)('A' + i);
		accept_one(span_str(id), SENDER, false, good, 1);
	}
	run();
	assert_int_equal(queue_count(d.queue), 20);
	n_notes = fake_spool.n_notes;
	for (int64_t ms = MINUTE_MS; ms < 3 * HOUR_MS; ms += MINUTE_MS)
		run_at(ms);
	assert_int_equal(fake_spool.n_notes, n_notes);
	for (int i = 0; i < 20; i++) {
		struct queue_entry *e;

		id[2] = (char)('A' + i);
		e = queue_find(d.queue, span_str(id));
		assert_int_equal(e->legs[0].attempts, 1);
		assert_string_equal(show_state(e), "deferred");
		deliver_rest(&d, e);
	}
	fake_listen(&fakes[0], port);
	run_at(3 * HOUR_MS + GATEWAY_BACKOFF_MAX_MS);
	assert_int_equal(queue_count(d.queue), 0);
	assert_int_equal(fakes[0].n_messages, 20);
	assert_true(list_is_empty(&d.gateways[0]->parked));
	assert_in_range(fakes[0].n_connections, 1, 16); /* slow start: fewer than messages */
}

/* Its sender is told of the delay, and of the end, though no server was there all the time. */
static void
test_outage_warns_and_expires(void **state)
{
	(void)state;
	stop_gateways();
	accept_mail(SENDER, false, good, 1);
	run();
	run_at(4 * HOUR_MS - 1);
	assert_false(mail()->is_warned);
	run_at(4 * HOUR_MS);
	assert_true(mail()->is_warned);
	assert_int_equal(fake_spool.n, 2);
	run_at(24 * HOUR_MS - 1);
	assert_int_equal(fake_spool.n, 2);
	run_at(24 * HOUR_MS);
	assert_null(mail()); /* reported */
	assert_int_equal(fake_spool.n, 3);
}

/* New mail and the mail of an outage share a server that bears one connection. */
static void
test_parked_share(void **state)
{
	uint16_t port = fakes[0].port;
	int n_new = 0;
	char id[] = "ID_";

	(void)state;
	stop_gateways();
	for (int i = 0; i < 10; i++) {
		id[2] = (char)('A' + i);
		accept_one(span_str(id), SENDER, false, good, 1);
	}
	run();
	fake_listen(&fakes[0], port);
	d.gateways[0]->targets[0].health.most = 1;
	set_clock(2000);
	for (int i = 0; i < TURNS_MAX && fakes[0].n_messages < 1; i++)
		loop_turn(loop, 1);
	for (int i = 10; i < 20; i++) {
		id[2] = (char)('A' + i);
		accept_one(span_str(id), SENDER, false, good, 1);
	}
	for (int i = 0; i < TURNS_MAX && fakes[0].n_messages < 11; i++)
		loop_turn(loop, 1);
	for (int i = 10; i < 20; i++) {
		id[2] = (char)('A' + i);
		n_new += queue_find(d.queue, span_str(id)) == NULL;
	}
	assert_in_range(n_new, 4, 6); /* of ten that have gone by now */
	run();
	assert_int_equal(queue_count(d.queue), 0);
	assert_int_equal(fakes[0].n_connections, 1);
}

static void
test_drained(void **state)
{
	struct gateway *g = d.gateways[0];

	(void)state;
	accept_mail(SENDER, false, good, 1);
	run();
	assert_int_equal(g->targets[0].n_idle, 1);
	assert_true(gateway_drain(g, span_str(g->targets[0].text), now_ms));
	deliver_drained(&d, g);
	run();
	assert_int_equal(g->targets[0].n_connections, 0); /* QUIT at once */
	assert_string_equal(problem, "");
	accept_mail(SENDER, false, good, 1);
	run();
	assert_int_equal(fakes[0].n_messages, 1);
	assert_int_equal(fakes[1].n_messages, 1);
	assert_true(gateway_drain(g, span_str(g->targets[1].text), now_ms));
	deliver_drained(&d, g);
	assert_non_null(strstr(problem, "drained"));
	accept_mail(SENDER, false, good, 1);
	run();
	assert_non_null(strstr(mail()->legs[0].reply, "drained"));
	assert_string_equal(show_state(mail()), "deferred");
	run_at(3 * HOUR_MS);
	assert_int_equal(mail()->legs[0].attempts, 1);
	gateway_undrain(g, span_str(g->targets[0].text), now_ms);
	deliver_drained(&d, g);
	run();
	assert_null(mail());
	assert_int_equal(fakes[0].n_messages, 2);
	assert_string_equal(problem, "");
}

/* Deleted while it is parked: nothing of it stays in its gateway's list. */
static void
test_parked_is_removed(void **state)
{
	struct queue_entry *e;

	(void)state;
	stop_gateways();
	accept_mail(SENDER, false, good, 1);
	run();
	assert_false(list_is_empty(&d.gateways[0]->asleep));
	queue_undefer(d.queue, &mail()->legs[0]);
	assert_true(list_is_empty(&d.gateways[0]->asleep));
	queue_defer(d.queue, &mail()->legs[0], 0); /* what `queue retry all` does */
	run_at(10);
	assert_false(list_is_empty(&d.gateways[0]->asleep));
	e = mail();
	queue_remove(d.queue, &e);
	assert_true(list_is_empty(&d.gateways[0]->asleep));
}

/* One connection more than the server bears is refused: no failure of anything. */
static void
test_one_connection_too_many(void **state)
{
	char id[] = "ID_";

	(void)state;
	fakes[0].most = 2;
	for (int i = 0; i < 20; i++) {
		id[2] = (char)('A' + i);
		accept_one(span_str(id), SENDER, false, good, 1);
	}
	run();
	assert_int_equal(queue_count(d.queue), 0);
	assert_int_equal(fakes[0].n_messages, 20);
	assert_int_equal(fakes[1].n_messages, 0); /* the backup was not needed */
	assert_true(d.gateways[0]->targets[0].is_up);
	assert_int_equal(d.gateways[0]->targets[0].n_greeted, 2);
	assert_int_equal(d.gateways[0]->targets[0].health.limit, 2);
}

/* The trial itself is told that there are too many: it has failed, and the next one follows. */
static void
test_trials_go_on(void **state)
{
	struct target *t = &d.gateways[0]->targets[0];

	(void)state;
	fakes[0].banner = "421 4.7.0 too many connections\r\n";
	accept_mail(SENDER, false, good, 1);
	run();
	assert_false(t->is_up);
	for (int64_t ms = 1000; ms < 600 * 1000; ms += 1000) {
		set_clock(ms);
		for (int i = 0; i < 5; i++)
			loop_turn(loop, 1);
		assert_false(t->is_up);
	}
	run();
	assert_false(t->is_in_trial);
	assert_true(target_wants_trial(t));
	assert_in_range(fakes[0].n_connections, 10, 20); /* 1, 2, 4 … 60 s */
}

struct probed {
	int n;
	struct probe last;
};

static void
on_probed(void *arg, struct gateway *g, size_t target, const struct probe *p)
{
	struct probed *probed = arg;

	(void)g;
	(void)target;
	probed->n++;
	probed->last = *p;
}

static void
wait_probed(struct probed *probed, size_t target)
{
	*probed = (struct probed){0};
	courier_probe(d.courier, d.gateways[0], target, on_probed, probed);
	for (int i = 0; i < TURNS_MAX && probed->n == 0; i++)
		loop_turn(loop, 1);
	assert_int_equal(probed->n, 1);
}

static void
test_probe(void **state)
{
	struct target *t = &d.gateways[0]->targets[0];
	struct probed probed;
	uint16_t port = fakes[0].port;

	(void)state;
	wait_probed(&probed, 0);
	assert_true(probed.last.is_fine);
	assert_int_equal(memcmp(probed.last.banner, "220", 3), 0);
	assert_int_equal(memcmp(probed.last.ehlo, "250", 3), 0);
	assert_int_equal(t->n_connections, 0);
	fake_stop(&fakes[0]);
	wait_probed(&probed, 0);
	assert_false(probed.last.is_fine);
	assert_non_null(strstr(probed.last.why, "refused"));
	assert_false(t->is_up); /* what it finds counts */
	fake_listen(&fakes[0], port);
	wait_probed(&probed, 0);
	assert_true(t->is_up);
	fakes[0].banner = ""; /* it takes the connection, and is silent */
	probed = (struct probed){0};
	courier_probe(d.courier, d.gateways[0], 0, on_probed, &probed);
	for (int i = 0; i < 20; i++)
		loop_turn(loop, 1);
	assert_int_equal(probed.n, 0);
	run_at(COURIER_PROBE_MS);
	assert_int_equal(probed.n, 1);
	assert_non_null(strstr(probed.last.why, "timed out"));
	courier_probe(d.courier, d.gateways[0], 0, on_probed, &probed);
	courier_drop(d.courier, d.gateways[0]); /* the role ends: it is told all the same */
	assert_int_equal(probed.n, 2);
	assert_false(probed.last.is_fine);
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
	const struct commit_rcpt lost[] = {RCPT("ok@other.example", "old")};

	(void)state;
	accept_mail(SENDER, false, gone, 1); /* goes where example.org goes now */
	run();
	assert_int_equal(fakes[0].n_messages, 1);
	accept_mail(SENDER, false, lost, 1);
	run();
	assert_string_equal(show_state(mail()), "held");
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
	    TEST(test_success_is_reported_at_the_end),
	    TEST(test_success_beside_failure),
	    TEST(test_no_success_report),
	    TEST(test_unwanted_failure_is_put_aside),
	    TEST(test_delay_as_asked),
	    TEST(test_all_down_then_back),
	    TEST(test_long_outage),
	    TEST(test_outage_warns_and_expires),
	    TEST(test_parked_share),
	    TEST(test_drained),
	    TEST(test_parked_is_removed),
	    TEST(test_one_connection_too_many),
	    TEST(test_trials_go_on),
	    TEST(test_probe),
	    TEST(test_expiry_bounces),
	    TEST(test_uncertain_goes_to_the_next),
	    TEST(test_damaged_is_never_sent),
	    TEST(test_many_recipients),
	    TEST(test_refused_for_now_delays_nobody),
	    TEST(test_connection_limit),
	    TEST(test_idle_connection_quits),
	    TEST(test_recovery),
	    TEST(test_gateway_left_the_configuration),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

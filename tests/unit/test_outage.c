/* Steps 7 and 8 when servers are down, drained, slow to come back or take few connections. */
#include "tests/unit/delivery_world.h"

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

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_all_down_then_back),
	    TEST(test_long_outage),
	    TEST(test_outage_warns_and_expires),
	    TEST(test_parked_share),
	    TEST(test_drained),
	    TEST(test_parked_is_removed),
	    TEST(test_one_connection_too_many),
	    TEST(test_trials_go_on),
	    TEST(test_probe),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

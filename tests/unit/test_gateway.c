/* Which server is next: preference, weight, health, names. */
#include "relay/base/rng.h"
#include "relay/deliver/gateway.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

enum { A, B, BACKUP, NAMED };

static struct conf_server servers[4];
static struct conf_gateway conf;
static struct gateway *g;

static struct ip
ip_of(const char *text)
{
	struct ip ip;

	assert_true(ip_parse(span_str(text), &ip));
	return ip;
}

static int
set_up(void **state)
{
	(void)state;
	servers[A] = (struct conf_server){.text = "10.0.0.1:25",
	    .host = "10.0.0.1",
	    .port = 25,
	    .ip = ip_of("10.0.0.1"),
	    .preference = 10,
	    .weight = 3};
	servers[B] = servers[A];
	servers[B].text = servers[B].host = "10.0.0.2:25";
	servers[B].ip = ip_of("10.0.0.2");
	servers[B].weight = 1;
	servers[BACKUP] = servers[A];
	servers[BACKUP].text = servers[BACKUP].host = "[2001:db8::3]:25";
	servers[BACKUP].ip = ip_of("2001:db8::3");
	servers[BACKUP].preference = 20;
	servers[NAMED] = (struct conf_server){.text = "mx.example:25",
	    .host = "mx.example",
	    .port = 25,
	    .is_name = true,
	    .preference = 5,
	    .weight = 1};
	conf = (struct conf_gateway){
	    .name = "exchange", .servers = servers, .n_servers = 3, .connections = 20};
	g = gateway_new(&conf, 0);
	rng_seed(42);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	gateway_free(&g);
	return 0;
}

static size_t
must_pick(uint64_t tried)
{
	size_t index = 99;

	assert_int_equal(gateway_pick(g, tried, 0, &index), PICK_OK);
	return index;
}

static void
count_picks(uint64_t tried, unsigned counts[GATEWAY_TARGETS_MAX], int n)
{
	memset(counts, 0, GATEWAY_TARGETS_MAX * sizeof(*counts));
	for (int i = 0; i < n; i++)
		counts[must_pick(tried)]++;
}

static void
test_weight(void **state)
{
	unsigned counts[GATEWAY_TARGETS_MAX];

	(void)state;
	count_picks(0, counts, 4000);
	assert_int_equal(counts[BACKUP], 0);
	assert_int_equal(counts[A] + counts[B], 4000);
	assert_in_range(counts[A], 2800, 3200); /* three of four; 7 standard deviations */
	servers[A].weight = servers[B].weight = 0;
	count_picks(0, counts, 1000);
	assert_in_range(counts[A], 400, 600);
	servers[A].weight = 100; /* 0 beside it: seldom, but not never */
	count_picks(0, counts, 100000);
	assert_in_range(counts[B], 1, 100);
}

static void
test_text(void **state)
{
	(void)state;
	assert_string_equal(g->targets[A].text, "10.0.0.1:25");
	assert_string_equal(g->targets[BACKUP].text, "[2001:db8::3]:25");
}

static void
test_next_server(void **state)
{
	size_t index;

	(void)state;
	assert_int_equal(must_pick(1u << A), B);
	assert_int_equal(must_pick(1u << A | 1u << B), BACKUP);
	assert_int_equal(gateway_pick(g, 7, 0, &index), PICK_NONE);
	assert_true(target_down(&g->targets[B], 0));
	assert_int_equal(must_pick(1u << A), BACKUP);
	assert_true(target_down(&g->targets[A], 0));
	assert_true(gateway_is_usable(g));
	assert_true(target_down(&g->targets[BACKUP], 0));
	assert_false(gateway_is_usable(g));
	assert_int_equal(gateway_pick(g, 0, 0, &index), PICK_NONE);
}

/* Busy is not failed: the backup is no overflow for a busy main server. */
static void
test_busy(void **state)
{
	size_t index;

	(void)state;
	g->targets[A].n_connections = g->targets[A].health.limit;
	assert_int_equal(must_pick(0), B);
	g->targets[B].n_connections = g->targets[B].health.limit;
	assert_int_equal(gateway_pick(g, 0, 0, &index), PICK_WAIT);
	g->targets[A].n_idle = 1;
	assert_int_equal(must_pick(0), A);
}

static void
test_health(void **state)
{
	struct target *t = &g->targets[A];
	int64_t now_ms = 1000, backoff_ms = GATEWAY_BACKOFF_MIN_MS;

	(void)state;
	assert_true(gateway_next_trial_ms(g) == -1);
	assert_true(target_down(t, now_ms));
	assert_false(target_down(t, now_ms)); /* another connection of the same failure */
	for (int i = 0; i < 9; i++) {
		assert_true(gateway_next_trial_ms(g) == now_ms + backoff_ms);
		assert_null(gateway_trial_due(g, now_ms + backoff_ms - 1));
		now_ms += backoff_ms;
		assert_ptr_equal(gateway_trial_due(g, now_ms), t);
		t->is_in_trial = true;
		assert_null(gateway_trial_due(g, now_ms)); /* one trial at a time */
		assert_false(target_down(t, now_ms));
		backoff_ms = backoff_ms < 32000 ? backoff_ms * 2 : GATEWAY_BACKOFF_MAX_MS;
	}
	t->is_in_trial = true;
	assert_true(target_up(t, 0));
	assert_false(target_up(t, 0));
	assert_true(gateway_next_trial_ms(g) == -1);
	assert_true(target_down(t, now_ms));
	assert_true(gateway_next_trial_ms(g) == now_ms + GATEWAY_BACKOFF_MIN_MS); /* afresh */
}

static void
test_losses(void **state)
{
	struct target *t = &g->targets[A];

	(void)state;
	assert_false(target_lost(t, 0));
	assert_false(target_lost(t, 0));
	assert_false(target_up(t, 0)); /* a good one between */
	assert_false(target_lost(t, 0));
	assert_false(target_lost(t, 0));
	assert_true(target_lost(t, 0));
	assert_false(t->is_up);
}

static void
use_name(void)
{
	gateway_free(&g);
	conf.n_servers = 4;
	g = gateway_new(&conf, 0);
}

static void
test_name(void **state)
{
	struct ip first[] = {ip_of("10.1.0.1"), ip_of("10.1.0.2")};
	struct ip second[] = {ip_of("10.1.0.2"), ip_of("10.1.0.9")};
	unsigned counts[GATEWAY_TARGETS_MAX];
	size_t index;

	(void)state;
	use_name();
	assert_int_equal(gateway_pick(g, 0, 0, &index), PICK_WAIT); /* it may be the best */
	gateway_set_addresses(g, NAMED, first, 2, 60000, 0);
	count_picks(0, counts, 1000);
	assert_in_range(counts[3], 400, 600);
	assert_in_range(counts[4], 400, 600);
	assert_true(g->names[NAMED].expires_ms == 60000);
	assert_true(target_down(&g->targets[4], 0));
	g->targets[3].n_connections = 1; /* the slot is in use */
	gateway_set_addresses(g, NAMED, second, 2, 0, 60000);
	assert_true(g->targets[3].is_gone);
	assert_false(g->targets[4].is_gone);
	assert_false(g->targets[4].is_up); /* what is known of its health stays */
	assert_int_equal(must_pick(0), 5);
	assert_true(g->names[NAMED].expires_ms > 60000); /* a TTL of 0 is no busy loop */
	g->targets[3].n_connections = 0;
	gateway_set_addresses(g, NAMED, first, 2, 0, 120000);
	assert_false(g->targets[3].is_gone);
}

static void
test_name_not_found(void **state)
{
	struct ip one = ip_of("10.1.0.1");

	(void)state;
	use_name();
	gateway_set_addresses(g, NAMED, NULL, 0, 0, 0);
	assert_int_equal(g->names[NAMED].state, NAME_FAILED);
	assert_true(must_pick(0) <= B); /* the others do the work */
	gateway_set_addresses(g, NAMED, &one, 1, 60000, 0);
	assert_int_equal(must_pick(0), 3);
	gateway_set_addresses(g, NAMED, NULL, 0, 0, 60000); /* DNS fails: the old address stays */
	assert_int_equal(must_pick(0), 3);
	assert_true(g->names[NAMED].expires_ms == 60000 + GATEWAY_BACKOFF_MIN_MS);
}

static void
test_too_many_addresses(void **state)
{
	struct ip many[GATEWAY_TARGETS_MAX];

	(void)state;
	use_name();
	for (unsigned round = 0; round < 10; round++) {
		for (unsigned i = 0; i < GATEWAY_TARGETS_MAX; i++) {
			many[i] = ip_of("10.2.0.0");
			many[i].bytes[14] = (uint8_t)round;
			many[i].bytes[15] = (uint8_t)i;
		}
		gateway_set_addresses(g, NAMED, many, GATEWAY_TARGETS_MAX, 1, round);
		assert_true(g->n_targets <= GATEWAY_TARGETS_MAX);
		assert_true(must_pick(0) >= 3);
	}
	assert_int_equal(g->n_targets, 3 + GATEWAY_ADDRESSES_MAX); /* slots are used again */
}

/* Three samples of this each, as a peer would have them. */
static void
give_pace(int i, int64_t final_ms, int64_t now_ms)
{
	for (int k = 0; k < HEALTH_SAMPLES_MIN; k++)
		health_took(&g->targets[i].health, final_ms, 1, g->targets[i].is_slow, now_ms);
}

static void
make_slow(int i, int other, int64_t now_ms)
{
	give_pace(other, 10, now_ms);
	give_pace(i, 3000, now_ms);
	assert_true(gateway_judge(g, &g->targets[i], now_ms));
	assert_int_equal(g->targets[i].state, TARGET_SLOW);
	assert_int_equal(g->targets[i].since_ms, now_ms);
}

static size_t
must_pick_at(int64_t now_ms)
{
	size_t index = 99;

	assert_int_equal(gateway_pick(g, 0, now_ms, &index), PICK_OK);
	return index;
}

static void
test_slow(void **state)
{
	struct target *a = &g->targets[A], *b = &g->targets[B];
	size_t index;

	(void)state;
	make_slow(A, B, 1000);
	for (int i = 0; i < 100; i++)
		assert_int_equal(must_pick_at(1000), B);
	b->n_connections = b->health.limit; /* the fast one is at its limit */
	assert_int_equal(must_pick_at(1000), A);
	a->n_connections = a->health.limit;
	assert_int_equal(
	    gateway_pick(g, 0, 1000, &index), PICK_WAIT); /* no overflow to the backup */
	a->n_connections = b->n_connections = 0;
	assert_true(target_down(b, 1000));
	assert_int_equal(must_pick_at(1000), A); /* better than none */
	assert_false(gateway_judge(g, b, 1000)); /* without a peer nobody is slow */
}

static void
test_slow_recovers(void **state)
{
	struct target *a = &g->targets[A];
	int64_t now_ms = 1000;
	int looks = 0;

	(void)state;
	make_slow(A, B, now_ms);
	while (a->is_slow && looks < 10) {
		assert_int_equal(must_pick_at(now_ms), B);
		now_ms += GATEWAY_LOOK_MS;
		assert_int_equal(must_pick_at(now_ms), A); /* one message, to see */
		target_given(a, now_ms);
		assert_int_equal(must_pick_at(now_ms), B);
		health_took(&a->health, 10, 1, a->is_slow, now_ms);
		(void)gateway_judge(g, a, now_ms);
		looks++;
	}
	assert_in_range(looks, 2, 5);
	assert_int_equal(a->state, TARGET_UP);
	assert_int_equal(a->since_ms, now_ms);
}

/* Nobody has written for long: what was known is forgotten. */
static void
test_slow_is_forgotten(void **state)
{
	unsigned n = 0;

	(void)state;
	make_slow(A, B, 1000);
	g->targets[A].look_ms = INT64_MAX;
	for (int i = 0; i < 100; i++)
		n += must_pick_at(1000 + GATEWAY_FORGET_MS - 1) == A;
	assert_int_equal(n, 0);
	for (int i = 0; i < 100; i++)
		n += must_pick_at(1000 + GATEWAY_FORGET_MS) == A;
	assert_in_range(n, 50, 100);
}

static void
test_slow_greeting(void **state)
{
	(void)state;
	for (int k = 0; k < HEALTH_SAMPLES_MIN; k++) {
		health_greeted(&g->targets[A].health, 10000, false, 5);
		health_greeted(&g->targets[B].health, 3, false, 5);
	}
	assert_true(gateway_judge(g, &g->targets[A], 5));
	assert_int_equal(must_pick_at(5), B);
	/* The backup's pace says nothing about those before it. */
	assert_false(gateway_judge(g, &g->targets[BACKUP], 5));
}

static void
test_limit(void **state)
{
	struct target *t = &g->targets[A];
	size_t index;

	(void)state;
	assert_true(target_down(&g->targets[B], 0));
	t->health.limit = 2;
	t->n_connections = 5; /* the limit has been lowered since */
	t->n_idle = 3;
	assert_int_equal(gateway_pick(g, 0, 0, &index), PICK_WAIT);
	t->n_idle = 4;
	assert_int_equal(must_pick(0), A);
	t->n_connections = t->n_idle = 0;
	assert_true(target_down(t, 0));
	assert_true(target_up(t, 0));
	assert_int_equal(t->health.limit, HEALTH_RETURN);
}

static void
test_drain(void **state)
{
	size_t index;

	(void)state;
	assert_true(gateway_drain(g, SPAN("10.0.0.2:25"), 7));
	assert_true(gateway_drain(g, SPAN("10.0.0.2:25"), 8)); /* is the same */
	assert_int_equal(g->n_drained, 1);
	assert_int_equal(g->targets[B].state, TARGET_DRAINING);
	assert_int_equal(g->targets[B].since_ms, 7);
	for (int i = 0; i < 50; i++)
		assert_int_equal(must_pick(0), A);
	(void)target_down(&g->targets[B], 10);
	assert_true(gateway_next_trial_ms(g) == -1); /* no connection, not even to try */
	assert_int_equal(g->targets[B].state, TARGET_DRAINING);
	gateway_undrain(g, SPAN("10.0.0.2:25"), 9);
	assert_int_equal(g->targets[B].state, TARGET_DOWN);
	assert_true(gateway_next_trial_ms(g) == 10 + GATEWAY_BACKOFF_MIN_MS);
	assert_true(target_up(&g->targets[B], 11));
	assert_true(gateway_drain(g, SPAN("10.0.0.1:25"), 0));
	assert_true(gateway_drain(g, SPAN("10.0.0.2:25"), 0));
	assert_true(gateway_is_usable(g)); /* the backup */
	assert_true(gateway_drain(g, SPAN("[2001:db8::3]:25"), 0));
	assert_false(gateway_is_usable(g));
	assert_int_equal(gateway_pick(g, 0, 0, &index), PICK_NONE);
	gateway_undrain(g, SPAN("10.9.9.9:25"), 9); /* never was */
	assert_int_equal(g->n_drained, 3);
}

static void
test_drain_limit(void **state)
{
	char text[32];

	(void)state;
	for (int i = 0; i < GATEWAY_DRAINED_MAX; i++) {
		(void)snprintf(text, sizeof(text), "10.0.1.%d:25", i);
		assert_true(gateway_drain(g, span_str(text), 0));
	}
	assert_false(gateway_drain(g, SPAN("10.0.0.1:25"), 0));
	assert_false(g->targets[A].is_drained);
}

static void
test_drain_name(void **state)
{
	struct ip two[] = {ip_of("10.1.0.1"), ip_of("10.1.0.2")};

	(void)state;
	use_name();
	assert_true(gateway_has_server(g, SPAN("MX.example:25")));
	assert_false(gateway_has_server(g, SPAN("10.1.0.1:25")));
	assert_true(
	    gateway_drain(g, SPAN("mx.example:25"), 0)); /* before its addresses are known */
	gateway_set_addresses(g, NAMED, two, 2, 60000, 0);
	assert_true(gateway_has_server(g, SPAN("10.1.0.1:25")));
	assert_int_equal(g->targets[3].state, TARGET_DRAINING);
	assert_int_equal(g->targets[4].state, TARGET_DRAINING);
	gateway_undrain(g, SPAN("10.1.0.1:25"), 0); /* one of its addresses stands for the name */
	assert_int_equal(g->n_drained, 0);
	assert_true(gateway_drain(g, SPAN("10.1.0.2:25"), 0)); /* one address alone */
	assert_int_equal(must_pick(0), 3);
	gateway_set_addresses(g, NAMED, two, 1, 60000, 0);
	gateway_set_addresses(g, NAMED, two, 2, 60000, 0); /* gone and back: it stays drained */
	assert_int_equal(g->targets[4].state, TARGET_DRAINING);
	gateway_undrain(g, SPAN("mx.example:25"), 0);
	assert_int_equal(g->n_drained, 0);
	assert_int_equal(g->targets[4].state, TARGET_UP);
}

static void
check_why(const char *wanted)
{
	struct buf text = BUF_INIT(1000);

	gateway_why(g, &text);
	assert_true(span_eq(buf_span(&text), span_str(wanted)));
	buf_free(&text);
}

static void
test_why(void **state)
{
	(void)state;
	(void)target_down(&g->targets[A], 0);
	(void)span_copy(SPAN("no connection"), g->targets[A].why, sizeof(g->targets[A].why));
	assert_true(gateway_drain(g, SPAN("10.0.0.2:25"), 0));
	(void)target_down(&g->targets[BACKUP], 0);
	check_why("no server can be reached; 10.0.0.1:25: no connection; 10.0.0.2:25: drained; "
		  "[2001:db8::3]:25: ");
	conf.n_servers = 1;
	gateway_free(&g);
	g = gateway_new(&conf, 0);
	assert_true(gateway_drain(g, SPAN("10.0.0.1:25"), 0));
	check_why("drained: every server of the gateway; 10.0.0.1:25: drained");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_weight, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_text, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_next_server, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_busy, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_health, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_losses, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_name, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_name_not_found, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_too_many_addresses, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_slow, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_slow_recovers, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_slow_is_forgotten, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_slow_greeting, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_limit, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_drain, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_drain_limit, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_drain_name, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_why, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

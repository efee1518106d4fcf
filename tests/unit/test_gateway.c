/* Which server is next: preference, weight, health, names. */
#include "relay/base/rng.h"
#include "relay/deliver/gateway.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

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
	servers[B].ip = ip_of("10.0.0.2");
	servers[B].weight = 1;
	servers[BACKUP] = servers[A];
	servers[BACKUP].ip = ip_of("2001:db8::3");
	servers[BACKUP].preference = 20;
	servers[NAMED] = (struct conf_server){.text = "mx.example:25",
	    .host = "mx.example",
	    .port = 25,
	    .is_name = true,
	    .preference = 5,
	    .weight = 1};
	conf = (struct conf_gateway){.name = "exchange", .servers = servers, .n_servers = 3};
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
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

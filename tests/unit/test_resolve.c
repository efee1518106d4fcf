/* Gateways given by name: what is asked, when, and what an answer changes. */
#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/deliver/resolve.h"
#include "relay/ipc/lookup.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { TURNS = 10 };

static struct loop *loop;
static struct channel *ours, *theirs;
static struct conf_server server = {
    .text = "mx.example:25", .host = "mx.example", .port = 25, .is_name = true};
static struct conf_gateway conf = {.name = "exchange", .servers = &server, .n_servers = 1};
static struct gateway *g;
static struct resolve *names;
static uint64_t asked[8];
static enum dns_type types[8];
static bool is_fresh[8];
static size_t n_asked, n_changed;

static void
on_answer(void *arg, struct message *m)
{
	(void)arg;
	resolve_take(names, m);
}

static void
on_question(void *arg, struct message *m)
{
	struct dns_question q;

	(void)arg;
	assert_int_equal(m->type, LOOKUP_ASK);
	assert_int_equal(dns_question_get(m->payload, &q), 0);
	assert_true(span_eq(q.name, SPAN("mx.example")));
	assert_true(n_asked < 8);
	asked[n_asked] = m->id;
	is_fresh[n_asked] = q.is_fresh;
	types[n_asked++] = q.type;
}

static void
on_close(void *arg)
{
	(void)arg;
}

static void
on_changed(void *arg, struct gateway *which)
{
	(void)arg;
	assert_ptr_equal(which, g);
	n_changed++;
}

static const struct channel_events our_events = {on_answer, on_close};
static const struct channel_events their_events = {on_question, on_close};

static int
set_up(void **state)
{
	int ends[2];

	(void)state;
	clock_fake(1000, 1700000000000LL);
	n_asked = n_changed = 0;
	loop = loop_new();
	channel_pair(ends);
	ours = channel_new(loop, ends[0], &our_events, NULL);
	theirs = channel_new(loop, ends[1], &their_events, NULL);
	g = gateway_new(&conf, 0);
	names = resolve_new(on_changed, NULL);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	resolve_free(&names);
	gateway_free(&g);
	channel_free(&ours);
	channel_free(&theirs);
	loop_free(&loop);
	clock_fake(0, -1);
	return 0;
}

static void
turns(void)
{
	for (int i = 0; i < TURNS; i++)
		loop_turn(loop, 1);
}

static void
answer(uint64_t id, enum dns_status status, const char *address, uint32_t ttl_s)
{
	static struct dns_answer a;
	struct buf payload = BUF_INIT(CHANNEL_PAYLOAD_MAX);

	a = (struct dns_answer){.status = status, .ttl_s = ttl_s, .n_addresses = address != NULL};
	if (address != NULL)
		assert_true(ip_parse(span_str(address), &a.addresses[0]));
	dns_answer_put(&payload, &a);
	channel_send(theirs, LOOKUP_ANSWER, id, buf_span(&payload), NULL);
	buf_free(&payload);
	turns();
}

static void
test_both_families(void **state)
{
	(void)state;
	assert_true(resolve_refresh(names, g, 1000) == -1); /* nobody to ask yet */
	resolve_attach(names, ours);
	assert_true(resolve_refresh(names, g, 1000) == -1);
	assert_true(resolve_refresh(names, g, 1000) == -1); /* once is enough */
	turns();
	assert_int_equal(n_asked, 2);
	assert_int_equal(types[0] + types[1], DNS_A + DNS_AAAA);
	answer(asked[0], DNS_FOUND, "10.0.0.1", 300);
	assert_int_equal(n_changed, 0);               /* the other half is still to come */
	answer(asked[0], DNS_FOUND, "10.6.6.6", 300); /* twice: not believed */
	answer(9999, DNS_FOUND, "10.6.6.6", 300);
	assert_int_equal(n_changed, 0);
	answer(asked[1], DNS_FOUND, "2001:db8::1", 60);
	assert_int_equal(n_changed, 1);
	assert_int_equal(g->n_targets, 2);
	assert_string_equal(g->targets[0].text, "10.0.0.1:25");
	assert_string_equal(g->targets[1].text, "[2001:db8::1]:25");
	assert_true(resolve_refresh(names, g, 1000) == 61000); /* the shorter TTL */
	clock_fake(61000, 1700000060000LL);
	assert_true(resolve_refresh(names, g, 61000) == -1);
	turns();
	assert_int_equal(n_asked, 4); /* asked again */
}

static void
test_one_family_is_enough(void **state)
{
	(void)state;
	resolve_attach(names, ours);
	(void)resolve_refresh(names, g, 1000);
	turns();
	answer(asked[0], DNS_NONE, NULL, 300);
	answer(asked[1], DNS_FOUND, "2001:db8::1", 60);
	assert_int_equal(g->names[0].state, NAME_KNOWN);
	assert_int_equal(g->n_targets, 1);
}

static void
test_no_answer(void **state)
{
	(void)state;
	resolve_attach(names, ours);
	(void)resolve_refresh(names, g, 1000);
	turns();
	answer(asked[0], DNS_TIMEOUT, NULL, 0);
	answer(asked[1], DNS_FAILED, NULL, 0);
	assert_int_equal(n_changed, 1);
	assert_int_equal(g->names[0].state, NAME_FAILED);
	assert_true(resolve_refresh(names, g, 1000) == 1000 + GATEWAY_BACKOFF_MIN_MS);
}

/* The lookup role died with our questions: the new one is asked again. */
static void
test_lookup_restarts(void **state)
{
	(void)state;
	resolve_attach(names, ours);
	(void)resolve_refresh(names, g, 1000);
	turns();
	resolve_attach(names, NULL);
	resolve_attach(names, ours);
	(void)resolve_refresh(names, g, 1000);
	turns();
	assert_int_equal(n_asked, 4);
	answer(asked[0], DNS_FOUND, "10.0.0.1", 300); /* of the old life */
	answer(asked[2], DNS_FOUND, "10.0.0.2", 300);
	answer(asked[3], DNS_NONE, NULL, 300);
	assert_int_equal(g->n_targets, 1);
	assert_string_equal(g->targets[0].text, "10.0.0.2:25");
}

/* The DNS has lied, with a long life: it is asked again while nobody answers there, past our cache. */
static void
test_a_name_that_leads_nowhere(void **state)
{
	(void)state;
	resolve_attach(names, ours);
	(void)resolve_refresh(names, g, 1000);
	turns();
	answer(asked[0], DNS_FOUND, "10.0.0.1", 86400);
	answer(asked[1], DNS_NONE, NULL, 0);
	assert_false(is_fresh[0] || is_fresh[1]);
	assert_false(gateway_is_lost(g, 0));
	assert_true(resolve_refresh(names, g, 1000) == 1000 + 86400 * 1000);
	(void)target_down(&g->targets[0], 1000);
	assert_true(gateway_is_lost(g, 0));
	assert_true(resolve_refresh(names, g, 1000) == 1000 + GATEWAY_DOUBT_MS);
	(void)resolve_refresh(names, g, 1000 + GATEWAY_DOUBT_MS);
	turns();
	assert_int_equal(n_asked, 4);
	assert_true(is_fresh[2] && is_fresh[3]);
	answer(asked[2], DNS_NONE, NULL, 0); /* what was known is better than nothing */
	answer(asked[3], DNS_NONE, NULL, 0);
	assert_false(g->targets[0].is_gone);
	(void)resolve_refresh(names, g, 1000 + 2 * GATEWAY_DOUBT_MS);
	turns();
	answer(asked[4], DNS_FOUND, "10.0.0.2", 86400);
	answer(asked[5], DNS_NONE, NULL, 0);
	assert_string_equal(g->targets[0].text, "10.0.0.2:25"); /* in the old one's slot */
	assert_int_equal(g->n_targets, 1);
	assert_false(gateway_is_lost(g, 0));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_both_families, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_one_family_is_enough, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_no_answer, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_lookup_restarts, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_a_name_that_leads_nowhere, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

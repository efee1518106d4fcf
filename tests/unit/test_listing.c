/*
 * What a DNS list says, and its proof: against a server of the test's own, which answers when the
 * test says so.  Everything runs on one loop and a clock of ours; no result depends on who is faster.
 */
#include "relay/lookup/listing.h"
#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <unistd.h>

#define COUNT(table) (sizeof(table) / sizeof((table)[0]))

enum { QUERIES_MAX = 16, QUERY_MAX = 512, TURNS_MAX = 2000, TIMEOUT_MS = 700 };

enum answer { LISTS, DENIES, FAILS, WEB_SERVER };

struct query {
	char bytes[QUERY_MAX];
	size_t n;
	char name[LOOKUP_NAME_MAX + 1];
	struct sockaddr_storage from;
	socklen_t from_n;
};

struct world {
	struct loop *loop;
	struct resolver *resolver;
	struct listings *listings;
	int udp;
	uint16_t port;
	struct watch *watch;
	struct query queries[QUERIES_MAX]; /* not answered yet, in order */
	size_t n_queries;
	int64_t now_ms;
};

struct result {
	unsigned n;
	struct dns_answer answer;
	struct listing_waiter *waiter;
	struct world *asks_again; /* from inside, NULL: nobody */
	struct result *again;
};

/* --- the server --------------------------------------------------------------------------------- */

static void
read_name(struct query *q)
{
	size_t at = 12, n = 0;

	while (q->bytes[at] != 0) {
		size_t label = (size_t)q->bytes[at++];

		if (n > 0)
			q->name[n++] = '.';
		memcpy(q->name + n, q->bytes + at, label);
		n += label;
		at += label;
	}
	q->name[n] = '\0';
}

static void
on_udp(void *arg, unsigned events)
{
	struct world *w = arg;
	struct query *q = &w->queries[w->n_queries];
	ssize_t n;

	(void)events;
	assert_true(w->n_queries < QUERIES_MAX);
	q->from_n = sizeof(q->from);
	n = recvfrom(w->udp, q->bytes, sizeof(q->bytes), MSG_DONTWAIT, (struct sockaddr *)&q->from,
	    &q->from_n);
	if (n < 12)
		return;
	q->n = (size_t)n;
	read_name(q);
	w->n_queries++;
}

static void
answer(struct world *w, size_t i, enum answer how)
{
	static const char record[] = {(char)0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 2};
	struct query q = w->queries[i];
	size_t n = q.n;

	assert_true(i < w->n_queries);
	memmove(&w->queries[i], &w->queries[i + 1], (--w->n_queries - i) * sizeof(q));
	q.bytes[2] = (char)0x85;
	q.bytes[3] = (char)(how == DENIES ? 0x83 : how == FAILS ? 0x82 : 0x80);
	q.bytes[11] = 0; /* without what c-ares has added */
	if (how == LISTS || how == WEB_SERVER) {
		memcpy(q.bytes + n, record, sizeof(record));
		if (how == WEB_SERVER)
			q.bytes[n + 12] = (char)198;
		q.bytes[7] = 1;
		n += sizeof(record);
	}
	assert_int_equal(sendto(w->udp, q.bytes, n, 0, (struct sockaddr *)&q.from, q.from_n), n);
}

static void
turn_until_queries(struct world *w, size_t n)
{
	for (int i = 0; i < TURNS_MAX && w->n_queries < n; i++)
		loop_turn(w->loop, 5);
	assert_int_equal(w->n_queries, n);
}

static void
turn_until(struct world *w, const struct result *r, unsigned n)
{
	for (int i = 0; i < TURNS_MAX && r->n < n; i++)
		loop_turn(w->loop, 5);
	assert_int_equal(r->n, n);
}

static void
pass_time(struct world *w, int64_t ms)
{
	w->now_ms += ms;
	clock_fake(w->now_ms, 1);
}

/* So often that what could come has come. */
static void
settle(struct world *w)
{
	for (int i = 0; i < 10; i++)
		loop_turn(w->loop, 1);
}

/* --- the world ---------------------------------------------------------------------------------- */

static int
setup(void **state)
{
	struct world *w = mem_alloc(sizeof(*w));
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t n = sizeof(sa);
	struct endpoint endpoint = {0};
	struct conf_dns conf = {.servers = &endpoint, .n_servers = 1};
	struct err err = {0};

	w->now_ms = 1000;
	clock_fake(w->now_ms, 1);
	w->loop = loop_new();
	w->udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(w->udp, (struct sockaddr *)&sa, n), 0);
	assert_int_equal(getsockname(w->udp, (struct sockaddr *)&sa, &n), 0);
	w->watch = loop_watch(w->loop, w->udp, LOOP_READ, on_udp, w);
	assert_true(ip_parse(SPAN("127.0.0.1"), &endpoint.ip));
	endpoint.port = ntohs(sa.sin_port);
	w->resolver = resolver_new(w->loop, &conf, &err);
	assert_non_null(w->resolver);
	w->listings = listings_new(w->loop, w->resolver);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	listings_free(&w->listings);
	listings_free(&w->listings); /* NULL is fine */
	resolver_free(&w->resolver);
	watch_remove(&w->watch);
	(void)close(w->udp);
	loop_free(&w->loop);
	clock_fake(0, -1);
	mem_free(w);
	return 0;
}

static void ask(struct world *w, struct result *r, const char *name, bool is_fresh);

static void
on_done(void *arg, const struct dns_answer *a)
{
	struct result *r = arg;

	r->n++;
	r->waiter = NULL;
	r->answer = *a;
	if (r->asks_again != NULL)
		ask(r->asks_again, r->again, "9.2.0.192.zone.example", false);
}

static void
ask(struct world *w, struct result *r, const char *name, bool is_fresh)
{
	struct dns_question q = {.type = DNS_A,
	    .name = span_str(name),
	    .timeout_ms = TIMEOUT_MS,
	    .list = DNS_LIST_IPV4,
	    .zone = span_skip(span_str(name), span_str(name).n - strlen("zone.example")),
	    .is_fresh = is_fresh};
	struct listing_waiter *waiter = listing_ask(w->listings, &q, on_done, r);

	if (waiter != NULL)
		r->waiter = waiter;
}

static void
expect(const struct result *r, enum dns_status status, enum dns_proof proof)
{
	assert_int_equal(r->n, 1);
	assert_int_equal(r->answer.status, status);
	assert_int_equal(r->answer.proof, proof);
	assert_int_equal(r->answer.n_addresses, status == DNS_FOUND);
}

static bool
is_of(const char *name, const char *end)
{
	return span_ends_nocase(span_str(name), span_str(end));
}

/* The two canaries of zone.example are asked for: nobody's own address, and another each time. */
static void
expect_canaries(struct world *w, char random[LOOKUP_NAME_MAX + 1])
{
	turn_until_queries(w, 2);
	assert_string_equal(w->queries[0].name, "1.0.0.127.zone.example");
	assert_true(is_of(w->queries[1].name, ".127.zone.example"));
	if (random != NULL)
		(void)span_copy(
		    span_str(w->queries[1].name), random, LOOKUP_NAME_MAX + 1); /* as long */
}

#define NAME "7.2.0.192.zone.example"

/* --- tests --------------------------------------------------------------------------------------- */

static void
test_who_is_not_listed_needs_no_proof(void **state)
{
	struct world *w = *state;
	struct result *r = mem_alloc(sizeof(*r));

	ask(w, r, NAME, false);
	turn_until_queries(w, 1);
	assert_string_equal(w->queries[0].name, NAME);
	answer(w, 0, DENIES);
	turn_until(w, r, 1);
	expect(r, DNS_NONE, DNS_PROOF_NONE);
	settle(w);
	assert_int_equal(w->n_queries, 0);
	mem_free(r);
}

/* What two canaries say of a listing; the listing is cached only when it is proved. */
static void
test_a_listing_and_its_proof(void **state)
{
	static const struct {
		enum answer canary, random;
		enum dns_status status;
		enum dns_proof proof;
	} rows[] = {
	    {LISTS, DENIES, DNS_FAILED, DNS_PROOF_BAD},
	    {DENIES, LISTS, DNS_FAILED, DNS_PROOF_BAD},
	    {LISTS, LISTS, DNS_FAILED, DNS_PROOF_BAD},
	    {DENIES, WEB_SERVER, DNS_FAILED, DNS_PROOF_BAD},
	    {DENIES, FAILS, DNS_TIMEOUT, DNS_PROOF_MISSING},
	    {FAILS, DENIES, DNS_TIMEOUT, DNS_PROOF_MISSING},
	    {DENIES, DENIES, DNS_FOUND, DNS_PROOF_GOOD},
	};
	struct world *w = *state;
	struct result *r = mem_alloc(sizeof(*r));

	for (size_t i = 0; i < COUNT(rows); i++) {
		*r = (struct result){0};
		ask(w, r, NAME, false);
		turn_until_queries(w, 1);
		answer(w, 0, LISTS);
		expect_canaries(w, NULL);
		assert_int_equal(r->n, 0);
		answer(w, 1, rows[i].random);
		answer(w, 0, rows[i].canary);
		for (int k = 0; k < TURNS_MAX && r->n == 0; k++) {
			loop_turn(w->loop, 5);
			while (w->n_queries > 0) /* who fails is asked again, for a while */
				answer(w, 0, FAILS);
			pass_time(w, 10);
		}
		expect(r, rows[i].status, rows[i].proof);
		settle(w);
		w->n_queries = 0;
	}
	*r = (struct result){0};
	ask(w, r, NAME, false);
	expect(r, DNS_FOUND, DNS_PROOF_GOOD); /* out of the cache, at once */
	assert_int_equal(w->n_queries, 0);
	mem_free(r);
}

/* A listing is proved by canaries asked for after it has come; those that came since share one. */
static void
test_who_comes_during_a_proof_gets_the_next(void **state)
{
	struct world *w = *state;
	struct result *r = mem_array(3, sizeof(*r));
	char first[LOOKUP_NAME_MAX + 1], second[LOOKUP_NAME_MAX + 1];

	ask(w, &r[0], NAME, false);
	turn_until_queries(w, 1);
	answer(w, 0, LISTS);
	expect_canaries(w, first);
	ask(w, &r[1], "8.2.0.192.zone.example", false);
	ask(w, &r[2], "9.2.0.192.zone.example", false);
	turn_until_queries(w, 4);
	answer(w, 2, LISTS);
	answer(w, 2, LISTS);
	settle(w);
	assert_int_equal(w->n_queries, 2); /* one proof at a time */
	answer(w, 0, DENIES);
	answer(w, 0, DENIES);
	turn_until(w, &r[0], 1);
	expect(&r[0], DNS_FOUND, DNS_PROOF_GOOD);
	expect_canaries(w, second);
	assert_string_not_equal(first, second);
	assert_int_equal(r[1].n + r[2].n, 0);
	answer(w, 0, LISTS); /* it has gone mad meanwhile */
	turn_until(w, &r[2], 1);
	expect(&r[1], DNS_FAILED, DNS_PROOF_BAD);
	expect(&r[2], DNS_FAILED, DNS_PROOF_BAD);
	mem_free(r);
}

static void
test_the_deadline_holds_for_both(void **state)
{
	struct world *w = *state;
	struct result *r = mem_array(2, sizeof(*r));

	ask(w, &r[0], NAME, false);
	turn_until_queries(w, 1);
	answer(w, 0, LISTS);
	expect_canaries(w, NULL);
	ask(w, &r[1], "8.2.0.192.zone.example", false); /* has no answer at all */
	turn_until_queries(w, 3);
	pass_time(w, TIMEOUT_MS);
	turn_until(w, &r[1], 1);
	expect(&r[0], DNS_TIMEOUT, DNS_PROOF_MISSING);
	assert_int_equal(r[1].answer.status, DNS_TIMEOUT);
	mem_free(r);
}

/* A probe: its answer is fresh, and proved whatever it says. */
static void
test_a_probe(void **state)
{
	static const struct {
		enum answer entry, canary;
		enum dns_status status;
		enum dns_proof proof;
	} rows[] = {
	    {LISTS, DENIES, DNS_FOUND, DNS_PROOF_GOOD}, {DENIES, DENIES, DNS_NONE, DNS_PROOF_GOOD},
	    {DENIES, LISTS, DNS_FAILED, DNS_PROOF_BAD},
	    {LISTS, DENIES, DNS_FOUND, DNS_PROOF_GOOD}, /* nothing of it was cached */
	};
	struct world *w = *state;
	struct result *r = mem_alloc(sizeof(*r));

	for (size_t i = 0; i < COUNT(rows); i++) {
		*r = (struct result){0};
		ask(w, r, NAME, true);
		turn_until_queries(w, 3);
		assert_string_equal(w->queries[0].name, NAME);
		answer(w, 0, rows[i].entry);
		answer(w, 0, rows[i].canary);
		answer(w, 0, DENIES);
		turn_until(w, r, 1);
		expect(r, rows[i].status, rows[i].proof);
	}
	mem_free(r);
}

/* 127.255.255.254, a web server: a proved list may say so of one client, but it is not kept. */
static void
test_errors_are_not_cached(void **state)
{
	struct world *w = *state;
	struct result *r = mem_alloc(sizeof(*r));

	for (int i = 0; i < 2; i++) {
		*r = (struct result){0};
		ask(w, r, NAME, false);
		turn_until_queries(w, 1);
		answer(w, 0, WEB_SERVER);
		expect_canaries(w, NULL);
		answer(w, 0, DENIES);
		answer(w, 0, DENIES);
		turn_until(w, r, 1);
		expect(r, DNS_FOUND, DNS_PROOF_GOOD);
	}
	mem_free(r);
}

static void
test_askers_come_and_go(void **state)
{
	struct world *w = *state;
	struct result *r = mem_array(3, sizeof(*r));

	ask(w, &r[0], NAME, false);
	turn_until_queries(w, 1);
	answer(w, 0, LISTS);
	expect_canaries(w, NULL);
	listing_cancel(&r[0].waiter);
	listing_cancel(&r[0].waiter); /* NULL is fine */
	answer(w, 0, DENIES);
	answer(w, 0, DENIES);
	settle(w); /* the proof has ended for nobody */
	ask(w, &r[1], NAME, false);
	r[1].asks_again = w;
	r[1].again = &r[2];
	turn_until_queries(w, 1);
	answer(w, 0, LISTS);
	expect_canaries(w, NULL);
	answer(w, 0, DENIES);
	answer(w, 0, DENIES);
	turn_until(w, &r[1], 1);
	turn_until_queries(w, 1); /* asked from inside */
	answer(w, 0, LISTS);
	expect_canaries(w, NULL);
	assert_int_equal(r[0].n + r[2].n, 0);
	mem_free(r); /* teardown drops who still waits */
}

/* A zone so long that its canary has no name: nothing can be proved. */
static void
test_a_zone_too_long(void **state)
{
	struct world *w = *state;
	struct result *r = mem_alloc(sizeof(*r));
	char name[LOOKUP_NAME_MAX + 1];
	struct dns_question q = {.type = DNS_A, .timeout_ms = TIMEOUT_MS, .list = DNS_LIST_DOMAIN};

	memset(name, 'a', LOOKUP_NAME_MAX);
	for (size_t i = 1; i < LOOKUP_NAME_MAX; i += 50)
		name[i] = '.';
	name[LOOKUP_NAME_MAX] = '\0';
	q.name = span_str(name);
	q.zone = span_skip(q.name, 2);
	r->waiter = listing_ask(w->listings, &q, on_done, r);
	turn_until_queries(w, 1);
	answer(w, 0, LISTS);
	turn_until(w, r, 1);
	expect(r, DNS_TIMEOUT, DNS_PROOF_MISSING);
	mem_free(r);
}

static void
test_entries_that_nobody_can_be(void **state)
{
	static const struct {
		enum dns_list_kind kind;
		const char *canary, *random;
	} rows[] = {
	    {DNS_LIST_IPV4, "1.0.0.127", "3.2.129.127"},
	    {DNS_LIST_IPV6, "1.0.0.127",
		"3.0.2.0.1.8.f.7.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0"},
	    {DNS_LIST_DOMAIN, "invalid", "ffffffffff010203.example"},
	};
	char text[LISTING_PREFIX_MAX];

	for (size_t i = 0; i < COUNT(rows); i++) {
		listing_canary(rows[i].kind, text);
		assert_string_equal(text, rows[i].canary);
		listing_random(rows[i].kind, 0xffffffffff010203, text);
		assert_string_equal(text, rows[i].random);
	}
	(void)state;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_who_is_not_listed_needs_no_proof),
	    TEST(test_a_listing_and_its_proof),
	    TEST(test_who_comes_during_a_proof_gets_the_next),
	    TEST(test_the_deadline_holds_for_both),
	    TEST(test_a_probe),
	    TEST(test_errors_are_not_cached),
	    TEST(test_askers_come_and_go),
	    TEST(test_a_zone_too_long),
	    cmocka_unit_test(test_entries_that_nobody_can_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* list_watch and dns_client against a scripted lookup role, on a clock of ours. */
#include "relay/front/list_watch.h"
#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "tests/unit/policy_text.h"

#include <stdio.h>
#include <unistd.h>

enum { SETTLE = 4, REPORTS = 8, TIMEOUT_MS = 700, PROBE_ON_MS = 60000, PROBE_OFF_MS = 15000 };

static const struct conf_dns conf = {.timeout_ms = TIMEOUT_MS, .probe_ms = PROBE_ON_MS};

struct report {
	char name[300], what[300];
	bool is_over;
};

struct world {
	struct loop *loop;
	struct dns_client *dns;
	struct list_watch *watch;
	struct snapshot *snapshot;
	int lookup;
	struct buf buf;
	int64_t now_ms;
	struct report reports[REPORTS];
	size_t n_reports;
};

/* These live as long as their process: kept, so that a leak checker still sees them. */
static void *kept[64];
static size_t n_kept;

static void
settle(struct world *w)
{
	for (int i = 0; i < SETTLE; i++)
		loop_turn(w->loop, 0);
}

static void
pass_time(struct world *w, int64_t ms)
{
	w->now_ms += ms;
	clock_fake(w->now_ms, 1);
	settle(w);
}

static void
report(void *arg, const char *name, const char *what, const char *do_this)
{
	struct world *w = arg;
	struct report *r = &w->reports[w->n_reports++];

	assert_true(w->n_reports <= REPORTS);
	(void)span_copy(span_str(name), r->name, sizeof(r->name)); /* short */
	(void)span_copy(span_str(what), r->what, sizeof(r->what)); /* cut is fine */
	r->is_over = do_this == NULL;
}

static void
expect_report(struct world *w, const char *name, bool is_over)
{
	assert_int_equal(w->n_reports, 1);
	assert_string_equal(w->reports[0].name, name);
	assert_int_equal(w->reports[0].is_over, is_over);
	w->n_reports = 0;
}

static void
new_lookup(struct world *w)
{
	int ends[2];

	channel_pair(ends);
	w->lookup = ends[1];
	dns_client_connect(w->dns, ends[0]);
}

static void
follow(struct world *w, const char *policy)
{
	snapshot_release(&w->snapshot);
	w->snapshot = parse(policy);
	list_watch_follow(w->watch, w->snapshot);
}

static int
setup(void **state)
{
	struct world *w = mem_alloc(sizeof(*w));

	w->now_ms = 1000;
	clock_fake(w->now_ms, 1);
	w->loop = loop_new();
	w->dns = kept[n_kept++] = dns_client_new(w->loop);
	new_lookup(w);
	w->watch = kept[n_kept++] =
	    list_watch_new(w->loop, w->dns, LIST_OF_ADDRESSES, &conf, report, w);
	follow(w, "dnsbl a.example reject\n");
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	follow(w, "");
	if (w->lookup >= 0)
		(void)close(w->lookup);
	settle(w);
	snapshot_release(&w->snapshot);
	loop_free(&w->loop);
	buf_free(&w->buf);
	clock_fake(0, -1);
	mem_free(w);
	return 0;
}

/* --- the scripted lookup ------------------------------------------------------------------------ */

/* The next question must be for the test entry of this zone, with a proof; returns its id. */
static uint64_t
expect_question(struct world *w, const char *zone_text)
{
	struct dns_question q;
	struct message m;
	char name[100];

	(void)snprintf(name, sizeof(name), "2.0.0.127.%s", zone_text); /* short */

	assert_int_equal(channel_receive(w->lookup, &m, &w->buf, 0), 0);
	assert_int_equal(m.type, LOOKUP_ASK);
	assert_int_equal(dns_question_get(m.payload, &q), 0);
	if (!span_eq(q.name, span_str(name)))
		fail_msg("%.*s is asked instead of %s", SPAN_ARG(q.name), name);
	assert_int_equal(q.type, DNS_A);
	assert_int_equal(q.timeout_ms, TIMEOUT_MS);
	assert_int_equal(q.list, DNS_LIST_IPV4);
	assert_true(span_eq(q.zone, span_str(zone_text)));
	assert_true(q.is_fresh);
	return m.id;
}

static void
expect_no_question(struct world *w)
{
	struct message m;

	assert_int_equal(channel_receive(w->lookup, &m, &w->buf, 0), -E_TIMEOUT);
}

static void
answer(struct world *w, uint64_t id, enum dns_status status, enum dns_proof proof)
{
	struct dns_answer *a = mem_alloc(sizeof(*a));
	struct buf b = BUF_INIT(4096);

	a->status = status;
	a->proof = proof;
	if (status == DNS_FOUND) {
		a->n_addresses = 1;
		assert_true(ip_parse(SPAN("127.0.0.2"), &a->addresses[0]));
	}
	dns_answer_put(&b, a);
	assert_int_equal(channel_send_now(w->lookup, LOOKUP_ANSWER, id, buf_span(&b), NULL), 0);
	buf_free(&b);
	mem_free(a);
	settle(w);
}

/* One probe of a.example: the proof and the test entry's answer. */
static void
probe(struct world *w, enum dns_proof proof, enum dns_status test_entry)
{
	answer(w, expect_question(w, "a.example"), test_entry, proof);
}

static const struct span zone = {"a.example", 9};

/* --- tests --------------------------------------------------------------------------------------- */

static void
test_a_list_that_is_well(void **state)
{
	struct world *w = *state;

	assert_false(list_watch_is_off(w->watch, zone));
	assert_false(list_watch_is_off(w->watch, SPAN("b.example")));
	settle(w);
	probe(w, DNS_PROOF_GOOD, DNS_FOUND);
	assert_false(list_watch_is_off(w->watch, zone));
	assert_int_equal(w->n_reports, 0);
	pass_time(w, PROBE_ON_MS - 1);
	expect_no_question(w);
	pass_time(w, 1);
	probe(w, DNS_PROOF_GOOD, DNS_FOUND);
	assert_int_equal(w->n_reports, 0);
}

static void
test_a_list_that_lists_everyone(void **state)
{
	struct world *w = *state;

	settle(w);
	probe(w, DNS_PROOF_BAD, DNS_FOUND);
	assert_true(list_watch_is_off(w->watch, zone));
	expect_report(w, "dnsbl a.example", false);
	for (int i = 0; i < 3; i++) { /* it stays: said once */
		pass_time(w, PROBE_OFF_MS);
		probe(
		    w, i == 1 ? DNS_PROOF_MISSING : DNS_PROOF_BAD, i == 1 ? DNS_FAILED : DNS_FOUND);
		assert_true(list_watch_is_off(w->watch, zone));
		assert_int_equal(w->n_reports, 0);
	}
	pass_time(w, PROBE_OFF_MS);
	probe(w, DNS_PROOF_GOOD, DNS_FOUND);
	assert_false(list_watch_is_off(w->watch, zone));
	expect_report(w, "dnsbl a.example", true);
	pass_time(w, PROBE_OFF_MS);
	expect_no_question(w); /* well again: asked seldom */
}

static void
test_a_list_that_is_away(void **state)
{
	static const enum dns_status rows[] = {DNS_TIMEOUT, DNS_FAILED};
	struct world *w = *state;

	settle(w);
	for (size_t i = 0; i < COUNT(rows); i++) {
		probe(w, DNS_PROOF_MISSING, rows[i]);
		assert_false(list_watch_is_off(w->watch, zone));
		assert_int_equal(w->n_reports, 0);
		pass_time(w, PROBE_ON_MS);
	}
}

static void
test_no_test_entry(void **state)
{
	struct world *w = *state;

	settle(w);
	probe(w, DNS_PROOF_GOOD, DNS_NONE);
	assert_false(list_watch_is_off(w->watch, zone));
	expect_report(w, "dnsbl-test a.example", false);
	pass_time(w, PROBE_ON_MS);
	probe(w, DNS_PROOF_GOOD, DNS_TIMEOUT); /* no news */
	assert_int_equal(w->n_reports, 0);
	pass_time(w, PROBE_ON_MS);
	probe(w, DNS_PROOF_GOOD, DNS_FOUND);
	expect_report(w, "dnsbl-test a.example", true);
}

static void
test_what_a_session_saw(void **state)
{
	static const struct dns_answer found = {.status = DNS_FOUND, .proof = DNS_PROOF_GOOD},
				       none = {.status = DNS_NONE},
				       bad = {.status = DNS_FAILED, .proof = DNS_PROOF_BAD},
				       missing = {
					   .status = DNS_TIMEOUT, .proof = DNS_PROOF_MISSING};
	struct world *w = *state;

	settle(w);
	(void)expect_question(w, "a.example");
	list_watch_answer(w->watch, zone, &found);
	list_watch_answer(w->watch, zone, &none);
	list_watch_answer(w->watch, zone, &missing);
	assert_false(list_watch_is_off(w->watch, zone));
	list_watch_error(w->watch, zone);
	assert_true(list_watch_is_off(w->watch, zone));
	expect_report(w, "dnsbl a.example", false);
	list_watch_answer(w->watch, zone, &bad);
	list_watch_answer(w->watch, zone, &none); /* only a probe tells that it is well again */
	assert_int_equal(w->n_reports, 0);
	pass_time(w, PROBE_OFF_MS);
	probe(w, DNS_PROOF_GOOD, DNS_FOUND);
	expect_report(w, "dnsbl a.example", true);
	list_watch_answer(w->watch, zone, &bad);
	assert_true(list_watch_is_off(w->watch, zone));
	expect_report(w, "dnsbl a.example", false);
	list_watch_answer(w->watch, SPAN("b.example"), &bad); /* of an older policy */
	list_watch_error(w->watch, SPAN("b.example"));
	list_watch_late(w->watch, SPAN("b.example"));
	assert_int_equal(w->n_reports, 0);
}

static void
test_policies_change(void **state)
{
	struct world *w = *state;

	settle(w);
	probe(w, DNS_PROOF_GOOD, DNS_NONE);
	list_watch_error(w->watch, zone);
	assert_int_equal(w->n_reports, 2);
	w->n_reports = 0;
	follow(w, "dnsbl a.example reject\ndnsbl b.example reject\n");
	settle(w);
	assert_true(list_watch_is_off(w->watch, zone)); /* what is known stays known */
	(void)expect_question(w, "b.example");
	expect_no_question(w);
	follow(w, "dnsbl b.example reject\n");
	assert_int_equal(w->n_reports, 2); /* both of its problems are over */
	assert_true(w->reports[0].is_over && w->reports[1].is_over);
	assert_false(list_watch_is_off(w->watch, zone));
	w->n_reports = 0;
	pass_time(w, PROBE_ON_MS);
	expect_no_question(w);
}

/* Domains have canaries of their own, and problems that are told apart. */
static void
test_a_list_of_domains(void **state)
{
	struct world *w = *state;
	struct list_watch *domains;
	struct list_answer answers[3] = {{.state = LIST_LISTED},
	    {.state = LIST_LISTED, .n_names = 2}, {.state = LIST_NOT_LISTED}};
	struct buf text = BUF_INIT(4096);
	struct json j = {.to = &text};
	struct dns_question q;
	struct message m;

	settle(w);
	probe(w, DNS_PROOF_GOOD, DNS_FOUND);
	domains = kept[n_kept++] =
	    list_watch_new(w->loop, w->dns, LIST_OF_DOMAINS, &conf, report, w);
	follow(w, "dnsbl a.example reject\ndnsbl a.example of from reject\n"
		  "dnsbl b.example of helo reject\n");
	list_watch_follow(domains, w->snapshot);
	settle(w);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(channel_receive(w->lookup, &m, &w->buf, 0), 0);
		assert_int_equal(dns_question_get(m.payload, &q), 0);
		assert_true(
		    span_eq(q.name, i == 0 ? SPAN("test.a.example") : SPAN("test.b.example")));
		assert_int_equal(q.list, DNS_LIST_DOMAIN);
		answer(w, m.id, DNS_FOUND, i == 0 ? DNS_PROOF_BAD : DNS_PROOF_GOOD);
	}
	expect_report(w, "dnsbl-domains a.example", false);
	assert_true(list_watch_is_off(domains, zone));
	assert_false(list_watch_is_off(w->watch, zone));
	list_watch_count(domains, w->snapshot, LIST_OF_FROM, answers);
	list_watch_count(domains, w->snapshot, LIST_OF_HELO, answers); /* nothing was asked */
	list_watch_count(w->watch, w->snapshot, LIST_OF_CLIENT, answers);
	json_open(&j, NULL, '{');
	list_watch_counts(domains, &j);
	json_close(&j, '}');
	assert_true(span_eq(buf_span(&text),
	    SPAN("{\"a.example\":{\"asked\":1,\"listed\":1,\"sole\":1,\"not_listed\":0,"
		 "\"errors\":0,\"unanswered\":0,\"off\":1},\"b.example\":{\"asked\":0,"
		 "\"listed\":0,\"sole\":0,\"not_listed\":0,\"errors\":0,\"unanswered\":0,"
		 "\"off\":0}}")));
	buf_free(&text);
	follow(w, "");
	w->n_reports = 0;
	list_watch_follow(domains, w->snapshot);
	expect_report(w, "dnsbl-domains a.example", true);
}

/* Answers that come after the list was forgotten find nobody. */
static void
test_late_answers(void **state)
{
	struct world *w = *state;
	uint64_t id;

	settle(w);
	id = expect_question(w, "a.example");
	follow(w, "");
	answer(w, id, DNS_FOUND, DNS_PROOF_BAD);
	answer(w, id, DNS_FOUND, DNS_PROOF_BAD);
	assert_int_equal(w->n_reports, 0);
}

static void
test_lookup_goes_and_comes(void **state)
{
	struct world *w = *state;

	settle(w);
	(void)expect_question(w, "a.example");
	(void)close(w->lookup);
	w->lookup = -1;
	settle(w);
	assert_false(list_watch_is_off(w->watch, zone));
	pass_time(w, PROBE_ON_MS); /* asked without a lookup: fails from the loop */
	new_lookup(w);
	pass_time(w, PROBE_ON_MS);
	probe(w, DNS_PROOF_GOOD, DNS_FOUND);
	assert_int_equal(w->n_reports, 0);
}

static void
test_lookup_speaks_nonsense(void **state)
{
	struct world *w = *state;
	uint64_t id;

	settle(w);
	id = expect_question(w, "a.example");
	assert_int_equal(channel_send_now(w->lookup, 99, id, SPAN("x"), NULL), 0);
	assert_int_equal(channel_send_now(w->lookup, LOOKUP_ANSWER, id, SPAN("x"), NULL), 0);
	settle(w);
	assert_false(list_watch_is_off(w->watch, zone)); /* no answer proves nothing */
	pass_time(w, PROBE_ON_MS);
	probe(w, DNS_PROOF_GOOD, DNS_FOUND);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static void
miss(struct world *w, int n)
{
	static const struct dns_answer failed = {.status = DNS_FAILED};

	for (int i = 0; i < n; i++)
		if (i % 2)
			list_watch_answer(w->watch, zone, &failed);
		else
			list_watch_late(w->watch, zone);
}

/* Silence is no proof, but somebody should look: told once, and over as soon as there is a word. */
static void
test_a_list_that_is_silent(void **state)
{
	static const struct dns_answer heard[] = {{.status = DNS_FOUND}, {.status = DNS_NONE}};
	struct world *w = *state;

	settle(w);
	probe(w, DNS_PROOF_GOOD, DNS_FOUND);
	list_watch_late(w->watch, SPAN("b.example")); /* none of ours */
	miss(w, LIST_SILENT_MAX - 1);
	pass_time(w, LIST_WINDOW_MS); /* few, and far between */
	miss(w, LIST_SILENT_MAX - 1);
	for (int i = 0; i < LIST_SILENT_MAX; i++)
		list_watch_answer(w->watch, zone, &heard[i % 2]);
	assert_int_equal(w->n_reports, 0);
	miss(w, 1); /* one in two */
	expect_report(w, "dnsbl-silent a.example", false);
	assert_false(list_watch_is_off(w->watch, zone));
	miss(w, LIST_SILENT_MAX);
	list_watch_answer(w->watch, zone, &heard[1]); /* out of the cache, perhaps */
	assert_int_equal(w->n_reports, 0);
	pass_time(w, LIST_QUIET_MS);
	list_watch_answer(w->watch, zone, &heard[1]);
	expect_report(w, "dnsbl-silent a.example", true);
	pass_time(w, LIST_WINDOW_MS);
	probe(w, DNS_PROOF_GOOD, DNS_FOUND); /* PROBE_OFF_MS are over */
	miss(w, LIST_SILENT_MAX);
	expect_report(w, "dnsbl-silent a.example", false);
	pass_time(w, PROBE_OFF_MS); /* asked by itself, too */
	probe(w, DNS_PROOF_GOOD, DNS_FOUND);
	expect_report(w, "dnsbl-silent a.example", true);
	pass_time(w, LIST_WINDOW_MS);
	miss(w, LIST_SILENT_MAX);
	w->n_reports = 0;
	follow(w, "");
	expect_report(w, "dnsbl-silent a.example", true);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_a_list_that_is_silent, setup, teardown),
	    TEST(test_a_list_that_is_well),
	    TEST(test_a_list_that_lists_everyone),
	    TEST(test_a_list_that_is_away),
	    TEST(test_no_test_entry),
	    TEST(test_what_a_session_saw),
	    TEST(test_policies_change),
	    TEST(test_a_list_of_domains),
	    TEST(test_late_answers),
	    TEST(test_lookup_goes_and_comes),
	    TEST(test_lookup_speaks_nonsense),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* How the decision takes what is known of a client's conduct: greet, helo, rate, greylist. */
#include "policy/decide/helo.h"
#include "tests/unit/decide_world.h"

#include <stdio.h>

static void
check_trace(struct world *w, const char *wanted)
{
	struct buf end = BUF_INIT(65536);

	assert_int_equal(buf_add_span(&end, buf_span(&w->trace)), 0);
	assert_int_equal(buf_add_char(&end, '\0'), 0);
	assert_string_equal(end.p, wanted);
	buf_free(&end);
	buf_clear(&w->trace);
}

static void
check_refusal(const struct world *w, enum action action, int code, const char *enhanced,
    const char *by, const char *why)
{
	assert_int_equal(w->v.action, action);
	assert_int_equal(w->v.code, code);
	assert_string_equal(w->v.enhanced, enhanced);
	assert_true(span_eq(w->v.by, span_str(by)));
	assert_string_equal(w->v.why, why);
	assert_true(w->v.text[0] != '\0');
}

static void
test_early_talker(void **state)
{
	struct world *w = *state;

	w->flow.connect = CONNECT_GREET | CONNECT_ACCESS;
	take_policy(w, "accept client 198.51.100.7\n");
	w->facts.greet = GREET_EARLY;
	stage(w, STAGE_CONNECT);
	check_refusal(w, ACTION_REJECT, 550, "5.5.1", "greet", "talked before the banner");
	check_trace(w, "connect client=192.0.2.1 #1 no match\n"
		       "connect greet=talked before the banner #0 reject\n");
	w->v = (struct verdict){0};
	w->facts.client = ip_of("198.51.100.7");
	stage(w, STAGE_CONNECT);
	assert_int_equal(w->v.action, ACTION_PASS);
	check_trace(w, "connect client=198.51.100.7 #1 accept\n"
		       "connect greet=talked before the banner #0 skipped: accepted\n");
	w->v = (struct verdict){0};
	w->facts.greet = GREET_PATIENT;
	stage(w, STAGE_CONNECT);
	assert_int_equal(w->v.action, ACTION_PASS);
	w->facts.greet = GREET_EARLY;
	w->facts.client = ip_of("192.0.2.1");
	w->flow.connect = CONNECT_ACCESS;
	w->v = (struct verdict){0};
	stage(w, STAGE_CONNECT);
	assert_int_equal(w->v.action, ACTION_PASS);
}

static void
test_helo_faults(void **state)
{
	static const struct {
		const char *helo;
		enum helo_fault fault;
	} rows[] = {
	    {"mail.example.net", HELO_FINE},
	    {"mail.example.net.", HELO_FINE},
	    {"MX1.example.org", HELO_OWN},
	    {"mx1.example.org.", HELO_OWN},
	    {"mx10.example.org", HELO_FINE},
	    {"192.0.2.1", HELO_IP},
	    {"203.0.113.9", HELO_IP},
	    {"2001:db8::1", HELO_IP},
	    {"[192.0.2.1]", HELO_FINE},
	    {"[192.0.2.2]", HELO_LITERAL},
	    {"[IPv6:2001:db8::1]", HELO_LITERAL},
	    {"[ipv6:::ffff:192.0.2.1]", HELO_FINE},
	    {"[192.0.2.1", HELO_LITERAL},
	    {"[", HELO_LITERAL},
	    {"[]", HELO_LITERAL},
	    {"localhost", HELO_NAME},
	    {"a_b.example.net", HELO_NAME},
	    {"mail..example.net", HELO_NAME},
	    {"mail.example.1", HELO_NAME},
	    {".", HELO_NAME},
	    {"", HELO_NAME},
	};
	struct ip client = ip_of("192.0.2.1");

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		if (helo_fault_of(span_str(rows[i].helo), &client, "mx1.example.org") !=
		    rows[i].fault)
			fail_msg("row %zu: %s", i, rows[i].helo);
}

static void
test_odd_helo_is_a_tag(void **state)
{
	struct world *w = *state;

	w->flow.connect = CONNECT_GREET;
	take_policy(w, "");
	w->facts.helo = SPAN("localhost");
	stage(w, STAGE_HELO);
	assert_int_equal(w->v.action, ACTION_TAG);
	assert_int_equal(w->v.n_tags, 1);
	assert_true(span_eq(w->v.tags[0].name, SPAN("helo-name")));
	assert_true(span_eq(w->v.tags[0].by, SPAN("greet")));
	check_trace(w, "helo greet=HELO says no full host name #0 tag\n");
	w->v = (struct verdict){0};
	w->facts.helo = SPAN("mail.example.net");
	stage(w, STAGE_HELO);
	assert_int_equal(w->v.action, ACTION_PASS);
	check_trace(w, "helo greet=mail.example.net #0 no match\n");
}

/* Every excess at its stage: what is said, and that an accept spares it. */
static void
test_rate(void **state)
{
	static const struct {
		enum stage stage;
		enum rate_fact fact;
		int code;
		const char *enhanced, *why, *step;
	} rows[] = {
	    {STAGE_CONNECT, RATE_CONNECTIONS, 421, "4.7.0", "rate: more than connections 20",
		"connect rate=connections 20 #0 "},
	    {STAGE_CONNECT, RATE_ERRORS, 421, "4.7.0", "rate: more than errors 4/1h",
		"connect rate=errors 4/1h #0 "},
	    {STAGE_MAIL, RATE_MESSAGES, 450, "4.7.1", "rate: more than messages 100/1m",
		"mail rate=messages 100/1m #0 "},
	    {STAGE_RCPT, RATE_RECIPIENTS, 450, "4.7.1", "rate: more than recipients 500/1m",
		"rcpt rate=recipients 500/1m #0 "},
	};
	struct world *w = *state;

	w->flow.connect = CONNECT_RATE;
	w->flow.rate = (struct conf_rate){.connections = 20,
	    .messages = {100, 60000, "100/1m"},
	    .recipients = {500, 60000, "500/1m"},
	    .errors = {4, 3600000, "4/1h"}};
	take_policy(w, "");
	for (size_t i = 0; i < COUNT(rows); i++) {
		char step[100];

		w->v = (struct verdict){0};
		w->facts.rate = rows[i].fact;
		stage(w, rows[i].stage);
		check_refusal(
		    w, ACTION_TEMPFAIL, rows[i].code, rows[i].enhanced, "rate", rows[i].why);
		(void)snprintf(step, sizeof(step), "%stempfail\n", rows[i].step);
		check_trace(w, step);
		w->v = (struct verdict){.is_accepted = true};
		stage(w, rows[i].stage);
		assert_int_equal(w->v.action, ACTION_PASS);
		(void)snprintf(step, sizeof(step), "%sskipped: accepted\n", rows[i].step);
		check_trace(w, step);
		w->facts.rate = RATE_WITHIN;
		w->v = (struct verdict){0};
		stage(w, rows[i].stage);
		assert_int_equal(w->v.action, ACTION_PASS);
		buf_clear(&w->trace);
	}
	/* What is limited nowhere is no step. */
	w->flow.rate = (struct conf_rate){0};
	w->facts.rate = RATE_UNKNOWN;
	stage(w, STAGE_MAIL);
	check_trace(w, "");
}

static void
test_greylist(void **state)
{
	struct world *w = *state;

	w->flow.connect = CONNECT_GREYLIST;
	take_policy(w, "");
	w->facts.greylist = GREYLIST_WAIT;
	w->facts.greylist_left_ms = 299001;
	stage(w, STAGE_RCPT);
	check_refusal(
	    w, ACTION_TEMPFAIL, 450, "4.7.1", "greylist", "greylist: a stranger, 300 s left");
	assert_string_equal(
	    w->v.text, "Greylisted: not seen here before, try again in 300 seconds");
	check_trace(w, "rcpt greylist=stranger #0 tempfail\n");
	w->v = (struct verdict){.is_accepted = true};
	stage(w, STAGE_RCPT);
	check_trace(w, "rcpt greylist=stranger #0 skipped: accepted\n");
	w->v = (struct verdict){.spares_lists = true};
	stage(w, STAGE_RCPT);
	check_trace(w, "rcpt greylist=stranger #0 skipped: dnswl\n");
	w->v = (struct verdict){0};
	w->facts.user = SPAN("bob");
	stage(w, STAGE_RCPT);
	check_trace(w, "rcpt greylist=bob #0 skipped: signed in\n");
	w->facts.user = (struct span){0};
	w->facts.greylist = GREYLIST_UNKNOWN;
	stage(w, STAGE_RCPT);
	check_trace(w, "rcpt greylist= #0 unknown\n");
	w->facts.greylist = GREYLIST_CORRESPONDENT;
	stage(w, STAGE_RCPT);
	check_trace(w, "rcpt greylist=correspondent #0 no match\n");
	assert_int_equal(w->v.action, ACTION_PASS);
}

/* A refusal by a rule is stronger than any of these. */
static void
test_stronger_rule_stands(void **state)
{
	struct world *w = *state;

	w->flow.connect = CONNECT_ACCESS | CONNECT_RATE;
	w->flow.rate.connections = 1;
	take_policy(w, "reject client 192.0.2.0/24\n");
	w->facts.rate = RATE_CONNECTIONS;
	stage(w, STAGE_CONNECT);
	assert_int_equal(w->v.action, ACTION_REJECT);
	assert_int_equal(w->v.code, 550);
	assert_true(span_eq(w->v.by, SPAN("policy")));
}

/*
 * The live relay decides without a tracer, explain with one: for all facts there are, in every flow,
 * with and without an accept, both come to the same verdict, and twice the same facts to the same.
 */
static void
test_explain_equals_live(void **state)
{
	static const char *const policies[] = {"", "accept client 192.0.2.1\n",
	    "accept to b@example.org\n", "reject from a@example.net\n", "tag x client 192.0.2.1\n"};
	struct world *w = *state;
	size_t n_refused = 0, n = 0;

	w->flow.rate = (struct conf_rate){.connections = 20,
	    .messages = {100, 60000, "100/1m"},
	    .recipients = {500, 60000, "500/1m"}};
	for (size_t p = 0; p < COUNT(policies); p++) {
		take_policy(w, policies[p]);
		for (unsigned bits = 0; bits < 6 * 5 * 3 * 8; bits++) {
			struct verdict live = {0}, told = {0};

			w->facts.rate = (enum rate_fact)(bits % 6);
			w->facts.greylist = (enum greylist_fact)(bits / 6 % 5);
			w->facts.greet = (enum greet_fact)(bits / 30 % 3);
			w->flow.connect = CONNECT_ACCESS | (bits / 90 & 1 ? CONNECT_GREET : 0U) |
					  (bits / 90 & 2 ? CONNECT_RATE : 0U) |
					  (bits / 90 & 4 ? CONNECT_GREYLIST : 0U);
			for (enum stage at = STAGE_CONNECT; at <= STAGE_RCPT; at++) {
				decide_stage(w->snapshot, at, &w->facts, &live, NULL, NULL);
				decide_stage(w->snapshot, at, &w->facts, &told, trace, w);
			}
			assert_memory_equal(&live, &told, sizeof(live));
			n_refused += live.action >= ACTION_TEMPFAIL;
			n++;
			buf_clear(&w->trace);
		}
	}
	assert_true(n_refused > n / 4 && n_refused < n);
}

#define WORLD_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    WORLD_TEST(test_early_talker),
	    cmocka_unit_test(test_helo_faults),
	    WORLD_TEST(test_odd_helo_is_a_tag),
	    WORLD_TEST(test_rate),
	    WORLD_TEST(test_greylist),
	    WORLD_TEST(test_stronger_rule_stands),
	    WORLD_TEST(test_explain_equals_live),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

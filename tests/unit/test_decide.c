/* The decision: order of rules and stages, accept's scope, DNS lists. */
#include "tests/unit/decide_world.h"

/* --- rules over stages ----------------------------------------------------------------------------- */

static void
test_stages(void **state)
{
	static const struct {
		const char *policy;
		enum stage at;
	} rows[] = {
	    {"reject client 192.0.2.1", STAGE_CONNECT},
	    {"reject host .example.net", STAGE_CONNECT},
	    {"reject client 192.0.2.1 helo *.net", STAGE_HELO},
	    {"reject from @example.net client *", STAGE_MAIL},
	    {"reject to b@example.org from *", STAGE_RCPT},
	    {"reject subject x client *", STAGE_DATA},
	    {"reject header X-A x", STAGE_DATA},
	    {"reject body x to *", STAGE_DATA},
	};
	struct world *w = *state;

	w->truths[0] = TRUTH_TRUE;
	for (size_t i = 0; i < COUNT(rows); i++) {
		take_policy(w, rows[i].policy);
		for (int at = STAGE_CONNECT; at <= STAGE_DATA; at++) {
			bool is_due = at >= (int)rows[i].at;

			stage(w, (enum stage)at);
			expect(w, is_due ? ACTION_REJECT : ACTION_PASS, is_due ? 1 : 0);
		}
		assert_int_equal(w->v.stage, rows[i].at);
	}
}

static void
test_first_in_listed_order(void **state)
{
	static const struct {
		const char *policy;
		enum action action;
		uint32_t rule;
		bool is_accepted;
	} rows[] = {
	    {"tempfail client *\nreject client *", ACTION_TEMPFAIL, 1, false},
	    {"reject client *\ntempfail client *", ACTION_REJECT, 1, false},
	    {"reject client 203.0.113.1\ntempfail client *", ACTION_TEMPFAIL, 2, false},
	    {"accept client *\nreject client *", ACTION_PASS, 1, true},
	    {"reject client *\naccept client *", ACTION_REJECT, 1, false},
	    {"accept client *\nreject from *", ACTION_PASS, 1, true},
	    {"accept from *\nreject client *", ACTION_REJECT, 2, true},
	    {"accept helo *\nreject to *\nreject helo *", ACTION_PASS, 1, true},
	    /* the strongest of several stages */
	    {"tempfail client *\nreject from *", ACTION_REJECT, 2, false},
	    {"tempfail from *\nreject client *", ACTION_REJECT, 2, false},
	    /* accept spares what comes behind it, and lifts nothing that was before it */
	    {"tempfail client *\naccept to *", ACTION_TEMPFAIL, 1, true},
	    {"tempfail client *\naccept from *\nreject to *", ACTION_TEMPFAIL, 1, true},
	    {"quarantine client *\naccept from *\nreject to *\nkeep tag !x", ACTION_QUARANTINE, 1,
		true},
	    {"quarantine client *\nreject to *", ACTION_REJECT, 2, false},
	    {"", ACTION_PASS, 0, false},
	};
	struct world *w = *state;

	for (size_t i = 0; i < COUNT(rows); i++) {
		walk(w, rows[i].policy, STAGE_DATA);
		expect(w, rows[i].action, rows[i].rule);
		assert_int_equal(w->v.is_accepted, rows[i].is_accepted);
	}
}

static void
test_all_facets_must_match(void **state)
{
	struct world *w = *state;

	walk(w, "reject from @example.net client !192.0.2.0/24", STAGE_DATA);
	expect(w, ACTION_PASS, 0);
	assert_true(has_step(w, "mail client=192.0.2.1 #1 no match"));
	w->facts.client = ip_of("::ffff:203.0.113.9");
	walk(w, "reject from @example.net client !192.0.2.0/24", STAGE_DATA);
	expect(w, ACTION_REJECT, 1);
	assert_true(has_step(w, "mail client=203.0.113.9 #1 reject"));
}

static void
test_unknown_matches_nothing(void **state)
{
	static const char *const policies[] = {"reject host *", "reject host !*.example.org",
	    "reject helo x", "reject helo !x", "reject subject x", "reject subject !x",
	    "dnsbl a.example reject", "reject client * host !x"};
	struct world *w = *state;

	w->facts.has_host = w->facts.has_helo = false;
	w->truths[0] = TRUTH_UNKNOWN;
	for (size_t i = 0; i < COUNT(policies); i++) {
		walk(w, policies[i], STAGE_DATA);
		expect(w, ACTION_PASS, 0);
		assert_true(memmem(w->trace.p, w->trace.n, "#1 unknown", 10) != NULL);
	}
	w->facts.n_truths = 0;
	w->facts.n_answers = 0;
	walk(w, "reject subject !x\ndnsbl a.example reject", STAGE_DATA);
	expect(w, ACTION_PASS, 0);
	w->facts.n_truths = 1;
	w->truths[0] = 77; /* a worker's word is not trusted */
	walk(w, "reject subject !x", STAGE_DATA);
	expect(w, ACTION_PASS, 0);
}

/* A rule that nobody has tried on the content might match: the mail is put off, unless something else keeps the
 * rule from matching, or stronger is decided. */
static void
test_not_tried(void **state)
{
	static const struct {
		const char *policy;
		enum action action;
		uint32_t rule;
	} rows[] = {
	    {"reject subject x", ACTION_TEMPFAIL, 1},
	    {"reject subject !x", ACTION_TEMPFAIL, 1},
	    {"tag a subject x", ACTION_TEMPFAIL, 1},
	    {"tag b client *\nreject subject x", ACTION_TEMPFAIL, 2},
	    {"discard client *\ntag a subject x", ACTION_TEMPFAIL, 2},
	    {"observe reject subject x", ACTION_PASS, 0},
	    {"reject client 203.0.113.1  subject x", ACTION_PASS, 0},
	    {"reject asn 64512  subject x", ACTION_PASS, 0},
	    {"reject subject x  asn 64512", ACTION_PASS, 0},
	    {"reject to b@example.org\nreject subject x", ACTION_REJECT, 1},
	    {"hold from a@example.net\nreject subject x", ACTION_HOLD, 1},
	    {"accept client 192.0.2.1\nreject subject x", ACTION_PASS, 1},
	    {"reject subject x\naccept subject x", ACTION_TEMPFAIL, 1},
	};
	struct world *w = *state;

	memset(w->truths, TRUTH_SPENT, sizeof(w->truths));
	for (size_t i = 0; i < COUNT(rows); i++) {
		walk(w, rows[i].policy, STAGE_DATA);
		if (w->v.action != rows[i].action || w->v.rule != rows[i].rule)
			fail_msg("%s: %s by rule %u\n%.*s", rows[i].policy,
			    action_name(w->v.action), w->v.rule, SPAN_ARG(buf_span(&w->trace)));
	}
	walk(w, rows[0].policy, STAGE_DATA);
	assert_int_equal(w->v.code, 451);
	assert_string_equal(w->v.enhanced, "4.7.1");
	assert_non_null(strstr(w->v.why, "rule 1 was not tried"));
	assert_true(has_step(w, "data subject=x #1 not tried: too much work for regexes"));
	assert_true(has_step(w, "data rule=regexes #1 tempfail"));
	w->truths[1] = TRUTH_LIMIT; /* it matches nothing in any case */
	walk(w, "reject subject x  body x", STAGE_DATA);
	expect(w, ACTION_PASS, 0);
}

/* In the clear and without a user is known, and matches no value. */
static void
test_tls_and_auth(void **state)
{
	static const struct {
		const char *policy;
		struct span tls, user;
		enum action action;
	} rows[] = {
	    {"reject tls *", SPAN(""), SPAN(""), ACTION_PASS},
	    {"reject tls !*", SPAN(""), SPAN(""), ACTION_REJECT},
	    {"reject tls *", SPAN("TLSv1.3"), SPAN(""), ACTION_REJECT},
	    {"reject tls !*", SPAN("TLSv1.3"), SPAN(""), ACTION_PASS},
	    {"reject tls !TLSv1.3", SPAN("TLSv1.2"), SPAN(""), ACTION_REJECT},
	    {"reject tls TLSv1.2", SPAN("TLSv1.2"), SPAN(""), ACTION_REJECT},
	    {"reject tls /1\\.3$/", SPAN("TLSv1.3"), SPAN(""), ACTION_REJECT},
	    {"reject auth *", SPAN("TLSv1.3"), SPAN(""), ACTION_PASS},
	    {"reject auth !*", SPAN("TLSv1.3"), SPAN(""), ACTION_REJECT},
	    {"reject auth alice", SPAN(""), SPAN("alice"), ACTION_REJECT},
	    {"reject auth alice", SPAN(""), SPAN("alicia"), ACTION_PASS},
	    {"reject auth ali*", SPAN(""), SPAN("alicia"), ACTION_REJECT},
	};
	struct world *w = *state;

	for (size_t i = 0; i < COUNT(rows); i++) {
		w->facts.tls = rows[i].tls;
		w->facts.user = rows[i].user;
		walk(w, rows[i].policy, STAGE_DATA);
		if (w->v.action != rows[i].action)
			fail_msg("row %zu", i);
	}
}

static void
test_content_truths(void **state)
{
	struct world *w = *state;

	w->truths[0] = TRUTH_FALSE;
	w->truths[1] = TRUTH_TRUE;
	walk(w, "reject subject a\nreject body b", STAGE_DATA);
	expect(w, ACTION_REJECT, 2);
	assert_true(has_step(w, "data subject=a #1 no match"));
	assert_true(has_step(w, "data body=b #2 reject"));
	walk(w, "reject subject !a\nreject body b", STAGE_DATA);
	expect(w, ACTION_REJECT, 1);
}

static void
test_expiry(void **state)
{
	static const struct {
		const char *policy;
		bool is_live;
	} rows[] = {
	    {"reject client * until 2026-11-22", true}, /* to that day's end */
	    {"reject client * until 2026-11-21", false},
	    {"reject client * until 2026-11-22T00:00Z", false},
	    {"reject client * until 2026-11-22T00:01Z", true},
	    {"dnsbl a.example reject until 2026-11-21", false},
	    {"dnsbl a.example reject until 2026-11-22", true},
	};
	struct world *w = *state;

	w->answers[0].state = LIST_LISTED;
	for (size_t i = 0; i < COUNT(rows); i++) {
		walk(w, rows[i].policy, STAGE_RCPT);
		expect(w, rows[i].is_live ? ACTION_REJECT : ACTION_PASS, rows[i].is_live ? 1 : 0);
		assert_int_equal(
		    memmem(w->trace.p, w->trace.n, "#1 expired", 10) != NULL, !rows[i].is_live);
	}
	walk(w,
	    "tag x client * until 2026-11-21\naccept client * until 2026-11-21\nreject client *",
	    STAGE_CONNECT);
	expect(w, ACTION_REJECT, 3);
	assert_int_equal(w->v.n_tags, 0);
	w->answers[0].state = LIST_LISTED;
	w->answers[1].state = LIST_LISTED;
	walk(w, "dnswl w.example accept until 2026-11-21\ndnsbl a.example reject", STAGE_CONNECT);
	expect(w, ACTION_REJECT, 2);
}

static void
test_observe(void **state)
{
	struct world *w = *state;

	w->answers[0].state = LIST_LISTED;
	walk(w,
	    "observe dnsbl a.example reject\nobserve reject client *\nobserve tag x client *\n"
	    "observe score 5 client *\nobserve accept client *\nreject from *",
	    STAGE_MAIL);
	expect(w, ACTION_REJECT, 6);
	assert_int_equal(w->v.n_tags, 0);
	assert_int_equal(w->v.score_milli, 0);
	assert_true(has_step(w, "connect dnsbl=a.example #1 observed"));
	assert_true(has_step(w, "connect client=192.0.2.1 #2 observed"));
	assert_true(has_step(w, "connect client=192.0.2.1 #5 observed"));
	/* observed though a deciding rule stands before it */
	walk(w, "reject client *\nobserve reject client *", STAGE_CONNECT);
	assert_true(has_step(w, "connect client=192.0.2.1 #2 observed"));
}

static void
add_counted(void *arg, uint32_t rule)
{
	assert_int_equal(buf_addf(arg, "%u ", rule), 0);
}

/* Each rule that matched and was not passed over, `observe` rules too; with a tracer and without. */
static void
test_counted(void **state)
{
	static const struct {
		const char *policy, *counted;
		size_t n_observed;
		uint32_t observed[2];
	} rows[] = {
	    {"reject client 192.0.2.9", "", 0, {0}},
	    {"reject client *\nreject client *", "1 ", 0, {0}},
	    {"tag a client *\nscore 1 client *\naccept client *\nreject client *", "1 2 3 ", 0,
		{0}},
	    {"observe reject client *\nobserve tag a from *\nreject to *", "1 2 3 ", 2, {1, 2}},
	    {"accept client *\nobserve reject to *\nreject to *", "1 2 ", 1, {2}},
	    {"dnsbl a.example reject\ndnswl w.example accept\nobserve dnsbl b.example reject",
		"3 2 ", 1, {3}},
	    {"dnsbl a.example tag x\ndnsbl b.example score 1\ndnsbl c.example reject", "1 2 3 ", 0,
		{0}},
	    {"reject client * until 2026-01-01", "", 0, {0}},
	};
	struct world *w = *state;
	struct buf counted = BUF_INIT(4096);

	for (size_t k = 0; k < COUNT(w->answers); k++)
		w->answers[k].state = LIST_LISTED;
	w->facts.count = add_counted;
	w->facts.count_arg = &counted;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct verdict plain = {0};

		buf_clear(&counted);
		walk(w, rows[i].policy, STAGE_DATA);
		assert_true(span_eq(buf_span(&counted), span_str(rows[i].counted)));
		buf_clear(&counted);
		for (int at = STAGE_CONNECT; at <= STAGE_DATA; at++)
			decide_stage(w->snapshot, (enum stage)at, &w->facts, &plain, NULL, NULL);
		assert_true(span_eq(buf_span(&counted), span_str(rows[i].counted)));
		assert_int_equal(plain.n_observed, rows[i].n_observed);
		assert_memory_equal(plain.observed, rows[i].observed, sizeof(rows[i].observed));
		/* said anew, as EHLO is: counted again, named once */
		stage(w, STAGE_CONNECT);
		assert_int_equal(w->v.n_observed, rows[i].n_observed);
	}
	buf_free(&counted);
}

static void
test_many_observed(void **state)
{
	struct world *w = *state;
	struct buf text = BUF_INIT(4096);

	for (int i = 0; i < 2 * VERDICT_OBSERVED_MAX; i++)
		assert_int_equal(buf_add_str(&text, "observe reject client *\n"), 0);
	assert_int_equal(buf_add_char(&text, '\0'), 0);
	walk(w, text.p, STAGE_CONNECT);
	assert_int_equal(w->v.n_observed, VERDICT_OBSERVED_MAX);
	assert_int_equal(w->v.observed[VERDICT_OBSERVED_MAX - 1], VERDICT_OBSERVED_MAX);
	buf_free(&text);
}

/* --- DNS lists ------------------------------------------------------------------------------------- */

static void
test_lists(void **state)
{
	/* answers: of each list line in turn: L listed, n not listed, u unknown, e in error */
	static const struct {
		const char *policy, *answers;
		enum action action;
		uint32_t rule;
	} rows[] = {
	    {"dnsbl a.example reject", "L", ACTION_REJECT, 1},
	    {"dnsbl a.example reject", "n", ACTION_PASS, 0},
	    {"dnsbl a.example reject", "u", ACTION_PASS, 0},
	    {"dnsbl a.example reject", "e", ACTION_PASS, 0},
	    {"dnsbl a.example tempfail", "L", ACTION_TEMPFAIL, 1},
	    {"dnsbl a.example tag slow", "L", ACTION_TAG, 1},
	    {"dnsbl a.example tempfail\ndnsbl b.example reject", "LL", ACTION_TEMPFAIL, 1},
	    {"dnsbl a.example tempfail\ndnsbl b.example reject", "nL", ACTION_REJECT, 2},
	    {"dnsbl a.example tag x\ndnsbl b.example reject", "LL", ACTION_REJECT, 2},
	    /* at their own place among the rules */
	    {"accept client *\ndnsbl a.example reject", "L", ACTION_PASS, 1},
	    {"dnsbl a.example reject\naccept client *", "L", ACTION_REJECT, 1},
	    {"accept client *\ndnsbl a.example tag x", "L", ACTION_PASS, 1},
	    {"dnsbl a.example tag x\naccept client *", "L", ACTION_TAG, 1},
	    {"tempfail client *\ndnsbl a.example reject", "L", ACTION_TEMPFAIL, 1},
	    {"accept helo *\ndnsbl a.example reject", "L", ACTION_REJECT, 2},
	    /* dnswl wherever it stands, dnsbl results only */
	    {"dnsbl a.example reject\ndnswl w.example accept", "LL", ACTION_PASS, 0},
	    {"dnswl w.example accept\ndnsbl a.example reject", "LL", ACTION_PASS, 0},
	    {"dnswl w.example accept\ndnsbl a.example tag x", "LL", ACTION_PASS, 0},
	    {"dnswl w.example accept\ndnsbl a.example score 5 x", "LL", ACTION_PASS, 0},
	    {"dnswl w.example accept\ndnsbl a.example reject", "nL", ACTION_REJECT, 2},
	    {"dnswl w.example accept\ndnsbl a.example reject", "uL", ACTION_REJECT, 2},
	    {"dnswl w.example accept\ndnsbl a.example reject", "eL", ACTION_REJECT, 2},
	    {"dnswl w.example accept\nreject client *", "L", ACTION_REJECT, 2},
	    {"dnswl w.example accept\nreject from *", "L", ACTION_REJECT, 2},
	    {"observe dnswl w.example accept\ndnsbl a.example reject", "LL", ACTION_REJECT, 2},
	};
	struct world *w = *state;

	for (size_t i = 0; i < COUNT(rows); i++) {
		for (size_t k = 0; rows[i].answers[k] != '\0'; k++) {
			char c = rows[i].answers[k];

			w->answers[k].state = c == 'L'   ? LIST_LISTED
					      : c == 'n' ? LIST_NOT_LISTED
					      : c == 'e' ? LIST_ERROR
							 : LIST_UNKNOWN;
		}
		walk(w, rows[i].policy, STAGE_DATA);
		expect(w, rows[i].action, rows[i].rule);
	}
	walk(w, "dnswl w.example accept", STAGE_CONNECT);
	assert_true(w->v.spares_lists);
	assert_false(w->v.is_accepted);
	walk(w, "dnsbl A.example score 2.5", STAGE_CONNECT);
	assert_int_equal(w->v.score_milli, 2500);
	assert_true(has_step(w, "connect dnsbl=a.example #1 score"));
}

/* `connect` of the flow says what is looked at when a client connects. */
static void
test_flow_connect(void **state)
{
	static const char policy[] = "dnsbl a.example reject\ntempfail client *\nreject from *";
	struct world *w = *state;

	w->answers[0].state = LIST_LISTED;
	walk(w, policy, STAGE_CONNECT);
	expect(w, ACTION_REJECT, 1);
	w->flow.connect = CONNECT_ACCESS;
	walk(w, policy, STAGE_CONNECT);
	expect(w, ACTION_TEMPFAIL, 2);
	w->flow.connect = 0;
	walk(w, policy, STAGE_CONNECT);
	expect(w, ACTION_PASS, 0);
	stage(w, STAGE_MAIL);
	expect(w, ACTION_REJECT, 3);
}

/* A verdict is a value: copied where the walk branches, one recipient's accept is not another's. */
static void
test_branches(void **state)
{
	struct world *w = *state;
	struct verdict transaction, first, second;

	w->truths[0] = TRUTH_TRUE;
	take_policy(w, "tag s client *\naccept to vip@example.org\nreject subject x");
	stage(w, STAGE_CONNECT);
	stage(w, STAGE_HELO);
	stage(w, STAGE_MAIL);
	transaction = w->v;
	w->facts.to = SPAN("vip@example.org");
	stage(w, STAGE_RCPT);
	stage(w, STAGE_DATA);
	first = w->v;
	w->v = transaction;
	w->facts.to = SPAN("b@example.org");
	stage(w, STAGE_RCPT);
	stage(w, STAGE_DATA);
	second = w->v;
	assert_int_equal(first.action, ACTION_TAG);
	assert_true(first.is_accepted);
	assert_int_equal(second.action, ACTION_REJECT);
	assert_int_equal(second.rule, 3);
	assert_int_equal(second.n_tags, 1);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	const struct CMUnitTest tests[] = {
	    TEST(test_stages),
	    TEST(test_first_in_listed_order),
	    TEST(test_all_facets_must_match),
	    TEST(test_unknown_matches_nothing),
	    TEST(test_not_tried),
	    TEST(test_tls_and_auth),
	    TEST(test_content_truths),
	    TEST(test_expiry),
	    TEST(test_observe),
	    TEST(test_counted),
	    TEST(test_many_observed),
	    TEST(test_lists),
	    TEST(test_flow_connect),
	    TEST(test_branches),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The decision on lists of domains, and on the sender's domain. */
#include "tests/unit/decide_world.h"

static void
listed(struct world *w, size_t list, const char *name)
{
	w->answers[list] = (struct list_answer){
	    .state = LIST_LISTED, .address = 0x7f000102, .name = span_str(name), .n_names = 1};
}

static int
setup_unlisted(void **state)
{
	(void)setup(state);
	for (size_t i = 0; i < COUNT(((struct world *)*state)->answers); i++)
		((struct world *)*state)->answers[i].state = LIST_NOT_LISTED;
	return 0;
}

/* Each acts at its own stage, and says what was listed. */
static void
test_stages(void **state)
{
	static const struct {
		const char *policy;
		enum stage stage;
	} rows[] = {{"dnsbl d.example of host reject\n", STAGE_CONNECT},
	    {"dnsbl d.example of helo reject\n", STAGE_HELO},
	    {"dnsbl d.example of from reject\n", STAGE_MAIL},
	    {"dnsbl d.example of url reject\n", STAGE_DATA}};
	struct world *w = *state;

	listed(w, 0, "bad.example");
	for (size_t i = 0; i < COUNT(rows); i++) {
		take_policy(w, rows[i].policy);
		for (enum stage at = STAGE_CONNECT; at < rows[i].stage; at++)
			stage(w, at);
		expect(w, ACTION_PASS, 0);
		stage(w, rows[i].stage);
		expect(w, ACTION_REJECT, 1);
		assert_int_equal(w->v.stage, rows[i].stage);
		assert_string_equal(w->v.text, "bad.example is listed by d.example");
		assert_string_equal(w->v.enhanced, "5.7.1");
		assert_true(span_eq(w->v.by, SPAN("dnsbl")));
		assert_non_null(strstr(w->v.why, "rule 1, bad.example: dnsbl d.example of"));
	}
	assert_true(has_step(w, "data dnsbl=bad.example #1 reject"));
}

static void
test_order_and_spares(void **state)
{
	struct world *w = *state;

	listed(w, 0, "bad.example");
	listed(w, 1, "mail.example.net");
	walk(w, "dnsbl d.example of from reject\n", STAGE_DATA);
	expect(w, ACTION_REJECT, 1);
	walk(w, "dnsbl d.example of from reject text \"No\"\n", STAGE_DATA);
	assert_string_equal(w->v.text, "No");
	walk(w, "accept client 192.0.2.1\ndnsbl d.example of from reject\n", STAGE_DATA);
	expect(w, ACTION_PASS, 1);
	assert_true(has_step(w, "mail rule=Listed by d.example #2 skipped: accepted"));
	walk(w, "dnsbl d.example of from reject\naccept from a@example.net\n", STAGE_MAIL);
	expect(w, ACTION_REJECT, 1);
	/* A verified name that is welcome spares what other lists say, of URLs too. */
	walk(w, "dnsbl d.example of url reject\ndnswl w.example of host accept\n", STAGE_DATA);
	expect(w, ACTION_PASS, 0);
	assert_true(has_step(w, "connect dnswl=mail.example.net #2 accept"));
	assert_true(has_step(w, "data dnsbl=bad.example #1 skipped: dnswl"));
	walk(w, "observe dnsbl d.example of helo reject\n", STAGE_DATA);
	expect(w, ACTION_PASS, 0);
	assert_true(has_step(w, "helo dnsbl=bad.example #1 observed"));
}

static void
test_marks(void **state)
{
	struct world *w = *state;

	listed(w, 0, "bad.example");
	listed(w, 1, "bad.example");
	walk(w, "dnsbl d.example of url tag listed\ndnsbl d.example of helo score 2.5\n",
	    STAGE_DATA);
	expect(w, ACTION_TAG, 1);
	assert_int_equal(w->v.score_milli, 2500);
	assert_true(span_eq(w->v.tags[0].name, SPAN("listed")));
}

/* What hurts nobody, and what a flow leaves out. */
static void
test_unknown(void **state)
{
	static const enum list_state states[] = {LIST_UNKNOWN, LIST_NOT_LISTED, LIST_ERROR};
	struct world *w = *state;

	for (size_t i = 0; i < COUNT(states); i++) {
		w->answers[0] = (struct list_answer){.state = states[i], .n_names = 3};
		walk(w, "dnsbl d.example of from reject\n", STAGE_DATA);
		expect(w, ACTION_PASS, 0);
	}
	assert_true(has_step(w, "mail dnsbl=d.example #1 list error"));
	listed(w, 0, "bad.example");
	w->flow.connect = CONNECT_ACCESS;
	walk(w, "dnsbl d.example of from reject\n", STAGE_DATA);
	expect(w, ACTION_PASS, 0);
	assert_true(has_step(w, "mail dnsbl=bad.example #1 skipped: not in the flow's connect"));
}

/* --- the sender's domain ------------------------------------------------------------------------- */

#define MISSING "does not exist; check the sender's address"

static void
test_sender_faults(void **state)
{
	static const struct {
		enum sender_fact fact;
		enum action action; /* as configured */
		enum action wanted;
		int code;
		const char *enhanced, *text, *tag;
	} rows[] = {
	    {SENDER_MISSING, ACTION_REJECT, ACTION_REJECT, 550, "5.1.8",
		"Domain example.net " MISSING, ""},
	    {SENDER_MISSING, ACTION_TEMPFAIL, ACTION_TEMPFAIL, 450, "4.1.8",
		"Domain example.net " MISSING, ""},
	    {SENDER_MISSING, ACTION_TAG, ACTION_TAG, 0, "", "", "sender-missing"},
	    {SENDER_MISSING, ACTION_PASS, ACTION_PASS, 0, "", "", ""},
	    {SENDER_NULL_MX, ACTION_REJECT, ACTION_REJECT, 550, "5.7.27",
		"Domain example.net takes no mail (null MX, RFC 7505) and so cannot send any", ""},
	    {SENDER_NULL_MX, ACTION_TEMPFAIL, ACTION_TEMPFAIL, 450, "4.7.27",
		"Domain example.net takes no mail (null MX, RFC 7505) and so cannot send any", ""},
	    {SENDER_NULL_MX, ACTION_TAG, ACTION_TAG, 0, "", "", "sender-null-mx"},
	    {SENDER_UNREACHABLE, ACTION_TAG, ACTION_TAG, 0, "", "", "sender-unreachable"},
	    {SENDER_PRIVATE, ACTION_TAG, ACTION_TAG, 0, "", "", "sender-private"},
	    {SENDER_UNKNOWN, ACTION_REJECT, ACTION_PASS, 0, "", "", ""},
	    {SENDER_FINE, ACTION_REJECT, ACTION_PASS, 0, "", "", ""},
	    {SENDER_OWN, ACTION_REJECT, ACTION_PASS, 0, "", "", ""},
	};
	struct world *w = *state;

	w->flow.connect |= CONNECT_SENDER;
	for (size_t i = 0; i < COUNT(rows); i++) {
		enum action a = rows[i].action;

		w->flow.sender = (struct conf_sender){
		    .missing = a, .null_mx = a, .unreachable = a, .private = a};
		w->facts.sender = rows[i].fact;
		walk(w, "", STAGE_DATA);
		if (w->v.action != rows[i].wanted || w->v.code != rows[i].code)
			fail_msg("row %zu: %d %d", i, (int)w->v.action, w->v.code);
		assert_string_equal(w->v.enhanced, rows[i].enhanced);
		assert_string_equal(w->v.text, rows[i].text);
		assert_int_equal(w->v.n_tags, rows[i].tag[0] != '\0');
		if (w->v.n_tags > 0) {
			assert_true(span_eq(w->v.tags[0].name, span_str(rows[i].tag)));
			assert_true(span_eq(w->v.by, SPAN("sender")));
		}
	}
}

static void
test_sender_steps(void **state)
{
	struct world *w = *state;

	w->flow.connect |= CONNECT_SENDER;
	w->flow.sender = (struct conf_sender){.missing = ACTION_REJECT};
	w->facts.sender = SENDER_MISSING;
	walk(w, "", STAGE_DATA);
	assert_true(has_step(w, "mail sender=the sender's domain does not exist #0 reject"));
	walk(w, "accept from @example.net\n", STAGE_DATA);
	expect(w, ACTION_PASS, 1);
	assert_true(has_step(w, "mail sender=example.net #0 skipped: accepted"));
	w->facts.sender = SENDER_UNKNOWN;
	walk(w, "", STAGE_DATA);
	assert_true(has_step(w, "mail sender=example.net #0 unknown"));
	w->facts.sender = SENDER_OWN;
	walk(w, "", STAGE_DATA);
	assert_true(has_step(w, "mail sender=example.net #0 skipped: one of ours"));
	/* The null sender has no domain, and a flow that does not ask sees nothing. */
	w->facts.sender = SENDER_MISSING;
	w->facts.from = SPAN("");
	walk(w, "", STAGE_DATA);
	expect(w, ACTION_PASS, 0);
	assert_int_equal(w->trace.n, 0);
	w->facts.from = SPAN("a@example.net");
	w->flow.connect = CONNECT_ACCESS;
	walk(w, "", STAGE_DATA);
	expect(w, ACTION_PASS, 0);
}

/* The tag is a fact for rules. */
static void
test_sender_tag_in_rules(void **state)
{
	struct world *w = *state;

	w->flow.connect |= CONNECT_SENDER;
	w->flow.sender = (struct conf_sender){.private = ACTION_TAG};
	w->facts.sender = SENDER_PRIVATE;
	walk(w, "quarantine tag sender-private\n", STAGE_DATA);
	expect(w, ACTION_QUARANTINE, 1);
}

#define TEST(t) cmocka_unit_test_setup_teardown(t, setup_unlisted, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {TEST(test_stages), TEST(test_order_and_spares),
	    TEST(test_marks), TEST(test_unknown), TEST(test_sender_faults), TEST(test_sender_steps),
	    TEST(test_sender_tag_in_rules)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

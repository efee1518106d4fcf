/* The decision: order of rules and stages, accept's scope, DNS lists, filters, scores, replies. */
#include "policy/decide/decide.h"
#include "relay/base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

enum { NOW_2026_11_22 = 1795305600 }; /* seconds */

/* --- a world: flow, filters, facts ----------------------------------------------------------------- */

static const struct pnf_outcome av_outcomes[] = {
    {"infected", "reject", ""}, {"unscannable", "tag", ""}, {NULL, NULL, NULL}};
static const struct pnf_outcome spf_outcomes[] = {
    {"fail", "reject", ""}, {"softfail", "tag", ""}, {NULL, NULL, NULL}};
static const struct pnf_about av_about = {.name = "clamav", .outcomes = av_outcomes};
static const struct pnf_about spf_about = {.name = "content", .outcomes = spf_outcomes};
static const struct conf_filter av = {.name = "antivirus", .plugin = &av_about};
static const struct conf_filter spf = {.name = "content", .plugin = &spf_about};

struct world {
	enum action av_actions[2], spf_actions[2];
	struct conf_flow flow;
	struct facts facts;
	struct list_answer answers[8];
	uint8_t truths[8];
	struct filter_outcome outcomes[4];
	struct filter_tag tags[60];
	struct snapshot *snapshot;
	struct verdict v;
	struct buf trace;
};

static struct ip
ip_of(const char *text)
{
	struct ip ip;

	assert_true(ip_parse(span_str(text), &ip));
	return ip;
}

static int
setup(void **state)
{
	static struct world w;

	w = (struct world){.av_actions = {ACTION_REJECT, ACTION_TAG},
	    .spf_actions = {ACTION_REJECT, ACTION_TAG},
	    .trace = BUF_INIT(65536)};
	w.flow = (struct conf_flow){.name = "inbound", .connect = CONNECT_ACCESS | CONNECT_DNSBL};
	w.flow.filters[0] = (struct conf_flow_filter){
	    .filter = &av, .actions = {.outcomes = w.av_actions, .failure = ACTION_TEMPFAIL}};
	w.flow.filters[1] = (struct conf_flow_filter){
	    .filter = &spf, .actions = {.outcomes = w.spf_actions, .failure = ACTION_TAG}};
	w.flow.n_filters = 2;
	w.facts = (struct facts){.now_wall_ms = (int64_t)NOW_2026_11_22 * 1000,
	    .client = ip_of("192.0.2.1"),
	    .has_host = true,
	    .host = SPAN("mail.example.net"),
	    .has_helo = true,
	    .helo = SPAN("helo.example.net"),
	    .from = SPAN("a@example.net"),
	    .to = SPAN("b@example.org"),
	    .answers = w.answers,
	    .n_answers = COUNT(w.answers),
	    .truths = w.truths,
	    .n_truths = COUNT(w.truths),
	    .outcomes = w.outcomes,
	    .filter_tags = w.tags,
	    .flow = &w.flow,
	    .hostname = "mx1.example.org"};
	*state = &w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	snapshot_release(&w->snapshot);
	buf_free(&w->trace);
	return 0;
}

static void
trace(void *arg, const struct step *step)
{
	struct world *w = arg;

	assert_int_equal(buf_addf(&w->trace, "%s %s=%.*s #%u %s\n", stage_name(step->stage),
			     step->fact, SPAN_ARG(step->value), step->rule, step->result),
	    0);
}

static void
take_policy(struct world *w, const char *text)
{
	struct policy_errors errors;

	snapshot_release(&w->snapshot);
	w->snapshot = snapshot_parse(span_str(text), "p", NULL, NULL, &errors);
	if (w->snapshot == NULL)
		fail_msg("%.*s", SPAN_ARG(buf_span(&errors.lines)));
	buf_free(&errors.lines);
	w->v = (struct verdict){0};
	buf_clear(&w->trace);
}

static void
stage(struct world *w, enum stage at)
{
	decide_stage(w->snapshot, at, &w->facts, &w->v, trace, w);
}

/* All stages up to `last`. */
static void
walk(struct world *w, const char *policy, enum stage last)
{
	take_policy(w, policy);
	for (int at = STAGE_CONNECT; at <= (int)last; at++)
		stage(w, (enum stage)at);
}

static bool
has_step(struct world *w, const char *line)
{
	struct span rest = buf_span(&w->trace);

	while (rest.n > 0)
		if (span_eq(span_cut(&rest, '\n'), span_str(line)))
			return true;
	print_message("%.*s", SPAN_ARG(buf_span(&w->trace)));
	return false;
}

static void
expect(struct world *w, enum action action, uint32_t rule)
{
	if (w->v.action != action || w->v.rule != rule)
		fail_msg("action %d by rule %u, not %d by %u:\n%.*s", (int)w->v.action, w->v.rule,
		    (int)action, rule, SPAN_ARG(buf_span(&w->trace)));
}

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
	    {"accept from *\nreject client *", ACTION_REJECT, 2, false},
	    {"accept helo *\nreject to *\nreject helo *", ACTION_PASS, 1, true},
	    /* the strongest of several stages */
	    {"tempfail client *\nreject from *", ACTION_REJECT, 2, false},
	    {"tempfail from *\nreject client *", ACTION_REJECT, 2, false},
	    {"tempfail client *\naccept to *", ACTION_TEMPFAIL, 1, false},
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

/* --- tags and scores ------------------------------------------------------------------------------- */

static void
test_tags(void **state)
{
	struct world *w = *state;

	walk(w,
	    "accept client *\ntag one client * note secret\ntag two from @example.net text "
	    "\"why\"\n"
	    "score 2.5 three to *\nscore -1 to *\ntag one to *",
	    STAGE_DATA);
	expect(w, ACTION_TAG, 2);
	assert_int_equal(w->v.stage, STAGE_CONNECT);
	assert_int_equal(w->v.n_tags, 3);
	assert_true(span_eq(w->v.tags[0].name, SPAN("one")));
	assert_true(span_eq(w->v.tags[0].by, SPAN("policy")));
	assert_true(span_eq(w->v.tags[0].why, SPAN("client *"))); /* notes stay inside */
	assert_true(span_eq(w->v.tags[1].why, SPAN("why")));
	assert_int_equal(w->v.tags[2].score_milli, 2500);
	assert_int_equal(w->v.score_milli, 1500);
	assert_int_equal(w->v.code, 0);
	assert_string_equal(w->v.text, "");
}

static void
test_tag_limit(void **state)
{
	struct buf text = BUF_INIT(65536);
	struct world *w = *state;

	for (int i = 0; i <= VERDICT_TAGS_MAX; i++)
		assert_int_equal(buf_addf(&text, "score 1 t%d client *\n", i), 0);
	assert_int_equal(buf_add_char(&text, '\0'), 0);
	walk(w, text.p, STAGE_CONNECT);
	assert_int_equal(w->v.n_tags, VERDICT_TAGS_MAX);
	assert_int_equal(w->v.score_milli, (VERDICT_TAGS_MAX + 1) * 1000);
	assert_true(has_step(w, "connect tag=t48 #49 skipped: too many tags"));
	buf_free(&text);
}

static void
test_thresholds(void **state)
{
	static const struct {
		const char *policy;
		enum action action;
		bool is_spam;
		int code;
	} rows[] = {
	    {"score 3.999 client *", ACTION_PASS, false, 0},
	    {"score 4 client *", ACTION_TAG, true, 0},
	    {"score 2 client *\nscore 2 from *", ACTION_TAG, true, 0},
	    {"score 7.999 client *", ACTION_TAG, true, 0},
	    {"score 8 client *", ACTION_TEMPFAIL, true, 450},
	    {"score 12 client *", ACTION_REJECT, true, 550},
	    {"score 100 client *\nscore -97 to *", ACTION_PASS, false, 0},
	    {"score 12 client *\ntempfail to *", ACTION_REJECT, true, 550},
	    {"score 8 client *\nreject to *", ACTION_REJECT, true, 550},
	    {"score 12 client *\naccept client *", ACTION_PASS, false, 0},
	    {"score 12 client *\naccept to *", ACTION_PASS, false, 0},
	    {"score 12 client *\naccept subject !x", ACTION_PASS, false, 0},
	};
	struct world *w = *state;

	w->flow.score = (struct conf_score){.has_tag = true,
	    .has_tempfail = true,
	    .has_reject = true,
	    .tag_milli = 4000,
	    .tempfail_milli = 8000,
	    .reject_milli = 12000};
	for (size_t i = 0; i < COUNT(rows); i++) {
		walk(w, rows[i].policy, STAGE_DATA);
		if (w->v.action != rows[i].action || w->v.is_spam != rows[i].is_spam ||
		    w->v.code != rows[i].code)
			fail_msg("%s: %d %d %d", rows[i].policy, (int)w->v.action, w->v.is_spam,
			    w->v.code);
	}
	walk(w, "score 12 client *", STAGE_DATA);
	assert_true(span_eq(w->v.by, SPAN("score")));
	assert_string_equal(w->v.enhanced, "5.7.1");
	assert_true(has_step(w, "data score=12 #0 reject"));
	w->flow.score = (struct conf_score){0}; /* no section: no thresholds, no flag */
	walk(w, "score 100 client *", STAGE_DATA);
	expect(w, ACTION_PASS, 0);
	assert_false(w->v.is_spam);
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

/* --- replies --------------------------------------------------------------------------------------- */

static void
test_replies(void **state)
{
	static const struct {
		const char *policy;
		int code;
		const char *enhanced, *text, *by;
	} rows[] = {
	    {"reject client *", 550, "5.7.1", "Refused by policy of mx1.example.org", "policy"},
	    {"reject client * text \"Go away, see \\\"x\\\"\" note n", 550, "5.7.1",
		"Go away, see \"x\"", "policy"},
	    {"tempfail client *", 450, "4.7.1", "Deferred by policy of mx1.example.org", "policy"},
	    {"tempfail from * text later", 450, "4.7.1", "later", "policy"},
	    {"dnsbl Zen.Example.net reject", 550, "5.7.1", "Listed by zen.example.net", "dnsbl"},
	    {"dnsbl zen.example.net tempfail", 450, "4.7.1", "Listed by zen.example.net", "dnsbl"},
	    {"dnsbl zen.example.net reject text \"No\"", 550, "5.7.1", "No", "dnsbl"},
	    {"tempfail client *\nreject from * text no", 550, "5.7.1", "no", "policy"},
	    {"tag x client *", 0, "", "", "policy"},
	};
	struct world *w = *state;

	w->answers[0].state = LIST_LISTED;
	for (size_t i = 0; i < COUNT(rows); i++) {
		walk(w, rows[i].policy, STAGE_RCPT);
		assert_int_equal(w->v.code, rows[i].code);
		assert_string_equal(w->v.enhanced, rows[i].enhanced);
		assert_string_equal(w->v.text, rows[i].text);
		assert_true(span_eq(w->v.by, span_str(rows[i].by)));
	}
	walk(w, "reject client * note \"ticket 7\"", STAGE_CONNECT);
	assert_string_equal(w->v.why, "rule 1: reject client * note \"ticket 7\"");
}

/* --- filters --------------------------------------------------------------------------------------- */

static void
test_filters(void **state)
{
	enum { AV = 0, CONTENT = 1, FAILURE = -1 };
	static const struct {
		const char *policy;
		int filter, outcome;
		const char *why;
		enum action action;
		int code;
		const char *text, *tag;
	} rows[] = {
	    {"", AV, 0, "Win.Test", ACTION_REJECT, 550, "Message refused by antivirus: Win.Test",
		""},
	    {"", AV, 0, "", ACTION_REJECT, 550, "Message refused by antivirus: infected", ""},
	    {"", AV, 0, "a\r\n250 b\xff", ACTION_REJECT, 550,
		"Message refused by antivirus: a??250 b?", ""},
	    {"", AV, 1, "too deep", ACTION_TAG, 0, "", "unscannable"},
	    {"", AV, FAILURE, "crash", ACTION_TEMPFAIL, 451,
		"Message could not be checked, try again later", ""},
	    {"", CONTENT, FAILURE, "crash", ACTION_TAG, 0, "", "unscanned"},
	    {"", CONTENT, 0, "", ACTION_REJECT, 550, "Message refused by content: fail", ""},
	    {"", CONTENT, 1, "", ACTION_TAG, 0, "", "softfail"},
	    /* accept spares other filters, never these */
	    {"accept client *", AV, 0, "v", ACTION_REJECT, 550, "Message refused by antivirus: v",
		""},
	    {"accept to *", AV, FAILURE, "", ACTION_TEMPFAIL, 451,
		"Message could not be checked, try again later", ""},
	    {"accept client *", AV, 1, "", ACTION_TAG, 0, "", "unscannable"},
	    {"accept client *", CONTENT, 0, "", ACTION_PASS, 0, "", ""},
	    {"accept subject !x", CONTENT, 0, "", ACTION_PASS, 0, "", ""},
	    {"accept client *", CONTENT, FAILURE, "", ACTION_TAG, 0, "", "unscanned"},
	    /* the strongest wins */
	    {"reject to * text r", AV, FAILURE, "", ACTION_REJECT, 550, "r", ""},
	    {"tempfail to * text t", AV, 0, "v", ACTION_REJECT, 550,
		"Message refused by antivirus: v", ""},
	    {"tempfail to * text t", AV, FAILURE, "", ACTION_TEMPFAIL, 450, "t", ""},
	};
	struct world *w = *state;

	for (size_t i = 0; i < COUNT(rows); i++) {
		w->outcomes[0] = (struct filter_outcome){.filter = &w->flow.filters[rows[i].filter],
		    .outcome = rows[i].outcome,
		    .why = span_str(rows[i].why)};
		w->facts.n_outcomes = 1;
		walk(w, rows[i].policy, STAGE_DATA);
		if (w->v.action != rows[i].action || w->v.code != rows[i].code ||
		    strcmp(w->v.text, rows[i].text) != 0)
			fail_msg("row %zu: %d %d %s", i, (int)w->v.action, w->v.code, w->v.text);
		assert_int_equal(w->v.n_tags, rows[i].tag[0] != '\0');
		if (w->v.n_tags > 0) {
			assert_true(span_eq(w->v.tags[0].name, span_str(rows[i].tag)));
			assert_true(span_eq(w->v.tags[0].why, span_str(rows[i].why)));
			assert_string_equal(
			    w->v.tags[0].by.p, w->flow.filters[rows[i].filter].filter->name);
		}
	}
}

static void
test_long_why(void **state)
{
	char why[2000];
	struct world *w = *state;

	memset(why, 'w', sizeof(why));
	w->outcomes[0] = (struct filter_outcome){
	    .filter = &w->flow.filters[0], .outcome = 0, .why = span_of(why, sizeof(why))};
	w->facts.n_outcomes = 1;
	walk(w, "", STAGE_DATA);
	assert_true(strlen(w->v.text) < VERDICT_REPLY_MAX);
	assert_true(strlen(w->v.why) < VERDICT_WHY_MAX);
}

static void
test_filter_tags(void **state)
{
	struct world *w = *state;

	w->tags[0] = (struct filter_tag){
	    .filter = &spf, .name = SPAN("links"), .why = SPAN("3 urls"), .score_milli = 1500};
	w->tags[1] = (struct filter_tag){.filter = &av, .name = SPAN("links"), .score_milli = 500};
	w->facts.n_filter_tags = 2;
	w->flow.score = (struct conf_score){.has_tag = true, .tag_milli = 5000};
	walk(w, "score 3 links to *", STAGE_DATA);
	assert_int_equal(w->v.n_tags, 3); /* of one name, by three */
	assert_int_equal(w->v.score_milli, 5000);
	assert_true(w->v.is_spam);
	assert_int_equal(w->v.action, ACTION_TAG);
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

/* --- properties ------------------------------------------------------------------------------------ */

static const char *
pick(const char *const *words, size_t n)
{
	return words[rng_below((uint32_t)n)];
}

static void
random_policy(struct buf *text)
{
	static const char *const verbs[] = {"accept", "reject", "tempfail", "tag a", "tag b",
	    "score 3", "score -1.5 c", "observe reject"};
	static const char *const facets[] = {"client 192.0.2.0/28", "client !192.0.2.1",
	    "host .a.example", "host !x", "helo /^h[0-4]/", "from <>", "from @a.example",
	    "to b@example.org", "to !/c/", "subject x", "body !/y/", "header X-A *"};
	static const char *const list_lines[] = {"dnsbl a.example reject\n",
	    "dnsbl b.example tag listed\n", "dnsbl c.example score 2\n", "dnswl w.example accept\n",
	    "observe dnsbl d.example tempfail\n"};
	static const char *const ends[] = {"", " text t", " until 2026-11-21", " note n # c"};
	uint32_t n_lists = 0;

	buf_clear(text);
	for (uint32_t i = rng_below(12); i > 0; i--) {
		if (rng_below(4) == 0 && n_lists++ < 8) {
			(void)buf_add_str(text, pick(list_lines, COUNT(list_lines)));
			continue;
		}
		(void)buf_add_str(text, pick(verbs, COUNT(verbs)));
		for (uint32_t k = rng_below(3) + 1; k > 0; k--)
			(void)buf_addf(text, " %s", pick(facets, COUNT(facets)));
		(void)buf_addf(text, "%s\n", pick(ends, COUNT(ends)));
	}
	(void)buf_add_char(text, '\0');
}

static void
random_facts(struct world *w)
{
	static const char *const hosts[] = {"a.example", "m.a.example", "x"};
	static const char *const helos[] = {"h1", "h9", "[192.0.2.1]"};
	static const char *const froms[] = {"", "u@a.example", "c@b.example"};
	static const char *const tos[] = {"b@example.org", "c@example.org"};

	w->facts.client.bytes[15] = (uint8_t)rng_below(32);
	w->facts.has_host = rng_below(2) == 0;
	w->facts.host = span_str(pick(hosts, COUNT(hosts)));
	w->facts.helo = span_str(pick(helos, COUNT(helos)));
	w->facts.from = span_str(pick(froms, COUNT(froms)));
	w->facts.to = span_str(pick(tos, COUNT(tos)));
	for (size_t i = 0; i < COUNT(w->truths); i++)
		w->truths[i] = (uint8_t)rng_below(3);
	for (size_t i = 0; i < COUNT(w->answers); i++)
		w->answers[i].state = (enum list_state)rng_below(4);
	w->facts.n_outcomes = rng_below(3);
	for (size_t i = 0; i < w->facts.n_outcomes; i++)
		w->outcomes[i] = (struct filter_outcome){.filter = &w->flow.filters[i],
		    .outcome = (int)rng_below(3) - 1,
		    .why = SPAN("w")};
}

static void
assert_same(const struct verdict *a, const struct verdict *b)
{
	assert_int_equal(a->action, b->action);
	assert_int_equal(a->rule, b->rule);
	assert_int_equal(a->stage, b->stage);
	assert_int_equal(a->is_accepted, b->is_accepted);
	assert_int_equal(a->spares_lists, b->spares_lists);
	assert_int_equal(a->score_milli, b->score_milli);
	assert_int_equal(a->n_tags, b->n_tags);
	assert_string_equal(a->text, b->text);
	assert_string_equal(a->why, b->why);
	for (size_t i = 0; i < a->n_tags; i++)
		assert_true(span_eq(a->tags[i].name, b->tags[i].name) &&
			    span_eq(a->tags[i].why, b->tags[i].why));
}

/*
 * Whatever the policy and the facts: the same facts give the same verdict and trace, with a tracer
 * or without, and from the snapshot's own text again; the action never weakens from stage to
 * stage; a refusal has a code and a text, and nothing else has.
 */
static void
test_properties(void **state)
{
	struct buf text = BUF_INIT(65536), again = BUF_INIT(65536);
	struct world *w = *state;

	rng_seed(2026);
	for (int round = 0; round < 2000; round++) {
		struct verdict first, plain = {0};
		enum action before = ACTION_PASS;
		bool is_refusal;

		random_policy(&text);
		random_facts(w);
		take_policy(w, text.p);
		for (int at = STAGE_CONNECT; at <= STAGE_DATA; at++) {
			stage(w, (enum stage)at);
			assert_true(w->v.action >= before);
			before = w->v.action;
			decide_stage(w->snapshot, (enum stage)at, &w->facts, &plain, NULL, NULL);
		}
		first = w->v;
		assert_same(&first, &plain);
		is_refusal = first.action >= ACTION_TEMPFAIL;
		assert_int_equal(is_refusal, first.code != 0);
		assert_int_equal(is_refusal, first.text[0] != '\0');
		assert_true(first.action != ACTION_PASS || first.n_tags == 0);
		buf_clear(&again);
		assert_int_equal(buf_add_span(&again, snapshot_text(w->snapshot)), 0);
		assert_int_equal(buf_add_char(&again, '\0'), 0);
		/* the first verdict's tags live in the snapshot */
		(void)snapshot_hold(w->snapshot);
		{
			struct snapshot *held = w->snapshot;

			walk(w, again.p, STAGE_DATA);
			assert_same(&first, &w->v);
			snapshot_release(&held);
		}
	}
	buf_free(&text);
	buf_free(&again);
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
	    TEST(test_content_truths),
	    TEST(test_expiry),
	    TEST(test_observe),
	    TEST(test_tags),
	    TEST(test_tag_limit),
	    TEST(test_thresholds),
	    TEST(test_lists),
	    TEST(test_flow_connect),
	    TEST(test_replies),
	    TEST(test_filters),
	    TEST(test_long_why),
	    TEST(test_filter_tags),
	    TEST(test_branches),
	    TEST(test_properties),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The verdict: tags, scores, replies, filters, and what holds for every policy and session. */
#include "relay/base/rng.h"
#include "tests/unit/decide_world.h"

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

	w->flow.score = (struct conf_score){
	    .has = {[ACTION_TAG] = true, [ACTION_TEMPFAIL] = true, [ACTION_REJECT] = true},
	    .milli = {[ACTION_TAG] = 4000, [ACTION_TEMPFAIL] = 8000, [ACTION_REJECT] = 12000}};
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
	w->flow.score.has[ACTION_QUARANTINE] = w->flow.score.has[ACTION_KEEP] = true;
	w->flow.score.milli[ACTION_QUARANTINE] = 6000;
	w->flow.score.milli[ACTION_KEEP] = 20000;
	walk(w, "score 5 client *", STAGE_DATA);
	expect(w, ACTION_TAG, 0);
	walk(w, "score 6 client *", STAGE_DATA);
	expect(w, ACTION_QUARANTINE, 0);
	assert_true(has_step(w, "data score=6 #0 quarantine"));
	walk(w, "score 20 client *", STAGE_DATA);
	expect(w, ACTION_KEEP, 0);
	assert_int_equal(w->v.code, 550);
	w->flow.score = (struct conf_score){0}; /* no section: no thresholds, no flag */
	walk(w, "score 100 client *", STAGE_DATA);
	expect(w, ACTION_PASS, 0);
	assert_false(w->v.is_spam);
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
	    {"quarantine client * text \"spoofed\"", 0, "", "", "policy"},
	    {"discard client *", 0, "", "", "policy"},
	    {"hold client *", 0, "", "", "policy"},
	    {"keep client * text \"No\"", 550, "5.7.1", "No", "policy"},
	    {"keep client *", 550, "5.7.1", "Refused by policy of mx1.example.org", "policy"},
	    {"dnsbl zen.example.net quarantine", 0, "", "", "dnsbl"},
	    {"quarantine client *\naccept from *\nreject to *", 0, "", "", "policy"},
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

/* Both outcomes of the first filter, with these actions; `uncut`: why what the first asks for cannot be done. */
static void
walk_two(
    struct world *w, enum action first, enum action second, const char *uncut, const char *policy)
{
	w->av_actions[0] = first;
	w->av_actions[1] = second;
	w->outcomes[0] = (struct filter_outcome){.filter = &w->flow.filters[0],
	    .outcome = 0,
	    .why = SPAN("v"),
	    .uncut = span_str(uncut)};
	w->outcomes[1] =
	    (struct filter_outcome){.filter = &w->flow.filters[0], .outcome = 1, .why = SPAN("u")};
	w->facts.n_outcomes = 2;
	walk(w, policy, STAGE_DATA);
}

/* Two outcomes of one filter, the first with the action strip: what it competes with, and what
 * becomes of a part that cannot be taken out. */
static void
test_strip(void **state)
{
	static const struct {
		enum action other; /* of the second outcome */
		const char *uncut, *policy;
		enum action action;
		bool strips_first, strips_second;
		const char *why;
		size_t n_tags;
	} rows[] = {
	    {ACTION_PASS, "", "", ACTION_STRIP, true, false, "filter antivirus: infected: v", 1},
	    {ACTION_TAG, "", "", ACTION_STRIP, true, false, "filter antivirus: infected: v", 2},
	    {ACTION_STRIP, "", "", ACTION_STRIP, true, true, "filter antivirus: infected: v", 2},
	    {ACTION_QUARANTINE, "", "", ACTION_QUARANTINE, false, false,
		"filter antivirus: unscannable: u", 1},
	    {ACTION_REJECT, "", "", ACTION_REJECT, false, false, "filter antivirus: unscannable: u",
		1},
	    {ACTION_PASS, "", "tag a to *", ACTION_STRIP, true, false,
		"filter antivirus: infected: v", 2},
	    {ACTION_PASS, "", "quarantine to *", ACTION_QUARANTINE, false, false,
		"rule 1: quarantine to *", 1},
	    {ACTION_PASS, "", "accept to *", ACTION_STRIP, true, false,
		"filter antivirus: infected: v", 1},
	    {ACTION_PASS, "signed", "", ACTION_QUARANTINE, false, false,
		"filter antivirus: infected, not stripped (signed): v", 0},
	    {ACTION_STRIP, "signed", "", ACTION_QUARANTINE, false, false,
		"filter antivirus: infected, not stripped (signed): v", 1},
	};
	struct world *w = *state;

	for (size_t i = 0; i < COUNT(rows); i++) {
		walk_two(w, ACTION_STRIP, rows[i].other, rows[i].uncut, rows[i].policy);
		if (w->v.action != rows[i].action || strcmp(w->v.why, rows[i].why) != 0 ||
		    verdict_strips(&w->v, 0) != rows[i].strips_first ||
		    verdict_strips(&w->v, 1) != rows[i].strips_second ||
		    w->v.n_tags != rows[i].n_tags)
			fail_msg("row %zu: %s, %s, %zu tags", i, action_name(w->v.action), w->v.why,
			    w->v.n_tags);
		assert_int_equal(w->v.code, rows[i].action == ACTION_REJECT ? 550 : 0);
		assert_false(verdict_strips(&w->v, 2));
		assert_false(verdict_strips(&w->v, VERDICT_OUTCOMES_MAX));
	}
}

/* The same for the first outcome's action `normalise`: what cannot be is refused. */
static void
test_normalise(void **state)
{
	static const struct {
		enum action other; /* of the second outcome */
		const char *uncut, *policy;
		enum action action;
		const char *why;
	} rows[] = {
	    {ACTION_PASS, "", "", ACTION_NORMALISE, "filter antivirus: infected: v"},
	    {ACTION_TAG, "", "", ACTION_NORMALISE, "filter antivirus: infected: v"},
	    {ACTION_STRIP, "", "", ACTION_STRIP, "filter antivirus: unscannable: u"},
	    {ACTION_QUARANTINE, "", "", ACTION_QUARANTINE, "filter antivirus: unscannable: u"},
	    {ACTION_PASS, "", "quarantine to *", ACTION_QUARANTINE, "rule 1: quarantine to *"},
	    {ACTION_PASS, "", "accept to *", ACTION_NORMALISE, "filter antivirus: infected: v"},
	    {ACTION_PASS, "too large", "", ACTION_REJECT,
		"filter antivirus: infected, not normalised (too large): v"},
	    {ACTION_QUARANTINE, "too large", "", ACTION_REJECT,
		"filter antivirus: infected, not normalised (too large): v"},
	};
	struct world *w = *state;

	for (size_t i = 0; i < COUNT(rows); i++) {
		walk_two(w, ACTION_NORMALISE, rows[i].other, rows[i].uncut, rows[i].policy);
		if (w->v.action != rows[i].action || strcmp(w->v.why, rows[i].why) != 0 ||
		    verdict_normalises(&w->v, 0) != (rows[i].action == ACTION_NORMALISE))
			fail_msg("row %zu: %s, %s", i, action_name(w->v.action), w->v.why);
		assert_int_equal(w->v.code, rows[i].action == ACTION_REJECT ? 550 : 0);
		assert_false(verdict_normalises(&w->v, 1));
		assert_false(verdict_normalises(&w->v, VERDICT_OUTCOMES_MAX));
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
	w->flow.score =
	    (struct conf_score){.has = {[ACTION_TAG] = true}, .milli = {[ACTION_TAG] = 5000}};
	walk(w, "score 3 links to *", STAGE_DATA);
	assert_int_equal(w->v.n_tags, 3); /* of one name, by three */
	assert_int_equal(w->v.score_milli, 5000);
	assert_true(w->v.is_spam);
	assert_int_equal(w->v.action, ACTION_TAG);
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
	static const char *const verbs[] = {"accept", "reject", "tempfail", "quarantine", "discard",
	    "keep", "tag a", "tag b", "score 3", "score -1.5 c", "observe reject"};
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
	    TEST(test_tags),
	    TEST(test_tag_limit),
	    TEST(test_thresholds),
	    TEST(test_replies),
	    TEST(test_filters),
	    TEST(test_strip),
	    TEST(test_normalise),
	    TEST(test_long_why),
	    TEST(test_filter_tags),
	    TEST(test_properties),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

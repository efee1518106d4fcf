/* What goes into a snapshot comes out of it: whole, edited, and what a worker gets. */
#include "policy/rules/rule.h"
#include "tests/unit/random_policy.h"

static struct snapshot *
parse(struct span text)
{
	struct policy_errors errors;
	struct snapshot *s = snapshot_parse(text, "p", NULL, NULL, &errors);

	if (s == NULL)
		fail_msg("%.*s", SPAN_ARG(buf_span(&errors.lines)));
	buf_free(&errors.lines);
	return s;
}

/* Random policies come back byte for byte, and decide as they did. */
static void
test_round_trip(void **state)
{
	struct buf text = BUF_INIT(65536);
	struct world *w = *state;

	rng_seed(7);
	for (int round = 0; round < 300; round++) {
		struct snapshot *first, *again;
		struct verdict a = {0}, b = {0};

		random_policy(&text, rng_below(60));
		first = parse(buf_span(&text));
		assert_true(span_eq(snapshot_text(first), buf_span(&text)));
		again = parse(snapshot_text(first));
		assert_true(span_eq(snapshot_text(again), buf_span(&text)));
		random_facts(w);
		for (int at = STAGE_CONNECT; at <= STAGE_DATA; at++) {
			decide_stage(first, (enum stage)at, &w->facts, &a, NULL, NULL);
			decide_stage(again, (enum stage)at, &w->facts, &b, NULL, NULL);
		}
		assert_same_verdict(&a, &b);
		snapshot_release(&first);
		snapshot_release(&again);
	}
	buf_free(&text);
}

/* A rule added and removed again leaves the text as it was, but for the end of its last line. */
static void
test_edits(void **state)
{
	struct buf text = BUF_INIT(65536), more = BUF_INIT(65536), less = BUF_INIT(65536);
	struct err err = {0};

	(void)state;
	rng_seed(8);
	for (int round = 0; round < 300; round++) {
		struct snapshot *s, *longer;

		random_policy(&text, rng_below(30));
		s = parse(buf_span(&text));
		buf_clear(&more);
		assert_int_equal(snapshot_text_add(s, SPAN("tag added client *"), &more, &err), 0);
		longer = parse(buf_span(&more));
		assert_int_equal(snapshot_rule_count(longer), snapshot_rule_count(s) + 1);
		buf_clear(&less);
		assert_int_equal(snapshot_text_remove(
				     longer, (uint32_t)snapshot_rule_count(longer), &less, &err),
		    0);
		assert_true(span_eq(buf_span(&less), buf_span(&text)));
		snapshot_release(&s);
		snapshot_release(&longer);
	}
	buf_free(&text);
	buf_free(&more);
	buf_free(&less);
}

static void
no_list(void *arg, struct span name)
{
	(void)arg;
	fail_msg("no rule names a list: %.*s", SPAN_ARG(name));
}

/* The worker's text has the same predicates in the same order. */
static void
test_content(void **state)
{
	static const struct span facts[] = {SPAN("x"), SPAN("y"), SPAN(""), SPAN("other")};
	struct buf text = BUF_INIT(65536), content = BUF_INIT(65536);
	size_t n = 0;

	(void)state;
	rng_seed(9);
	for (int round = 0; round < 300; round++) {
		struct snapshot *s, *worker;

		random_policy(&text, rng_below(60));
		s = parse(buf_span(&text));
		buf_clear(&content);
		snapshot_content(s, &content, no_list, NULL);
		worker = parse(buf_span(&content));
		assert_int_equal(snapshot_predicate_count(worker), snapshot_predicate_count(s));
		for (size_t i = 0; i < snapshot_predicate_count(s); i++, n++) {
			const struct predicate *a = snapshot_predicate(s, i),
					       *b = snapshot_predicate(worker, i);

			assert_int_equal(a->facet, b->facet);
			assert_int_equal(a->is_negated, b->is_negated);
			assert_true(span_eq(a->header_name, b->header_name));
			for (size_t k = 0; k < COUNT(facts); k++)
				assert_int_equal(matcher_match(a->matcher, facts[k]),
				    matcher_match(b->matcher, facts[k]));
		}
		snapshot_release(&s);
		snapshot_release(&worker);
	}
	assert_true(n > 300);
	buf_free(&text);
	buf_free(&content);
}

static void
note_list(void *arg, struct span name)
{
	struct buf *to = arg;

	assert_int_equal(buf_addf(to, "%.*s ", SPAN_ARG(name)), 0);
}

static int
read_any(void *arg, struct span name, struct buf *text, struct err *err)
{
	(void)arg;
	(void)name;
	(void)err;
	(void)text;
	return 0;
}

static void
test_content_lists(void **state)
{
	struct buf text = BUF_INIT(4096), names = BUF_INIT(4096);
	struct policy_errors errors;
	struct snapshot *s;

	(void)state;
	s = snapshot_parse(SPAN("reject client list:drop\n"
				"tag a  from list:people  subject !list:words  text \"x\"  # why\n"
				"tag b  header \"X-A\"   list:odd.er  body \"a \\\" # b\"\n"),
	    "p", read_any, NULL, &errors);
	assert_non_null(s);
	snapshot_content(s, &text, note_list, &names);
	assert_true(span_eq(buf_span(&names), SPAN("words odd.er ")));
	assert_true(span_eq(buf_span(&text), SPAN("keep subject !list:words\n"
						  "keep header \"X-A\"   list:odd.er\n"
						  "keep body \"a \\\" # b\"\n")));
	snapshot_release(&s);
	buf_free(&errors.lines);
	buf_free(&text);
	buf_free(&names);
}

static void
test_ids(void **state)
{
	static const char text[] =
	    "reject client 192.0.2.1\n# x\ndnsbl a.example reject\ntag t from a@b.example\n";
	static const struct row {
		struct span ids;
		bool is_good;
	} rows[] = {
	    {SPAN("\7\0\0\0\2\0\0\0\1\1\0\0"), true},
	    {SPAN("\7\0\0\0\2\0\0\0"), false},
	    {SPAN("\7\0\0\0\2\0\0\0\1\0\0\0\4\0\0\0"), false},
	    {SPAN("\7\0\0\0\2\0\0\0\7\0\0\0"), false},
	    {SPAN("\7\0\0\0\0\0\0\0\1\0\0\0"), false},
	    {SPAN(""), false},
	};
	struct world *w = *state;

	for (size_t i = 0; i < COUNT(rows); i++) {
		take_policy(w, text);
		assert_int_equal(snapshot_set_ids(w->snapshot, rows[i].ids), rows[i].is_good);
		assert_int_equal(snapshot_rule_id(w->snapshot, 2), rows[i].is_good ? 257 : 3);
	}
	take_policy(w, text);
	assert_true(snapshot_set_ids(w->snapshot, rows[0].ids));
	assert_true(span_eq(snapshot_rule_text(w->snapshot, 7), SPAN("reject client 192.0.2.1")));
	assert_true(span_eq(snapshot_rule_text(w->snapshot, 257), SPAN("tag t from a@b.example")));
	assert_int_equal(snapshot_rule_text(w->snapshot, 1).n, 0);
	assert_int_equal(snapshot_rule_text(w->snapshot, 300).n, 0);
	assert_int_equal(snapshot_list(w->snapshot, 0)->rule, 2);
	w->facts.client = ip_of("192.0.2.1");
	stage(w, STAGE_CONNECT);
	assert_int_equal(w->v.rule, 7);
	take_policy(w, "");
	assert_true(snapshot_set_ids(w->snapshot, SPAN("")));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_round_trip),
	    TEST(test_edits),
	    TEST(test_content),
	    TEST(test_content_lists),
	    TEST(test_ids),
	};

	return cmocka_run_group_tests_name("snapshot", tests, NULL, NULL);
}

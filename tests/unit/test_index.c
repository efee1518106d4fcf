/* The index finds what a walk over all rules finds, and finds it without that walk. */
#include "policy/rules/index.h"
#include "tests/unit/random_policy.h"

/* With a tracer decide_stage walks; without one it asks the index. */
static void
forget_step(void *arg, const struct step *step)
{
	(void)step;
	++*(size_t *)arg;
}

static void
test_same_as_walk(void **state)
{
	struct buf text = BUF_INIT(65536);
	struct world *w = *state;
	size_t n_steps = 0, n_matches = 0;

	rng_seed(2026);
	for (int round = 0; round < 600; round++) {
		random_policy(&text, rng_below(90));
		assert_int_equal(buf_add_char(&text, '\0'), 0);
		take_policy(w, text.p);
		for (int session = 0; session < 12; session++) {
			struct verdict walked = {0}, indexed = {0};

			random_facts(w);
			for (int at = STAGE_CONNECT; at <= STAGE_DATA; at++) {
				decide_stage(w->snapshot, (enum stage)at, &w->facts, &walked,
				    forget_step, &n_steps);
				decide_stage(
				    w->snapshot, (enum stage)at, &w->facts, &indexed, NULL, NULL);
				assert_same_verdict(&walked, &indexed);
			}
			n_matches += walked.n_tags > 0 || walked.action > ACTION_TAG;
		}
	}
	assert_true(n_steps > 100000);
	assert_true(n_matches > 1000); /* the policies do decide */
	buf_free(&text);
}

/* How many rules of the row a session would look at. */
static size_t
count_found(struct world *w, struct rule_row *row, const char *client, const char *from)
{
	struct ip ip = ip_of(client);
	struct index_hits h;
	uint32_t rule, last = 0;
	size_t n = 0;

	index_hits_start(&h, &row->index);
	index_find_ip(&h, &row->index, &ip);
	index_find(&h, &row->index, FACET_FROM, span_str(from));
	assert_false(h.is_over);
	for (; index_next(&h, &rule); n++) {
		assert_true(n == 0 || rule > last); /* in listed order, none twice */
		last = rule;
	}
	(void)w;
	return n;
}

static void
take_built(struct world *w, struct buf *text)
{
	assert_int_equal(buf_add_char(text, '\0'), 0);
	take_policy(w, text->p);
	buf_clear(text);
}

static void
test_only_what_can_match(void **state)
{
	struct buf text = BUF_INIT(1 << 20);
	struct world *w = *state;
	struct rule_row *row;

	for (unsigned i = 0; i < 4000; i++)
		assert_int_equal(
		    buf_addf(&text, "reject client 10.0.%u.%u\n", i / 256, i % 256), 0);
	assert_int_equal(
	    buf_add_str(&text, "accept client 10.0.0.0/8\nreject client !10.0.0.7\n"), 0);
	take_built(w, &text);
	row = &w->snapshot->stages[RULE_AT_CONNECT].deciders;
	assert_true(index_is_built(&row->index));
	assert_int_equal(count_found(w, row, "10.0.1.1", ""), 3); /* itself, the /8, the `!` */
	assert_int_equal(count_found(w, row, "10.9.1.1", ""), 2);
	assert_int_equal(count_found(w, row, "192.0.2.1", ""), 1);
	assert_int_equal(count_found(w, row, "2001:db8::1", ""), 1);
	/* Of two values the rarer one is chosen, whichever stands first. */
	for (unsigned i = 0; i < 4000; i++)
		assert_int_equal(buf_addf(&text,
				     i % 2 == 0 ? "tag x client 10.0.0.0/8 from u%u@a.example\n"
						: "tag x from u%u@a.example client 10.0.0.0/8\n",
				     i),
		    0);
	take_built(w, &text);
	row = &w->snapshot->stages[RULE_AT_MAIL].marks;
	/* A few share a counter with the network and may be filed under that. */
	assert_in_range(count_found(w, row, "10.0.1.1", "U17@A.example"), 1, 16);
	assert_in_range(count_found(w, row, "10.0.1.1", "other@a.example"), 0, 15);
	assert_int_equal(count_found(w, row, "192.0.2.1", "other@a.example"), 0);
	buf_free(&text);
}

/* Every length of network, and names below names. */
static void
test_nested(void **state)
{
	struct buf text = BUF_INIT(1 << 20);
	struct world *w = *state;
	struct rule_row *row;

	for (unsigned bits = 0; bits <= 128; bits++) {
		struct net net = {
		    .base = ip_of("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"), .bits = (uint8_t)bits};
		char room[NET_TEXT_MAX];

		for (unsigned i = bits; i < 128; i++)
			net.base.bytes[i / 8] &= (uint8_t) ~(0x80u >> (i % 8));
		assert_int_equal(
		    buf_addf(&text, "score 1 client %.*s\n", SPAN_ARG(net_format(&net, room))), 0);
	}
	for (unsigned i = 1; i < 100; i++) {
		assert_int_equal(buf_add_str(&text, "score 1 from "), 0);
		for (unsigned k = 0; k < i; k++)
			assert_int_equal(buf_add_str(&text, ".a"), 0);
		assert_int_equal(buf_add_char(&text, '\n'), 0);
	}
	take_built(w, &text);
	row = &w->snapshot->stages[RULE_AT_CONNECT].marks;
	/* ::/0 to ::/96 with no bit set would be IPv4's own; this address has bits set in all. */
	assert_int_equal(count_found(w, row, "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", ""), 129);
	assert_int_equal(count_found(w, row, "2001:db8:ffff:ffff:ffff:ffff:ffff:fffe", ""), 128);
	row = &w->snapshot->stages[RULE_AT_MAIL].marks;
	assert_int_equal(count_found(w, row, "192.0.2.1", "u@x.a.a.a"), 3);
	buf_free(&text);
}

/* More values at once than are kept: the row is walked, with the same result. */
static void
test_too_many_runs(void **state)
{
	struct buf text = BUF_INIT(1 << 20), from = BUF_INIT(4096);
	struct world *w = *state;

	assert_int_equal(buf_add_str(&from, "u@b"), 0);
	for (unsigned i = 1; i <= INDEX_RUNS_MAX + 40; i++) {
		assert_int_equal(buf_add_str(&text, "score 1 from "), 0);
		for (unsigned k = 0; k < i; k++)
			assert_int_equal(buf_add_str(&text, ".a"), 0);
		assert_int_equal(buf_add_char(&text, '\n'), 0);
		assert_int_equal(buf_add_str(&from, ".a"), 0);
	}
	take_built(w, &text);
	w->facts.from = buf_span(&from);
	decide_stage(w->snapshot, STAGE_MAIL, &w->facts, &w->v, NULL, NULL);
	assert_int_equal(w->v.score_milli, (INDEX_RUNS_MAX + 40) * 1000);
	buf_free(&text);
	buf_free(&from);
}

/* A rule of few words is walked; facts longer than any value find only the rest. */
static void
test_edges(void **state)
{
	static char long_helo[2 * VALUE_TEXT_MAX];
	struct world *w = *state;

	take_policy(w, "reject client 192.0.2.1\n");
	assert_false(index_is_built(&w->snapshot->stages[RULE_AT_CONNECT].deciders.index));
	memset(long_helo, 'a', sizeof(long_helo));
	take_policy(w, "reject helo a\nreject helo b\nreject helo c\nreject helo d\nreject helo e\n"
		       "reject helo f\nreject helo .a\nreject helo /aaa$/\n");
	w->facts.helo = span_of(long_helo, sizeof(long_helo));
	decide_stage(w->snapshot, STAGE_HELO, &w->facts, &w->v, NULL, NULL);
	assert_int_equal(w->v.rule, 8);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_same_as_walk),
	    TEST(test_only_what_can_match),
	    TEST(test_nested),
	    TEST(test_too_many_runs),
	    TEST(test_edges),
	};

	return cmocka_run_group_tests_name("index", tests, NULL, NULL);
}

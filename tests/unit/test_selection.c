/* The words of `postern queue`, and which messages they have. */
#include "relay/deliver/selection.h"
#include "relay/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define WALL_MS 1700000000000LL
#define HOUR_MS (3600LL * 1000)
enum { WORDS_MAX = 12 };

static int
parse(const char *text, struct selection *s, struct err *err)
{
	struct span words[WORDS_MAX], rest = span_str(text);
	size_t n = 0;

	while (rest.n > 0 && n < WORDS_MAX)
		words[n++] = span_cut(&rest, '|');
	return selection_parse(words, n, SPAN("joe"), WALL_MS, s, err);
}

static void
test_errors(void **state)
{
	static const struct {
		const char *words, *said;
	} table[] = {{"--nonsense|x", "does not know --nonsense"}, {"--from", "needs a value"},
	    {"--state|flying", "no state"}, {"--older|soon", "no age"},
	    {"--limit|0", "1 and above"}, {"--limit|x", "1 and above"}, {"no_id", "no message id"},
	    {"A B C!", "no message id"}, {"--id|no id", "no message id"},
	    {"ID1|--to|a@b", "either by their ids"}, {"ID1|all", "either by their ids"},
	    {"01234567890123456789012345678901234567890", "no message id"}};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct selection s;
		struct err err = {0};

		assert_true(parse(table[i].words, &s, &err) < 0);
		if (strstr(err.text, table[i].said) == NULL)
			fail_msg("%s: %s", table[i].words, err.text);
		assert_null(s.text);
	}
}

static void
test_ids(void **state)
{
	struct selection s;
	struct err err = {0};

	(void)state;
	assert_int_equal(parse("01jd  01je|01JF-2", &s, &err), 0);
	assert_int_equal(s.n_ids, 3);
	assert_true(span_eq(s.ids[0], SPAN("01JD")));
	assert_true(span_eq(s.ids[1], SPAN("01JE")));
	assert_true(span_eq(s.ids[2], SPAN("01JF-2")));
	assert_string_equal(s.by, "joe");
	assert_true(selection_is_given(&s));
	selection_free(&s);
	assert_int_equal(parse("--headers|--limit|3", &s, &err), 0);
	assert_true(s.has_headers);
	assert_int_equal(s.limit, 3);
	assert_false(selection_is_given(&s)); /* a number alone does not say which */
	selection_free(&s);
	assert_int_equal(parse("ALL", &s, &err), 0);
	assert_true(s.is_all && selection_is_given(&s));
	selection_free(&s);
}

static void
test_too_many_ids(void **state)
{
	struct buf ids = BUF_INIT(SELECTION_TEXT_MAX);
	struct selection s;
	struct err err = {0};
	struct span word;

	(void)state;
	for (int i = 0; i < SELECTION_IDS_MAX; i++)
		assert_int_equal(buf_add_str(&ids, "A "), 0);
	word = buf_span(&ids);
	assert_int_equal(selection_parse(&word, 1, (struct span){0}, WALL_MS, &s, &err), 0);
	assert_int_equal(s.n_ids, SELECTION_IDS_MAX);
	assert_string_equal(s.by, "unknown"); /* nobody was named */
	selection_free(&s);
	assert_int_equal(buf_add_str(&ids, "A"), 0);
	word = buf_span(&ids);
	assert_int_equal(selection_parse(&word, 1, (struct span){0}, WALL_MS, &s, &err), -E_LIMIT);
	buf_free(&ids);
}

static struct queue_entry *
entry_from(struct span from)
{
	static const struct commit_rcpt rcpts[] = {
	    {.address = {"Bob@one.example", 15}, .gateway = {"inside", 6}},
	    {.address = {"eve@two.example", 15}, .gateway = {"other", 5}}};
	static const struct commit_copy copy = {.fate = COPY_DELIVER};
	struct envelope envelope = {.flow = SPAN("inbound"),
	    .from = from,
	    .received_ms = WALL_MS - 2 * HOUR_MS,
	    .copies = &copy,
	    .n_copies = 1,
	    .rcpts = rcpts,
	    .n_rcpts = 2};
	struct buf bytes = BUF_INIT(4096);
	struct queue_entry *e;

	envelope_put(&bytes, &envelope);
	e = entry_new(SPAN("01JDX"), buf_span(&bytes));
	assert_non_null(e);
	buf_free(&bytes);
	return e;
}

static void
test_matching(void **state)
{
	static const struct {
		const char *words;
		bool has, first, second;
	} table[] = {{"all", true, true, true}, {"--from|s@Example.org", true, true, true},
	    {"--from|@example.org", true, true, true}, {"--from|x@example.org", false, true, true},
	    {"--from|<>", false, true, true}, {"--to|bob@ONE.example", true, true, false},
	    {"--to|@two.example", true, false, true}, {"--to|@", false, false, false},
	    {"--domain|two.example", true, false, true}, {"--domain|example", false, false, false},
	    {"--gateway|inside", true, true, false}, {"--gateway|Inside", false, false, false},
	    {"--older|2h", true, true, true}, {"--older|121m", false, true, true},
	    {"--older|2023-11-15", true, true, true}, {"--older|2023-11-14", false, true, true},
	    {"--state|waiting", true, true, true}, {"--state|held", false, true, true},
	    {"--id|01jd", true, true, true}, {"--id|01JE", false, true, true},
	    {"--to|bob@one.example|--gateway|other", false, false, false},
	    {"--domain|two.example|--from|s@example.org", true, false, true}};
	struct queue_entry *e;

	(void)state;
	clock_fake(1000, WALL_MS);
	e = entry_from(SPAN("s@example.org"));
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct selection s;
		struct err err = {0};

		assert_int_equal(parse(table[i].words, &s, &err), 0);
		if (selection_has(&s, e) != table[i].has ||
		    selection_has_rcpt(&s, e, &e->rcpts[0]) != table[i].first ||
		    selection_has_rcpt(&s, e, &e->rcpts[1]) != table[i].second)
			fail_msg("%s", table[i].words);
		rcpt_set(&e->rcpts[0], RCPT_DELIVERED, (struct span){0});
		assert_false(selection_has_rcpt(&s, e, &e->rcpts[0])); /* it waits for nothing */
		rcpt_set(&e->rcpts[0], RCPT_WAITING, (struct span){0});
		selection_free(&s);
	}
	entry_free(&e);
	e = entry_from(SPAN(""));
	for (int is_null = 0; is_null < 2; is_null++) {
		struct selection s;
		struct err err = {0};

		assert_int_equal(parse(is_null ? "--from|<>" : "--from|a@b", &s, &err), 0);
		assert_int_equal(selection_has(&s, e), is_null);
		selection_free(&s);
	}
	entry_free(&e);
	clock_fake(0, -1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_errors),
	    cmocka_unit_test(test_ids),
	    cmocka_unit_test(test_too_many_ids),
	    cmocka_unit_test(test_matching),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

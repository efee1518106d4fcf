/* Ids of rules: equal lines keep them, wherever they stand; nobody else ever has them. */
#include "policy/store/numbering.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/base/rng.h"
#include "relay/base/wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

static void
add_ids(struct buf *to, const char *digits)
{
	for (const char *p = digits; *p != '\0'; p++)
		put_u32(to, (uint32_t)(*p - '0'));
}

static void
test_assign(void **state)
{
	/* what was there and its ids (a digit each), what comes, its ids, the first number given */
	static const struct row {
		const char *before, *ids, *after, *wanted;
		uint32_t next;
	} rows[] = {
	    {"", "", "a\nb\n", "12", 1},
	    {"a\nb\n", "", "a\nb\n", "12", 3},
	    {"a\nb\n", "", "new\na\nb\n", "312", 3},
	    {"a\nb\nc\n", "", "c\nb\na\n", "321", 4},
	    {"a\nb\nc\n", "", "# x\n\n  b  \n\t# y\n", "2", 4},
	    {"a\nb\n", "", "a \nb", "12", 3},
	    {"a\nb\n", "", "A\nb\n", "32", 3},
	    {"a\nb\n", "74", "b\na\n", "47", 8},
	    {"a\nb\n", "74", "b\nb\na\na\n", "4879", 8},
	    {"a\na\nb\na\n", "3516", "a\na\n", "35", 7},
	    {"a\na\n", "35", "a\na\na\n", "357", 7},
	    {"a\nb\n", "7", "a\nb\n", "78", 8},  /* a list that is too short */
	    {"a\nb\n", "77", "a\nb\n", "78", 8}, /* or damaged: no id twice */
	    {"# a\n", "", "# a\n", "", 1},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *r = &rows[i];
		struct buf ids = BUF_INIT(100), found = BUF_INIT(100), wanted = BUF_INIT(100);
		struct numbered known = {.text = span_str(r->before)};
		uint32_t next = r->next;

		add_ids(&ids, r->ids);
		add_ids(&wanted, r->wanted);
		known.ids = buf_span(&ids);
		assert_int_equal(numbering_assign(span_str(r->after), &known, 1, &next, &found), 0);
		if (!span_eq(buf_span(&found), buf_span(&wanted)))
			fail_msg("row %zu", i);
		assert_int_equal(numbering_count(span_str(r->after)) * sizeof(uint32_t), found.n);
		buf_free(&ids);
		buf_free(&found);
		buf_free(&wanted);
	}
}

/* The first one's ids come first, then the second's; what both have is given once. */
static void
test_two_known(void **state)
{
	struct buf first = BUF_INIT(100), second = BUF_INIT(100), found = BUF_INIT(100),
		   wanted = BUF_INIT(100);
	struct numbered known[2] = {{.text = SPAN("a\nb\n")}, {.text = SPAN("a\nc\na\n")}};
	uint32_t next = 9;

	(void)state;
	add_ids(&first, "56");
	add_ids(&second, "523");
	add_ids(&wanted, "5239");
	known[0].ids = buf_span(&first);
	known[1].ids = buf_span(&second);
	assert_int_equal(numbering_assign(SPAN("a\nc\na\na\n"), known, 2, &next, &found), 0);
	assert_true(span_eq(buf_span(&found), buf_span(&wanted)));
	assert_int_equal(next, 10);
	buf_free(&first);
	buf_free(&second);
	buf_free(&found);
	buf_free(&wanted);
}

static void
test_no_more_numbers(void **state)
{
	struct buf found = BUF_INIT(100), small = BUF_INIT(4);
	uint32_t next = UINT32_MAX - 1;

	(void)state;
	assert_int_equal(numbering_assign(SPAN("a\nb\n"), NULL, 0, &next, &found), -E_LIMIT);
	next = 1;
	assert_int_equal(numbering_assign(SPAN("a\nb\n"), NULL, 0, &next, &small), -E_LIMIT);
	buf_free(&found);
	buf_free(&small);
}

/* Whatever is changed: no id twice, equal lines that were there keep theirs, new ids are new. */
static void
test_properties(void **state)
{
	enum { LINES = 30, ROUNDS = 500 };
	struct buf before = BUF_INIT(4096), ids = BUF_INIT(4096), after = BUF_INIT(4096),
		   found = BUF_INIT(4096);
	uint32_t next = 1;

	(void)state;
	rng_seed(11);
	for (int round = 0; round < ROUNDS; round++) {
		struct numbered known = {.text = buf_span(&before), .ids = buf_span(&ids)};
		uint32_t first = next, seen[LINES];
		struct wire w;
		size_t n = 0;

		buf_clear(&after);
		buf_clear(&found);
		for (uint32_t i = rng_below(LINES); i > 0; i--)
			(void)buf_addf(&after, "%c\n", 'a' + (int)rng_below(12));
		assert_int_equal(numbering_assign(buf_span(&after), &known, 1, &next, &found), 0);
		w = wire_over(buf_span(&found));
		while (w.rest.n > 0) {
			seen[n] = get_u32(&w);
			for (size_t k = 0; k < n; k++)
				assert_int_not_equal(seen[k], seen[n]);
			assert_in_range(seen[n], 1, next - 1);
			n++;
		}
		for (char c = 'a'; c < 'a' + 12; c++) {
			size_t had = 0, has = 0, kept = 0;

			for (size_t i = 0; i < before.n; i += 2)
				had += before.p[i] == c;
			for (size_t i = 0; i < after.n; i += 2) {
				has += after.p[i] == c;
				kept += after.p[i] == c && seen[i / 2] < first;
			}
			assert_int_equal(kept, had < has ? had : has);
		}
		buf_clear(&before);
		buf_clear(&ids);
		(void)buf_add_span(&before, buf_span(&after)); /* as large */
		(void)buf_add_span(&ids, buf_span(&found));
	}
	buf_free(&before);
	buf_free(&ids);
	buf_free(&after);
	buf_free(&found);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_assign),
	    cmocka_unit_test(test_two_known),
	    cmocka_unit_test(test_no_more_numbers),
	    cmocka_unit_test(test_properties),
	};

	return cmocka_run_group_tests_name("numbering", tests, NULL, NULL);
}

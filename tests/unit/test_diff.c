/* Which lines two texts differ in. */
#include "relay/base/diff.h"
#include "relay/base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void
note(void *arg, const struct diff_line *line)
{
	assert_int_equal(buf_addf(arg, "%c%zu:%.*s ", line->is_added ? '+' : '-', line->number,
			     SPAN_ARG(line->line)),
	    0);
}

static void
test_table(void **state)
{
	static const struct {
		const char *from, *to, *lines;
	} rows[] = {
	    {"", "", ""},
	    {"a\nb\n", "a\nb\n", ""},
	    {"a\nb", "a\nb\n", ""},
	    {"", "a\n", "+1:a "},
	    {"a\n", "", "-1:a "},
	    {"a\nb\nc\n", "a\nc\n", "-2:b "},
	    {"a\nc\n", "a\nb\nc\n", "+2:b "},
	    {"a\nb\nc\n", "a\nx\nc\n", "-2:b +2:x "},
	    {"a\nb\nc\nd\n", "b\nc\nd\ne\n", "-1:a +4:e "},
	    {"a\nb\nc\na\nb\nb\na\n", "c\nb\na\nb\na\nc\n", NULL}, /* Myers's own: five edits */
	    {"a\na\na\n", "a\n", NULL},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b = BUF_INIT(65536);

		diff_texts(span_str(rows[i].from), span_str(rows[i].to), note, &b);
		if (rows[i].lines != NULL && !span_eq(buf_span(&b), span_str(rows[i].lines)))
			fail_msg("row %zu: %.*s", i, SPAN_ARG(buf_span(&b)));
		buf_free(&b);
	}
}

struct patch {
	struct span rest; /* of the old text */
	size_t number;    /* of its next line */
	size_t n_new, n_edits;
	struct buf text;
};

static void
keep_until(struct patch *p, size_t number)
{
	while (p->number < number) {
		struct span line = span_cut(&p->rest, '\n');

		assert_int_equal(buf_addf(&p->text, "%.*s\n", SPAN_ARG(line)), 0);
		p->number++;
		p->n_new++;
	}
}

/* Lines in between are those of the old text. */
static void
apply(void *arg, const struct diff_line *line)
{
	struct patch *p = arg;

	p->n_edits++;
	if (!line->is_added) {
		keep_until(p, line->number);
		assert_true(span_eq(span_cut(&p->rest, '\n'), line->line));
		p->number++;
	} else {
		keep_until(p, p->number + (line->number - 1 - p->n_new));
		assert_int_equal(buf_addf(&p->text, "%.*s\n", SPAN_ARG(line->line)), 0);
		p->n_new++;
	}
}

/* Random texts of few different lines: applied to the old one, the difference is the new one. */
static void
test_difference_applies(void **state)
{
	(void)state;
	srand(7);
	for (int round = 0; round < 3000; round++) {
		struct buf texts[2] = {BUF_INIT(65536), BUF_INIT(65536)};
		struct patch p = {.number = 1, .text = BUF_INIT(65536)};

		for (int t = 0; t < 2; t++)
			for (int i = rand() % 12; i > 0; i--)
				assert_int_equal(buf_addf(&texts[t], "%c\n", 'a' + rand() % 3), 0);
		p.rest = buf_span(&texts[0]);
		diff_texts(buf_span(&texts[0]), buf_span(&texts[1]), apply, &p);
		while (p.rest.n > 0)
			keep_until(&p, p.number + 1);
		assert_true(span_eq(buf_span(&p.text), buf_span(&texts[1])));
		buf_free(&texts[0]);
		buf_free(&texts[1]);
		buf_free(&p.text);
	}
}

static void
count(void *arg, const struct diff_line *line)
{
	(void)line;
	++*(size_t *)arg;
}

/* More lines differ than are looked for: all of the middle is told, once. */
static void
test_too_different(void **state)
{
	struct buf a = BUF_INIT(1 << 20), b = BUF_INIT(1 << 20);
	size_t n = 0;

	(void)state;
	for (int i = 0; i < 3000; i++) {
		assert_int_equal(buf_addf(&a, "a%d\n", i), 0);
		assert_int_equal(buf_addf(&b, "b%d\n", i), 0);
	}
	diff_texts(buf_span(&a), buf_span(&b), count, &n);
	assert_int_equal(n, 6000);
	buf_free(&a);
	buf_free(&b);
}

/* A million lines with one changed are no work. */
static void
test_long_texts(void **state)
{
	struct buf a = BUF_INIT(64 << 20), b = BUF_INIT(64 << 20);
	size_t n = 0;

	(void)state;
	for (int i = 0; i < 1000000; i++) {
		assert_int_equal(buf_addf(&a, "reject client %d\n", i), 0);
		assert_int_equal(
		    buf_addf(&b, "reject client %d\n", i == 500000 || i == 10 ? -i : i), 0);
	}
	diff_texts(buf_span(&a), buf_span(&b), count, &n);
	assert_int_equal(n, 4);
	buf_free(&a);
	buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_table),
	    cmocka_unit_test(test_difference_applies),
	    cmocka_unit_test(test_too_different),
	    cmocka_unit_test(test_long_texts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

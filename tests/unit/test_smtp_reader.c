/* test_smtp_reader.c - lines and DATA under every split. */
#include "relay/smtp/reader.h"
#include "relay/base/err.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* A constant initializer, NULs and all. */
#define S(literal)                           \
	{                                    \
		literal, sizeof(literal) - 1 \
	}

struct data_case {
	struct span wire, message, rest;
	bool is_ended, has_bare, has_nul;
};

static const struct data_case DATA_CASES[] = {
    {S(".\r\n"), S(""), S(""), true, false, false},
    {S("a\r\n.\r\nQUIT\r\n"), S("a\r\n"), S("QUIT\r\n"), true, false, false},
    {S("..\r\n.\r\n"), S(".\r\n"), S(""), true, false, false},
    {S("...a\r\n.b\r\n.\r\n"), S("..a\r\nb\r\n"), S(""), true, false, false},
    {S("a.b.\r\n.\r\n"), S("a.b.\r\n"), S(""), true, false, false},
    {S("\r\n\r\n.\r\n"), S("\r\n\r\n"), S(""), true, false, false},
    {S("a\n.\nb\r\n.\r\n"), S("a\n.\nb\r\n"), S(""), true, true, false},
    {S("a\n.\r\nb\r\n.\r\n"), S("a\n.\r\nb\r\n"), S(""), true, true, false},
    {S("a\r.\rb\r\n.\r\n"), S("a\r.\rb\r\n"), S(""), true, true, false},
    {S("a\r.\r\nb\r\n.\r\n"), S("a\r.\r\nb\r\n"), S(""), true, true, false},
    {S("a\r\n.\nb\r\n.\r\n"), S("a\r\n\nb\r\n"), S(""), true, true, false},
    {S("a\r\n.\rb\r\n.\r\n"), S("a\r\n\rb\r\n"), S(""), true, true, false},
    {S("a\r\n.\r\r\n.\r\n"), S("a\r\n\r\r\n"), S(""), true, true, false},
    {S("a\r\r\n.\r\n"), S("a\r\r\n"), S(""), true, true, false},
    {S("\n.\r\n.\r\n"), S("\n.\r\n"), S(""), true, true, false},
    {S("a\0b\r\n.\r\n"), S("a\0b\r\n"), S(""), true, false, true},
    {S("a\0\n.\n\r\n.\r\n"), S("a\0\n.\n\r\n"), S(""), true, true, true},
    {S("a\r\n."), S("a\r\n"), S(""), false, false, false},
    {S("a\r\n.\r"), S("a\r\n"), S(""), false, false, false},
    {S("abc"), S("abc"), S(""), false, false, false},
};

/* Pushes input in pieces until the end; returns what was consumed. */
static size_t
push_cut(struct reader_data *d, struct span input, size_t first, size_t step, struct buf *out)
{
	size_t used = 0, n = first;

	while (used < input.n && !d->is_ended) {
		struct span piece = span_take(span_skip(input, used), n);
		size_t got = reader_data_push(d, piece, out);

		assert_true(got == piece.n || d->is_ended);
		used += got;
		n = step;
	}
	return used;
}

static void
check_data(const struct data_case *c, size_t first, size_t step)
{
	struct reader_data d = {.state = 0};
	struct buf out = BUF_INIT(1000);
	size_t used;

	reader_data_start(&d);
	used = push_cut(&d, c->wire, first, step, &out);
	if (!span_eq(buf_span(&out), c->message))
		fail_msg("case %zu cut %zu: message differs", (size_t)(c - DATA_CASES), first);
	assert_true(span_eq(span_skip(c->wire, used), c->rest));
	assert_int_equal(d.is_ended, c->is_ended);
	assert_int_equal(d.has_bare, c->has_bare);
	assert_int_equal(d.has_nul, c->has_nul);
	assert_int_equal(d.size, out.n);
	buf_free(&out);
}

static void
data(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(DATA_CASES) / sizeof(DATA_CASES[0]); i++) {
		check_data(&DATA_CASES[i], 1, 1);
		for (size_t cut = 1; cut <= DATA_CASES[i].wire.n; cut++)
			check_data(&DATA_CASES[i], cut, 1000);
	}
}

static void
data_is_counted(void **state)
{
	struct reader_data d;
	struct buf out = BUF_INIT(4);

	(void)state;
	reader_data_start(&d);
	(void)reader_data_push(&d, SPAN("abc\r\n..defg\r\nh\r\n.\r\n"), &out);
	assert_true(d.is_ended);
	assert_int_equal(d.longest_line, 5);
	assert_int_equal(d.size, 15);
	assert_true(out.failed); /* and still the end was found */
	buf_free(&out);
}

static void
lines(void **state)
{
	static const struct {
		struct span input;
		size_t max;
		int status;
		struct span line;
		size_t used;
	} cases[] = {
	    {S("QUIT\r\nX"), 100, 1, S("QUIT"), 6},
	    {S("\r\n"), 100, 1, S(""), 2},
	    {S(""), 100, 0, S(""), 0},
	    {S("QUI"), 100, 0, S(""), 0},
	    {S("QUIT\r"), 100, 0, S(""), 0},
	    {S("a\nb\r\n"), 100, -E_SYNTAX, S("a\nb"), 5},
	    {S("a\nb"), 100, -E_SYNTAX, S(""), 0},
	    {S("a\rb\r\n"), 100, -E_SYNTAX, S("a\rb"), 5},
	    {S("a\r\r\n"), 100, -E_SYNTAX, S("a\r"), 4},
	    {S("a\0b\r\n"), 100, -E_SYNTAX, S("a\0b"), 5},
	    {S("abcd\r\n"), 6, 1, S("abcd"), 6},
	    {S("abcde\r\n"), 6, -E_LIMIT, S(""), 0},
	    {S("abcdef"), 6, 0, S(""), 0},
	    {S("abcdefg"), 6, -E_LIMIT, S(""), 0},
	    {S("a\nbcdefg\r\n"), 6, -E_LIMIT, S(""), 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct span line;
		size_t used = 99;
		int status = reader_line(cases[i].input, cases[i].max, &line, &used);

		if (status != cases[i].status || used != cases[i].used)
			fail_msg("line %zu: %d, used %zu", i, status, used);
		assert_true(span_eq(line, cases[i].line));
	}
}

static void
stuffing(void **state)
{
	static const struct {
		const char *message, *wire;
	} cases[] = {
	    {"", ".\r\n"},
	    {"a\r\n", "a\r\n.\r\n"},
	    {"a", "a\r\n.\r\n"},
	    {".\r\n", "..\r\n.\r\n"},
	    {"..a.\r\n.b\r\n", "...a.\r\n..b\r\n.\r\n"},
	    {"\r\n.\r\n", "\r\n..\r\n.\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct span message = span_str(cases[i].message);

		for (size_t cut = 0; cut <= message.n; cut++) {
			struct buf out = BUF_INIT(100);
			bool at_start = true;
			struct span head = span_take(message, cut), tail = span_skip(message, cut);

			if (head.n > 0)
				(void)reader_data_stuff(head, &at_start, &out);
			if (tail.n > 0)
				(void)reader_data_stuff(tail, &at_start, &out);
			assert_int_equal(reader_data_stuff(SPAN(""), &at_start, &out), 0);
			if (!span_eq(buf_span(&out), span_str(cases[i].wire)))
				fail_msg("case %zu cut %zu", i, cut);
			buf_free(&out);
		}
	}
}

/* Content that never comes in by SMTP: it may change, the end must stand. */
static void
stuffing_bare(void **state)
{
	struct buf out = BUF_INIT(100);
	bool at_start = true;

	(void)state;
	(void)reader_data_stuff(SPAN("a\n.\nb\n"), &at_start, &out);
	(void)reader_data_stuff(SPAN(".\n"), &at_start, &out);
	(void)reader_data_stuff(SPAN("\n"), &at_start, &out);
	(void)reader_data_stuff(SPAN(""), &at_start, &out);
	assert_true(span_eq(buf_span(&out), SPAN("a\n..\nb\r\n..\r\n\r\n.\r\n")));
	buf_free(&out);
}

/* Chunks of a message, cut as given; each split of their bytes tells the same. */
static void
chunks(void **state)
{
	static const struct {
		const char *chunks[4]; /* the last one before NULL is the LAST */
		bool has_bare;
	} cases[] = {
	    {{""}, false},
	    {{"a\r\n"}, false},
	    {{"a"}, false},
	    {{"a\r\n", "b\r\n"}, false},
	    {{"a\r", "\nb\r\n"}, false},
	    {{"a\r", "", "\n"}, false},
	    {{"\r\n.\r\n", "\r\n.\r\n", ""}, false},
	    {{"a\r"}, true},
	    {{"a\r", ""}, true},
	    {{"a\r", "\r\n"}, true},
	    {{"a\r", "b\n"}, true},
	    {{"a\n"}, true},
	    {{"\n"}, true},
	    {{"x\n", "\n"}, true},
	    {{"\r\nx\n", "\n.\r\n"}, true},
	    {{"a", "\n"}, true},
	    {{"a\r\n", "\n"}, true},
	    {{"\r\n.\n", "QUIT\r\n"}, true},
	    {{"\r.\r", "\n"}, true},
	    {{"x\r\n\rx"}, true},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		for (size_t step = 1; step < 8; step++) {
			struct reader_chunks c = {0};
			uint64_t size = 0;

			for (size_t k = 0; k < 4 && cases[i].chunks[k] != NULL; k++) {
				struct span s = span_str(cases[i].chunks[k]);

				size += s.n;
				reader_chunk_start(
				    &c, s.n, k == 3 || cases[i].chunks[k + 1] == NULL);
				while (s.n > 0)
					s = span_skip(
					    s, reader_chunk_push(&c, span_take(s, step)).n);
				assert_int_equal(c.left, 0);
			}
			assert_int_equal(c.size, size);
			if (c.has_bare != cases[i].has_bare)
				fail_msg("case %zu step %zu", i, step);
		}
}

static void
chunk_takes_no_more_than_it_is(void **state)
{
	struct reader_chunks c = {0};

	(void)state;
	reader_chunk_start(&c, 3, true);
	assert_int_equal(reader_chunk_push(&c, SPAN("abQUIT\r\n")).n, 3);
	assert_int_equal(c.left, 0);
	assert_int_equal(reader_chunk_push(&c, SPAN("QUIT\r\n")).n, 0);
	assert_false(c.has_nul);
	reader_chunk_start(&c, 2, true);
	(void)reader_chunk_push(&c, SPAN("\0x"));
	assert_true(c.has_nul);
}

static void
skipping(void **state)
{
	static const struct {
		struct span input;
		bool is_whole;
		size_t used;
	} cases[] = {
	    {SPAN("xxx"), false, 3},
	    {SPAN("xxx\r"), false, 3},
	    {SPAN("\r"), false, 0},
	    {SPAN("x\nyy\ry"), false, 6},
	    {SPAN("xxx\r\nNOOP\r\n"), true, 5},
	    {SPAN("\r\n"), true, 2},
	    {SPAN("\n\r\r\nx"), true, 4},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t used = 0;

		assert_int_equal(reader_skip_line(cases[i].input, &used), cases[i].is_whole);
		assert_int_equal(used, cases[i].used);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(data),
	    cmocka_unit_test(data_is_counted),
	    cmocka_unit_test(lines),
	    cmocka_unit_test(stuffing),
	    cmocka_unit_test(stuffing_bare),
	    cmocka_unit_test(chunks),
	    cmocka_unit_test(chunk_takes_no_more_than_it_is),
	    cmocka_unit_test(skipping),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

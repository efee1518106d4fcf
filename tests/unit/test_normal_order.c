/* What front makes of a worker's rewrite, and what it does not believe. */
#include "relay/base/err.h"
#include "relay/ipc/rewrite.h"
#include "relay/walk/normal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))
#define SECTION     "Subject: x\r\nContent-Type: a/b\r\n"
#define MESSAGE     SECTION "\r\none\r\ntwo\r\n"
enum { HEADER = sizeof(SECTION) - 1, ONE = HEADER + 2, TWO = ONE + 5, END = TWO + 5 };

static const struct pnf_outcome outcomes[] = {
    {"malformed", "normalise", ""}, {"macro", "tag", ""}, {.name = NULL}};
static const struct pnf_about about = {.name = "antivirus", .outcomes = outcomes};
static const struct conf_filter filter = {.name = "antivirus", .plugin = &about};
static const struct conf_flow flow = {
    .name = "f", .n_filters = 1, .filters = {{.filter = &filter}}};

static struct rewrite
fine(void)
{
	return (struct rewrite){.has_head = true,
	    .section = 12,
	    .head = SPAN("Content-Type: text/plain\r\n"),
	    .n_cuts = 2,
	    .cuts = {{ONE, 3, SPAN("1\r\n"), 0}, {TWO, 5, SPAN("2\r\n"), REWRITE_NO_PART}},
	    .n_parts = 1,
	    .parts = {{.name = SPAN("gone.bin"), .declared = SPAN("a/b"), .size = 3}}};
}

static int
make_bytes(struct span bytes, struct stripped *to)
{
	static struct scan_result result;
	const struct verdict v = {.action = ACTION_NORMALISE, .strips = {1}};
	const struct strip_order order = {.result = &result,
	    .verdict = &v,
	    .flow = &flow,
	    .message = SPAN(MESSAGE),
	    .header = HEADER,
	    .hostname = SPAN("mx.example.org"),
	    .id = SPAN("ID1"),
	    .letter = SPAN("ID1")};

	result = (struct scan_result){.n_outcomes = 2,
	    .outcomes = {{.outcome = 0, .why = SPAN("two types")}, {.outcome = 1}},
	    .rewrite = bytes};
	*to = (struct stripped){.n_cuts = 0};
	return normal_order(&order, to);
}

static int
make(const struct rewrite *r, struct stripped *to)
{
	struct buf bytes = BUF_INIT(SCAN_REWRITE_MAX);
	int result;

	rewrite_put(&bytes, r);
	result = make_bytes(buf_span(&bytes), to);
	to->head = span_take(to->head, 0); /* it pointed into them */
	buf_free(&bytes);
	return result;
}

static void
test_made(void **state)
{
	const struct rewrite r = fine();
	struct stripped s;

	(void)state;
	assert_int_equal(make(&r, &s), 0);
	assert_true(s.is_normal && s.has_head && !s.is_whole);
	assert_int_equal(s.section, 12);
	assert_int_equal(s.n_notices, 1);
	assert_true(span_eq(s.why, SPAN("two types")));
	assert_int_equal(s.n_cuts, 2);
	assert_int_equal(s.cuts[0].at, ONE - HEADER);
	assert_int_equal(s.cuts[0].n, 3);
	assert_true(span_starts(
	    s.cuts[0].text, SPAN("1\r\nAn attachment was removed here by mx.example.org.\r\n")));
	assert_non_null(memmem(s.cuts[0].text.p, s.cuts[0].text.n, "gone.bin", 8));
	assert_non_null(memmem(s.cuts[0].text.p, s.cuts[0].text.n,
	    "Reason:   filter antivirus, malformed: two types\r\n", 50));
	assert_null(memmem(s.cuts[0].text.p, s.cuts[0].text.n, "macro", 5));
	assert_true(span_eq(s.cuts[1].text, SPAN("2\r\n")));
	strip_free(&s);
}

/* The empty line behind the header section may be written anew, and what stands behind it with it. */
static void
test_empty_line_anew(void **state)
{
	struct rewrite r = fine();
	struct stripped s;

	(void)state;
	r.cuts[0] =
	    (struct rewrite_cut){HEADER, ONE + 5 - HEADER, SPAN("\r\n1\r\n"), REWRITE_NO_PART};
	assert_int_equal(make(&r, &s), 0);
	assert_int_equal(s.cuts[0].at, 0);
	strip_free(&s);
}

/* One text of several cuts of the spool. */
static void
test_long_text(void **state)
{
	enum { N = 2 * COMMIT_TEXT_MAX + 6 };
	struct rewrite r = fine();
	struct stripped s;
	char *text = mem_alloc(N);

	(void)state;
	for (size_t i = 0; i < N; i++)
		text[i] = i % 64 == 62 ? '\r' : i % 64 == 63 ? '\n' : 'x';
	r.cuts[1].text = span_of(text, N - N % 64);
	assert_int_equal(make(&r, &s), 0);
	assert_int_equal(s.n_cuts, 3);
	assert_int_equal(s.cuts[1].n + s.cuts[2].n, 5);
	assert_int_equal(s.cuts[2].at, END - HEADER);
	assert_int_equal(s.cuts[1].text.n + s.cuts[2].text.n, N - N % 64);
	strip_free(&s);
	mem_free(text);
}

static void
before_body(struct rewrite *r)
{
	r->cuts[0].at = HEADER - 2;
}
static void
past_end(struct rewrite *r)
{
	r->cuts[1].n = 6;
}
static void
huge(struct rewrite *r)
{
	r->cuts[1].n = UINT64_MAX - TWO;
}
static void
wraps(struct rewrite *r)
{
	r->cuts[1].n = UINT64_MAX;
}
static void
backwards(struct rewrite *r)
{
	r->cuts[1].at = ONE;
}
static void
in_a_line_end(struct rewrite *r)
{
	r->cuts[0].at = ONE - 1;
}
static void
to_a_line_end(struct rewrite *r)
{
	r->cuts[0].n = 4;
}
static void
bare(struct rewrite *r)
{
	r->cuts[0].text = SPAN("a\nb");
}
static void
zero(struct rewrite *r)
{
	r->cuts[0].text = SPAN("a\0b");
}
static void
none(struct rewrite *r)
{
	r->n_cuts = 0;
}
static void
no_part(struct rewrite *r)
{
	r->n_parts = 0;
}
static void
long_section(struct rewrite *r)
{
	r->section = HEADER + 2;
}
static void
half_a_field(struct rewrite *r)
{
	r->section = 5;
}
static void
other_field(struct rewrite *r)
{
	r->head = SPAN("Subject: y\r\n");
}
static void
our_field(struct rewrite *r)
{
	r->head = SPAN("X-Postern-Verdict: pass\r\n");
}
static void
head_ends(struct rewrite *r)
{
	r->head = SPAN("Content-Type: a/b\r\n\r\n");
}
static void
head_goes_on(struct rewrite *r)
{
	r->head = SPAN("Content-Type: a/b");
}
static void
needless_head(struct rewrite *r)
{
	r->has_head = false;
}
static void
a_field_in_a_cut(struct rewrite *r)
{
	r->cuts[0] =
	    (struct rewrite_cut){HEADER, 0, SPAN("X-Postern-Verdict: pass\r\n"), REWRITE_NO_PART};
}
static void
no_empty_line(struct rewrite *r)
{
	r->cuts[0] = (struct rewrite_cut){HEADER, 2, SPAN(""), REWRITE_NO_PART};
}
static void
a_notice_for_a_field(struct rewrite *r)
{
	r->cuts[0] = (struct rewrite_cut){HEADER, 2, SPAN(""), 0};
}
static void
a_field_in_the_second_cut(struct rewrite *r)
{
	r->cuts[0] = (struct rewrite_cut){HEADER, 0, SPAN(""), REWRITE_NO_PART};
	r->cuts[1] = (struct rewrite_cut){HEADER, 2, SPAN("From: x\r\n\r\n"), REWRITE_NO_PART};
}
static void
an_empty_line_before_another(struct rewrite *r)
{
	r->has_head = false;
	r->section = 0;
	r->head = SPAN("");
	r->cuts[0] = (struct rewrite_cut){HEADER, 0, SPAN("\r\nx\r\n"), REWRITE_NO_PART};
}

static void
test_not_believed(void **state)
{
	static void (*const wrong[])(struct rewrite *) = {before_body, past_end, huge, wraps,
	    backwards, in_a_line_end, to_a_line_end, bare, zero, none, no_part, long_section,
	    half_a_field, other_field, our_field, head_ends, head_goes_on, needless_head,
	    a_field_in_a_cut, no_empty_line, a_notice_for_a_field, a_field_in_the_second_cut,
	    an_empty_line_before_another};
	struct stripped s;

	(void)state;
	for (size_t i = 0; i < COUNT(wrong); i++) {
		struct rewrite r = fine();

		wrong[i](&r);
		if (make(&r, &s) != -E_CORRUPT)
			fail_msg("row %zu", i);
		strip_free(&s);
	}
	assert_int_equal(make_bytes(SPAN(""), &s), -E_CORRUPT);
	strip_free(&s);
}

static void
test_cut_anywhere(void **state)
{
	const struct rewrite r = fine();
	struct buf bytes = BUF_INIT(SCAN_REWRITE_MAX);
	struct stripped s;

	(void)state;
	rewrite_put(&bytes, &r);
	for (size_t i = 0; i < bytes.n; i++) {
		assert_int_equal(make_bytes(span_take(buf_span(&bytes), i), &s), -E_CORRUPT);
		strip_free(&s);
	}
	buf_free(&bytes);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_made),
	    cmocka_unit_test(test_empty_line_anew),
	    cmocka_unit_test(test_long_text),
	    cmocka_unit_test(test_not_believed),
	    cmocka_unit_test(test_cut_anywhere),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

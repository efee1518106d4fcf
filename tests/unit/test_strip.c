/* What stands where a part was: its section, its text, its place; and what front believes of a worker. */
#include "tests/lib/stripping.h"
#include "relay/base/mem.h"
#include "relay/message/decode.h"
#include "relay/message/mime.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))
#define OURS                                          \
	"Content-Type: text/plain; charset=utf-8\r\n" \
	"Content-Transfer-Encoding: quoted-printable\r\nContent-Disposition: inline\r\n"

static void
test_section(void **state)
{
	static const struct {
		const char *in;
		bool needs_version;
		const char *out;
	} rows[] = {
	    {"", false, OURS},
	    {"", true, "MIME-Version: 1.0\r\n" OURS},
	    {"mime-version: 1.0\r\n", true, "mime-version: 1.0\r\n" OURS},
	    {"Content-Type: a/b;\r\n\tname=x\r\nX-A: 1\r\n", false, "X-A: 1\r\n" OURS},
	    {"X-A: 1\r\n folded\r\ncontent-disposition: x\r\nX-B: 2\r\n", false,
		"X-A: 1\r\n folded\r\nX-B: 2\r\n" OURS},
	    {"Content-ID: <1>\r\nContent-MD5: x\r\nCONTENT-DESCRIPTION: d\r\nContent-Location: "
	     "y\r\n",
		false, "Content-ID: <1>\r\nCONTENT-DESCRIPTION: d\r\n" OURS},
	    {"Content-Description: a.exe\r\nContent-Description: =?us-ascii?q?a=2Eexe?=\r\n"
	     "Content-Description: of a.exe\r\n",
		false, "Content-Description: of a.exe\r\n" OURS},
	    /* what lax readers take for one of them */
	    {"Content-Type : a/b\r\nCon\x01tent-Type: a/b\r\n \r\n", false, OURS},
	    {"Content\r\n -Type: a/b\r\nX: 1\r\n", false, "X: 1\r\n" OURS},
	    {"no field\r\nContent-Type: a/b\r\n", false, "no field\r\n" OURS},
	    {"Content-ID\x01: <1>\r\n", false, OURS},
	    {"X-A: 1", false, "X-A: 1\r\n" OURS},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct buf out = BUF_INIT(4096);

		assert_int_equal(
		    strip_section(span_str(rows[i].in), rows[i].needs_version, &out), 0);
		if (!span_eq(buf_span(&out), span_str(rows[i].out)))
			fail_msg("row %zu: %.*s", i, (int)out.n, out.p);
		buf_free(&out);
	}
}

static void
test_full(void **state)
{
	const struct scan_part part = {.name = SPAN("a.exe"), .declared = SPAN("a/b")};
	const struct strip_notice n = {.part = &part};

	(void)state;
	for (size_t max = 0; max < 400; max++) {
		struct buf out = BUF_INIT(max);

		assert_int_equal(strip_part(SPAN("X: 1\r\n\r\n"), true, &n, &out), -E_LIMIT);
		buf_free(&out);
	}
}

/* The text undone, and its lines checked: short, and none that begins as a delimiter would. */
static struct span
text_of(const struct strip_notice *n, char *room)
{
	struct buf out = BUF_INIT(STRIP_TEXT_MAX);
	struct span rest, text;
	bool is_bad = false;

	assert_int_equal(strip_text(n, &out), 0);
	assert_false(stripping_has_bare(buf_span(&out)));
	assert_true(out.n < STRIP_TEXT_MAX);
	for (rest = buf_span(&out); rest.n > 0;) {
		struct span line = span_chomp(span_cut(&rest, '\n'));

		assert_true(line.n <= 76);
		assert_true(line.n == 0 || strchr("-.F \t", line.p[0]) == NULL);
		assert_true(line.n == 0 || (line.p[line.n - 1] != ' '));
	}
	text = span_of(room, decode_quoted_printable(buf_span(&out), room, &is_bad));
	assert_false(is_bad);
	buf_free(&out);
	return text;
}

static bool
has(struct span text, const char *word)
{
	return memmem(text.p, text.n, word, strlen(word)) != NULL;
}

static void
test_text(void **state)
{
	static const struct {
		const char *name, *shown;
	} rows[] = {
	    {"", "Name:     (none)\r\n"},
	    {"a.exe", "Name:     a.exe\r\n"},
	    {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80.exe",
		"Name:     \xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80.exe\r\n"},
	    {"photo\xe2\x80\xaegpj.exe", "Name:     photo?gpj.exe\r\n"},
	    {"a\r\n--=_edge\r\nb\x7f\xc2\x85", "Name:     a?"
					       "?--=_edge?"
					       "?b?"
					       "?\r\n"},
	    {"\xff\xc3", "Name:     ??\r\n"},
	    {"a=3D  ", "Name:     a=3D  \r\n"},
	    {"\xe2\x81\xa6x\xe2\x81\xa9\xe2\x80\xa8", "Name:     ?x??\r\n"},
	    {"                                                                  --x------------"
	     "---------------------------------------------------------------------------",
		"--x----"},
	};
	static char room[STRIP_TEXT_MAX];

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct scan_part part = {.name = span_str(rows[i].name),
		    .declared = SPAN("image/png"),
		    .type = SPAN("application/x-dosexec"),
		    .size = 18446744073709551615u,
		    .hash = {0xab, 0x01}};
		const struct strip_reason reasons[] = {
		    {SPAN("attachment"), SPAN("blocked"), SPAN("name a.exe")},
		    {SPAN("other"), SPAN("macro"), SPAN("")}};
		const struct strip_notice n = {.hostname = SPAN("mx.example.org"),
		    .postmaster = SPAN("pm@example.org"),
		    .id = SPAN("ID1"),
		    .letter = SPAN("ID1-2"),
		    .part = &part,
		    .reasons = reasons,
		    .n_reasons = 2};
		struct span text = text_of(&n, room);

		if (!has(text, rows[i].shown))
			fail_msg("row %zu: %.*s", i, (int)text.n, text.p);
		assert_true(has(text, "removed here by mx.example.org."));
		assert_true(has(text, "application/x-dosexec, declared as image/png"));
		assert_true(has(text, "18446744073709551615 bytes"));
		assert_true(has(text, "SHA-256:  ab0100"));
		assert_true(has(text, "filter attachment, blocked: name a.exe\r\n"));
		assert_true(has(text, "filter other, macro\r\n"));
		assert_true(has(text, "Message:  ID1\r\nOriginal: ID1-2\r\n"));
		assert_true(has(text, "Ask pm@example.org"));
	}
}

static void
test_is_whole(void **state)
{
	static const struct {
		const char *before, *behind;
		bool is_whole;
	} rows[] = {{"", "", true}, {"a\r\n", "\r\nb", true}, {"a\r\n", "", true},
	    {"a\r", "\r\n", false}, {"a", "", false}, {"a\r\n", "\n", false}, {"a\r\n", "b", false},
	    {"a\r\n", "\r", false}};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		assert_int_equal(strip_is_whole(span_str(rows[i].before), span_str(rows[i].behind)),
		    rows[i].is_whole);
}

/* --- what front makes of a worker's word -------------------------------------------------------- */

static const struct pnf_outcome outcomes[] = {
    {"blocked", "strip", ""}, {"macro", "strip", ""}, {.name = NULL}};
static const struct pnf_about about = {
    .name = "names", .may = PNF_MAY_NAME_PARTS, .outcomes = outcomes};
static const struct conf_filter filter = {.name = "names", .plugin = &about};
static const struct conf_flow flow = {
    .name = "f", .n_filters = 1, .filters = {{.filter = &filter}}};

#define MESSAGE                                                                  \
	"Subject: x\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n" \
	"X: 1\r\n\r\none\r\n--b\r\n"                                             \
	"X: 2\r\n\r\ntwo\r\n--b--\r\n"
enum { HEADER = 55, FIRST = 62, SECOND = 80, PART = 11, HEAD = 8, SIZE = 100 };

static struct verdict
strips(uint64_t bits)
{
	return (struct verdict){.action = ACTION_STRIP, .strips = {bits}};
}

static int
make(const struct scan_result *r, const struct verdict *v, struct stripped *to)
{
	const struct strip_order order = {.result = r,
	    .verdict = v,
	    .flow = &flow,
	    .message = SPAN(MESSAGE),
	    .header = HEADER,
	    .id = SPAN("ID1"),
	    .letter = SPAN("ID1")};

	return strip_make(&order, to);
}

static void
fill(struct scan_result *r)
{
	*r = (struct scan_result){.n_outcomes = 2,
	    .outcomes = {{.outcome = 0}, {.outcome = 1}},
	    .n_parts = 2,
	    .parts = {{.at = FIRST, .n = PART, .head = HEAD, .name = SPAN("one.exe")},
		{.at = SECOND, .n = PART, .head = HEAD, .name = SPAN("two.exe")}},
	    .n_marks = 3,
	    .marks = {{0, 0, SPAN("why 1")}, {1, 1, SPAN("why 2")}, {1, 0, SPAN("why 3")}}};
}

static void
test_order(void **state)
{
	static const struct {
		uint64_t bits;
		size_t n_cuts, first_at;
		bool says_1, says_2, says_3;
	} rows[] = {{1, 1, FIRST - HEADER, true, false, false},
	    {2, 2, FIRST - HEADER, false, true, true}, {3, 2, FIRST - HEADER, true, true, true}};
	static struct scan_result r;

	(void)state;
	fill(&r);
	assert_int_equal(sizeof(MESSAGE) - 1, SIZE);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct verdict v = strips(rows[i].bits);
		struct buf made = BUF_INIT(65536);
		struct stripped s = {.n_cuts = 0};
		struct span m;

		assert_int_equal(make(&r, &v, &s), 0);
		assert_int_equal(s.n_cuts, rows[i].n_cuts);
		assert_int_equal(s.cuts[0].at, rows[i].first_at);
		assert_false(s.is_whole);
		stripping_apply(SPAN(MESSAGE), HEADER, &s, &made);
		m = buf_span(&made);
		assert_true(span_starts(m, SPAN("Subject: x\r\nContent-Type: multipart/mixed; "
						"boundary=b\r\n\r\n--b\r\nX: 1\r\nContent-")));
		assert_true(span_ends_nocase(m, SPAN("\r\n--b--\r\n")));
		assert_int_equal(has(m, "why 1"), rows[i].says_1);
		assert_int_equal(has(m, "why 2"), rows[i].says_2);
		assert_int_equal(has(m, "why 3"), rows[i].says_3);
		assert_int_equal(has(m, "\r\n\r\ntwo\r\n"), rows[i].n_cuts == 1);
		strip_free(&s);
		buf_free(&made);
	}
}

static void
nowhere(struct scan_result *r)
{
	r->parts[0].at = SIZE;
}

static void
too_far(struct scan_result *r)
{
	r->parts[0].at = UINT64_MAX - 3;
}

static void
too_long(struct scan_result *r)
{
	r->parts[0].n = SIZE;
}

static void
in_the_header(struct scan_result *r)
{
	r->parts[0].at = 12;
}

static void
inside_a_line(struct scan_result *r)
{
	r->parts[0].at++;
}

static void
up_to_a_line(struct scan_result *r)
{
	r->parts[0].n--;
}

static void
into_a_line_end(struct scan_result *r)
{
	r->parts[0].n++;
}

static void
empty(struct scan_result *r)
{
	r->parts[0].n = r->parts[0].head = 0;
}

static void
part_of_the_whole(struct scan_result *r)
{
	r->parts[0].at = 0;
	r->parts[0].n = SIZE - 1;
}

static void
test_worker_is_not_believed(void **state)
{
	static void (*const lies[])(struct scan_result *) = {nowhere, too_far, too_long,
	    in_the_header, inside_a_line, up_to_a_line, into_a_line_end, empty, part_of_the_whole};
	static struct scan_result r;
	struct verdict v = strips(1), none = strips(4),
		       other = {.action = ACTION_TAG, .strips = {1}};

	(void)state;
	for (size_t i = 0; i < COUNT(lies); i++) {
		struct stripped s = {.n_cuts = 0};

		fill(&r);
		lies[i](&r);
		if (make(&r, &v, &s) != -E_CORRUPT)
			fail_msg("lie %zu is believed", i);
		strip_free(&s);
	}
	fill(&r);
	for (int i = 0; i < 2; i++) { /* nothing to take out is no copy to make */
		struct stripped s = {.n_cuts = 0};

		assert_int_equal(make(&r, i == 0 ? &none : &other, &s), -E_CORRUPT);
		strip_free(&s);
	}
}

/* A part in another goes with it, and is cut out alone when the other stays. */
static void
test_part_in_part(void **state)
{
	static struct scan_result r;
	struct verdict both = strips(3), inner = strips(2);
	struct stripped s = {.n_cuts = 0};

	(void)state;
	fill(&r);
	r.parts[0].n = SECOND + PART - FIRST;
	r.n_marks = 2;
	assert_int_equal(make(&r, &both, &s), 0);
	assert_int_equal(s.n_cuts, 1);
	assert_int_equal(s.cuts[0].n, SECOND + PART - FIRST);
	strip_free(&s);
	s = (struct stripped){.n_cuts = 0};
	assert_int_equal(make(&r, &inner, &s), 0);
	assert_int_equal(s.n_cuts, 1);
	assert_int_equal(s.cuts[0].at, SECOND - HEADER);
	strip_free(&s);
}

static void
test_message_itself(void **state)
{
	static struct scan_result r;
	struct verdict v = strips(1);
	struct stripped s = {.n_cuts = 0};
	struct buf made = BUF_INIT(65536);

	(void)state;
	fill(&r);
	r.parts[0] = (struct scan_part){.at = 0, .n = SIZE};
	assert_int_equal(make(&r, &v, &s), 0);
	assert_true(s.is_whole);
	stripping_apply(SPAN(MESSAGE), HEADER, &s, &made);
	assert_true(span_starts(
	    buf_span(&made), SPAN("Subject: x\r\nMIME-Version: 1.0\r\n" OURS "\r\nAn attachment")));
	assert_false(has(buf_span(&made), "--b"));
	strip_free(&s);
	buf_free(&made);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_section),
	    cmocka_unit_test(test_full),
	    cmocka_unit_test(test_text),
	    cmocka_unit_test(test_is_whole),
	    cmocka_unit_test(test_order),
	    cmocka_unit_test(test_worker_is_not_believed),
	    cmocka_unit_test(test_part_in_part),
	    cmocka_unit_test(test_message_itself),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Which parts of a message the chain finds it can take out, over shapes of MIME; and that the rest of
 * it is what it was. */
#include "tests/unit/filter_fixture.h"
#include "filters/attachment/attachment.h"
#include "filters/chain/run.h"
#include "relay/message/decode.h"
#include "tests/lib/stripping.h"

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* A filter that says `found` of each part that is named so, and of one that is none for "astray". */
static void
picks_part(void *self, struct pnf_msg *m, const struct pnf_part *p)
{
	struct span name = span_of(p->filename.p, p->filename.n);

	(void)self;
	if (span_eq(name, SPAN("astray")))
		assert_int_equal(
		    fixture_host->outcome_part(m, "found", MIME_PARTS, p->filename), -1);
	else if (span_starts(name, SPAN("pick")))
		(void)fixture_host->outcome_part(m, "found", p->id, p->filename);
}

static const struct pnf_outcome found[] = {{"found", "tag", "found"}, {.name = NULL}};
static const struct pnf_option none[] = {{.name = NULL}};
static const struct pnf_about picks_about = {.name = "picks",
    .version = "1",
    .summary = "picks",
    .needs = PNF_NEEDS_PARTS,
    .may = PNF_MAY_NAME_PARTS,
    .outcomes = found,
    .options = none};
static const struct pnf_about mute_about = {.name = "mute",
    .version = "1",
    .summary = "picks without the right to",
    .needs = PNF_NEEDS_PARTS,
    .outcomes = found,
    .options = none};
static PNF_FILTER(picks, .about = &picks_about, .load = fixture_keep_host, .part = picks_part);
static PNF_FILTER(mute, .about = &mute_about, .load = fixture_keep_host, .part = picks_part);

static const struct pnf_about *const abouts[] = {
    &attachment_about, &picks_about, &mute_about, NULL};

static const struct pnf_filter *
plugins(const struct pnf_about *about)
{
	if (about == &picks_about)
		return &picks;
	return about == &mute_about ? &mute : &attachment_filter;
}

#define TOP   "Subject: x\r\nMIME-Version: 1.0\r\n"
#define MIXED TOP "Content-Type: multipart/mixed; boundary=b\r\n\r\npreamble\r\n"
#define TEXT  "--b\r\nContent-Type: text/plain\r\n\r\nHello\r\n"
#define NAMED(name, content)                                                   \
	"--b\r\nContent-Type: application/octet-stream\r\nContent-ID: <1>\r\n" \
	"Content-Disposition: attachment; filename=\"" name "\"\r\n\r\n" content "\r\n"
#define BAD NAMED("a.exe", "bad")
#define CODED(name, content)                                                        \
	"--b\r\nContent-Transfer-Encoding: base64\r\nContent-Type: a/b; name=" name \
	"\r\n\r\n" content "\r\n"
#define GOOD             CODED("b.txt", "R29vZA==")
#define END              "--b--\r\nepilogue\r\n"
#define MESSAGE(content) "--b\r\nContent-Type: message/rfc822\r\n\r\n" content
#define INNER                                                                                  \
	"Subject: inner\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nin\r\n" \
	"--c\r\nContent-Type: a/b; name=a.exe\r\n\r\nbad\r\n--c--\r\n"

struct row {
	const char *name, *message;
	size_t n_parts;    /* that can be taken out */
	const char *uncut; /* in why `blocked` cannot; NULL: it can */
};

static const struct row rows[] = {
    {"one", MIXED TEXT BAD GOOD END, 1, NULL},
    {"first", MIXED BAD TEXT END, 1, NULL},
    {"last, no epilogue", MIXED TEXT BAD "--b--\r\n", 1, NULL},
    {"close delimiter ends the message", MIXED TEXT BAD "--b--", 1, NULL},
    {"two", MIXED BAD TEXT NAMED("c.scr", "bad") END, 2, NULL},
    {"all", MIXED BAD BAD BAD END, 3, NULL},
    {"encoded", MIXED TEXT CODED("a.exe", "YmFk") END, 1, NULL},
    {"encoded badly", MIXED TEXT CODED("a.exe", "Y*mF\r\nk=") END, 0, "more than one way"},
    {"empty body", MIXED TEXT NAMED("a.exe", "") END, 1, NULL},
    {"empty lines around", MIXED TEXT NAMED("a.exe", "\r\n\r\nbad\r\n\r\n") END, 1, NULL},
    {"bad charset elsewhere",
	MIXED "--b\r\nContent-Type: text/plain; charset=no-such\r\n\r\nx\xff\r\n" BAD END, 1, NULL},
    {"nested multipart",
	MIXED TEXT
	"--b\r\nContent-Type: multipart/related; boundary=c\r\n\r\n--c\r\n\r\nhi\r\n--c\r\n"
	"Content-Type: a/b; name=a.exe\r\n\r\nbad\r\n--c--\r\n" GOOD END,
	1, NULL},
    {"in a message", MIXED TEXT MESSAGE(INNER) END, 1, NULL},
    {"in a message in a message",
	MIXED MESSAGE("Subject: 2\r\nContent-Type: message/rfc822\r\n\r\n" INNER) END, 1, NULL},
    {"a message that is one",
	MIXED TEXT MESSAGE("Subject: i\r\nContent-Type: a/b; name=a.exe\r\n\r\nbad\r\n") END, 1,
	NULL},
    {"a message and what is in it",
	MIXED "--b\r\nContent-Type: message/rfc822; name=m.exe\r\n\r\n" INNER END, 2, NULL},
    {"digest", TOP "Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\n" INNER END, 1,
	NULL},
    {"the message itself", TOP "Content-Type: a/b; name=a.exe\r\n\r\nbad\r\n", 1, NULL},
    {"itself, encoded",
	TOP "Content-Type: a/b; name=a.exe\r\nContent-Transfer-Encoding: base64\r\n\r\nYmFk\r\n", 1,
	NULL},
    {"itself without MIME-Version", "Content-Type: a/b; name=a.exe\r\n\r\nbad\r\n", 1, NULL},
    {"same header twice",
	MIXED TEXT "--b\r\nContent-Type: a/b; name=a.exe\r\n"
		   "Content-Type: a/b; name=a.exe\r\n\r\nbad\r\n" END,
	1, NULL},
    {"two names, one bad",
	MIXED TEXT "--b\r\nContent-Type: a/b; name=a.txt\r\n"
		   "Content-Disposition: attachment; filename=a.exe\r\n\r\nbad\r\n" END,
	1, NULL},
    {"uuencode elsewhere", MIXED "--b\r\n\r\nbegin 644 b.txt\r\n#9V]O\r\n`\r\nend\r\n" BAD END, 1,
	NULL},
    {"text in quoted-printable elsewhere",
	MIXED "--b\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\na=3Db=\r\nc\r\n" BAD END,
	1, NULL},
    /* what is let be */
    {"uuencode", TOP "\r\nbegin 644 a.exe\r\n#8F%D\r\n`\r\nend\r\n", 0, "a file inside a text"},
    {"signed", TOP "Content-Type: multipart/signed; boundary=b\r\n\r\n" BAD TEXT END, 0,
	"signed or encrypted"},
    {"encrypted", TOP "Content-Type: multipart/encrypted; boundary=b\r\n\r\n" BAD END, 0,
	"signed or encrypted"},
    {"deep in signed",
	TOP "Content-Type: multipart/signed; boundary=b\r\n\r\n" MESSAGE(INNER) TEXT END, 0,
	"signed or encrypted"},
    {"in an encoded message",
	MIXED TEXT
	"--b\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n"
	"Q29udGVudC1UeXBlOiBhL2I7IG5hbWU9YS5leGUNCg0KYmFkDQo=\r\n" END,
	0, "inside an encoded message"},
    {"a multipart", TOP "Content-Type: multipart/mixed; boundary=b; name=a.exe\r\n\r\n" TEXT END, 0,
	"a multipart of its own"},
    {"two types",
	MIXED TEXT "--b\r\nContent-Type: a/b; name=a.exe\r\n"
		   "Content-Type: text/html\r\n\r\nbad\r\n" END,
	0, "more than one way: two types"},
    {"two encodings",
	MIXED TEXT "--b\r\nContent-Type: a/b; name=a.exe\r\n"
		   "Content-Transfer-Encoding: base64\r\n"
		   "Content-Transfer-Encoding: 7bit\r\n\r\nYmFk\r\n" END,
	0, "two transfer encodings"},
    {"two boundaries",
	TOP "Content-Type: multipart/mixed; boundary=b; boundary=c\r\n\r\n" BAD
	    "--c\r\n\r\nother\r\n--c--\r\n" END,
	0, "two boundaries"},
    {"never closed", MIXED TEXT BAD, 0, "bad boundary"},
    {"behind the end", MIXED TEXT "--b--\r\n" BAD END, 0, "bad boundary"},
    {"boundary that others begin with", MIXED TEXT BAD "--bc\r\n\r\nx\r\n" END, 0, "lax boundary"},
    {"no end of the section", TOP "Content-Type: a/b; name=a.exe\r\n", 0,
	"its header section has no end"},
    {"part of a whole",
	TOP "Content-Type: message/partial; id=1; number=1; total=2; name=a.exe\r\n\r\nSubject: "
	    "y\r\n\r\nz\r\n",
	0, "message/partial"},
    {"section that ends twice",
	MIXED TEXT "--b\r\nContent-Type: a/b; name=a.exe\r\n \r\nbad\r\n\r\nmore\r\n" END, 0,
	"more than one way"},
};

static int
set_up(void **state)
{
	struct fixture *f = fixture_new("\"attachment\"",
	    "filter \"attachment\" { blocked = \"strip\" macro = \"strip\" }", abouts, plugins);

	decode_warm_up();
	assert_int_equal(chain_load(f->chain, &f->err), 0);
	*state = f;
	return 0;
}

static int
tear_down(void **state)
{
	fixture_free(*state);
	return 0;
}

/* Whether a leaf with this content is in the message, whatever the reading. */
static bool
has_leaf(const struct mime_message *m, struct span content)
{
	for (size_t i = 0; i < m->n_parts; i++)
		if (!m->parts[i].is_multipart && !m->parts[i].is_message &&
		    span_eq(span_trim(m->parts[i].decoded), content))
			return true;
	return false;
}

/* As front would do it, for who loses all of them; then nothing is found any more. */
static void
check_made(struct fixture *f, const struct row *row, const struct scan_result *r, size_t blocked)
{
	struct verdict v = {.action = ACTION_STRIP};
	struct span message = span_str(row->message);
	struct strip_order order = {.result = r,
	    .verdict = &v,
	    .flow = &f->config->flows[0],
	    .message = message,
	    .header = header_section_length(message)};
	struct buf made = BUF_INIT(1 << 20);
	struct stripped s = {.n_cuts = 0};
	struct mime_message was, now;
	struct arena memory;

	v.strips[0] = (uint64_t)1 << blocked;
	assert_int_equal(strip_make(&order, &s), 0);
	stripping_apply(message, order.header, &s, &made);
	assert_false(stripping_has_bare(buf_span(&made)));
	arena_init(&memory, 64 * 1024 * 1024);
	mime_parse(message, NULL, &memory, &was);
	mime_parse(buf_span(&made), NULL, &memory, &now);
	assert_false(has_leaf(&now, SPAN("bad")));
	assert_int_equal(has_leaf(&now, SPAN("Hello")), has_leaf(&was, SPAN("Hello")));
	assert_int_equal(has_leaf(&now, SPAN("Good")), has_leaf(&was, SPAN("Good")));
	assert_int_equal(now.anomalies & ~was.anomalies, 0);
	r = fixture_scan(f, buf_span(&made), NULL);
	if (fixture_outcome(f, r, "blocked") >= 0)
		fail_msg("%s: still blocked in %.*s", row->name, (int)made.n, made.p);
	arena_free(&memory);
	strip_free(&s);
	buf_free(&made);
}

static void
test_shapes(void **state)
{
	struct fixture *f = *state;

	for (size_t i = 0; i < COUNT(rows); i++) {
		const struct scan_result *r = fixture_scan(f, span_str(rows[i].message), NULL);
		int blocked = fixture_outcome(f, r, "blocked");
		struct span uncut = blocked >= 0 ? r->outcomes[blocked].uncut : SPAN("");

		if (blocked < 0 || r->n_parts != rows[i].n_parts ||
		    (rows[i].uncut != NULL &&
			memmem(uncut.p, uncut.n, rows[i].uncut, strlen(rows[i].uncut)) == NULL) ||
		    (rows[i].uncut == NULL && uncut.n > 0))
			fail_msg("%s: outcome %d, %zu parts, uncut \"%.*s\"", rows[i].name, blocked,
			    r->n_parts, SPAN_ARG(uncut));
		if (rows[i].uncut == NULL)
			check_made(f, &rows[i], r, (size_t)blocked);
	}
}

static void
test_facts(void **state)
{
	struct fixture *f = *state;
	const struct scan_result *r =
	    fixture_scan(f, SPAN(MIXED TEXT CODED("a.exe", "YmFk") END), NULL);
	const struct scan_part *p = &r->parts[0];

	assert_int_equal(r->n_parts, 1);
	assert_true(span_eq(p->name, SPAN("a.exe")));
	assert_true(span_eq(p->declared, SPAN("a/b")));
	assert_true(span_eq(p->type, SPAN("text/plain")));
	assert_int_equal(p->size, 3);
	assert_int_equal(p->hash[0], 0x2f); /* sha256sum of "bad" */
	assert_int_equal(r->n_marks, 1);
	assert_int_equal(r->marks[0].part, 0);
	assert_true(span_eq(r->marks[0].why, SPAN("name a.exe")));
}

/* Parts are named only where somebody's mail may lose them. */
static void
test_only_where_asked(void **state)
{
	struct fixture *f = fixture_new(
	    "\"attachment\"", "filter \"attachment\" { macro = \"strip\" }", abouts, plugins);
	const struct scan_result *r;

	(void)state;
	assert_int_equal(chain_load(f->chain, &f->err), 0);
	r = fixture_scan(f, SPAN(MIXED TEXT BAD END), NULL);
	assert_true(fixture_outcome(f, r, "blocked") >= 0);
	assert_int_equal(r->n_parts, 0);
	assert_int_equal(r->n_marks, 0);
	fixture_free(f);
}

/* What was found about a part that cannot be meant was found nonetheless. */
static void
test_a_part_that_is_none(void **state)
{
	static const struct {
		const char *list, *sections, *message, *uncut;
	} cases[] = {
	    {"\"picks\"", "filter \"picks\" { found = \"strip\" }", MIXED NAMED("astray", "x") END,
		"its filter names no part"},
	    {"\"picks\"", "filter \"picks\" { found = \"tag\" }", MIXED NAMED("astray", "x") END,
		""},
	    {"\"mute\"", "filter \"mute\" { found = \"reject\" }", MIXED NAMED("pick", "x") END,
		""},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(cases); i++) {
		struct fixture *f = fixture_new(cases[i].list, cases[i].sections, abouts, plugins);
		const struct scan_result *r;

		print_message("case %zu\n", i);
		assert_int_equal(chain_load(f->chain, &f->err), 0);
		r = fixture_scan(f, span_str(cases[i].message), NULL);
		assert_int_equal(r->n_outcomes, 1);
		assert_int_equal(fixture_outcome(f, r, "found"), 0);
		assert_true(span_eq(r->outcomes[0].uncut, span_str(cases[i].uncut)));
		assert_int_equal(r->n_marks, 0);
		fixture_free(f);
	}
}

/* The message is tried without the outer part; without the inner one alone it never was. */
static void
test_nested_parts_of_two_filters(void **state)
{
	static const char message[] =
	    MIXED TEXT "--b\r\nContent-Type: message/rfc822; name=pick\r\n\r\n" INNER END;
	static const struct {
		const char *message;
		bool is_given_up;
	} cases[] = {{message, true}, {MIXED TEXT MESSAGE(INNER) NAMED("pick", "x") END, false},
	    {MIXED TEXT "--b\r\nContent-Type: message/rfc822; name=m.exe\r\n\r\n" INNER NAMED(
		 "pick", "x") END,
		false}};
	struct fixture *f = fixture_new("\"attachment\", \"picks\"",
	    "filter \"attachment\" { blocked = \"strip\" } filter \"picks\" { found = \"strip\" }",
	    abouts, plugins);

	(void)state;
	assert_int_equal(chain_load(f->chain, &f->err), 0);
	for (size_t i = 0; i < COUNT(cases); i++) {
		const struct scan_result *r = fixture_scan(f, span_str(cases[i].message), NULL);
		int blocked = fixture_outcome(f, r, "blocked"),
		    picked = fixture_outcome(f, r, "found");

		print_message("case %zu\n", i);
		assert_true(blocked >= 0 && picked >= 0);
		assert_int_equal(r->outcomes[blocked].uncut.n > 0, cases[i].is_given_up);
		assert_int_equal(r->outcomes[picked].uncut.n, 0); /* it takes the inner one along */
	}
	fixture_free(f);
}

static void
add_parts(struct buf *to, size_t n)
{
	assert_int_equal(buf_add_str(to, MIXED), 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(buf_add_str(to, BAD), 0);
	assert_int_equal(buf_add_str(to, END), 0);
}

static void
test_limits(void **state)
{
	static const struct {
		size_t parts, head;
		size_t found;
		const char *uncut;
	} cases[] = {{SCAN_PARTS_MAX, 0, SCAN_PARTS_MAX, NULL},
	    {SCAN_PARTS_MAX + 1, 0, SCAN_PARTS_MAX, "too many parts"},
	    {SCAN_MARKS_MAX + 1, 0, SCAN_PARTS_MAX, "too many parts"},
	    {0, SCAN_PART_HEAD_MAX, 1, NULL},
	    {0, SCAN_PART_HEAD_MAX + 1, 0, "header section is too long"}};
	static const char start[] = "--b\r\nContent-Type: a/b; name=a.exe\r\nX: ";
	struct fixture *f = *state;

	for (size_t i = 0; i < COUNT(cases); i++) {
		struct buf m = BUF_INIT(1 << 20);
		const struct scan_result *r;
		struct span uncut;
		size_t at;

		if (cases[i].parts > 0) {
			add_parts(&m, cases[i].parts);
		} else {
			(void)buf_add_str(&m, MIXED); /* all fits */
			at = m.n + 5;
			(void)buf_add_str(&m, start);
			while (m.n - at < cases[i].head - 4)
				(void)buf_add_char(&m, 'x');
			(void)buf_add_str(&m, "\r\n\r\nbad\r\n" END);
		}
		r = fixture_scan(f, buf_span(&m), NULL);
		uncut = r->outcomes[fixture_outcome(f, r, "blocked")].uncut;
		if (r->n_parts != cases[i].found || (uncut.n > 0) != (cases[i].uncut != NULL) ||
		    (uncut.n > 0 &&
			memmem(uncut.p, uncut.n, cases[i].uncut, strlen(cases[i].uncut)) == NULL))
			fail_msg("case %zu: %zu parts, \"%.*s\"", i, r->n_parts, SPAN_ARG(uncut));
		buf_free(&m);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_shapes, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_facts, set_up, tear_down),
	    cmocka_unit_test(test_only_where_asked),
	    cmocka_unit_test(test_a_part_that_is_none),
	    cmocka_unit_test(test_nested_parts_of_two_filters),
	    cmocka_unit_test_setup_teardown(test_limits, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

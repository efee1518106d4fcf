/* test_mime_readings.c - what different mail readers may see in one message: each of it is a part. */
#include "relay/message/boundary.h"
#include "relay/message/decode.h"
#include "relay/message/inline_file.h"
#include "relay/message/mime.h"
#include "relay/message/param.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ARENA_MAX = 64 * 1024 * 1024 };

/* "A: b", an empty line and "hidden" as the content of a SignedData without signers, in base64. */
#define SIGNED                                                             \
	"MEIGCSqGSIb3DQEHAqA1MDMCAQExDTALBglghkgBZQMEAgEwHQYJKoZIhvcN\r\n" \
	"AQcBoBAEDkE6IGINCg0KaGlkZGVuMQA="

struct fixture {
	struct arena arena;
	struct mime_message m;
};

static int
setup_all(void **state)
{
	(void)state;
	decode_warm_up();
	return 0;
}

static int
setup(void **state)
{
	struct fixture *f = mem_alloc(sizeof(*f));

	arena_init(&f->arena, ARENA_MAX);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	arena_free(&f->arena);
	mem_free(f);
	return 0;
}

static void
parse(struct fixture *f, struct span message, const struct mime_limits *limits)
{
	arena_free(&f->arena);
	arena_init(&f->arena, ARENA_MAX);
	mime_parse(message, limits, &f->arena, &f->m);
}

static bool
is_shown(const struct mime_message *m, struct span want)
{
	for (size_t i = 0; i < m->n_parts; i++)
		if (span_eq(span_chomp(m->parts[i].decoded), want) ||
		    span_eq(span_chomp(m->parts[i].text), want))
			return true;
	return false;
}

#define PART          "Content-Type: text/html\r\n\r\nhidden"
#define DIVIDED(edge) "\r\n\r\n--" edge "\r\n" PART "\r\n--" edge "--\r\n"
#define B64           "Content-Transfer-Encoding: base64\r\n"

/* `want` must be the whole decoded body, or the text, of some part. */
static void
shown(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *message, *want;
		bool is_malformed;
	} cases[] = {
	    {"Content-Type: multipart/mixed; boundary=b" DIVIDED("b"), "hidden", false},
	    {"Content-Type: text/plain\r\nContent-Type: multipart/mixed; boundary=b" DIVIDED("b"),
		"hidden", true},
	    {"Content-Type: multipart/mixed; boundary=a; boundary=b" DIVIDED("b"), "hidden", false},
	    {"Content-Type: multipart/mixed; boundary=a; "
	     "boundary=b\r\n\r\n--a\r\n\r\nx\r\n--a--\r\n"
	     "--b\r\n" PART "\r\n--b--\r\n",
		"hidden", true},
	    {"Content-Type: multipart/mixed; boundary*=us-ascii''a; boundary=b" DIVIDED("b"),
		"hidden", false},
	    {"Content-Type: multipart/mixed; boundary=\"b" DIVIDED("b"), "hidden", false},
	    {"Content-Type: multipart/mixed; boundary=b(c)" DIVIDED("b(c)"), "hidden", false},
	    {"Content-Type: multipart/mixed; boundary=b(c)" DIVIDED("b"), "hidden", false},
	    {"Content-Type: multipart/mixed; boundary==?utf-8?q?=62?=" DIVIDED("b"), "hidden",
		true},
	    {"Content-Type: multipart; boundary=b" DIVIDED("b"), "hidden", true},
	    {"Content-Type\x01: multipart/mixed; boundary=b" DIVIDED("b"), "hidden", true},
	    {"Content-Type: multipart/mixed;\r\n \r\n boundary=b" DIVIDED("b"), "hidden", false},
	    {"Content-Type: multipart/mixed; boundary=b\r\n\r\n--bx\r\n" PART "\r\n--bx--\r\n",
		"hidden", false},
	    {"Content-Type: multipart/mixed; boundary=nowhere" DIVIDED("b"), "hidden", true},
	    {B64 "\r\naGlk!!ZGVu", "hidden", true},
	    {B64 "\r\naGk=\r\naGlkZGVu", "hihidden", true},
	    {B64 "\r\naGk=\r\naGlkZGVu", "hi", true},
	    {B64 "\r\nno thanks!\r\naGlkZGVu", "hidden", true},
	    {B64 "\r\nabc\r\naGlkZGVu", "i\xb7hidden", true},
	    {B64 "\r\n+/-_", "\xfb\xff\xbf", true},
	    {B64 "Content-Transfer-Encoding: 7bit\r\n\r\naGlkZGVu", "aGlkZGVu", true},
	    {"Content-Transfer-Encoding: 7bit\r\n" B64 "\r\naGlkZGVu", "hidden", true},
	    {"Content-Transfer-Encoding: x-base-64\r\n\r\naGlkZGVu", "hidden", true},
	    {"Content-Transfer-Encoding : base64\r\n\r\naGlkZGVu", "hidden", false},
	    {"Content-Transfer-Encoding: quoted-printable\r\n\r\nhi=.dden", "hi.dden", true},
	    {"\r\nbegin 644 x.exe\r\n&:&ED9&5N\r\n`\r\nend\r\n", "hidden", false},
	    {"\r\nbegin-base64 644 x\r\naGlkZGVu\r\n====\r\n", "hidden", false},
	    {"\r\n=ybegin line=128 size=6 name=x\r\n\x92\x93\x8e\x8e\x8f\x98\r\n=yend\r\n",
		"hidden", false},
	    {"Content-Transfer-Encoding: x-uue\r\n\r\n&:&ED9&5N\r\n`\r\n", "hidden", true},
	    {"Content-Type: multipart/mixed; boundary=b\r\n\r\nbegin 644 x\r\n&:&ED9&5N\r\nend\r\n"
	     "--b\r\n\r\nx\r\n--b--\r\n",
		"hidden", false},
	    {"Content-Type: text/plain; charset=utf-7\r\n\r\n+AGgAaQBkAGQAZQBu-", "hidden", false},
	    {"Content-Type: text/plain; charset=us-ascii; charset=utf-7\r\n\r\n+AGgAaQBkAGQAZQBu-",
		"hidden", true},
	    {"Content-Type: message/partial; id=a; number=1\r\n\r\nA: b\r\n\r\nhidden", "hidden",
		true},
	    {B64 "Content-Type: message/rfc822\r\n\r\nQTogYg0NaGlkZGVu", "hidden", false},
	    {"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--\r\n" PART
	     "\r\n--b--\r\n",
		"hidden", false},
	    {"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b--x\r\n" PART,
		"hidden", false},
	    {"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n> --b\r\n" PART
	     "\r\n--b--\r\n",
		"hidden", false},
	    {"Content-Type: multipart/mixed/x; boundary=b" DIVIDED("b"), "hidden", true},
	    {"\r\n" B64 "\r\naGlkZGVu", "hidden", false},
	    {"\xef\xbb\xbf"
	     "Content-Type: text/plain; charset=utf-16be\r\n\r\nhidden",
		"hidden", true},
	    {"\r\nbegin  x.exe\r\n&:&ED9&5N\r\n`\r\nend\r\n", "hidden", false},
	    {"\r\nbegin\t6\tx.exe\r\n&:&ED9&5N\r\n`\r\nend\r\n", "hidden", false},
	    {"\r\nbegin 644 a\r\nbegin 644 x.exe\r\n&:&ED9&5N\r\n`\r\nend\r\n", "hidden", false},
	    {"\r\nbegin 644 a\r\nend\r\n&:&ED9&5N\r\n`\r\nend\r\n", "hidden", false},
	    {"Content-Type: text/calendar\r\n\r\nBEGIN:VCALENDAR\r\nATTACH;ENCODING=BASE64:aGlk\r\n"
	     " ZGVu\r\n",
		"hidden", false},
	    {"Content-Type: application/x-a\r\n\r\n" B64 "\r\naGlkZGVu", "hidden", false},
	    {"Content-Type: text/plain; name=a.eml\r\n\r\n" B64 "\r\naGlkZGVu", "hidden", false},
	    {"Content-Type: message/x-a\r\n\r\n" B64 "\r\naGlkZGVu", "hidden", false},
	    {"Content-Type: application/pkcs7-mime\r\n" B64 "\r\n" SIGNED, "hidden", false},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		parse(f, span_str(cases[i].message), NULL);
		if (!is_shown(&f->m, span_str(cases[i].want)))
			fail_msg("case %zu: '%s' is in none of %zu parts", i, cases[i].want,
			    f->m.n_parts);
		if (mime_is_malformed(&f->m) != cases[i].is_malformed)
			fail_msg("case %zu: malformed %d (%x)", i, mime_is_malformed(&f->m),
			    f->m.anomalies);
	}
}

/* Mail as it should be is read in one way. */
static void
plain(void **state)
{
	struct fixture *f = *state;
	static const char *const cases[] = {
	    "Content-Type: text/plain; charset=\"utf-8\"; format=flowed\r\n" B64 "\r\naGlkZGVu\r\n",
	    "Content-Type: multipart/mixed; boundary=\"----=_Part_0.1 (x)\"\r\n\r\n"
	    "------=_Part_0.1 (x)\r\n\r\nx\r\n------=_Part_0.1 (x)--\r\n",
	    "Content-Type: text/plain; charset=iso-8859-1 (latin)\r\n\r\nhello",
	    "Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: 8bit\r\n\r\nhello",
	    "Content-Type: application/pdf;\r\n\tname=\"a b.pdf\"\r\n" B64 "\r\nQUJD\r\n",
	    "\r\nbegin 6 months ago, it began\r\nat example.com\r\n",
	    "\r\nbegin  at example.com\r\nWE MET\r\n",
	    "Subject: x\r\n\r\n" B64 "is what one writes there\r\n",
	    "Content-Type: text/calendar\r\n\r\nBEGIN:VCALENDAR\r\nURL:http://x.example\r\n",
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		parse(f, span_str(cases[i]), NULL);
		for (size_t k = 0; k < f->m.n_parts; k++)
			if (f->m.parts[k].is_reading)
				fail_msg("case %zu has a further reading (%x)", i, f->m.anomalies);
		assert_false(mime_is_malformed(&f->m));
	}
}

static void
names(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *fields, *names; /* names: divided by '|', in any order */
	} cases[] = {
	    {"Content-Disposition: attachment; filename=a.txt\r\nContent-Type: x/y; name=b.exe\r\n",
		"a.txt|b.exe"},
	    {"Content-Disposition: attachment; filename*=utf-8''a%2Eexe; filename=a.txt\r\n",
		"a.exe|a.txt"},
	    {"Content-Disposition: attachment; filename=\"=?utf-8?q?a=2Eexe?=\"\r\n", "a.exe"},
	    {"Content-Disposition: attachment; filename=\"a.exe\r\n", "a.exe"},
	    {"Content-Disposition: attachment; filename=a.exe b.txt\r\n", "a.exe b.txt|a.exe"},
	    {"Content-Disposition: attachment; filename=\"a.exe\".txt\r\n", "a.exe"},
	    {"Content-Disposition: attachment; filename=a.txt; filename=b.exe\r\n", "a.txt|b.exe"},
	    {"Content-Disposition: attachment; filename*0=a.; filename*1=exe\r\n", "a.exe"},
	    {"Content-Disposition: attachment; filename*1=exe; filename*0=a.\r\n", "a.exe|exea."},
	    {"Content-Disposition: attachment; filename=x.a\r\nContent-Disposition: inline; "
	     "filename=x.b\r\n",
		"x.a|x.b"},
	    {"Content-Disposition: attachment; filename=a%2Eexe\r\n", "a.exe|a%2Eexe"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct span rest = span_str(cases[i].names);
		struct buf message = BUF_INIT(1000);

		(void)buf_addf(&message, "%s\r\nbody", cases[i].fields);
		parse(f, buf_span(&message), NULL);
		while (rest.n > 0) {
			struct span want = span_cut(&rest, '|');
			bool is_there = false;

			for (size_t k = 0; k < f->m.parts[0].n_names; k++)
				is_there |= span_eq(f->m.parts[0].names[k], want);
			if (!is_there)
				fail_msg("case %zu: no name '%.*s' among %zu", i, SPAN_ARG(want),
				    f->m.parts[0].n_names);
		}
		buf_free(&message);
	}
}

/* More readings than the limit are not left out silently. */
static void
limits(void **state)
{
	struct fixture *f = *state;
	struct mime_limits few = {.readings = 3};
	struct buf message = BUF_INIT(100000);

	parse(f, SPAN(B64 "\r\naGk=\r\naGl=kZ-!GVu"), &few);
	assert_int_equal(f->m.anomalies & MIME_TOO_MANY_READINGS, MIME_TOO_MANY_READINGS);
	assert_true(mime_is_truncated(&f->m));
	for (int i = 0; i < 20; i++)
		(void)buf_addf(&message, "Content-Type: text/x-%d\r\n", i);
	(void)buf_add_str(&message, "\r\nx");
	parse(f, buf_span(&message), NULL);
	assert_true(mime_is_truncated(&f->m));
	buf_clear(&message);
	(void)buf_add_str(&message, "Content-Type: multipart/mixed");
	for (int i = 0; i < 20; i++)
		(void)buf_addf(&message, "; boundary=b%d", i);
	(void)buf_add_str(&message, "\r\n\r\nx");
	parse(f, buf_span(&message), NULL);
	assert_true(mime_is_truncated(&f->m));
	buf_clear(&message);
	/* Levels that are each divided in two ways do not multiply for ever. */
	for (int i = 0; i < 30; i++)
		(void)buf_addf(&message,
		    "Content-Type: multipart/mixed; boundary=a%02d; boundary=b%02d\r\n\r\n"
		    "--a%02d\r\nX: y\r\n--b%02d\r\n",
		    i, i, i, i);
	parse(f, buf_span(&message), NULL);
	assert_true(f->m.n_parts < 200);
	buf_free(&message);
}

static void
add_closes(struct buf *to, size_t n)
{
	while (n-- > 0)
		(void)buf_add_str(to, "--a--\nx:\n");
}

/* What stands behind close delimiters is looked at so often and no more, in all parts together: then the
 * message counts as truncated. */
static void
looks(void **state)
{
	enum { INNER = 5, MORE = 9 };
	struct fixture *f = *state;
	struct buf message = BUF_INIT(1000000);
	size_t n = BOUNDARY_LOOKS_MAX - 1;
	struct span line = SPAN("--a--\n"), behind = SPAN(PART);

	assert_int_equal(boundary_lax(line, behind, SPAN("a"), &n), DELIMITER_NEXT);
	assert_int_equal(n, BOUNDARY_LOOKS_MAX);
	assert_int_equal(boundary_lax(line, behind, SPAN("a"), &n), DELIMITER_CLOSE);
	assert_true(n > BOUNDARY_LOOKS_MAX);
	n = 0;
	add_closes(&message, MORE);
	(void)boundary_scan(buf_span(&message), SPAN("a"), &n);
	assert_int_equal(n, MORE);
	for (int is_over = 0; is_over < 2; is_over++) {
		buf_clear(&message);
		(void)buf_add_str(&message, "Content-Type: multipart/mixed; boundary=o\r\n");
		for (int i = 0; i < INNER; i++) {
			(void)buf_addf(&message,
			    "\n--o\nContent-Type: multipart/mixed; boundary=a\n\n--a\n\nx\n");
			add_closes(&message, is_over ? BOUNDARY_LOOKS_MAX / INNER + 1 : MORE);
		}
		(void)buf_add_str(&message, "--o--\n");
		parse(f, buf_span(&message), NULL);
		if (mime_is_truncated(&f->m) != is_over)
			fail_msg("over %d: anomalies %x", is_over, f->m.anomalies);
	}
	buf_free(&message);
}

/* The dashes belong to what is searched. */
static void
anywhere(void **state)
{
	static const struct {
		const char *body, *boundary;
		size_t at, want;
		bool is_astray;
	} cases[] = {
	    {"--a\n--a\n", "a", 0, 0, false},
	    {"--a\n--a\n", "a", 1, 4, false},
	    {"x--a\n", "a", 0, 1, true},
	    {"aaa-a\n--b-", "a", 0, 10, false},
	    {"---a", "a", 0, 1, true},
	    {"--aa", "aaa", 0, 4, false},
	    {"--a", "a", 3, 3, false},
	    {"", "a", 0, 0, false},
	    {"x--", "", 0, 1, false},
	    {"----x", "--x", 0, 0, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct span body = span_str(cases[i].body), word = span_str(cases[i].boundary);
		size_t at = boundary_anywhere(body, cases[i].at, word);

		if (at != cases[i].want || boundary_is_astray(body, word) != cases[i].is_astray)
			fail_msg("case %zu: at %zu", i, at);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(shown, setup, teardown),
	    cmocka_unit_test_setup_teardown(plain, setup, teardown),
	    cmocka_unit_test_setup_teardown(names, setup, teardown),
	    cmocka_unit_test_setup_teardown(limits, setup, teardown),
	    cmocka_unit_test_setup_teardown(looks, setup, teardown),
	    cmocka_unit_test(anywhere),
	};

	return cmocka_run_group_tests(tests, setup_all, NULL);
}

/* Messages that are read in more than one way, as they are written to be read in one. */
#include "tests/lib/normalising.h"
#include "relay/message/decode.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <cmocka.h>

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))
#define TOP         "Subject: x\r\nMIME-Version: 1.0\r\n"
#define MIXED       TOP "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
#define TEXT        "--b\r\nContent-Type: text/plain\r\n\r\nHello\r\n"
#define END         "--b--\r\n"
#define BYTES       "application/octet-stream"
#define BASE64      "Content-Transfer-Encoding: base64\r\n"

enum { MEMORY = 64 * 1024 * 1024 };

struct normalised {
	struct arena parsed, memory;
	struct mime_message m;
	struct normal made;
	struct buf bytes;
};

static int
normalise(struct span message, struct normalised *n)
{
	int r;

	arena_init(&n->parsed, MEMORY);
	arena_init(&n->memory, 8 * NORMAL_TEXT_MAX);
	n->bytes = BUF_INIT(2 * NORMAL_MESSAGE_MAX);
	mime_parse(message, NULL, &n->parsed, &n->m);
	r = normal_make(message, &n->m, &n->memory, &n->made);
	if (r == 0)
		normalising_apply(message, &n->made, &n->bytes);
	return r;
}

static void
normalised_free(struct normalised *n)
{
	arena_free(&n->parsed);
	arena_free(&n->memory);
	buf_free(&n->bytes);
}

/* Read in one way, and written again it is the same. */
static void
assert_plain(struct span message)
{
	struct mime_message again;
	struct arena memory;

	arena_init(&memory, MEMORY);
	mime_parse(message, NULL, &memory, &again);
	assert_true(normal_is_plain(&again));
	assert_true(normalising_is_settled(message, &again));
	arena_free(&memory);
}

/* What does not change is written once; `to`: the whole of what comes out. */
static void
test_table(void **state)
{
	static const struct {
		const char *what, *from, *to;
	} rows[] = {
	    {"two types",
		TOP "Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\nHello\r\n",
		"Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain\r\n\r\nHello\r\n"},
	    {"a field that some do not see",
		TOP "Content-Type\x80: text/html\r\nContent-Type: text/plain; "
		    "charset=us-ascii\r\n\r\nHello\r\n",
		TOP "Content-Type: text/plain;\r\n\tcharset=us-ascii\r\n\r\nHello\r\n"},
	    {"two ends of the header",
		"Subject: x\r\nno field\r\nContent-Type: text/html\r\n\r\nHello\r\n",
		TOP "Content-Type: text/html\r\n\r\nHello\r\n"},
	    {"a line of blanks in a fold",
		"Subject: x\r\n \r\n y\r\nContent-Type: text/html\r\n\r\nHello\r\n",
		"Subject: x\r\n y\r\nMIME-Version: 1.0\r\nContent-Type: "
		"text/html\r\n\r\nHello\r\n"},
	    {"no empty line", "Subject: x\r\nHello, world\r\n",
		TOP "Content-Type: text/plain\r\n\r\nHello, world\r\n"},
	    {"two transfer encodings",
		TOP "Content-Type: " BYTES "\r\n" BASE64
		    "Content-Transfer-Encoding: 7bit\r\n\r\nQUJD\r\n",
		TOP "Content-Type: " BYTES "\r\n" BASE64 "\r\nQUJD\r\n"},
	    {"garbage in base64", TOP "Content-Type: " BYTES "\r\n" BASE64 "\r\nQU!JD\r\n",
		TOP "Content-Type: " BYTES "\r\n" BASE64 "\r\nQUJD\r\n"},
	    {"pads inside", TOP "Content-Type: " BYTES "\r\n" BASE64 "\r\nQQ==QUJD\r\n",
		TOP "Content-Type: " BYTES "\r\n" BASE64 "\r\nQUFCQw==\r\n"},
	    {"a lone =",
		TOP "Content-Type: text/plain\r\nContent-Transfer-Encoding: "
		    "quoted-printable\r\n\r\na=-b\r\n",
		TOP "Content-Type: text/plain\r\n" BASE64 "\r\nYT0tYg0K\r\n"},
	    {"two charsets",
		TOP
		"Content-Type: text/plain; charset=us-ascii; charset=utf-7\r\n\r\nA+AEEAQg-\r\n",
		TOP "Content-Type: text/plain;\r\n\tcharset=us-ascii\r\n\r\nA+AEEAQg-\r\n"},
	    {"UTF-16 without a mark",
		TOP "Content-Type: text/plain; charset=utf-16\r\n" BASE64 "\r\nQQBCAA==\r\n",
		TOP "Content-Type: text/plain;\r\n\tcharset=utf-8\r\n" BASE64 "\r\nQUI=\r\n"},
	    {"uuencode as an encoding",
		TOP "Content-Type: " BYTES "\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\nbegin "
		    "644 a\r\n#04)#\r\n`\r\nend\r\n",
		TOP "Content-Type: " BYTES "\r\n" BASE64 "\r\nQUJD\r\n"},
	    {"uuencode that is none",
		TOP "Content-Type: " BYTES
		    "\r\nContent-Transfer-Encoding: x-uuencode\r\n\r\nHello\r\n",
		TOP "Content-Type: " BYTES "\r\n\r\nHello\r\n"},
	    {"a part's type, twice; the others stay",
		MIXED "preamble\r\n" TEXT "--b\r\nContent-ID: <1>\r\nContent-Type: "
		      "a/b\r\nContent-Type: text/html\r\n\r\nx\r\n" END "epilogue\r\n",
		MIXED "preamble\r\n" TEXT
		      "--b\r\nContent-ID: <1>\r\nContent-Type: a/b\r\n\r\nx\r\n" END
		      "epilogue\r\n"},
	    {"a boundary that some read otherwise",
		TOP "Content-Type: multipart/mixed; boundary=b; boundary=c\r\n\r\nbefore\r\n" TEXT
		    "--c\r\n\r\nhidden\r\n--c--\r\n" END,
		TOP "Content-Type: multipart/mixed;\r\n\tboundary=b\r\n\r\nbefore\r\n--b\r\n"
		    "Content-Type: text/plain\r\n\r\nHello\r\n--c\r\n\r\nhidden\r\n--c--\r\n" END},
	    {"behind the end", MIXED TEXT END "--b\r\nContent-Type: a/b\r\n\r\nx\r\n" END,
		TOP "Content-Type: multipart/mixed;\r\n\tboundary=\"=_normal_0_0\"\r\n\r\n"
		    "--=_normal_0_0\r\nContent-Type: text/plain\r\n\r\nHello\r\n"
		    "--=_normal_0_0\r\nContent-Type: a/b\r\n\r\nx\r\n--=_normal_0_0--\r\n"},
	    {"never closed", MIXED TEXT,
		TOP "Content-Type: multipart/mixed;\r\n\tboundary=\"=_normal_0_0\"\r\n\r\n"
		    "--=_normal_0_0\r\nContent-Type: "
		    "text/plain\r\n\r\nHello\r\n\r\n--=_normal_0_0--\r\n"},
	    {"a file in the preamble", MIXED "begin 644 a\r\n#04)#\r\n`\r\nend\r\n" TEXT END,
		TOP
		"Content-Type: multipart/mixed;\r\n\tboundary=\"=_normal_0_0\"\r\n\r\n"
		"--=_normal_0_0\r\nContent-Type: text/plain\r\n\r\nHello\r\n--=_normal_0_0--\r\n"},
	    {"a boundary that its body shows",
		TOP "Content-Type: multipart/mixed; boundary=other\r\n\r\n" TEXT END,
		TOP
		"Content-Type: multipart/mixed;\r\n\tboundary=\"=_normal_0_0\"\r\n\r\n"
		"--=_normal_0_0\r\nContent-Type: text/plain\r\n\r\nHello\r\n--=_normal_0_0--\r\n"},
	    {"a multipart that nothing divides",
		TOP "Content-Type: multipart/mixed; boundary=b\r\n\r\nHello\r\n",
		TOP "Content-Type: text/plain\r\n\r\nHello\r\n"},
	    {"a multipart in base64",
		TOP "Content-Type: multipart/mixed; boundary=b\r\n" BASE64
		    "\r\nLS1iDQoNCkhpDQotLWItLQ0K\r\n",
		TOP "Content-Type: multipart/mixed;\r\n\tboundary=\"=_normal_0_0\"\r\n\r\n"
		    "--=_normal_0_0\r\n\r\nHi\r\n--=_normal_0_0--\r\n"},
	    {"a message in base64, broken",
		TOP "Content-Type: message/rfc822\r\n" BASE64 "\r\nU3ViamVjdDogaQ0K!DQpIaQ0K\r\n",
		TOP "Content-Type: message/rfc822\r\n\r\nSubject: i\r\n\r\nHi\r\n"},
	    {"a message of eight bits in base64",
		MIXED "--b\r\nContent-Type: text/plain (x)\r\nContent-Transfer-Encoding: "
		      "8bit\r\n\r\n\xe9\r\n--b\r\nContent-Type: message/rfc822\r\n" BASE64
		      "\r\nU3ViamVjdDog6Q0KDQpIaQ0K\r\n" END,
		MIXED "--b\r\nContent-Type: text/plain\r\nContent-Transfer-Encoding: "
		      "8bit\r\n\r\n\xe9\r\n--b\r\nContent-Type: "
		      "message/rfc822\r\nContent-Transfer-Encoding: 8bit\r\n\r\nSubject: "
		      "\xe9\r\n\r\nHi\r\n\r\n" END},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct normalised n;
		struct span message = span_str(rows[i].from);
		int r = normalise(message, &n);

		if (r != 0 || !span_eq(buf_span(&n.bytes), span_str(rows[i].to)))
			print_message("%s: %d %s: %.*s\n", rows[i].what, r,
			    r < 0 ? n.made.why_not : "", SPAN_ARG(buf_span(&n.bytes)));
		assert_int_equal(r, 0);
		assert_true(span_eq(buf_span(&n.bytes), span_str(rows[i].to)));
		assert_plain(buf_span(&n.bytes));
		normalised_free(&n);
	}
}

/* What has no reading of its own: a text about it, in its place. */
static void
test_notices(void **state)
{
	static const char *const rows[] = {
	    TOP
	    "Content-Type: message/partial; id=a; number=1; total=2\r\n\r\nSubject: y\r\n\r\nx\r\n",
	    MIXED TEXT "--b\r\nContent-Type: message/partial; id=a\r\n\r\nx\r\n" END,
	    MIXED TEXT "--b\r\nContent-Type: message/rfc822\r\n" BASE64
		       "\r\nU3ViamVjdDogaQ1YOiBhDQ1IaQ0=\r\n" END,
	    /* As UTF-8 the text would have another file in it. */
	    MIXED TEXT "--b\r\nContent-Type: text/plain; charset=iso-8859-1\r\n\r\n\xff\xfe\r\n"
		       "begin 644 a\r\n#0\xe4)#\r\n`\r\nend\r\n" END,
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct normalised n;
		size_t notices = 0;

		assert_int_equal(normalise(span_str(rows[i]), &n), 0);
		for (size_t k = 0; k < n.made.n_cuts; k++)
			notices += n.made.cuts[k].notice != NORMAL_NO_NOTICE;
		assert_int_equal(notices, 1);
		assert_plain(buf_span(&n.bytes));
		assert_non_null(memmem(n.bytes.p, n.bytes.n, "removed here by", 15));
		assert_int_equal(memmem(n.bytes.p, n.bytes.n, "Hello", 5) != NULL, i > 0);
		normalised_free(&n);
	}
}

/* A name is cut once, wherever its characters begin. */
static void
test_long_names(void **state)
{
	struct buf message = BUF_INIT(1000);

	(void)state;
	for (int i = 0; i < 9; i++) {
		struct normalised n;

		buf_clear(&message);
		(void)buf_addf(
		    &message, MIXED "--b\r\nContent-Type: a/b (x); name=\"%.*s", i / 3, "aa");
		for (size_t k = 0; k < 100; k++)
			(void)buf_add_str(&message, "\xe2\x82\xac");
		assert_int_equal(buf_addf(&message, ".%.*s\"\r\n\r\nx\r\n" END, i % 3, "gz"), 0);
		assert_int_equal(normalise(buf_span(&message), &n), 0);
		assert_non_null(memmem(n.bytes.p, n.bytes.n, "%AC_%E2", 7));
		assert_plain(buf_span(&n.bytes));
		normalised_free(&n);
	}
	buf_free(&message);
}

/* Long lines of a part that is written anew are no lines of what is around it. */
static void
test_encoding_of_parts(void **state)
{
	struct buf message = BUF_INIT(10000);
	struct normalised n;

	(void)state;
	(void)buf_add_str(&message, TOP "Content-Type: multipart/mixed; boundary=b (x)\r\n\r\n" TEXT
					"--b\r\nContent-Type: a/b\r\n" BASE64 "\r\n!");
	for (size_t i = 0; i < NORMAL_LINE_MAX; i++)
		(void)buf_add_str(&message, "QUJD");
	assert_int_equal(buf_add_str(&message, "\r\n" END), 0);
	assert_int_equal(normalise(buf_span(&message), &n), 0);
	assert_null(memmem(n.bytes.p, n.bytes.n, "binary", 6));
	assert_plain(buf_span(&n.bytes));
	normalised_free(&n);
	buf_free(&message);
}

/* Past the limits: a part that is too much to write is a notice, what was not all seen is not touched. */
static void
test_limits(void **state)
{
	static const char head[] = TOP "Content-Type: a/b\r\n" BASE64 "\r\n!";
	struct buf message = BUF_INIT(2 * NORMAL_MESSAGE_MAX);
	struct normalised n;

	(void)state;
	for (int is_over = 0; is_over < 2; is_over++) {
		buf_clear(&message);
		assert_int_equal(buf_add_str(&message, head), 0);
		/* 76 of 78 bytes are digits in what is written. */
		for (size_t i = 0; i < (size_t)NORMAL_TEXT_MAX / 78 + 100 * (size_t)is_over - 1;
		     i++)
			for (size_t k = 0; k < 19; k++)
				assert_int_equal(buf_add_str(&message, "QUJD"), 0);
		assert_int_equal(normalise(buf_span(&message), &n), 0);
		assert_int_equal(n.made.cuts[0].notice != NORMAL_NO_NOTICE ||
				     n.made.cuts[n.made.n_cuts - 1].notice != NORMAL_NO_NOTICE,
		    is_over);
		assert_plain(buf_span(&n.bytes));
		normalised_free(&n);
	}
	buf_clear(&message);
	for (int i = 0; i < 40; i++)
		(void)buf_addf(
		    &message, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i);
	assert_int_equal(normalise(buf_span(&message), &n), -E_LIMIT);
	assert_string_equal(n.made.why_not, "not all of it was seen");
	normalised_free(&n);
	buf_free(&message);
}

/* Of a long text as UTF-8 the beginning is known, of its bytes all: it stays where it was clear, and comes under a
 * header section of its own where that was not. */
static void
test_long_text(void **state)
{
	static const struct {
		const char *head, *tail;
	} rows[] = {
	    {MIXED "--b\r\nContent-Type: a/b\r\nContent-Type: text/html\r\n\r\nx\r\n--b\r\n"
		   "Content-Type: text/csv\r\n\r\n",
		END},
	    {TOP "Content-Type: text/plain\r\nContent-Type: text/html\r\n\r\n", ""},
	    {TOP "Content-Type: multipart/mixed; boundary=b\r\n\r\n", ""},
	};
	struct buf message = BUF_INIT(2 * MIME_TEXT), lines = BUF_INIT(2 * MIME_TEXT);

	(void)state;
	while (lines.n <= MIME_TEXT)
		assert_int_equal(buf_add_str(&lines, "one;two;three;four;five;six;seven\r\n"), 0);
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct normalised n;

		buf_clear(&message);
		(void)buf_add_str(&message, rows[i].head);
		(void)buf_add_span(&message, buf_span(&lines));
		assert_int_equal(buf_add_str(&message, rows[i].tail), 0);
		assert_int_equal(normalise(buf_span(&message), &n), 0);
		for (size_t k = 0; k < n.made.n_cuts; k++)
			assert_int_equal(n.made.cuts[k].notice, NORMAL_NO_NOTICE);
		assert_non_null(memmem(n.bytes.p, n.bytes.n, lines.p, lines.n));
		assert_plain(buf_span(&n.bytes));
		normalised_free(&n);
	}
	buf_free(&message);
	buf_free(&lines);
}

/* More places than there are cuts for: one notice about all of it. */
static void
test_many_places(void **state)
{
	struct buf message = BUF_INIT(1024 * 1024);
	struct normalised n;

	(void)state;
	(void)buf_add_str(&message, MIXED);
	for (size_t i = 0; i < NORMAL_CUTS_MAX + 10; i++)
		(void)buf_add_str(&message, "--b\r\nContent-Type: a/b (x)\r\n\r\nx\r\n");
	assert_int_equal(buf_add_str(&message, END), 0);
	assert_int_equal(normalise(buf_span(&message), &n), 0);
	assert_int_equal(n.made.n_cuts, 2);
	assert_int_equal(n.made.cuts[0].notice, 0);
	assert_plain(buf_span(&n.bytes));
	normalised_free(&n);
	buf_free(&message);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_table),
	    cmocka_unit_test(test_notices),
	    cmocka_unit_test(test_long_names),
	    cmocka_unit_test(test_encoding_of_parts),
	    cmocka_unit_test(test_limits),
	    cmocka_unit_test(test_long_text),
	    cmocka_unit_test(test_many_places),
	};

	decode_warm_up();
	return cmocka_run_group_tests(tests, NULL, NULL);
}

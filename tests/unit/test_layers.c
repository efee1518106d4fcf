/* Which parts libclamav has scanned already: what counts as the same, and how often it is asked for a mail. */
#include "filters/antivirus/layers.h"
#include "filters/worker/interpose.c"

#include "tests/unit/filter_fixture.h"
#include "filters/antivirus/canary.h"
#include "filters/chain/abouts.h"
#include "filters/chain/builtins.h"
#include "relay/base/base64.h"
#include "relay/message/decode.h"

#include <clamav.h>
#include <dlfcn.h>

static unsigned n_scans;

/* Instead of the library's, which it calls. */
cl_error_t
cl_scanmap_callback(cl_fmap_t *map, const char *name, const char **virus, unsigned long *scanned,
    const struct cl_engine *engine, struct cl_scan_options *options, void *context)
{
	static __typeof__(&cl_scanmap_callback) real;

	if (real == NULL)
		*(void **)&real = dlsym(RTLD_NEXT, "cl_scanmap_callback");
	n_scans++;
	return real(map, name, virus, scanned, engine, options, context);
}

static void
test_same_text(void **state)
{
	static const struct {
		const char *layer, *part;
		bool is_same;
	} rows[] = {
	    {"one\ntwo\n", "one\r\ntwo\r\n", true},
	    {"one\ntwo\n", "\r\none  \t\r\n\r\ntwo", true},
	    {"one \n \n\ttwo\n", "one\n\ttwo\n", true},
	    {"one\ntwo\n", "one two\n", false},
	    {"one\ntwo\n", "onetwo\n", false},
	    {"one\ntwo\n", "one\n two\n",
		false}, /* blanks at the front are not the parser's to drop */
	    {"one\ntwo\n", "o ne\ntwo\n", false},
	    {"one\ntwo\n", "one\ntwo\nthree\n", false},
	    {"one\ntwo\n", "two\none\n", false},
	    {"one\n", "ONE\n", false},
	    {"o\rne\n", "one\n", false},
	    {"one\n", "", false},
	    {"", "\r\n", true},
	};
	struct layers *l = mem_alloc(sizeof(*l));

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("row %zu\n", i);
		layers_clear(l);
		layers_add(l, span_str(rows[i].layer), true);
		assert_int_equal(layers_have(l, span_str(rows[i].part), true), rows[i].is_same);
	}
	mem_free(l);
}

static void
test_same_bytes(void **state)
{
	struct layers *l = mem_alloc(sizeof(*l));

	(void)state;
	assert_false(layers_have(l, SPAN("a"), false));
	layers_add(l, SPAN("one\n"), false);
	assert_true(layers_have(l, SPAN("one\n"), false));
	assert_true(layers_have(l, SPAN("one\n"), true));
	assert_false(layers_have(l, SPAN("one\r\n"), false));
	assert_false(layers_have(l, SPAN("one\r\n"), true)); /* no text to libclamav */
	layers_add(l, SPAN("two\n"), true);
	assert_true(layers_have(l, SPAN("two\n"), false));
	assert_true(layers_have(l, SPAN("two\r\n"), true));
	assert_false(layers_have(l, SPAN("two\r\n"), false)); /* a file: every byte counts */
	layers_clear(l);
	assert_false(layers_have(l, SPAN("one\n"), false));
	mem_free(l);
}

/* What is not remembered is scanned again. */
static void
test_limits(void **state)
{
	struct layers *l = mem_alloc(sizeof(*l));
	struct buf text = BUF_INIT(LAYERS_TEXT_MAX + 1);
	char name[16];

	(void)state;
	while (text.n < LAYERS_TEXT_MAX)
		(void)buf_add_char(&text, 'x');
	text.p[0] = '\n';
	layers_add(l, buf_span(&text), true);
	assert_true(layers_have(l, span_skip(buf_span(&text), 1), true));
	(void)buf_add_char(&text, 'x');
	layers_clear(l);
	layers_add(l, buf_span(&text), true);
	assert_false(layers_have(l, span_skip(buf_span(&text), 1), true));
	assert_true(layers_have(l, buf_span(&text), true)); /* by its bytes */
	for (int i = 0; i < LAYERS_MAX + 1; i++) {
		(void)snprintf(name, sizeof(name), "%d", i);
		layers_add(l, span_str(name), false);
	}
	assert_int_equal(l->n, LAYERS_MAX);
	assert_false(layers_have(l, span_str(name), false));
	buf_free(&text);
	mem_free(l);
}

/* --- the filter ------------------------------------------------------------------------------- */

struct state {
	struct fixture *f;
	char database[64];
};

static void
write_signature(const char *folder)
{
	struct buf line = BUF_INIT(1024), eicar = BUF_INIT(CANARY_MAX);
	char path[128];
	FILE *to;

	canary_add(&eicar, false);
	(void)buf_add_str(&line, "Eicar-Test:0:*:");
	for (size_t i = 0; i < eicar.n; i++)
		(void)buf_addf(&line, "%02x", (unsigned char)eicar.p[i]);
	(void)snprintf(path, sizeof(path), "%s/test.ndb", folder);
	to = (fopen)(path, "we");
	assert_non_null(to);
	assert_int_equal(fprintf(to, "%.*s\n", (int)line.n, line.p), (int)line.n + 1);
	assert_int_equal((fclose)(to), 0);
	buf_free(&line);
	buf_free(&eicar);
}

static int
group_setup(void **state)
{
	struct state *s = mem_alloc(sizeof(*s));
	char section[300];

	decode_warm_up();
	(void)snprintf(s->database, sizeof(s->database), "/tmp/postern-db-XXXXXX");
	assert_non_null(mkdtemp(s->database));
	write_signature(s->database);
	(void)snprintf(section, sizeof(section),
	    "filter \"antivirus\" { plugin = \"clamav\" databases = \"%s\" max_scan = 20M deadline "
	    "= 60s }",
	    s->database);
	s->f = fixture_new("\"antivirus\"", section, filters_abouts(), filters_builtin);
	if (chain_load(s->f->chain, &s->f->err) < 0)
		fail_msg("%s", s->f->err.text);
	*state = s;
	return 0;
}

static int
group_teardown(void **state)
{
	struct state *s = *state;

	fixture_free(s->f);
	(void)nftw(s->database, fixture_remove, 16, FTW_DEPTH | FTW_PHYS);
	mem_free(s);
	return 0;
}

static void
test_scans_of_a_mail(void **state)
{
	static const char head[] = "From: a@example.org\r\nSubject: x\r\nMIME-Version: 1.0\r\n";
	static const struct {
		const char *what, *mail;
		bool is_once;
		const char *outcome;
	} rows[] = {
	    {"one text", "Content-Type: text/plain\r\n\r\nhello\r\n\r\nyou \r\n", true, NULL},
	    {"two texts and a file",
		"Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\n"
		"--b\r\nContent-Type: text/plain\r\n\r\nhello there\r\n"
		"--b\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: "
		"quoted-printable\r\n\r\n"
		"<html><body>hel=6Co</body></html>\r\n"
		"--b\r\nContent-Type: application/octet-stream; name=\"a.bin\"\r\n"
		"Content-Transfer-Encoding: base64\r\n\r\nAAECAwQFBgcICQoLDA0ODw==\r\n--b--\r\n",
		true, NULL},
	    /* A file of text has other line ends than libclamav gives it: its hash might be known. */
	    {"a text file",
		"Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\n"
		"--b\r\nContent-Type: text/plain\r\n\r\nhello there\r\n"
		"--b\r\nContent-Type: text/plain; name=\"a.bat\"\r\n\r\none line\r\nanother "
		"line\r\n--b--\r\n",
		false, NULL},
	    /* Ours decodes with the second of two encodings, too; libclamav does not. */
	    {"two encodings",
		"Content-Type: multipart/mixed; boundary=\"b\"\r\n\r\n"
		"--b\r\nContent-Type: application/octet-stream; name=\"a.bin\"\r\n"
		"Content-Transfer-Encoding: base64\r\nContent-Transfer-Encoding: "
		"quoted-printable\r\n\r\n"
		"AAECAwQFBgcICQoLDA0ODw=3D=3D\r\n--b--\r\n",
		false, "malformed"},
	};
	struct state *s = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf mail = BUF_INIT(65536);
		const struct scan_result *r;

		print_message("%s\n", rows[i].what);
		(void)buf_add_str(&mail, head);
		(void)buf_add_str(&mail, rows[i].mail);
		n_scans = 0;
		r = fixture_scan(s->f, buf_span(&mail), NULL);
		assert_int_equal(n_scans == 1, rows[i].is_once);
		assert_true(n_scans >= 1);
		if (rows[i].outcome == NULL)
			assert_int_equal(r->n_outcomes, 0);
		else
			assert_true(fixture_outcome(s->f, r, rows[i].outcome) >= 0);
		buf_free(&mail);
	}
}

/* What is bad is found whichever of the two sees it: here our parser alone. */
static void
test_what_libclamav_does_not_see(void **state)
{
	struct buf mail = BUF_INIT(65536), eicar = BUF_INIT(CANARY_MAX);
	struct state *s = *state;

	canary_add(&eicar, false);
	(void)buf_add_str(&mail,
	    "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n"
	    "Content-Type: text/plain\r\n\r\n--b\r\nContent-Type: application/octet-stream\r\n"
	    "Content-Transfer-Encoding: 7bit\r\nContent-Transfer-Encoding: base64\r\n\r\n");
	(void)base64_add(&mail, buf_span(&eicar));
	(void)buf_add_str(&mail, "\r\n--b--\r\n");
	assert_true(
	    fixture_outcome(s->f, fixture_scan(s->f, buf_span(&mail), NULL), "infected") >= 0);
	buf_free(&mail);
	buf_free(&eicar);
}

/* A message that was not scanned to its end vouches for nothing: its parts are looked at by themselves. */
static void
test_limits_vouch_for_nothing(void **state)
{
	enum { SIZE = 21 * 1024 * 1024 };
	struct state *s = *state;
	struct buf big = BUF_INIT(2 * SIZE);
	const struct scan_result *r;

	(void)buf_add_str(&big,
	    "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"
	    "--b\r\nContent-Type: text/plain\r\n\r\nhello\r\n--b\r\nContent-Type: "
	    "text/plain\r\n\r\n");
	while (big.n < SIZE)
		(void)buf_add_str(&big, "a line of text that goes on and on and on\r\n");
	(void)buf_add_str(&big, "--b--\r\n");
	assert_false(big.failed);
	n_scans = 0;
	r = fixture_scan(s->f, buf_span(&big), NULL);
	assert_true(fixture_outcome(s->f, r, "unscannable") >= 0);
	assert_true(n_scans >= 3);
	buf_free(&big);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_same_text),
	    cmocka_unit_test(test_same_bytes),
	    cmocka_unit_test(test_limits),
	    cmocka_unit_test(test_scans_of_a_mail),
	    cmocka_unit_test(test_what_libclamav_does_not_see),
	    cmocka_unit_test(test_limits_vouch_for_nothing),
	};

	/* The groups' state is for the last three; the others do without. */
	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}

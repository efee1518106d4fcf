/* test_mime.c - part trees, anomalies and limits; every message of the corpus. */
#include "relay/message/mime.h"
#include "relay/base/utf8.h"
#include "relay/message/decode.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

enum { ARENA_MAX = 64 * 1024 * 1024, FILE_MAX_BYTES = 16 * 1024 * 1024 };

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
	size_t max = f->arena.max;

	arena_free(&f->arena);
	arena_init(&f->arena, max);
	mime_parse(message, limits, &f->arena, &f->m);
}

/* What holds for any message. */
static void
check_sound(const struct mime_message *m, const struct mime_limits *limits)
{
	size_t most = limits->parts ? limits->parts : MIME_PARTS;
	size_t deepest = limits->depth ? limits->depth : MIME_DEPTH;

	assert_true(m->n_parts >= 1 && m->n_parts <= most);
	assert_int_equal(m->parts[0].parent, 0);
	assert_int_equal(m->parts[0].depth, 0);
	for (size_t i = 0; i < m->n_parts; i++) {
		const struct mime_part *p = &m->parts[i];

		assert_true(i == 0 || p->parent < i);
		assert_true(p->depth == 0 ? i == 0 || p->is_reading
					  : p->depth == m->parts[p->parent].depth + 1);
		assert_true(p->depth <= deepest);
		assert_true(p->type.n > 0);
		assert_true(p->text.n <= MIME_TEXT && utf8_is_valid(p->text));
		assert_true(utf8_is_valid(p->filename));
	}
}

static const char TREE[] =
    "Subject: tree\r\nContent-Type: Multipart/Mixed; boundary=\"out er\"\r\n\r\n"
    "preamble\r\n--out er\r\n"
    "Content-Type: multipart/alternative; boundary=in\r\n\r\n"
    "--in\r\n\r\nplain\r\n"
    "--in  \r\nContent-Type: TEXT/html; charset=\"ISO-8859-1\"\r\n"
    "Content-Transfer-Encoding: Quoted-Printable\r\n\r\ncaf=E9\r\n"
    "--in--\r\n"
    "--out er\r\n"
    "Content-Type: application/octet-stream; name=\"x\"\r\n"
    "Content-Disposition: attachment; filename*=utf-8''caf%C3%A9.bin\r\n"
    "Content-Transfer-Encoding: base64\r\n\r\nAAEC\r\n"
    "--out er\r\nContent-Type: message/rfc822\r\nContent-Transfer-Encoding: base64\r\n\r\n"
    "U3ViamVjdDogaW5uZXINCg0KaW5zaWRlDQo=\r\n" /* "Subject: inner…inside" */
    "--out er--\r\nepilogue\r\n";

static void
tree(void **state)
{
	struct fixture *f = *state;
	static const struct {
		uint32_t parent, depth;
		const char *type, *decoded, *text, *filename;
	} want[] = {
	    {0, 0, "multipart/mixed", NULL, "", ""},
	    {0, 1, "multipart/alternative", NULL, "", ""},
	    {1, 2, "text/plain", "plain", "plain", ""},
	    {1, 2, "text/html", "caf\xe9", "caf\xc3\xa9", ""},
	    {0, 1, "application/octet-stream", "*", "", "caf\xc3\xa9.bin"},
	    {0, 1, "message/rfc822", "Subject: inner\r\n\r\ninside\r\n", "", ""},
	    {5, 2, "text/plain", "inside\r\n", "inside\r\n", ""},
	};

	parse(f, span_str(TREE), NULL);
	assert_int_equal(f->m.anomalies, 0);
	assert_int_equal(f->m.n_parts, sizeof(want) / sizeof(want[0]));
	assert_int_equal(f->m.n_headers, 2);
	assert_true(span_eq(f->m.headers[0].name, SPAN("Subject")));
	for (size_t i = 0; i < f->m.n_parts; i++) {
		const struct mime_part *p = &f->m.parts[i];

		assert_int_equal(p->parent, want[i].parent);
		assert_int_equal(p->depth, want[i].depth);
		assert_true(span_eq(p->type, span_str(want[i].type)));
		assert_true(span_eq(p->text, span_str(want[i].text)));
		assert_true(span_eq(p->filename, span_str(want[i].filename)));
		if (want[i].decoded != NULL && strcmp(want[i].decoded, "*") != 0)
			assert_true(span_eq(p->decoded, span_str(want[i].decoded)));
		assert_int_equal(p->is_multipart, i < 2);
		assert_int_equal(p->is_message, i == 5);
		assert_false(p->is_malformed || p->is_truncated);
	}
	assert_true(span_eq(f->m.parts[4].decoded, span_of("\0\1\2", 3)));
	assert_true(span_eq(f->m.parts[3].charset, SPAN("iso-8859-1")));
}

#define MULTI(params) "Content-Type: multipart/mixed" params "\r\n\r\n"

static void
oddities(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *message;
		unsigned anomalies;
		size_t parts;
		const char *last_type, *last_raw;
	} cases[] = {
	    {"", 0, 1, "text/plain", ""},
	    {"\r\nbody", 0, 1, "text/plain", "body"},
	    {"just text\r\nmore\r\n", MIME_BAD_HEADER, 1, "text/plain", "just text\r\nmore\r\n"},
	    {"A: b\r\ntext\r\nmore", MIME_BAD_HEADER, 1, "text/plain", "text\r\nmore"},
	    {"From joe\r\nContent-Type: text/html\r\n\r\nx", MIME_BAD_HEADER, 1, "text/html", "x"},
	    {"A: b\n\nbody\n", 0, 1, "text/plain", "body\n"},
	    {"Content-Type: text\r\n\r\nx", MIME_BAD_HEADER | MIME_GUESSED_TYPE, 1, "text/plain",
		"x"},
	    {"Content-Type: a/b/c\r\n\r\nx", MIME_BAD_HEADER | MIME_GUESSED_TYPE, 1, "text/plain",
		"x"},
	    {"Content-Type: text/html\r\nContent-type : text/css\r\n\r\nx",
		MIME_DUPLICATE_HEADER | MIME_TWO_TYPES, 2, "text/css", "x"},
	    {"Content-Transfer-Encoding: uuencode\r\n\r\nx",
		MIME_UNKNOWN_ENCODING | MIME_TWO_ENCODINGS, 2, "text/plain", "x"},
	    {"Content-Transfer-Encoding: base64\r\n\r\n!!!!", MIME_BAD_ENCODING, 1, "text/plain",
		"!!!!"},
	    {"Content-Transfer-Encoding: quoted-printable\r\n\r\n=GG",
		MIME_BAD_ENCODING | MIME_TWO_DECODINGS, 2, "text/plain", "=GG"},
	    {"Content-Type: text/plain; charset=x-none\r\n\r\nx\xff", MIME_BAD_CHARSET, 1,
		"text/plain", "x\xff"},
	    {MULTI("; boundary=b") "--b\r\n\r\nx\r\n", MIME_BAD_BOUNDARY, 2, "text/plain", "x\r\n"},
	    {MULTI("; boundary=b") "no delimiter\r\n", MIME_BAD_BOUNDARY | MIME_UNDIVIDED, 1,
		"multipart/mixed", "no delimiter\r\n"},
	    {MULTI("") "--g\r\n\r\nx\r\n--g--\r\n", MIME_BAD_BOUNDARY, 2, "text/plain", "x"},
	    {MULTI("") "nothing", MIME_BAD_BOUNDARY | MIME_UNDIVIDED, 1, "multipart/mixed",
		"nothing"},
	    {MULTI("; boundary=b; boundary=c") "--b\r\n\r\nx\r\n--b--\r\n", MIME_BAD_BOUNDARY, 2,
		"text/plain", "x"},
	    {MULTI("; boundary=b") "--b--\r\n--b\r\n\r\nlate\r\n--b--\r\n", MIME_BAD_BOUNDARY, 2,
		"text/plain", "late"},
	    {MULTI("; boundary=b") "--bb\r\n\r\nx\r\n--b\r\n\r\ny\r\n--b--\r\n", MIME_LAX_BOUNDARY,
		4, "text/plain", "x"},
	    {MULTI("; boundary=b") "--b\r\n--b\r\n\r\ny\r\n--b--", 0, 3, "text/plain", "y"},
	    {MULTI("; boundary=b") "--b\r\nno header\r\n--b--", MIME_BAD_HEADER, 2, "text/plain",
		"no header"},
	    {MULTI("; boundary=b") "--b\n\ny\n--b--\n", 0, 2, "text/plain", "y"},
	    {"Content-Type: multipart/digest; boundary=b\r\n\r\n--b\r\n\r\nA: b\r\n\r\nx\r\n--b--",
		0, 3, "text/plain", "x"},
	    {"Content-Transfer-Encoding: base64\r\n" MULTI("; boundary=b") "LS1iDQoNCngNCi0tYi0t",
		MIME_BAD_ENCODING, 2, "text/plain", "x"},
	    {"Content-Type: message/rfc822\r\n\r\nContent-Type: text/html\r\n\r\nx", 0, 2,
		"text/html", "x"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const struct mime_part *last;

		parse(f, span_str(cases[i].message), NULL);
		last = &f->m.parts[f->m.n_parts - 1];
		if (f->m.anomalies != cases[i].anomalies || f->m.n_parts != cases[i].parts ||
		    !span_eq(last->type, span_str(cases[i].last_type)) ||
		    !span_eq(last->raw, span_str(cases[i].last_raw)))
			fail_msg("case %zu: anomalies %u, %zu parts, last %.*s '%.*s'", i,
			    f->m.anomalies, f->m.n_parts, SPAN_ARG(last->type),
			    SPAN_ARG(last->raw));
		check_sound(&f->m, &(struct mime_limits){.parts = 0});
	}
}

static void
many_parts(void **state)
{
	struct fixture *f = *state;
	struct buf message = BUF_INIT(1000000);
	struct mime_limits limits = {.parts = 10};

	(void)buf_add_str(&message, MULTI("; boundary=b"));
	for (int i = 0; i < 9; i++)
		(void)buf_add_str(&message, "--b\r\n\r\nx\r\n");
	(void)buf_add_str(&message, "--b--\r\n");
	parse(f, buf_span(&message), &limits);
	assert_int_equal(f->m.n_parts, 10);
	assert_int_equal(f->m.anomalies, 0);
	limits.parts = 9;
	parse(f, buf_span(&message), &limits);
	assert_int_equal(f->m.n_parts, 9);
	assert_int_equal(f->m.anomalies, MIME_TOO_MANY_PARTS);
	for (int i = 0; i < 50000; i++)
		(void)buf_add_str(&message, "--b\r\n\r\nx\r\n");
	parse(f, buf_span(&message), NULL);
	assert_int_equal(f->m.n_parts, MIME_PARTS);
	buf_free(&message);
}

static void
deep(void **state)
{
	struct fixture *f = *state;
	struct buf message = BUF_INIT(1000000);
	struct mime_limits limits = {.depth = 3};

	for (int i = 0; i < 3; i++)
		(void)buf_add_str(&message, "Content-Type: message/rfc822\r\n\r\n");
	(void)buf_add_str(&message, "A: b\r\n\r\nx");
	parse(f, buf_span(&message), &limits);
	assert_int_equal(f->m.n_parts, 4);
	assert_int_equal(f->m.anomalies, 0);
	limits.depth = 2;
	parse(f, buf_span(&message), &limits);
	assert_int_equal(f->m.n_parts, 3);
	assert_int_equal(f->m.anomalies, MIME_TOO_DEEP);
	assert_true(f->m.parts[2].is_truncated);

	buf_clear(&message);
	for (int i = 0; i < 3000; i++)
		(void)buf_addf(&message, MULTI("; boundary=b%04d") "--b%04d\r\n", i, i);
	parse(f, buf_span(&message), NULL);
	assert_int_equal(f->m.n_parts, MIME_DEPTH + 1);
	assert_true(f->m.anomalies & MIME_TOO_DEEP);
	buf_free(&message);
}

static void
large(void **state)
{
	struct fixture *f = *state;
	struct buf message = BUF_INIT(1000000);
	struct mime_limits limits = {.decoded_bytes = 6000};
	struct arena small;

	(void)buf_add_str(&message, "Content-Transfer-Encoding: base64\r\n\r\n");
	for (int i = 0; i < 2000; i++)
		(void)buf_add_str(&message, "QUFB");
	parse(f, buf_span(&message), NULL);
	assert_int_equal(f->m.parts[0].decoded.n, 6000);
	assert_int_equal(f->m.anomalies, 0);
	limits.decoded_bytes = 3000;
	parse(f, buf_span(&message), &limits);
	assert_true(f->m.parts[0].decoded.n <= 3000 && f->m.parts[0].decoded.n > 2990);
	assert_int_equal(f->m.anomalies, MIME_TOO_LARGE);
	assert_true(f->m.parts[0].is_truncated);

	/* The arena's end is no crash either. */
	for (int i = 0; i < 20000; i++)
		(void)buf_add_str(&message, "QUFB");
	arena_init(&small, MIME_ARENA_MIN);
	mime_parse(buf_span(&message), NULL, &small, &f->m);
	assert_true(f->m.anomalies & MIME_TOO_LARGE);
	check_sound(&f->m, &limits);
	arena_free(&small);
	buf_free(&message);
}

static void
many_headers(void **state)
{
	struct fixture *f = *state;
	struct buf message = BUF_INIT(10000000);
	struct arena small;

	for (int i = 0; i < HEADER_FIELDS_MAX; i++)
		(void)buf_add_str(&message, "A: b\r\n");
	parse(f, buf_span(&message), NULL);
	assert_int_equal(f->m.n_headers, HEADER_FIELDS_MAX);
	assert_int_equal(f->m.anomalies, 0);
	(void)buf_add_str(&message, "A: b\r\n");
	parse(f, buf_span(&message), NULL);
	assert_int_equal(f->m.n_headers, HEADER_FIELDS_MAX);
	assert_int_equal(f->m.anomalies, MIME_BAD_HEADER | MIME_TOO_LARGE);
	arena_init(&small, MIME_ARENA_MIN);
	mime_parse(buf_span(&message), NULL, &small, &f->m);
	assert_true(f->m.anomalies & MIME_TOO_LARGE);
	assert_int_equal(f->m.n_parts, 1);
	arena_free(&small);
	buf_free(&message);
}

static void
long_text(void **state)
{
	struct fixture *f = *state;
	struct buf message = BUF_INIT(20000000);
	const struct mime_part *p;

	(void)buf_add_str(&message, "A: b\r\n\r\nx");
	while (message.n < 2 * MIME_TEXT)
		(void)buf_add_str(&message, "\xc3\xa9");
	parse(f, buf_span(&message), NULL);
	p = &f->m.parts[0];
	assert_int_equal(p->text.n, MIME_TEXT - 1); /* no half character */
	assert_true(p->is_truncated && p->decoded.n > p->text.n);
	message.p[8] = '\xff';
	parse(f, buf_span(&message), NULL);
	p = &f->m.parts[0];
	assert_true(p->text.n <= MIME_TEXT && p->text.n > MIME_TEXT - 8 && p->is_truncated);
	assert_true(utf8_is_valid(p->text));
	assert_int_equal(f->m.anomalies, MIME_BAD_CHARSET);
	buf_free(&message);
}

static size_t
check_file(struct fixture *f, const char *path)
{
	static const struct mime_limits limits[] = {
	    {.parts = 0}, {.parts = 3}, {.depth = 1}, {.decoded_bytes = 100}};
	FILE *file = fopen(path, "rb");
	char *bytes = mem_alloc(FILE_MAX_BYTES);
	size_t n;

	if (file == NULL)
		fail_msg("cannot open %s", path);
	n = fread(bytes, 1, FILE_MAX_BYTES, file);
	(void)fclose(file); /* only read */
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		parse(f, span_of(bytes, n), &limits[i]);
		check_sound(&f->m, &limits[i]);
	}
	mem_free(bytes);
	return 1;
}

/* Files below `folder`, one level of folders down. */
static size_t
check_folder(struct fixture *f, const char *folder, bool has_folders)
{
	DIR *dir = opendir(folder);
	const struct dirent *entry;
	size_t n = 0;

	if (dir == NULL)
		return 0;
	while ((entry = readdir(dir)) != NULL) {
		char path[4096];

		if (entry->d_name[0] == '.')
			continue;
		assert_true((size_t)snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name) <
			    sizeof(path));
		if (entry->d_type == DT_DIR)
			n += has_folders ? check_folder(f, path, false) : 0;
		else
			n += check_file(f, path);
	}
	(void)closedir(dir); /* only read */
	return n;
}

static void
corpus(void **state)
{
	const char *root = getenv("CORPORA");
	char path[1000];
	size_t n;

	(void)snprintf(path, sizeof(path), "%s/mime", root != NULL ? root : "../shared/corpora");
	n = check_folder(*state, path, true);
	if (n == 0) {
		print_message("SKIPPED: no message corpus in %s\n", path);
		skip();
	}
	assert_true(n > 50);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(tree, setup, teardown),
	    cmocka_unit_test_setup_teardown(oddities, setup, teardown),
	    cmocka_unit_test_setup_teardown(many_parts, setup, teardown),
	    cmocka_unit_test_setup_teardown(deep, setup, teardown),
	    cmocka_unit_test_setup_teardown(large, setup, teardown),
	    cmocka_unit_test_setup_teardown(many_headers, setup, teardown),
	    cmocka_unit_test_setup_teardown(long_text, setup, teardown),
	    cmocka_unit_test_setup_teardown(corpus, setup, teardown),
	};

	return cmocka_run_group_tests(tests, setup_all, NULL);
}

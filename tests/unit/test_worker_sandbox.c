/*
 * The real filters in a worker inside its real sandbox: a call that the sandbox does not allow
 * kills the worker, and the test sees that instead of a result.
 */
#include "tests/unit/filter_fixture.h"
#include "filters/antivirus/canary.h"
#include "filters/chain/abouts.h"
#include "filters/chain/builtins.h"
#include "filters/worker/zygote.h"
#include "relay/message/decode.h"
#include "relay/process/sandbox.h"

#include <time.h>

enum { PATIENCE_MS = 60000 };

struct state {
	struct fixture *f;
	struct loop *loop;
	struct zygote *zygote;
	int front, worker;
	struct buf buf;
	char database[64];
};

static int
enter(const char *tmpdir, struct err *err)
{
	const struct sandbox_path paths[] = {
	    {.path = tmpdir, .access = SANDBOX_WRITE}, {.path = NULL}};

	return sandbox_enter(SANDBOX_WORKER, paths, err);
}

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
	to = fopen(path, "we");
	assert_non_null(to);
	assert_int_equal(fprintf(to, "%.*s\n", (int)line.n, line.p), (int)line.n + 1);
	assert_int_equal(fclose(to), 0);
	buf_free(&line);
	buf_free(&eicar);
}

static void
make_chain(struct state *s)
{
	char sections[512];

	(void)snprintf(s->database, sizeof(s->database), "/tmp/postern-db-XXXXXX");
	assert_non_null(mkdtemp(s->database));
	write_signature(s->database);
	(void)snprintf(sections, sizeof(sections),
	    "filter \"antivirus\" { plugin = \"clamav\" databases = \"%s\" max_scan = 20M "
	    "deadline = 60s }\nfilter \"content\" { body = {\"/needle/i\"} }",
	    s->database);
	s->f = fixture_new("\"antivirus\", \"header\", \"content\", \"tag\"", sections,
	    filters_abouts(), filters_builtin);
	decode_warm_up();
	tzset();
	if (chain_load(s->f->chain, &s->f->err) < 0)
		fail_msg("%s", s->f->err.text);
}

static int
setup(void **state)
{
	struct state *s = mem_alloc(sizeof(*s));
	struct zygote_settings settings = {.n_workers = 1, .sandbox = enter, .memory_fd = -1};
	struct message m;
	int ends[2];

	make_chain(s);
	s->loop = loop_new();
	s->buf = BUF_INIT(CHANNEL_PAYLOAD_MAX);
	settings.folder = s->f->folder;
	s->zygote = zygote_new(s->loop, s->f->chain, &settings);
	channel_pair(ends);
	s->front = ends[0];
	zygote_serve(s->zygote, 0, ends[1]);
	loop_turn(s->loop, 0);
	assert_int_equal(channel_receive(s->front, &m, &s->buf, PATIENCE_MS), 0);
	assert_int_equal(m.type, FILTER_WORKER);
	s->worker = m.fds[0];
	assert_int_equal(channel_receive(s->worker, &m, &s->buf, PATIENCE_MS), 0);
	assert_int_equal(m.type, WORKER_READY);
	assert_int_equal(
	    channel_send_now(s->worker, WORKER_POLICY, 1, SPAN("tag a body /x/\n"), NULL), 0);
	*state = s;
	return 0;
}

static int
teardown(void **state)
{
	struct state *s = *state;

	(void)close(s->worker);
	(void)close(s->front);
	zygote_free(&s->zygote);
	loop_free(&s->loop);
	buf_free(&s->buf);
	(void)nftw(s->database, fixture_remove, 16, FTW_DEPTH | FTW_PHYS);
	fixture_free(s->f);
	mem_free(s);
	return 0;
}

static void
scan(struct state *s, struct span mail, bool is_inline, const char *outcome)
{
	struct scan_request r = {
	    .id = SPAN("x"), .policy = 1, .is_inline = is_inline, .body = mail};
	struct scan_result *result = mem_alloc(sizeof(*result));
	struct buf b = BUF_INIT(200000);
	int fds[CHANNEL_FDS] = {-1, -1};
	struct message m;

	if (!is_inline)
		fds[0] = channel_seal(mail, "mail");
	scan_request_put(&b, &r);
	assert_int_equal(channel_send_now(s->worker, WORKER_SCAN, 1, buf_span(&b), fds), 0);
	if (fds[0] >= 0)
		(void)close(fds[0]);
	if (channel_receive(s->worker, &m, &s->buf, PATIENCE_MS) < 0)
		fail_msg("the worker died: see its log, or the kernel's for a refused call");
	assert_int_equal(m.type, WORKER_RESULT);
	assert_int_equal(scan_result_get(m.payload, &s->f->config->flows[0], result), 0);
	if (outcome != NULL && fixture_outcome(s->f, result, outcome) < 0)
		fail_msg("%s is missing", outcome);
	if (outcome == NULL && result->n_outcomes > 0)
		fail_msg("outcome %d: %.*s", result->outcomes[0].outcome,
		    SPAN_ARG(result->outcomes[0].why));
	buf_free(&b);
	mem_free(result);
}

static void
test_mails(void **state)
{
	static const struct {
		const char *mail, *outcome;
	} rows[] = {
	    {"Subject: x\r\n\r\nhello\r\n", NULL},
	    {"Subject: =?koi8-r?B?8NLJ18XU?=\r\nContent-Type: text/plain; charset=koi8-r\r\n\r\n"
	     "\xf0\xd2\xc9\xd7\xc5\xd4\r\n",
		NULL},
	    {"Content-Type: text/plain; charset=gb18030\r\n\r\n\xc4\xe3\xba\xc3\r\n", NULL},
	    {"Content-Type: text/plain; charset=iso-2022-jp\r\n\r\n\x1b$B$3$s\x1b(B needle\r\n",
		"matched"},
	    {"Content-Type: text/html; charset=utf-16\r\nContent-Transfer-Encoding: base64\r\n\r\n"
	     "//48AGIAPgA=\r\n",
		NULL},
	    {"Content-Type: text/html\r\n\r\n<html><script>var a = unescape('%41');</script>"
	     "<a href=\"http://example.org/\">http://example.net/</a></html>\r\n",
		NULL},
	    {"Date: Sun, 22 Nov 2026 01:02:03 +0100\r\nContent-Type: application/pdf\r\n\r\n"
	     "%PDF-1.4\r\n1 0 obj\r\n<< /Length 3 >>\r\nstream\r\nabc\r\nendstream\r\nendobj\r\n",
		NULL},
	};
	struct state *s = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		print_message("row %zu\n", i);
		scan(s, span_str(rows[i].mail), true, rows[i].outcome);
		scan(s, span_str(rows[i].mail), false, rows[i].outcome);
	}
}

static void
test_eicar(void **state)
{
	struct buf mail = BUF_INIT(CANARY_MAX);
	struct state *s = *state;

	canary_add(&mail, true);
	scan(s, buf_span(&mail), true, "infected");
	scan(s, buf_span(&mail), false, "infected");
	buf_free(&mail);
}

/* Four megabytes in a sealed memory file: mapped, decoded and scanned. */
static void
test_large(void **state)
{
	struct buf mail = BUF_INIT(8 * 1024 * 1024);
	struct state *s = *state;

	(void)buf_add_str(&mail, "Subject: x\r\nContent-Type: application/octet-stream\r\n"
				 "Content-Transfer-Encoding: base64\r\n\r\n");
	while (mail.n < 4 * 1024 * 1024)
		(void)buf_add_str(
		    &mail, "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xt\r\n");
	scan(s, buf_span(&mail), false, NULL);
	buf_free(&mail);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_mails, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_eicar, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_large, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What supervisor and roles say to each other: control requests, supervision, policy bundles. */
#include "relay/ipc/control.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/ipc/control_path.h"
#include "relay/ipc/policy_bundle.h"
#include "relay/ipc/supervision.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static void
test_request(void **state)
{
	static struct control_request in = {
	    .words = {{"queue", 5}, {"", 0}, {"a\0b", 3}}, .n_words = 3};
	static struct control_request out;
	struct buf b = BUF_INIT(1 << 20);

	control_request_put(&b, &in);
	assert_int_equal(control_request_get(buf_span(&b), &out), 0);
	assert_int_equal(out.n_words, 3);
	for (size_t i = 0; i < 3; i++)
		assert_true(span_eq(in.words[i], out.words[i]));
	for (size_t n = 0; n < b.n; n++)
		assert_int_equal(control_request_get(span_take(buf_span(&b), n), &out), -E_CORRUPT);
	put_u8(&b, 0);
	assert_int_equal(control_request_get(buf_span(&b), &out), -E_CORRUPT);
	buf_free(&b);
	(void)state;
}

static void
test_request_limits(void **state)
{
	static struct control_request in, out;
	static char word[CONTROL_WORD_MAX + 1];
	struct buf b = BUF_INIT(1 << 20);

	for (in.n_words = CONTROL_WORDS_MAX - 1; in.n_words < CONTROL_WORDS_MAX; in.n_words++)
		in.words[in.n_words] = span_of(word, CONTROL_WORD_MAX);
	control_request_put(&b, &in);
	assert_int_equal(control_request_get(buf_span(&b), &out), 0);
	buf_clear(&b);
	put_u32(&b, CONTROL_WORDS_MAX + 1);
	for (int i = 0; i <= CONTROL_WORDS_MAX; i++)
		put_span(&b, SPAN("x"));
	assert_int_equal(control_request_get(buf_span(&b), &out), -E_CORRUPT);
	assert_true(out.n_words <= CONTROL_WORDS_MAX);
	buf_clear(&b);
	put_u32(&b, 1);
	put_span(&b, span_of(word, CONTROL_WORD_MAX + 1));
	assert_int_equal(control_request_get(buf_span(&b), &out), -E_CORRUPT);
	buf_free(&b);
	(void)state;
}

static void
test_end(void **state)
{
	struct control_end in = {EXIT_NOT_RUNNING, SPAN("why")}, out;
	struct buf b = BUF_INIT(100);

	control_end_put(&b, &in);
	assert_int_equal(control_end_get(buf_span(&b), &out), 0);
	assert_int_equal(out.status, EXIT_NOT_RUNNING);
	assert_true(span_eq(out.text, SPAN("why")));
	for (size_t n = 0; n < b.n; n++)
		assert_int_equal(control_end_get(span_take(buf_span(&b), n), &out), -E_CORRUPT);
	buf_free(&b);
	(void)state;
}

static void
test_setup(void **state)
{
	struct role_setup in = {SPAN("/etc/postern.conf"), true, SPAN("/run/x"), true,
			      SPAN("\x05\x80"), SPAN("barred")},
			  out;
	struct buf b = BUF_INIT(1000);

	role_setup_put(&b, &in);
	assert_int_equal(role_setup_get(buf_span(&b), &out), 0);
	assert_true(span_eq(out.config_file, in.config_file) && span_eq(out.run_dir, in.run_dir));
	assert_true(out.is_json_log);
	assert_true(out.is_successor && span_eq(out.loaded, in.loaded));
	assert_true(span_eq(out.barred, in.barred));
	for (size_t n = 0; n < b.n; n++)
		assert_int_equal(role_setup_get(span_take(buf_span(&b), n), &out), -E_CORRUPT);
	buf_free(&b);
	(void)state;
}

static void
test_problem(void **state)
{
	static char text[PROBLEM_TEXT_MAX + 1];
	struct role_problem_report in = {SPAN("disk"), SPAN("is full"), SPAN("")}, out;
	struct buf b = BUF_INIT(10000);

	role_problem_put(&b, &in);
	assert_int_equal(role_problem_get(buf_span(&b), &out), 0);
	assert_true(span_eq(out.name, in.name) && span_eq(out.what, in.what));
	assert_int_equal(out.do_this.n, 0);
	for (size_t n = 0; n < b.n; n++)
		assert_int_equal(role_problem_get(span_take(buf_span(&b), n), &out), -E_CORRUPT);
	for (size_t n = PROBLEM_TEXT_MAX; n <= PROBLEM_TEXT_MAX + 1; n++) {
		buf_clear(&b);
		in.what = span_of(text, n);
		role_problem_put(&b, &in);
		assert_int_equal(
		    role_problem_get(buf_span(&b), &out), n <= PROBLEM_TEXT_MAX ? 0 : -E_CORRUPT);
	}
	buf_free(&b);
	(void)state;
}

static void
test_bundle(void **state)
{
	struct buf b = BUF_INIT(BUNDLE_MAX), text = {0};
	struct err err = {0};
	struct span found, bundle;

	bundle_add(&b, BUNDLE_LIST, SPAN("drop"), SPAN("192.0.2.1\n"));
	bundle_add(&b, BUNDLE_RECIPIENTS, SPAN("drop"), SPAN("a@b.example\n"));
	bundle_add(&b, BUNDLE_POLICY, SPAN("7"), SPAN(""));
	bundle = buf_span(&b);
	assert_true(bundle_find(bundle, BUNDLE_LIST, SPAN("drop"), &found));
	assert_true(span_eq(found, SPAN("192.0.2.1\n")));
	assert_true(bundle_find(bundle, BUNDLE_RECIPIENTS, SPAN("drop"), &found));
	assert_true(span_eq(found, SPAN("a@b.example\n")));
	assert_true(bundle_find(bundle, BUNDLE_POLICY, SPAN("7"), &found));
	assert_int_equal(found.n, 0);
	assert_false(bundle_find(bundle, BUNDLE_POLICY, SPAN("drop"), &found));
	assert_false(bundle_find(SPAN(""), BUNDLE_POLICY, SPAN("7"), &found));
	assert_int_equal(bundle_read_list(&bundle, SPAN("drop"), &text, &err), 0);
	assert_true(span_eq(buf_span(&text), SPAN("192.0.2.1\n")));
	assert_int_equal(bundle_read_list(&bundle, SPAN("nope"), &text, &err), -E_NOT_FOUND);
	assert_non_null(strstr(err.text, "nope"));
	buf_free(&text);
	/* Cut anywhere, the last file is not found, and what is found is what was put. */
	for (size_t n = 0; n < b.n; n++) {
		struct span cut = span_take(bundle, n);

		assert_false(bundle_find(cut, BUNDLE_POLICY, SPAN("7"), &found));
		assert_int_equal(found.n, 0);
		if (bundle_find(cut, BUNDLE_LIST, SPAN("drop"), &found))
			assert_true(span_eq(found, SPAN("192.0.2.1\n")));
	}
	assert_false(bundle_find(SPAN("\3\0\0\0\0\0\0\0\0"), BUNDLE_POLICY, SPAN(""), &found));
	buf_free(&b);
	(void)state;
}

/* A run_dir longer than a socket's address can be. */
static void
test_path(void **state)
{
	char dir[400] = "/tmp/postern-run-XXXXXX", path[500];
	struct sockaddr_un sa;
	size_t base = strlen(dir);
	int fd, s;

	assert_non_null(mkdtemp(dir));
	(void)snprintf(dir + base, sizeof(dir) - base, "/%0200d", 1); /* fits */
	assert_int_equal(mkdir(dir, 0700), 0);
	fd = control_path(dir, &sa);
	assert_true(fd >= 0);
	s = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(s, (struct sockaddr *)&sa, sizeof(sa)), 0);
	(void)close(s);
	(void)close(fd);
	(void)snprintf(path, sizeof(path), "%s/control.sock", dir); /* fits */
	assert_int_equal(remove(path), 0);
	assert_int_equal(remove(dir), 0);
	assert_int_equal(control_path(dir, &sa), -1);
	assert_int_equal(errno, ENOENT);
	dir[base] = '\0';
	assert_int_equal(remove(dir), 0);
	(void)state;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_request),
	    cmocka_unit_test(test_request_limits),
	    cmocka_unit_test(test_end),
	    cmocka_unit_test(test_setup),
	    cmocka_unit_test(test_problem),
	    cmocka_unit_test(test_bundle),
	    cmocka_unit_test(test_path),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

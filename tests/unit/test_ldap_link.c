/* ldap_link against a server that the test plays over a socket pair. */
#include "relay/base/clock.h"
#include "relay/base/mem.h"
#include "tests/unit/ldap_bytes.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { TURNS = 6, PATIENCE_MS = 1000, RESULTS_MAX = 16 };

static const struct conf_ldap plain = {.name = "staff", .base = "dc=x", .filter = "(mail=%s)"};
static const struct conf_ldap bound = {
    .name = "staff", .base = "dc=x", .filter = "(mail=%s)", .bind = "cn=p,dc=x"};
static const struct conf_ldap secured = {
    .name = "staff", .base = "dc=x", .filter = "(mail=%s)", .starttls = true};
static const struct conf_ldap_server server = {
    .text = "ldap://127.0.0.1", .host = "127.0.0.1", .port = 389};

struct world {
	struct loop *loop;
	struct ldap_link *link;
	int server;
	int64_t now_ms;
	unsigned n_ready, n_gone;
	char why[LDAP_LINK_WHY_MAX + 1];
	struct {
		int msgid;
		enum recipient_state state;
	} results[RESULTS_MAX];
	size_t n_results;
};

static void
on_ready(void *arg)
{
	((struct world *)arg)->n_ready++;
}

static void
on_result(void *arg, int msgid, enum recipient_state state, const char *why)
{
	struct world *w = arg;

	assert_true(w->n_results < RESULTS_MAX && strlen(why) > 0);
	w->results[w->n_results].msgid = msgid;
	w->results[w->n_results++].state = state;
}

static void
on_gone(void *arg, const char *why)
{
	struct world *w = arg;

	w->n_gone++;
	(void)span_copy(span_str(why), w->why, sizeof(w->why)); /* as long */
	ldap_link_free(&w->link);
}

static void
turn(struct world *w)
{
	for (int i = 0; i < TURNS; i++)
		loop_turn(w->loop, 0);
}

static struct world *
world_new(const struct conf_ldap *conf)
{
	static const struct ldap_link_events events = {on_ready, on_result, on_gone};
	struct ldap_link_options options = {
	    .conf = conf, .server = &server, .password = "secret", .patience_ms = PATIENCE_MS};
	struct world *w = mem_alloc(sizeof(*w));
	int ends[2];

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
	w->now_ms = 1000;
	clock_fake(w->now_ms, 1);
	w->loop = loop_new();
	w->server = ends[1];
	w->link = ldap_link_new(w->loop, ends[0], &options, &events, w);
	turn(w);
	return w;
}

static void
world_free(struct world *w)
{
	ldap_link_free(&w->link);
	(void)close(w->server);
	loop_free(&w->loop);
	clock_fake(0, -1);
	mem_free(w);
}

/* What the link has sent; it must hold this text. */
static void
expect_sent(struct world *w, const char *text)
{
	char said[4096];
	ssize_t n = recv(w->server, said, sizeof(said), MSG_DONTWAIT);

	if (n <= 0 || memmem(said, (size_t)n, text, strlen(text)) == NULL)
		fail_msg("\"%s\" was not sent", text);
}

static void
say(struct world *w, int msgid, unsigned char operation, char code, size_t step)
{
	struct buf b = BUF_INIT(64);

	ldap_bytes_add(&b, msgid, operation, code);
	for (size_t at = 0; at < b.n; at += step) {
		size_t n = b.n - at < step ? b.n - at : step;

		assert_int_equal(send(w->server, b.p + at, n, MSG_NOSIGNAL), n);
		turn(w);
	}
	buf_free(&b);
}

/* --- tests --------------------------------------------------------------------------------------- */

static void
test_results(void **state)
{
	static const struct {
		unsigned char first;
		char code;
		enum recipient_state state;
	} rows[] = {
	    {LDAP_SEARCH_DONE, 0, RECIPIENT_NONE}, {LDAP_ENTRY, 0, RECIPIENT_EXISTS},
	    {LDAP_SEARCH_DONE, 1, RECIPIENT_UNKNOWN},  /* operationsError */
	    {LDAP_SEARCH_DONE, 3, RECIPIENT_UNKNOWN},  /* timeLimitExceeded */
	    {LDAP_SEARCH_DONE, 4, RECIPIENT_UNKNOWN},  /* sizeLimitExceeded, with no entry before */
	    {LDAP_SEARCH_DONE, 10, RECIPIENT_UNKNOWN}, /* referral */
	    {LDAP_SEARCH_DONE, 32, RECIPIENT_UNKNOWN}, /* noSuchObject: the base */
	    {LDAP_SEARCH_DONE, 50, RECIPIENT_UNKNOWN}, /* insufficientAccessRights */
	    {LDAP_SEARCH_DONE, 52, RECIPIENT_UNKNOWN}, /* unavailable */
	    {LDAP_SEARCH_DONE, 80, RECIPIENT_UNKNOWN},
	    {LDAP_SEARCH_DONE, 127, RECIPIENT_UNKNOWN}, /* no code of any standard */
	};

	(void)state;
	for (size_t step = 1; step <= 14; step++)
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			struct world *w = world_new(&plain);
			int msgid;

			assert_int_equal(w->n_ready, 1);
			msgid = ldap_link_search(w->link, SPAN("bob@example.org"), false);
			assert_true(msgid > 0);
			expect_sent(w, "bob@example.org");
			say(w, msgid, rows[i].first, rows[i].code, step);
			assert_int_equal(w->n_results, 1);
			assert_int_equal(w->results[0].msgid, msgid);
			assert_int_equal(w->results[0].state, rows[i].state);
			assert_int_equal(w->n_gone, 0);
			world_free(w);
		}
}

/* Searches side by side; what is no search of ours changes nothing. */
static void
test_side_by_side(void **state)
{
	struct world *w = world_new(&plain);
	int a = ldap_link_search(w->link, SPAN("a@x"), false),
	    b = ldap_link_search(w->link, SPAN("b@x"), false);

	(void)state;
	assert_true(a > 0 && b > 0 && a != b);
	say(w, 99, LDAP_SEARCH_DONE, 0, 14);
	say(w, b, LDAP_ENTRY, 0, 14);
	say(w, a, LDAP_SEARCH_DONE, 0, 14);
	say(w, b, LDAP_SEARCH_DONE, 4, 14);
	assert_int_equal(w->n_results, 3);
	assert_int_equal(w->results[0].msgid, b);
	assert_int_equal(w->results[0].state, RECIPIENT_EXISTS);
	assert_int_equal(w->results[1].msgid, a);
	assert_int_equal(w->results[1].state, RECIPIENT_NONE);
	assert_int_equal(w->n_gone, 0);
	world_free(w);
}

static void
test_bind(void **state)
{
	static const struct {
		unsigned char operation;
		int msgid;
		char code;
		bool is_ready;
	} rows[] = {
	    {LDAP_BIND_DONE, 1, 0, true}, {LDAP_BIND_DONE, 1, 49, false},
	    {LDAP_SEARCH_DONE, 1, 0, false}, /* another message in its place */
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct world *w = world_new(&bound);

		assert_int_equal(w->n_ready, 0);
		expect_sent(w, "secret");
		say(w, rows[i].msgid, rows[i].operation, rows[i].code, 14);
		assert_int_equal(w->n_ready, rows[i].is_ready);
		assert_int_equal(w->n_gone, !rows[i].is_ready);
		world_free(w);
	}
}

/* No password and no search before TLS; a refusal ends it. */
static void
test_starttls_refused(void **state)
{
	struct world *w = world_new(&secured);

	(void)state;
	expect_sent(w, "1.3.6.1.4.1.1466.20037");
	say(w, 1, LDAP_EXTENDED_DONE, 2, 14);
	assert_int_equal(w->n_gone, 1);
	assert_int_equal(w->n_ready, 0);
	assert_non_null(strstr(w->why, "StartTLS"));
	world_free(w);
}

static void
test_ends(void **state)
{
	static const char garbage[] = "220 mail.example ESMTP\r\n";
	/* A message of a gigabyte: refused before it is read. */
	static const char huge[] = {0x30, (char)0x84, 0x40, 0, 0, 0, 2, 1, 1, 0x65};
	static const struct {
		const char *bytes; /* NULL: it hangs up */
		size_t n;
	} rows[] = {{garbage, sizeof(garbage) - 1}, {huge, sizeof(huge)}, {NULL, 0}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct world *w = world_new(&plain);

		assert_true(ldap_link_search(w->link, SPAN("a@x"), false) > 0);
		if (rows[i].bytes != NULL)
			assert_int_equal(
			    send(w->server, rows[i].bytes, rows[i].n, MSG_NOSIGNAL), rows[i].n);
		else
			assert_int_equal(shutdown(w->server, SHUT_RDWR), 0);
		turn(w);
		assert_int_equal(w->n_results, 0);
		if (w->n_gone == 0) { /* it may wait for the rest: not for ever */
			w->now_ms += PATIENCE_MS;
			clock_fake(w->now_ms, 1);
			turn(w);
		}
		assert_int_equal(w->n_gone, 1);
		assert_true(strlen(w->why) > 0);
		world_free(w);
	}
}

/* Notice of disconnection (RFC 4511 section 4.4.1), and silence. */
static void
test_notice_and_silence(void **state)
{
	struct world *w = world_new(&plain);

	(void)state;
	say(w, 0, LDAP_EXTENDED_DONE, 52, 14);
	assert_int_equal(w->n_gone, 1);
	world_free(w);

	w = world_new(&plain);
	w->now_ms += 10 * PATIENCE_MS; /* nothing is due: it may be silent */
	clock_fake(w->now_ms, 1);
	turn(w);
	assert_int_equal(w->n_gone, 0);
	assert_true(ldap_link_search(w->link, SPAN("a@x"), false) > 0);
	w->now_ms += PATIENCE_MS;
	clock_fake(w->now_ms, 1);
	turn(w);
	assert_int_equal(w->n_gone, 1);
	world_free(w);
}

static void
test_broken_while_it_is_asked(void **state)
{
	struct world *w = world_new(&plain);

	(void)state;
	(void)close(w->server);
	assert_int_equal(ldap_link_search(w->link, SPAN("a@x"), false), -E_CLOSED);
	assert_int_equal(w->n_gone, 0); /* not from inside */
	w->server = open("/dev/null", O_RDONLY | O_CLOEXEC);
	turn(w);
	assert_int_equal(w->n_gone, 1);
	world_free(w);
}

static void
test_filter(void **state)
{
	static const struct {
		const char *filter, *address, *wanted;
	} rows[] = {
	    {"(mail=%s)", "bob@example.org", "(mail=bob@example.org)"},
	    {"(|(mail=%s)(p=smtp:%s))", "a@b", "(|(mail=a@b)(p=smtp:a@b))"},
	    {"(m=%s)", "*", "(m=\\2a)"},
	    {"(m=%s)", "a)(uid=*", "(m=a\\29\\28uid=\\2a)"},
	    {"(m=%s)", "a\\b", "(m=a\\5cb)"},
	    {"(m=%s)", "a b", "(m=a\\20b)"},
	    {"(m=%s)", "j\xc3\xbcrgen@x", "(m=j\\c3\\bcrgen@x)"},
	    {"(m=%s)", "%s", "(m=%s)"}, /* what is put in is not looked at again */
	    {"(m=%s)", "o'hara+x=1@x", "(m=o'hara+x=1@x)"},
	};
	struct buf b = BUF_INIT(200);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		buf_clear(&b);
		assert_int_equal(ldap_filter_expand(span_str(rows[i].filter),
				     span_str(rows[i].address), false, &b),
		    0);
		if (!span_eq(buf_span(&b), span_str(rows[i].wanted)))
			fail_msg("%s: %.*s", rows[i].wanted, (int)b.n, b.p);
	}
	buf_clear(&b);
	assert_int_equal(ldap_filter_expand(SPAN("(m=%s)"), span_of("a\0b", 3), false, &b), 0);
	assert_true(span_eq(buf_span(&b), SPAN("(m=a\\00b)")));
	buf_clear(&b);
	assert_int_equal(
	    ldap_filter_expand(SPAN("(|(m=%s)(p=smtp:%s))"), SPAN("@*.org"), true, &b), 0);
	assert_true(span_eq(buf_span(&b), SPAN("(|(m=*@\\2a.org)(p=smtp:*@\\2a.org))")));
	b.max = 5;
	buf_free(&b);
	b = BUF_INIT(5);
	assert_int_equal(ldap_filter_expand(SPAN("(m=%s)"), SPAN("a@b"), false, &b), -E_LIMIT);
	buf_free(&b);
}

static int
prepare(void **state)
{
	(void)state;
	ldap_link_prepare();
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_results),
	    cmocka_unit_test(test_side_by_side),
	    cmocka_unit_test(test_bind),
	    cmocka_unit_test(test_starttls_refused),
	    cmocka_unit_test(test_ends),
	    cmocka_unit_test(test_notice_and_silence),
	    cmocka_unit_test(test_broken_while_it_is_asked),
	    cmocka_unit_test(test_filter),
	};

	return cmocka_run_group_tests(tests, prepare, NULL);
}

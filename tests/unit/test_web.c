/* The console: pages as text, and real HTTP requests over loopback with a supervisor of the test's
 * own at the other end of the control channel. */
#include "relay/ipc/control.h"
#include "web/server/server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

#define STATUS                                                                              \
	"{\"ok\":false,\"hostname\":\"mx1.example\",\"policy_version\":7,"                  \
	"\"problems\":[{\"what\":\"<script>alert(1)</script>\",\"do\":\"call \\\"me\\\" & " \
	"wait\"}],"                                                                         \
	"\"roles\":[{\"role\":\"front\",\"state\":\"ready\",\"pid\":12,\"restarts\":0}],"   \
	"\"queue\":{\"messages\":42,\"oldest_s\":null,"                                     \
	"\"gateways\":[{\"name\":\"exchange\",\"up\":true}]}}"

enum { TURNS_MAX = 5000, HTTP_MAX = 256 * 1024 };

static struct loop *loop;
static struct channel *control, *supervisor;
static struct asks *asks;
static struct server *server;
static uint16_t port;
static struct buf response;
static bool is_silent, is_ready;
static unsigned n_requests;
static uint64_t last_id;

/* --- the supervisor's side ----------------------------------------------------------------- */

static void
answer(uint64_t id, struct span body, uint8_t status)
{
	struct control_end end = {.status = status, .text = SPAN("as it is")};
	struct buf b = BUF_INIT(1024);

	for (; body.n > 0; body = span_skip(body, 10)) /* in small chunks */
		channel_send(supervisor, CONTROL_CHUNK, id, span_take(body, 10), NULL);
	control_end_put(&b, &end);
	channel_send(supervisor, CONTROL_END, id, buf_span(&b), NULL);
	buf_free(&b);
}

static bool
asks_for(const struct control_request *r, const char *verb, const char *word)
{
	return r->n_words == (word != NULL ? 3 : 2) && span_eq(r->words[0], SPAN("console")) &&
	       span_eq(r->words[1], span_str(verb)) &&
	       (word == NULL || span_eq(r->words[2], span_str(word)));
}

static void
on_request(void *arg, struct message *m)
{
	struct control_request r;

	(void)arg;
	assert_int_equal(m->type, CONTROL_REQUEST);
	assert_int_equal(control_request_get(m->payload, &r), 0);
	n_requests++;
	last_id = m->id;
	if (is_silent)
		return;
	if (asks_for(&r, "sign-in", "goodtoken"))
		answer(m->id, SPAN("Session123"), 0);
	else if (asks_for(&r, "sign-in", "eviltoken"))
		answer(m->id, SPAN("x\r\nSet-Cookie: a=b"), 0);
	else if (asks_for(&r, "status", "Session123"))
		answer(m->id, SPAN(STATUS), 0);
	else if (asks_for(&r, "status", "Broken"))
		answer(m->id, SPAN("{"), 0);
	else
		answer(m->id, SPAN(""), asks_for(&r, "ready", NULL) && is_ready ? 0 : 1);
}

static void
on_answer(void *arg, struct message *m)
{
	(void)arg;
	asks_answer(asks, m);
}

static void
on_close(void *arg)
{
	(void)arg;
	fail_msg("the control channel broke");
}

static int
listen_somewhere(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(sa);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, n), 0);
	assert_int_equal(listen(fd, 16), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &n), 0);
	port = ntohs(sa.sin_port);
	return fd;
}

static int
setup(void **state)
{
	static const struct channel_events ours = {.on_message = on_answer, .on_close = on_close};
	static const struct channel_events theirs = {
	    .on_message = on_request, .on_close = on_close};
	struct err err = {0};
	int ends[2];

	(void)state;
	is_silent = is_ready = false;
	n_requests = 0;
	response = BUF_INIT(HTTP_MAX);
	loop = loop_new();
	channel_pair(ends);
	control = channel_new(loop, ends[0], &ours, NULL);
	supervisor = channel_new(loop, ends[1], &theirs, NULL);
	asks = asks_new(loop, control);
	server = server_new(loop, listen_somewhere(), asks, &err);
	assert_non_null(server);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	server_free(&server);
	asks_free(&asks);
	channel_free(&control);
	channel_free(&supervisor);
	loop_free(&loop);
	buf_free(&response);
	return 0;
}

/* --- a client ------------------------------------------------------------------------------- */

static int
connect_and_send(const char *text)
{
	struct sockaddr_in sa = {.sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	    .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	assert_int_equal(send(fd, text, strlen(text), 0), strlen(text));
	return fd;
}

/* Turns the loop until the server closes; the response in `response`, NUL at its end. */
static const char *
receive(int fd)
{
	ssize_t n = -1;

	buf_clear(&response);
	for (int i = 0; i < TURNS_MAX && n != 0; i++) {
		loop_turn(loop, 5);
		n = recv(fd, buf_room(&response, 4096), 4096, MSG_DONTWAIT);
		assert_true(n >= 0 || errno == EAGAIN || errno == ECONNRESET);
		if (n > 0)
			response.n += (size_t)n;
	}
	assert_int_equal(n, 0);
	(void)close(fd);
	(void)buf_add_char(&response, '\0');
	return response.p;
}

static const char *
http(const char *method, const char *url, const char *headers)
{
	struct buf b = BUF_INIT(HTTP_MAX);
	int fd;

	(void)buf_addf(&b, "%s %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n%s\r\n",
	    method, url, headers);
	(void)buf_add_char(&b, '\0');
	fd = connect_and_send(b.p);
	buf_free(&b);
	return receive(fd);
}

static void
assert_has(const char *text, const char *part)
{
	if (strstr(text, part) == NULL)
		fail_msg("no \"%s\" in:\n%s", part, text);
}

static void
assert_status(const char *text, unsigned status)
{
	char line[32];

	(void)snprintf(line, sizeof(line), "HTTP/1.1 %u ", status);
	if (strncmp(text, line, strlen(line)) != 0)
		fail_msg("not %u:\n%s", status, text);
}

static void
test_routes(void **state)
{
	static const struct {
		const char *method, *url, *headers;
		unsigned status;
		const char *has;
	} rows[] = {
	    {"GET", "/healthz", "", 200, "\r\n\r\nok\n"},
	    {"GET", "/readyz", "", 503, "not ready"},
	    {"GET", "/style.css", "", 200, "text/css"},
	    {"GET", "/metrics", "", 501, "not in this version"},
	    {"GET", "/", "", 401, "one-time link"},
	    {"GET", "/", "Cookie: postern_session=Other\r\n", 401, "has ended"},
	    {"GET", "/", "Cookie: postern_session=a%20b\r\n", 401, "one-time link"},
	    {"GET", "/", "Cookie: postern_session=Session123\r\n", 200, "mx1.example"},
	    {"GET", "/", "Cookie: postern_session=Broken\r\n", 503, "did not tell"},
	    {"GET", "/api/v1/status", "", 401, "{\"error\":\"not signed in\"}"},
	    {"GET", "/api/v1/status", "Cookie: postern_session=Session123\r\n", 200, STATUS},
	    {"GET", "/api/v1/policy", "", 501, "{\"error\":\"not in this version\"}"},
	    {"GET", "/apis", "", 404, "no such page"},
	    {"GET", "/sign-in", "", 400, "not complete"},
	    {"GET", "/sign-in?token=bad", "", 403, "used already"},
	    {"GET", "/sign-in?token=a%0d%0ab", "", 400, "not complete"},
	    {"HEAD", "/sign-in?token=bad", "", 401, "Content-Length"},
	    {"GET", "/sign-in?token=eviltoken", "", 503, "did not answer"},
	    {"GET", "/etc/passwd", "", 404, "no such page"},
	    {"GET", "//", "", 404, "no such page"},
	    {"POST", "/", "Content-Length: 0\r\n", 405, "Allow: GET, HEAD"},
	    {"POST", "/sign-in", "Content-Length: 5\r\n", 405, "Allow: GET, HEAD"},
	    {"DELETE", "/healthz", "", 405, "Allow: GET, HEAD"},
	    {"POST", "/api/v1/policy", "Content-Length: 5\r\n", 501,
		"{\"error\":\"not in this version\"}"},
	    {"PUT", "/api/v1/status", "Content-Length: 0\r\n", 405, "{\"error\":\"not allowed"},
	    {"PUT", "/api/v1/status", "", 405, "Allow: GET, HEAD"},
	    {"GET", "/healthz", "Content-Length: 5\r\n", 413, "takes no body"},
	    {"GET", "/healthz", "Transfer-Encoding: chunked\r\n", 413, "takes no body"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const char *text = http(rows[i].method, rows[i].url, rows[i].headers);

		assert_status(text, rows[i].status);
		assert_has(text, rows[i].has);
		assert_has(text, "Content-Security-Policy: default-src 'none'");
		assert_has(text, "X-Content-Type-Options: nosniff");
		assert_has(text, "Cache-Control: no-store");
		assert_null(strstr(text, "Set-Cookie"));
	}
	is_ready = true;
	assert_status(http("GET", "/readyz", ""), 200);
}

static void
test_sign_in(void **state)
{
	const char *text = http("GET", "/sign-in?token=goodtoken", "");

	(void)state;
	assert_status(text, 303);
	assert_has(text, "\r\nLocation: /\r\n");
	assert_has(text,
	    "\r\nSet-Cookie: postern_session=Session123; Path=/; HttpOnly; SameSite=Strict\r\n");
}

static void
test_head_has_no_body(void **state)
{
	const char *text = http("HEAD", "/healthz", "");

	(void)state;
	assert_status(text, 200);
	assert_null(strstr(text, "ok\n"));
}

static void
test_large_headers(void **state)
{
	struct buf b = BUF_INIT(2 * SERVER_MEMORY_MAX);

	(void)state;
	(void)buf_add_str(&b, "X-Large: ");
	for (int i = 0; i < SERVER_MEMORY_MAX; i++)
		(void)buf_add_char(&b, 'x');
	(void)buf_add(&b, "\r\n", 3);
	assert_status(http("GET", "/healthz", b.p), 431);
	buf_free(&b);
}

/* A request waits while the supervisor thinks; others are served meanwhile. */
static void
test_slow_supervisor(void **state)
{
	const char *waiting = "GET /readyz HTTP/1.0\r\n\r\n";
	int fd;

	(void)state;
	is_silent = true;
	fd = connect_and_send(waiting);
	for (int i = 0; i < TURNS_MAX && n_requests == 0; i++)
		loop_turn(loop, 5);
	assert_int_equal(n_requests, 1);
	assert_status(http("GET", "/healthz", ""), 200);
	answer(last_id, SPAN(""), 0);
	assert_has(receive(fd), "ready");
	/* Answers nobody waits for, and one that is still awaited when everything ends. */
	answer(last_id, SPAN("late"), 0);
	answer(12345, SPAN("unknown"), 0);
	fd = connect_and_send(waiting);
	for (int i = 0; i < TURNS_MAX && n_requests == 1; i++)
		loop_turn(loop, 5);
	(void)close(fd);
}

static void
test_status_page(void **state)
{
	struct buf page = BUF_INIT(PAGE_BYTES_MAX);
	json_t *status = json_loads(STATUS, 0, NULL);

	(void)state;
	page_status(&page, status);
	(void)buf_add_char(&page, '\0');
	assert_null(strstr(page.p, "<script"));
	assert_has(page.p, "&lt;script&gt;alert(1)&lt;/script&gt;");
	assert_has(page.p, "call &quot;me&quot; &amp; wait");
	assert_has(page.p, "Needs attention");
	assert_has(page.p, "<h2>Queue</h2>");
	assert_has(page.p, "<dt>Messages</dt><dd>42</dd>");
	assert_has(page.p, "<dt>Oldest s</dt><dd>-</dd>");
	assert_has(page.p, "<span class=\"mark ready\">ready</span>");
	assert_has(page.p, "<td>exchange</td>");
	assert_has(page.p, "<dt>Policy version</dt><dd>7</dd>");
	json_decref(status);

	buf_clear(&page);
	status = json_loads("{\"ok\":true,\"problems\":[]}", 0, NULL);
	page_status(&page, status);
	(void)buf_add_char(&page, '\0');
	assert_has(page.p, "All is well");
	json_decref(status);

	/* Whatever the shape, nothing breaks. */
	buf_clear(&page);
	status = json_loads("{\"ok\":1,\"problems\":{\"a\":1},\"roles\":[1,[2]],\"queue\":[{}],"
			    "\"x\":{\"y\":[[]]},\"hostname\":[]}",
	    0, NULL);
	assert_non_null(status);
	page_status(&page, status);
	assert_false(page.failed);
	json_decref(status);
	buf_free(&page);
}

static void
test_escape(void **state)
{
	struct buf b = BUF_INIT(1024);

	(void)state;
	page_add_escaped(&b, span_of("a<b>&\"'\xff\xc3\xa4\0z", 12));
	assert_true(span_eq(
	    buf_span(&b), SPAN("a&lt;b&gt;&amp;&quot;&#39;\xEF\xBF\xBD\xc3\xa4\xEF\xBF\xBDz")));
	buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_routes, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_sign_in, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_head_has_no_body, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_large_headers, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_slow_supervisor, setup, teardown),
	    cmocka_unit_test(test_status_page),
	    cmocka_unit_test(test_escape),
	};

	return cmocka_run_group_tests_name("web", tests, NULL, NULL);
}

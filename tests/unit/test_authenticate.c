/* AUTH in a session of front, with a key role that says what the test tells it to, and a clock that
 * stands. */
#include "relay/base/clock.h"
#include "relay/ipc/channel.h"
#include "relay/smtp/sasl.h"
#include "relay/walk/walk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { TURNS = 20, REPLIES_MAX = 65536 };
#define WALL_MS 1700000000000LL
#define PLAIN   "AUTH SCRAM-SHA-256 biwsbj11c2VyLHI9YWJj\r\n" /* n,,n=user,r=abc */

static struct loop *loop;
static struct front front;
static struct conf_gateway gateway = {.name = "inside"};
static struct conf_flow flow;
static struct conf_listen listening;
static struct config config;
static struct net allowed;
static int client, key;
static char replies[REPLIES_MAX];
static size_t n_replies;
static int64_t now_ms;

static void
turn(void)
{
	for (int i = 0; i < TURNS; i++)
		loop_turn(loop, 0);
}

static void
pass_time(int64_t ms)
{
	now_ms += ms;
	clock_fake(now_ms, WALL_MS + now_ms);
	turn();
}

/* A client of the spool lives as long as its process: kept, so that a leak checker still sees it. */
static struct spool_client *kept[32];
static size_t n_kept;

static int
setup(void **state)
{
	struct policy_errors errors = {0};
	struct ip ip;
	int ends[2];

	(void)state;
	now_ms = 1000;
	clock_fake(now_ms, WALL_MS + now_ms);
	n_replies = 0;
	loop = loop_new();
	assert_true(net_parse(SPAN("198.51.100.0/24"), &allowed));
	flow = (struct conf_flow){.name = "out",
	    .clients = {&allowed, 1},
	    .relay = RELAY_ANY,
	    .gateway = &gateway,
	    .max_size = 1000000,
	    .max_recipients = 10};
	listening = (struct conf_listen){.name = "submission",
	    .flow = &flow,
	    .auth = AUTH_PLAIN | AUTH_SCRAM_SHA256,
	    .users = "/u",
	    .limits = conf_limits_default};
	config = (struct config){.hostname = "mx.example.org", .flows = &flow, .n_flows = 1};
	front = (struct front){.loop = loop,
	    .config = &config,
	    .spool = kept[n_kept++] = spool_client_new(loop, 0),
	    .workers = pool_new(loop),
	    .keys = key_client_new(loop),
	    .tallies = tallies_new()};
	front.limits = limits_new(&config, front.tallies);
	front.clients = clients_new(front.tallies, 0);
	front.snapshot = snapshot_parse(SPAN(""), "p", NULL, NULL, &errors);
	pool_set_policy(front.workers, snapshot_version(front.snapshot), (struct span){0});
	list_init(&front.sessions);
	channel_pair(ends);
	key_client_connect(front.keys, ends[0]);
	key = ends[1];
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
	assert_true(ip_parse(SPAN("192.0.2.1"), &ip));
	client = ends[1];
	session_new(&front, ends[0], &ip, &listening);
	turn();
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	(void)close(client);
	turn();
	assert_int_equal(front.n_sessions, 0);
	if (key >= 0)
		(void)close(key);
	pool_free(&front.workers);
	key_client_free(&front.keys);
	limits_free(&front.limits);
	clients_free(&front.clients);
	tallies_free(&front.tallies);
	snapshot_release(&front.snapshot);
	return 0; /* loop and spool client live as long as the process */
}

static void
say(const char *text)
{
	assert_int_equal(send(client, text, strlen(text), MSG_NOSIGNAL), strlen(text));
	turn();
}

/* What came since it was last asked; the code of its last line must be this (0: nothing came). */
static void
expect(int code)
{
	ssize_t n = recv(client, replies, sizeof(replies) - 1, 0);
	char *last;

	n_replies = n > 0 ? (size_t)n : 0;
	replies[n_replies] = '\0';
	if (code == 0) {
		assert_string_equal(replies, "");
		return;
	}
	assert_true(n_replies > 2);
	replies[n_replies - 2] = '\0';
	last = strrchr(replies, '\n');
	assert_int_equal(strtol(last != NULL ? last + 1 : replies, NULL, 10), code);
}

/* Reads front's question and answers it. */
static void
answer(enum key_question_kind kind, enum key_status status, struct span data)
{
	struct buf b = BUF_INIT(65536), out = BUF_INIT(1024);
	struct key_question q;
	struct message m;

	assert_int_equal(channel_receive(key, &m, &b, 0), 0);
	assert_int_equal(key_question_get(m.payload, &q), 0);
	assert_int_equal(q.kind, kind);
	assert_true(span_eq(q.users, SPAN("/u")));
	assert_true(span_eq(q.name, SPAN("user")));
	key_verdict_put(
	    &out, &(struct key_verdict){status, data, kind == KEY_SCRAM_FIRST ? 4096 : 0});
	assert_int_equal(channel_send_now(key, KEY_VERDICT, m.id, buf_span(&out), NULL), 0);
	buf_free(&b);
	buf_free(&out);
	turn();
}

static void
fail_once(int64_t wait_ms)
{
	say(PLAIN);
	expect(0);
	answer(KEY_SCRAM_FIRST, KEY_NO, SPAN("")); /* as good as any no */
	expect(0);
	pass_time(wait_ms - 1);
	expect(0);
	pass_time(1);
}

static void
test_failures_wait_and_end_the_session(void **state)
{
	(void)state;
	expect(220);
	say("EHLO client.example\r\n");
	expect(250);
	fail_once(1000);
	expect(535);
	fail_once(2000);
	expect(535);
	fail_once(4000);
	expect(535);
	fail_once(8000);
	expect(535);
	fail_once(16000);
	expect(421); /* behind its 535 */
	assert_non_null(strstr(replies, "535 5.7.8"));
}

/* What is pipelined behind a failing AUTH waits as well. */
static void
test_pipelined_commands_wait(void **state)
{
	(void)state;
	say("EHLO client.example\r\n");
	expect(250);
	say(PLAIN "NOOP\r\n");
	expect(0);
	answer(KEY_SCRAM_FIRST, KEY_NO, SPAN(""));
	pass_time(999);
	expect(0);
	pass_time(1);
	expect(250);
	assert_true(span_starts(span_str(replies), SPAN("535 ")));
}

static void
test_hangs_up_at_every_step(void **state)
{
	(void)state;
	say("EHLO client.example\r\n" PLAIN);
	assert_int_equal(shutdown(client, SHUT_WR), 0); /* while key thinks */
	answer(KEY_SCRAM_FIRST, KEY_NO, SPAN(""));
	pass_time(100); /* while it is delayed: teardown closes */
}

static void
test_key_is_away(void **state)
{
	(void)state;
	say("EHLO client.example\r\n");
	expect(250);
	(void)close(key);
	key = -1;
	say(PLAIN);
	expect(454);
	say("NOOP\r\n");
	expect(250);
}

static void
test_key_does_not_answer(void **state)
{
	(void)state;
	say("EHLO client.example\r\n");
	expect(250);
	say(PLAIN);
	pass_time(KEY_ANSWER_MS - 1);
	expect(0);
	pass_time(1);
	expect(454);
}

static void
test_refused_address(void **state)
{
	struct ip ip;

	(void)state;
	assert_true(ip_parse(SPAN("192.0.2.1"), &ip));
	for (int i = 0; i < GUESSES_MAX; i++)
		(void)guesses_failed(front.tallies, &ip);
	say("EHLO client.example\r\n");
	expect(250);
	say(PLAIN);
	expect(421);
}

static void
test_lines_that_are_none(void **state)
{
	char line[SASL_LINE_MAX + 100];

	(void)state;
	say("EHLO client.example\r\nAUTH SCRAM-SHA-256\r\n");
	expect(334);
	say("bare\rcr\r\n");
	expect(500);
	say("NOOP\r\n"); /* a command again */
	expect(250);
	say("AUTH SCRAM-SHA-256\r\n");
	expect(334);
	memset(line, 'A', sizeof(line));
	line[sizeof(line) - 3] = '\r';
	line[sizeof(line) - 2] = '\n';
	line[sizeof(line) - 1] = '\0';
	say(line);
	expect(500);
	say("NOOP\r\n");
	expect(250);
}

static void
test_members_only(void **state)
{
	(void)state;
	say("EHLO client.example\r\nMAIL FROM:<a@b.example>\r\n");
	expect(530);
	say("STARTTLS\r\n");
	expect(502);
	say("AUTH PLAIN AHVzZXIAeA==\r\n");
	expect(538);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_failures_wait_and_end_the_session),
	    TEST(test_pipelined_commands_wait),
	    TEST(test_hangs_up_at_every_step),
	    TEST(test_key_is_away),
	    TEST(test_key_does_not_answer),
	    TEST(test_refused_address),
	    TEST(test_lines_that_are_none),
	    TEST(test_members_only),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * session_world.h - a session of front on a socket pair, with a spool role that answers when the test
 * says so, for tests that talk to it as a client does.
 */
#ifndef UNIT_SESSION_WORLD_H
#define UNIT_SESSION_WORLD_H
#include "relay/base/clock.h"
#include "relay/ipc/channel.h"
#include "relay/walk/walk.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { TURNS = 20, REPLIES_MAX = 65536 };
#define DATA_MS    (conf_limits_default.data_ms)
#define MESSAGE_MS (conf_limits_default.message_ms)
#define WALL_MS    1700000000000LL
#define GREETING   "EHLO client.example\r\n"
#define MAIL       "MAIL FROM:<alice@sender.example>\r\n"
#define RCPT       "RCPT TO:<bob@example.org>\r\n"
#define TOO_LARGE  "MAIL FROM:<a@b.example> SIZE=99999999999\r\n"
#define BODY       "Subject: x\r\n\r\nhello\r\n.\r\n"

/* These live as long as the process. */
static struct loop *loop;
static struct spool_client *spool;
static struct worker_pool *workers;
static struct front front;
static struct conf_gateway gateway = {.name = "inside"};
static struct conf_flow flow;
static struct conf_listen listening;
static struct config config;
static int client, spool_end;
static char replies[REPLIES_MAX];
static size_t n_replies;
static int64_t now_ms;

static inline void
set_clock(int64_t ms)
{
	now_ms = ms;
	clock_fake(ms, WALL_MS + ms);
}

static inline void
set_front(void)
{
	struct policy_errors errors = {0};
	int ends[2];

	flow = (struct conf_flow){.name = "inbound",
	    .relay = RELAY_ANY,
	    .gateway = &gateway,
	    .max_size = 1000000,
	    .max_recipients = 10};
	listening =
	    (struct conf_listen){.name = "mx", .flow = &flow, .limits = conf_limits_default};
	config = (struct config){.hostname = "mx.example.org",
	    .postmaster = "postmaster@example.org",
	    .flows = &flow,
	    .n_flows = 1};
	front = (struct front){.loop = loop, .config = &config, .spool = spool, .workers = workers};
	front.snapshot = snapshot_parse(SPAN(""), "p", NULL, NULL, &errors);
	assert_non_null(front.snapshot);
	pool_set_policy(workers, snapshot_version(front.snapshot), (struct span){0});
	list_init(&front.sessions);
	front.tallies = tallies_new();
	front.clients = clients_new(front.tallies, 0);
	front.limits = limits_new(&config, front.tallies);
	channel_pair(ends);
	spool_client_connect(spool, ends[0]);
	spool_end = ends[1];
}

static inline void
begin_session(const char *peer)
{
	struct ip ip;
	int ends[2];

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
	assert_true(ip_parse(span_str(peer), &ip));
	client = ends[1];
	session_new(&front, ends[0], &ip, &listening);
}

static inline int
setup(void **state)
{
	(void)state;
	set_clock(1000);
	n_replies = 0;
	client = -1;
	set_front();
	return 0;
}

static inline void
turn(void)
{
	for (int i = 0; i < TURNS; i++)
		loop_turn(loop, 0);
}

static inline void
hang_up(void)
{
	if (client >= 0)
		(void)close(client);
	client = -1;
	turn();
}

static inline int
teardown(void **state)
{
	(void)state;
	hang_up();
	assert_int_equal(front.n_sessions, 0);
	assert_int_equal(clients_count(front.clients), 0);
	assert_int_equal(content_held(), 0);
	content_set_budget(CONTENT_BYTES_MAX);
	(void)close(spool_end);
	turn(); /* the client of the spool sees its end */
	clients_free(&front.clients);
	limits_free(&front.limits);
	tallies_free(&front.tallies);
	snapshot_release(&front.snapshot);
	channel_free(&front.journal);
	clock_fake(0, -1);
	return 0;
}

static inline void
say(const char *text)
{
	size_t n = strlen(text);

	assert_int_equal(send(client, text, n, MSG_NOSIGNAL), n);
	turn();
}

/* What has been replied since the last time. */
static inline const char *
heard(void)
{
	ssize_t n;

	turn();
	n = recv(client, replies, sizeof(replies) - 1, 0);
	n_replies = n > 0 ? (size_t)n : 0;
	replies[n_replies] = '\0';
	return replies;
}

static inline void
expect(const char *start)
{
	if (strncmp(heard(), start, strlen(start)) != 0)
		fail_msg("expected %s, heard %s", start, replies);
}

static inline void
begin_message(void)
{
	begin_session("192.0.2.1");
	say(GREETING MAIL RCPT "DATA\r\n");
	assert_non_null(strstr(heard(), "354 "));
}

/* The commit that front sends; the spool says yes. */
static inline void
spool_takes(void)
{
	struct message m;
	struct buf b = {0};

	assert_int_equal(channel_receive(spool_end, &m, &b, 1000), 0);
	assert_int_equal(m.type, SPOOL_COMMIT);
	assert_int_equal(
	    channel_send_now(spool_end, SPOOL_COMMITTED, m.id, (struct span){0}, NULL), 0);
	for (size_t i = 0; i < CHANNEL_FDS; i++)
		if (m.fds[i] >= 0)
			(void)close(m.fds[i]);
	buf_free(&b);
	turn();
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

/* The process's one front, then the tests. */
#define RUN(tests)                                                             \
	(loop = loop_new(), spool = spool_client_new(loop, config.n_gateways), \
	    workers = pool_new(loop), cmocka_run_group_tests(tests, NULL, NULL))

#endif

/* A session of front on a socket pair, with a spool role that answers when the test says so. */
#include "relay/base/clock.h"
#include "relay/ipc/channel.h"
#include "relay/walk/walk.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
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

static void
set_clock(int64_t ms)
{
	now_ms = ms;
	clock_fake(ms, WALL_MS + ms);
}

static void
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

static void
begin_session(const char *peer)
{
	struct ip ip;
	int ends[2];

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
	assert_true(ip_parse(span_str(peer), &ip));
	client = ends[1];
	session_new(&front, ends[0], &ip, &listening);
}

static int
setup(void **state)
{
	(void)state;
	set_clock(1000);
	n_replies = 0;
	client = -1;
	set_front();
	return 0;
}

static void
turn(void)
{
	for (int i = 0; i < TURNS; i++)
		loop_turn(loop, 0);
}

static void
hang_up(void)
{
	if (client >= 0)
		(void)close(client);
	client = -1;
	turn();
}

static int
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

static void
say(const char *text)
{
	size_t n = strlen(text);

	assert_int_equal(send(client, text, n, MSG_NOSIGNAL), n);
	turn();
}

/* What has been replied since the last time. */
static const char *
heard(void)
{
	ssize_t n;

	turn();
	n = recv(client, replies, sizeof(replies) - 1, 0);
	n_replies = n > 0 ? (size_t)n : 0;
	replies[n_replies] = '\0';
	return replies;
}

static void
expect(const char *start)
{
	if (strncmp(heard(), start, strlen(start)) != 0)
		fail_msg("expected %s, heard %s", start, replies);
}

static void
begin_message(void)
{
	begin_session("192.0.2.1");
	say(GREETING MAIL RCPT "DATA\r\n");
	assert_non_null(strstr(heard(), "354 "));
}

/* The commit that front sends; the spool says yes. */
static void
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

static void
test_a_message(void **state)
{
	(void)state;
	begin_message();
	say(BODY);
	assert_string_equal(heard(), ""); /* not before it is durable */
	spool_takes();
	expect("250 2.0.0 Queued");
	assert_int_equal(front.n_accepted, 1);
}

/* A session that waits for the spool lets go of everything when its client has gone. */
static void
test_reset_while_the_spool_thinks(void **state)
{
	(void)state;
	begin_message();
	say(BODY);
	assert_int_equal(front.n_sessions, 1);
	hang_up(); /* a socket pair tells it as a hang-up, as TCP tells a reset */
	assert_int_equal(front.n_sessions, 0);
	assert_int_equal(content_held(), 0);
	spool_takes(); /* it may still be kept: nobody is told, nothing breaks */
	assert_int_equal(front.n_accepted, 0);
}

static void
test_who_is_counted(void **state)
{
	static const struct {
		const char *peer;
		size_t counted;
	} rows[] = {{"192.0.2.1", 1}, {"2001:db8::1", 1}, {"127.0.0.1", 0}, {"127.8.8.8", 0},
	    {"::1", 0}, {"198.51.100.7", 0}};
	struct net net;

	(void)state;
	assert_true(net_parse(SPAN("198.51.100.0/24"), &net));
	listening.xclient = (struct nets){&net, 1};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		begin_session(rows[i].peer);
		assert_int_equal(clients_count(front.clients), rows[i].counted);
		hang_up();
		assert_int_equal(clients_count(front.clients), 0);
	}
	listening.xclient = (struct nets){0};
}

/* As many bytes as keep a message going until the next time. */
static void
say_enough(void)
{
	static char bytes[65536];
	size_t n = (size_t)(conf_limits_default.data_rate * (uint64_t)DATA_MS / 1000);

	memset(bytes, 'x', n);
	memcpy(bytes + n, "\r\n", 3);
	say(bytes);
}

/* Bytes come in time and are many, again and again, but there is no end of it. */
static void
test_a_message_takes_too_long(void **state)
{
	int64_t began_ms;

	(void)state;
	begin_message();
	say("Subject: x\r\n\r\n");
	began_ms = now_ms;
	while (now_ms + DATA_MS / 2 < began_ms + MESSAGE_MS) {
		set_clock(now_ms + DATA_MS / 2);
		say_enough();
		assert_string_equal(heard(), "");
	}
	set_clock(began_ms + MESSAGE_MS - 1);
	say("x\r\n");
	assert_string_equal(heard(), "");
	set_clock(began_ms + MESSAGE_MS);
	expect("421 4.4.2 The message takes too long [");
	hang_up();
	assert_int_equal(front.n_sessions, 0);
}

/* A byte now and then is not enough. */
static void
test_a_message_comes_too_slowly(void **state)
{
	int64_t began_ms;

	(void)state;
	begin_message();
	began_ms = now_ms;
	set_clock(began_ms + DATA_MS / 2);
	say_enough();
	set_clock(began_ms + DATA_MS);
	turn();
	assert_string_equal(heard(), "");
	set_clock(began_ms + DATA_MS + DATA_MS / 2);
	say("x\r\n");
	set_clock(began_ms + 2 * DATA_MS - 1);
	say("x\r\n");
	assert_string_equal(heard(), "");
	set_clock(began_ms + 2 * DATA_MS);
	expect("421 4.4.2 The message comes too slowly [");
}

/* Idle sessions are shortened too when sessions run short, and those in the middle of a message. */
static void
test_stress(void **state)
{
	int first, sending;

	(void)state;
	front.sessions_max = 8;
	begin_message();
	sending = client;
	begin_session("192.0.2.1");
	first = client;
	say(GREETING);
	(void)heard();
	front.n_sessions += 3;
	assert_false(front.is_stressed);
	begin_session("192.0.2.2");
	assert_true(front.is_stressed);
	hang_up();
	assert_true(front.is_stressed); /* not at each session to and fro */
	client = first;
	set_clock(now_ms + conf_limits_default.command_ms / WALK_STRESS_DIVISOR - 1);
	turn();
	assert_string_equal(heard(), "");
	set_clock(now_ms + 1);
	expect("421 4.4.2 ");
	hang_up();
	client = sending;
	expect("421 4.4.2 ");
	front.n_sessions -= 3;
	hang_up();
	assert_false(front.is_stressed);
}

/* A command must be whole in its time: a byte now and then gives it no more, another command does. */
static void
test_a_command_that_never_ends(void **state)
{
	int64_t half_ms = conf_limits_default.command_ms / 2;

	(void)state;
	begin_session("192.0.2.1");
	say(GREETING);
	(void)heard();
	for (int i = 0; i < 4; i++) {
		set_clock(now_ms + half_ms);
		say("NO");
		assert_string_equal(heard(), "");
		set_clock(now_ms + half_ms - 1);
		say("OP\r\n");
		expect("250 ");
	}
	say("N");
	set_clock(now_ms + half_ms);
	say("O");
	set_clock(now_ms + half_ms - 1);
	say("O");
	assert_string_equal(heard(), "");
	set_clock(now_ms + 1);
	expect("421 4.4.2 ");
}

/* Who says much and sends nothing pays for it as for mistakes; a message makes up for all of it. */
static void
test_commands_that_change_nothing(void **state)
{
	static const char *const idle[] = {
	    "NOOP\r\n", "RSET\r\n", "VRFY x\r\n", "HELP\r\n", "HELO client.example\r\n"};
	enum { IDLE = sizeof(idle) / sizeof(idle[0]) };
	uint32_t max = conf_limits_default.mistakes;

	(void)state;
	begin_session("192.0.2.1");
	for (int turns = 0; turns < 2; turns++) {
		for (size_t i = 0; i < WALK_IDLE_MAX - 1; i++) {
			say(idle[i % IDLE]);
			expect("2");
		}
		say(GREETING MAIL RCPT "DATA\r\n");
		assert_non_null(strstr(heard(), "354 "));
		say(BODY);
		spool_takes();
		expect("250 ");
	}
	for (size_t i = 0; i < WALK_IDLE_MAX + max - 1; i++) {
		say(idle[i % IDLE]);
		expect("2");
		set_clock(now_ms + WALK_MISTAKE_MS);
		turn();
	}
	say("NOOP\r\n");
	assert_non_null(strstr(heard(), "421 4.7.0 Too many mistakes"));
}

/* Messages in files take of what there is for sessions, and those who are idle are hurried. */
static void
test_room_beside_messages(void **state)
{
	enum { FILES = 64, HALF = FILES / 2, MORE = HALF - 4 };
	int first, second;

	(void)state;
	assert_true(session_room(&front) == SIZE_MAX);
	/* The policy has one. */
	files_set_limit(FILES_OURS + FILES + 1, 0);
	front.sessions_max = FILES - FILES / FILES_MESSAGES_SHARE;
	assert_int_equal(session_room(&front), FILES - FILES / FILES_MESSAGES_SHARE);
	begin_session("192.0.2.1");
	first = client;
	assert_int_equal(session_room(&front), FILES - FILES / FILES_MESSAGES_SHARE);
	files_take(HALF);
	assert_int_equal(session_room(&front), HALF);
	begin_session("192.0.2.2");
	second = client;
	assert_false(front.is_stressed);
	files_take(MORE);
	assert_int_equal(session_room(&front), HALF - MORE);
	begin_session("192.0.2.3"); /* three of four */
	assert_true(front.is_stressed);
	files_give(HALF + MORE);
	hang_up();
	assert_false(front.is_stressed);
	client = second;
	hang_up();
	client = first;
	hang_up();
	assert_int_equal(files_left(), FILES); /* each has given back what it took */
	files_set_limit(UINT64_MAX, 0);
}

/* The limit is of one message: a session may send for longer. */
static void
test_the_next_message_has_its_own_time(void **state)
{
	(void)state;
	begin_message();
	set_clock(now_ms + DATA_MS - 1);
	say(BODY);
	spool_takes();
	expect("250 ");
	for (int i = 0; i < 20; i++) {
		set_clock(now_ms + DATA_MS - 1);
		say("NOOP\r\n");
		expect("250 ");
	}
}

static void
test_no_memory_at_mail(void **state)
{
	(void)state;
	begin_session("192.0.2.1");
	say(GREETING);
	(void)heard();
	content_set_budget(0);
	say(MAIL);
	expect("452 4.3.1 ");
	content_set_budget(CONTENT_BYTES_MAX);
	say(MAIL);
	expect("250 2.1.0 ");
}

/* Said after the true end, and the session goes on. */
static void
test_no_memory_in_data(void **state)
{
	(void)state;
	begin_message();
	say("Subject: x\r\n\r\nhello\r\n");
	content_set_budget(content_held());
	for (int i = 0; i < 100; i++)
		say("hello again, and again, and again\r\n");
	assert_string_equal(heard(), "");
	say(".\r\n");
	expect("452 4.3.1 ");
	assert_int_equal(content_held(), 0);
	content_set_budget(CONTENT_BYTES_MAX);
	say(MAIL);
	expect("250 2.1.0 ");
}

/* A client that reads no replies has them counted in the memory budget, and is the first to go. */
static void
test_no_memory_for_replies(void **state)
{
	struct session *s;
	bool was_told = false;

	(void)state;
	begin_session("192.0.2.1");
	s = LIST_ENTRY(front.sessions.next, struct session, node);
	say(GREETING);
	for (int i = 0; i < 10000 && s->connection.held <= WALK_BUFFERS_SPARED; i++)
		say(TOO_LARGE TOO_LARGE TOO_LARGE TOO_LARGE TOO_LARGE TOO_LARGE TOO_LARGE);
	assert_true(s->connection.held > WALK_BUFFERS_SPARED);
	assert_int_equal(content_held(), s->connection.held);
	content_set_budget(1);
	say("NOOP\r\n");
	assert_true(s->connection.held <= WALK_BUFFERS_SPARED);
	for (int i = 0; i < 100 && !was_told; i++)
		was_told = strstr(heard(), "421 4.3.1 No room for your session") != NULL;
	assert_true(was_told);
}

/* What a waiting session costs beside the kernel's part and the process's tables. */
static void
test_a_waiting_session_is_small(void **state)
{
	struct session *s;

	(void)state;
	begin_session("192.0.2.1");
	say(GREETING "NOOP\r\nRSET\r\n");
	(void)heard();
	s = LIST_ENTRY(front.sessions.next, struct session, node);
	assert_int_equal(s->state, SESSION_COMMAND);
	assert_null(s->checks);
	assert_null(s->transaction);
	assert_null(s->connected);
	assert_null(s->verdict);
	assert_null(s->answers);
	assert_int_equal(s->connection.held, 0);
	assert_int_equal(s->connection.in.cap + s->connection.out.cap, 0);
}

/* A line that is too long is told once; mistakes past half of those allowed cost time. */
static void
test_mistakes_cost_time(void **state)
{
	uint32_t i = 0, max = conf_limits_default.mistakes;

	(void)state;
	begin_session("192.0.2.1");
	say(GREETING);
	(void)heard();
	for (; i < max / 2; i++) {
		say("X\r\n");
		expect("500 ");
	}
	say("X\r\nNOOP\r\n");
	expect("500 ");
	set_clock(now_ms + WALK_MISTAKE_MS - 1);
	assert_string_equal(heard(), "");
	set_clock(now_ms + 1);
	expect("250 ");
	for (i++; i < max - 1; i++) {
		say("X\r\n");
		expect("500 ");
		set_clock(now_ms + WALK_MISTAKE_MS);
	}
	say("X\r\n");
	assert_non_null(strstr(heard(), "421 4.7.0 Too many mistakes"));
}

/* All in one turn of the loop, so that the kernel takes none of it meanwhile. */
static void
commit_at_once(struct spool_request *requests, size_t n)
{
	static char body[CHANNEL_INLINE_MAX];
	struct commit_copy copy = {.fate = COPY_DELIVER};
	struct commit_rcpt rcpt = {.address = SPAN("bob@example.org"), .gateway = SPAN("inside")};
	struct commit c = {.id = SPAN("X"),
	    .flow = SPAN("inbound"),
	    .copies = &copy,
	    .n_copies = 1,
	    .rcpts = &rcpt,
	    .n_rcpts = 1,
	    .body_size = sizeof(body),
	    .is_inline = true,
	    .body = span_of(body, sizeof(body))};

	for (size_t i = 0; i < n; i++)
		spool_commit(spool, &requests[i], &c, -1);
}

static size_t n_durable, n_busy, n_else;

static void
on_commit_done(struct spool_request *r, const struct refusal *refusal)
{
	(void)r;
	if (refusal == NULL)
		n_durable++;
	else if (refusal->code == 452 && span_eq(refusal->enhanced, SPAN("4.3.1")))
		n_busy++;
	else
		n_else++;
}

/* Half of the queue's maximum is sent, what comes then is refused, and the channel lives. */
static void
test_a_slow_spool(void **state)
{
	enum { REQUESTS = CHANNEL_QUEUE_MAX / CHANNEL_INLINE_MAX };
	static struct spool_request requests[2 * REQUESTS];

	(void)state;
	n_durable = n_busy = n_else = 0;
	for (size_t i = 0; i < 2 * REQUESTS; i++)
		requests[i] = (struct spool_request){.on_done = on_commit_done};
	begin_session("192.0.2.1");
	say(GREETING);
	(void)heard();
	assert_true(spool_client_has_room(spool));
	commit_at_once(requests, REQUESTS);
	assert_false(spool_client_has_room(spool));
	assert_int_equal(n_busy, 0); /* never from inside the call */
	turn();
	assert_true(n_busy >= REQUESTS / 2 && n_busy < REQUESTS * 3 / 4);
	assert_int_equal(n_else, 0);
	commit_at_once(requests + REQUESTS, REQUESTS); /* for what the kernel has taken meanwhile */
	say(MAIL);
	expect("452 4.3.1 ");
	while (n_durable + n_busy < 2 * REQUESTS)
		spool_takes();
	assert_int_equal(n_else, 0);
	assert_true(spool_client_has_room(spool));
	say(MAIL);
	expect("250 2.1.0 ");
}

static void
on_journal(void *arg, struct message *m)
{
	(void)arg;
	(void)m;
}

static size_t n_journal_closed;

static void
on_journal_close(void *arg)
{
	(void)arg;
	n_journal_closed++;
}

/* Lines are dropped and counted; the channel never breaks. */
static void
test_a_slow_journal(void **state)
{
	static const struct channel_events events = {on_journal, on_journal_close};
	static const struct verdict v = {.action = ACTION_REJECT, .code = 550, .text = "No"};
	static char filler[CHANNEL_INLINE_MAX];
	struct session *s;
	size_t queued;
	int ends[2];

	(void)state;
	channel_pair(ends);
	front.journal = channel_new(loop, ends[0], &events, NULL);
	begin_session("192.0.2.1");
	s = LIST_ENTRY(front.sessions.next, struct session, node);
	record_refusal(s, &v, SPAN("bob@example.org"));
	assert_int_equal(front.n_journal_dropped, 0);
	assert_true(channel_queued(front.journal) > 0);
	while (channel_has_room(front.journal))
		channel_send(front.journal, 1, 0, span_of(filler, sizeof(filler)), NULL);
	queued = channel_queued(front.journal);
	for (size_t i = 0; i < 3; i++)
		record_refusal(s, &v, SPAN("bob@example.org"));
	assert_int_equal(front.n_journal_dropped, 3);
	assert_int_equal(channel_queued(front.journal), queued);
	assert_true(channel_is_open(front.journal));
	(void)close(ends[1]);
	turn();
	assert_int_equal(n_journal_closed, 1);
	record_refusal(s, &v, SPAN("bob@example.org")); /* there is none: nothing was dropped */
	assert_int_equal(front.n_journal_dropped, 3);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_a_message, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_reset_while_the_spool_thinks, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_who_is_counted, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_a_message_takes_too_long, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_a_message_comes_too_slowly, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_stress, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_a_command_that_never_ends, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_commands_that_change_nothing, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_room_beside_messages, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		test_the_next_message_has_its_own_time, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_no_memory_at_mail, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_no_memory_in_data, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_no_memory_for_replies, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_a_waiting_session_is_small, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_mistakes_cost_time, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_a_slow_spool, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_a_slow_journal, setup, teardown),
	};

	loop = loop_new();
	spool = spool_client_new(loop, config.n_gateways);
	workers = pool_new(loop);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

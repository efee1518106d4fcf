/* A session of front: what it does, whom it counts, what it waits for. */
#include "tests/unit/session_world.h"

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
	    TEST(test_a_message),
	    TEST(test_reset_while_the_spool_thinks),
	    TEST(test_who_is_counted),
	    TEST(test_a_message_takes_too_long),
	    TEST(test_a_message_comes_too_slowly),
	    TEST(test_stress),
	    TEST(test_room_beside_messages),
	    TEST(test_the_next_message_has_its_own_time),
	    TEST(test_mistakes_cost_time),
	    TEST(test_a_slow_spool),
	    TEST(test_a_slow_journal),
	};

	return RUN(tests);
}

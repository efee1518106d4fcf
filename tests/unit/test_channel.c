#include "relay/ipc/channel.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SETTLE = 8, HEAD = 12, KEPT = 64 };

/* What an end has seen. */
struct side {
	struct world *world;
	struct channel *channel;
	unsigned n_messages, n_closed,
	    free_at; /* free_at: the message in which it is freed, 0: none */
	bool frees_on_close, keeps_fds, echoes;
	struct channel *drains; /* in its first message; NULL: none */
	uint64_t ids[KEPT];
	size_t sizes[KEPT];
	uint64_t sum;
	int fds[CHANNEL_FDS];
};

struct world {
	struct loop *loop;
	struct side a, b;
	int raw; /* the end of a's peer when there is no b */
	struct buf buf;
};

static uint64_t
sum_of(struct span s)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < s.n; i++)
		sum = sum * 31 + (unsigned char)s.p[i];
	return sum;
}

static void
on_message(void *arg, struct message *m)
{
	struct side *s = arg;

	if (s->n_messages < KEPT) {
		s->ids[s->n_messages] = m->id;
		s->sizes[s->n_messages] = m->payload.n;
	}
	s->sum = sum_of(m->payload);
	for (size_t i = 0; s->keeps_fds && i < CHANNEL_FDS; i++) {
		s->fds[i] = m->fds[i];
		m->fds[i] = -1;
	}
	if (s->echoes)
		channel_send(s->channel, m->type, m->id, m->payload, NULL);
	if (s->drains != NULL && s->n_messages == 0)
		channel_drain(s->drains);
	if (++s->n_messages == s->free_at)
		channel_free(&s->channel);
}

static void
on_close(void *arg)
{
	struct side *s = arg;

	s->n_closed++;
	if (s->frees_on_close)
		channel_free(&s->channel);
}

static const struct channel_events events = {on_message, on_close};

static void
settle(struct world *w)
{
	for (int i = 0; i < SETTLE; i++)
		loop_turn(w->loop, 0);
}

static int
setup(void **state)
{
	struct world *w = mem_alloc(sizeof(*w));
	int ends[2];

	w->loop = loop_new();
	w->raw = -1;
	channel_pair(ends);
	w->a.channel = channel_new(w->loop, ends[0], &events, &w->a);
	w->b.channel = channel_new(w->loop, ends[1], &events, &w->b);
	*state = w;
	return 0;
}

/* The peer is bare: the test writes and reads its packets itself. */
static int
setup_raw(void **state)
{
	struct world *w = mem_alloc(sizeof(*w));
	int ends[2];

	w->loop = loop_new();
	channel_pair(ends);
	w->a.channel = channel_new(w->loop, ends[0], &events, &w->a);
	w->raw = ends[1];
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	channel_free(&w->a.channel);
	channel_free(&w->b.channel);
	if (w->raw >= 0)
		(void)close(w->raw);
	loop_free(&w->loop);
	buf_free(&w->buf);
	mem_free(w);
	return 0;
}

/* Descriptors that this process has open. */
static unsigned
count_fds(void)
{
	unsigned n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

static struct span
pattern(struct buf *to, size_t n)
{
	char *p;

	to->max = n;
	buf_clear(to);
	p = buf_room(to, n);
	assert_true(p != NULL || n == 0);
	for (size_t i = 0; i < n; i++)
		p[i] = (char)(i * 7 + i / 251);
	to->n = n;
	return buf_span(to);
}

static void
test_batches_keep_their_order(void **state)
{
	enum { N = 50 };
	struct world *w = *state;

	for (uint64_t i = 0; i < N; i++)
		channel_send(w->a.channel, 7, i, SPAN("hello"), NULL);
	assert_int_equal(w->b.n_messages, 0);
	assert_int_equal(channel_queued(w->a.channel), N * (HEAD + 5));
	assert_true(channel_is_unread(w->a.channel));
	settle(w);
	assert_int_equal(w->b.n_messages, N);
	for (uint64_t i = 0; i < N; i++) {
		assert_int_equal(w->b.ids[i], i);
		assert_int_equal(w->b.sizes[i], 5);
	}
	assert_int_equal(channel_queued(w->a.channel), 0);
	assert_false(channel_is_unread(w->a.channel));
}

/* Front hears of a worker's death, and then what that one has said last: what came behind the news stays
 * what it was, and descriptors with it. */
static void
test_drained_in_a_message_of_another(void **state)
{
	enum { N = 4 };
	struct span said = SPAN("what an ended peer has left behind, longer than the others");
	struct world *w = *state;
	struct side ended = {0};
	int ends[2], fds[CHANNEL_FDS] = {-1, -1};
	unsigned before = count_fds();

	channel_pair(ends);
	ended.channel = channel_new(w->loop, ends[0], &events, &ended);
	for (uint64_t i = 0; i < N; i++)
		assert_int_equal(channel_send_now(ends[1], 2, 100 + i, said, NULL), 0);
	(void)close(ends[1]);
	w->b.keeps_fds = true;
	w->b.drains = ended.channel;
	for (uint64_t i = 0; i + 1 < N; i++)
		channel_send(w->a.channel, 1, i, SPAN("short"), NULL);
	fds[0] = channel_seal(SPAN("a descriptor"), "test");
	channel_send(w->a.channel, 1, N - 1, SPAN("last"), fds);
	channel_flush(w->a.channel);
	channel_drain(w->b.channel); /* not the loop: whom it would hear first is its choice */
	assert_int_equal(w->b.n_messages, N);
	assert_int_equal(ended.n_messages, N);
	for (uint64_t i = 0; i < N; i++) {
		assert_int_equal(w->b.ids[i], i);
		assert_int_equal(ended.ids[i], 100 + i);
	}
	assert_int_equal(w->b.sum, sum_of(SPAN("last")));
	assert_true(w->b.fds[0] >= 0);
	(void)close(w->b.fds[0]);
	channel_free(&ended.channel);
	assert_int_equal(count_fds(), before);
}

static void
test_sizes(void **state)
{
	static const size_t sizes[] = {0, 1, CHANNEL_INLINE_MAX, CHANNEL_PACKET_MAX - 1,
	    CHANNEL_PACKET_MAX, CHANNEL_PACKET_MAX + 1, 3 * 1024 * 1024 + 5};
	const size_t n = sizeof(sizes) / sizeof(sizes[0]);
	struct world *w = *state;
	unsigned before = count_fds();

	for (size_t i = 0; i < n; i++) {
		struct span bytes = pattern(&w->buf, sizes[i]);

		channel_send(w->a.channel, 1, i, bytes, NULL);
		settle(w);
		assert_int_equal(w->b.n_messages, i + 1);
		assert_int_equal(w->b.sizes[i], sizes[i]);
		assert_int_equal(w->b.sum, sum_of(bytes));
	}
	assert_int_equal(count_fds(), before);
	assert_true(channel_is_open(w->a.channel) && channel_is_open(w->b.channel));
}

static void
test_echo_from_inside_a_callback(void **state)
{
	struct world *w = *state;

	w->b.echoes = true;
	channel_send(w->a.channel, 3, 9, SPAN("there and back"), NULL);
	settle(w);
	assert_int_equal(w->a.n_messages, 1);
	assert_int_equal(w->a.ids[0], 9);
	assert_int_equal(w->a.sum, sum_of(SPAN("there and back")));
}

static void
test_descriptors(void **state)
{
	static const size_t sizes[] = {
	    3, CHANNEL_PACKET_MAX + 1}; /* beside a spilled payload too */
	struct world *w = *state;
	unsigned before = count_fds();

	w->b.keeps_fds = true;
	for (size_t i = 0; i < 2; i++) {
		int fds[CHANNEL_FDS] = {
		    channel_seal(SPAN("one"), "1"), channel_seal(SPAN("two"), "2")};
		struct span one, two;

		channel_send(w->a.channel, 1, i, pattern(&w->buf, sizes[i]), fds);
		settle(w);
		assert_int_equal(w->b.sizes[i], sizes[i]);
		assert_int_equal(count_fds(), before + 2); /* sent means closed here */
		assert_int_equal(channel_map(w->b.fds[0], 10, &one), 0);
		assert_int_equal(channel_map(w->b.fds[1], 10, &two), 0);
		assert_true(span_eq(one, SPAN("one")) && span_eq(two, SPAN("two")));
		assert_true(fcntl(w->b.fds[0], F_GETFD) & FD_CLOEXEC);
		channel_unmap(&one);
		channel_unmap(&two);
		(void)close(w->b.fds[0]);
		(void)close(w->b.fds[1]);
	}
	w->b.keeps_fds = false;
	channel_send(
	    w->a.channel, 1, 2, SPAN("x"), (const int[]){channel_seal(SPAN("3"), "3"), -1});
	settle(w);
	assert_int_equal(count_fds(), before); /* what is not taken is closed */
}

static void
test_unsent_descriptors_are_closed(void **state)
{
	struct world *w = *state;
	unsigned before = count_fds();

	channel_send(w->a.channel, 1, 1, pattern(&w->buf, CHANNEL_PACKET_MAX + 1),
	    (const int[]){channel_seal(SPAN("1"), "1"), -1});
	assert_int_equal(count_fds(), before + 2);
	channel_free(&w->a.channel);
	assert_int_equal(count_fds(), before - 1);
	settle(w);
	assert_int_equal(w->b.n_messages, 0);
	assert_int_equal(w->b.n_closed, 1);
}

static void
test_peer_goes(void **state)
{
	struct world *w = *state;

	channel_send(w->a.channel, 1, 1, SPAN("last words"), NULL);
	channel_flush(w->a.channel);
	channel_free(&w->a.channel);
	settle(w);
	assert_int_equal(w->b.n_messages, 1); /* what was sent before the end still comes */
	assert_int_equal(w->b.n_closed, 1);
	assert_false(channel_is_open(w->b.channel));
	channel_send(
	    w->b.channel, 1, 1, SPAN("to nobody"), (const int[]){channel_seal(SPAN("1"), "1"), -1});
	settle(w);
	assert_int_equal(w->b.n_closed, 1);
	assert_int_equal(channel_queued(w->b.channel), 0);
	assert_false(channel_is_open(NULL));
}

static void
test_send_to_a_closed_peer_tells_from_the_loop(void **state)
{
	struct world *w = *state;

	(void)close(w->raw);
	w->raw = -1;
	channel_send(w->a.channel, 1, 1, SPAN("x"), NULL);
	channel_flush(w->a.channel);
	assert_int_equal(w->a.n_closed, 0);
	settle(w);
	assert_int_equal(w->a.n_closed, 1);
}

static void
test_freed_in_a_message(void **state)
{
	struct world *w = *state;
	unsigned before = count_fds();

	w->b.free_at = 2;
	for (uint64_t i = 0; i < 5; i++)
		channel_send(
		    w->a.channel, 1, i, SPAN("x"), (const int[]){channel_seal(SPAN("1"), "1"), -1});
	settle(w);
	assert_int_equal(w->b.n_messages, 2);
	assert_int_equal(w->b.n_closed, 0);
	assert_null(w->b.channel);
	assert_int_equal(w->a.n_closed, 1);
	assert_int_equal(count_fds(), before - 1); /* its own end; those of all five are closed */
}

static void
test_freed_in_its_close(void **state)
{
	struct world *w = *state;

	w->b.frees_on_close = true;
	channel_free(&w->a.channel);
	settle(w);
	assert_int_equal(w->b.n_closed, 1);
	assert_null(w->b.channel);
}

static void
test_malformed_packets(void **state)
{
	static const struct {
		const char *bytes;
		size_t n;
	} rows[] = {
	    {"x", 1},
	    {"\1\0\7\0\0\0\0\0\0\0\0", HEAD - 1},
	    {"\2\0\7\0\0\0\0\0\0\0\0\0", HEAD}, /* a version of another time */
	    {"\1\2\7\0\0\0\0\0\0\0\0\0", HEAD}, /* unknown flag */
	    {"\1\1\7\0\0\0\0\0\0\0\0\0", HEAD}, /* spilled, without the memory file */
	    {"\0\0\0\0\0\0\0\0\0\0\0\0\0", HEAD + 1},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct world *w;

		assert_int_equal(setup_raw((void **)&w), 0);
		assert_int_equal(write(w->raw, rows[i].bytes, rows[i].n), rows[i].n);
		assert_int_equal(channel_send_now(w->raw, 1, 1, SPAN("behind it"), NULL), 0);
		settle(w);
		assert_int_equal(w->a.n_messages, 0);
		assert_int_equal(w->a.n_closed, 1);
		assert_int_equal(teardown((void **)&w), 0);
	}
	(void)state;
}

/* A packet larger than any of ours is cut by the kernel and refused. */
static void
test_oversized_packet(void **state)
{
	struct world *w = *state;
	struct span bytes = pattern(&w->buf, HEAD + CHANNEL_PACKET_MAX + 1);

	memcpy(w->buf.p, "\1\0\7\0\0\0\0\0\0\0\0\0", HEAD);
	assert_int_equal(write(w->raw, bytes.p, bytes.n), bytes.n);
	settle(w);
	assert_int_equal(w->a.n_messages, 0);
	assert_int_equal(w->a.n_closed, 1);
}

static void
send_raw(int to, struct span bytes, const int *fds, size_t n_fds)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(sizeof(int) * 8)];
	} control = {0};
	struct iovec iov = {(void *)(uintptr_t)bytes.p, bytes.n};
	struct msghdr hdr = {.msg_iov = &iov,
	    .msg_iovlen = 1,
	    .msg_control = control.bytes,
	    .msg_controllen = CMSG_SPACE(sizeof(int) * n_fds)};
	struct cmsghdr *c = CMSG_FIRSTHDR(&hdr);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
	memcpy(CMSG_DATA(c), fds, sizeof(int) * n_fds);
	assert_int_equal(sendmsg(to, &hdr, 0), bytes.n);
}

static void
test_hostile_descriptors(void **state)
{
	static const struct {
		struct span head;
		size_t n_fds;
		bool is_fine;
	} rows[] = {
	    {{"\1\0\7\0\0\0\0\0\0\0\0\0", HEAD}, 2, true},
	    {{"\1\0\7\0\0\0\0\0\0\0\0\0", HEAD}, 3, false}, /* more than a message has */
	    {{"\1\0\7\0\0\0\0\0\0\0\0\0", HEAD}, 8, false}, /* more than there is room for */
	    {{"\1\1\7\0\0\0\0\0\0\0\0\0", HEAD}, 1, false}, /* payload not sealed */
	    {{"x", 1}, 2, false},
	};
	unsigned before = count_fds();

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct world *w;
		int fds[8], fd = memfd_create("open", MFD_CLOEXEC | MFD_ALLOW_SEALING);

		for (size_t k = 0; k < 8; k++)
			fds[k] = fd;
		assert_int_equal(setup_raw((void **)&w), 0);
		send_raw(w->raw, rows[i].head, fds, rows[i].n_fds);
		settle(w);
		assert_int_equal(w->a.n_messages, rows[i].is_fine);
		assert_int_equal(w->a.n_closed, !rows[i].is_fine);
		assert_int_equal(teardown((void **)&w), 0);
		(void)close(fd);
		assert_int_equal(count_fds(), before);
	}
	(void)state;
}

/* The queue has a limit, and the owner hears of it though the peer does nothing at all. */
static void
test_peer_that_never_reads(void **state)
{
	struct world *w = *state;
	struct span bytes = pattern(&w->buf, CHANNEL_PACKET_MAX);
	size_t sent = 0;

	while (channel_is_open(w->a.channel) && sent < 2ULL * CHANNEL_QUEUE_MAX) {
		channel_send(w->a.channel, 1, 1, bytes, NULL);
		sent += bytes.n;
		loop_turn(w->loop, 0);
		assert_true(channel_queued(w->a.channel) <= CHANNEL_QUEUE_MAX + HEAD + bytes.n);
	}
	assert_false(channel_is_open(w->a.channel));
	assert_true(sent > CHANNEL_QUEUE_MAX);
	settle(w);
	assert_int_equal(w->a.n_closed, 1);
}

static void
test_is_unread(void **state)
{
	struct world *w = *state;
	struct message m;

	assert_false(channel_is_unread(w->a.channel));
	channel_send(w->a.channel, 1, 1, SPAN("x"), NULL);
	assert_true(channel_is_unread(w->a.channel)); /* still here */
	settle(w);
	assert_int_equal(channel_queued(w->a.channel), 0);
	assert_true(channel_is_unread(w->a.channel)); /* with the kernel */
	assert_int_equal(channel_receive(w->raw, &m, &w->buf, 0), 0);
	assert_false(channel_is_unread(w->a.channel));
}

static void
test_blocking_ends(void **state)
{
	static const size_t sizes[] = {0, 5, CHANNEL_PACKET_MAX, CHANNEL_PACKET_MAX + 1};
	struct world *w = *state;
	struct buf bytes = {0};
	struct message m;
	unsigned before = count_fds();

	assert_int_equal(channel_receive(w->raw, &m, &w->buf, 0), -E_TIMEOUT);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct span sent = pattern(&bytes, sizes[i]);
		int fds[CHANNEL_FDS] = {channel_seal(SPAN("1"), "1"), -1};

		/* Back and forth: into the loop, and out of it. */
		assert_int_equal(channel_send_now(w->raw, 4, i, sent, fds), 0);
		assert_int_equal(fcntl(fds[0], F_GETFD), FD_CLOEXEC); /* still the caller's */
		settle(w);
		assert_int_equal(w->a.sizes[i], sizes[i]);
		assert_int_equal(w->a.sum, sum_of(sent));
		channel_send(w->a.channel, 5, i, sent, fds);
		settle(w);
		assert_int_equal(channel_receive(w->raw, &m, &w->buf, 0), 0);
		assert_int_equal(m.type, 5);
		assert_int_equal(m.id, i);
		assert_true(span_eq(m.payload, sent));
		assert_true(m.fds[0] >= 0 && m.fds[1] == -1);
		(void)close(m.fds[0]);
		assert_int_equal(count_fds(), before);
	}
	buf_free(&bytes);
	channel_free(&w->a.channel);
	assert_int_equal(channel_receive(w->raw, &m, &w->buf, 0), -E_CLOSED);
	assert_int_equal(channel_send_now(w->raw, 1, 1, SPAN("x"), NULL), -E_CLOSED);
}

static void
test_blocking_receive_of_nonsense(void **state)
{
	struct world *w = *state;
	struct message m;
	int ends[2];

	channel_pair(ends);
	assert_int_equal(write(ends[0], "nonsense", 8), 8);
	assert_int_equal(channel_receive(ends[1], &m, &w->buf, 0), -E_CORRUPT);
	(void)close(ends[0]);
	(void)close(ends[1]);
}

static void
test_seal_and_map(void **state)
{
	const int none = memfd_create("none", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	const int half = memfd_create("half", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	int fd = channel_seal(SPAN("12345"), "five"), empty = channel_seal(SPAN(""), "empty");
	struct span mapped;

	assert_int_equal(fcntl(half, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW), 0);
	assert_int_equal(channel_map(none, 10, &mapped), -E_DENIED);
	assert_int_equal(channel_map(half, 10, &mapped), -E_DENIED); /* it could be cut short */
	assert_int_equal(channel_map(-1, 10, &mapped), -E_DENIED);
	assert_int_equal(channel_map(STDIN_FILENO, 10, &mapped), -E_DENIED);
	assert_int_equal(channel_map(fd, 4, &mapped), -E_LIMIT);
	assert_int_equal(mapped.n, 0);
	assert_int_equal(channel_map(fd, 5, &mapped), 0);
	assert_true(span_eq(mapped, SPAN("12345")));
	assert_int_equal(pwrite(fd, "x", 1, 0), -1);
	assert_int_equal(ftruncate(fd, 1), -1);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, 0), -1); /* for ever */
	channel_unmap(&mapped);
	assert_int_equal(mapped.n, 0);
	channel_unmap(&mapped);
	assert_int_equal(channel_map(empty, 0, &mapped), 0);
	assert_int_equal(mapped.n, 0);
	(void)close(none);
	(void)close(half);
	(void)close(fd);
	(void)close(empty);
	(void)state;
}

#define TEST(f)     cmocka_unit_test_setup_teardown(f, setup, teardown)
#define TEST_RAW(f) cmocka_unit_test_setup_teardown(f, setup_raw, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_batches_keep_their_order),
	    TEST(test_drained_in_a_message_of_another),
	    TEST(test_sizes),
	    TEST(test_echo_from_inside_a_callback),
	    TEST(test_descriptors),
	    TEST(test_unsent_descriptors_are_closed),
	    TEST(test_peer_goes),
	    TEST_RAW(test_send_to_a_closed_peer_tells_from_the_loop),
	    TEST(test_freed_in_a_message),
	    TEST(test_freed_in_its_close),
	    cmocka_unit_test(test_malformed_packets),
	    TEST_RAW(test_oversized_packet),
	    cmocka_unit_test(test_hostile_descriptors),
	    TEST_RAW(test_peer_that_never_reads),
	    TEST_RAW(test_is_unread),
	    TEST_RAW(test_blocking_ends),
	    TEST_RAW(test_blocking_receive_of_nonsense),
	    cmocka_unit_test(test_seal_and_map),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

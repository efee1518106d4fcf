#include "relay/front/connection.h"
#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SETTLE = 6 };

struct world {
	struct loop *loop;
	struct connection c;
	int client;
	int64_t now_ms;
	size_t n_in;
	unsigned n_input, n_gone, n_timeout, n_finished;
	bool takes_input;
};

static void
on_input(void *arg)
{
	struct world *w = arg;

	w->n_input++;
	if (w->takes_input) {
		w->n_in += w->c.in.n;
		buf_consume(&w->c.in, w->c.in.n);
	}
	connection_flush(&w->c); /* as every owner does: also looks at what may be read now */
}

static void
on_gone(void *arg)
{
	struct world *w = arg;

	w->n_gone++;
	connection_close(&w->c);
}

static void
on_timeout(void *arg)
{
	struct world *w = arg;

	w->n_timeout++;
}

static void
on_finished(void *arg)
{
	struct world *w = arg;

	w->n_finished++;
	connection_close(&w->c);
}

static const struct connection_events events = {on_input, on_gone, on_timeout, on_finished, NULL};

static void
pass_time(struct world *w, int64_t ms)
{
	w->now_ms += ms;
	clock_fake(w->now_ms, 1);
	for (int i = 0; i < SETTLE; i++)
		loop_turn(w->loop, 0);
}

static int
setup(void **state)
{
	struct world *w = mem_alloc(sizeof(*w));
	int ends[2];

	w->now_ms = 1;
	clock_fake(w->now_ms, 1);
	w->loop = loop_new();
	w->takes_input = true;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
	connection_open(&w->c, w->loop, ends[0], &events, w);
	w->client = ends[1];
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	connection_close(&w->c);
	connection_close(&w->c); /* harmless */
	if (w->client >= 0)
		(void)close(w->client);
	loop_free(&w->loop);
	clock_fake(0, -1);
	mem_free(w);
	return 0;
}

static void
client_sends(const struct world *w, struct span s)
{
	assert_int_equal(write(w->client, s.p, s.n), s.n);
}

static void
client_goes(struct world *w)
{
	(void)close(w->client);
	w->client = -1;
	pass_time(w, 0);
}

/* All that the client can read now; -1: nothing, and not the end either. */
static ssize_t
client_reads(const struct world *w)
{
	char bytes[65536];
	ssize_t n, sum = 0;

	while ((n = read(w->client, bytes, sizeof(bytes))) > 0)
		sum += n;
	return sum > 0 || n == 0 ? sum : -1;
}

static void
test_in_and_out(void **state)
{
	struct world *w = *state;

	client_sends(w, SPAN("hello"));
	pass_time(w, 0);
	assert_int_equal(w->n_in, 5);
	connection_send(&w->c, SPAN("one"));
	connection_send(&w->c, SPAN("two"));
	assert_int_equal(client_reads(w), -1); /* gathered */
	connection_flush(&w->c);
	assert_int_equal(client_reads(w), 6);
	client_goes(w);
	assert_int_equal(w->n_gone, 1);
	assert_int_equal(w->c.fd, -1);
	connection_flush(&w->c); /* of a closed one: nothing */
	connection_finish(&w->c);
}

static void
test_timeouts(void **state)
{
	struct world *w = *state;

	connection_expect(&w->c, 1000);
	pass_time(w, 999);
	assert_int_equal(w->n_timeout, 0);
	client_sends(w, SPAN("x")); /* each input starts it anew */
	pass_time(w, 0);
	pass_time(w, 999);
	assert_int_equal(w->n_timeout, 0);
	pass_time(w, 1);
	assert_int_equal(w->n_timeout, 1);
	connection_expect(&w->c, 0);
	pass_time(w, 1000000);
	assert_int_equal(w->n_timeout, 1);
}

static void
test_pause(void **state)
{
	struct world *w = *state;

	connection_pause(&w->c, true);
	client_sends(w, SPAN("x"));
	pass_time(w, 0);
	assert_int_equal(w->n_input, 0);
	connection_pause(&w->c, false);
	pass_time(w, 0);
	assert_int_equal(w->n_in, 1);
}

/* Input that its owner leaves lying is bounded, and comes when there is room again. */
static void
test_input_limit(void **state)
{
	static char bytes[32768];
	struct world *w = *state;
	size_t sent = 0;

	w->takes_input = false;
	for (int i = 0; i < 100; i++) {
		ssize_t n = write(w->client, bytes, sizeof(bytes));

		sent += n > 0 ? (size_t)n : 0;
		pass_time(w, 0);
		assert_true(w->c.in.n <= CONNECTION_IN_MAX);
	}
	assert_true(sent > 0 && w->n_gone == 0);
	w->takes_input = true;
	w->n_in = w->c.in.n;
	buf_consume(&w->c.in, w->c.in.n);
	connection_flush(&w->c);
	for (int i = 0; i < 40; i++)
		pass_time(w, 0);
	assert_int_equal(w->n_in, sent);
}

static void
test_client_that_reads_nothing(void **state)
{
	static const struct span line = {
	    "250 a line of fifty bytes, or perhaps a few less\r\n", 50};
	struct world *w = *state;

	for (int i = 0; i < 100000 && w->n_finished == 0; i++) {
		connection_send(&w->c, line);
		if (i % 100 == 0) {
			connection_flush(&w->c);
			pass_time(w, 0);
		}
		assert_true(w->c.out.n <= CONNECTION_OUT_MAX);
	}
	assert_int_equal(w->n_finished + w->n_gone, 1);
	assert_int_equal(w->c.fd, -1);
}

static void
test_finish(void **state)
{
	struct world *w = *state;

	connection_expect(&w->c, 1000);
	connection_send(&w->c, SPAN("221 bye\r\n"));
	connection_finish(&w->c);
	assert_int_equal(w->n_finished, 0); /* never from inside */
	client_sends(w, SPAN("more"));
	pass_time(w, 0);
	assert_int_equal(w->n_finished, 0); /* waits for the client's end */
	assert_int_equal(w->n_input, 0);
	assert_int_equal(w->c.in.cap, 0);
	assert_int_equal(client_reads(w), 9);
	client_goes(w);
	assert_int_equal(w->n_finished, 1);
}

/* A client that goes on sending, or keeps its side open, is let go. */
static void
test_finish_is_bounded(void **state)
{
	static char bytes[65536];
	struct world *w = *state;
	size_t sent = 0;

	connection_send(&w->c, SPAN("421 enough\r\n"));
	connection_finish(&w->c);
	while (w->n_finished == 0 && sent < 2 * (size_t)CONNECTION_LINGER_MAX) {
		ssize_t n = write(w->client, bytes, sizeof(bytes));

		sent += n > 0 ? (size_t)n : 0;
		pass_time(w, 0);
	}
	assert_int_equal(w->n_finished, 1);
	assert_true(sent > CONNECTION_LINGER_MAX);
}

static void
test_finish_of_a_silent_client(void **state)
{
	struct world *w = *state;

	connection_finish(&w->c);
	pass_time(w, CONNECTION_LINGER_MS - 1);
	assert_int_equal(w->n_finished, 0);
	pass_time(w, 1);
	assert_int_equal(w->n_finished, 1);
}

static void
test_no_memory_while_silent(void **state)
{
	struct world *w = *state;

	client_sends(w, SPAN("hello"));
	pass_time(w, 0);
	connection_send(&w->c, SPAN("250 hello\r\n"));
	connection_flush(&w->c);
	assert_int_equal(w->n_in, 5);
	assert_int_equal(w->c.in.cap + w->c.out.cap, 0);
}

static void
test_finish_of_a_slow_reader(void **state)
{
	static char bytes[4096];
	struct world *w = *state;

	while (w->c.out.n < CONNECTION_OUT_MAX / 2) {
		connection_send(&w->c, span_of(bytes, sizeof(bytes)));
		if (w->c.out.n < 65536)
			connection_flush(&w->c);
		if (w->c.out.n >= CONNECTION_OUT_MAX / 4)
			break;
	}
	connection_finish(&w->c);
	pass_time(w, CONNECTION_LINGER_MS - 1);
	assert_int_equal(w->n_finished, 0);
	pass_time(w, 1);
	assert_int_equal(w->n_timeout, 0);
	assert_int_equal(w->n_finished, 1);
}

static void
test_send_to_a_client_that_went(void **state)
{
	struct world *w = *state;

	connection_pause(&w->c, true);
	connection_send(&w->c, SPAN("250 ok\r\n"));
	(void)close(w->client);
	w->client = -1;
	connection_flush(&w->c);
	assert_int_equal(w->n_gone + w->n_finished, 0); /* not from inside */
	pass_time(w, 0);
	assert_int_equal(w->n_gone + w->n_finished, 1);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_in_and_out),
	    TEST(test_timeouts),
	    TEST(test_pause),
	    TEST(test_input_limit),
	    TEST(test_client_that_reads_nothing),
	    TEST(test_finish),
	    TEST(test_finish_is_bounded),
	    TEST(test_finish_of_a_silent_client),
	    TEST(test_no_memory_while_silent),
	    TEST(test_finish_of_a_slow_reader),
	    TEST(test_send_to_a_client_that_went),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

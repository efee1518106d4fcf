/* A client's connection over loopback, and what becomes of it when the client resets it. */
#include "relay/front/connection.h"
#include "relay/base/err.h"

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { TURNS = 200, TURN_MS = 10 };

static struct loop *loop;
static struct connection c;
static int client, n_gone, n_finished, n_input, n_timeout;

static void
on_input(void *arg)
{
	(void)arg;
	n_input++;
	buf_clear(&c.in);
}

static void
on_gone(void *arg)
{
	(void)arg;
	n_gone++;
	connection_close(&c);
}

static void
on_timeout(void *arg)
{
	(void)arg;
	n_timeout++;
}

static void
on_finished(void *arg)
{
	(void)arg;
	n_finished++;
	connection_close(&c);
}

static const struct connection_events events = {on_input, on_gone, on_timeout, on_finished, NULL};

static int
setup(void **state)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(sa);
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd;

	(void)state;
	must(bind(listener, (struct sockaddr *)&sa, n) == 0 && listen(listener, 1) == 0);
	must(getsockname(listener, (struct sockaddr *)&sa, &n) == 0);
	client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(connect(client, (struct sockaddr *)&sa, n) == 0);
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	must(fd >= 0);
	(void)close(listener);
	n_gone = n_finished = n_input = n_timeout = 0;
	loop = loop_new();
	connection_open(&c, loop, fd, &events, NULL);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	connection_close(&c);
	loop_free(&loop);
	if (client >= 0)
		(void)close(client);
	return 0;
}

static void
reset_client(void)
{
	struct linger at_once = {.l_onoff = 1, .l_linger = 0};

	must(setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)) == 0);
	(void)close(client);
	client = -1;
}

static void
turn_until(const int *count)
{
	for (int i = 0; i < TURNS && *count == 0; i++)
		loop_turn(loop, TURN_MS);
}

static void
test_reset_while_reading(void **state)
{
	(void)state;
	reset_client();
	turn_until(&n_gone);
	assert_int_equal(n_gone, 1);
}

static void
test_reset_while_paused(void **state)
{
	(void)state;
	connection_pause(&c, true);
	reset_client();
	turn_until(&n_gone);
	assert_int_equal(n_gone, 1);
	assert_int_equal(c.fd, -1);
}

/* Input that came before the reset waits for nobody: there is no one to answer. */
static void
test_reset_while_paused_with_input(void **state)
{
	(void)state;
	connection_pause(&c, true);
	assert_int_equal(send(client, "QUIT\r\n", 6, 0), 6);
	reset_client();
	turn_until(&n_gone);
	assert_int_equal(n_gone, 1);
	assert_int_equal(n_input, 0);
}

/* As much output as the kernel takes, and more: the connection lingers for it. */
static void
test_reset_while_finishing(void **state)
{
	static char bytes[CONNECTION_OUT_MAX - 1];
	int small = 4096;

	(void)state;
	must(setsockopt(c.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)) == 0);
	must(setsockopt(client, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)) == 0);
	connection_send(&c, span_of(bytes, sizeof(bytes)));
	connection_finish(&c);
	assert_true(c.out.n > 0);
	loop_turn(loop, 0);
	assert_int_equal(n_finished, 0);
	reset_client();
	turn_until(&n_finished);
	assert_int_equal(n_finished, 1);
	assert_int_equal(n_gone, 0);
}

/* The client has ended its half only: it still reads, and what it has asked for is done. */
static void
test_half_closed_while_paused(void **state)
{
	(void)state;
	connection_pause(&c, true);
	must(shutdown(client, SHUT_WR) == 0);
	for (int i = 0; i < 5; i++)
		loop_turn(loop, 0);
	assert_int_equal(n_gone, 0);
	connection_pause(&c, false);
	turn_until(&n_gone);
	assert_int_equal(n_gone, 1);
}

/* --- the loop itself ------------------------------------------------------------------------------ */

static unsigned seen;
static int n_seen;

static void
on_seen(void *arg, unsigned what)
{
	(void)arg;
	seen |= what;
	n_seen++;
}

static void
test_loop_tells_gone(void **state)
{
	static const struct {
		unsigned wanted, told;
	} rows[] = {
	    {0, LOOP_GONE},
	    {LOOP_READ, LOOP_READ | LOOP_GONE},
	    {LOOP_WRITE, LOOP_WRITE | LOOP_GONE},
	    {LOOP_READ | LOOP_WRITE, LOOP_READ | LOOP_WRITE | LOOP_GONE},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int ends[2];
		struct watch *w;

		must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
		(void)close(ends[1]);
		seen = 0;
		n_seen = 0;
		w = loop_watch(loop, ends[0], rows[i].wanted, on_seen, NULL);
		loop_turn(loop, 0);
		assert_int_equal(n_seen, 1);
		assert_int_equal(seen, rows[i].told);
		watch_remove(&w);
		(void)close(ends[0]);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_reset_while_reading, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_reset_while_paused, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_reset_while_paused_with_input, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_reset_while_finishing, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_half_closed_while_paused, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_loop_tells_gone, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

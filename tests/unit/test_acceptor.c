/* A listener whose process has no descriptors left, and one that has some again. */
#include "relay/process/acceptor.h"
#include "relay/base/clock.h"
#include "relay/base/err.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cmocka.h>

enum { WALL_MS = 1000000 };

static struct loop *loop;
static struct acceptor a;
static int listener, client, held, n_accepted;
static struct rlimit before;
static FILE *log_file;
static int64_t now_ms;

static void
on_accept(void *arg, int fd, const struct sockaddr_storage *sa)
{
	assert_ptr_equal(arg, &a);
	assert_int_equal(sa->ss_family, AF_INET);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	(void)close(fd);
	n_accepted++;
}

static void
connect_client(void)
{
	struct sockaddr_in sa;
	socklen_t n = sizeof(sa);

	must(getsockname(listener, (struct sockaddr *)&sa, &n) == 0);
	client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	must(client >= 0 && connect(client, (struct sockaddr *)&sa, n) == 0);
}

static void
take_descriptors_away(void)
{
	struct rlimit none = before;

	none.rlim_cur = 0; /* those that are open stay so */
	must(setrlimit(RLIMIT_NOFILE, &none) == 0);
}

static void
give_descriptors_back(void)
{
	must(setrlimit(RLIMIT_NOFILE, &before) == 0);
}

static void
advance(int64_t ms)
{
	now_ms += ms;
	clock_fake(now_ms, WALL_MS);
	loop_turn(loop, 0);
}

/* Lines on standard error since the test began. */
static int
count_lines(void)
{
	char bytes[65536];
	ssize_t n = pread(fileno(log_file), bytes, sizeof(bytes), 0);
	int lines = 0;

	for (ssize_t i = 0; i < n; i++)
		lines += bytes[i] == '\n';
	return lines;
}

static int
setup(void **state)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

	(void)state;
	must(getrlimit(RLIMIT_NOFILE, &before) == 0);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	must(bind(listener, (struct sockaddr *)&sa, sizeof(sa)) == 0 && listen(listener, 8) == 0);
	log_file = tmpfile();
	held = dup(STDERR_FILENO);
	must(log_file != NULL && dup2(fileno(log_file), STDERR_FILENO) >= 0);
	n_accepted = 0;
	now_ms += 10 * ACCEPTOR_LOG_MS; /* what an earlier test has complained of is long ago */
	clock_fake(now_ms, WALL_MS);
	loop = loop_new();
	acceptor_open(&a, loop, listener, on_accept, &a);
	connect_client();
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	give_descriptors_back();
	acceptor_close(&a);
	loop_free(&loop);
	clock_fake(0, -1);
	(void)dup2(held, STDERR_FILENO);
	(void)close(held);
	(void)fclose(log_file);
	(void)close(client);
	(void)close(listener);
	return 0;
}

static void
test_accepts(void **state)
{
	(void)state;
	loop_turn(loop, 0);
	assert_int_equal(n_accepted, 1);
	assert_int_equal(count_lines(), 0);
}

static void
test_rests_without_descriptors(void **state)
{
	(void)state;
	take_descriptors_away();
	loop_turn(loop, 0);
	assert_null(a.watch);
	assert_non_null(a.rest);
	assert_int_equal(count_lines(), 1);
	advance(ACCEPTOR_REST_MS - 1);
	assert_null(a.watch);
	give_descriptors_back();
	advance(1); /* the rest is over */
	assert_non_null(a.watch);
	loop_turn(loop, 0);
	assert_int_equal(n_accepted, 1);
}

static void
test_complains_once_a_minute(void **state)
{
	(void)state;
	take_descriptors_away();
	loop_turn(loop, 0);
	for (int ms = ACCEPTOR_REST_MS; ms < ACCEPTOR_LOG_MS; ms += ACCEPTOR_REST_MS) {
		advance(ACCEPTOR_REST_MS);
		loop_turn(loop, 0);
		assert_null(a.watch); /* tried again, and rests again */
	}
	assert_int_equal(count_lines(), 1);
	advance(ACCEPTOR_REST_MS);
	loop_turn(loop, 0);
	assert_int_equal(count_lines(), 2);
	assert_int_equal(n_accepted, 0);
}

static void
test_closed_while_it_rests(void **state)
{
	(void)state;
	take_descriptors_away();
	loop_turn(loop, 0);
	give_descriptors_back();
	acceptor_close(&a);
	advance(ACCEPTOR_REST_MS);
	loop_turn(loop, 0);
	assert_null(a.watch);
	assert_int_equal(n_accepted, 0);
}

/* Another holder of the socket has shut it down: ready for ever, and nobody to accept. */
static void
test_rests_when_shut_down(void **state)
{
	(void)state;
	loop_turn(loop, 0);
	assert_int_equal(n_accepted, 1);
	must(shutdown(listener, SHUT_RDWR) == 0);
	loop_turn(loop, 0);
	assert_null(a.watch);
	assert_int_equal(count_lines(), 1);
	advance(ACCEPTOR_REST_MS);
	loop_turn(loop, 0);
	assert_null(a.watch);
	assert_int_equal(count_lines(), 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_accepts, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_rests_without_descriptors, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_complains_once_a_minute, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_closed_while_it_rests, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_rests_when_shut_down, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A connection inside TLS: any split of the handshake, its time limit, and much to say both ways. */
#include "relay/base/clock.h"
#include "relay/base/mem.h"
#include "relay/front/connection.h"
#include "tests/unit/tls_world.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmocka.h>

enum { TURNS = 8, LARGE = 200000 };

struct world {
	struct loop *loop;
	struct connection c;
	SSL_CTX *server_ctx, *client_ctx;
	struct fake_cert cert;
	SSL *ssl;
	BIO *to_client, *to_server; /* memory: the test moves the bytes */
	int client;
	unsigned n_secure, n_gone, n_timeout, n_finished;
	size_t n_in;
};

static void
on_input(void *arg)
{
	struct world *w = arg;

	w->n_in += w->c.in.n;
	buf_consume(&w->c.in, w->c.in.n);
	connection_flush(&w->c);
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
	connection_finish(&w->c);
}

static void
on_finished(void *arg)
{
	struct world *w = arg;

	w->n_finished++;
	connection_close(&w->c);
}

static void
on_secure(void *arg)
{
	((struct world *)arg)->n_secure++;
}

static const struct connection_events events = {
    on_input, on_gone, on_timeout, on_finished, on_secure};

static int
setup(void **state)
{
	struct world *w = mem_alloc(sizeof(*w));
	int ends[2];

	clock_fake(1000, 1);
	w->loop = loop_new();
	w->cert = fake_cert_new(NULL, "DNS:mx.example", 0, 3600);
	w->server_ctx = fake_server_ctx(&w->cert);
	w->client_ctx = fake_client_ctx(NULL);
	w->ssl = SSL_new(w->client_ctx);
	w->to_client = BIO_new(BIO_s_mem());
	w->to_server = BIO_new(BIO_s_mem());
	SSL_set_bio(w->ssl, w->to_client, w->to_server);
	SSL_set_connect_state(w->ssl);
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
	w->client = ends[1];
	connection_open(&w->c, w->loop, ends[0], &events, w);
	connection_start_tls(&w->c, w->server_ctx);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	connection_close(&w->c);
	if (w->client >= 0)
		(void)close(w->client);
	SSL_free(w->ssl);
	SSL_CTX_free(w->client_ctx);
	SSL_CTX_free(w->server_ctx);
	fake_cert_free(&w->cert);
	loop_free(&w->loop);
	mem_free(w);
	return 0;
}

static void
turn(struct world *w)
{
	for (int i = 0; i < TURNS; i++)
		loop_turn(w->loop, 0);
}

/* Moves what both have to say, `piece` bytes at a time. */
static void
move(struct world *w, size_t piece)
{
	char bytes[65536];
	int n;
	ssize_t got;

	must(piece <= sizeof(bytes));
	while ((n = BIO_read(w->to_server, bytes, (int)piece)) > 0) {
		for (ssize_t sent = 0; sent < n;) {
			ssize_t r = send(w->client, bytes + sent, (size_t)(n - sent), MSG_NOSIGNAL);

			sent += r > 0 ? r : 0;
			turn(w);
		}
	}
	while ((got = recv(w->client, bytes, piece, 0)) > 0) {
		must(BIO_write(w->to_client, bytes, (int)got) == got);
		turn(w);
	}
}

static void
shake(struct world *w, size_t piece)
{
	for (int i = 0; i < 6; i++) {
		(void)SSL_do_handshake(w->ssl); /* goes on as bytes come */
		move(w, piece);
	}
	assert_int_equal(w->n_secure, 1);
	assert_true(SSL_is_init_finished(w->ssl));
}

static void
test_any_split(void **state)
{
	struct world *w = *state;

	shake(w, 1);
	assert_int_equal(SSL_write(w->ssl, "EHLO x\r\n", 8), 8);
	move(w, 1);
	assert_int_equal(w->n_in, 8);
}

static void
test_much_both_ways(void **state)
{
	struct world *w = *state;
	char *bytes = mem_alloc(LARGE), back[4096];
	size_t n_back = 0;
	int small = 4096, n;

	must(setsockopt(w->c.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small)) == 0);
	shake(w, 65536);
	memset(bytes, 'x', LARGE);
	assert_int_equal(SSL_write(w->ssl, bytes, LARGE), LARGE);
	move(w, 65536);
	assert_int_equal(w->n_in, LARGE);
	connection_send(&w->c, span_of(bytes, LARGE));
	connection_flush(&w->c);
	assert_true(w->c.out.n > 0); /* more than fits */
	for (int i = 0; i < LARGE / 1000 && n_back < LARGE; i++) {
		move(w, 4096);
		while ((n = SSL_read(w->ssl, back, sizeof(back))) > 0)
			n_back += (size_t)n;
	}
	assert_int_equal(n_back, LARGE);
	mem_free(bytes);
}

/* However often bytes come, the handshake has its time and no more. */
static void
test_slow_handshake(void **state)
{
	static const char hello[] = "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03";
	struct world *w = *state;

	for (int i = 0; i < 10; i++) {
		assert_int_equal(send(w->client, hello + i, 1, 0), 1);
		clock_fake(1000 + (i + 1) * CONNECTION_HANDSHAKE_MS / 10 - (i == 9), 1);
		turn(w);
	}
	assert_int_equal(w->n_timeout, 0);
	connection_expect(&w->c, 1000000); /* nobody can give it more */
	clock_fake(1000 + CONNECTION_HANDSHAKE_MS, 1);
	turn(w);
	assert_int_equal(w->n_timeout, 1);
	assert_int_equal(w->n_finished, 1);
}

/* What is sent and brings nothing does not keep the others waiting: some of it in each turn. */
static void
test_flood_of_key_updates(void **state)
{
	enum { UPDATES = 1000 };
	struct world *w = *state;
	char bytes[UPDATES * 64];
	int n, left, before;

	shake(w, 65536);
	for (int i = 0; i < UPDATES; i++) {
		assert_int_equal(SSL_key_update(w->ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
		assert_int_equal(SSL_do_handshake(w->ssl), 1);
	}
	n = BIO_read(w->to_server, bytes, sizeof(bytes));
	assert_int_equal(send(w->client, bytes, (size_t)n, 0), n);
	loop_turn(w->loop, 0);
	must(ioctl(w->c.fd, FIONREAD, &before) == 0);
	assert_true(before > n / 2);
	for (int i = 0; i < UPDATES; i++)
		loop_turn(w->loop, 0);
	must(ioctl(w->c.fd, FIONREAD, &left) == 0);
	assert_int_equal(left, 0);
	assert_int_equal(SSL_write(w->ssl, "NOOP\r\n", 6), 6);
	move(w, 65536);
	assert_int_equal(w->n_in, 6);
}

/* The longest ClientHello is not kept for who never ends it. */
static void
test_huge_hello(void **state)
{
	/* A record with the beginning of a ClientHello of 128 KiB. */
	static const char first[] = "\x16\x03\x01\x40\x00\x01\x02\x00\x00\x03\x03",
			  next[] = "\x16\x03\x01\x40\x00";
	static const char zeros[16384];
	struct world *w = *state;
	size_t n = sizeof(first) - 1, sent = 0;

	assert_int_equal(send(w->client, first, n, 0), n);
	for (n = sizeof(zeros) - n + 5; w->n_gone == 0 && sent < 100000; n = sizeof(zeros)) {
		ssize_t r = send(w->client, zeros, n, MSG_NOSIGNAL);

		sent += r > 0 ? (size_t)r : 0;
		if (r > 0)
			(void)send(w->client, next, 5, MSG_NOSIGNAL); /* it has gone, perhaps */
		turn(w);
	}
	assert_int_equal(w->n_gone, 1);
	assert_true(sent <= 4 * sizeof(zeros));
	assert_int_equal(w->n_secure, 0);
}

static void
test_nothing_in_the_clear_meanwhile(void **state)
{
	struct world *w = *state;
	char byte;

	connection_send(&w->c, SPAN("421 no\r\n"));
	connection_flush(&w->c);
	turn(w);
	assert_int_equal(recv(w->client, &byte, 1, 0), -1);
	shake(w, 65536);
}

static void
test_garbage_and_cuts(void **state)
{
	struct world *w = *state;

	assert_int_equal(send(w->client, "EHLO x\r\n", 8, 0), 8);
	turn(w);
	assert_int_equal(w->n_gone, 1);
	assert_int_equal(w->n_secure, 0);
}

static void
test_client_says_goodbye(void **state)
{
	struct world *w = *state;

	shake(w, 65536);
	assert_int_equal(SSL_write(w->ssl, "QUIT\r\n", 6), 6);
	(void)SSL_shutdown(w->ssl); /* in the same piece as the command */
	move(w, 65536);
	assert_int_equal(w->n_in, 6);
	assert_int_equal(w->n_gone, 1);
}

static void
test_we_say_goodbye(void **state)
{
	struct world *w = *state;
	char bytes[100];

	shake(w, 65536);
	connection_send(&w->c, SPAN("221 bye\r\n"));
	connection_finish(&w->c);
	move(w, 65536);
	assert_int_equal(SSL_read(w->ssl, bytes, sizeof(bytes)), 9);
	assert_int_equal(SSL_read(w->ssl, bytes, sizeof(bytes)), 0);
	assert_int_equal(SSL_get_shutdown(w->ssl), SSL_RECEIVED_SHUTDOWN);
	(void)close(w->client);
	w->client = -1;
	turn(w);
	assert_int_equal(w->n_finished, 1);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_any_split),
	    TEST(test_much_both_ways),
	    TEST(test_slow_handshake),
	    TEST(test_flood_of_key_updates),
	    TEST(test_huge_hello),
	    TEST(test_nothing_in_the_clear_meanwhile),
	    TEST(test_garbage_and_cuts),
	    TEST(test_client_says_goodbye),
	    TEST(test_we_say_goodbye),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

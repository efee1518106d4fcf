/* A TLS connection over a socketpair, both ends ours: handshakes that succeed and fail, bytes in
 * both directions through small socket buffers, and every kind of end. */
#include "relay/base/mem.h"
#include "relay/tls/tls.h"
#include "tests/unit/tls_world.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

enum { STEPS_MAX = 10000, DAY_S = 86400 };

static struct fake_cert authority, other_authority;

struct pair {
	int fds[2];
	SSL_CTX *server_ctx, *client_ctx;
	struct tls *server, *client;
};

static void
open_pair(
    struct pair *p, const struct fake_cert *cert, const struct fake_cert *trusted, struct span name)
{
	assert_int_equal(
	    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, p->fds), 0);
	p->server_ctx = fake_server_ctx(cert);
	p->client_ctx = fake_client_ctx(trusted);
	p->server = tls_new_server(p->server_ctx, p->fds[0]);
	p->client = tls_new_client(p->client_ctx, p->fds[1], name);
}

static void
close_pair(struct pair *p)
{
	tls_free(&p->server);
	tls_free(&p->client);
	SSL_CTX_free(p->server_ctx);
	SSL_CTX_free(p->client_ctx);
	(void)close(p->fds[0]);
	(void)close(p->fds[1]);
}

/* Both sides until neither waits any more; what the client came to. */
static enum tls_wait
shake_hands(struct pair *p, enum tls_wait *server)
{
	enum tls_wait client = TLS_WANT_WRITE;

	*server = TLS_WANT_READ;
	for (int i = 0; i < STEPS_MAX; i++) {
		if (client != TLS_DONE && client != TLS_FAILED)
			client = tls_handshake(p->client);
		if (*server != TLS_DONE && *server != TLS_FAILED)
			*server = tls_handshake(p->server);
		if ((client == TLS_DONE && *server == TLS_DONE) || client == TLS_FAILED)
			return client;
	}
	fail_msg("the handshake has no end");
	return TLS_FAILED;
}

static const struct {
	const char *names, *name; /* the certificate's, the one asked for */
	bool is_verified, is_expired, is_stranger;
	const char *why; /* NULL: succeeds */
} handshakes[] = {
    {"DNS:mx.example", "mx.example", false, false, false, NULL},
    {"DNS:mx.example", "mx.example", true, false, false, NULL},
    {"DNS:*.corp.example", "mx.corp.example", true, false, false, NULL},
    {"DNS:m*.corp.example", "mx.corp.example", true, false, false, "hostname mismatch"},
    {"IP:192.0.2.7", "192.0.2.7", true, false, false, NULL},
    {"IP:2001:db8::7", "2001:db8::7", true, false, false, NULL},
    {"DNS:mx.example", "192.0.2.7", true, false, false, "IP address mismatch"},
    {"DNS:mx.example", "mx.other", true, false, false, "hostname mismatch"},
    {"DNS:mx.example", "mx.other", false, false, false, NULL},
    {"DNS:mx.example", "mx.example", true, true, false, "certificate has expired"},
    {"DNS:mx.example", "mx.example", false, true, false, NULL},
    {"DNS:mx.example", "mx.example", true, false, true, "unable to get local issuer certificate"},
    {"DNS:mx.example", "mx.example", false, false, true, NULL},
};

static void
test_handshakes(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(handshakes) / sizeof(handshakes[0]); i++) {
		struct fake_cert cert =
		    fake_cert_new(handshakes[i].is_stranger ? &other_authority : &authority,
			handshakes[i].names, -2 * DAY_S, handshakes[i].is_expired ? -DAY_S : DAY_S);
		struct pair p;
		enum tls_wait server, client;

		open_pair(&p, &cert, handshakes[i].is_verified ? &authority : NULL,
		    span_str(handshakes[i].name));
		assert_int_equal(tls_version(p.client).n, 0);
		assert_int_equal(tls_cipher(p.client).n, 0);
		client = shake_hands(&p, &server);
		if (handshakes[i].why == NULL) {
			if (client != TLS_DONE || server != TLS_DONE)
				fail_msg("case %zu: %s", i, tls_why(p.client));
			assert_true(span_eq(tls_version(p.client), SPAN("TLSv1.3")));
			assert_true(span_eq(tls_cipher(p.client), tls_cipher(p.server)));
			assert_false(tls_is_resumed(p.client));
		} else {
			assert_int_equal(client, TLS_FAILED);
			if (strcmp(tls_why(p.client), handshakes[i].why) != 0)
				fail_msg("case %zu: %s", i, tls_why(p.client));
		}
		close_pair(&p);
		fake_cert_free(&cert);
	}
}

static void
open_talking(struct pair *p)
{
	struct fake_cert cert = fake_cert_new(&authority, "DNS:mx.example", 0, DAY_S);
	enum tls_wait server;

	open_pair(p, &cert, &authority, SPAN("mx.example"));
	assert_int_equal(shake_hands(p, &server), TLS_DONE);
	assert_int_equal(server, TLS_DONE);
	fake_cert_free(&cert);
}

/* More than the socket takes at once, with the reader far behind. */
static void
carry(struct tls *from, struct tls *to)
{
	enum { SIZE = 1000000, PIECE = 7000 };
	char *text = mem_alloc(SIZE), *got = mem_alloc(SIZE);
	size_t sent = 0, received = 0;
	bool has_waited = false, is_cut;
	enum tls_wait wait;

	for (size_t i = 0; i < SIZE; i++)
		text[i] = (char)(i * 31 >> 3);
	for (int i = 0; i < STEPS_MAX && received < SIZE; i++) {
		ssize_t n = sent < SIZE ? tls_write(from, text + sent, SIZE - sent, &wait) : 0;

		if (n > 0) {
			sent += (size_t)n;
			continue;
		}
		has_waited |= n < 0 && wait == TLS_WANT_WRITE;
		n = tls_read(to, got + received, SIZE - received < PIECE ? SIZE - received : PIECE,
		    &wait, &is_cut);
		if (n > 0)
			received += (size_t)n;
		else
			assert_true(n < 0 && wait == TLS_WANT_READ && !tls_has_pending(to));
	}
	assert_int_equal(received, SIZE);
	assert_true(has_waited);
	assert_memory_equal(text, got, SIZE);
	mem_free(text);
	mem_free(got);
}

static void
test_bytes(void **state)
{
	struct pair p;

	(void)state;
	open_talking(&p);
	carry(p.client, p.server);
	carry(p.server, p.client);
	close_pair(&p);
}

static void
test_pending(void **state)
{
	struct pair p;
	enum tls_wait wait;
	char to[8];
	bool is_cut;

	(void)state;
	open_talking(&p);
	assert_int_equal(tls_write(p.client, "twelve bytes", 12, &wait), 12);
	assert_false(tls_has_pending(p.server));
	assert_int_equal(tls_read(p.server, to, sizeof(to), &wait, &is_cut), 8);
	assert_true(tls_has_pending(p.server));
	assert_int_equal(tls_read(p.server, to, sizeof(to), &wait, &is_cut), 4);
	assert_false(tls_has_pending(p.server));
	close_pair(&p);
}

static void
test_ends(void **state)
{
	struct pair p;
	enum tls_wait wait;
	char to[8];
	bool is_cut = true;

	(void)state;
	open_talking(&p);
	tls_bye(p.client);
	assert_int_equal(tls_read(p.server, to, sizeof(to), &wait, &is_cut), 0);
	assert_false(is_cut);
	close_pair(&p);

	open_talking(&p);
	assert_int_equal(shutdown(p.fds[1], SHUT_WR), 0);
	assert_int_equal(tls_read(p.server, to, sizeof(to), &wait, &is_cut), 0);
	assert_true(is_cut);
	close_pair(&p);

	open_talking(&p);
	assert_int_equal(send(p.fds[1], "plain text, no record\r\n", 23, 0), 23);
	assert_int_equal(tls_read(p.server, to, sizeof(to), &wait, &is_cut), -1);
	assert_int_equal(wait, TLS_FAILED);
	assert_true(tls_why(p.server)[0] != '\0');
	close_pair(&p);
}

/* A peer that is gone costs an error, not the process. */
static void
test_no_sigpipe(void **state)
{
	struct pair p;
	enum tls_wait wait;

	(void)state;
	(void)signal(SIGPIPE, SIG_DFL);
	open_talking(&p);
	assert_int_equal(shutdown(p.fds[1], SHUT_RDWR), 0);
	assert_int_equal(tls_write(p.server, "x", 1, &wait), -1);
	assert_int_equal(wait, TLS_FAILED);
	assert_string_equal(tls_why(p.server), "Broken pipe");
	tls_bye(p.server);
	close_pair(&p);
}

static void
test_no_tls(void **state)
{
	struct fake_cert cert = fake_cert_new(&authority, "DNS:mx.example", 0, DAY_S);
	struct pair p;

	(void)state;
	open_pair(&p, &cert, NULL, SPAN("mx.example"));
	assert_int_equal(tls_handshake(p.client), TLS_WANT_READ);
	assert_int_equal(send(p.fds[0], "454 4.7.0 not now\r\n", 19, 0), 19);
	assert_int_equal(tls_handshake(p.client), TLS_FAILED);
	assert_string_equal(tls_why(p.client), "wrong version number");
	close_pair(&p);

	open_pair(&p, &cert, NULL, SPAN("mx.example"));
	assert_int_equal(tls_handshake(p.client), TLS_WANT_READ);
	assert_int_equal(shutdown(p.fds[0], SHUT_WR), 0);
	assert_int_equal(tls_handshake(p.client), TLS_FAILED);
	assert_string_equal(tls_why(p.client), "connection closed by the other side");
	close_pair(&p);
	fake_cert_free(&cert);
}

static int
make_authorities(void **state)
{
	(void)state;
	authority = fake_cert_new(NULL, NULL, -3 * DAY_S, 3 * DAY_S);
	other_authority = fake_cert_new(NULL, NULL, -3 * DAY_S, 3 * DAY_S);
	return 0;
}

static int
drop_authorities(void **state)
{
	(void)state;
	fake_cert_free(&authority);
	fake_cert_free(&other_authority);
	return 0;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_handshakes),
	    cmocka_unit_test(test_bytes),
	    cmocka_unit_test(test_pending),
	    cmocka_unit_test(test_ends),
	    cmocka_unit_test(test_no_sigpipe),
	    cmocka_unit_test(test_no_tls),
	};

	return cmocka_run_group_tests(tests, make_authorities, drop_authorities);
}

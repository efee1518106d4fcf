/*
 * The server's side of TLS with its keys elsewhere: handshakes over a socket pair with a signer that
 * the test owns, certificates by name, tickets and their age.
 */
#include "relay/tls/server.h"
#include "relay/base/clock.h"
#include "relay/base/mem.h"
#include "relay/key/keyring.h"
#include "relay/tls/remote_key.h"
#include "tests/unit/tls_world.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

enum { STEPS = 50, ASKED_MAX = TLS_JOBS_MAX + 8 };

static struct keyring *keyring;
static struct fake_cert ec, rsa, other;
static char *texts[3];
static bool is_key_away, is_key_late;
static unsigned n_signed, n_dropped, n_asked;
static struct remote_signing *asked[ASKED_MAX];

static void
answer(struct remote_signing *s)
{
	struct buf b = BUF_INIT(2048);
	int r = is_key_away ? -E_CLOSED
			    : keyring_sign(keyring, span_of(s->fingerprint, REMOTE_FINGERPRINT),
				  s->scheme, s->content, &b);

	remote_key_answer(s, r, buf_span(&b));
	buf_free(&b);
}

static void
ask(void *arg, struct remote_signing *s)
{
	(void)arg;
	n_signed++;
	if (!is_key_late) {
		answer(s);
		return;
	}
	assert_true(n_asked < ASKED_MAX);
	asked[n_asked++] = s;
}

static void
drop(void *arg, struct remote_signing *s)
{
	(void)arg;
	for (unsigned i = 0; i < n_asked; i++)
		if (asked[i] == s) {
			asked[i] = asked[--n_asked];
			n_dropped++;
			return;
		}
	fail_msg("what is dropped was not asked");
}

static const struct remote_key_asker asker = {ask, drop};

/* The oldest of those that wait. */
static void
answer_one(void)
{
	struct remote_signing *s = asked[0];

	assert_true(n_asked > 0);
	memmove(&asked[0], &asked[1], --n_asked * sizeof(asked[0]));
	answer(s);
}

static char *
written(BIO *bio)
{
	char *p, *copy;
	long n = BIO_get_mem_data(bio, &p);

	copy = mem_dup(span_of(p, (size_t)n));
	BIO_free(bio);
	return copy;
}

/* Into the keyring; its certificate as PEM. */
static char *
take(const struct fake_cert *c)
{
	BIO *certificate = BIO_new(BIO_s_mem()), *key = BIO_new(BIO_s_mem());
	struct err err = {0};
	char *pem, *secret;

	must(PEM_write_bio_X509(certificate, c->x509) == 1 &&
	     PEM_write_bio_PrivateKey(key, c->key, NULL, NULL, 0, NULL, NULL) == 1);
	pem = written(certificate);
	secret = written(key);
	assert_int_equal(keyring_add(keyring, span_str(pem), "c", span_str(secret), "k", &err), 0);
	mem_free(secret);
	return pem;
}

static int
group_setup(void **state)
{
	struct err err = {0};

	(void)state;
	must(remote_key_setup(&asker, NULL, &err) == 0);
	keyring = keyring_new();
	ec = fake_cert_new(NULL, "DNS:mx.example", 0, 3600);
	other = fake_cert_new(NULL, "DNS:other.example", 0, 3600);
	rsa = fake_cert_new(NULL, "DNS:mx.example", 0, 3600);
	EVP_PKEY_free(rsa.key);
	rsa.key = EVP_RSA_gen(2048);
	must(X509_set_pubkey(rsa.x509, rsa.key) == 1 &&
	     X509_sign(rsa.x509, rsa.key, EVP_sha256()) > 0);
	texts[0] = take(&ec);
	texts[1] = take(&rsa);
	texts[2] = take(&other);
	return 0;
}

static int
group_teardown(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++)
		mem_free(texts[i]);
	keyring_free(&keyring);
	fake_cert_free(&ec);
	fake_cert_free(&rsa);
	fake_cert_free(&other);
	return 0;
}

static SSL_CTX *
serve(size_t n, bool is_13_only, struct tls_tickets *tickets)
{
	static const char *const files[] = {"ec", "rsa", "other"};
	struct span chains[3];
	struct err err = {0};
	SSL_CTX *ctx;

	for (size_t i = 0; i < n; i++)
		chains[i] = span_str(texts[i]);
	ctx = tls_server_new(chains, files, n, is_13_only, tickets, &err);
	assert_non_null(ctx);
	return ctx;
}

struct pair {
	struct tls *server;
	SSL *client;
	int ends[2];
	bool is_done;
};

/* One handshake, and a byte each way so that tickets arrive. */
static void
shake(struct pair *p, SSL_CTX *server, SSL_CTX *client, const char *name, SSL_SESSION *session)
{
	enum tls_wait wait = TLS_WANT_READ;
	int r = 0;
	char byte;
	bool is_cut;

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, p->ends) == 0);
	p->server = tls_new_server(server, p->ends[0]);
	p->client = SSL_new(client);
	must(SSL_set_fd(p->client, p->ends[1]) == 1);
	if (name != NULL)
		must(SSL_set_tlsext_host_name(p->client, name) == 1);
	if (session != NULL)
		must(SSL_set_session(p->client, session) == 1);
	for (int i = 0; i < STEPS && wait != TLS_FAILED && (wait != TLS_DONE || r != 1); i++) {
		if (r != 1)
			r = SSL_connect(p->client);
		if (wait != TLS_DONE)
			wait = tls_handshake(p->server);
	}
	p->is_done = wait == TLS_DONE && r == 1;
	if (!p->is_done)
		return;
	assert_int_equal(tls_write(p->server, "x", 1, &wait), 1);
	assert_int_equal(SSL_read(p->client, &byte, 1), 1);
	assert_int_equal(SSL_write(p->client, "y", 1), 1);
	assert_int_equal(tls_read(p->server, &byte, 1, &wait, &is_cut), 1);
	assert_int_equal(byte, 'y');
}

static void
part(struct pair *p)
{
	SSL_shutdown(p->client); /* a session that was cut is not resumed */
	SSL_free(p->client);
	tls_free(&p->server);
	(void)close(p->ends[0]);
	(void)close(p->ends[1]);
}

/* --- signatures that come later ------------------------------------------------------------------ */

/* A handshake that goes as far as it can. */
struct late {
	struct pair p;
	enum tls_wait wait;
	unsigned n_go_on;
	int r;
};

static void
on_go_on(void *arg)
{
	((struct late *)arg)->n_go_on++;
}

static void
late_step(struct late *l)
{
	for (int i = 0; i < STEPS && l->wait != TLS_WANT_KEY && l->wait != TLS_FAILED &&
			(l->wait != TLS_DONE || l->r != 1);
	     i++) {
		if (l->r != 1)
			l->r = SSL_connect(l->p.client);
		if (l->wait != TLS_DONE)
			l->wait = tls_handshake(l->p.server);
	}
}

static void
late_begin(struct late *l, SSL_CTX *server, SSL_CTX *client)
{
	*l = (struct late){.wait = TLS_WANT_READ};
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, l->p.ends) == 0);
	l->p.server = tls_new_server(server, l->p.ends[0]);
	tls_sign_later(l->p.server, on_go_on, l);
	l->p.client = SSL_new(client);
	must(SSL_set_fd(l->p.client, l->p.ends[1]) == 1);
	late_step(l);
}

/* Called when go_on was. */
static void
late_go_on(struct late *l)
{
	assert_int_equal(l->wait, TLS_WANT_KEY);
	assert_int_equal(l->n_go_on, 1);
	l->n_go_on = 0;
	l->wait = TLS_WANT_READ;
	late_step(l);
}

static void
test_late_signatures(void **state)
{
	struct tls_tickets *tickets = tls_tickets_new();
	SSL_CTX *server = serve(2, false, tickets);
	static struct late l[8];

	(void)state;
	is_key_late = true;
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		SSL_CTX *client = fake_client_ctx(NULL);

		must(SSL_CTX_set_max_proto_version(client, version) == 1);
		/* All of them begin, and then end one by one: done, and one with the key away. */
		for (size_t i = 0; i < 8; i++) {
			late_begin(&l[i], server, client);
			assert_int_equal(l[i].wait, TLS_WANT_KEY);
		}
		assert_int_equal(n_asked, 8);
		assert_int_equal(tls_jobs(), 8);
		for (size_t i = 0; i < 8; i++) {
			is_key_away = i == 3;
			answer_one();
			late_go_on(&l[i]);
			assert_int_equal(l[i].wait, i == 3 ? TLS_FAILED : TLS_DONE);
			assert_int_equal(l[i].r == 1, i != 3);
			assert_int_equal(tls_jobs(), 7 - i);
		}
		is_key_away = false;
		for (size_t i = 0; i < 8; i++)
			part(&l[i].p);
		SSL_CTX_free(client);
	}
	assert_int_equal(n_dropped, 0);
	is_key_late = false;
	tls_server_free(&server);
	tls_tickets_free(&tickets);
}

/* The client has gone, or its time is over, before the answer: it is dropped, or comes to nothing. */
static void
test_gone_before_its_signature(void **state)
{
	struct tls_tickets *tickets = tls_tickets_new();
	SSL_CTX *server = serve(2, false, tickets);
	struct late l;
	char byte;

	(void)state;
	is_key_late = true;
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++)
		for (int is_answered = 0; is_answered < 2; is_answered++) {
			SSL_CTX *client = fake_client_ctx(NULL);

			n_dropped = 0;
			must(SSL_CTX_set_max_proto_version(client, version) == 1);
			late_begin(&l, server, client);
			assert_int_equal(tls_jobs(), 1);
			if (is_answered)
				answer_one();
			tls_free(&l.p.server);
			assert_int_equal(tls_jobs(), 0);
			assert_int_equal(n_dropped, !is_answered);
			assert_int_equal(recv(l.p.ends[1], &byte, 1, 0), -1); /* not a word */
			part(&l.p);
			SSL_CTX_free(client);
		}
	assert_int_equal(n_asked, 0);
	is_key_late = false;
	tls_server_free(&server);
	tls_tickets_free(&tickets);
}

/* More than there are jobs: these get their turn when others end, also those that end otherwise. */
static void
test_more_than_jobs(void **state)
{
	enum { MORE = 6, ALL = TLS_JOBS_MAX + MORE };
	struct tls_tickets *tickets = tls_tickets_new();
	SSL_CTX *server = serve(2, false, tickets), *client = fake_client_ctx(NULL);
	struct late *l = mem_array(ALL, sizeof(*l));

	(void)state;
	is_key_late = true;
	n_dropped = 0;
	for (size_t i = 0; i < ALL; i++)
		late_begin(&l[i], server, client);
	assert_int_equal(n_asked, TLS_JOBS_MAX);
	assert_int_equal(tls_jobs(), TLS_JOBS_MAX);
	tls_free(&l[TLS_JOBS_MAX].p.server); /* one that waits for its turn goes */
	for (size_t i = 0; i < 2; i++) {     /* two signatures: two turns, in order */
		answer_one();
		late_go_on(&l[i]);
		assert_int_equal(l[i].wait, TLS_DONE);
		late_go_on(&l[TLS_JOBS_MAX + 1 + i]);
		assert_int_equal(l[TLS_JOBS_MAX + 1 + i].wait, TLS_WANT_KEY);
	}
	assert_int_equal(tls_jobs(), TLS_JOBS_MAX);
	tls_free(&l[2].p.server); /* one that is paused goes: another turn */
	assert_int_equal(n_dropped, 1);
	assert_int_equal(l[TLS_JOBS_MAX + 3].n_go_on, 1);
	SSL_free(
	    l[TLS_JOBS_MAX + 3].p.client); /* whose client has gone: the turn goes on to the next */
	l[TLS_JOBS_MAX + 3].p.client = SSL_new(client);
	(void)shutdown(l[TLS_JOBS_MAX + 3].p.ends[1], SHUT_RDWR);
	tls_free(&l[TLS_JOBS_MAX + 3].p.server);
	assert_int_equal(l[TLS_JOBS_MAX + 4].n_go_on, 1);
	while (n_asked > 0)
		answer_one();
	for (size_t i = 0; i < ALL; i++)
		for (int k = 0; k < 2 && l[i].p.server != NULL && l[i].wait == TLS_WANT_KEY; k++) {
			late_go_on(&l[i]);
			if (l[i].wait == TLS_WANT_KEY)
				answer_one();
		}
	for (size_t i = 0; i < ALL; i++) {
		if (l[i].p.server != NULL)
			assert_int_equal(l[i].wait, TLS_DONE);
		part(&l[i].p);
	}
	assert_int_equal(tls_jobs(), 0);
	is_key_late = false;
	mem_free(l);
	SSL_CTX_free(client);
	tls_server_free(&server);
	tls_tickets_free(&tickets);
}

static void
test_versions_and_kinds(void **state)
{
	static const struct {
		int version;
		const char *ciphers, *signatures;
		const struct fake_cert *shown; /* NULL: no handshake */
	} rows[] = {
	    {TLS1_3_VERSION, NULL, NULL, &ec},
	    {TLS1_3_VERSION, NULL, "RSA-PSS+SHA256", &rsa},
	    {TLS1_3_VERSION, NULL, "RSA-PSS+SHA512", &rsa},
	    {TLS1_2_VERSION, NULL, NULL, &ec},
	    {TLS1_2_VERSION, "aRSA", NULL, &rsa},
	    {TLS1_2_VERSION, "aRSA", "RSA+SHA384", &rsa},
	    {TLS1_2_VERSION, "ECDHE-ECDSA-AES128-SHA", NULL, &ec},
	    {TLS1_2_VERSION, "kRSA", NULL, NULL},
	    {TLS1_2_VERSION, "DHE-RSA-AES128-GCM-SHA256", NULL, NULL},
	    {TLS1_1_VERSION, "ALL:@SECLEVEL=0", NULL, NULL},
	};
	struct tls_tickets *tickets = tls_tickets_new();
	SSL_CTX *server = serve(2, false, tickets);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		SSL_CTX *client = fake_client_ctx(NULL);
		struct pair p = {0};

		must(SSL_CTX_set_min_proto_version(client, rows[i].version) == 1 &&
		     SSL_CTX_set_max_proto_version(client, rows[i].version) == 1);
		if (rows[i].ciphers != NULL)
			must(SSL_CTX_set_cipher_list(client, rows[i].ciphers) == 1);
		if (rows[i].signatures != NULL)
			must(SSL_CTX_set1_sigalgs_list(client, rows[i].signatures) == 1);
		shake(&p, server, client, "mx.example", NULL);
		if (p.is_done != (rows[i].shown != NULL))
			fail_msg("row %zu: %s", i, tls_why(p.server));
		if (p.is_done)
			assert_int_equal(
			    X509_cmp(SSL_get0_peer_certificate(p.client), rows[i].shown->x509), 0);
		part(&p);
		SSL_CTX_free(client);
	}
	tls_server_free(&server);
	server = serve(1, true, tickets);
	SSL_CTX *client = fake_client_ctx(NULL);
	struct pair p = {0};

	must(SSL_CTX_set_max_proto_version(client, TLS1_2_VERSION) == 1);
	shake(&p, server, client, NULL, NULL);
	assert_false(p.is_done);
	part(&p);
	SSL_CTX_free(client);
	tls_server_free(&server);
	assert_null(server);
	tls_tickets_free(&tickets);
}

static void
test_names(void **state)
{
	static const struct {
		const char *name;
		const struct fake_cert *shown;
	} rows[] = {{"mx.example", &ec}, {"MX.example", &ec}, {"other.example", &other},
	    {"stranger.example", &ec}, {NULL, &ec}};
	struct tls_tickets *tickets = tls_tickets_new();
	SSL_CTX *server = serve(3, false, tickets), *client = fake_client_ctx(NULL);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct pair p = {0};

		shake(&p, server, client, rows[i].name, NULL);
		assert_true(p.is_done);
		assert_int_equal(
		    X509_cmp(SSL_get0_peer_certificate(p.client), rows[i].shown->x509), 0);
		part(&p);
	}
	SSL_CTX_free(client);
	tls_server_free(&server);
	tls_tickets_free(&tickets);
}

static void
test_key_is_away(void **state)
{
	struct tls_tickets *tickets = tls_tickets_new();
	SSL_CTX *server = serve(2, false, tickets), *client = fake_client_ctx(NULL);

	(void)state;
	for (int i = 0; i < 2; i++) {
		struct pair p = {0};

		is_key_away = i == 0;
		shake(&p, server, client, NULL, NULL);
		assert_int_equal(p.is_done, !is_key_away);
		part(&p);
	}
	SSL_CTX_free(client);
	tls_server_free(&server);
	tls_tickets_free(&tickets);
}

/* The contexts go while a handshake runs. */
static void
test_reload_under_a_handshake(void **state)
{
	struct tls_tickets *tickets = tls_tickets_new();
	SSL_CTX *server = serve(3, false, tickets), *client = fake_client_ctx(NULL);
	struct tls *t;
	SSL *ssl;
	int ends[2], r = 0;

	(void)state;
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) == 0);
	t = tls_new_server(server, ends[0]);
	tls_server_free(&server);
	ssl = SSL_new(client);
	must(SSL_set_fd(ssl, ends[1]) == 1 && SSL_set_tlsext_host_name(ssl, "other.example") == 1);
	for (int i = 0; i < STEPS && r != 1; i++) {
		r = SSL_connect(ssl);
		(void)tls_handshake(t);
	}
	assert_int_equal(r, 1);
	assert_int_equal(X509_cmp(SSL_get0_peer_certificate(ssl), other.x509), 0);
	SSL_free(ssl);
	tls_free(&t);
	SSL_CTX_free(client);
	tls_tickets_free(&tickets);
	(void)close(ends[0]);
	(void)close(ends[1]);
}

/* A session that begins at `at_ms`, and what a return at each later time comes to. */
static void
check_ticket(int version, int64_t return_ms, bool is_resumed)
{
	struct tls_tickets *tickets;
	SSL_CTX *server, *client = fake_client_ctx(NULL);
	struct pair p = {0}, again = {0};
	SSL_SESSION *session;
	unsigned before;

	clock_fake(1000, 1700000000000);
	tickets = tls_tickets_new();
	server = serve(2, false, tickets);
	must(SSL_CTX_set_max_proto_version(client, version) == 1);
	shake(&p, server, client, "mx.example", NULL);
	assert_true(p.is_done);
	session = SSL_get1_session(p.client);
	part(&p);
	before = n_signed;
	clock_fake(1000 + return_ms, 1700000000000 + return_ms);
	shake(&again, server, client, "mx.example", session);
	assert_true(again.is_done);
	assert_int_equal(tls_is_resumed(again.server), is_resumed);
	assert_int_equal(n_signed - before, is_resumed ? 0 : 1);
	part(&again);
	SSL_SESSION_free(session);
	SSL_CTX_free(client);
	tls_server_free(&server);
	tls_tickets_free(&tickets);
	clock_fake(0, -1);
}

static void
test_tickets(void **state)
{
	(void)state;
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		check_ticket(version, 0, true);
		check_ticket(version, TLS_TICKET_ROTATE_MS - 1, true);
		check_ticket(version, TLS_TICKET_ROTATE_MS, true); /* by the key before */
		check_ticket(version, 2 * TLS_TICKET_ROTATE_MS, false);
	}
}

/* Two that read one table, as fronts do: a ticket of one is good at the other; turned by a third. */
static void
test_tickets_of_another(void **state)
{
	static _Alignas(8) char table[TLS_TICKETS_BYTES];

	(void)state;
	for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		struct tls_tickets *tickets[2] = {tls_tickets_over(table), tls_tickets_over(table)};
		SSL_CTX *servers[2] = {serve(2, false, tickets[0]), serve(2, false, tickets[1])};
		SSL_CTX *client = fake_client_ctx(NULL);
		struct pair p = {0}, again = {0};
		SSL_SESSION *session;

		memset(table, 0, sizeof(table));
		clock_fake(1000, 1700000000000);
		assert_int_equal(tls_tickets_turn(table), TLS_TICKET_ROTATE_MS);
		must(SSL_CTX_set_max_proto_version(client, version) == 1);
		shake(&p, servers[0], client, "mx.example", NULL);
		assert_true(p.is_done);
		session = SSL_get1_session(p.client);
		part(&p);
		for (int turn = 0; turn < 4; turn++) {
			clock_fake(1000 + turn * TLS_TICKET_ROTATE_MS, 1700000000000);
			if (turn !=
			    2) /* whoever turns is away: what is too old is so all the same */
				(void)tls_tickets_turn(table); /* test_tickets_turn looks */
			shake(&again, servers[1 - turn % 2], client, "mx.example", session);
			assert_true(again.is_done);
			assert_int_equal(tls_is_resumed(again.server), turn < 2);
			part(&again);
			again = (struct pair){0};
		}
		SSL_SESSION_free(session);
		SSL_CTX_free(client);
		for (int i = 0; i < 2; i++) {
			tls_server_free(&servers[i]);
			tls_tickets_free(&tickets[i]);
		}
	}
	clock_fake(0, -1);
}

/* When the next key is due, and that one is wiped when its time is over. */
static void
test_tickets_turn(void **state)
{
	static const struct {
		int64_t at_ms, due_ms;
	} rows[] = {{1000, TLS_TICKET_ROTATE_MS}, {1000, TLS_TICKET_ROTATE_MS},
	    {61000, TLS_TICKET_ROTATE_MS - 60000}, {1000 + TLS_TICKET_ROTATE_MS - 1, 1},
	    {1000 + TLS_TICKET_ROTATE_MS, TLS_TICKET_ROTATE_MS},
	    {1000 + 5 * (int64_t)TLS_TICKET_ROTATE_MS, TLS_TICKET_ROTATE_MS}};
	static _Alignas(8) char table[TLS_TICKETS_BYTES];
	static const char nothing[16];
	char first[sizeof(table)];
	size_t n_left = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		clock_fake(rows[i].at_ms, 1);
		if (tls_tickets_turn(table) != rows[i].due_ms)
			fail_msg("row %zu", i);
		if (i == 0)
			memcpy(first, table, sizeof(table));
	}
	for (size_t i = 0; i + 16 <= sizeof(table); i += 8)
		for (size_t k = 0; k + 16 <= sizeof(table); k += 8)
			n_left += memcmp(first + i, nothing, 16) != 0 &&
				  memcmp(first + i, table + k, 16) == 0;
	assert_int_equal(n_left, 0);
	clock_fake(0, -1);
}

static void
test_mistakes(void **state)
{
	static const char *const files[] = {"file"};
	struct tls_tickets *tickets = tls_tickets_new();
	struct span text = SPAN("no certificate");
	struct err err = {0};
	struct fake_cert weak = fake_cert_new(NULL, "DNS:mx.example", 0, 3600);
	BIO *bio = BIO_new(BIO_s_mem());
	char *pem;

	(void)state;
	assert_null(tls_server_new(&text, files, 1, false, tickets, &err));
	assert_true(span_starts(span_str(err.text), SPAN("file: no certificate in PEM form; ")));
	EVP_PKEY_free(weak.key);
	weak.key = EVP_RSA_gen(1024);
	must(X509_set_pubkey(weak.x509, weak.key) == 1 &&
	     X509_sign(weak.x509, weak.key, EVP_sha256()) > 0 &&
	     PEM_write_bio_X509(bio, weak.x509) == 1);
	pem = written(bio);
	text = span_str(pem);
	assert_null(tls_server_new(&text, files, 1, false, tickets, &err));
	assert_string_equal(err.text,
	    "file: OpenSSL refuses the certificate (ee key too small); use a stronger one");
	mem_free(pem);
	fake_cert_free(&weak);
	tls_tickets_free(&tickets);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_versions_and_kinds),
	    cmocka_unit_test(test_late_signatures),
	    cmocka_unit_test(test_gone_before_its_signature),
	    cmocka_unit_test(test_more_than_jobs),
	    cmocka_unit_test(test_names),
	    cmocka_unit_test(test_key_is_away),
	    cmocka_unit_test(test_reload_under_a_handshake),
	    cmocka_unit_test(test_tickets),
	    cmocka_unit_test(test_tickets_of_another),
	    cmocka_unit_test(test_tickets_turn),
	    cmocka_unit_test(test_mistakes),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}

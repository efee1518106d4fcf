/* STARTTLS towards gateways: each wish against each kind of server, and every way it can go wrong. */
#include "tests/unit/client_world.h"
#include "tests/unit/tls_world.h"

#include <stdlib.h>

enum { DAY_S = 86400 };

#define CLEAR_EHLO  "250-fake\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 STARTTLS\r\n"
#define SECURE_EHLO "250-fake\r\n250-8BITMIME\r\n250 DSN\r\n"

static struct fake_cert authority, other_authority;
static SSL_CTX *good, *expired, *stranger, *other_name;
static char ca_path[] = "/tmp/test_client_tls.XXXXXX";

static struct conf_server server;
static struct conf_gateway gateway;
static struct config config;
static struct trust *trust;

static SSL_CTX *
server_ctx(const struct fake_cert *issuer, const char *names, long to_s)
{
	struct fake_cert c = fake_cert_new(issuer, names, -2 * DAY_S, to_s);
	SSL_CTX *ctx = fake_server_ctx(&c);

	fake_cert_free(&c);
	return ctx;
}

static int
make_certificates(void **state)
{
	int fd = mkstemp(ca_path);

	(void)state;
	assert_true(fd >= 0);
	assert_int_equal(close(fd), 0);
	authority = fake_cert_new(NULL, NULL, -3 * DAY_S, DAY_S);
	other_authority = fake_cert_new(NULL, NULL, -3 * DAY_S, DAY_S);
	fake_cert_write(&authority, ca_path, false);
	good = server_ctx(&authority, "DNS:mx.corp.example", DAY_S);
	expired = server_ctx(&authority, "DNS:mx.corp.example", -DAY_S);
	stranger = server_ctx(&other_authority, "DNS:mx.corp.example", DAY_S);
	other_name = server_ctx(&authority, "DNS:other.example", DAY_S);
	return 0;
}

static int
drop_certificates(void **state)
{
	(void)state;
	assert_int_equal(unlink(ca_path), 0);
	fake_cert_free(&authority);
	fake_cert_free(&other_authority);
	SSL_CTX_free(good);
	SSL_CTX_free(expired);
	SSL_CTX_free(stranger);
	SSL_CTX_free(other_name);
	return 0;
}

static int
set_up_tls(void **state)
{
	(void)set_up(state);
	server = (struct conf_server){.text = "127.0.0.1:25", .tls_name = "mx.corp.example"};
	gateway = (struct conf_gateway){
	    .name = "gw", .servers = &server, .n_servers = 1, .tls = GATEWAY_TLS_MAY};
	config = (struct config){.gateways = &gateway, .n_gateways = 1};
	t.fake.ehlo = CLEAR_EHLO;
	t.fake.ehlo_tls = SECURE_EHLO;
	assert_true(ip_parse(SPAN("127.0.0.1"), &t.options.ip));
	return 0;
}

static int
tear_down_tls(void **state)
{
	(void)tear_down(state);
	trust_free(&trust);
	return 0;
}

/* A gateway that wants `tls`, against a server with this certificate (NULL: no TLS behind its 220). */
static void
ask_for(enum gateway_tls tls, SSL_CTX *certificate)
{
	struct err err = {0};

	client_free(&t.client);
	if (gateway.tls != tls || trust == NULL) {
		trust_free(&trust);
		gateway.tls = tls;
		gateway.ca = ca_path;
		trust = trust_new(&config, &err);
		assert_non_null(trust);
	}
	if (t.fake.listener < 0)
		fake_listen(&t.fake, 0);
	t.fake.tls_ctx = certificate;
	t.options.port = t.fake.port;
	t.options.trust = trust_server(trust, &server);
	t.n_ends = t.n_gone = 0;
	t.fake.n_secured = t.fake.n_resumed = t.fake.n_messages = 0;
	t.outcome = NOT_YET;
	buf_clear(&t.fake.commands);
	buf_clear(&t.fake.data);
	t.client = client_new(t.loop, &t.options, &events, NULL);
}

static void
send_and_wait(void)
{
	send_to(one_rcpt, 1);
	run_until_end(1);
}

static size_t
count_commands(const char *line)
{
	const struct buf *c = &t.fake.commands;
	size_t n = 0;

	for (const char *p = c->p; p != NULL && p < c->p + c->n; p++) {
		p = memmem(p, c->n - (size_t)(p - c->p), line, strlen(line));
		if (p == NULL)
			break;
		n++;
	}
	return n;
}

static void
test_secured(void **state)
{
	static const enum gateway_tls wishes[] = {
	    GATEWAY_TLS_MAY, GATEWAY_TLS_REQUIRE, GATEWAY_TLS_VERIFY};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct client_extensions e;

		ask_for(wishes[i], good);
		send_and_wait();
		assert_int_equal(t.outcome, CLIENT_ACCEPTED);
		assert_int_equal(t.fake.n_secured, 1);
		assert_int_equal(t.fake.n_messages, 1);
		assert_int_equal(count_commands("EHLO "), 2);
		/* What was offered in clear is forgotten. */
		e = client_extensions(t.client);
		assert_true(e.is_tls);
		assert_int_equal(e.bits, CLIENT_8BITMIME | CLIENT_DSN);
		client_quit(t.client);
		run_until_end(2);
		assert_true(has_command("QUIT\r\n"));
	}
}

static const struct {
	const char *name;
	enum gateway_tls tls;
	SSL_CTX **certificate; /* NULL: black hole behind 220 */
	const char *ehlo, *starttls;
	bool closes;
	bool is_accepted;
	size_t n_secured;
	const char *why; /* it begins with this */
} meetings[] = {
    {"may, expired", GATEWAY_TLS_MAY, &expired, CLEAR_EHLO, "220 go\r\n", false, true, 1, ""},
    {"may, not offered", GATEWAY_TLS_MAY, &good, FAKE_EHLO, "220 go\r\n", false, true, 0, ""},
    {"may, HELO", GATEWAY_TLS_MAY, &good, "500 what\r\n", "220 go\r\n", false, true, 0, ""},
    {"may, 454", GATEWAY_TLS_MAY, &good, CLEAR_EHLO, "454 4.7.0 no\r\n", false, true, 0, ""},
    {"may, 421", GATEWAY_TLS_MAY, &good, CLEAR_EHLO, "421 4.7.0 no\r\n", false, false, 0,
	"421 4.7.0 no"},
    {"may, closes", GATEWAY_TLS_MAY, &good, CLEAR_EHLO, "220 go\r\n", true, true, 0, ""},
    {"may, hangs up", GATEWAY_TLS_MAY, &good, CLEAR_EHLO, NULL, false, true, 0, ""},
    {"may, injected", GATEWAY_TLS_MAY, &good, CLEAR_EHLO, "220 go\r\n250 DSN\r\n", false, false, 0,
	"TLS: more than a reply"},
    {"require, stranger", GATEWAY_TLS_REQUIRE, &stranger, CLEAR_EHLO, "220 go\r\n", false, true, 1,
	""},
    {"require, other name", GATEWAY_TLS_REQUIRE, &other_name, CLEAR_EHLO, "220 go\r\n", false, true,
	1, ""},
    {"require, not offered", GATEWAY_TLS_REQUIRE, &good, FAKE_EHLO, "220 go\r\n", false, false, 0,
	"TLS: the server does not offer STARTTLS"},
    {"require, HELO", GATEWAY_TLS_REQUIRE, &good, "500 what\r\n", "220 go\r\n", false, false, 0,
	"TLS: the server does not offer STARTTLS"},
    {"require, 454", GATEWAY_TLS_REQUIRE, &good, CLEAR_EHLO, "454 4.7.0 no\r\n", false, false, 0,
	"TLS: 454 4.7.0 no"},
    {"require, 250", GATEWAY_TLS_REQUIRE, &good, CLEAR_EHLO, "250 ok\r\n", false, false, 0,
	"TLS: 250 ok"},
    {"require, closes", GATEWAY_TLS_REQUIRE, &good, CLEAR_EHLO, "220 go\r\n", true, false, 0,
	"TLS: connection closed"},
    {"require, garbage", GATEWAY_TLS_REQUIRE, &good, CLEAR_EHLO, "hello\r\n", false, false, 0,
	"something that is no reply while waiting for the reply to STARTTLS"},
    {"verify, expired", GATEWAY_TLS_VERIFY, &expired, CLEAR_EHLO, "220 go\r\n", false, false, 0,
	"TLS: certificate has expired"},
    {"verify, stranger", GATEWAY_TLS_VERIFY, &stranger, CLEAR_EHLO, "220 go\r\n", false, false, 0,
	"TLS: unable to get local issuer certificate"},
    {"verify, other name", GATEWAY_TLS_VERIFY, &other_name, CLEAR_EHLO, "220 go\r\n", false, false,
	0, "TLS: hostname mismatch"},
    {"verify, injected", GATEWAY_TLS_VERIFY, &good, CLEAR_EHLO, "220 go\r\n250 DSN\r\n", false,
	false, 0, "TLS: more than a reply"},
};

static void
test_meetings(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(meetings) / sizeof(meetings[0]); i++) {
		t.fake.ehlo = meetings[i].ehlo;
		t.fake.starttls = meetings[i].starttls;
		t.fake.closes_in_handshake = meetings[i].closes;
		trust_free(&trust); /* and what it remembers */
		ask_for(meetings[i].tls, *meetings[i].certificate);
		send_and_wait();
		if (t.outcome != (meetings[i].is_accepted ? CLIENT_ACCEPTED : CLIENT_UNREACHABLE))
			fail_msg("%s: outcome %d, %s", meetings[i].name, t.outcome, t.reply);
		/* Whoever verifies ends the handshake before the server has ended it. */
		if (t.fake.n_secured != meetings[i].n_secured)
			fail_msg("%s: %zu secured", meetings[i].name, t.fake.n_secured);
		assert_int_equal(t.fake.n_messages, meetings[i].is_accepted);
		if (!meetings[i].is_accepted &&
		    !span_starts(span_str(t.reply), span_str(meetings[i].why)))
			fail_msg("%s: %s", meetings[i].name, t.reply);
		assert_int_equal(has_command("MAIL"), meetings[i].is_accepted);
		client_free(&t.client);
		assert_true(t.fake.n_connections + 2 < FAKE_CONNECTIONS);
	}
}

/* A server with broken TLS is asked without for a while, then with it again. */
static void
test_may_remembers(void **state)
{
	(void)state;
	clock_fake(5000, 5000);
	t.fake.closes_in_handshake = true;
	ask_for(GATEWAY_TLS_MAY, good);
	send_and_wait();
	assert_int_equal(t.outcome, CLIENT_ACCEPTED);
	assert_int_equal(count_commands("STARTTLS\r\n"), 1);
	assert_int_equal(t.fake.n_connections, 2);

	t.fake.closes_in_handshake = false;
	ask_for(GATEWAY_TLS_MAY, good);
	send_and_wait();
	assert_int_equal(t.outcome, CLIENT_ACCEPTED);
	assert_int_equal(count_commands("STARTTLS\r\n"), 0);

	clock_fake(5000 + TRUST_PLAIN_MS, 5000);
	ask_for(GATEWAY_TLS_MAY, good);
	send_and_wait();
	assert_int_equal(t.outcome, CLIENT_ACCEPTED);
	assert_int_equal(t.fake.n_secured, 1);
}

/* 220, and then nothing: what a handshake may take is bounded. */
static void
test_silent_handshake(void **state)
{
	static const struct conf_timeouts timeouts = {1000, 300, 1000, 1000, 1000};

	(void)state;
	t.options.timeouts = &timeouts;
	for (int i = 0; i < 2; i++) {
		clock_fake(5000, 5000);
		ask_for(i == 0 ? GATEWAY_TLS_REQUIRE : GATEWAY_TLS_MAY, NULL);
		send_to(one_rcpt, 1);
		for (int k = 0; k < 40; k++)
			loop_turn(t.loop, 1);
		clock_fake(5299, 5000);
		loop_turn(t.loop, 0);
		assert_int_equal(t.n_ends, 0);
		clock_fake(5300, 5000);
		for (int k = 0; k < 40 && t.n_ends == 0; k++)
			loop_turn(t.loop, 1);
		assert_int_equal(t.n_ends, 1);
		assert_int_equal(t.outcome, i == 0 ? CLIENT_UNREACHABLE : CLIENT_ACCEPTED);
		if (i == 0)
			assert_string_equal(
			    t.reply, "timed out while waiting for the TLS handshake");
	}
}

static void
test_resumption(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		ask_for(GATEWAY_TLS_VERIFY, good);
		send_and_wait();
		assert_int_equal(t.outcome, CLIENT_ACCEPTED);
		assert_int_equal(t.fake.n_secured, 1);
		assert_int_equal(t.fake.n_resumed, i > 0);
	}
}

/* It breaks in the middle of TLS: no alert, no close_notify. */
static void
test_cut(void **state)
{
	static const struct {
		size_t field; /* of struct fake: NULL there hangs up */
		int outcome;
	} cases[] = {{offsetof(struct fake, mail), CLIENT_LOST},
	    {offsetof(struct fake, data_reply), CLIENT_LOST},
	    {offsetof(struct fake, final), CLIENT_UNCERTAIN}};
	const char *nothing = NULL;

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct fake kept = t.fake;

		ask_for(GATEWAY_TLS_VERIFY, good);
		kept = t.fake;
		memcpy((char *)&t.fake + cases[i].field, &nothing, sizeof(nothing));
		send_and_wait();
		assert_int_equal(t.outcome, cases[i].outcome);
		assert_true(t.is_over);
		t.fake.mail = kept.mail;
		t.fake.data_reply = kept.data_reply;
		t.fake.final = kept.final;
	}
}

static void
test_large_message(void **state)
{
	enum { SIZE = 3000000 };
	char *text = mem_alloc(SIZE);
	const char *const ehlos[] = {SECURE_EHLO, "250-fake\r\n250-CHUNKING\r\n250 8BITMIME\r\n"};

	(void)state;
	for (size_t i = 0; i < SIZE; i++)
		text[i] = i % 79 == 77 ? '\r' : i % 79 == 78 ? '\n' : (char)('a' + i % 20);
	t.message = span_of(text, SIZE - SIZE % 79);
	for (int i = 0; i < 2; i++) {
		t.fake.ehlo_tls = ehlos[i];
		ask_for(GATEWAY_TLS_VERIFY, good);
		send_and_wait();
		assert_int_equal(t.outcome, CLIENT_ACCEPTED);
		assert_true(span_eq(buf_span(&t.fake.data), t.message));
	}
	mem_free(text);
}

static void
test_trust(void **state)
{
	struct err err = {0};
	struct conf_server elsewhere = {.text = "x"};

	(void)state;
	gateway.tls = GATEWAY_TLS_OFF;
	trust = trust_new(&config, &err);
	assert_non_null(trust);
	assert_null(trust_server(trust, &server));
	trust_free(&trust);

	gateway.tls = GATEWAY_TLS_REQUIRE;
	gateway.ca = "/nonexistent/ca.pem"; /* not looked at */
	trust = trust_new(&config, &err);
	assert_non_null(trust_server(trust, &server));
	assert_null(trust_server(trust, &elsewhere));
	assert_int_equal(trust_mode(trust_server(trust, &server)), GATEWAY_TLS_REQUIRE);
	assert_false(trust_failed(trust_server(trust, &server), "x"));
	assert_int_equal(trust_mode(trust_server(trust, &server)), GATEWAY_TLS_REQUIRE);
	trust_free(&trust);

	gateway.tls = GATEWAY_TLS_VERIFY;
	assert_null(trust_new(&config, &err));
	assert_int_equal(err.code, E_CONFIG);
	assert_non_null(
	    strstr(err.text, "gateway \"gw\": ca /nonexistent/ca.pem cannot be read: "));
	gateway.ca = "/dev/null";
	assert_null(trust_new(&config, &err));
	assert_non_null(strstr(err.text, "ca /dev/null"));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_trust, set_up_tls, tear_down_tls),
	    cmocka_unit_test_setup_teardown(test_secured, set_up_tls, tear_down_tls),
	    cmocka_unit_test_setup_teardown(test_meetings, set_up_tls, tear_down_tls),
	    cmocka_unit_test_setup_teardown(test_may_remembers, set_up_tls, tear_down_tls),
	    cmocka_unit_test_setup_teardown(test_silent_handshake, set_up_tls, tear_down_tls),
	    cmocka_unit_test_setup_teardown(test_resumption, set_up_tls, tear_down_tls),
	    cmocka_unit_test_setup_teardown(test_cut, set_up_tls, tear_down_tls),
	    cmocka_unit_test_setup_teardown(test_large_message, set_up_tls, tear_down_tls),
	};

	return cmocka_run_group_tests(tests, make_certificates, drop_certificates);
}

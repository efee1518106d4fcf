/* What a gateway offers, and what the client makes of it: CHUNKING, DSN, SMTPUTF8, 8BITMIME. */
#include "tests/unit/client_world.h"

#define OFFER(words) "250-fake\r\n" words "250 PIPELINING\r\n"
#define SLOW(words)  "250-fake\r\n" words "250 SIZE\r\n" /* without PIPELINING */

static void
begin(const char *ehlo)
{
	t.fake.ehlo = ehlo;
	t.n_ends = t.n_gone = 0;
	t.n_refused = 0;
	t.outcome = NOT_YET;
	buf_clear(&t.fake.commands);
	buf_clear(&t.fake.data);
	connect_client();
}

static void
test_offers(void **state)
{
	static const struct {
		const char *ehlo;
		unsigned bits;
		uint64_t size_limit;
	} cases[] = {
	    {"250 fake\r\n", 0, 0},
	    {"250-CHUNKING\r\n250 fake\r\n", 0, 0}, /* the first line is the host's name */
	    {"250-fake\r\n250-chunking\r\n250-Dsn\r\n250 SMTPUTF8\r\n",
		CLIENT_CHUNKING | CLIENT_DSN | CLIENT_SMTPUTF8, 0},
	    {"250-fake\r\n250-SIZE 1000\r\n250-8BITMIME\r\n250 STARTTLS\r\n",
		CLIENT_SIZE | CLIENT_8BITMIME | CLIENT_STARTTLS, 1000},
	    {"250-fake\r\n250-SIZE\r\n250-DSNX\r\n250 X DSN\r\n", CLIENT_SIZE, 0},
	    {"250-fake\r\n250-SIZE x\r\n250 PIPELINING\r\n", CLIENT_SIZE | CLIENT_PIPELINING, 0},
	    {"502 what\r\n", 0, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct client_extensions e;

		begin(cases[i].ehlo);
		e = client_extensions(t.client);
		assert_int_equal(e.bits, 0);
		run_until_idle();
		e = client_extensions(t.client);
		assert_int_equal(e.bits, cases[i].bits);
		assert_int_equal(e.size_limit, cases[i].size_limit);
		assert_false(e.is_tls);
		client_free(&t.client);
	}
}

/* --- CHUNKING ----------------------------------------------------------------------------------- */

static void
test_chunk(void **state)
{
	const char *const ehlos[] = {OFFER("250-CHUNKING\r\n"), SLOW("250-CHUNKING\r\n")};

	(void)state;
	for (int i = 0; i < 2; i++) {
		begin(ehlos[i]);
		send_to(one_rcpt, 1);
		run_until_end(1);
		assert_int_equal(t.outcome, CLIENT_ACCEPTED);
		assert_true(has_command("BDAT 29 LAST\r\n"));
		assert_false(has_command("DATA\r\n"));
		assert_true(span_eq(buf_span(&t.fake.data), t.message)); /* no dot is doubled */
		send_to(one_rcpt, 1);
		run_until_end(2);
		assert_int_equal(t.outcome, CLIENT_ACCEPTED);
		assert_int_equal(t.fake.data.n, 2 * t.message.n);
		client_free(&t.client);
	}
}

static void
test_large_chunk(void **state)
{
	enum { SIZE = 3000001 };
	char *text = mem_alloc(SIZE);

	(void)state;
	for (size_t i = 0; i < SIZE; i++)
		text[i] = (char)('a' + i % 23);
	t.message = span_of(text, SIZE);
	begin(OFFER("250-CHUNKING\r\n"));
	send_to(one_rcpt, 1);
	run_until_end(1);
	assert_int_equal(t.outcome, CLIENT_ACCEPTED);
	assert_true(span_eq(buf_span(&t.fake.data), t.message));
	mem_free(text);
}

static void
test_empty_chunk(void **state)
{
	(void)state;
	t.message = SPAN("");
	begin(OFFER("250-CHUNKING\r\n"));
	send_to(one_rcpt, 1);
	run_until_end(1);
	assert_int_equal(t.outcome, CLIENT_ACCEPTED);
	assert_true(has_command("BDAT 0 LAST\r\n"));
}

/* Nobody to take it: not a byte of it is sent. */
static void
test_no_chunk_for_nobody(void **state)
{
	const char *const ehlos[] = {OFFER("250-CHUNKING\r\n"), SLOW("250-CHUNKING\r\n")};

	(void)state;
	for (int i = 0; i < 4; i++) {
		t.fake.mail = i < 2 ? "250 ok\r\n" : "550 5.7.1 no\r\n";
		t.fake.rcpt = i < 2 ? "550 5.1.1 no\r\n" : "250 ok\r\n";
		begin(ehlos[i % 2]);
		send_to(one_rcpt, 1);
		run_until_end(1);
		assert_int_equal(t.outcome, i < 2 ? CLIENT_NO_RCPT : CLIENT_REFUSED);
		run_until_idle();
		assert_false(has_command("BDAT"));
		assert_int_equal(t.fake.n_messages, 0);
		client_free(&t.client);
	}
}

static void
test_refused_chunk(void **state)
{
	static const struct {
		const char *reply;
		int outcome;
	} cases[] = {{"554 5.6.0 no\r\n", CLIENT_REFUSED}, {"452 4.3.1 full\r\n", CLIENT_REFUSED},
	    {"421 4.3.2 down\r\n", CLIENT_LOST}, {NULL, CLIENT_UNCERTAIN},
	    {"354 what\r\n", CLIENT_UNCERTAIN}};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		t.fake.final = cases[i].reply;
		begin(OFFER("250-CHUNKING\r\n"));
		send_to(one_rcpt, 1);
		run_until_end(1);
		assert_int_equal(t.outcome, cases[i].outcome);
		client_free(&t.client);
	}
}

static void
test_unreadable_chunk(void **state)
{
	(void)state;
	t.is_unreadable = true;
	begin(OFFER("250-CHUNKING\r\n250-8BITMIME\r\n"));
	send_to(one_rcpt, 1);
	run_until_end(1);
	assert_int_equal(t.outcome, CLIENT_UNREADABLE);
	assert_int_equal(t.fake.n_messages, 0);
}

/* --- DSN ---------------------------------------------------------------------------------------- */

static void
test_dsn(void **state)
{
	static const struct client_rcpt rcpts[] = {
	    {.address = {"a@x.example", 11}, .notify = NOTIFY_NEVER},
	    {.address = {"b@x.example", 11},
		.notify = NOTIFY_SUCCESS | NOTIFY_DELAY,
		.orcpt = {"rfc822;b+2Bc@x.example", 22}},
	    {.address = {"c@x.example", 11}, .notify = NOTIFY_FAILURE},
	    {.address = {"d@x.example", 11}, .orcpt = {"rfc822;bad name", 15}},
	};

	(void)state;
	t.mail.ret = RET_HDRS;
	t.mail.envid = SPAN("QQ314159");
	for (int i = 0; i < 2; i++) {
		begin(i == 0 ? OFFER("250-DSN\r\n") : FAKE_EHLO);
		send_to(rcpts, 4);
		run_until_end(1);
		assert_int_equal(t.outcome, CLIENT_ACCEPTED);
		assert_int_equal(t.has_dsn, i == 0);
		assert_int_equal(has_command(" RET=HDRS ENVID=QQ314159\r\n"), i == 0);
		assert_int_equal(has_command("RCPT TO:<a@x.example> NOTIFY=NEVER\r\n"), i == 0);
		assert_int_equal(has_command("RCPT TO:<b@x.example> NOTIFY=SUCCESS,DELAY "
					     "ORCPT=rfc822;b+2Bc@x.example\r\n"),
		    i == 0);
		assert_int_equal(has_command("RCPT TO:<c@x.example> NOTIFY=FAILURE\r\n"), i == 0);
		assert_true(has_command("RCPT TO:<d@x.example>\r\n")); /* no word: left out */
		client_free(&t.client);
	}
	t.mail.ret = RET_FULL;
	t.mail.envid = SPAN("a b\r\nRSET");
	begin(OFFER("250-DSN\r\n"));
	send_to(one_rcpt, 1);
	run_until_end(1);
	assert_true(has_command("MAIL FROM:<a@example.org> RET=FULL\r\n"));
	assert_true(has_command("RCPT TO:<ok@example.org>\r\n"));
	assert_false(has_command("RSET"));
}

/* --- what a gateway cannot take ------------------------------------------------------------------ */

static const struct {
	const char *ehlo, *body;
	bool is_8bit, is_utf8;
	int code;          /* 250: taken */
	const char *text;  /* of the reply, when it is ours */
	const char *words; /* of MAIL */
} fits[] = {
    {OFFER(""), "plain\r\n", true, false, 250, NULL, "org>\r\n"},
    {OFFER(""), "gr\303\274n\r\n", false, false, 250, NULL, "org>\r\n"},
    {OFFER(""), "gr\303\274n\r\n", true, false, 554, "554 5.6.3 ", NULL},
    {OFFER("250-8BITMIME\r\n"), "gr\303\274n\r\n", true, false, 250, NULL,
	"org> BODY=8BITMIME\r\n"},
    {OFFER("250-8BITMIME\r\n"), "plain\r\n", false, true, 553, "553 5.6.7 ", NULL},
    {OFFER("250-8BITMIME\r\n250-SMTPUTF8\r\n"), "gr\303\274n\r\n", true, true, 250, NULL,
	"org> BODY=8BITMIME SMTPUTF8\r\n"},
    {OFFER("250-SMTPUTF8\r\n"), "plain\r\n", false, true, 250, NULL, "org> SMTPUTF8\r\n"},
    {OFFER("250-SIZE 6\r\n"), "plain\r\n", false, false, 552, "552 5.3.4 ", NULL},
    {OFFER("250-SIZE 7\r\n"), "plain\r\n", false, false, 250, NULL, "org> SIZE=7\r\n"},
    {OFFER("250-SIZE 0\r\n"), "plain\r\n", false, false, 250, NULL, "org> SIZE=7\r\n"},
    {"500 what\r\n", "gr\303\274n\r\n", true, false, 554, "554 5.6.3 ", NULL},
    {"500 what\r\n", "plain\r\n", true, false, 250, NULL, "org>\r\n"},
};

static void
test_fits(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(fits) / sizeof(fits[0]); i++) {
		t.message = span_str(fits[i].body);
		t.mail.is_8bit = fits[i].is_8bit;
		t.mail.is_utf8 = fits[i].is_utf8;
		begin(fits[i].ehlo);
		send_to(one_rcpt, 1);
		run_until_end(1);
		if (t.code != fits[i].code)
			fail_msg("case %zu: %s", i, t.reply);
		assert_int_equal(t.outcome, t.code == 250 ? CLIENT_ACCEPTED : CLIENT_REFUSED);
		assert_false(t.is_over);
		assert_int_equal(has_command("MAIL"), t.code == 250);
		if (fits[i].words != NULL)
			assert_true(has_command(fits[i].words));
		else
			assert_true(span_starts(span_str(t.reply), span_str(fits[i].text)));
		client_free(&t.client);
	}
}

static void
test_unreadable_while_looked_at(void **state)
{
	(void)state;
	t.is_unreadable = true;
	begin(OFFER(""));
	send_to(one_rcpt, 1);
	run_until_end(1);
	assert_int_equal(t.outcome, CLIENT_UNREADABLE);
	assert_false(has_command("MAIL"));
}

/* --- the socket ---------------------------------------------------------------------------------- */

static void
test_source(void **state)
{
	struct ip sources[2];

	(void)state;
	assert_true(ip_parse(SPAN("127.0.0.9"), &sources[0]));
	assert_true(ip_parse(SPAN("192.0.2.1"), &sources[1])); /* nobody's: documentation */
	assert_true(ip_parse(SPAN("127.0.0.1"), &t.options.ip));
	fake_listen(&t.fake, 0);
	t.options.port = t.fake.port;
	for (int i = 0; i < 2; i++) {
		t.n_ends = 0;
		t.options.source = &sources[i];
		t.client = client_new(t.loop, &t.options, &events, NULL);
		send_to(one_rcpt, 1);
		run_until_end(1);
		assert_int_equal(t.outcome, i == 0 ? CLIENT_ACCEPTED : CLIENT_UNREACHABLE);
		if (i == 0) {
			struct sockaddr_storage peer;
			socklen_t n = sizeof(peer);
			uint16_t port;
			struct ip ip;

			assert_int_equal(
			    getpeername(t.fake.connections[0].fd, (struct sockaddr *)&peer, &n), 0);
			assert_true(ip_from_sockaddr(&peer, &ip, &port));
			assert_true(ip_eq(&ip, &sources[0]));
		} else {
			assert_string_equal(
			    t.reply, "no connection: Cannot assign requested address");
		}
		client_free(&t.client);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_offers, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_chunk, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_large_chunk, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_empty_chunk, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_no_chunk_for_nobody, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_refused_chunk, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_unreadable_chunk, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_dsn, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_fits, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_unreadable_while_looked_at, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_source, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

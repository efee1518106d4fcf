/* What a gateway's reply to RCPT means, and who is asked: gateways on loopback, a clock of ours. */
#include "relay/base/clock.h"
#include "relay/lookup/callout.h"
#include "tests/unit/fake_gateway.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { TURNS_MAX = 20000, SERVERS = 2, MINUTE_MS = 60 * 1000 };

struct world {
	struct loop *loop;
	struct fake fakes[SERVERS];
	struct conf_server servers[SERVERS];
	struct conf_gateway gateway;
	struct conf_domain domain;
	struct config config;
	struct callout *callout;
	struct source_query query;
	unsigned n_answers;
	enum recipient_state state;
	int64_t now_ms;
};

static void
begin(struct world *w, int64_t probe_ms)
{
	static const struct source_report nobody;
	struct err err = {0};

	*w = (struct world){.now_ms = 1000};
	clock_fake(w->now_ms, 1);
	w->loop = loop_new();
	for (size_t i = 0; i < SERVERS; i++) {
		fake_init(&w->fakes[i], w->loop);
		fake_listen(&w->fakes[i], 0);
		w->servers[i] = (struct conf_server){
		    .text = "fake", .host = "127.0.0.1", .port = w->fakes[i].port};
		assert_true(ip_parse(SPAN("127.0.0.1"), &w->servers[i].ip));
	}
	w->gateway = (struct conf_gateway){.name = "g",
	    .servers = w->servers,
	    .n_servers = SERVERS,
	    .timeouts = conf_timeouts_default};
	w->domain = (struct conf_domain){
	    .name = "d.example", .recipients = RECIPIENTS_CALLOUT, .gateway = &w->gateway};
	w->config = (struct config){.hostname = "relay.example",
	    .gateways = &w->gateway,
	    .n_gateways = 1,
	    .domains = &w->domain,
	    .n_domains = 1,
	    .callout = {.timeout_ms = 20 * 1000, .keep = {.probe_ms = probe_ms}}};
	w->callout = callout_new(w->loop, NULL, &w->config, &nobody, &err);
	assert_non_null(w->callout);
}

static void
end(struct world *w)
{
	callout_free(&w->callout);
	for (size_t i = 0; i < SERVERS; i++)
		fake_free(&w->fakes[i]);
	loop_free(&w->loop);
	clock_fake(0, -1);
}

static void
on_answer(struct source_query *q, enum recipient_state state, const char *why)
{
	struct world *w = q->arg;

	(void)why;
	w->n_answers++;
	w->state = state;
}

static enum recipient_state
ask(struct world *w, const char *address)
{
	w->n_answers = 0;
	w->query = (struct source_query){.domain = &w->domain, .on_answer = on_answer, .arg = w};
	list_init(&w->query.node);
	assert_true(span_copy(span_str(address), w->query.address, sizeof(w->query.address)));
	callout_ask(w->callout, &w->query);
	for (int i = 0; i < TURNS_MAX && w->n_answers == 0; i++)
		loop_turn(w->loop, 10);
	assert_int_equal(w->n_answers, 1);
	return w->state;
}

static size_t
count_probes(const struct world *w)
{
	struct span rest = buf_span(&w->fakes[0].commands);
	size_t n = 0;

	while (rest.n > 0)
		n += span_starts(span_cut(&rest, '\n'), SPAN("RCPT TO:<no-such-"));
	return n;
}

static void
test_judge(void **state)
{
	static const struct {
		int code;
		const char *reply;
		enum recipient_state state;
	} rows[] = {
	    {250, "250 2.1.5 ok", RECIPIENT_EXISTS},
	    {251, "251 will forward", RECIPIENT_EXISTS},
	    {550, "550 5.1.1 unknown", RECIPIENT_NONE},
	    {550, "550 5.1.10 RESOLVER.ADR.RecipientNotFound", RECIPIENT_NONE},
	    {553, "553 5.1.3 bad mailbox", RECIPIENT_NONE},
	    {550, "550 5.2.1 disabled", RECIPIENT_NONE},
	    {550, "550 no such user", RECIPIENT_NONE},
	    {550, "550", RECIPIENT_NONE},
	    {550, "", RECIPIENT_NONE},
	    {551, "551 not here", RECIPIENT_NONE},
	    {553, "553 not allowed", RECIPIENT_NONE},
	    {550, "550 5.0.0 something", RECIPIENT_NONE},
	    {550, "550 4.1.1 not its class", RECIPIENT_NONE},
	    {550, "550 5.1 half a code", RECIPIENT_NONE},
	    {550, "550 5.7.1 we do not relay for you", RECIPIENT_UNKNOWN},
	    {550, "550 5.7.26 go away", RECIPIENT_UNKNOWN},
	    {552, "552 5.2.2 full", RECIPIENT_UNKNOWN},
	    {550, "550 5.2.2 full", RECIPIENT_UNKNOWN},
	    {554, "554 5.7.1 relay access denied", RECIPIENT_UNKNOWN},
	    {554, "554 no", RECIPIENT_UNKNOWN},
	    {554, "554 5.1.1 unknown", RECIPIENT_NONE},
	    {501, "501 5.5.4 syntax", RECIPIENT_UNKNOWN},
	    {530, "530 5.7.0 STARTTLS first", RECIPIENT_UNKNOWN},
	    {450, "450 4.2.0 greylisted", RECIPIENT_UNKNOWN},
	    {451, "451 5.1.1 not its class", RECIPIENT_UNKNOWN},
	    {421, "421 too many", RECIPIENT_UNKNOWN},
	    {354, "354 what", RECIPIENT_UNKNOWN},
	    {0, "", RECIPIENT_UNKNOWN},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (callout_judge(rows[i].code, span_str(rows[i].reply)) != rows[i].state)
			fail_msg("%s", rows[i].reply);
}

/* An answer says whose it is: a denial counts only with a witness from the same server. */
static void
test_who_has_answered(void **state)
{
	struct world w;

	(void)state;
	begin(&w, MINUTE_MS);
	assert_int_equal(ask(&w, "bad@d.example"), RECIPIENT_NONE);
	assert_int_equal(w.query.server.port, w.fakes[0].port);
	assert_true(ip_eq(&w.query.server.ip, &w.servers[0].ip));
	fake_stop(&w.fakes[0]);
	assert_int_equal(ask(&w, "bad@d.example"), RECIPIENT_NONE);
	assert_int_equal(w.query.server.port, w.fakes[1].port);
	assert_int_equal(ask(&w, "good@d.example"), RECIPIENT_EXISTS);
	assert_int_equal(w.query.server.port, w.fakes[1].port);
	end(&w);
}

/* A random address is asked for at most once a minute, also while the server says nothing of it. */
static void
test_probes_have_a_pace(void **state)
{
	static const struct {
		int64_t probe_ms, pace_ms;
		const char *says;
	} rows[] = {
	    {60 * MINUTE_MS, MINUTE_MS, "450 4.2.0 later\r\n"},
	    {MINUTE_MS / 2, MINUTE_MS / 2, "450 4.2.0 later\r\n"},
	    {60 * MINUTE_MS, 60 * MINUTE_MS, "550 5.1.1 nobody\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct world w;

		begin(&w, rows[i].probe_ms);
		w.fakes[0].rcpt = rows[i].says; /* to everybody but … */
		w.fakes[0].bad_rcpt = "250 ok\r\n";
		for (size_t n = 1; n <= 2; n++) {
			assert_int_equal(ask(&w, "bad@d.example"), RECIPIENT_EXISTS);
			assert_int_equal(count_probes(&w), n);
			clock_fake(w.now_ms += rows[i].pace_ms - 1, 1);
			assert_int_equal(ask(&w, "bad@d.example"), RECIPIENT_EXISTS);
			assert_int_equal(count_probes(&w), n);
			clock_fake(w.now_ms += 1, 1);
		}
		end(&w);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_judge),
	    cmocka_unit_test(test_who_has_answered), cmocka_unit_test(test_probes_have_a_pace)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Who is told about undeliverable mail, by which way, and what the report says. */
#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/deliver/bounce.h"
#include "tests/unit/fake_spool.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define WALL_MS 1700000000000LL

static struct conf_gateway inside = {.name = "inside"}, smart = {.name = "smarthost"};
static struct conf_domain domains[] = {{.name = "example.org", .gateway = &inside}};
static struct conf_flow flows[2];
static struct config config;

static int
set_up(void **state)
{
	(void)state;
	clock_fake(1000, WALL_MS);
	fake_spool_clear();
	flows[0] = (struct conf_flow){.name = "inbound", .relay = RELAY_DOMAINS};
	flows[1] = (struct conf_flow){.name = "outbound", .relay = RELAY_ANY, .gateway = &smart};
	config = (struct config){.hostname = "mx.example.org",
	    .postmaster = "postmaster@example.org",
	    .domains = domains,
	    .n_domains = 1,
	    .flows = flows,
	    .n_flows = 2};
	config.queue.expire_after_ms = 3600 * 1000;
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	fake_spool_clear();
	clock_fake(0, -1);
	return 0;
}

static const struct commit_rcpt rcpts[] = {
    {.address = {"a@one.example", 13}, .gateway = {"inside", 6}},
    {.address = {"b@one.example", 13}, .gateway = {"inside", 6}},
    {.address = {"c@one.example", 13}, .gateway = {"inside", 6}},
};

static struct queue_entry *
entry_from(struct span from, enum mail_kind kind, bool is_tagged)
{
	struct buf bytes = BUF_INIT(4096);
	struct queue_entry *e;
	struct commit_copy copy = {
	    .prefix = SPAN("Subject: secret\r\n\r\n"), .is_tagged = is_tagged};
	struct envelope envelope = {.kind = kind,
	    .flow = SPAN("inbound"),
	    .from = from,
	    .received_ms = WALL_MS - 5000,
	    .copies = &copy,
	    .n_copies = 1,
	    .rcpts = rcpts,
	    .n_rcpts = 3};

	envelope_put(&bytes, &envelope);
	e = entry_new(SPAN("ID1"), buf_span(&bytes));
	assert_non_null(e);
	spool_put(&fake_spool, 1, SPAN("ID1"), buf_span(&bytes), copy.prefix, SPAN("the body\r\n"),
	    -1, 0, 10);
	e->msg = &fake_spool.messages[fake_spool.n - 1];
	entry_set_size(e, spool_message_size(e->msg));
	buf_free(&bytes);
	return e;
}

static void
test_allowed(void **state)
{
	static const struct {
		struct span from;
		enum mail_kind kind;
		bool is_tagged, is_allowed;
	} table[] = {
	    {{"s@example.org", 13}, MAIL_RELAYED, false, true},
	    {{"s@example.org", 13}, MAIL_RELAYED, true, false},
	    {{"", 0}, MAIL_RELAYED, false, false},
	    {{"", 0}, MAIL_BOUNCE, false, true},
	    {{"", 0}, MAIL_POSTMASTER, false, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct queue_entry *e =
		    entry_from(table[i].from, table[i].kind, table[i].is_tagged);

		assert_int_equal(bounce_is_allowed(e, &e->rcpts[0]), table[i].is_allowed);
		entry_free(&e);
	}
}

static void
test_wanted(void **state)
{
	static const struct {
		unsigned notify;
		bool failed, delayed, relayed;
	} table[] = {{0, true, true, false}, {NOTIFY_NEVER, false, false, false},
	    {NOTIFY_SUCCESS, false, false, true}, {NOTIFY_FAILURE, true, false, false},
	    {NOTIFY_DELAY, false, true, false},
	    {NOTIFY_SUCCESS | NOTIFY_FAILURE | NOTIFY_DELAY, true, true, true}};
	struct queue_entry *e = entry_from(SPAN("s@example.org"), MAIL_RELAYED, false);

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		e->rcpts[0].notify = table[i].notify;
		assert_int_equal(bounce_is_wanted(e, &e->rcpts[0], DSN_FAILED), table[i].failed);
		assert_int_equal(bounce_is_wanted(e, &e->rcpts[0], DSN_DELAYED), table[i].delayed);
		assert_int_equal(bounce_is_wanted(e, &e->rcpts[0], DSN_RELAYED), table[i].relayed);
	}
	e->copies[0].is_tagged = true;
	assert_false(bounce_is_wanted(e, &e->rcpts[0], DSN_RELAYED));
	assert_non_null(strstr(bounce_obstacle(e, &e->rcpts[0]), "tagged"));
	entry_free(&e);
	e = entry_from(SPAN(""), MAIL_BOUNCE, false); /* our own: whatever NOTIFY says */
	e->rcpts[0].notify = NOTIFY_NEVER;
	assert_true(bounce_is_allowed(e, &e->rcpts[0]));
	assert_false(bounce_is_wanted(e, &e->rcpts[0], DSN_DELAYED));
	entry_free(&e);
}

static void
check_route(struct span from, enum mail_kind kind, const char *to,
    const struct conf_gateway *gateway, enum mail_kind as)
{
	struct queue_entry *e = entry_from(from, kind, false);
	struct bounce_route route = bounce_route(&config, e);

	assert_true(span_eq(route.to, span_str(to)));
	assert_ptr_equal(route.gateway, gateway);
	assert_int_equal(route.kind, as);
	entry_free(&e);
}

static void
test_route(void **state)
{
	(void)state;
	check_route(SPAN("s@Example.ORG"), MAIL_RELAYED, "s@Example.ORG", &inside, MAIL_BOUNCE);
	check_route(SPAN("s@far.example"), MAIL_RELAYED, "s@far.example", &smart, MAIL_BOUNCE);
	check_route(SPAN(""), MAIL_BOUNCE, "postmaster@example.org", &inside, MAIL_POSTMASTER);
	config.n_flows = 1; /* no way out */
	check_route(SPAN("s@far.example"), MAIL_RELAYED, "postmaster@example.org", &inside,
	    MAIL_POSTMASTER);
	config.postmaster = "postmaster@far.example";
	check_route(
	    SPAN("s@far.example"), MAIL_RELAYED, "postmaster@far.example", NULL, MAIL_POSTMASTER);
	check_route(SPAN("s@example.org"), MAIL_RELAYED, "s@example.org", &inside, MAIL_BOUNCE);
}

static bool
has(const struct buf *text, const char *part)
{
	return memmem(text->p, text->n, part, strlen(part)) != NULL;
}

static void
test_failure_report(void **state)
{
	struct queue_entry *e = entry_from(SPAN("s@example.org"), MAIL_RELAYED, false);
	struct bounce_route route = bounce_route(&config, e);
	struct bounce_text report = {.text = BUF_INIT(BOUNCE_TEXT_MAX)};

	(void)state;
	leg_set_reply(&e->legs[0], SPAN("451 later"), "10.0.0.1:25");
	rcpt_set(&e->rcpts[0], RCPT_FAILED, SPAN("550 5.1.1 no such user"));
	rcpt_set(&e->rcpts[1], RCPT_FAILED, SPAN("554 go away"));
	e->rcpts[0].is_in_bounce = e->rcpts[1].is_in_bounce = true;
	assert_int_equal(
	    bounce_build(&config, &fake_spool, e, &route, SPAN("ID2"), false, &report), 0);
	assert_true(has(&report.text, "To: <s@example.org>"));
	assert_true(has(&report.text, "Final-Recipient: rfc822; a@one.example"));
	assert_true(has(&report.text, "Final-Recipient: rfc822; b@one.example"));
	assert_false(has(&report.text, "Final-Recipient: rfc822; c@one.example"));
	assert_true(has(&report.text, "Status: 5.1.1"));
	assert_true(has(&report.text, "Status: 5.0.0")); /* the second said none */
	assert_true(has(&report.text, "Action: failed"));
	assert_true(has(&report.text, "550 5.1.1 no such user"));
	assert_true(has(&report.text, "Subject: secret")); /* the header section goes back */
	assert_false(has(&report.text, "the body"));       /* and nothing else */
	buf_free(&report.text);
	entry_free(&e);
}

static void
test_delay_report(void **state)
{
	struct queue_entry *e = entry_from(SPAN("s@example.org"), MAIL_RELAYED, false);
	struct bounce_route route = bounce_route(&config, e);
	struct bounce_text report = {.text = BUF_INIT(BOUNCE_TEXT_MAX)};

	(void)state;
	rcpt_set(&e->rcpts[0], RCPT_DELIVERED, SPAN("250 ok"));
	leg_set_reply(&e->legs[0], SPAN("451 4.3.0 later"), "10.0.0.1:25");
	assert_int_equal(
	    bounce_build(&config, &fake_spool, e, &route, SPAN("ID2"), true, &report), 0);
	assert_false(has(&report.text, "Final-Recipient: rfc822; a@one.example"));
	assert_true(has(&report.text, "Final-Recipient: rfc822; b@one.example"));
	assert_true(has(&report.text, "Action: delayed"));
	assert_true(has(&report.text, "Status: 4.3.0"));
	buf_free(&report.text);
	entry_free(&e);
}

static void
check_returned(enum notify_ret ret, enum rcpt_state state, bool is_whole)
{
	struct queue_entry *e = entry_from(SPAN("s@example.org"), MAIL_RELAYED, false);
	struct bounce_route route = bounce_route(&config, e);
	struct bounce_text report = {.text = BUF_INIT(BOUNCE_TEXT_MAX)};

	e->ret = ret;
	e->envid = SPAN("E+2BID");
	e->rcpts[1].orcpt = SPAN("rfc822;list+2B1@one.example");
	leg_set_reply(&e->legs[0], SPAN("250 2.0.0 ok"), "10.0.0.1:25");
	rcpt_set(&e->rcpts[1], state, (struct span){0});
	e->rcpts[1].is_in_bounce = true;
	assert_int_equal(
	    bounce_build(&config, &fake_spool, e, &route, SPAN("ID2"), false, &report), 0);
	assert_int_equal(has(&report.text, "the body"), is_whole);
	assert_int_equal(has(&report.text, "Content-Type: message/rfc822"), is_whole);
	assert_int_equal(has(&report.text, "Action: relayed"), state == RCPT_RELAYED);
	assert_true(has(&report.text, "Original-Envelope-Id: E+ID\r\n"));
	assert_true(has(&report.text, "Original-Recipient: rfc822; list+1@one.example\r\n"));
	assert_true(has(&report.text, "Final-Recipient: rfc822; b@one.example"));
	assert_false(has(&report.text, "Final-Recipient: rfc822; a@one.example"));
	assert_true(has(&report.text, "the number of yours is ID1"));
	assert_false(report.is_8bit || report.is_utf8);
	buf_free(&report.text);
	entry_free(&e);
}

static void
test_returned(void **state)
{
	(void)state;
	check_returned(RET_NOT_GIVEN, RCPT_FAILED, false);
	check_returned(RET_HDRS, RCPT_FAILED, false);
	check_returned(RET_FULL, RCPT_FAILED, true);
	check_returned(RET_FULL, RCPT_RELAYED, false); /* RFC 3461 section 4.3 */
}

/* An original over the limit goes back as its header section. */
static void
test_returned_limit(void **state)
{
	static char body[BOUNCE_FULL_MAX];

	(void)state;
	for (size_t i = 0; i < sizeof(body); i++)
		body[i] = i % 64 == 62 ? '\r' : i % 64 == 63 ? '\n' : 'x';
	for (size_t over = 0; over < 2; over++) {
		struct queue_entry *e = entry_from(SPAN("s@example.org"), MAIL_RELAYED, false);
		struct bounce_route route = bounce_route(&config, e);
		struct bounce_text report = {.text = BUF_INIT(BOUNCE_TEXT_MAX)};
		size_t prefix = e->copies[0].prefix_n;

		e->msg->bytes.max = sizeof(body) + prefix + 1;
		e->msg->bytes.n = prefix;
		assert_int_equal(
		    buf_add(&e->msg->bytes, body, sizeof(body) - prefix - 1 + over), 0);
		assert_int_equal(buf_add_str(&e->msg->bytes, "\n"), 0);
		entry_set_size(e, spool_message_size(e->msg));
		e->ret = RET_FULL;
		rcpt_set(&e->rcpts[0], RCPT_FAILED, SPAN("550 no"));
		e->rcpts[0].is_in_bounce = true;
		assert_int_equal(
		    bounce_build(&config, &fake_spool, e, &route, SPAN("ID2"), false, &report), 0);
		assert_int_equal(has(&report.text, "xxxxxx"), over == 0);
		buf_free(&report.text);
		entry_free(&e);
	}
}

/* The most recipients there may be, each with the longest address and reply, all in one report. */
static void
test_largest_report(void **state)
{
	static struct commit_rcpt many[COMMIT_RCPTS_MAX];
	static char addresses[COMMIT_RCPTS_MAX][COMMIT_ADDRESS_MAX];
	char reply[QUEUE_REPLY_MAX];
	struct buf bytes = BUF_INIT(SPOOL_ENVELOPE_MAX);
	struct bounce_text report = {.text = BUF_INIT(BOUNCE_TEXT_MAX)};
	struct commit_copy copy = {.prefix = SPAN("Subject: secret\r\n\r\n")};
	struct envelope envelope = {.kind = MAIL_RELAYED,
	    .flow = SPAN("inbound"),
	    .from = SPAN("s@example.org"),
	    .received_ms = WALL_MS - 5000,
	    .copies = &copy,
	    .n_copies = 1,
	    .rcpts = many,
	    .n_rcpts = COMMIT_RCPTS_MAX};
	struct queue_entry *e;
	struct bounce_route route;

	(void)state;
	memset(reply, 'r', sizeof(reply));
	memcpy(reply, "550 5.1.1 ", 10);
	for (size_t i = 0; i < COMMIT_RCPTS_MAX; i++) {
		memset(addresses[i], 'a', sizeof(addresses[i]));
		memcpy(addresses[i] + 60, "@", 1);
		many[i] = rcpts[0];
		many[i].address = span_of(addresses[i], sizeof(addresses[i]));
	}
	envelope_put(&bytes, &envelope);
	e = entry_new(SPAN("ID1"), buf_span(&bytes));
	assert_non_null(e);
	spool_put(&fake_spool, 1, SPAN("ID1"), SPAN("e"), SPAN("Subject: secret\r\n\r\n"),
	    SPAN("the body\r\n"), -1, 0, 10);
	e->msg = &fake_spool.messages[fake_spool.n - 1];
	entry_set_size(e, spool_message_size(e->msg));
	for (size_t i = 0; i < e->n_rcpts; i++) {
		rcpt_set(&e->rcpts[i], RCPT_FAILED, span_of(reply, sizeof(reply)));
		e->rcpts[i].is_in_bounce = true;
	}
	route = bounce_route(&config, e);
	assert_int_equal(
	    bounce_build(&config, &fake_spool, e, &route, SPAN("ID2"), false, &report), 0);
	assert_true(report.text.n > COMMIT_RCPTS_MAX * sizeof(reply));
	buf_free(&report.text);
	buf_free(&bytes);
	entry_free(&e);
}

/* A notice of ours is all body: its own header section is found in there. */
static void
test_report_about_a_report(void **state)
{
	struct queue_entry *e = entry_from(SPAN(""), MAIL_BOUNCE, false);
	struct bounce_route route = bounce_route(&config, e);
	struct bounce_text report = {.text = BUF_INIT(BOUNCE_TEXT_MAX)};

	(void)state;
	e->msg->prefix = 0;
	rcpt_set(&e->rcpts[0], RCPT_FAILED, SPAN("550 no"));
	e->rcpts[0].is_in_bounce = true;
	assert_int_equal(
	    bounce_build(&config, &fake_spool, e, &route, SPAN("ID2"), false, &report), 0);
	assert_true(has(&report.text, "To: <postmaster@example.org>"));
	assert_true(has(&report.text, "Subject: secret"));
	assert_false(has(&report.text, "the body"));
	buf_free(&report.text);
	entry_free(&e);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_allowed, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_wanted, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_returned, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_returned_limit, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_route, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_failure_report, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_delay_report, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_largest_report, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_report_about_a_report, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What an administrator does to mail that waits, on a fake clock. */
#include "relay/walk/admin.h"
#include "tests/unit/delivery_world.h"

#include <stdio.h>

static const char *why;
static size_t n_refused; /* messages of no recipient: their lone dots */

/* words: as typed behind the verb. */
static enum admin_result
order(enum admin_verb verb, const char *words)
{
	struct span list[8], rest = span_str(words);
	struct selection s;
	struct err err = {0};
	enum admin_result result;
	size_t n = 0;

	while (rest.n > 0)
		list[n++] = span_cut(&rest, '|');
	assert_int_equal(selection_parse(list, n, SPAN("joe"), clock_wall_ms(), &s, &err), 0);
	why = NULL;
	result = admin_do(&d, mail(), verb, &s, 0, &why);
	selection_free(&s);
	return result;
}

/* Everything is put off, until `open_gateways`. */
static void
put_off(const struct commit_rcpt *rcpts, size_t n)
{
	fakes[0].rcpt = fakes[1].rcpt = "451 4.2.1 later\r\n";
	fakes[0].bad_rcpt = fakes[1].bad_rcpt = "451 4.2.1 later\r\n";
	accept_mail(SENDER, false, rcpts, n);
	run();
	n_refused = fakes[0].n_messages + fakes[1].n_messages;
	assert_string_equal(show_state(mail()), "deferred");
}

static void
open_gateways(void)
{
	fakes[0].rcpt = fakes[1].rcpt = "250 ok\r\n";
}

/* Killed, and started again. */
static void
start_again(void)
{
	struct spool_message *m = &fake_spool.messages[0];

	delivery_free(&d);
	start_delivery();
	deliver_recover(&d, m, span_str(m->id), buf_span(&m->envelope), buf_span(&m->note));
}

static struct queue_totals
totals(void)
{
	struct queue_totals t;

	queue_totals(d.queue, clock_wall_ms(), &t);
	return t;
}

static void
test_hold_and_release(void **state)
{
	(void)state;
	put_off(good, 1);
	assert_int_equal(totals().deferred, 1);
	assert_int_equal(order(ADMIN_HOLD, "MAIL1"), ADMIN_DONE);
	assert_string_equal(show_state(mail()), "held");
	assert_string_equal(mail()->rcpts[0].reply, "held by admin joe");
	assert_int_equal(totals().deferred, 0);
	assert_int_equal(totals().held, 1);
	assert_int_equal(order(ADMIN_HOLD, "MAIL1"), ADMIN_UNCHANGED);
	assert_int_equal(order(ADMIN_RETRY, "MAIL1"), ADMIN_REFUSED);
	assert_non_null(strstr(why, "release"));
	assert_int_equal(order(ADMIN_RETRY, "all"), ADMIN_UNCHANGED);
	open_gateways();
	start_again();
	run_at(48 * (int64_t)HOUR_MS); /* nor does it become too old */
	assert_string_equal(show_state(mail()), "held");
	assert_int_equal(fakes[0].n_messages + fakes[1].n_messages, n_refused);
	assert_int_equal(order(ADMIN_RELEASE, "MAIL1"), ADMIN_DONE);
	run();
	assert_null(mail());
	assert_int_equal(fakes[0].n_messages + fakes[1].n_messages, n_refused + 1);
	assert_int_equal(totals().held, 0);
	assert_int_equal(totals().messages, 0);
	assert_int_equal(totals().bytes, 0);
}

/* What the policy keeps, and what may not be bounced, is not for release. */
static void
test_release_of_others(void **state)
{
	struct commit_rcpt rcpt = good[0];

	(void)state;
	accept_mail(SENDER, false, lost, 1);
	run();
	assert_string_equal(show_state(mail()), "held");
	assert_int_equal(order(ADMIN_RELEASE, "MAIL1"), ADMIN_REFUSED);
	assert_non_null(strstr(why, "postern queue retry ID"));
	assert_int_equal(order(ADMIN_RETRY, "all"), ADMIN_UNCHANGED); /* only by its id */
	domains[0].name = "other.example";
	assert_int_equal(order(ADMIN_RETRY, "MAIL1"), ADMIN_DONE);
	run();
	assert_null(mail());
	rcpt.copy = 3;
	accept_mail(SENDER, false, &rcpt, 1);
	run();
	assert_int_equal(order(ADMIN_RELEASE, "MAIL1"), ADMIN_REFUSED);
	assert_int_equal(order(ADMIN_RETRY, "MAIL1"), ADMIN_REFUSED);
	assert_int_equal(order(ADMIN_BOUNCE, "MAIL1"), ADMIN_REFUSED);
	assert_string_equal(show_state(mail()), "held");
}

/* A word that was only said by a gateway holds nothing. */
static void
test_gateway_cannot_hold(void **state)
{
	(void)state;
	accept_mail(SENDER, false, lost, 1);
	run();
	assert_string_equal(show_state(mail()), "held");
	rcpt_set(&mail()->rcpts[0], RCPT_HELD, SPAN("550 held by admin joe"));
	assert_false(rcpt_is_held_by_admin(mail(), &mail()->rcpts[0]));
}

static void
test_retry(void **state)
{
	(void)state;
	put_off(good, 1);
	assert_int_equal(order(ADMIN_RETRY, "--to|nobody@example.org"), ADMIN_UNCHANGED);
	open_gateways();
	run();
	assert_non_null(mail()); /* its time has not come */
	assert_int_equal(order(ADMIN_RETRY, "all"), ADMIN_DONE);
	run();
	assert_null(mail());
}

static void
test_delete_some(void **state)
{
	(void)state;
	put_off(mixed, 2);
	assert_int_equal(order(ADMIN_DELETE, "--to|bad@example.org"), ADMIN_DONE);
	assert_int_equal(mail()->rcpts[1].state, RCPT_DELETED);
	assert_string_equal(show_state(mail()), "deferred");
	start_again();
	assert_int_equal(mail()->rcpts[1].state, RCPT_DELETED);
	assert_int_equal(mail()->rcpts[0].state, RCPT_WAITING);
	assert_int_equal(order(ADMIN_DELETE, "MAIL1"), ADMIN_DONE);
	assert_null(mail());
	assert_int_equal(fake_spool.n, 1); /* nobody was told */
	assert_int_equal(fake_spool.n_forgotten, 1);
}

static void
test_bounce(void **state)
{
	(void)state;
	put_off(mixed, 2);
	assert_int_equal(order(ADMIN_BOUNCE, "--to|bad@example.org"), ADMIN_DONE);
	commit(true);
	assert_int_equal(mail()->rcpts[1].state, RCPT_BOUNCED);
	assert_string_equal(show_state(mail()), "deferred");
	open_gateways();
	run();
	assert_true(gateway_got("Status: 5.7.1"));
	assert_true(gateway_got("5.7.1 Returned by the administrator"));
	assert_false(gateway_got("joe"));
	assert_false(gateway_got("Remote-MTA"));
	assert_false(gateway_got("Last-Attempt-Date"));
	assert_false(gateway_got("rfc822; ok@example.org"));
	assert_int_equal(order(ADMIN_BOUNCE, "MAIL1"), ADMIN_DONE);
	run();
	assert_null(mail());
}

static void
test_bounce_refused(void **state)
{
	struct commit_rcpt rcpt = good[0];

	(void)state;
	rcpt.notify = NOTIFY_NEVER;
	put_off(&rcpt, 1);
	assert_int_equal(order(ADMIN_BOUNCE, "MAIL1"), ADMIN_REFUSED);
	assert_non_null(strstr(why, "NOTIFY"));
	assert_int_equal(order(ADMIN_DELETE, "MAIL1"), ADMIN_DONE);
	config.postmaster = "postmaster@nowhere.example";
	fakes[0].rcpt = fakes[1].rcpt = "451 4.2.1 later\r\n";
	accept_mail(SPAN("x@elsewhere.example"), false, good, 1);
	run();
	assert_int_equal(order(ADMIN_BOUNCE, "MAIL1"), ADMIN_REFUSED);
	assert_non_null(strstr(why, "no gateway"));
	assert_string_equal(show_state(mail()), "deferred");
}

/* With a gateway at this moment: nothing is touched. */
static void
test_active(void **state)
{
	(void)state;
	fakes[0].banner = ""; /* takes the connection, and keeps silent */
	accept_mail(SENDER, false, good, 1);
	for (int i = 0; i < 50; i++)
		loop_turn(loop, 1);
	assert_string_equal(show_state(mail()), "active");
	for (int verb = 0; verb < ADMIN_VERBS; verb++) {
		if (verb == ADMIN_RELEASE)
			continue; /* nothing is held */
		assert_int_equal(order((enum admin_verb)verb, "MAIL1"), ADMIN_ACTIVE);
	}
	assert_int_equal(order(ADMIN_RELEASE, "MAIL1"), ADMIN_UNCHANGED);
	run_at(3600 * 1000LL); /* silence is failure: the next server */
	assert_null(mail());
	assert_int_equal(fakes[1].n_messages, 1);
}

/* While a report about it is on its way to the disk. */
static void
test_report_under_way(void **state)
{
	(void)state;
	accept_mail(SENDER, false, bad, 1);
	run_with(false);
	assert_int_equal(mail()->rcpts[0].state, RCPT_FAILED);
	assert_int_equal(order(ADMIN_DELETE, "MAIL1"), ADMIN_ACTIVE);
	assert_int_equal(order(ADMIN_BOUNCE, "MAIL1"), ADMIN_UNCHANGED);
	run();
	assert_null(mail());
	assert_true(gateway_got("Action: failed"));
}

/* Out of the list of a gateway that has no connection to spare, and of the parked ones. */
static void
test_hold_while_waiting_for_a_server(void **state)
{
	const char *banner = fakes[0].banner;

	(void)state;
	gateways[0].connections = 1;
	delivery_free(&d);
	start_delivery();
	fakes[0].banner = fakes[1].banner = "";
	for (int i = 0; i < 3; i++) {
		char id[] = "ID0";

		id[2] = (char)('1' + i);
		accept_one(span_str(id), SENDER, false, good, 1);
	}
	accept_mail(SENDER, false, good, 1);
	for (int i = 0; i < 50; i++)
		loop_turn(loop, 1);
	assert_int_equal(mail()->legs[0].state, LEG_READY);
	assert_int_equal(order(ADMIN_RETRY, "MAIL1"), ADMIN_DONE); /* it waits already */
	assert_int_equal(order(ADMIN_HOLD, "MAIL1"), ADMIN_DONE);
	assert_int_equal(mail()->legs[0].state, LEG_IDLE);
	assert_true(list_is_empty(&mail()->legs[0].node));
	fakes[0].banner = fakes[1].banner = banner;
	for (int64_t ms = HOUR_MS; ms < 2 * HOUR_MS; ms += MINUTE_MS)
		run_at(ms);
	assert_int_equal(queue_count(d.queue), 1);
	assert_string_equal(show_state(mail()), "held");
	assert_int_equal(order(ADMIN_RELEASE, "MAIL1"), ADMIN_DONE);
	run();
	assert_null(mail());
}

static void
test_parked(void **state)
{
	uint16_t port = fakes[0].port;

	(void)state;
	for (int i = 0; i < 2; i++)
		fake_stop(&fakes[i]);
	accept_mail(SENDER, false, good, 1);
	run();
	assert_string_equal(show_state(mail()), "deferred");
	assert_int_equal(order(ADMIN_RETRY, "MAIL1"), ADMIN_DONE);
	run();
	assert_string_equal(show_state(mail()), "deferred");
	assert_int_equal(order(ADMIN_HOLD, "MAIL1"), ADMIN_DONE);
	fake_listen(&fakes[0], port);
	run_at(10 * MINUTE_MS);
	assert_string_equal(show_state(mail()), "held");
	assert_int_equal(order(ADMIN_RELEASE, "MAIL1"), ADMIN_DONE);
	run();
	assert_null(mail());
	assert_int_equal(fakes[0].n_messages, 1);
}

/* A success that is owed, beside what an admin has deleted. */
static void
test_delete_keeps_no_success(void **state)
{
	struct commit_rcpt rcpts[] = {
	    RCPT("ok@example.org", "exchange"), RCPT("bad@example.org", "exchange")};

	(void)state;
	rcpts[0].notify = NOTIFY_SUCCESS;
	fakes[0].bad_rcpt = fakes[1].bad_rcpt = "451 4.2.1 later\r\n";
	accept_mail(SENDER, false, rcpts, 2);
	run();
	assert_int_equal(mail()->rcpts[0].state, RCPT_RELAYED);
	assert_int_equal(order(ADMIN_DELETE, "MAIL1"), ADMIN_DONE);
	assert_null(mail());
	assert_int_equal(fake_spool.n, 1);
}

/* The letter may be durable already: it is one or the other. */
static void
test_bounce_on_its_way_into_quarantine(void **state)
{
	(void)state;
	config.postmaster = NULL;
	accept_mail(SPAN("s@nowhere.example"), false, bad, 1);
	run_with(false);
	assert_int_equal(mail()->rcpts[0].state, RCPT_TO_QUARANTINE);
	config.postmaster = "postmaster@example.org"; /* as after a reload */
	assert_int_equal(order(ADMIN_BOUNCE, "MAIL1"), ADMIN_ACTIVE);
	run();
	assert_null(mail());
	assert_false(gateway_got("Action: failed"));
}

/* A held recipient was the only one that the next server was still to be asked for. */
static void
test_hold_who_was_still_to_be_asked(void **state)
{
	static struct commit_rcpt many[CLIENT_RCPTS_MAX + 1];
	static char addresses[CLIENT_RCPTS_MAX + 1][32];

	(void)state;
	for (size_t i = 0; i <= CLIENT_RCPTS_MAX; i++) {
		(void)snprintf(addresses[i], sizeof(addresses[i]), "r%zu@example.org", i);
		many[i] = (struct commit_rcpt){
		    .address = span_str(addresses[i]), .gateway = SPAN("exchange")};
	}
	gateways[0].connections = 1;
	gateways[0].n_servers = 1;
	delivery_free(&d);
	start_delivery();
	fakes[0].rcpt = "451 4.2.1 later\r\n";
	fakes[0].data_reply = "503 5.5.1 nobody\r\n";
	fakes[0].rset = ""; /* the only connection stays busy */
	accept_mail(SENDER, false, many, CLIENT_RCPTS_MAX + 1);
	for (int i = 0; i < 200 && mail()->legs[0].refused == 0; i++)
		loop_turn(loop, 1);
	for (int i = 0; i < 200 && mail()->legs[0].state != LEG_READY; i++)
		loop_turn(loop, 1);
	assert_int_equal(mail()->legs[0].state, LEG_READY);
	assert_int_equal(order(ADMIN_HOLD, "--to|r100@example.org"), ADMIN_DONE);
	(void)fake_say(&fakes[0].connections[0], "250 ok\r\n");
	run();
	assert_string_equal(show_state(mail()), "deferred");
	assert_int_equal(mail()->rcpts[CLIENT_RCPTS_MAX].state, RCPT_HELD);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_hold_and_release),
	    TEST(test_release_of_others),
	    TEST(test_gateway_cannot_hold),
	    TEST(test_retry),
	    TEST(test_delete_some),
	    TEST(test_bounce),
	    TEST(test_bounce_refused),
	    TEST(test_active),
	    TEST(test_report_under_way),
	    TEST(test_hold_while_waiting_for_a_server),
	    TEST(test_parked),
	    TEST(test_delete_keeps_no_success),
	    TEST(test_bounce_on_its_way_into_quarantine),
	    TEST(test_hold_who_was_still_to_be_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

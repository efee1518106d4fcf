/*
 * What a gateway says after its message was settled in another way: it changes nothing, and reaches no
 * memory that has gone (AddressSanitizer looks).
 */
#include "relay/walk/admin.h"
#include "tests/unit/delivery_world.h"

static void
turns(int n)
{
	for (int i = 0; i < n; i++)
		loop_turn(loop, 1);
}

/* On every connection that the server still has. */
static void
say_late(struct fake *f, const char *reply)
{
	for (size_t i = 0; i < f->n_connections && i < FAKE_CONNECTIONS; i++)
		if (f->connections[i].fd >= 0)
			(void)fake_say(&f->connections[i], reply);
	turns(20);
}

/* The final dot's reply takes longer than we wait: the next server has the message by then. */
static void
test_after_the_next_server(void **state)
{
	static const char *const replies[] = {
	    "250 2.0.0 taken\r\n", "554 5.6.0 no\r\n", "421 4.3.2 down\r\n"};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		fakes[0].final = "";
		accept_mail(SENDER, false, good, 1);
		turns(50);
		assert_string_equal(show_state(mail()), "active");
		set_clock(now_ms + 2 * (int64_t)HOUR_MS);
		run();
		assert_null(mail());
		assert_int_equal(fakes[1].n_messages, i + 1);
		say_late(&fakes[0], replies[i]);
		assert_int_equal(queue_count(d.queue), 0);
	}
	assert_int_equal(fake_spool.n, 3); /* no report of it */
}

/* MAIL is refused, and what was said behind it in the same packet is answered only later. */
static void
test_after_a_refused_mail(void **state)
{
	static const char *const silences[] = {"", "550 5.1.1 no such user\r\n"};

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		fakes[0].mail = fakes[1].mail = "554 5.7.1 no\r\n";
		fakes[0].rcpt = fakes[1].rcpt = silences[i];
		fakes[0].data_reply = fakes[1].data_reply = "";
		accept_mail(SPAN(""), false, good, 1);
		turns(50);
		/* However often it is tried again, each server says nothing more. */
		for (int k = 0; k < 100 && mail() != NULL; k++) {
			set_clock(now_ms + HOUR_MS);
			turns(20);
			(void)fake_quarantine_end(0); /* nothing yet */
		}
		assert_null(mail());
		say_late(&fakes[0], "250 2.1.5 ok\r\n550 5.1.1 no\r\n354 go on\r\n");
		say_late(&fakes[1], "250 2.1.5 ok\r\n550 5.1.1 no\r\n354 go on\r\n");
		set_clock(now_ms + 48 * (int64_t)HOUR_MS);
		turns(100);
	}
}

/* Two replies to one dot, in one packet: the second finds nobody. */
static void
test_behind_the_reply(void **state)
{
	(void)state;
	fakes[0].final = "554 5.6.0 no\r\n250 2.0.0 taken after all\r\n";
	accept_mail(SPAN(""), false, good, 1);
	run();
	assert_null(mail()); /* nobody may be told: it is in quarantine */
	say_late(&fakes[0], "250 2.0.0 again\r\n");
	fakes[0].final = "250 2.0.0 taken\r\n250 2.0.0 twice\r\n";
	accept_mail(SENDER, false, good, 1);
	run();
	assert_null(mail());
	assert_int_equal(queue_count(d.queue), 0);
	say_late(&fakes[0], "550 5.1.1 late\r\n");
}

/* One part of the message is with a server while an admin removes the other. */
static void
test_beside_a_deleted_part(void **state)
{
	struct commit_rcpt rcpts[] = {
	    RCPT("ok@example.org", "exchange"), RCPT("fine@example.org", "exchange")};
	struct span to[] = {SPAN("--to"), SPAN("fine@example.org")};
	struct selection s;
	struct err err = {0};
	const char *why = NULL;

	(void)state;
	rcpts[1].copy = 3; /* kept by the policy: a leg of its own */
	fakes[0].final = "";
	accept_mail(SENDER, false, rcpts, 2);
	turns(50);
	assert_string_equal(show_state(mail()), "active");
	assert_int_equal(selection_parse(to, 2, SPAN("joe"), clock_wall_ms(), &s, &err), 0);
	assert_int_equal(admin_do(&d, mail(), ADMIN_DELETE, &s, 0, &why), ADMIN_DONE);
	selection_free(&s);
	assert_non_null(mail()); /* the other is still under way */
	say_late(&fakes[0], "250 2.0.0 taken\r\n");
	run();
	assert_null(mail());
	assert_int_equal(fake_spool.n_forgotten, 1);
}

/* The role ends while a server has not answered yet. */
static void
test_after_the_end(void **state)
{
	(void)state;
	fakes[0].final = "";
	accept_mail(SENDER, false, good, 1);
	turns(50);
	delivery_free(&d);
	say_late(&fakes[0], "250 2.0.0 taken\r\n");
	start_delivery();
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_after_the_next_server),
	    TEST(test_after_a_refused_mail),
	    TEST(test_behind_the_reply),
	    TEST(test_beside_a_deleted_part),
	    TEST(test_after_the_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

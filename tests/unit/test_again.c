/* A held message is filtered again: what front's answer makes of it, and what a crash leaves. */
#include "tests/unit/hold_world.h"

/* --- what becomes of it -------------------------------------------------------------------------- */

static void
test_delivered(void **state)
{
	(void)state;
	accept_held(2);
	retry();
	says(COPY_DELIVER);
	assert_int_equal(fake_spool.n, 2);
	assert_true(fake_spool.messages[0].is_live); /* until the other is durable */
	assert_int_equal(fakes[0].n_connections, 0);
	run();
	assert_null(mail());
	assert_int_equal(fakes[0].n_messages, 2);
	assert_true(gateway_got(RECEIVED "X: again\r\n" SECTION BODY));
	assert_string_equal(fake_spool.messages[1].id, "MAIL1");
	assert_int_equal(fake_spool.n_forgotten, 2);
}

static void
test_quarantined_and_discarded(void **state)
{
	static const enum copy_fate fates[4] = {COPY_QUARANTINE, COPY_DISCARD};

	(void)state;
	accept_held(2);
	retry();
	front_says(fates, false);
	run();
	assert_null(mail());
	assert_int_equal(fake_quarantine.n, 1);
	assert_true(span_eq(fake_quarantine.letters[0].letter.reason, SPAN("so it was")));
	assert_int_equal(fake_quarantine.letters[0].letter.n_rcpts, 1);
	assert_int_equal(fakes[0].n_messages, 0);
}

/* Some go on, some stay: the part has a name of its own until the last one goes. */
static void
test_some_stay(void **state)
{
	static const enum copy_fate fates[4] = {COPY_DELIVER, COPY_HOLD};

	(void)state;
	accept_held(2);
	retry();
	assert_names("MAIL1-H1", true);
	front_says(fates, false);
	run();
	assert_string_equal(fake_spool.messages[1].id, "MAIL1-H1");
	assert_int_equal(fakes[0].n_messages, 1);
	assert_held();
	assert_int_equal(mail()->rcpts[0].state, RCPT_MOVED);
	assert_int_equal(mail()->rcpts[1].state, RCPT_HELD);
	retry();
	assert_names("MAIL1-H2", true);
	says(COPY_DELIVER);
	run();
	assert_null(mail());
	assert_string_equal(fake_spool.messages[2].id, "MAIL1");
	assert_int_equal(fakes[0].n_messages, 2);
}

/* It was late for our own sake, and its sender is not told that a gateway was. */
static void
test_no_delay_notice(void **state)
{
	(void)state;
	stop_gateways();
	accept_held(1);
	set_clock(5 * HOUR_MS);
	retry();
	says(COPY_DELIVER);
	run();
	assert_int_equal(fake_spool.n, 2);
	assert_int_equal(mail()->rcpts[0].state, RCPT_WAITING);
	assert_true(mail()->is_warned);
}

/* What an admin does while front has it changes no name that front was told. */
static void
test_name_is_kept(void **state)
{
	struct selection s = {.to = two[0].address, .by = "admin"};
	const char *why = NULL;

	(void)state;
	accept_held(2);
	retry();
	assert_names("MAIL1-H1", true);
	assert_int_equal(admin_do(&d, mail(), ADMIN_DELETE, &s, 0, &why), ADMIN_DONE);
	says(COPY_DELIVER);
	run();
	assert_null(mail());
	assert_string_equal(fake_spool.messages[1].id, "MAIL1");
	assert_int_equal(fakes[0].n_messages, 1);
}

/* Its other copy is on its way all the while. */
static void
test_beside_a_delivery(void **state)
{
	struct commit_rcpt rcpts[] = {two[0], two[1]};

	(void)state;
	rcpts[1].copy = 1;
	stop_gateways();
	accept_held_for(SPAN("MAIL1"), SENDER, SPAN("av"), rcpts, 2);
	run();
	assert_string_not_equal(show_state(mail()), "held");
	retry();
	assert_int_equal(front.n, 1);
	assert_names("MAIL1-H1", false);
	says(COPY_DELIVER);
	run();
	assert_string_equal(fake_spool.messages[1].id, "MAIL1-H1");
	assert_int_equal(queue_count(d.queue), 2);
	assert_int_equal(mail()->rcpts[0].state, RCPT_MOVED);
	assert_int_equal(mail()->rcpts[1].state, RCPT_WAITING);
}

static void
test_not_stored(void **state)
{
	(void)state;
	accept_held(1);
	retry();
	says(COPY_DELIVER);
	commit(false);
	run();
	assert_held();
	assert_true(fake_spool.messages[0].is_live);
	run_at(5 * MINUTE_MS - 1);
	assert_int_equal(front.n, 1);
	/* The disk is full by now: its filters do not run for that. */
	fake_spool.is_full = true;
	run_at(5 * MINUTE_MS);
	assert_int_equal(front.n, 1);
	assert_int_equal(mail()->hold.tries, 2);
	fake_spool.is_full = false;
	run_at(20 * MINUTE_MS - 1);
	assert_int_equal(front.n, 1);
	run_at(20 * MINUTE_MS);
	assert_int_equal(front.n, 2);
	/* It becomes full while they run. */
	fake_spool.is_full = true;
	says(COPY_DELIVER);
	run();
	assert_held();
	fake_spool.is_full = false;
	run_at(35 * MINUTE_MS - 1);
	assert_int_equal(front.n, 2);
	run_at(35 * MINUTE_MS);
	says(COPY_DELIVER);
	run();
	assert_null(mail());
	assert_int_equal(fakes[0].n_messages, 1);
}

/* The header sections are counted with the body: both have to fit. */
static void
test_room(void **state)
{
	(void)state;
	accept_held(1);
	retry();
	assert_int_equal(fake_spool.asked_room, sizeof(SECTION BODY) - 1 + COMMIT_HEADER_MAX);
	says(COPY_DELIVER);
	assert_int_equal(fake_spool.asked_room,
	    sizeof(SECTION BODY) - 1 + sizeof(RECEIVED "X: again\r\n" SECTION) - 1);
	run();
	assert_null(mail());
}

static unsigned
count_told(int end, const char *event)
{
	struct buf b = {0};
	struct message m;
	unsigned n = 0;

	while (channel_receive(end, &m, &b, 0) == 0)
		n += memmem(m.payload.p, m.payload.n, event, strlen(event)) != NULL;
	buf_free(&b);
	return n;
}

/* What is dropped is told when that is certain, and once. */
static void
test_discarded_is_told(void **state)
{
	static const enum copy_fate fates[4] = {COPY_DELIVER, COPY_DISCARD};
	static const struct channel_events events = {.on_message = NULL};
	int ends[2];

	(void)state;
	channel_pair(ends);
	d.journal = channel_new(loop, ends[0], &events, NULL);
	accept_held(2);
	retry();
	front_says(fates, false);
	commit(false);
	run();
	assert_held();
	assert_int_equal(count_told(ends[1], "\"discarded\""), 0);
	retry();
	front_says(fates, false);
	run();
	assert_null(mail());
	assert_int_equal(count_told(ends[1], "\"discarded\""), 1);
	channel_free(&d.journal);
	(void)close(ends[1]);
}

/* A front that is not ours any more: what it says of other bytes than were sent is no answer. */
static void
test_other_bytes(void **state)
{
	static const struct commit_cut behind = {.at = 60, .n = 40, .text = {"x", 1}},
				       within = {.at = 2, .n = 4, .text = {"x", 1}};
	static const struct {
		struct lie lie;
		bool is_believed;
	} rows[] = {
	    {{.cut = &within}, true},
	    {{.more_size = 100, .cut = &behind}, false},
	    {{.more_size = 100}, false},
	    {{.more_size = (uint64_t)-1}, false},
	    {{.more_section = 1}, false},
	    {{.more_section = (uint64_t)-1}, false},
	    {{.more_section = 100, .more_size = 100}, false},
	    {{.is_inline = true}, false},
	};
	static const enum copy_fate fates[4] = {COPY_DELIVER};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		size_t n = fake_spool.n;

		accept_held(1);
		retry();
		front_lies(fates, false, &rows[i].lie);
		if (fake_spool.n - n != (rows[i].is_believed ? 2 : 1))
			fail_msg("row %zu", i);
		run();
		if (rows[i].is_believed) {
			assert_null(mail());
			assert_true(gateway_got(RECEIVED "X: again\r\n" SECTION "\r\nx\r\n"));
			continue;
		}
		assert_held();
		assert_int_equal(mail()->hold.deaths, 1); /* as what cannot be read at all */
		assert_int_equal(order(ADMIN_DELETE), ADMIN_DONE);
	}
}

/* --- an admin ------------------------------------------------------------------------------------- */

static void
test_orders(void **state)
{
	(void)state;
	accept_held(1);
	assert_int_equal(order(ADMIN_RELEASE), ADMIN_REFUSED);
	assert_int_equal(order(ADMIN_BOUNCE), ADMIN_REFUSED);
	assert_int_equal(order(ADMIN_HOLD), ADMIN_UNCHANGED);
	assert_int_equal(order(ADMIN_RETRY), ADMIN_DONE);
	run();
	assert_int_equal(front.n, 1);
	assert_int_equal(order(ADMIN_DELETE), ADMIN_DONE); /* while front has it */
	assert_null(mail());
	says(COPY_DELIVER);
	run();
	assert_int_equal(fake_spool.n, 1);
	accept_held(1); /* the id again: the answer was not for this one */
	assert_held();
	assert_int_equal(order(ADMIN_RETRY), ADMIN_DONE);
	run();
	says(COPY_DELIVER);
	assert_int_equal(order(ADMIN_DELETE), ADMIN_ACTIVE); /* too late */
	run();
	assert_null(mail());
	assert_int_equal(fakes[0].n_messages, 1);
}

/* Whoever is left is filtered again at the same time. */
static void
test_one_is_deleted(void **state)
{
	static struct held_room room;
	struct selection s = {.to = two[1].address, .by = "admin"};
	const char *why = NULL;
	struct held h;

	(void)state;
	accept_held(2);
	assert_int_equal(admin_do(&d, mail(), ADMIN_DELETE, &s, 0, &why), ADMIN_DONE);
	run_at(5 * MINUTE_MS);
	assert_int_equal(front.n, 1);
	assert_int_equal(held_get(buf_span(&front.payload), &h, &room), 0);
	assert_int_equal(h.n_rcpts, 1);
	says(COPY_DELIVER);
	run();
	assert_null(mail());
	assert_int_equal(fakes[0].n_messages, 1);
}

/* What is left beside it waits for an admin or for a time: neither takes away what is at work. */
static void
test_deleted_beside_others(void **state)
{
	struct selection of_a = {.to = two[0].address, .by = "admin"},
			 of_b = {.to = two[1].address, .by = "admin"};
	struct commit_rcpt rcpts[] = {two[0], two[1]};
	const char *why = NULL;

	(void)state;
	rcpts[0].copy = 1;
	for (int i = 0; i < 3; i++) {
		unsigned before = front.n;

		accept_held_for(SPAN("MAIL1"), SENDER, SPAN("av"), rcpts, 2);
		assert_int_equal(admin_do(&d, mail(), ADMIN_HOLD, &of_a, 0, &why), ADMIN_DONE);
		retry();
		assert_int_equal(front.n, before + 1);
		assert_int_equal(admin_do(&d, mail(), ADMIN_DELETE, &of_b, 0, &why), ADMIN_DONE);
		assert_int_equal(mail()->hold.state, HOLD_BUSY);
		if (i == 0)
			says(COPY_DELIVER);
		else if (i == 1)
			again_put_back(&d, LIFE, front.job);
		else
			again_front_lost(&d, LIFE);
		assert_int_equal(mail()->hold.state, HOLD_WAITING);
		assert_null(d.hold->job);
		assert_int_equal(mail()->rcpts[0].state, RCPT_HELD);
		assert_int_equal(mail()->rcpts[1].state, RCPT_DELETED);
		assert_int_equal(order(ADMIN_DELETE), ADMIN_DONE);
		assert_null(mail());
	}
}

/* Its entry knows nothing of the job any more: the next one is not kept from it. */
static void
test_job_without_entry(void **state)
{
	(void)state;
	for (int i = 0; i < 3; i++) {
		accept_held(1);
		retry();
		assert_int_equal(mail()->hold.state, HOLD_BUSY);
		mail()->hold.state = HOLD_WAITING;
		if (i == 0)
			says(COPY_DELIVER);
		else if (i == 1)
			again_put_back(&d, LIFE, front.job);
		else
			again_front_lost(&d, LIFE);
		assert_null(d.hold->job);
		assert_int_equal(order(ADMIN_DELETE), ADMIN_DONE);
		assert_null(mail());
	}
}

static void
test_damaged(void **state)
{
	(void)state;
	accept_held(1);
	fake_spool.messages[0].is_damaged = true;
	run_at(5 * MINUTE_MS);
	assert_int_equal(front.n, 0);
	assert_non_null(strstr(problem, "cannot be read back"));
	assert_held();
	run_at(30 * HOUR_MS);
	assert_held();
	assert_int_equal(fake_quarantine.n, 0);
	fake_spool.messages[0].is_damaged = false;
	fake_spool.messages[0].verify_steps = 5; /* large, too */
	set_clock(HOUR_MS);
	retry();
	assert_int_equal(front.n, 1);
}

/* --- what a crash leaves --------------------------------------------------------------------------- */

static void
test_note_is_kept(void **state)
{
	(void)state;
	accept_held(1);
	for (int i = 0; i < 3; i++) {
		retry();
		front_says((enum copy_fate[4]){COPY_HOLD}, true);
		run();
	}
	crash(false);
	assert_int_equal(mail()->hold.tries, 3);
	assert_int_equal(mail()->hold.deaths, 1); /* the retries have forgiven the others */
	assert_true(span_eq(rcpt_reply(mail(), &mail()->rcpts[0]), SPAN("so it was")));
	run_at(15 * MINUTE_MS - 1000);
	assert_int_equal(front.n, 3);
	run_at(15 * MINUTE_MS);
	assert_int_equal(front.n, 4);
}

/* Before the part is durable: the held one alone.  After it: what the held one's note does not say,
 * the part does, whichever is found first. */
static void
test_crash_between(void **state)
{
	static const enum copy_fate fates[4] = {COPY_DELIVER, COPY_HOLD};

	(void)state;
	for (int k = 0; k < 8; k++) {
		bool is_durable = k & 1, is_backwards = k & 2, is_some = k & 4;
		size_t first = fake_spool.n;

		set_clock(0);
		fakes[0].n_messages = 0;
		accept_held(2);
		retry();
		if (is_some)
			front_says(fates, false);
		else
			says(COPY_DELIVER);
		fake_spool.messages[first + 1].is_committed = is_durable;
		crash(is_backwards);
		assert_int_equal(mail() != NULL, 1);
		if (!is_durable || is_some)
			assert_held();
		run();
		assert_int_equal(fakes[0].n_messages, is_durable ? (is_some ? 1 : 2) : 0);
		assert_int_equal(mail() != NULL, !is_durable || is_some);
		if (mail() != NULL) {
			retry();
			says(COPY_DELIVER);
			run();
		}
		assert_null(mail());
		assert_int_equal(fakes[0].n_messages, 2);
		fake_spool.messages[first + 1].is_live = false;
	}
}

/* An envelope of the first version: what it holds stays, and says so. */
static void
test_first_version(void **state)
{
	struct spool_message *m = &fake_spool.messages[0];
	struct buf old = BUF_INIT(1024);
	struct queue_entry *e;

	(void)state;
	put_u8(&old, 1);
	put_u8(&old, MAIL_RELAYED);
	put_span(&old, SPAN("inbound"));
	put_span(&old, SENDER);
	put_u8(&old, 0);
	put_u8(&old, 0);
	put_u8(&old, 0);
	put_span(&old, SPAN(""));
	put_i64(&old, clock_wall_ms());
	put_u32(&old, 2);
	for (uint8_t i = 0; i < 2; i++) {
		put_u32(&old, 10);
		put_u8(&old, i == 0 ? COPY_DELIVER : COPY_HOLD);
		put_span(&old, i == 0 ? SPAN("") : SPAN("held"));
		put_u8(&old, 0);
	}
	put_u32(&old, 2);
	for (uint32_t i = 0; i < 2; i++) {
		put_span(&old, two[i].address);
		put_span(&old, two[i].gateway);
		put_u32(&old, i);
		put_u8(&old, 0);
		put_span(&old, SPAN(""));
	}
	e = entry_new(SPAN("MAIL1"), buf_span(&old));
	assert_non_null(e);
	assert_int_equal(e->copies[1].fate, COPY_HOLD);
	assert_false(entry_awaits_filter(e));
	entry_free(&e);
	fake_spool.n = 1;
	m->is_live = m->is_committed = true;
	(void)span_copy(SPAN("MAIL1"), m->id, sizeof(m->id));
	m->envelope.max = m->bytes.max = m->note.max = m->unwritten.max = 4096;
	must(buf_add_span(&m->envelope, buf_span(&old)) == 0);
	must(buf_add_str(&m->bytes, "X: 123456\nY: 123456\n\r\ntext\r\n") == 0);
	crash(false);
	run();
	assert_int_equal(fakes[0].n_messages, 1); /* the other copy */
	assert_held();
	assert_int_equal(order(ADMIN_RETRY), ADMIN_REFUSED);
	run_at(20 * HOUR_MS);
	assert_int_equal(front.n, 0);
	assert_int_equal(order(ADMIN_DELETE), ADMIN_DONE);
	assert_null(mail());
	buf_free(&old);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    HOLD_TEST(test_delivered),
	    HOLD_TEST(test_quarantined_and_discarded),
	    HOLD_TEST(test_some_stay),
	    HOLD_TEST(test_no_delay_notice),
	    HOLD_TEST(test_name_is_kept),
	    HOLD_TEST(test_beside_a_delivery),
	    HOLD_TEST(test_not_stored),
	    HOLD_TEST(test_room),
	    HOLD_TEST(test_discarded_is_told),
	    HOLD_TEST(test_other_bytes),
	    HOLD_TEST(test_orders),
	    HOLD_TEST(test_one_is_deleted),
	    HOLD_TEST(test_deleted_beside_others),
	    HOLD_TEST(test_job_without_entry),
	    HOLD_TEST(test_damaged),
	    HOLD_TEST(test_note_is_kept),
	    HOLD_TEST(test_crash_between),
	    HOLD_TEST(test_first_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

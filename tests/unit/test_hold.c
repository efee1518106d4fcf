/* What is held to be filtered again: when, what front's answer makes of it, and what a crash leaves. */
#include "relay/walk/admin.h"
#include "tests/unit/delivery_world.h"

#include <stdio.h>

#define RECEIVED "Received: from x\r\n"
#define SECTION  "Subject: later\r\n"
#define BODY     "\r\ntext\r\n"
#define WHY      "filter av: failure"

enum { LIFE = 3 };

/* What the fake front was asked last. */
static struct {
	uint64_t job;
	unsigned n;
	struct buf payload, file;
	bool is_away;
} front;
static char awaited[COMMIT_FILTER_MAX + 1];
static unsigned n_awaits;

static uint64_t
on_refilter(void *arg, uint64_t job, struct span payload, int fd)
{
	struct span whole;

	(void)arg;
	must(channel_map(fd, 1 << 20, &whole) == 0); /* sealed */
	(void)close(fd);
	buf_clear(&front.payload);
	buf_clear(&front.file);
	must(buf_add_span(&front.payload, payload) == 0 && buf_add_span(&front.file, whole) == 0);
	channel_unmap(&whole);
	if (front.is_away)
		return 0;
	front.job = job;
	front.n++;
	return LIFE;
}

static void
on_awaits(void *arg, struct span filter)
{
	(void)arg;
	must(span_copy(filter, awaited, sizeof(awaited)));
	n_awaits++;
}

static void
begin(void)
{
	d.on_refilter = on_refilter;
	d.on_awaits = on_awaits;
	d.hold->has_fronts = true;
	hold_recovered(&d);
}

static int
set_up_hold(void **state)
{
	front.payload.max = front.file.max = 1 << 20;
	front.n = 0;
	front.is_away = false;
	n_awaits = 0;
	(void)set_up(state);
	begin();
	return 0;
}

static int
tear_down_hold(void **state)
{
	buf_free(&front.payload);
	buf_free(&front.file);
	return tear_down(state);
}

/* --- mail --------------------------------------------------------------------------------------- */

static void
accept_held_for(
    struct span id, struct span from, struct span filter, const struct commit_rcpt *rcpts, size_t n)
{
	struct commit_copy copies[] = {{.prefix = SPAN(RECEIVED SECTION),
					   .fate = COPY_HOLD,
					   .why = SPAN(WHY),
					   .waits_for = filter},
	    {.prefix = SPAN(RECEIVED "X: now\r\n" SECTION)}};
	struct held_facts facts = {.helo = SPAN("h")};
	struct buf b = BUF_INIT(1024);
	struct envelope envelope = {.flow = SPAN("inbound"),
	    .from = from,
	    .received_ms = clock_wall_ms(),
	    .copies = copies,
	    .n_copies = 2,
	    .rcpts = rcpts,
	    .n_rcpts = n,
	    .received = sizeof(RECEIVED) - 1};
	struct arrival a = {0};
	struct intake_body body = {.body = SPAN(BODY), .fd = -1, .size = sizeof(BODY) - 1};

	held_facts_put(&b, &facts);
	envelope.facts = buf_span(&b);
	must(intake_put(d.intake, d.spool, &a, id, &envelope, &body) == 0);
	buf_free(&b);
	commit(true);
}

static const struct commit_rcpt two[] = {
    RCPT("ok@example.org", "exchange"), RCPT("ok2@example.org", "exchange")};

static void
accept_held(size_t n_rcpts)
{
	accept_held_for(SPAN("MAIL1"), SENDER, SPAN("av"), two, n_rcpts);
}

/* Front's answer: each recipient's fate.  What goes on gets a header of today. */
static void
front_says(const enum copy_fate *fates, bool is_deadly)
{
	static struct held_room room;
	struct commit_copy copies[4];
	struct commit_rcpt rcpts[4];
	uint32_t asked[4];
	struct replacement r = {.asked = asked, .is_deadly = is_deadly};
	struct buf b = BUF_INIT(1 << 20);
	struct held h;

	must(held_get(buf_span(&front.payload), &h, &room) == 0 && h.n_rcpts <= 4);
	for (uint32_t i = 0; i < h.n_rcpts; i++) {
		/* In another order than was asked. */
		asked[i] = (uint32_t)h.n_rcpts - 1 - i;
		copies[i] = (struct commit_copy){.fate = fates[asked[i]],
		    .why = SPAN("so it was"),
		    .waits_for = fates[asked[i]] == COPY_HOLD ? SPAN("av") : (struct span){0}};
		if (fates[asked[i]] == COPY_DELIVER || fates[asked[i]] == COPY_QUARANTINE)
			copies[i].prefix = SPAN(RECEIVED "X: again\r\n" SECTION);
		rcpts[i] = h.rcpts[asked[i]];
		rcpts[i].copy = i;
	}
	r.commit = (struct commit){.id = h.id,
	    .flow = h.flow,
	    .from = h.from,
	    .copies = copies,
	    .n_copies = h.n_rcpts,
	    .rcpts = rcpts,
	    .n_rcpts = h.n_rcpts,
	    .skip = h.section,
	    .body_size = h.size};
	replacement_put(&b, &r);
	again_answer(&d, LIFE, front.job, buf_span(&b));
	buf_free(&b);
}

static void
says(enum copy_fate fate)
{
	front_says((enum copy_fate[4]){fate, fate, fate, fate}, false);
}

static void
retry(void)
{
	deliver_now(&d, mail());
	run();
}

static void
assert_held(void)
{
	assert_string_equal(show_state(mail()), "held");
}

/* --- when ---------------------------------------------------------------------------------------- */

static void
test_by_the_curve(void **state)
{
	static struct held_room room;
	static const int64_t times_ms[] = {5, 10, 25, 40, 55};
	struct held h;

	(void)state;
	accept_held(2);
	run();
	assert_held();
	assert_int_equal(front.n, 0);
	assert_int_equal(fakes[0].n_connections, 0);
	for (size_t i = 0; i < 5; i++) {
		run_at(times_ms[i] * MINUTE_MS - 1);
		assert_int_equal(front.n, i);
		run_at(times_ms[i] * MINUTE_MS);
		assert_int_equal(front.n, i + 1);
		assert_held();
		says(COPY_HOLD);
		run();
		assert_int_equal(mail()->hold.tries, i + 1);
		assert_true(span_eq(rcpt_reply(mail(), &mail()->rcpts[1]), SPAN("so it was")));
	}
	assert_int_equal(held_get(buf_span(&front.payload), &h, &room), 0);
	assert_true(span_eq(h.received, SPAN(RECEIVED)) && span_eq(h.id, SPAN("MAIL1")));
	assert_true(span_eq(buf_span(&front.file), SPAN(SECTION BODY)));
	assert_int_equal(h.section, sizeof(SECTION) - 1);
	assert_true(span_eq(h.facts.helo, SPAN("h")));
	assert_int_equal(h.n_rcpts, 2);
	assert_int_equal(fake_spool.n, 1);
}

/* Whoever is held for something hears of it, and nobody else. */
static void
test_signals(void **state)
{
	static const struct {
		const char *waits_for, *signal;
		bool is_policy, is_asked;
	} rows[] = {
	    {"av", "av", false, true},
	    {"av", "other", false, false},
	    {"av", "", false, true}, /* perhaps any */
	    {"*", "other", false, true},
	    {"", "av", false, false}, /* a rule holds it */
	    {"", "", false, false},
	    {"", "", true, true},
	    {"av", "", true, false},
	};
	char id[] = "MAIL0";

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		unsigned before = front.n;

		id[4] = (char)('0' + i);
		accept_held_for(span_str(id), SENDER, span_str(rows[i].waits_for), two, 1);
		run();
		hold_signal(&d, span_str(rows[i].signal), rows[i].is_policy);
		run();
		if (front.n - before != rows[i].is_asked)
			fail_msg("row %zu", i);
		if (!rows[i].is_asked)
			deliver_now(&d, queue_find(d.queue, span_str(id)));
		run();
		says(COPY_DISCARD);
		run();
		assert_int_equal(queue_count(d.queue), 0);
	}
}

/* The fronts are asked once to say when the filter works, until they have. */
static void
test_awaited(void **state)
{
	(void)state;
	accept_held_for(SPAN("MAIL1"), SENDER, SPAN("av"), two, 1);
	accept_held_for(SPAN("MAIL2"), SENDER, SPAN("av"), two, 1);
	accept_held_for(SPAN("MAIL3"), SENDER, SPAN(""), two, 1);
	assert_int_equal(n_awaits, 1);
	assert_string_equal(awaited, "av");
	hold_signal(&d, SPAN("av"), false);
	run();
	says(COPY_HOLD); /* MAIL1: it does not */
	assert_int_equal(n_awaits, 2);
}

/* Success with one is a signal for the others. */
static void
test_one_for_all(void **state)
{
	(void)state;
	accept_held_for(SPAN("MAIL1"), SENDER, SPAN("av"), two, 1);
	accept_held_for(SPAN("MAIL2"), SENDER, SPAN("av"), two, 1);
	accept_held_for(SPAN("MAIL3"), SENDER, SPAN("other"), two, 1);
	retry();
	says(COPY_DELIVER);
	run();
	assert_int_equal(front.n, 2);
	says(COPY_DELIVER);
	run();
	assert_int_equal(front.n, 2);
	assert_int_equal(queue_count(d.queue), 1);
	assert_int_equal(fakes[0].n_messages, 2);
}

/* A signal does not make it hot: what was tried of late waits, the longer the oftener it was. */
static void
test_calm(void **state)
{
	int64_t at_ms = 0;

	(void)state;
	accept_held(1);
	run();
	for (uint32_t tries = 0; tries < 7; tries++) {
		hold_signal(&d, SPAN("av"), false);
		run_at(at_ms);
		assert_int_equal(front.n, tries + (hold_calm_ms(tries) == 0));
		run_at(at_ms + hold_calm_ms(tries) - 1);
		assert_int_equal(front.n, tries + (hold_calm_ms(tries) == 0));
		at_ms += hold_calm_ms(tries);
		run_at(at_ms); /* the signal is not forgotten */
		assert_int_equal(front.n, tries + 1);
		says(COPY_HOLD);
		run();
	}
	assert_int_equal(hold_calm_ms(1), HOLD_CALM_MS);
	assert_int_equal(hold_calm_ms(5), 16 * HOLD_CALM_MS);
	assert_int_equal(hold_calm_ms(UINT32_MAX), HOLD_CALM_LAST);
}

static void
test_deadly(void **state)
{
	static const enum copy_fate held[4] = {COPY_HOLD, COPY_HOLD, COPY_HOLD, COPY_HOLD};
	struct span reply;

	(void)state;
	accept_held(1);
	for (int i = 1; i <= HOLD_DEATHS_MAX; i++) {
		run_at(i * HOUR_MS);
		assert_int_equal(front.n, i);
		if (i % 2 == 0)
			again_front_lost(&d, LIFE);
		else
			front_says(held, true);
		if (i < HOLD_DEATHS_MAX)
			set_clock(i * HOUR_MS + HOLD_CALM_MS);
		run();
	}
	reply = rcpt_reply(mail(), &mail()->rcpts[0]);
	assert_non_null(memmem(reply.p, reply.n, "has cost 5 processes", 20));
	hold_signal(&d, SPAN("av"), false);
	run_at(10 * HOUR_MS);
	run_at(20 * HOUR_MS);
	assert_int_equal(front.n, HOLD_DEATHS_MAX);
	assert_held();
	retry(); /* an admin may */
	assert_int_equal(front.n, HOLD_DEATHS_MAX + 1);
	assert_int_equal(mail()->hold.deaths, 0);
	says(COPY_DELIVER);
	run();
	assert_null(mail());
}

/* Many whose time has come: some now, the others later, one after the other. */
static void
test_many(void **state)
{
	char id[16];

	(void)state;
	for (int i = 0; i < HOLD_READY_MAX + 10; i++) {
		(void)snprintf(id, sizeof(id), "MAIL%d", i);
		accept_held_for(span_str(id), SENDER, SPAN(""), two, 1);
	}
	run_at(5 * MINUTE_MS);
	for (int i = 1; i <= HOLD_READY_MAX; i++) {
		assert_int_equal(front.n, i);
		says(COPY_DISCARD);
		run();
	}
	assert_int_equal(front.n, HOLD_READY_MAX);
	run_at(5 * MINUTE_MS + HOLD_AGAIN_MS);
	for (int i = 1; i <= 10; i++) {
		assert_int_equal(front.n, HOLD_READY_MAX + i);
		says(COPY_DISCARD);
		run();
	}
	assert_int_equal(queue_count(d.queue), 0);
}

static void
test_no_front(void **state)
{
	(void)state;
	d.hold->has_fronts = false;
	accept_held(1);
	run_at(5 * MINUTE_MS);
	assert_int_equal(front.n, 0);
	d.hold->has_fronts = front.is_away = true; /* its channel is full */
	run();
	assert_int_equal(front.n, 0);
	front.is_away = false;
	run_at(5 * MINUTE_MS + HOLD_AGAIN_MS);
	assert_int_equal(front.n, 1);
	again_put_back(&d, LIFE + 1, front.job); /* of a former life */
	run();
	assert_int_equal(front.n, 1);
	again_put_back(&d, LIFE, front.job);
	run_at(5 * MINUTE_MS + 2 * HOLD_AGAIN_MS);
	assert_int_equal(front.n, 2);
	assert_int_equal(mail()->hold.tries, 0);
	/* It never answers. */
	run_at(5 * MINUTE_MS + 2 * HOLD_AGAIN_MS + HOLD_JOB_MS);
	assert_int_equal(mail()->hold.deaths, 1);
	run_at(6 * MINUTE_MS + 2 * HOLD_AGAIN_MS + HOLD_JOB_MS);
	assert_int_equal(front.n, 3);
}

/* --- its end ------------------------------------------------------------------------------------- */

static void
test_expires(void **state)
{
	static const struct commit_rcpt rcpt[] = {RCPT("x@example.org", "exchange")};

	(void)state;
	accept_held_for(SPAN("MAIL1"), SENDER, SPAN("av"), two, 1);
	accept_held_for(SPAN("MAIL2"), SPAN(""), SPAN("av"), rcpt, 1);
	front.is_away = true;
	run_at(24 * HOUR_MS - 1);
	assert_int_equal(queue_count(d.queue), 2);
	run_at(24 * HOUR_MS);
	assert_int_equal(queue_count(d.queue), 0);
	assert_true(gateway_got("time has run out"));
	assert_false(gateway_got("filter av")); /* no outsider's business */
	assert_int_equal(fake_quarantine.n, 1);
	assert_true(span_eq(fake_quarantine.letters[0].letter.id, SPAN("MAIL2")));
	assert_true(
	    span_eq(fake_quarantine.letters[0].letter.reason, SPAN("held until it expired: " WHY)));
	assert_true(
	    span_eq(buf_span(&fake_quarantine.letters[0].bytes), SPAN(RECEIVED SECTION BODY)));
}

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
	front_says(fates, false);
	run();
	assert_string_equal(fake_spool.messages[1].id, "MAIL1-H1");
	assert_int_equal(fakes[0].n_messages, 1);
	assert_held();
	assert_int_equal(mail()->rcpts[0].state, RCPT_MOVED);
	assert_int_equal(mail()->rcpts[1].state, RCPT_HELD);
	retry();
	says(COPY_DELIVER);
	run();
	assert_null(mail());
	assert_string_equal(fake_spool.messages[2].id, "MAIL1");
	assert_int_equal(fakes[0].n_messages, 2);
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
	fake_spool.is_full = true;
	run_at(HOLD_AGAIN_MS);
	assert_int_equal(front.n, 2);
	says(COPY_DELIVER);
	run();
	assert_held();
	fake_spool.is_full = false;
	run_at(2 * HOLD_AGAIN_MS);
	says(COPY_DELIVER);
	run();
	assert_null(mail());
	assert_int_equal(fakes[0].n_messages, 1);
}

/* --- an admin ------------------------------------------------------------------------------------- */

static enum admin_result
order(enum admin_verb verb)
{
	const struct span id = SPAN("MAIL1");
	struct selection s = {.ids = &id, .n_ids = 1, .by = "admin"};
	const char *why = NULL;

	return admin_do(&d, mail(), verb, &s, 0, &why);
}

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
	set_clock(HOUR_MS);
	retry();
	assert_int_equal(front.n, 1);
}

/* --- what a crash leaves --------------------------------------------------------------------------- */

static void
crash(bool is_backwards)
{
	delivery_free(&d);
	start_delivery();
	for (size_t i = 0; i < fake_spool.n; i++) {
		struct spool_message *m =
		    &fake_spool.messages[is_backwards ? fake_spool.n - 1 - i : i];

		m->is_live = m->is_live && m->is_committed;
		m->is_committed = true;
		if (m->is_live)
			deliver_recover(
			    &d, m, span_str(m->id), buf_span(&m->envelope), buf_span(&m->note));
	}
	begin();
}

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

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up_hold, tear_down_hold)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_by_the_curve),
	    TEST(test_signals),
	    TEST(test_awaited),
	    TEST(test_one_for_all),
	    TEST(test_calm),
	    TEST(test_deadly),
	    TEST(test_many),
	    TEST(test_no_front),
	    TEST(test_expires),
	    TEST(test_delivered),
	    TEST(test_quarantined_and_discarded),
	    TEST(test_some_stay),
	    TEST(test_beside_a_delivery),
	    TEST(test_not_stored),
	    TEST(test_orders),
	    TEST(test_damaged),
	    TEST(test_note_is_kept),
	    TEST(test_crash_between),
	    TEST(test_first_version),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

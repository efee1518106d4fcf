/* Entries, envelopes, notes and the order of attempts. */
#include "relay/base/clock.h"
#include "relay/base/mem.h"
#include "relay/base/rng.h"
#include "relay/deliver/queue.h"
#include "relay/deliver/show.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { NOW_MS = 1000000 };
#define WALL_MS 1700000000000LL

static const struct commit_rcpt rcpts[] = {
    {.address = {"a@one.example", 13}, .gateway = {"one", 3}},
    {.address = {"b@two.example", 13}, .gateway = {"two", 3}},
    {.address = {"c@one.example", 13}, .gateway = {"one", 3}},
    {.address = {"d@one.example", 13},
	.gateway = {"one", 3},
	.copy = 1,
	.notify = NOTIFY_NEVER,
	.orcpt = {"rfc822;d", 8}},
};

static const struct commit_copy copies[] = {
    {.prefix = {"A: 1\r\n", 6}, .is_tagged = true},
    {.prefix = {"A: 1\r\nB: 2\r\n", 12}, .fate = COPY_QUARANTINE, .why = {"suspicious", 10}},
    {.prefix = {"C: 3\r\n", 6}},
};

static int
set_up(void **state)
{
	(void)state;
	clock_fake(NOW_MS, WALL_MS);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	clock_fake(0, -1);
	return 0;
}

static struct queue_entry *
entry_of(const char *id)
{
	struct buf bytes = BUF_INIT(4096);
	struct queue_entry *e;
	struct envelope envelope = {.kind = MAIL_BOUNCE,
	    .flow = SPAN("inbound"),
	    .from = SPAN("s@example.net"),
	    .is_utf8 = true,
	    .ret = RET_FULL,
	    .envid = SPAN("envelope1"),
	    .received_ms = WALL_MS - 5000,
	    .copies = copies,
	    .n_copies = 3,
	    .rcpts = rcpts,
	    .n_rcpts = 4};

	envelope_put(&bytes, &envelope);
	e = entry_new(span_str(id), buf_span(&bytes));
	buf_free(&bytes);
	assert_non_null(e);
	return e;
}

static void
test_envelope(void **state)
{
	struct queue_entry *e = entry_of("ID1");

	(void)state;
	assert_string_equal(e->id, "ID1");
	assert_int_equal(e->kind, MAIL_BOUNCE);
	assert_true(span_eq(e->from, SPAN("s@example.net")));
	assert_true(e->is_utf8 && !e->is_8bit);
	assert_int_equal(e->ret, RET_FULL);
	assert_true(span_eq(e->envid, SPAN("envelope1")));
	assert_true(e->received_ms == WALL_MS - 5000);
	assert_int_equal(e->n_rcpts, 4);
	assert_int_equal(e->n_legs, 3); /* the last one's copy is another */
	assert_true(span_eq(e->legs[e->rcpts[2].leg].gateway, SPAN("one")));
	assert_int_equal(e->rcpts[0].leg, e->rcpts[2].leg);
	assert_int_equal(e->rcpts[3].state, RCPT_TO_QUARANTINE);
	assert_true(span_eq(rcpt_reply(e, &e->rcpts[3]), SPAN("suspicious")));
	assert_int_equal(e->rcpts[3].notify, NOTIFY_NEVER);
	assert_true(span_eq(e->rcpts[3].orcpt, SPAN("rfc822;d")));
	assert_true(rcpt_copy(e, &e->rcpts[0])->is_tagged);
	assert_int_equal(rcpt_copy(e, &e->rcpts[3])->fate, COPY_QUARANTINE);
	assert_false(entry_is_settled(e));
	assert_true(leg_has(&e->legs[1], RCPT_WAITING));
	assert_false(leg_has(&e->legs[1], RCPT_HELD));
	entry_free(&e);
}

/* Three header sections of 6, 12 and 6 bytes, then a body of 100. */
static void
test_places_of_a_copy(void **state)
{
	static const struct {
		size_t copy;
		uint64_t offset;
		size_t n;
		uint64_t place;
		size_t part;
	} table[] = {{0, 0, 100, 0, 6}, {0, 5, 1, 5, 1}, {0, 6, 50, 24, 50}, {0, 7, 50, 25, 50},
	    {1, 0, 100, 6, 12}, {1, 11, 2, 17, 1}, {1, 12, 10, 24, 10}, {2, 0, 106, 18, 106},
	    {2, 6, 100, 24, 100}, {2, 10, 96, 28, 96}};
	struct queue_entry *e = entry_of("ID1");

	(void)state;
	entry_set_size(e, 124);
	assert_int_equal(e->size, 106);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct queue_leg leg = {.entry = e, .copy = (uint32_t)table[i].copy};
		size_t n = table[i].n;

		assert_int_equal(leg_place(&leg, table[i].offset, &n), table[i].place);
		assert_int_equal(n, table[i].part);
		assert_int_equal(leg_size(&leg), table[i].copy == 1 ? 112 : 106);
	}
	entry_free(&e);
}

static const struct commit_cut cuts[] = {{.at = 0, .n = 3, .text = {"<one>", 5}},
    {.at = 5, .n = 0, .text = {"<2>", 3}}, {.at = 5, .n = 4}, {.at = 18, .n = 2, .text = {"!", 1}}};

/* An envelope whose first and last copies have cuts, over a body of 20. */
static struct envelope
cut_envelope(struct commit_copy *cut)
{
	for (size_t i = 0; i < 3; i++)
		cut[i] = copies[i];
	cut[0].cuts = cuts;
	cut[0].n_cuts = 4;
	cut[2].cuts = cuts + 3;
	cut[2].n_cuts = 1;
	return (struct envelope){
	    .flow = SPAN("f"), .copies = cut, .n_copies = 3, .rcpts = rcpts, .n_rcpts = 4};
}

/* All of a copy, read in pieces of at most `most` bytes. */
static struct span
read_copy(struct queue_entry *e, uint32_t copy, struct span spooled, size_t most, char *to)
{
	struct queue_leg leg = {.entry = e, .copy = copy};
	uint64_t size = leg_size(&leg), at = 0;

	while (at < size) {
		size_t n = most < size - at ? most : (size_t)(size - at), part = n;
		uint64_t place = leg_place(&leg, at, &part);

		assert_true(part > 0 && part <= n && place + part <= spooled.n);
		memcpy(to + at, spooled.p + place, part);
		at += part;
	}
	return span_of(to, (size_t)size);
}

static void
test_cuts(void **state)
{
	static const char *const wanted[] = {"A: 1\r\n<one>34<2>9abcdefgh!",
	    "A: 1\r\nB: 2\r\n0123456789abcdefghij", "C: 3\r\n0123456789abcdefgh!"};
	struct commit_copy cut[3];
	struct envelope envelope = cut_envelope(cut);
	struct buf bytes = BUF_INIT(4096), spooled = BUF_INIT(4096);
	struct queue_entry *e;
	char room[100];

	(void)state;
	envelope_put(&bytes, &envelope);
	assert_int_equal(envelope_put_prefixes(&spooled, &envelope), 0);
	(void)buf_add_str(&spooled, "0123456789abcdefghij"); /* fits */
	e = entry_new(SPAN("ID"), buf_span(&bytes));
	assert_non_null(e);
	assert_true(entry_fits(e, spooled.n));
	assert_false(entry_fits(e, spooled.n - 1)); /* the last cut ends where the body does */
	assert_false(entry_fits(e, e->prefixes - 1));
	entry_set_size(e, spooled.n);
	assert_int_equal(e->size, strlen(wanted[0]));
	for (uint32_t copy = 0; copy < 3; copy++)
		for (size_t most = 1; most < 40; most++)
			if (!span_eq(read_copy(e, copy, buf_span(&spooled), most, room),
				span_str(wanted[copy])))
				fail_msg("copy %u in pieces of %zu: %.60s", copy, most, room);
	entry_free(&e);
	buf_free(&spooled);
	buf_free(&bytes);
}

/* What was written before copies could have cuts, or be held to be filtered again, is still read. */
static void
test_envelope_versions(void **state)
{
	(void)state;
	for (uint8_t version = 1; version <= 2; version++) {
		struct buf bytes = BUF_INIT(4096);
		struct queue_entry *e;

		put_u8(&bytes, version);
		put_u8(&bytes, MAIL_RELAYED);
		put_span(&bytes, SPAN("inbound"));
		put_span(&bytes, SPAN("s@example.net"));
		put_u8(&bytes, 0); /* 8bit, utf8, ret */
		put_u8(&bytes, 0);
		put_u8(&bytes, 0);
		put_span(&bytes, SPAN("")); /* envid */
		put_i64(&bytes, WALL_MS);
		put_u32(&bytes, 1); /* copies */
		put_u32(&bytes, 6);
		put_u8(&bytes, COPY_DELIVER);
		put_span(&bytes, SPAN(""));
		if (version > 1)
			put_span(&bytes, SPAN("")); /* waits_for */
		put_u8(&bytes, 1);
		put_u32(&bytes, 1); /* recipients */
		put_span(&bytes, SPAN("a@one.example"));
		put_span(&bytes, SPAN("one"));
		put_u32(&bytes, 0);
		put_u8(&bytes, 0);
		put_span(&bytes, SPAN(""));
		if (version > 1) {
			put_u32(&bytes, 0); /* received, facts, replaces, moved */
			put_span(&bytes, SPAN(""));
			put_u64(&bytes, 0);
			put_span(&bytes, SPAN(""));
		}
		e = entry_new(SPAN("ID"), buf_span(&bytes));
		assert_non_null(e);
		assert_int_equal(e->prefixes, 6);
		assert_int_equal(e->copies[0].n_cuts, 0);
		assert_true(e->copies[0].is_tagged);
		entry_free(&e);
		buf_free(&bytes);
	}
}

static void
test_envelope_cut_anywhere(void **state)
{
	struct buf bytes = BUF_INIT(4096);
	struct commit_copy cut[3];
	struct envelope envelope = cut_envelope(cut);

	(void)state;
	envelope_put(&bytes, &envelope);
	for (size_t n = 0; n < bytes.n; n++)
		assert_null(entry_new(SPAN("ID"), span_of(bytes.p, n)));
	assert_null(entry_new(SPAN(""), buf_span(&bytes)));
	bytes.p[0] = 99; /* a version to come */
	assert_null(entry_new(SPAN("ID"), buf_span(&bytes)));
	buf_free(&bytes);
}

static void
test_note(void **state)
{
	struct queue_entry *e = entry_of("ID1"), *back = entry_of("ID1");
	struct queue *q = queue_new();
	struct buf note = BUF_INIT(4096);

	(void)state;
	e->is_warned = true;
	e->legs[0].attempts = 3;
	leg_set_reply(&e->legs[0], SPAN("451 later"), "10.0.0.1:25");
	rcpt_set(&e->rcpts[0], RCPT_DELIVERED, SPAN("250 ok"));
	rcpt_set(&e->rcpts[1], RCPT_FAILED, SPAN("550 no"));
	assert_int_equal(queue_add(q, e), 0);
	queue_defer(q, &e->legs[0], NOW_MS + 300000);
	note_put(&note, e);
	clock_fake(NOW_MS + 7, WALL_MS + 100000); /* another life, 100 s later */
	assert_int_equal(note_get(buf_span(&note), back), 0);
	assert_true(back->is_warned);
	assert_int_equal(back->legs[0].attempts, 3);
	assert_true(back->legs[0].due.ms == NOW_MS + 7 + 200000);
	assert_true(back->legs[1].due.ms == NOW_MS + 7);
	assert_string_equal(back->legs[0].reply, "451 later");
	assert_string_equal(back->legs[0].server, "10.0.0.1:25");
	assert_int_equal(back->rcpts[0].state, RCPT_DELIVERED);
	assert_int_equal(back->rcpts[1].state, RCPT_FAILED);
	assert_int_equal(back->rcpts[2].state, RCPT_WAITING);
	assert_true(span_eq(rcpt_reply(back, &back->rcpts[2]), SPAN("451 later")));
	assert_true(span_eq(rcpt_reply(back, &back->rcpts[1]), SPAN("550 no")));
	entry_free(&back);
	buf_free(&note);
	queue_free(&q);
}

/* As many recipients and copies as there can be, each with the longest replies: what became of them
 * is noted all the same. */
static void
test_note_of_thousands(void **state)
{
	struct commit_copy *many = mem_array(COMMIT_COPIES_MAX, sizeof(*many));
	struct commit_rcpt *all = mem_array(COMMIT_RCPTS_MAX, sizeof(*all));
	struct buf bytes = BUF_INIT(SPOOL_ENVELOPE_MAX), note = BUF_INIT(SPOOL_NOTE_MAX);
	struct envelope envelope = {.flow = SPAN("inbound"),
	    .copies = many,
	    .n_copies = COMMIT_COPIES_MAX,
	    .rcpts = all,
	    .n_rcpts = COMMIT_RCPTS_MAX};
	char reply[QUEUE_REPLY_MAX];
	struct queue_entry *e, *back;

	(void)state;
	memset(reply, 'r', sizeof(reply));
	for (uint32_t i = 0; i < COMMIT_RCPTS_MAX; i++)
		all[i] = (struct commit_rcpt){
		    .address = SPAN("a@one.example"), .gateway = SPAN("one"), .copy = i};
	envelope_put(&bytes, &envelope);
	e = entry_new(SPAN("ID1"), buf_span(&bytes));
	back = entry_new(SPAN("ID1"), buf_span(&bytes));
	assert_int_equal(e->n_legs, COMMIT_RCPTS_MAX);
	for (size_t i = 0; i < e->n_rcpts; i++) {
		rcpt_set(&e->rcpts[i], RCPT_DELIVERED, span_of(reply, sizeof(reply)));
		leg_set_reply(&e->legs[i], span_of(reply, sizeof(reply)), "10.0.0.11:25");
	}
	rcpt_set(&e->rcpts[0], RCPT_HELD, SPAN(QUEUE_HELD_BY_ADMIN "joe"));
	note_put(&note, e);
	assert_false(note.failed);
	assert_true(note.n < SPOOL_NOTE_MAX / 2);
	assert_int_equal(note_get(buf_span(&note), back), 0);
	assert_true(rcpt_is_held_by_admin(back, &back->rcpts[0]));
	for (size_t i = 1; i < back->n_rcpts; i++)
		assert_int_equal(back->rcpts[i].state, RCPT_DELIVERED);
	entry_free(&e);
	entry_free(&back);
	buf_free(&note);
	buf_free(&bytes);
	mem_free(all);
	mem_free(many);
}

/* A damaged note changes nothing: everything is tried again, nothing is lost. */
static void
test_note_cut_anywhere(void **state)
{
	struct queue_entry *e = entry_of("ID1"), *back = entry_of("ID1");
	struct buf note = BUF_INIT(4096);

	(void)state;
	rcpt_set(&e->rcpts[0], RCPT_DELIVERED, SPAN("250 ok"));
	note_put(&note, e);
	for (size_t n = 0; n < note.n; n++) {
		assert_true(note_get(span_of(note.p, n), back) < 0);
		assert_int_equal(back->rcpts[0].state, RCPT_WAITING);
	}
	assert_int_equal(buf_add_char(&note, 'x'), 0);
	assert_true(note_get(buf_span(&note), back) < 0);
	assert_int_equal(back->rcpts[0].state, RCPT_WAITING);
	entry_free(&e);
	entry_free(&back);
	buf_free(&note);
}

/* A wall clock that was years ahead must not defer mail for years. */
static void
test_note_from_a_wrong_clock(void **state)
{
	struct queue_entry *e = entry_of("ID1");
	struct buf note = BUF_INIT(4096);

	(void)state;
	clock_fake(NOW_MS, WALL_MS + 10LL * 365 * 24 * 3600 * 1000);
	note_put(&note, e);
	clock_fake(NOW_MS, WALL_MS);
	assert_int_equal(note_get(buf_span(&note), e), 0);
	assert_true(e->legs[0].due.ms <= NOW_MS + 30LL * 24 * 3600 * 1000);
	entry_free(&e);
	buf_free(&note);
}

static void
test_order_of_attempts(void **state)
{
	enum { N = 200 };
	struct queue *q = queue_new();
	struct queue_leg *leg;
	int64_t last_ms = -1;
	size_t n = 0, expected = 0;

	(void)state;
	rng_seed(7);
	assert_true(queue_next_ms(q) == -1);
	for (int i = 0; i < N; i++) {
		char id[16];
		struct queue_entry *e;

		(void)snprintf(id, sizeof(id), "ID%d", i);
		e = entry_of(id);
		assert_int_equal(queue_add(q, e), 0);
		queue_defer(q, &e->legs[0], rng_below(1000));
		queue_defer(q, &e->legs[1], rng_below(1000));
		expected += 2;
	}
	for (int i = 0; i < N; i += 3) { /* some leave from the middle */
		char id[16];
		struct queue_entry *e;

		(void)snprintf(id, sizeof(id), "ID%d", i);
		e = queue_find(q, span_str(id));
		assert_non_null(e);
		queue_remove(q, &e);
		assert_null(queue_find(q, span_str(id)));
		expected -= 2;
	}
	assert_null(queue_take_due(q, -1));
	while ((leg = queue_take_due(q, 1000)) != NULL) {
		assert_true(leg->due.ms >= last_ms);
		assert_int_equal(leg->state, LEG_IDLE);
		last_ms = leg->due.ms;
		n++;
	}
	assert_int_equal(n, expected);
	assert_int_equal(queue_count(q), expected / 2);
	queue_free(&q);
}

/* What was held comes last and may be the oldest of all. */
static void
test_oldest(void **state)
{
	static const struct {
		const char *id;
		int64_t received_ms, oldest_ms;
	} rows[] = {{"ID1", 5000, 5000}, {"ID2", 6000, 5000}, {"ID3", 1000, 1000},
	    {"ID4", 7000, 1000}, {"ID5", 0, 0}};
	struct queue *q = queue_new();

	(void)state;
	assert_int_equal(queue_oldest_ms(q), -1);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct queue_entry *e = entry_of(rows[i].id);

		e->received_ms = rows[i].received_ms;
		assert_int_equal(queue_add(q, e), 0);
		assert_int_equal(queue_oldest_ms(q), rows[i].oldest_ms);
	}
	queue_free(&q);
}

static void
test_ids_are_unique(void **state)
{
	struct queue *q = queue_new();
	struct queue_entry *e = entry_of("ID1"), *same = entry_of("ID1");

	(void)state;
	assert_int_equal(queue_add(q, e), 0);
	assert_int_equal(queue_add(q, same), -E_EXISTS);
	assert_ptr_equal(queue_find(q, SPAN("ID1")), e);
	entry_free(&same);
	queue_free(&q);
}

static void
test_show(void **state)
{
	struct queue *q = queue_new();
	struct queue_entry *e = entry_of("ID1");
	struct buf line = BUF_INIT(8192);

	(void)state;
	e->size = 77;
	assert_int_equal(queue_add(q, e), 0);
	rcpt_set(&e->rcpts[0], RCPT_DELIVERED, SPAN("250 ok"));
	leg_set_reply(&e->legs[1], SPAN("451 \"later\""), "10.0.0.1:25");
	e->legs[1].attempts = 2;
	queue_defer(q, &e->legs[1], NOW_MS + 60000);
	show_entry(&line, e, false, (struct span){0});
	assert_true(span_eq(buf_span(&line),
	    SPAN("{\"id\":\"ID1\",\"state\":\"deferred\",\"from\":\"s@example.net\","
		 "\"to\":[\"b@two.example\",\"c@one.example\",\"d@one.example\"],\"size\":77,"
		 "\"received\":\"2023-11-14T22:13:15.000Z\",\"attempts\":2,"
		 "\"next_attempt\":\"2023-11-14T22:14:20.000Z\","
		 "\"last_reply\":\"451 \\\"later\\\"\",\"gateway\":\"two\"}\n")));
	buf_free(&line);
	queue_undefer(q, &e->legs[1]);
	for (size_t i = 0; i < 3; i++)
		e->rcpts[i].state = RCPT_BOUNCED;
	assert_string_equal(show_state(e), "waiting");
	e->rcpts[3].state = RCPT_HELD;
	assert_string_equal(show_state(e), "held");
	assert_false(entry_is_settled(e));
	e->rcpts[3].state = RCPT_QUARANTINED;
	assert_true(entry_is_settled(e));
	queue_free(&q);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_envelope, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_places_of_a_copy, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_cuts, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_envelope_versions, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_envelope_cut_anywhere, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_note, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_note_cut_anywhere, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_note_of_thousands, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_note_from_a_wrong_clock, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_order_of_attempts, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_oldest, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_ids_are_unique, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_show, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

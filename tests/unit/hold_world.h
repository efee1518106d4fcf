/*
 * hold_world.h - the delivery world with mail that is held to be filtered again, and a front that says
 * what the test wants: what test_hold.c, test_again.c and test_rounds.c stand on.
 */
#ifndef TEST_HOLD_WORLD_H
#define TEST_HOLD_WORLD_H
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

static inline uint64_t
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

static inline void
on_awaits(void *arg, struct span filter)
{
	(void)arg;
	must(span_copy(filter, awaited, sizeof(awaited)));
	n_awaits++;
}

static inline void
begin(void)
{
	d.on_refilter = on_refilter;
	d.on_awaits = on_awaits;
	d.hold->has_fronts = true;
	hold_recovered(&d);
}

static inline int
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

static inline int
tear_down_hold(void **state)
{
	buf_free(&front.payload);
	buf_free(&front.file);
	return tear_down(state);
}

/* --- mail --------------------------------------------------------------------------------------- */

static inline void
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

static inline void
accept_held(size_t n_rcpts)
{
	accept_held_for(SPAN("MAIL1"), SENDER, SPAN("av"), two, n_rcpts);
}

/* What a front that is no longer ours may say beside the fates. */
struct lie {
	uint64_t more_section, more_size;
	bool is_inline;
	const struct commit_cut *cut; /* of every copy */
};

/* Front's answer: each recipient's fate.  What goes on gets a header of today. */
static inline void
front_lies(const enum copy_fate *fates, bool is_deadly, const struct lie *lie)
{
	static const char zeros[256];
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
		copies[i].cuts = lie->cut;
		copies[i].n_cuts = lie->cut != NULL;
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
	    .skip = h.section + lie->more_section,
	    .body_size = h.size + lie->more_size,
	    .is_inline = lie->is_inline};
	if (lie->is_inline)
		r.commit.body = span_of(zeros, (size_t)r.commit.body_size);
	replacement_put(&b, &r);
	again_answer(&d, LIFE, front.job, buf_span(&b));
	buf_free(&b);
}

static inline void
front_says(const enum copy_fate *fates, bool is_deadly)
{
	front_lies(fates, is_deadly, &(struct lie){.is_inline = false});
}

static inline void
says(enum copy_fate fate)
{
	front_says((enum copy_fate[4]){fate, fate, fate, fate}, false);
}

static inline void
retry(void)
{
	deliver_now(&d, mail());
	run();
}

static inline void
assert_held(void)
{
	assert_string_equal(show_state(mail()), "held");
}

static inline enum admin_result
order(enum admin_verb verb)
{
	const struct span id = SPAN("MAIL1");
	struct selection s = {.ids = &id, .n_ids = 1, .by = "admin"};
	const char *why = NULL;

	return admin_do(&d, mail(), verb, &s, 0, &why);
}

/* What front is told that the part will be called. */
static inline void
assert_names(const char *part, bool is_last)
{
	static struct held_room room;
	struct held h;

	assert_int_equal(held_get(buf_span(&front.payload), &h, &room), 0);
	assert_true(span_eq(h.id, SPAN("MAIL1")) && span_eq(h.part, span_str(part)));
	assert_int_equal(h.is_last, is_last);
}

/* All that was not durable is gone; what is there is found in this order, or the other way. */
static inline void
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

#define HOLD_TEST(f) cmocka_unit_test_setup_teardown(f, set_up_hold, tear_down_hold)

#endif

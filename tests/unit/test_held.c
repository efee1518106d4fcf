/* What goes to and fro when a held message is filtered again: what goes in comes out, and nothing else
 * gets in. */
#include "relay/ipc/held.h"
#include "relay/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct held_list lists[] = {
    {.zone = {"zen.example.net", 15}, .state = 2, .address = 0x7f000002},
    {.zone = {"dbl.example.net", 15}, .of = 3, .name = {"sender.example", 14}}};
static const struct commit_rcpt rcpts[] = {{.address = {"b@example.org", 13},
					       .gateway = {"exchange", 8},
					       .notify = NOTIFY_FAILURE,
					       .orcpt = {"rfc822;b", 8}},
    {.address = {"c@example.org", 13}, .gateway = {"other", 5}}};
static const struct commit_copy copies[] = {{.prefix = {"Subject: x\r\n", 12}},
    {.fate = COPY_HOLD, .why = {"filter a: failure", 17}, .waits_for = {"a", 1}}};
static struct held_room held_room;
static struct replacement_room replacement_room;

static struct held_facts
some_facts(void)
{
	struct held_facts f = {.has_host = true,
	    .host = SPAN("mail.example.com"),
	    .helo = SPAN("mail"),
	    .user = SPAN("bob"),
	    .tls = SPAN("TLSv1.3"),
	    .sender = 4,
	    .lists = lists,
	    .n_lists = 2};

	must(ip_parse(SPAN("2001:db8::7"), &f.client));
	return f;
}

static void
put_held(struct buf *to, const struct held *h)
{
	struct held_facts facts = some_facts();
	struct buf b = BUF_INIT(HELD_FACTS_MAX);

	held_facts_put(&b, &facts);
	held_put(to, h, buf_span(&b));
	assert_false(to->failed || b.failed);
	buf_free(&b);
}

static struct held
some_held(void)
{
	return (struct held){.id = SPAN("01JD0000000000000000000000"),
	    .part = SPAN("01JD0000000000000000000000-H1"),
	    .is_last = true,
	    .flow = SPAN("inbound"),
	    .from = SPAN("a@example.com"),
	    .is_8bit = true,
	    .received = SPAN("Received: from x\r\n"),
	    .section = 12,
	    .size = 100,
	    .rcpts = rcpts,
	    .n_rcpts = 2};
}

static void
test_held(void **state)
{
	struct held in = some_held(), out;
	struct held_facts facts = some_facts();
	struct buf b = BUF_INIT(1 << 20);

	(void)state;
	put_held(&b, &in);
	assert_int_equal(held_get(buf_span(&b), &out, &held_room), 0);
	assert_true(span_eq(out.id, in.id) && span_eq(out.flow, in.flow));
	assert_true(span_eq(out.from, in.from) && span_eq(out.received, in.received));
	assert_true(span_eq(out.part, in.part) && out.is_last);
	assert_true(out.is_8bit && !out.is_utf8);
	assert_int_equal(out.section, 12);
	assert_int_equal(out.size, 100);
	assert_true(ip_eq(&out.facts.client, &facts.client) && out.facts.has_host);
	assert_true(span_eq(out.facts.host, facts.host) && span_eq(out.facts.helo, facts.helo));
	assert_true(span_eq(out.facts.user, facts.user) && span_eq(out.facts.tls, facts.tls));
	assert_int_equal(out.facts.sender, 4);
	assert_int_equal(out.facts.n_lists, 2);
	assert_int_equal(out.n_rcpts, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_true(span_eq(out.facts.lists[i].zone, lists[i].zone));
		assert_int_equal(out.facts.lists[i].state, lists[i].state);
		assert_int_equal(out.facts.lists[i].address, lists[i].address);
		assert_int_equal(out.facts.lists[i].of, lists[i].of);
		assert_true(span_eq(out.facts.lists[i].name, lists[i].name));
		assert_true(span_eq(out.rcpts[i].address, rcpts[i].address));
		assert_true(span_eq(out.rcpts[i].gateway, rcpts[i].gateway));
		assert_true(span_eq(out.rcpts[i].orcpt, rcpts[i].orcpt));
		assert_int_equal(out.rcpts[i].notify, rcpts[i].notify);
	}
	for (size_t n = 0; n < b.n; n++)
		assert_int_equal(held_get(span_of(b.p, n), &out, &held_room), -E_CORRUPT);
	buf_free(&b);
}

static void
test_held_refused(void **state)
{
	static const struct commit_rcpt nobody[] = {{.gateway = {"x", 1}}};
	struct held bad[6];

	(void)state;
	for (size_t i = 0; i < 6; i++)
		bad[i] = some_held();
	bad[0].id = SPAN("");
	bad[1].section = 101;                   /* behind the end */
	bad[2].section = bad[2].size = 1 << 20; /* longer than a header section may be */
	bad[3].n_rcpts = 0;
	bad[4].rcpts = nobody;
	bad[4].n_rcpts = 1;
	bad[5].part = SPAN("");
	for (size_t i = 0; i < 6; i++) {
		struct buf b = BUF_INIT(1 << 20);
		struct held out;

		put_held(&b, &bad[i]);
		assert_int_equal(held_get(buf_span(&b), &out, &held_room), -E_CORRUPT);
		assert_int_equal(out.n_rcpts, 0);
		buf_free(&b);
	}
}

static void
test_facts_refused(void **state)
{
	struct held_facts in = some_facts(), out;
	static const struct held_list bad[] = {
	    {.zone = {"zen.example.net", 15}, .state = HELD_LIST_STATE_LAST + 1},
	    {.zone = {"zen.example.net", 15}, .of = HELD_LIST_OF_LAST + 1}};
	struct held_list room[HELD_LISTS_MAX];
	struct buf b = BUF_INIT(1 << 20);

	(void)state;
	held_facts_put(&b, &in);
	assert_int_equal(held_facts_get(buf_span(&b), &out, room), 0);
	assert_int_equal(held_facts_get((struct span){0}, &out, room), -E_CORRUPT);
	assert_int_equal(buf_add_char(&b, 'x'), 0);
	assert_int_equal(held_facts_get(buf_span(&b), &out, room), -E_CORRUPT);
	for (size_t i = 0; i < 2; i++) {
		buf_clear(&b);
		in.lists = &bad[i];
		in.n_lists = 1;
		held_facts_put(&b, &in);
		assert_int_equal(held_facts_get(buf_span(&b), &out, room), -E_CORRUPT);
	}
	buf_clear(&b);
	in.n_lists = 0;
	in.sender = HELD_SENDER_LAST + 1;
	held_facts_put(&b, &in);
	assert_int_equal(held_facts_get(buf_span(&b), &out, room), -E_CORRUPT);
	buf_free(&b);
}

static int
replacement_round(const uint32_t asked[2], size_t n_asked, struct replacement *out)
{
	static struct buf b;
	struct commit_rcpt two[2] = {rcpts[0], rcpts[1]};
	struct replacement in = {.asked = asked,
	    .is_deadly = true,
	    .commit = {.id = SPAN("X"),
		.copies = copies,
		.n_copies = 2,
		.rcpts = two,
		.n_rcpts = 2,
		.body_size = 50}};

	two[1].copy = 1;
	buf_free(&b);
	b = BUF_INIT(1 << 20);
	replacement_put(&b, &in);
	assert_false(b.failed);
	return replacement_get(buf_span(&b), n_asked, out, &replacement_room);
}

static void
test_replacement(void **state)
{
	static const struct {
		uint32_t asked[2];
		size_t n_asked;
		int result;
	} rows[] = {
	    {{1, 0}, 2, 0},
	    {{0, 1}, 2, 0},
	    {{0, 0}, 2, -E_CORRUPT}, /* one twice, the other not at all */
	    {{0, 2}, 2, -E_CORRUPT}, /* nobody has asked for that */
	    {{0, 1}, 1, -E_CORRUPT},
	    {{0, 1}, 3, -E_CORRUPT},
	    {{0, 1}, 0, -E_CORRUPT},
	};
	struct replacement out;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(
		    replacement_round(rows[i].asked, rows[i].n_asked, &out), rows[i].result);
	assert_int_equal(replacement_round(rows[0].asked, 2, &out), 0);
	assert_true(out.is_deadly);
	assert_int_equal(out.asked[0], 1);
	assert_int_equal(out.commit.n_rcpts, 2);
	assert_int_equal(out.commit.copies[1].fate, COPY_HOLD);
	assert_true(span_eq(out.commit.copies[1].waits_for, SPAN("a")));
}

static void
test_replacement_is_of(void **state)
{
	static const struct {
		uint64_t skip, size;
		bool is_inline, result;
	} rows[] = {
	    {12, 100, false, true},
	    {12, 101, false, false},
	    {11, 100, false, false},
	    {13, 101, false, false},
	    {0, 0, false, false},
	    {12, 100, true, false},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct replacement r = {.commit = {.skip = rows[i].skip,
						  .body_size = rows[i].size,
						  .is_inline = rows[i].is_inline}};

		assert_int_equal(replacement_is_of(&r, 12, 100), rows[i].result);
	}
}

/* Who is there twice gets a copy that lacks something, and its original goes into quarantine. */
static void
test_replacement_of_stripped(void **state)
{
	static const struct commit_cut cut = {.at = 1, .n = 2, .text = {"x", 1}};
	static const struct {
		enum copy_fate fates[3];
		bool has_cuts[3];
		uint32_t asked[3];
		size_t n, n_asked;
		int result;
	} rows[] = {
	    {{COPY_QUARANTINE, COPY_DELIVER}, {false, true}, {0, 0}, 2, 1, 0},
	    {{COPY_QUARANTINE, COPY_DELIVER, COPY_HOLD}, {false, true, false}, {1, 1, 0}, 3, 2, 0},
	    {{COPY_DELIVER, COPY_DELIVER}, {false, true}, {0, 0}, 2, 1, -E_CORRUPT},
	    {{COPY_QUARANTINE, COPY_DELIVER}, {false, false}, {0, 0}, 2, 1, -E_CORRUPT},
	    {{COPY_QUARANTINE, COPY_QUARANTINE}, {false, false}, {0, 0}, 2, 1, -E_CORRUPT},
	    {{COPY_DELIVER, COPY_DELIVER}, {true, true}, {0, 0}, 2, 1, -E_CORRUPT},
	    {{COPY_QUARANTINE, COPY_DELIVER, COPY_DELIVER}, {false, true, true}, {0, 0, 0}, 3, 1,
		-E_CORRUPT},
	    {{COPY_QUARANTINE, COPY_DELIVER}, {false, true}, {1, 1}, 2, 2, -E_CORRUPT},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct commit_copy made[3] = {{.prefix = SPAN("A: 1\r\n")}};
		struct commit_rcpt all[3];
		struct replacement in = {.asked = rows[i].asked,
				       .commit = {.id = SPAN("X"),
					   .copies = made,
					   .n_copies = rows[i].n,
					   .rcpts = all,
					   .n_rcpts = rows[i].n,
					   .body_size = 50}},
				   out;
		struct buf b = BUF_INIT(1 << 20);

		for (uint32_t k = 0; k < rows[i].n; k++) {
			made[k].fate = rows[i].fates[k];
			made[k].cuts = &cut;
			made[k].n_cuts = rows[i].has_cuts[k];
			all[k] = rcpts[0];
			all[k].copy = k;
		}
		replacement_put(&b, &in);
		if (replacement_get(buf_span(&b), rows[i].n_asked, &out, &replacement_room) !=
		    rows[i].result)
			fail_msg("row %zu", i);
		buf_free(&b);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_held),
	    cmocka_unit_test(test_held_refused),
	    cmocka_unit_test(test_facts_refused),
	    cmocka_unit_test(test_replacement),
	    cmocka_unit_test(test_replacement_is_of),
	    cmocka_unit_test(test_replacement_of_stripped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

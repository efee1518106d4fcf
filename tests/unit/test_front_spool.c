/* The codec between front and spool: what goes in comes out, and nothing else gets in. */
#include "relay/base/err.h"
#include "relay/ipc/front_spool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const struct commit_copy copies[] = {
    {.prefix = {"Subject: x\r\n\r\n", 14}},
    {.prefix = {"Subject: y\r\n", 12},
	.fate = COPY_QUARANTINE,
	.why = {"suspicious", 10},
	.is_tagged = true},
};

static const struct commit_rcpt rcpts[] = {
    {.address = {"b@example.org", 13},
	.gateway = {"exchange", 8},
	.notify = NOTIFY_SUCCESS | NOTIFY_DELAY,
	.orcpt = {"rfc822;b+2Bx@example.org", 24}},
    {.address = {"postmaster", 10}, .gateway = {"other", 5}, .copy = 1},
};

static struct commit_room room;

static struct commit
sample(void)
{
	return (struct commit){.id = SPAN("01JD0000000000000000000000"),
	    .flow = SPAN("inbound"),
	    .from = SPAN("a@example.com"),
	    .is_8bit = true,
	    .ret = RET_HDRS,
	    .envid = SPAN("QQ314159"),
	    .data_end_ms = 77,
	    .copies = copies,
	    .n_copies = 2,
	    .rcpts = rcpts,
	    .n_rcpts = 2,
	    .skip = 3,
	    .body_size = 8,
	    .is_inline = true,
	    .body = SPAN("S:\nbody\n")};
}

static int
round_trip(const struct commit *in, struct commit *out)
{
	static struct buf bytes;

	buf_free(&bytes);
	bytes = BUF_INIT(1 << 20);
	commit_put(&bytes, in);
	assert_false(bytes.failed);
	return commit_get(buf_span(&bytes), out, &room);
}

static void
test_commit(void **state)
{
	struct commit in = sample(), out;

	(void)state;
	assert_int_equal(round_trip(&in, &out), 0);
	assert_true(span_eq(out.id, in.id) && span_eq(out.flow, in.flow));
	assert_true(span_eq(out.from, in.from) && span_eq(out.envid, in.envid));
	assert_true(out.is_8bit && !out.is_utf8 && out.is_inline);
	assert_int_equal(out.ret, RET_HDRS);
	assert_int_equal(out.data_end_ms, 77);
	assert_int_equal(out.n_copies, 2);
	assert_int_equal(commit_prefixes(&out), 26);
	for (size_t i = 0; i < 2; i++) {
		assert_true(span_eq(out.copies[i].prefix, copies[i].prefix));
		assert_true(span_eq(out.copies[i].why, copies[i].why));
		assert_int_equal(out.copies[i].fate, copies[i].fate);
		assert_int_equal(out.copies[i].is_tagged, copies[i].is_tagged);
		assert_true(span_eq(out.rcpts[i].address, rcpts[i].address));
		assert_true(span_eq(out.rcpts[i].gateway, rcpts[i].gateway));
		assert_true(span_eq(out.rcpts[i].orcpt, rcpts[i].orcpt));
		assert_int_equal(out.rcpts[i].notify, rcpts[i].notify);
		assert_int_equal(out.rcpts[i].copy, i);
	}
	assert_int_equal(out.n_rcpts, 2);
	assert_int_equal(out.skip, 3);
	assert_int_equal(out.body_size, 8);
	assert_true(span_eq(out.body, in.body));
}

static void
test_commit_without_inline_body(void **state)
{
	struct commit in = sample(), out;

	(void)state;
	in.is_inline = false;
	in.body_size = 1 << 30;
	assert_int_equal(round_trip(&in, &out), 0);
	assert_false(out.is_inline);
	assert_int_equal(out.body.n, 0);
	assert_int_equal(out.body_size, 1 << 30);
}

static void
test_commit_refused(void **state)
{
	struct commit in = sample(), out;
	struct commit_rcpt one = rcpts[0];

	(void)state;
	in.n_rcpts = 0;
	assert_int_equal(round_trip(&in, &out), -E_CORRUPT);
	in = sample();
	in.skip = 9; /* behind the body's end */
	assert_int_equal(round_trip(&in, &out), -E_CORRUPT);
	in = sample();
	in.body_size = 9; /* not what is there */
	assert_int_equal(round_trip(&in, &out), -E_CORRUPT);
	in = sample();
	in.id = SPAN("");
	assert_int_equal(round_trip(&in, &out), -E_CORRUPT);
	in = sample();
	in.rcpts = &one;
	in.n_rcpts = 1;
	one.address = SPAN("b@example.org>\r\nDATA");
	assert_int_equal(round_trip(&in, &out), -E_CORRUPT);
	in = sample();
	in.rcpts = &one;
	in.n_rcpts = 1;
	one = rcpts[0];
	one.copy = 2; /* there are two: 0 and 1 */
	assert_int_equal(round_trip(&in, &out), -E_CORRUPT);
	in = sample();
	in.envid = SPAN("a b\r\nDATA");
	assert_int_equal(round_trip(&in, &out), -E_CORRUPT);
	in = sample();
	in.data_end_ms = INT64_MIN; /* would be subtracted from a clock */
	assert_int_equal(round_trip(&in, &out), -E_CORRUPT);
	in = sample();
	in.from = SPAN("a\nb");
	assert_int_equal(round_trip(&in, &out), -E_CORRUPT);
	assert_int_equal(out.n_rcpts, 0); /* nothing of it is left to be used */
}

static const struct commit_cut cuts[] = {{.at = 0, .n = 2, .text = {"one", 3}}, {.at = 2, .n = 3}};

static struct commit
cut_sample(struct commit_copy *cut)
{
	struct commit c = sample();

	cut[0] = copies[0];
	cut[1] = copies[1];
	cut[0].cuts = cuts;
	cut[0].n_cuts = 2;
	c.copies = cut;
	return c;
}

static void
test_cuts(void **state)
{
	static const struct {
		struct commit_cut cuts[2];
		int result;
	} rows[] = {{{{.at = 0, .n = 2}, {.at = 2, .n = 3}}, 0},
	    {{{.at = 0, .n = 2}, {.at = 2, .n = 4}}, -E_CORRUPT}, /* behind the body's end */
	    {{{.at = 0, .n = 2}, {.at = 1, .n = 1}}, -E_CORRUPT},
	    {{{.at = 0, .n = UINT64_MAX}, {.at = 2, .n = 1}}, -E_CORRUPT},
	    {{{.at = 1, .n = UINT64_MAX}, {.at = 2, .n = 1}}, -E_CORRUPT}};
	static struct commit_cut many[COMMIT_CUTS_MAX + 1];
	struct commit_copy cut[2];
	struct commit in = cut_sample(cut), out;

	(void)state;
	assert_int_equal(round_trip(&in, &out), 0);
	assert_int_equal(out.copies[0].n_cuts, 2);
	assert_int_equal(out.copies[1].n_cuts, 0);
	assert_int_equal(out.copies[0].cuts[1].at, 2);
	assert_int_equal(out.copies[0].cuts[1].n, 3);
	assert_true(span_eq(out.copies[0].cuts[0].text, SPAN("one")));
	assert_int_equal(commit_prefixes(&out), 29);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cut[0].cuts = rows[i].cuts;
		assert_int_equal(round_trip(&in, &out), rows[i].result);
	}
	cut[0].cuts = many; /* all at 0: no bytes go */
	cut[0].n_cuts = COMMIT_CUTS_MAX - 1;
	cut[1].cuts = many;
	cut[1].n_cuts = 1;
	assert_int_equal(round_trip(&in, &out), 0);
	cut[1].n_cuts = 2;
	assert_int_equal(round_trip(&in, &out), -E_CORRUPT);
}

static void
test_commit_cut_anywhere(void **state)
{
	struct commit_copy cut[2];
	struct commit in = cut_sample(cut), out;
	struct buf bytes = BUF_INIT(1 << 20);

	(void)state;
	commit_put(&bytes, &in);
	for (size_t n = 0; n < bytes.n; n++)
		assert_int_equal(commit_get(span_of(bytes.p, n), &out, &room), -E_CORRUPT);
	assert_int_equal(buf_add_char(&bytes, 'x'), 0);
	assert_int_equal(commit_get(buf_span(&bytes), &out, &room), -E_CORRUPT);
	buf_free(&bytes);
}

static void
test_address_limit(void **state)
{
	struct commit in = sample(), out;
	struct commit_rcpt one = rcpts[0];
	char address[COMMIT_ADDRESS_MAX + 1];

	(void)state;
	memset(address, 'a', sizeof(address));
	in.rcpts = &one;
	in.n_rcpts = 1;
	one.address = span_of(address, COMMIT_ADDRESS_MAX);
	assert_int_equal(round_trip(&in, &out), 0);
	one.address = span_of(address, COMMIT_ADDRESS_MAX + 1);
	assert_int_equal(round_trip(&in, &out), -E_CORRUPT);
}

static void
test_refusal(void **state)
{
	static const struct {
		uint16_t code;
		int result;
	} table[] = {
	    {451, 0}, {452, 0}, {550, 0}, {250, -E_CORRUPT}, {600, -E_CORRUPT}, {0, -E_CORRUPT}};

	(void)state;
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		struct refusal in = {table[i].code, SPAN("4.3.1"), SPAN("No room")}, out;
		struct buf bytes = BUF_INIT(1024);

		refusal_put(&bytes, &in);
		assert_int_equal(refusal_get(buf_span(&bytes), &out), table[i].result);
		assert_int_equal(out.code, table[i].result == 0 ? table[i].code : 0);
		assert_int_equal(refusal_get(span_of(bytes.p, bytes.n - 1), &out), -E_CORRUPT);
		buf_free(&bytes);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_commit),
	    cmocka_unit_test(test_commit_without_inline_body),
	    cmocka_unit_test(test_commit_refused),
	    cmocka_unit_test(test_cuts),
	    cmocka_unit_test(test_commit_cut_anywhere),
	    cmocka_unit_test(test_address_limit),
	    cmocka_unit_test(test_refusal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

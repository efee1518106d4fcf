/* The head of a quarantine file: what is written is read again, and nothing else is. */
#include "relay/quarantine/letter.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct letter_rcpt rcpts[] = {
    {.address = {"bob@example.org", 15}, .gateway = {"exchange", 8}, .notify = NOTIFY_DELAY},
    {.address = {"\"a b%\"@example.org", 18}, .gateway = {"-", 1}, .orcpt = {"rfc822;b+20x", 12}},
};

static struct letter
sample(void)
{
	return (struct letter){.id = SPAN("01JD0000000000000000000000-3"),
	    .flow = SPAN("inbound"),
	    .from = SPAN("alice@sender.example"),
	    .envid = SPAN("env+3D"),
	    .received_ms = 1700000000123,
	    .stored_ms = 1700000000456,
	    .is_utf8 = true,
	    .ret = RET_HDRS,
	    .releases = 2,
	    .reason = SPAN("550 5.1.1 no\r\nInjected: x\x7f 100%"),
	    .subject = SPAN("gr\xc3\xbc\xc3\x9f e\x01"),
	    .rcpts = rcpts,
	    .n_rcpts = 2,
	    .section = 17,
	    .size = 123456789012};
}

static struct buf
head_of(const struct letter *l)
{
	struct buf b = BUF_INIT(LETTER_HEAD_MAX);

	letter_put(&b, l);
	assert_false(b.failed);
	return b;
}

static void
assert_text(struct span got, struct span wanted)
{
	if (!span_eq(got, wanted))
		fail_msg("\"%.*s\", not \"%.*s\"", SPAN_ARG(got), SPAN_ARG(wanted));
}

static void
test_round_trip(void **state)
{
	struct letter l = sample(), got;
	struct buf b = head_of(&l);

	(void)state;
	assert_int_equal(letter_get(buf_span(&b), &got), 0);
	assert_text(got.id, l.id);
	assert_text(got.flow, l.flow);
	assert_text(got.from, l.from);
	assert_text(got.envid, l.envid);
	assert_text(got.reason, l.reason);
	assert_text(got.subject, l.subject);
	assert_true(got.received_ms == l.received_ms && got.stored_ms == l.stored_ms);
	assert_true(got.is_utf8 && !got.is_8bit);
	assert_int_equal(got.ret, RET_HDRS);
	assert_int_equal(got.releases, 2);
	assert_int_equal(got.section, 17);
	assert_true(got.size == l.size);
	assert_int_equal(got.head, b.n);
	assert_int_equal(got.n_rcpts, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_text(got.rcpts[i].address, rcpts[i].address);
		assert_text(got.rcpts[i].gateway, rcpts[i].gateway);
		assert_text(got.rcpts[i].orcpt, rcpts[i].orcpt);
		assert_int_equal(got.rcpts[i].notify, rcpts[i].notify);
	}
	letter_free(&got);
	buf_free(&b);
}

/* Whatever stands in the fields, the head is a row of header fields. */
static void
test_is_a_header(void **state)
{
	struct letter l = sample();
	struct buf b = head_of(&l);
	struct span rest = buf_span(&b);

	(void)state;
	while (rest.n > 0) {
		struct span line = span_cut(&rest, '\n');

		assert_true(span_starts(line, SPAN("X-Postern-Quarantine")));
		assert_true(line.p[line.n - 1] == '\r');
		assert_int_equal(span_find(span_take(line, line.n - 1), '\r'), line.n - 1);
	}
	buf_free(&b);
}

static void
test_crc(void **state)
{
	struct letter l = sample();
	struct buf b = head_of(&l);
	struct letter_line line;

	(void)state;
	assert_int_equal(letter_line_get(buf_span(&b), &line), 0);
	assert_int_equal(line.crc, 0);
	letter_set_crc(b.p, 0xdeadbeef);
	assert_int_equal(letter_line_get(span_take(buf_span(&b), LETTER_LINE), &line), 0);
	assert_true(line.crc == 0xdeadbeef && line.size == l.size && line.section == 17);
	assert_int_equal(line.head, b.n);
	assert_int_equal(
	    letter_line_get(span_take(buf_span(&b), LETTER_LINE - 1), &line), -E_CORRUPT);
	buf_free(&b);
}

/* Cut anywhere, or with any one byte another: refused, or a letter of the same lengths. */
static void
test_damage(void **state)
{
	struct letter l = sample(), got;
	struct buf b = head_of(&l);

	(void)state;
	for (size_t n = 0; n < b.n; n++)
		assert_int_equal(letter_get(span_of(b.p, n), &got), -E_CORRUPT);
	for (size_t i = 0; i < b.n; i++)
		for (int flip = 1; flip < 256; flip <<= 1) {
			b.p[i] = (char)(b.p[i] ^ flip);
			if (letter_get(buf_span(&b), &got) == 0) {
				assert_true(letter_id_is_fine(got.id));
				assert_true(got.n_rcpts > 0 && got.n_rcpts <= 2);
				letter_free(&got);
			}
			b.p[i] = (char)(b.p[i] ^ flip);
		}
	buf_free(&b);
}

static void
test_wrong_heads(void **state)
{
	static const struct {
		const char *part, *instead;
	} rows[] = {
	    {"v=1", "v=2"},
	    {"section=00000011", "section=FFFFFFFF"},
	    {"size=0000001c", "size=ffffffff"}, /* past what a file may have */
	    {"section=00000011", "section=0000001G"},
	    {"Id: 01JD", "Id: ../D"},
	    {"Id: 01JD", "Ic: 01JD"},
	    {"Return: 2", "Return: 3"},
	    {"Utf8: 1", "Utf8: 2"},
	    {"Received: 1700000000123", "Received: 17000000001 3"},
	    {"%0D%0A", "%0X%0A"},
	    {" 8 -\r\n", " 9x-\r\n"},
	    {" 8 -\r\n", " 99-\r\n"},
	    {"To: bob", "Ti: bob"},
	    {"\r\nX-Postern-Quarantine-Flow", "\n\nX-Postern-Quarantine-Flow"},
	};
	struct letter l = sample(), got;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct buf b = head_of(&l);
		size_t n = strlen(rows[i].part);
		char *at = memmem(b.p, b.n, rows[i].part, n);

		assert_non_null(at);
		assert_int_equal(strlen(rows[i].instead), n);
		memcpy(at, rows[i].instead, n);
		if (letter_get(buf_span(&b), &got) != -E_CORRUPT)
			fail_msg("row %zu is taken", i);
		buf_free(&b);
	}
}

/* The most that a queue may hold fits. */
static void
test_largest(void **state)
{
	struct letter l = sample(), got;
	char address[COMMIT_ADDRESS_MAX], gateway[LETTER_NAME_MAX], orcpt[NOTIFY_ORCPT_MAX];
	struct buf b;

	(void)state;
	memset(address, '%', sizeof(address));
	memset(gateway, 1, sizeof(gateway));
	memset(orcpt, ' ', sizeof(orcpt));
	l.n_rcpts = COMMIT_RCPTS_MAX;
	l.rcpts = mem_array(l.n_rcpts, sizeof(*l.rcpts));
	for (size_t i = 0; i < l.n_rcpts; i++)
		l.rcpts[i] = (struct letter_rcpt){span_of(address, sizeof(address)),
		    span_of(gateway, sizeof(gateway)), NOTIFY_ALL, span_of(orcpt, sizeof(orcpt))};
	b = head_of(&l);
	assert_int_equal(letter_get(buf_span(&b), &got), 0);
	assert_int_equal(got.n_rcpts, COMMIT_RCPTS_MAX);
	assert_text(got.rcpts[9999].orcpt, span_of(orcpt, sizeof(orcpt)));
	letter_free(&got);
	buf_free(&b);
	mem_free(l.rcpts);
}

static void
test_ids(void **state)
{
	static const struct {
		const char *id;
		bool is_fine;
	} rows[] = {{"01JD", true}, {"01JD-3", true}, {"01JD-R1", true}, {"", false}, {"-", false},
	    {"..", false}, {"a", false}, {"A/B", false}, {"A.EML", false}, {"A\n", false},
	    {"0123456789012345678901234567890123456789", true},
	    {"01234567890123456789012345678901234567890", false}};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(letter_id_is_fine(span_str(rows[i].id)), rows[i].is_fine);
}

static void
test_show(void **state)
{
	struct letter l = sample();
	struct buf b = BUF_INIT(65536);

	(void)state;
	letter_show(&b, &l, 1000, false);
	assert_text(buf_span(&b),
	    SPAN("{\"id\":\"01JD0000000000000000000000-3\",\"from\":\"alice@sender.example\","
		 "\"to\":[\"bob@example.org\",\"\\\"a b%\\\"@example.org\"],\"subject\":"
		 "\"gr\xc3\xbc\xc3\x9f e\\u0001\",\"size\":123456789012,\"received\":"
		 "\"2023-11-14T22:13:20.123Z\",\"reason\":\"550 5.1.1 no\\u000d\\nInjected: "
		 "x\\u007f "
		 "100%\",\"expires\":\"2023-11-14T22:13:21.456Z\"}\n"));
	buf_free(&b);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trip),
	    cmocka_unit_test(test_is_a_header),
	    cmocka_unit_test(test_crc),
	    cmocka_unit_test(test_damage),
	    cmocka_unit_test(test_wrong_heads),
	    cmocka_unit_test(test_largest),
	    cmocka_unit_test(test_ids),
	    cmocka_unit_test(test_show),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The small pieces of base: spans, bufs, UTF-8, arenas, ids, JSON, log lines, dates, randomness. */
#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/id.h"
#include "relay/base/json.h"
#include "relay/base/list.h"
#include "relay/base/log.h"
#include "relay/base/mem.h"
#include "relay/base/rng.h"
#include "relay/base/utf8.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <unistd.h>

#define COUNT(rows)     (sizeof(rows) / sizeof((rows)[0]))
#define expect(s, text) assert_true(span_eq(s, SPAN(text)))

static void
test_span_compare(void **state)
{
	expect(SPAN(""), "");
	assert_true(span_eq((struct span){0}, SPAN("")));
	assert_false(span_eq(SPAN("a\0b"), SPAN("a\0c")));
	assert_true(span_eq_nocase(SPAN("aZ[`{@"), SPAN("Az[`{@")));
	assert_false(span_eq_nocase(SPAN("@"), SPAN("`"))); /* 32 apart, but no letters */
	assert_false(span_eq_nocase(SPAN("a"), SPAN("ab")));
	assert_true(span_starts(SPAN("abc"), SPAN("")) && span_starts(SPAN("abc"), SPAN("abc")));
	assert_false(span_starts(SPAN("ab"), SPAN("abc")));
	assert_true(span_starts_nocase(SPAN("ABC"), SPAN("ab")));
	assert_true(span_ends_nocase(SPAN("x.Example"), SPAN(".EXAMPLE")));
	assert_false(span_ends_nocase(SPAN("ample"), SPAN("example")));
	assert_true(span_cmp(SPAN("a"), SPAN("b")) < 0 && span_cmp(SPAN("b"), SPAN("a")) > 0);
	assert_true(span_cmp(SPAN("a"), SPAN("a\0")) < 0 && span_cmp(SPAN("a"), SPAN("a")) == 0);
	assert_true(span_cmp(SPAN("\xff"), SPAN("a")) > 0); /* bytes have no sign */
	(void)state;
}

static void
test_span_cut(void **state)
{
	struct span rest = SPAN("a::b"), words = SPAN(" \tone  two\t");

	expect(span_cut(&rest, ':'), "a");
	expect(span_cut(&rest, ':'), "");
	expect(span_cut(&rest, ':'), "b");
	assert_true(span_is_empty(rest));
	expect(span_cut(&rest, ':'), "");
	expect(span_word(&words), "one");
	expect(span_word(&words), "two");
	expect(span_word(&words), "");
	expect(span_trim(SPAN(" \t\r\n a b \r\n")), "a b");
	expect(span_trim(SPAN(" \t")), "");
	expect(span_skip_bom(SPAN("\xef\xbb\xbf"
				  "a")),
	    "a");
	expect(span_skip_bom(SPAN("a\xef\xbb\xbf")), "a\xef\xbb\xbf");
	expect(span_skip_bom(SPAN("\xef\xbb")), "\xef\xbb");
	expect(span_skip_bom(SPAN("")), "");
	expect(span_chomp(SPAN("a\r\n")), "a");
	expect(span_chomp(SPAN("a\n\r")), "a\n");
	expect(span_chomp(SPAN("a\r\n\r\n")), "a\r\n");
	expect(span_chomp(SPAN("\n")), "");
	expect(span_skip(SPAN("abc"), 9), "");
	expect(span_take(SPAN("abc"), 9), "abc");
	assert_int_equal(span_find(SPAN("abcb"), 'b'), 1);
	assert_int_equal(span_rfind(SPAN("abcb"), 'b'), 3);
	assert_int_equal(span_find(SPAN("abc"), 'x'), 3);
	assert_int_equal(span_rfind((struct span){0}, 'x'), 0);
	(void)state;
}

static void
test_span_numbers(void **state)
{
	static const struct {
		const char *text;
		bool is_fine;
		uint64_t value;
	} rows[] = {{"0", true, 0}, {"007", true, 7}, {"18446744073709551615", true, UINT64_MAX},
	    {"18446744073709551616", false, 0}, {"99999999999999999999", false, 0}, {"", false, 0},
	    {"-1", false, 0}, {"+1", false, 0}, {" 1", false, 0}, {"1x", false, 0}};
	char to[4];

	for (size_t i = 0; i < COUNT(rows); i++) {
		uint64_t value = 0;

		assert_int_equal(span_to_u64(span_str(rows[i].text), &value), rows[i].is_fine);
		assert_true(value == rows[i].value);
	}
	assert_true(span_copy(SPAN("abc"), to, sizeof(to)));
	assert_string_equal(to, "abc");
	assert_false(span_copy(SPAN("wxyz"), to, sizeof(to)));
	assert_string_equal(to, "wxy");
	for (int c = 0; c < 256; c++) {
		const char *at = c != 0 ? strchr("0123456789abcdefABCDEF", c) : NULL;

		assert_int_equal(char_hex((char)c) >= 0, at != NULL);
	}
	assert_int_equal(char_hex('F'), 15);
	assert_int_equal(char_hex('a'), 10);
	assert_int_equal(char_hex('9'), 9);
	(void)state;
}

static void
test_buf_limit(void **state)
{
	struct buf b = BUF_INIT(5);

	assert_int_equal(buf_add_str(&b, "abc"), 0);
	assert_int_equal(buf_add_str(&b, "def"), -E_LIMIT);
	expect(buf_span(&b), "abc");
	assert_int_equal(buf_add_str(&b, "d"), -E_LIMIT); /* sticky, though this would fit */
	assert_int_equal(buf_add(&b, NULL, 0), -E_LIMIT);
	buf_clear(&b);
	assert_int_equal(buf_add_str(&b, "abcde"), 0);
	assert_int_equal(buf_add_char(&b, 'f'), -E_LIMIT);
	buf_clear(&b);
	assert_int_equal(buf_addf(&b, "%s%d", "abc", 12), 0); /* to the edge */
	expect(buf_span(&b), "abc12");
	assert_int_equal(buf_addf(&b, "%d", 3), -E_LIMIT);
	expect(buf_span(&b), "abc12");
	assert_null(buf_room(&b, SIZE_MAX));
	buf_free(&b);
	assert_int_equal(b.max, 5);
	assert_int_equal(buf_add_str(&b, "again"), 0);
	buf_free(&b);
	(void)state;
}

static void
test_buf_consume(void **state)
{
	struct buf b = BUF_INIT(100000);
	char *room;

	for (int i = 0; i < 20000; i++)
		assert_int_equal(buf_add_char(&b, (char)(i % 100)), 0);
	buf_consume(&b, 0);
	buf_consume(&b, 19990);
	assert_int_equal(b.n, 10);
	assert_int_equal(b.p[0], 90);
	buf_consume(&b, 10);
	assert_int_equal(b.n, 0);
	room = buf_room(&b, 3);
	memcpy(room, "xyz", 3);
	b.n += 3;
	expect(buf_span(&b), "xyz");
	buf_free(&b);
	(void)state;
}

/* Bytes are not moved for each that leaves, and a buffer that is filled and emptied by turns does not
 * grow past what it holds at once. */
static void
test_buf_consume_moves_nothing(void **state)
{
	struct buf b = BUF_INIT(100000);
	char *first;
	size_t cap;

	for (int i = 0; i < 200; i++)
		assert_int_equal(buf_add_char(&b, (char)i), 0);
	first = b.p;
	cap = b.cap;
	for (int i = 0; i < 100; i++)
		buf_consume(&b, 1);
	assert_ptr_equal(b.p, first + 100);
	for (int turn = 0; turn < 50; turn++) {
		for (int i = 0; i < 70; i++)
			assert_int_equal(buf_add_char(&b, (char)(200 + turn * 70 + i)), 0);
		for (int i = 0; i < 70; i++) {
			assert_int_equal((char)(100 + turn * 70 + i), b.p[0]);
			buf_consume(&b, 1);
		}
	}
	assert_int_equal(b.n, 100);
	assert_int_equal(b.cap, cap);
	buf_consume(&b, 30);
	buf_clear(&b);
	assert_ptr_equal(b.p, first);
	buf_free(&b);
	(void)state;
}

static void
test_utf8(void **state)
{
	static const struct {
		struct span text;
		size_t length;
	} rows[] = {{{"a", 1}, 1}, {{"\0", 1}, 1}, {{"\x7f", 1}, 1}, {{"\x80", 1}, 0},
	    {{"\xc1\xbf", 2}, 0}, {{"\xc2\x80", 2}, 2}, {{"\xc2", 1}, 0}, {{"\xc2\x41", 2}, 0},
	    {{"\xe0\x9f\xbf", 3}, 0}, {{"\xe0\xa0\x80", 3}, 3}, {{"\xed\x9f\xbf", 3}, 3},
	    {{"\xed\xa0\x80", 3}, 0}, {{"\xef\xbf\xbf", 3}, 3}, {{"\xef\xbf", 2}, 0},
	    {{"\xf0\x8f\xbf\xbf", 4}, 0}, {{"\xf0\x90\x80\x80", 4}, 4},
	    {{"\xf4\x8f\xbf\xbf", 4}, 4}, {{"\xf4\x90\x80\x80", 4}, 0},
	    {{"\xf5\x80\x80\x80", 4}, 0}, {{"\xf0\x90\x80\xc0", 4}, 0}, {{"", 0}, 0}};

	for (size_t i = 0; i < COUNT(rows); i++) {
		assert_int_equal(utf8_length(rows[i].text), rows[i].length);
		assert_int_equal(utf8_is_valid(rows[i].text), rows[i].length == rows[i].text.n);
	}
	(void)state;
}

static void
test_arena_and_list(void **state)
{
	struct arena a;
	struct list head, nodes[3];
	size_t n = 0;

	arena_init(&a, 64 * 1024);
	expect(arena_copy(&a, SPAN("copy")), "copy");
	for (size_t size = 1; size < 6000; size = size * 3) {
		char *p = arena_alloc(&a, size);

		assert_int_equal((uintptr_t)p % 16, 0);
		for (size_t i = 0; i < size; i++)
			assert_int_equal(p[i], 0);
		memset(p, 1, size);
	}
	arena_free(&a);
	assert_int_equal(arena_left(&a), 64 * 1024);
	assert_non_null(arena_alloc(&a, 64 * 1024));
	assert_int_equal(arena_left(&a), 0);
	arena_free(&a);
	list_init(&head);
	list_append(&head, &nodes[1]);
	list_append(&head, &nodes[2]);
	list_prepend(&head, &nodes[0]);
	LIST_FOR_SAFE (it, &head) {
		assert_ptr_equal(it, &nodes[n++]);
		list_remove(it);
		list_remove(it); /* harmless */
	}
	assert_int_equal(n, 3);
	assert_true(list_is_empty(&head));
	(void)state;
}

static void
test_ids(void **state)
{
	struct id before, id, parsed;

	clock_fake(0, 1469918176385); /* 01ARYZ6S41: the example of the ULID layout */
	id = id_new();
	assert_true(span_starts(id_span(&id), SPAN("01ARYZ6S41")));
	assert_int_equal(id_span(&id).n, ID_LENGTH);
	assert_true(id_wall_ms(&id) == 1469918176385);
	for (int64_t ms = 1469918176385; ms < 1469918176385 + 3000; ms += 37) {
		before = id;
		clock_fake(0, ms + 37);
		id = id_new();
		assert_true(strcmp(before.text, id.text) < 0);
		assert_true(id_parse(id_span(&id), &parsed) && id_wall_ms(&parsed) == ms + 37);
	}
	clock_fake(0, -1);
	before = id_new();
	id = id_new();
	assert_string_not_equal(before.text, id.text);
	assert_true(id_parse(SPAN("01arz3ndektsv4rrffq69g5fav"), &id));
	assert_string_equal(id.text, "01ARZ3NDEKTSV4RRFFQ69G5FAV");
	assert_false(id_parse(SPAN("01ARZ3NDEKTSV4RRFFQ69G5FA"), &id));
	assert_false(id_parse(SPAN("01ARZ3NDEKTSV4RRFFQ69G5FAVX"), &id));
	assert_false(id_parse(SPAN("01ARZ3NDEKTSV4RRFFQ69G5FAU"), &id)); /* U, I, L, O are none */
	assert_false(id_parse(SPAN("01ARZ3NDEKTSV4RRFFQ69G5FA\0"), &id));
	assert_false(id_parse(SPAN("../Z3NDEKTSV4RRFFQ69G5FAVX"), &id));
	(void)state;
}

static void
test_json(void **state)
{
	struct buf b = BUF_INIT(1000);
	struct json j = {.to = &b};

	json_open(&j, NULL, '{');
	json_text(&j, "a", SPAN("q\"\\\n\r\x01\x7f\0/\xc3\xa4\xff"));
	json_str(&j, "n", NULL);
	json_open(&j, "list", '[');
	json_int(&j, NULL, INT64_MIN);
	json_bool(&j, NULL, true);
	json_open(&j, NULL, '{');
	json_close(&j, '}');
	json_close(&j, ']');
	json_decimal(&j, "d", 2500);
	json_decimal(&j, "e", -5);
	json_decimal(&j, "f", -1050);
	json_decimal(&j, "g", 3000);
	json_time(&j, "t", 1795309323456);
	json_close(&j, '}');
	expect(buf_span(&b),
	    "{\"a\":\"q\\\"\\\\\\n\\u000d\\u0001\\u007f\\u0000/\xc3\xa4\xef\xbf\xbd\",\"n\":null,"
	    "\"list\":[-9223372036854775808,true,{}],\"d\":2.5,\"e\":-0.005,\"f\":-1.05,\"g\":3,"
	    "\"t\":\"2026-11-22T01:02:03.456Z\"}");
	buf_free(&b);
	(void)state;
}

static void
test_dates(void **state)
{
	struct buf b = BUF_INIT(1000);

	assert_int_equal(clock_add_rfc3339(&b, 0), 0);
	(void)buf_add_char(&b, '|');
	assert_int_equal(clock_add_rfc3339(&b, 951782399999), 0);
	(void)buf_add_char(&b, '|');
	assert_int_equal(clock_add_rfc5322(&b, 1795309323456), 0);
	(void)buf_add_char(&b, '|');
	assert_int_equal(clock_add_rfc5322(&b, 951782400000), 0); /* a leap day */
	expect(buf_span(&b), "1970-01-01T00:00:00.000Z|2000-02-28T23:59:59.999Z|"
			     "Sun, 22 Nov 2026 01:02:03 +0000|Tue, 29 Feb 2000 00:00:00 +0000");
	buf_free(&b);
	(void)state;
}

/* What one call of log_write puts on standard error. */
static struct span
logged(struct buf *to, bool is_json, enum log_level level, struct span text)
{
	int ends[2], real = dup(STDERR_FILENO);
	char *room;
	ssize_t n;

	assert_true(real >= 0 && pipe(ends) == 0);
	(void)dup2(ends[1], STDERR_FILENO);
	log_setup("front", is_json, LOG_INFO);
	clock_fake(0, 0);
	log_event(level, "seen", KV("text", text), KV_INT("n", -3));
	clock_fake(0, -1);
	(void)dup2(real, STDERR_FILENO);
	(void)close(real);
	(void)close(ends[1]);
	buf_clear(to);
	room = buf_room(to, 65536);
	n = read(ends[0], room, 65536);
	assert_true(n >= 0);
	to->n = (size_t)n;
	(void)close(ends[0]);
	return buf_span(to);
}

static void
test_log_lines(void **state)
{
	struct buf b = BUF_INIT(100000), large = BUF_INIT(100000);

	expect(logged(&b, false, LOG_WARN, SPAN("plain")),
	    "1970-01-01T00:00:00.000Z warn  front seen text=plain n=-3\n");
	expect(logged(&b, false, LOG_INFO, SPAN("a \"b\"\r\nforged line")),
	    "1970-01-01T00:00:00.000Z info  front seen text=\"a \\\"b\\\"\\u000d\\nforged line\" "
	    "n=-3\n");
	expect(logged(&b, false, LOG_ERROR, SPAN("")),
	    "1970-01-01T00:00:00.000Z error front seen text=\"\" n=-3\n");
	expect(logged(&b, true, LOG_INFO, SPAN("x\n")),
	    "{\"time\":\"1970-01-01T00:00:00.000Z\",\"level\":\"info\",\"role\":\"front\","
	    "\"event\":\"seen\",\"text\":\"x\\n\",\"n\":-3}\n");
	expect(logged(&b, false, LOG_DEBUG, SPAN("x")), "");
	while (large.n < 9000)
		(void)buf_add_char(&large, 'x');
	expect(logged(&b, false, LOG_INFO, buf_span(&large)), "seen cut\n");
	expect(logged(&b, true, LOG_INFO, buf_span(&large)), "{\"event\":\"seen\",\"cut\":true}\n");
	log_setup("postern", false, LOG_INFO);
	buf_free(&b);
	buf_free(&large);
	(void)state;
}

static void
test_rng(void **state)
{
	unsigned seen[7] = {0};
	unsigned char a[33] = {0}, b[33] = {0};

	rng_bytes(a, sizeof(a));
	rng_bytes(b, sizeof(b));
	assert_memory_not_equal(a, b, sizeof(a));
	rng_seed(1);
	rng_bytes(a, sizeof(a));
	rng_seed(1);
	rng_bytes(b, sizeof(b));
	assert_memory_equal(a, b, sizeof(a));
	for (int i = 0; i < 7000; i++)
		seen[rng_below(7)]++;
	for (int i = 0; i < 7; i++)
		assert_in_range(seen[i], 800, 1200);
	for (int i = 0; i < 100; i++)
		assert_int_equal(rng_below(1), 0);
	(void)state;
}

static void
test_errors(void **state)
{
	struct err err = {0};

	assert_int_equal(err_set(&err, E_LIMIT, "more than %d", 5), -E_LIMIT);
	assert_int_equal(err_add(&err, "file %s", "x"), -E_LIMIT);
	assert_string_equal(err.text, "file x: more than 5");
	assert_int_equal(err_set(NULL, E_FULL, "x"), -E_FULL);
	assert_string_equal(err_name(-E_FULL), "full");
	assert_string_equal(err_name(E_CONFIG), "configuration");
	assert_string_equal(err_name(99), "unknown");
	(void)state;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_span_compare),
	    cmocka_unit_test(test_span_cut),
	    cmocka_unit_test(test_span_numbers),
	    cmocka_unit_test(test_buf_limit),
	    cmocka_unit_test(test_buf_consume),
	    cmocka_unit_test(test_buf_consume_moves_nothing),
	    cmocka_unit_test(test_utf8),
	    cmocka_unit_test(test_arena_and_list),
	    cmocka_unit_test(test_ids),
	    cmocka_unit_test(test_json),
	    cmocka_unit_test(test_dates),
	    cmocka_unit_test(test_log_lines),
	    cmocka_unit_test(test_rng),
	    cmocka_unit_test(test_errors),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

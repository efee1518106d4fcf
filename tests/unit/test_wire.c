#include "relay/base/wire.h"
#include "relay/base/err.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void
put_all(struct buf *b)
{
	put_u8(b, 0xfe);
	put_u16(b, 0xfedc);
	put_u32(b, 0xfedcba98);
	put_u64(b, 0xfedcba9876543210ULL);
	put_i64(b, -2);
	put_u8(b, 1);
	put_span(b, SPAN("text\0x"));
	put_span(b, SPAN(""));
	put_u32(b, 3);
	put_u8(b, 4);
	assert_false(b->failed);
}

/* Reads what put_all has written; every value must be right or, after a failure, zero. */
static int
get_all(struct span bytes)
{
	struct wire w = wire_over(bytes);
	uint8_t u8 = get_u8(&w);
	uint16_t u16 = get_u16(&w);
	uint32_t u32 = get_u32(&w), count;
	uint64_t u64 = get_u64(&w);
	int64_t i64 = get_i64(&w);
	bool yes = get_bool(&w);
	struct span text = get_span(&w, 6), empty = get_span(&w, 0);
	unsigned value;

	count = get_count(&w, 3);
	value = get_enum(&w, 4);
	assert_true(u8 == 0xfe || (u8 == 0 && w.failed));
	assert_true(u16 == 0xfedc || (u16 == 0 && w.failed));
	assert_true(u32 == 0xfedcba98 || (u32 == 0 && w.failed));
	assert_true(u64 == 0xfedcba9876543210ULL || (u64 == 0 && w.failed));
	assert_true(i64 == -2 || (i64 == 0 && w.failed));
	assert_true(yes || w.failed);
	assert_true(span_eq(text, SPAN("text\0x")) || (text.n == 0 && w.failed));
	assert_int_equal(empty.n, 0);
	assert_true(count == 3 || (count == 0 && w.failed));
	assert_true(value == 4 || (value == 0 && w.failed));
	return wire_end(&w);
}

static void
test_round_trip_and_truncation(void **state)
{
	struct buf b = BUF_INIT(1000);

	put_all(&b);
	assert_int_equal(get_all(buf_span(&b)), 0);
	for (size_t n = 0; n < b.n; n++)
		assert_int_equal(get_all(span_take(buf_span(&b), n)), -E_CORRUPT);
	put_u8(&b, 0);
	assert_int_equal(get_all(buf_span(&b)), -E_CORRUPT); /* something left over */
	buf_free(&b);
	(void)state;
}

static void
test_bytes_are_little_endian(void **state)
{
	struct buf b = BUF_INIT(100);

	put_u16(&b, 0x0102);
	put_u32(&b, 0x03040506);
	put_span(&b, SPAN("ab"));
	assert_true(span_eq(buf_span(&b), SPAN("\x02\x01\x06\x05\x04\x03\x02\0\0\0ab")));
	buf_free(&b);
	(void)state;
}

static void
test_limits(void **state)
{
	static const struct span bytes = {"\5\0\0\0hello\2\4\0\0\0", 14};
	struct wire w = wire_over(bytes);

	assert_int_equal(get_span(&w, 4).n, 0); /* longer than it may be */
	assert_true(w.failed);
	assert_int_equal(get_u8(&w), 0); /* sticky */
	w = wire_over(bytes);
	assert_int_equal(get_span(&w, 5).n, 5);
	assert_false(get_bool(&w)); /* 2 is neither */
	assert_true(w.failed);
	w = wire_over(span_skip(bytes, 9));
	assert_int_equal(get_enum(&w, 1), 0);
	assert_true(w.failed);
	w = wire_over(span_skip(bytes, 10));
	assert_int_equal(get_count(&w, 3), 0);
	assert_true(w.failed);
	w = wire_over(SPAN("\xff\xff\xff\xff"));
	assert_int_equal(get_span(&w, SIZE_MAX).n, 0);
	assert_true(w.failed);
	(void)state;
}

static void
test_full_buffer(void **state)
{
	for (size_t max = 0; max < 6; max++) {
		struct buf b = BUF_INIT(max);

		put_span(&b, SPAN("ab"));
		assert_true(b.failed);
		buf_free(&b);
	}
	(void)state;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_round_trip_and_truncation),
	    cmocka_unit_test(test_bytes_are_little_endian),
	    cmocka_unit_test(test_limits),
	    cmocka_unit_test(test_full_buffer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

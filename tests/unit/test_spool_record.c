#include "relay/base/err.h"
#include "relay/base/rng.h"
#include "relay/spool/crc32c.h"
#include "relay/spool/record.h"
#include "relay/spool/segment.h"
#include "relay/spool/spool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>
#include <cmocka.h>

static void
test_crc_known_values(void **state)
{
	/* RFC 3720 appendix B.4, and the check value of the catalogues. */
	static const unsigned char zeros[32], ones[32] = {[0 ... 31] = 0xff};
	unsigned char up[32];

	(void)state;
	for (unsigned char i = 0; i < sizeof(up); i++)
		up[i] = i;
	assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
	assert_int_equal(crc32c(0, zeros, 32), 0x8a9136aa);
	assert_int_equal(crc32c(0, ones, 32), 0x62a8ab43);
	assert_int_equal(crc32c(0, up, 32), 0x46dd794e);
	assert_int_equal(crc32c(0, "", 0), 0);
}

static void
test_crc_table_and_splits_agree(void **state)
{
	unsigned char bytes[2000]; /* more than two rounds of the three lanes */

	(void)state;
	rng_seed(7);
	rng_bytes(bytes, sizeof(bytes));
	for (size_t n = 0; n <= sizeof(bytes); n += n < 301 ? 1 : 13) {
		uint32_t whole = crc32c(0, bytes, n);

		assert_int_equal(whole, crc32c_by_table(0, bytes, n));
		for (size_t cut = 0; cut <= n; cut += n < 301 ? 7 : 111)
			assert_int_equal(
			    whole, crc32c(crc32c(0, bytes, cut), bytes + cut, n - cut));
	}
}

static void
test_record_round_trip(void **state)
{
	static const struct record cases[] = {
	    {.nonce = 1, .length = RECORD_LENGTHS, .serial = 2, .type = RECORD_MSG, .crc = 3},
	    {.nonce = UINT64_MAX,
		.length = RECORD_HOMES + SPOOL_NOTE_MAX,
		.serial = UINT64_MAX,
		.type = RECORD_NOTE,
		.crc = UINT32_MAX},
	    {.nonce = 9, .length = RECORD_HOMES, .serial = 1, .type = RECORD_DONE},
	    {.nonce = 9, .length = RECORD_SEAL_LENGTH, .type = RECORD_SEAL},
	    {.nonce = 9, .length = 0, .type = RECORD_VOID},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned char bytes[RECORD_HEADER];
		struct record got;

		record_encode(&cases[i], bytes);
		assert_true(record_decode(bytes, &got));
		assert_int_equal(got.nonce, cases[i].nonce);
		assert_int_equal(got.length, cases[i].length);
		assert_int_equal(got.serial, cases[i].serial);
		assert_int_equal(got.type, cases[i].type);
		assert_int_equal(got.crc, cases[i].crc);
	}
}

static void
test_record_refuses_impossible_headers(void **state)
{
	static const struct record cases[] = {
	    {.type = (enum record_type)0},
	    {.type = (enum record_type)(RECORD_VOID + 1)},
	    {.type = RECORD_MSG, .length = RECORD_LENGTHS - 1},
	    {.type = RECORD_MSG, .length = UINT64_MAX},
	    {.type = RECORD_NOTE, .length = RECORD_HOMES - 1},
	    {.type = RECORD_NOTE, .length = RECORD_HOMES + SPOOL_NOTE_MAX + 1},
	    {.type = RECORD_DONE, .length = RECORD_HOMES + 1},
	    {.type = RECORD_SEAL, .length = RECORD_SEAL_LENGTH - 1},
	    {.type = RECORD_VOID, .length = UINT64_MAX},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned char bytes[RECORD_HEADER];
		struct record got;

		record_encode(&cases[i], bytes);
		assert_false(record_decode(bytes, &got));
	}
}

static void
test_message_lengths(void **state)
{
	static const struct {
		struct record_message m;
		uint64_t off; /* added to the length that would be right */
		int want;
	} cases[] = {
	    {{26, 100, 50, 1000, 5}, 0, 0},
	    {{0, 0, 0, 0, 5}, 0, 0},
	    {{SPOOL_ID_MAX, SPOOL_ENVELOPE_MAX, SPOOL_PREFIX_MAX, SPOOL_BODY_MAX, 77}, 0, 0},
	    {{SPOOL_ID_MAX + 1, 0, 0, 0, 5}, 0, -E_CORRUPT},
	    {{0, SPOOL_ENVELOPE_MAX + 1, 0, 0, 5}, 0, -E_CORRUPT},
	    {{0, 0, SPOOL_PREFIX_MAX + 1, 0, 5}, 0, -E_CORRUPT},
	    {{0, 0, 0, SPOOL_BODY_MAX + 1, 5}, 0, -E_CORRUPT},
	    {{1, 1, 1, 1, 5}, 1, -E_CORRUPT},
	    {{1, 1, 1, UINT64_MAX, 5}, 0, -E_CORRUPT},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		unsigned char bytes[RECORD_LENGTHS];
		struct record_message got;
		uint64_t length = record_message_length(&cases[i].m) + cases[i].off;

		record_encode_message(&cases[i].m, bytes);
		assert_int_equal(
		    record_decode_message(span_of(bytes, 23), length, &got), -E_CORRUPT);
		assert_int_equal(record_decode_message(span_of(bytes, sizeof(bytes)), length, &got),
		    cases[i].want);
		if (cases[i].want != 0)
			continue;
		assert_int_equal(got.id_n, cases[i].m.id_n);
		assert_int_equal(got.envelope_n, cases[i].m.envelope_n);
		assert_int_equal(got.prefix_n, cases[i].m.prefix_n);
		assert_int_equal(got.body_n, cases[i].m.body_n);
		assert_int_equal(got.body_crc, cases[i].m.body_crc);
		assert_int_equal(
		    record_message_head(&got), RECORD_LENGTHS + got.id_n + got.envelope_n);
	}
}

static void
test_marks_round_trip(void **state)
{
	struct record_homes homes = {.home = 5, .former = 4}, homes_got;
	struct record_seal seal = {.number = 7, .nonce = 8, .end = 4096, .gaps = 2}, seal_got;
	unsigned char bytes[RECORD_SEAL_LENGTH];

	(void)state;
	record_encode_homes(&homes, bytes);
	assert_int_equal(record_decode_homes(span_of(bytes, RECORD_HOMES), &homes_got), 0);
	assert_memory_equal(&homes, &homes_got, sizeof(homes));
	assert_int_not_equal(record_decode_homes(span_of(bytes, RECORD_HOMES - 1), &homes_got), 0);
	record_encode_seal(&seal, bytes);
	assert_int_equal(record_decode_seal(span_of(bytes, sizeof(bytes)), &seal_got), 0);
	assert_memory_equal(&seal, &seal_got, sizeof(seal));
	assert_int_not_equal(record_decode_seal(span_of(bytes, 3), &seal_got), 0);
}

static void
test_segment_header(void **state)
{
	struct segment_header h = {
	    .kind = SEGMENT_NOTES, .number = 12, .nonce = 0x1122334455667788, .first_serial = 9};
	struct segment_header got;
	unsigned char block[SEGMENT_HEADER] = {0};

	(void)state;
	assert_int_equal(segment_decode(block, &got), -E_NOT_FOUND);
	segment_encode(&h, block);
	assert_int_equal(segment_decode(block, &got), 0);
	assert_int_equal(got.kind, h.kind);
	assert_int_equal(got.number, h.number);
	assert_int_equal(got.nonce, h.nonce);
	assert_int_equal(got.first_serial, h.first_serial);
	block[20] ^= 1; /* the first copy is bad: the second serves */
	assert_int_equal(segment_decode(block, &got), 0);
	assert_int_equal(got.number, 12);
	block[SEGMENT_COPY_AT + 20] ^= 1;
	assert_int_equal(segment_decode(block, &got), -E_CORRUPT);
}

static void
test_segment_names(void **state)
{
	static const struct {
		const char *name;
		bool is_ours;
		uint64_t file;
	} cases[] = {
	    {"00000001.seg", true, 1},
	    {"123456789012.seg", true, 123456789012},
	    {"00000001.seg.damaged", false, 0},
	    {".seg", false, 0},
	    {"x.seg", false, 0},
	    {"1.segx", false, 0},
	    {"11111111111111111.seg", false, 0},
	    {".", false, 0},
	};
	char name[SEGMENT_NAME_SIZE];
	uint64_t file;

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		assert_int_equal(segment_name_parse(cases[i].name, &file), cases[i].is_ours);
		if (cases[i].is_ours)
			assert_int_equal(file, cases[i].file);
	}
	segment_name(1, name);
	assert_string_equal(name, "00000001.seg");
	segment_name_aside("00000001.seg", name);
	assert_string_equal(name, "00000001.seg.damaged");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_crc_known_values),
	    cmocka_unit_test(test_crc_table_and_splits_agree),
	    cmocka_unit_test(test_record_round_trip),
	    cmocka_unit_test(test_record_refuses_impossible_headers),
	    cmocka_unit_test(test_message_lengths),
	    cmocka_unit_test(test_marks_round_trip),
	    cmocka_unit_test(test_segment_header),
	    cmocka_unit_test(test_segment_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

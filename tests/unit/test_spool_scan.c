/* Segments are made by hand, record by record; the scan must find what is good and count the rest. */
#include "relay/base/rng.h"
#include "relay/spool/crc32c.h"
#include "relay/spool/scan.h"
#include "relay/spool/segment.h"
#include "relay/spool/spool.h"
#include "tests/lib/memfs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { FOUND_MAX = 64, GAPS_MAX = 16, BIG = 3 * 1024 * 1024, NONCE = 0x1234567 };

struct fixture {
	struct memfs *fs;
	int fd;
	uint64_t at; /* where the next record goes */
	uint64_t limit;
	bool has_bodies;
	struct record found[FOUND_MAX];
	uint64_t offsets[FOUND_MAX];
	size_t n_found, n_gaps;
	uint64_t gaps[GAPS_MAX][2];
	struct scan scan;
};

static int
setup(void **state)
{
	struct fixture *f = mem_alloc(sizeof(*f));

	f->fs = memfs_new(1);
	f->fd = memfs_open_file(f->fs, MEMFS_DIR, "x", true);
	f->at = SEGMENT_HEADER;
	f->limit = UINT64_MAX;
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	memfs_free(&f->fs);
	mem_free(f);
	return 0;
}

/* Appends a message with a body of this size; returns where it begins. */
static uint64_t
add_message(struct fixture *f, uint64_t nonce, uint64_t serial, size_t body_n)
{
	struct record_message parts = {.id_n = 3, .envelope_n = 5, .prefix_n = 2, .body_n = body_n};
	struct record r = {.nonce = nonce, .serial = serial, .type = RECORD_MSG};
	uint64_t at = f->at, head = record_message_head(&parts);
	unsigned char *bytes;

	r.length = record_message_length(&parts);
	bytes = mem_alloc((size_t)record_size(r.length));
	rng_bytes(bytes + RECORD_HEADER + RECORD_LENGTHS, (size_t)r.length - RECORD_LENGTHS);
	parts.body_crc = crc32c(0, bytes + RECORD_HEADER + head, (size_t)(r.length - head));
	record_encode(&r, bytes);
	record_encode_message(&parts, bytes + RECORD_HEADER);
	record_set_crc(
	    bytes, crc32c(record_crc_of_header(bytes), bytes + RECORD_HEADER, (size_t)head));
	memfs_put(&f->fs->files[f->fd], bytes, (size_t)record_size(r.length), at);
	f->at += record_size(r.length);
	mem_free(bytes);
	return at;
}

static uint64_t
add_mark(struct fixture *f, enum record_type type, uint64_t serial, size_t n)
{
	unsigned char bytes[512] = {0};
	struct record r = {.nonce = NONCE, .serial = serial, .type = type, .length = n};
	uint64_t at = f->at;
	uint32_t crc;

	rng_bytes(bytes + RECORD_HEADER, n);
	record_encode(&r, bytes);
	crc = record_crc_of_header(bytes);
	record_set_crc(bytes, type == RECORD_VOID ? crc : crc32c(crc, bytes + RECORD_HEADER, n));
	memfs_put(&f->fs->files[f->fd], bytes, (size_t)record_size(n), at);
	f->at += record_size(n);
	return at;
}

static void
flip(struct fixture *f, uint64_t at)
{
	unsigned char byte;

	assert_int_equal(memfs_get(&f->fs->files[f->fd], &byte, 1, at), 1);
	byte ^= 0x10;
	memfs_put(&f->fs->files[f->fd], &byte, 1, at);
}

static void
on_record(void *arg, const struct record *r, uint64_t offset, struct span peek)
{
	struct fixture *f = arg;

	assert_true(f->n_found < FOUND_MAX);
	assert_int_equal(peek.n, r->length < RECORD_PEEK ? r->length : RECORD_PEEK);
	f->offsets[f->n_found] = offset;
	f->found[f->n_found++] = *r;
}

static void
on_gap(void *arg, uint64_t from, uint64_t to)
{
	struct fixture *f = arg;

	assert_true(f->n_gaps < GAPS_MAX && from < to);
	f->gaps[f->n_gaps][0] = from;
	f->gaps[f->n_gaps++][1] = to;
}

static void
scan(struct fixture *f)
{
	uint64_t size = f->fs->files[f->fd].size;

	f->n_found = f->n_gaps = 0;
	f->scan = (struct scan){.io = &f->fs->io,
	    .fd = f->fd,
	    .nonce = NONCE,
	    .start = SEGMENT_HEADER,
	    .limit = f->limit < size ? f->limit : size,
	    .has_bodies = f->has_bodies,
	    .on_record = on_record,
	    .on_gap = on_gap,
	    .arg = f};
	scan_run(&f->scan);
}

static void
expect(struct fixture *f, size_t n_found, uint64_t end, uint64_t gaps)
{
	scan(f);
	assert_int_equal(f->n_found, n_found);
	assert_int_equal(f->scan.end, end);
	assert_int_equal(f->scan.gaps, gaps);
	assert_int_equal(f->scan.unreadable, 0);
}

static void
test_nothing(void **state)
{
	static const uint64_t sizes[] = {
	    0, 10, SEGMENT_HEADER, SEGMENT_HEADER + 1, SEGMENT_HEADER + RECORD_HEADER, 70000};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		memfs_reserve(&f->fs->files[f->fd], sizes[i]);
		f->fs->files[f->fd].size = sizes[i];
		expect(f, 0, SEGMENT_HEADER, 0);
	}
}

static void
test_all_kinds(void **state)
{
	struct fixture *f = *state;
	uint64_t at[6];

	at[0] = add_message(f, NONCE, 1, 100);
	at[1] = add_mark(f, RECORD_NOTE, 1, RECORD_HOMES + 33);
	at[2] = add_mark(f, RECORD_DONE, 1, RECORD_HOMES);
	at[3] = add_mark(f, RECORD_SEAL, 0, RECORD_SEAL_LENGTH);
	at[4] = add_mark(f, RECORD_VOID, 2, 77);
	at[5] = add_message(f, NONCE, 3, 0);
	expect(f, 6, f->at, 0);
	for (size_t i = 0; i < 6; i++) {
		assert_int_equal(f->offsets[i], at[i]);
		assert_int_equal(f->offsets[i] % RECORD_ALIGN, 0);
	}
	assert_int_equal(f->found[4].type, RECORD_VOID);
	assert_int_equal(f->found[5].serial, 3);
	f->has_bodies = true;
	expect(f, 6, f->at, 0);
}

/* One byte of the middle record is bad, for each byte of it: the ones beside it stay. */
static void
test_each_byte_bad(void **state)
{
	struct fixture *f = *state;
	uint64_t from, to, body;

	(void)add_message(f, NONCE, 1, 50);
	from = add_message(f, NONCE, 2, 50);
	to = f->at;
	body = from + RECORD_HEADER + RECORD_LENGTHS + 8;
	(void)add_message(f, NONCE, 3, 50);
	for (int bodies = 0; bodies < 2; bodies++)
		for (uint64_t at = from; at < from + RECORD_HEADER + RECORD_LENGTHS + 60; at++) {
			bool is_seen = at < body || bodies == 1;

			f->has_bodies = bodies == 1;
			flip(f, at);
			expect(f, is_seen ? 2 : 3, f->at, is_seen ? to - from : 0);
			assert_int_equal(f->n_gaps, is_seen);
			if (is_seen) {
				assert_int_equal(f->gaps[0][0], from);
				assert_int_equal(f->gaps[0][1], to);
			}
			flip(f, at);
		}
}

/* The first, the last, and two side by side: gaps are counted by bytes, the tail is none. */
static void
test_gaps(void **state)
{
	struct fixture *f = *state;
	uint64_t at[6];

	for (uint64_t i = 0; i < 6; i++)
		at[i] = add_message(f, NONCE, i, 20 + (size_t)i);
	flip(f, at[0]);
	expect(f, 5, f->at, at[1] - at[0]);
	flip(f, at[2]);
	flip(f, at[3]);
	expect(f, 3, f->at, at[1] - at[0] + at[4] - at[2]);
	assert_int_equal(f->n_gaps, 2);
	flip(f, at[5]);
	expect(f, 2, at[5], at[1] - at[0] + at[4] - at[2]);
	flip(f, at[1]);
	flip(f, at[4]);
	expect(f, 0, SEGMENT_HEADER, 0);
}

/* Another life's records are not seen, not even between ours; nor is one in a body. */
static void
test_nonces(void **state)
{
	struct fixture *f = *state;
	uint64_t first, other, last;

	first = add_message(f, NONCE, 1, 10);
	other = add_message(f, NONCE + 1, 2, 10);
	last = add_message(f, NONCE, 3, 1000);
	expect(f, 2, f->at, last - other);
	assert_int_equal(f->offsets[0], first);
	assert_int_equal(f->found[1].serial, 3);
	f->at = last + RECORD_HEADER + RECORD_LENGTHS + 8 + 16; /* into the body of the last */
	(void)add_message(f, NONCE, 4, 10);
	expect(f, 2, last + record_size(RECORD_LENGTHS + 10 + 1000), last - other);
	/* Once the one around it is torn, only the nonce keeps it out; a sender has none. */
	flip(f, last);
	scan(f);
	assert_int_equal(f->n_found, 2);
	assert_int_equal(f->found[1].serial, 4);
}

/* What ends behind the limit is none of its records; cut at every byte. */
static void
test_limits(void **state)
{
	struct fixture *f = *state;
	uint64_t second, end;

	(void)add_message(f, NONCE, 1, 20);
	second = add_message(f, NONCE, 2, 20);
	end = second + RECORD_HEADER + RECORD_LENGTHS + 30;
	for (f->limit = SEGMENT_HEADER; f->limit < f->at + 8; f->limit++) {
		scan(f);
		assert_int_equal(f->n_found,
		    f->limit >= end ? 2 : (f->limit >= end - (second - SEGMENT_HEADER) ? 1 : 0));
		assert_true(f->scan.end <= f->limit || f->scan.end == SEGMENT_HEADER);
	}
}

/* Larger than any window, and small ones behind it. */
static void
test_large(void **state)
{
	struct fixture *f = *state;
	uint64_t at;

	(void)add_message(f, NONCE, 1, 100);
	at = add_message(f, NONCE, 2, BIG);
	for (uint64_t i = 3; i < 20; i++)
		(void)add_message(f, NONCE, i, 1000);
	f->has_bodies = true;
	expect(f, 19, f->at, 0);
	flip(f, at + BIG / 2);
	expect(f, 18, f->at, record_size(RECORD_LENGTHS + 10 + BIG));
	f->has_bodies = false;
	expect(f, 19, f->at, 0);
	flip(f, at + 8); /* its length: the next good one is found behind it */
	scan(f);
	assert_true(f->n_found >= 18);
}

/* Bytes that the disk does not give cost what lies in them, and are told. */
static void
test_unreadable(void **state)
{
	struct fixture *f = *state;

	for (uint64_t i = 0; i < 30; i++)
		(void)add_message(f, NONCE, i, 900);
	f->fs->fail_at = f->fs->calls + 1;
	f->fs->fails = 2; /* the window, then its first block */
	scan(f);
	assert_int_equal(f->scan.unreadable, 1);
	assert_true(f->n_found >= 24 && f->n_found < 30);
	f->fs->fail_at = f->fs->calls + 1;
	f->fs->fails = 1 << 30;
	scan(f);
	assert_int_equal(f->n_found, 0);
	assert_true(f->scan.unreadable > 1);
	f->fs->fail_at = 0;
	expect(f, 30, f->at, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_nothing),
	    TEST(test_all_kinds),
	    TEST(test_each_byte_bad),
	    TEST(test_gaps),
	    TEST(test_nonces),
	    TEST(test_limits),
	    TEST(test_large),
	    TEST(test_unreadable),
	};

	rng_seed(3);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

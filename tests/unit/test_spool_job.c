/* What the committer does for one job, call by call, without its thread. */
#include "relay/base/rng.h"
#include "relay/spool/commit.h"
#include "relay/spool/crc32c.h"
#include "relay/spool/record.h"
#include "relay/spool/scan.h"
#include "tests/lib/memfs.h"

#include <setjmp.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

enum { SIZE = 65536, NONCE = 77 };

struct fixture {
	struct memfs *fs;
	struct segment *seg;
	struct job *j;
	uint64_t at, n_syncs;
	struct record found[32];
	size_t n_found;
};

static int
setup(void **state)
{
	struct fixture *f = mem_alloc(sizeof(*f));

	f->fs = memfs_new(1);
	f->seg = segment_new("00000001.seg");
	f->seg->fd = memfs_open_file(f->fs, MEMFS_DIR, f->seg->name, true);
	memfs_reserve(&f->fs->files[f->seg->fd], SIZE);
	f->fs->files[f->seg->fd].size = SIZE;
	(void)memfs_sync_data(f->fs, f->seg->fd);
	(void)memfs_sync_dir(f->fs, MEMFS_DIR);
	f->j = job_new(JOB_BATCH, f->seg);
	f->j->header = (struct segment_header){
	    .kind = SEGMENT_MESSAGES, .number = 1, .nonce = NONCE, .first_serial = 1};
	f->j->is_birth = true;
	f->at = SEGMENT_HEADER;
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	job_free(&f->j);
	segment_free(&f->seg);
	memfs_free(&f->fs);
	mem_free(f);
	return 0;
}

/* A message: head in memory, its body there too or in a file of `file_n` bytes. */
static struct item *
add_item(struct fixture *f, uint64_t serial, size_t body_n, bool is_file, size_t file_n)
{
	struct record_message parts = {.id_n = 2, .envelope_n = 4, .prefix_n = 6, .body_n = body_n};
	struct record r = {.nonce = NONCE,
	    .serial = serial,
	    .type = RECORD_MSG,
	    .length = record_message_length(&parts)};
	struct item *i = mem_alloc(sizeof(*i));

	list_init(&i->node);
	i->serial = serial;
	i->length = r.length;
	i->offset = f->at;
	i->covered_n = RECORD_HEADER + (size_t)record_message_head(&parts);
	i->body_n = 6 + (is_file ? 0 : body_n);
	i->head_n = is_file ? i->covered_n + 6 : (size_t)record_size(r.length);
	i->head = mem_alloc(i->head_n);
	i->fd = -1;
	record_encode(&r, i->head);
	record_encode_message(&parts, i->head + RECORD_HEADER);
	memset(i->head + RECORD_HEADER + RECORD_LENGTHS, 'h',
	    i->covered_n + i->body_n - RECORD_HEADER - RECORD_LENGTHS);
	if (is_file) {
		unsigned char *bytes = mem_alloc(file_n + 1);

		memset(bytes, 'b', file_n);
		i->fd = memfd_create("body", MFD_CLOEXEC);
		assert_true(i->fd >= 0 && write(i->fd, bytes, file_n) == (ssize_t)file_n);
		i->n = body_n;
		mem_free(bytes);
	}
	f->at += record_size(r.length);
	list_append(&f->j->items, &i->node);
	return i;
}

/* A copy of the record at `from` of the same file, to the end. */
static struct item *
add_copy(struct fixture *f, const struct item *of)
{
	struct record r = {
	    .nonce = NONCE, .serial = of->serial, .type = RECORD_MSG, .length = of->length};
	struct item *i = mem_alloc(sizeof(*i));

	list_init(&i->node);
	i->serial = of->serial;
	i->length = of->length;
	i->offset = f->at;
	i->covered_n = i->head_n = of->covered_n;
	i->head = mem_alloc(i->head_n);
	record_encode(&r, i->head);
	i->source = f->seg;
	i->fd = f->seg->fd;
	i->from = of->offset + of->covered_n;
	i->n = of->length + RECORD_HEADER - of->covered_n;
	f->at += record_size(of->length);
	list_append(&f->j->items, &i->node);
	return i;
}

static void
run(struct fixture *f)
{
	job_run(f->j, &f->fs->io, MEMFS_DIR, &f->n_syncs);
}

static void
on_record(void *arg, const struct record *r, uint64_t offset, struct span peek)
{
	struct fixture *f = arg;

	(void)offset;
	(void)peek;
	assert_true(f->n_found < 32);
	f->found[f->n_found++] = *r;
}

/* What is there after a power loss that keeps nothing unsynced. */
static size_t
count_kept(struct fixture *f)
{
	struct memfs *image = memfs_clone(f->fs, 3);
	struct scan scan = {.fd = f->seg->fd,
	    .nonce = NONCE,
	    .start = SEGMENT_HEADER,
	    .has_bodies = true,
	    .on_record = on_record,
	    .arg = f};

	memfs_lose_power(image, MEMFS_LOSE_ALL);
	scan.io = &image->io;
	scan.limit = image->files[f->seg->fd].size;
	f->n_found = 0;
	scan_run(&scan);
	assert_int_equal(scan.gaps, 0);
	memfs_free(&image);
	return f->n_found;
}

static void
test_batch_is_durable(void **state)
{
	struct fixture *f = *state;

	(void)add_item(f, 1, 10, false, 0);
	(void)add_item(f, 2, 1000, true, 1000);
	(void)add_item(f, 3, 0, false, 0);
	(void)add_item(f, 4, 5000, true, 6000);
	run(f);
	assert_int_equal(f->j->failed, 0);
	assert_true(f->j->is_touched);
	assert_int_equal(f->n_syncs, 1);
	assert_int_equal(count_kept(f), 4);
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(f->found[i].serial, i + 1);
}

/* Whichever call fails the job says so, and what it says it kept is kept. */
static void
test_batch_with_each_call_failing(void **state)
{
	struct fixture *f = *state;

	(void)add_item(f, 1, 10, false, 0);
	(void)add_item(f, 2, 1000, true, 1000);
	for (uint64_t n = 1;; n++) {
		f->fs->fail_at = f->fs->calls + n;
		run(f);
		if (f->j->failed == 0)
			break;
		assert_int_equal(f->j->failed, -EIO);
		assert_true(f->j->is_touched);
		f->j->failed = 0;
	}
	assert_true(f->fs->n_failed >= 4); /* header, head, body, sync */
	assert_int_equal(count_kept(f), 2);
}

/* A file that is shorter than was said costs its message, and no other. */
static void
test_short_source(void **state)
{
	struct fixture *f = *state;
	struct item *bad;

	(void)add_item(f, 1, 10, false, 0);
	bad = add_item(f, 2, 1000, true, 999);
	(void)add_item(f, 3, 10, false, 0);
	run(f);
	assert_int_equal(f->j->failed, 0);
	assert_int_equal(bad->err, -E_CORRUPT);
	assert_int_equal(count_kept(f), 3);
	assert_int_equal(f->found[0].type, RECORD_MSG);
	assert_int_equal(f->found[1].type, RECORD_VOID);
	assert_int_equal(f->found[2].serial, 3);
}

/* A copy is a whole record; a source that went bad, in any part, gives a VOID and stays. */
static void
test_copies(void **state)
{
	struct fixture *f = *state;
	struct item *first = add_item(f, 1, 300, false, 0), *copy;
	uint64_t first_at = first->offset;

	copy = add_copy(f, first);
	run(f);
	assert_int_equal(f->j->failed, 0);
	assert_int_equal(copy->err, 0);
	assert_int_equal(count_kept(f), 2);
	assert_int_equal(f->found[1].serial, 1);
	assert_int_equal(f->found[0].crc, f->found[1].crc);
	for (uint64_t at = first_at; at < first_at + RECORD_HEADER + first->length; at += 9) {
		struct memfs_file *file = &f->fs->files[f->seg->fd];
		struct job *j = job_new(JOB_BATCH, f->seg);
		struct job *before = f->j;
		unsigned char byte;

		(void)memfs_get(file, &byte, 1, at);
		byte ^= 1;
		memfs_put(file, &byte, 1, at);
		f->j = j;
		copy = add_copy(f, first);
		run(f);
		assert_int_equal(j->failed, 0);
		assert_int_equal(copy->err, -E_CORRUPT);
		byte ^= 1;
		memfs_put(file, &byte, 1, at);
		f->at -= record_size(first->length);
		job_free(&f->j);
		f->j = before;
	}
}

static void
test_own_file(void **state)
{
	struct fixture *f = *state;

	f->j->is_create = true;
	f->j->fd = -1;
	(void)span_copy(SPAN("00000002.seg"), f->j->name, sizeof(f->j->name));
	(void)add_item(f, 1, 20000, true, 20000);
	f->fs->fail_at = f->fs->calls + 1; /* it cannot be made: nothing was touched */
	run(f);
	assert_int_equal(f->j->failed, -EIO);
	assert_false(f->j->is_touched);
	f->fs->fail_at = 0;
	run(f);
	assert_int_equal(f->j->failed, 0);
	assert_true(f->fs->files[f->j->fd].is_kept_named);
	f->seg->fd = f->j->fd;
	assert_int_equal(count_kept(f), 1);
}

static void
test_fill_in_steps(void **state)
{
	struct fixture *f = *state;

	job_free(&f->j);
	f->j = job_new(JOB_FILL, f->seg);
	f->j->fd = -1;
	(void)span_copy(SPAN("00000003.seg"), f->j->name, sizeof(f->j->name));
	f->j->size = COMMIT_FILL_STEP + 1000;
	run(f);
	assert_int_equal(f->j->failed, 0);
	assert_int_equal(f->j->filled, COMMIT_FILL_STEP);
	assert_false(f->fs->files[f->j->fd].is_kept_named);
	run(f);
	assert_int_equal(f->j->filled, f->j->size);
	assert_int_equal(f->fs->files[f->j->fd].kept_size, f->j->size);
	assert_true(f->fs->files[f->j->fd].is_kept_named);
}

/* A file that could not be made is not left behind, as far as the disk lets it. */
static void
test_fill_fails(void **state)
{
	struct fixture *f = *state;

	for (uint64_t n = 1; n <= 4; n++) {
		job_free(&f->j);
		f->j = job_new(JOB_FILL, f->seg);
		f->j->fd = -1;
		(void)span_copy(SPAN("00000003.seg"), f->j->name, sizeof(f->j->name));
		f->j->size = 1000;
		f->fs->fail_at = f->fs->calls + n; /* create, write, sync, sync of the folder */
		run(f);
		assert_int_equal(f->j->failed, -EIO);
		assert_true(f->j->fd < 0);
		assert_null(memfs_find(f->fs, "00000003.seg"));
	}
}

static void
test_retire(void **state)
{
	static const struct {
		enum retire_how how;
		const char *name; /* under which it is there afterwards, or NULL */
	} cases[] = {{RETIRE_ERASE, "00000001.seg"}, {RETIRE_SET_ASIDE, "00000001.seg.damaged"},
	    {RETIRE_UNLINK, NULL}};
	struct fixture *f = *state;
	unsigned char block[SEGMENT_HEADER];
	struct segment_header header;

	(void)add_item(f, 1, 10, false, 0);
	run(f);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct memfs_file *file = &f->fs->files[f->seg->fd];

		job_free(&f->j);
		f->j = job_new(JOB_RETIRE, f->seg);
		f->j->how = cases[i].how;
		for (uint64_t n = 1; n <= 2; n++) {
			f->fs->fail_at = f->fs->calls + n;
			run(f);
			assert_int_equal(f->j->failed, -EIO);
			if (cases[i].how != RETIRE_ERASE && n == 2) /* the name went, unsynced */
				(void)span_copy(
				    span_str(f->seg->name), file->name, sizeof(file->name));
			file->is_named = true;
		}
		f->fs->fail_at = 0;
		run(f);
		assert_int_equal(f->j->failed, 0);
		assert_int_equal(file->is_kept_named, cases[i].name != NULL);
		if (cases[i].name == NULL)
			continue;
		assert_string_equal(file->kept_name, cases[i].name);
		(void)span_copy(span_str(f->seg->name), file->name, sizeof(file->name));
	}
	assert_int_equal(
	    memfs_get(&f->fs->files[f->seg->fd], block, sizeof(block), 0), SEGMENT_HEADER);
	assert_int_equal(segment_decode(block, &header), -E_NOT_FOUND);
}

static void
test_sync_of_several(void **state)
{
	struct fixture *f = *state;
	unsigned char byte = 1;
	int other = memfs_open_file(f->fs, MEMFS_DIR, "00000009.seg", true);

	job_free(&f->j);
	f->j = job_new(JOB_SYNC, NULL);
	f->j->fds[f->j->n_fds++] = f->seg->fd;
	f->j->fds[f->j->n_fds++] = other;
	memfs_put(&f->fs->files[other], &byte, 1, 0);
	f->fs->fail_at = f->fs->calls + 1;
	run(f);
	assert_int_equal(f->j->failed, -EIO);
	assert_true(f->fs->files[other].cells[0].is_dirty); /* after one failed, none is tried */
	f->j->failed = 0;
	run(f);
	assert_int_equal(f->j->failed, 0);
	assert_int_equal(f->n_syncs, 3);
	assert_false(f->fs->files[other].cells[0].is_dirty);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_batch_is_durable),
	    TEST(test_batch_with_each_call_failing),
	    TEST(test_short_source),
	    TEST(test_copies),
	    TEST(test_own_file),
	    TEST(test_fill_in_steps),
	    TEST(test_fill_fails),
	    TEST(test_retire),
	    TEST(test_sync_of_several),
	};

	rng_seed(4);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

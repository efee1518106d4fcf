#include "relay/base/clock.h"
#include "relay/base/log.h"
#include "relay/spool/segment.h"
#include "relay/spool/store.h"
#include "tests/lib/spool_ledger.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { SMALL = 32768, LATER_MS = 2000 };

struct fixture {
	struct memfs *fs;
	struct loop *loop;
	struct spool *s;
	struct ledger *l;
	struct spool_options options;
	int64_t now_ms;
};

static void
open_spool(struct fixture *f)
{
	struct err err = {0};

	f->options.dir = "spool";
	f->options.io = &f->fs->io;
	if (f->options.segment_bytes == 0)
		f->options.segment_bytes = SMALL;
	f->l->n_found = 0;
	for (size_t i = 0; i < f->l->n; i++)
		f->l->entries[i].is_found = false;
	f->s = spool_open(&f->options, f->loop, &ledger_events, f->l, &err);
	assert_non_null(f->s);
}

/* Closes, opens, and holds what is found against the ledger; a clean end keeps all marks. */
static void
reopen(struct fixture *f)
{
	spool_close(&f->s);
	f->l->is_exact = true;
	open_spool(f);
	ledger_check(f->l, f->s);
	if (f->l->n_wrong > 0)
		fail_msg("%s", f->l->wrong);
}

/* Two seconds pass: everything that a tick does has been done, and answered. */
static void
settle(struct fixture *f)
{
	for (int i = 0; i < 12; i++) {
		f->now_ms += LATER_MS;
		clock_fake(f->now_ms, f->now_ms);
		loop_turn(f->loop, 0);
		for (int j = 0; j < 4; j++) {
			struct timespec nap = {.tv_nsec = 200000};

			(void)nanosleep(
			    &nap, NULL); /* lets the committer work; nothing depends on it */
			loop_turn(f->loop, 0);
		}
	}
}

static int
setup(void **state)
{
	struct fixture *f = mem_alloc(sizeof(*f));

	rng_seed(42);
	f->now_ms = 1000;
	clock_fake(f->now_ms, f->now_ms);
	f->fs = memfs_new(1);
	f->loop = loop_new();
	f->l = mem_alloc(sizeof(*f->l));
	open_spool(f);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	spool_close(&f->s);
	loop_free(&f->loop);
	memfs_free(&f->fs);
	mem_free(f->l);
	mem_free(f);
	return 0;
}

static void
test_put_read_verify(void **state)
{
	static const struct {
		uint64_t size;
		bool as_file;
	} cases[] = {
	    {0, false},
	    {1, false},
	    {7, true},
	    {0, true},
	    {5000, false},
	    {5000, true},
	    {8200, false},  /* at the edge of a file of its own */
	    {200000, true}, /* larger than a segment */
	    {1000000, false},
	};
	struct fixture *f = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		size_t number = ledger_put(f->l, f->s, cases[i].size, cases[i].as_file);
		struct spool_message *m;
		char byte[2];

		ledger_wait(f->l, f->loop, number);
		assert_int_equal(f->l->entries[number].told, TOLD_KEPT);
		m = f->l->entries[number].m;
		ledger_check_body(f->l, f->s, m, number);
		assert_int_equal(spool_message_size(m), cases[i].size + LEDGER_PREFIX);
		assert_int_equal(spool_read(f->s, m, spool_message_size(m), byte, 1), -E_CORRUPT);
		assert_int_equal(spool_read(f->s, m, UINT64_MAX, byte, 2), -E_CORRUPT);
		assert_int_equal(spool_read(f->s, m, spool_message_size(m), byte, 0), 0);
	}
	assert_int_equal(f->l->n_wrong, 0);
	reopen(f);
	assert_int_equal(f->l->n_found, sizeof(cases) / sizeof(cases[0]));
}

static void
test_a_turn_is_one_batch(void **state)
{
	struct fixture *f = *state;
	uint64_t before = spool_stats(f->s).syncs;

	for (int i = 0; i < 50; i++)
		(void)ledger_put(f->l, f->s, 100, false);
	ledger_wait(f->l, f->loop, 49);
	assert_int_equal(spool_stats(f->s).syncs, before + 1);
	assert_int_equal(spool_stats(f->s).committed, 50);
	assert_int_equal(spool_stats(f->s).messages, 50);
}

static void
test_notes_and_forget_survive(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 30; i++)
		(void)ledger_put(f->l, f->s, 300, false);
	ledger_wait(f->l, f->loop, 29);
	for (size_t i = 0; i < 30; i++)
		for (size_t n = 0; n < i % 4; n++)
			ledger_note(f->l, f->s, i);
	for (size_t i = 0; i < 30; i += 3)
		ledger_forget(f->l, f->s, i);
	reopen(f);
	assert_int_equal(f->l->n_found, 20);
	reopen(f);
	assert_int_equal(f->l->n_found, 20);
}

/* kill -9: what is in the page cache counts, without any sync after it. */
static void
test_marks_are_there_after_kill(void **state)
{
	struct fixture *f = *state;
	struct memfs *before = f->fs;
	struct spool *abandoned = f->s;

	for (int i = 0; i < 10; i++)
		(void)ledger_put(f->l, f->s, 300, false);
	ledger_wait(f->l, f->loop, 9);
	ledger_note(f->l, f->s, 3);
	ledger_note(f->l, f->s, 3);
	ledger_forget(f->l, f->s, 4);
	f->fs = memfs_clone(before, 2);
	f->l->is_exact = true;
	open_spool(f);
	ledger_check(f->l, f->s);
	assert_int_equal(f->l->n_wrong, 0);
	assert_int_equal(f->l->n_found, 9);
	spool_close(&abandoned);
	memfs_free(&before);
}

static void
test_marks_are_synced_within_a_second(void **state)
{
	struct fixture *f = *state;
	struct memfs *before = f->fs;
	struct spool *abandoned = f->s;

	for (int i = 0; i < 10; i++)
		(void)ledger_put(f->l, f->s, 300, false);
	ledger_wait(f->l, f->loop, 9);
	ledger_note(f->l, f->s, 3);
	ledger_forget(f->l, f->s, 4);
	settle(f);
	f->fs = memfs_clone(before, 2);
	memfs_lose_power(f->fs, MEMFS_LOSE_ALL);
	f->l->is_exact = true;
	open_spool(f);
	ledger_check(f->l, f->s);
	assert_int_equal(f->l->n_wrong, 0);
	assert_int_equal(f->l->n_found, 9);
	spool_close(&abandoned);
	memfs_free(&before);
}

/* Many times the size of the files passes through, yet their number stays small. */
static void
test_segments_are_recycled(void **state)
{
	struct fixture *f = *state;
	size_t first = ledger_put(f->l, f->s, 500, false); /* lives through all of it */

	ledger_wait(f->l, f->loop, first);
	ledger_note(f->l, f->s, first);
	for (int round = 0; round < 60; round++) {
		size_t from = f->l->n;

		for (int i = 0; i < 20; i++)
			(void)ledger_put(f->l, f->s, 1500, i % 5 == 0);
		ledger_wait(f->l, f->loop, f->l->n - 1);
		for (size_t i = from; i < f->l->n; i++) {
			ledger_note(f->l, f->s, i);
			ledger_forget(f->l, f->s, i);
		}
		settle(f);
	}
	assert_true(spool_stats(f->s).segments < 24);
	assert_int_equal(spool_stats(f->s).messages, 1);
	reopen(f);
	assert_int_equal(f->l->n_found, 1);
	assert_true(spool_stats(f->s).segments < 24);
}

/* Puts five messages, gives their segment its seal, and makes a byte of message 2's envelope or
 * body bad on the disk. */
static struct memfs_file *
spoil_third(struct fixture *f, bool is_body)
{
	char needle[40];
	size_t n = 7;
	struct memfs_file *file;
	uint64_t at = 0;

	for (int i = 0; i < 5; i++)
		(void)ledger_put(f->l, f->s, 700, false);
	ledger_wait(f->l, f->loop, 4);
	reopen(f); /* now its end is written down */
	spool_close(&f->s);
	(void)ledger_text(needle, "env", 2, 0);
	if (is_body)
		ledger_body(2, 0, (unsigned char *)needle, n = sizeof(needle));
	file = memfs_search(f->fs, needle, n, &at);
	assert_non_null(file);
	needle[5] = (char)(needle[5] ^ 0x40);
	memfs_damage(file, needle, n, at);
	f->l->entries[2].is_spoilt = true;
	return file;
}

/* A bad record costs one message; the others, and the admin's knowledge of it, stay. */
static void
test_bad_record_is_set_aside(void **state)
{
	struct fixture *f = *state;
	struct memfs_file *file = spoil_third(f, false);

	open_spool(f);
	assert_int_equal(f->l->n_found, 4);
	assert_int_equal(spool_stats(f->s).set_aside, 1);
	reopen(f);
	assert_int_equal(f->l->n_found, 4);
	assert_int_equal(spool_stats(f->s).set_aside, 1);
	assert_true(f->l->n_problems > 0);
	for (size_t i = 0; i < 5; i++)
		if (i != 2)
			ledger_forget(f->l, f->s, i);
	settle(f);
	assert_non_null(strstr(file->name, ".damaged"));
}

/* A recovery does not read bodies: a bad one is found before it is sent. */
static void
test_bad_body_is_found_by_verify(void **state)
{
	struct fixture *f = *state;
	struct spool_message *m;

	(void)spoil_third(f, true);
	open_spool(f);
	assert_int_equal(f->l->n_found, 5);
	m = f->l->entries[2].m;
	assert_int_equal(spool_verify(f->s, m), -E_CORRUPT);
	assert_int_equal(spool_verify(f->s, m), -E_CORRUPT);
	assert_int_equal(spool_verify(f->s, f->l->entries[3].m), 0);
	assert_int_equal(spool_verify(f->s, f->l->entries[3].m), 0);
	reopen(f);
	assert_int_equal(f->l->n_found, 5);
	assert_int_equal(spool_verify(f->s, f->l->entries[2].m), -E_CORRUPT);
}

/* A large one is read in steps, several at a time, and each is judged by its own bytes. */
static void
test_verify_in_steps(void **state)
{
	struct fixture *f = *state;
	enum { N = 2, STEPS = 3, AT = SPOOL_VERIFY_BYTES + 1000 };
	const uint64_t size = STEPS * (uint64_t)SPOOL_VERIFY_BYTES - LEDGER_PREFIX;
	unsigned char needle[40];
	struct memfs_file *file;
	uint64_t at = 0;

	for (size_t i = 0; i < N; i++)
		ledger_wait(f->l, f->loop, ledger_put(f->l, f->s, size, false));
	ledger_body(1, AT, needle, sizeof(needle));
	file = memfs_search(f->fs, needle, sizeof(needle), &at);
	assert_non_null(file);
	needle[5] ^= 0x40;
	memfs_damage(file, needle, sizeof(needle), at);
	for (size_t again = 0; again < 2; again++)
		for (size_t step = 0; step < STEPS; step++)
			for (size_t i = 0; i < N; i++) {
				int r = spool_verify(f->s, f->l->entries[i].m);
				int last = i == 0 ? 0 : -E_CORRUPT;
				bool goes_on = step < STEPS - 1 && (i == 1 || again == 0);

				if (r != (goes_on ? -E_AGAIN : last))
					fail_msg(
					    "%zu, message %zu, step %zu: %d", again, i, step, r);
			}
}

/* What a queued message costs is the budget of the queue. */
static void
test_a_message_takes_little_memory(void **state)
{
	(void)state;
	assert_true(sizeof(struct spool_message) <= 88);
}

static void
test_torn_tail_is_dropped(void **state)
{
	struct fixture *f = *state;
	unsigned char needle[40], zeros[700] = {0};
	struct memfs_file *file;
	uint64_t at = 0;

	for (int i = 0; i < 5; i++)
		(void)ledger_put(f->l, f->s, 700, false);
	ledger_wait(f->l, f->loop, 4);
	spool_close(&f->s);
	ledger_body(4, 0, needle, sizeof(needle));
	file = memfs_search(f->fs, needle, sizeof(needle), &at);
	assert_non_null(file);
	memfs_damage(file, zeros, sizeof(zeros), at + 100);
	f->l->entries[4].told = TOLD_SETTLED;
	open_spool(f);
	assert_int_equal(f->l->n_found, 4);
	reopen(f);
	assert_int_equal(f->l->n_found, 4);
	assert_int_equal(spool_stats(f->s).set_aside, 0);
}

/* A whole record, its CRC right, inside a body: nothing believes it without the nonce. */
static void
test_record_in_a_body(void **state)
{
	struct fixture *f = *state;
	struct spool_message *m;
	struct memfs_file *file;
	unsigned char stolen[600];
	uint64_t at;
	int fd = -1;
	size_t number = ledger_put(f->l, f->s, 200, false);

	ledger_wait(f->l, f->loop, number);
	m = f->l->entries[number].m;
	/* The record as it lies on disk, of an earlier life of the file. */
	ledger_body(number, 0, stolen, 40);
	file = memfs_search(f->fs, stolen, 40, &at);
	assert_non_null(file);
	assert_int_equal(memfs_get(file, stolen, sizeof(stolen), SEGMENT_HEADER), sizeof(stolen));
	stolen[0] ^= 1; /* a sender cannot know the nonce */
	stolen[16] ^= 0x55;
	f->l->entries[f->l->n++] = (struct entry){.size = 0};
	spool_put(f->s, f->l->n - 1, SPAN("id-1-0"), SPAN("env-1-0"), SPAN("A: prefix\n"),
	    span_of(stolen, sizeof(stolen)), fd, 0, 0);
	ledger_wait(f->l, f->loop, 1);
	assert_true(m != f->l->entries[1].m);
	spool_close(&f->s);
	open_spool(f);
	assert_int_equal(f->l->n_found, 2);
}

static void
test_limits_are_refused(void **state)
{
	struct fixture *f = *state;
	char id[SPOOL_ID_MAX + 1] = {0};
	int fd = memfd_create("short", MFD_CLOEXEC);

	f->l->n = 4;
	spool_put(f->s, 0, span_of(id, sizeof(id)), SPAN(""), SPAN(""), SPAN(""), -1, 0, 0);
	spool_put(f->s, 1, span_of(id, SPOOL_ID_MAX), SPAN(""), SPAN(""), SPAN(""), -1, 0, 0);
	spool_put(f->s, 2, SPAN("a"), SPAN(""), SPAN(""), SPAN(""), fd, 0, 10); /* is shorter */
	fd = memfd_create("skip", MFD_CLOEXEC);
	spool_put(f->s, 3, SPAN("a"), SPAN(""), SPAN(""), SPAN(""), fd, 11, 10);
	for (size_t i = 0; i < 4; i++) {
		ledger_wait(f->l, f->loop, i);
		assert_int_equal(f->l->entries[i].told, i == 1 ? TOLD_KEPT : TOLD_REFUSED);
	}
	f->l->n = 0; /* no ids of the ledger's */
}

static void
set_limit(struct fixture *f, uint64_t bytes)
{
	(void)pthread_mutex_lock(&f->fs->lock);
	f->fs->used_limit = bytes;
	(void)pthread_mutex_unlock(&f->fs->lock);
}

static void
set_space(struct fixture *f, uint64_t bytes, uint64_t files)
{
	(void)pthread_mutex_lock(&f->fs->lock);
	f->fs->space = (struct spool_space){.free_bytes = bytes, .free_files = files};
	(void)pthread_mutex_unlock(&f->fs->lock);
}

static void
test_full_disk_is_said_early_and_passes(void **state)
{
	struct fixture *f = *state;
	size_t refused = 0;

	assert_true(spool_has_room(f->s, 1000));
	set_limit(f, memfs_used(f->fs) + SMALL / 2);
	settle(f);
	assert_false(spool_has_room(f->s, 100000));
	for (int i = 0; i < 100; i++) {
		(void)ledger_put(f->l, f->s, 1000, false);
		ledger_wait(f->l, f->loop, f->l->n - 1);
		refused += f->l->entries[i].told == TOLD_REFUSED;
	}
	assert_true(refused > 0);
	settle(f);
	assert_false(spool_has_room(f->s, 1000));
	assert_true(f->l->n_problems > 0);
	set_limit(f, 0);
	settle(f);
	assert_true(spool_has_room(f->s, 1000));
	ledger_wait(f->l, f->loop, ledger_put(f->l, f->s, 1000, false));
	assert_int_equal(f->l->entries[f->l->n - 1].told, TOLD_KEPT);
	reopen(f);
}

static void
test_min_free_and_inodes(void **state)
{
	struct fixture *f = *state;

	spool_close(&f->s);
	f->options.min_free = 1000000;
	set_space(f, 1000000 + SMALL * 8, 1000);
	open_spool(f);
	assert_true(spool_has_room(f->s, 1000));
	assert_false(spool_has_room(f->s, SMALL * 8));
	set_space(f, 999999, 1000);
	settle(f);
	assert_false(spool_has_room(f->s, SMALL));
	set_space(f, 1ull << 40, 3);
	settle(f);
	assert_false(spool_has_room(f->s, SMALL));
	set_space(f, 1ull << 40, 1000);
	settle(f);
	assert_true(spool_has_room(f->s, SMALL));
	f->options.min_free = 0;
}

/* The system's own calls, in a folder of its own. */
static void
test_on_a_real_folder(void **state)
{
	struct fixture *f = *state;
	char dir[] = "/tmp/postern-spool-XXXXXX", sub[64], name[400];
	struct spool *s, *second;
	struct err err = {0};
	DIR *walk;

	assert_non_null(mkdtemp(dir));
	(void)snprintf(sub, sizeof(sub), "%s/spool", dir);
	spool_close(&f->s);
	f->options = (struct spool_options){.dir = sub, .segment_bytes = 1024 * 1024};
	s = spool_open(&f->options, f->loop, &ledger_events, f->l, &err);
	assert_non_null(s);
	second = spool_open(&f->options, f->loop, &ledger_events, f->l, &err);
	assert_null(second); /* locked */
	for (int i = 0; i < 200; i++)
		(void)ledger_put(f->l, s, (uint64_t)i * 50, i % 2 == 0);
	(void)ledger_put(f->l, s, 3000000, true);
	ledger_wait(f->l, f->loop, 200);
	for (size_t i = 0; i < 100; i++)
		ledger_forget(f->l, s, i);
	spool_close(&s);
	f->l->is_exact = true;
	s = spool_open(&f->options, f->loop, &ledger_events, f->l, &err);
	assert_non_null(s);
	ledger_check(f->l, s);
	assert_int_equal(f->l->n_wrong, 0);
	assert_int_equal(f->l->n_found, 101);
	spool_close(&s);
	walk = opendir(sub);
	for (struct dirent *e = readdir(walk); e != NULL; e = readdir(walk)) {
		(void)snprintf(name, sizeof(name), "%s/%s", sub, e->d_name);
		(void)unlink(name);
	}
	(void)closedir(walk);
	assert_int_equal(rmdir(sub), 0);
	assert_int_equal(rmdir(dir), 0);
	f->options = (struct spool_options){.dir = "/nonexistent/spool"};
	assert_null(spool_open(&f->options, f->loop, &ledger_events, f->l, &err));
	assert_int_equal(err.code, E_IO);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_put_read_verify, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_a_turn_is_one_batch, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_notes_and_forget_survive, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_marks_are_there_after_kill, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_marks_are_synced_within_a_second, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_segments_are_recycled, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_bad_record_is_set_aside, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_verify_in_steps, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_bad_body_is_found_by_verify, setup, teardown),
	    cmocka_unit_test(test_a_message_takes_little_memory),
	    cmocka_unit_test_setup_teardown(test_torn_tail_is_dropped, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_record_in_a_body, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_limits_are_refused, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		test_full_disk_is_said_early_and_passes, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_min_free_and_inodes, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_on_a_real_folder, setup, teardown),
	};

	log_setup("test", false, LOG_ERROR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}

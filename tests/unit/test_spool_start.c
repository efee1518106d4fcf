/* What a start does with the files it finds: made by an earlier run, then changed by hand. */
#include "relay/base/clock.h"
#include "relay/base/log.h"
#include "relay/spool/store.h"
#include "tests/lib/sim_commit.h"
#include "tests/lib/spool_ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { SEGMENT = 16384, MESSAGES = 50 };

struct fixture {
	struct memfs *fs;
	struct loop *loop;
	struct ledger *l;
	struct spool *s;
	struct err err;
	int64_t now_ms;
};

/* NULL in f->s: refused. */
static void
try_start(struct fixture *f)
{
	struct spool_options options = {.dir = "x", .segment_bytes = SEGMENT, .io = &f->fs->io};

	f->l->n_found = f->l->n_problems = f->l->n_wrong = 0;
	for (size_t i = 0; i < f->l->n; i++)
		f->l->entries[i].is_found = false;
	f->s = spool_open(&options, f->loop, &ledger_events, f->l, &f->err);
}

static void
start(struct fixture *f)
{
	try_start(f);
	assert_non_null(f->s);
	ledger_check(f->l, f->s);
	if (f->l->n_wrong > 0)
		fail_msg("%s", f->l->wrong);
}

static void
restart(struct fixture *f)
{
	spool_close(&f->s);
	start(f);
}

static void
work(struct fixture *f)
{
	do
		loop_turn(f->loop, 0);
	while (sim_commit_step(f->s->committer));
	loop_turn(f->loop, 0);
}

static void
pass_seconds(struct fixture *f, int n)
{
	for (int i = 0; i < n; i++) {
		f->now_ms += SPOOL_TICK_MS;
		clock_fake(f->now_ms, f->now_ms);
		for (int j = 0; j < 4; j++)
			work(f);
	}
}

static void
put(struct fixture *f, size_t n, uint64_t size)
{
	for (size_t i = 0; i < n; i++) {
		(void)ledger_put(f->l, f->s, size, false);
		work(f);
		assert_int_equal(f->l->entries[f->l->n - 1].told, TOLD_KEPT);
	}
}

static int
setup(void **state)
{
	struct fixture *f = mem_alloc(sizeof(*f));

	rng_seed(10);
	f->now_ms = 1000;
	clock_fake(f->now_ms, f->now_ms);
	f->fs = memfs_new(1);
	f->loop = loop_new();
	f->l = mem_alloc(sizeof(*f->l));
	f->l->is_exact = f->l->is_firm = true;
	start(f);
	put(f, MESSAGES, 600);
	*state = f;
	return 0;
}

static int
teardown(void **state)
{
	struct fixture *f = *state;

	spool_close(&f->s);
	memfs_free(&f->fs);
	loop_free(&f->loop);
	mem_free(f->l);
	mem_free(f);
	return 0;
}

static size_t
count_named(const struct fixture *f, const char *end)
{
	size_t n = 0;

	for (int i = 0; i < f->fs->n_files; i++)
		n += f->fs->files[i].is_named &&
		     span_ends_nocase(span_str(f->fs->files[i].name), span_str(end));
	return n;
}

static void
add_file(struct fixture *f, const char *name, size_t size, const char *start_with)
{
	int fd = memfs_open_file(f->fs, MEMFS_DIR, name, true);

	memfs_put(&f->fs->files[fd], start_with, strlen(start_with), 0);
	memfs_reserve(&f->fs->files[fd], size);
	f->fs->files[fd].size = size;
	memfs_close_fd(f->fs, fd);
}

static void
test_again_and_again(void **state)
{
	struct fixture *f = *state;

	for (int i = 0; i < 5; i++) {
		restart(f);
		assert_int_equal(f->l->n_found, MESSAGES);
		assert_int_equal(f->l->n_problems, 0);
	}
	assert_true(spool_stats(f->s).segments < 12);
	assert_int_equal(spool_stats(f->s).messages, MESSAGES);
}

/* Files that are no segments are not touched; blank ones of another size go; what makes no sense is
 * set aside, and its number is not used again. */
static void
test_strange_files(void **state)
{
	struct fixture *f = *state;
	uint64_t file = 0;

	spool_close(&f->s);
	add_file(f, "notes.txt", 10, "an admin's");
	add_file(f, "00000070.seg", 0, "");
	add_file(f, "00000071.seg", 100, "");
	add_file(f, "00000072.seg", SEGMENT, "not a header");
	add_file(f, "00000073.seg", 9, "too short");
	start(f);
	assert_int_equal(f->l->n_found, MESSAGES);
	assert_non_null(memfs_find(f->fs, "notes.txt"));
	assert_null(memfs_find(f->fs, "00000070.seg"));
	assert_null(memfs_find(f->fs, "00000071.seg"));
	assert_non_null(memfs_find(f->fs, "00000072.seg.damaged"));
	assert_int_equal(f->l->n_problems, 1);
	assert_int_equal(spool_stats(f->s).set_aside, 1);
	put(f, 40, 900);
	for (int i = 0; i < f->fs->n_files; i++)
		if (f->fs->files[i].is_named && segment_name_parse(f->fs->files[i].name, &file))
			assert_true(file < 70 || file > 73);
}

/* A segment that another file repeats: one of the two counts, nothing is told twice. */
static void
test_number_twice(void **state)
{
	struct fixture *f = *state;
	unsigned char bytes[SEGMENT];
	struct memfs_file *file = NULL;

	spool_close(&f->s);
	for (int i = 0; i < f->fs->n_files && file == NULL; i++)
		if (f->fs->files[i].is_named && memfs_get(&f->fs->files[i], bytes, 1, 0) == 1 &&
		    bytes[0] == 'p')
			file = &f->fs->files[i];
	assert_non_null(file);
	assert_int_equal(memfs_get(file, bytes, SEGMENT, 0), SEGMENT);
	add_file(f, "00000090.seg", SEGMENT, "");
	memfs_put(memfs_find(f->fs, "00000090.seg"), bytes, SEGMENT, 0);
	start(f);
	assert_int_equal(f->l->n_found, MESSAGES);
	assert_non_null(memfs_find(f->fs, "00000090.seg.damaged"));
}

/* Each call of a start fails: it refuses with a reason, or starts and says what it could not read; the
 * next start has everything. */
static void
test_each_call_of_a_start_fails(void **state)
{
	struct fixture *f = *state;
	struct memfs *sound;
	bool has_failed = true;
	unsigned n_refused = 0;

	ledger_note(f->l, f->s, 3);
	ledger_forget(f->l, f->s, 4);
	spool_close(&f->s);
	sound = f->fs;
	for (uint64_t n = 1; has_failed; n++) {
		f->fs = memfs_clone(sound, n);
		f->fs->fail_at = n;
		try_start(f);
		has_failed = f->fs->n_failed > 0;
		f->fs->fail_at = 0;
		if (f->s == NULL) {
			n_refused++;
			assert_true(f->err.code == E_IO && f->err.text[0] != '\0');
		} else if (f->l->n_found < MESSAGES - 1) {
			assert_int_equal(f->l->n_problems, 1);
		}
		assert_int_equal(f->l->n_wrong, 0);
		spool_close(&f->s);
		if (n % 2 == 0)
			memfs_lose_power(f->fs, (enum memfs_loss)(n / 2 % MEMFS_LOSSES));
		start(f);
		assert_int_equal(f->l->n_found, MESSAGES - 1);
		spool_close(&f->s);
		memfs_free(&f->fs);
	}
	f->fs = sound;
	assert_true(n_refused > 5);
}

/* A disk that gives a part of a segment back only later: what is on it is not lost meanwhile. */
static void
test_unreadable_for_a_while(void **state)
{
	struct fixture *f = *state;
	size_t found = MESSAGES;

	spool_close(&f->s);
	for (uint64_t n = 1; n < 200 && found == MESSAGES; n++) {
		f->fs->fail_at = f->fs->calls + n;
		f->fs->fails = 2; /* a window and the first of its blocks */
		try_start(f);
		f->fs->fail_at = 0;
		if (f->s == NULL)
			continue;
		found = f->l->n_found;
		/* Enough is settled and put to recycle any segment that may be. */
		for (size_t i = 0; i < MESSAGES && found < MESSAGES; i += 2)
			if (f->l->entries[i].is_found)
				ledger_forget(f->l, f->s, i);
		if (found < MESSAGES) {
			put(f, 60, 700);
			pass_seconds(f, 4);
		}
		spool_close(&f->s);
	}
	assert_true(found < MESSAGES);
	start(f); /* ledger_check: all that was kept is there */
	assert_true(f->l->n_found >= 60 + MESSAGES / 2);
}

/* The few that stay of an old segment move on, and its file lives again. */
static void
test_copies_move_on(void **state)
{
	struct fixture *f = *state;

	for (int round = 0; round < 20; round++) {
		size_t from = f->l->n;

		put(f, 20, 700);
		for (size_t i = from + 1; i < f->l->n; i++)
			ledger_forget(f->l, f->s, i);
		pass_seconds(f, 2);
	}
	assert_true(spool_stats(f->s).segments < 20);
	restart(f);
	assert_int_equal(f->l->n_found, MESSAGES + 20);
	for (size_t i = 0; i < f->l->n; i++)
		if (f->l->entries[i].told == TOLD_KEPT)
			ledger_forget(f->l, f->s, i);
	pass_seconds(f, 6);
	assert_int_equal(spool_stats(f->s).messages, 0);
	assert_int_equal(spool_stats(f->s).bytes, 0);
	assert_true(spool_stats(f->s).segments <= 8);
	restart(f);
	assert_int_equal(f->l->n_found, 0);
}

/* Notes of long-lived messages move on, too: their old segments do not pile up. */
static void
test_notes_move_on(void **state)
{
	struct fixture *f = *state;

	for (int round = 0; round < 60; round++) {
		for (size_t i = 0; i < MESSAGES; i++)
			if (i % 5 != 0 || round == 0)
				ledger_note(f->l, f->s, i);
		pass_seconds(f, 1);
	}
	assert_true(spool_stats(f->s).segments < 16);
	restart(f);
	assert_int_equal(f->l->n_found, MESSAGES);
}

/* A message of its own file leaves no file behind. */
static void
test_own_files_go(void **state)
{
	struct fixture *f = *state;
	size_t before;

	pass_seconds(f, 2);
	before = count_named(f, ".seg");
	for (int i = 0; i < 5; i++)
		put(f, 1, 5000 + (uint64_t)i * 3001);
	assert_int_equal(count_named(f, ".seg"), before + 5);
	restart(f);
	assert_int_equal(f->l->n_found, MESSAGES + 5);
	for (size_t i = MESSAGES; i < MESSAGES + 5; i++)
		ledger_forget(f->l, f->s, i);
	pass_seconds(f, 3);
	assert_true(count_named(f, ".seg") <= before + 2); /* a start makes blank ones */
	restart(f);
	assert_int_equal(f->l->n_found, MESSAGES);
}

/* Nothing synced by the run before is needed after kill -9, and all found is durable after a start. */
static void
test_start_makes_durable(void **state)
{
	struct fixture *f = *state;
	struct memfs *killed;

	(void)ledger_put(f->l, f->s, 400, false);
	loop_turn(f->loop, 0);
	loop_turn(f->loop, 0);
	/* The batch is written, and its sync fails as if the process were killed in it. */
	f->fs->fail_at = f->fs->calls + 2;
	(void)sim_commit_step(f->s->committer);
	assert_int_equal(f->l->entries[MESSAGES].told, TOLD_NOTHING);
	ledger_note(f->l, f->s, 7);
	ledger_forget(f->l, f->s, 8);
	killed = memfs_clone(f->fs, 5);
	f->fs->fail_at = 0;
	f->l->is_deaf = true;
	spool_close(&f->s);
	f->l->is_deaf = false;
	memfs_free(&f->fs);
	f->fs = killed;
	start(f);
	ledger_reborn(f->l);
	killed = memfs_clone(f->fs, 6);
	memfs_lose_power(killed, MEMFS_LOSE_ALL);
	spool_close(&f->s);
	memfs_free(&f->fs);
	f->fs = killed;
	start(f);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_again_and_again),
	    TEST(test_strange_files),
	    TEST(test_number_twice),
	    TEST(test_each_call_of_a_start_fails),
	    TEST(test_unreadable_for_a_while),
	    TEST(test_copies_move_on),
	    TEST(test_notes_move_on),
	    TEST(test_own_files_go),
	    TEST(test_start_makes_durable),
	};

	log_setup("test", false, (enum log_level)(LOG_ERROR + 1));
	return cmocka_run_group_tests(tests, NULL, NULL);
}

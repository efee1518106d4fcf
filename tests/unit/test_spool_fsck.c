/* A spool folder is made, harmed, looked through, put right, and started again. */
#include "relay/base/clock.h"
#include "relay/base/log.h"
#include "relay/spool/fsck.h"
#include "relay/spool/store.h"
#include "tests/lib/sim_commit.h"
#include "tests/lib/spool_ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { SEGMENT = 16384, MESSAGES = 60, KINDS = FSCK_ASIDE + 1 };

struct fixture {
	struct memfs *fs;
	struct loop *loop;
	struct ledger *l;
	struct spool *s;
	struct fsck_summary sum;
	unsigned found[KINDS];
	char last[200]; /* text of the last damage */
	struct err err;
};

static void
on_finding(void *arg, const struct fsck_finding *finding)
{
	struct fixture *f = arg;

	f->found[finding->kind]++;
	assert_non_null(strstr(finding->text, finding->file));
	if (finding->is_damage)
		assert_true(span_copy(span_take(span_str(finding->text), sizeof(f->last) - 1),
		    f->last, sizeof(f->last)));
}

static int
check(struct fixture *f, bool is_repair)
{
	memset(f->found, 0, sizeof(f->found));
	return fsck_run(&f->fs->io, "x", is_repair, on_finding, f, &f->sum, &f->err);
}

static void
start(struct fixture *f)
{
	struct spool_options options = {.dir = "x", .segment_bytes = SEGMENT, .io = &f->fs->io};

	f->l->n_found = f->l->n_problems = 0;
	for (size_t i = 0; i < f->l->n; i++)
		f->l->entries[i].is_found = false;
	f->s = spool_open(&options, f->loop, &ledger_events, f->l, &f->err);
	assert_non_null(f->s);
	ledger_check(f->l, f->s);
	if (f->l->n_wrong > 0)
		fail_msg("%s", f->l->wrong);
}

/* Every third message is settled, every fourth has a note; then a clean end. */
static int
setup(void **state)
{
	struct fixture *f = mem_alloc(sizeof(*f));

	rng_seed(9);
	clock_fake(1000, 1000);
	f->fs = memfs_new(1);
	f->loop = loop_new();
	f->l = mem_alloc(sizeof(*f->l));
	start(f);
	for (size_t i = 0; i < MESSAGES; i++) {
		(void)ledger_put(f->l, f->s, 500 + i * 3, i % 7 == 0);
		while (f->l->entries[i].told == TOLD_NOTHING) {
			loop_turn(f->loop, 0);
			(void)sim_commit_step(f->s->committer);
		}
	}
	for (size_t i = 0; i < MESSAGES; i++) {
		if (i % 4 == 0)
			ledger_note(f->l, f->s, i);
		if (i % 3 == 0)
			ledger_forget(f->l, f->s, i);
	}
	spool_close(&f->s);
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

/* The file, and the place in it, where a message's envelope or body begins. */
static struct memfs_file *
place_of(struct fixture *f, size_t number, bool is_body, uint64_t *at)
{
	char needle[40];
	size_t n = ledger_text(needle, "env", number, 0).n;
	struct memfs_file *file;

	if (is_body)
		ledger_body(number, 0, (unsigned char *)needle, n = sizeof(needle));
	file = memfs_search(f->fs, needle, n, at);
	assert_non_null(file);
	return file;
}

static void
spoil(struct fixture *f, size_t number, bool is_body)
{
	uint64_t at;
	struct memfs_file *file = place_of(f, number, is_body, &at);

	memfs_damage(file, "\377\376\375", 3, at);
	f->l->entries[number].is_spoilt = true;
}

static void
check_is_clean(struct fixture *f, unsigned n_lost)
{
	assert_int_equal(check(f, false), 0);
	assert_int_equal(f->sum.damaged, 0);
	assert_int_equal(f->sum.messages, MESSAGES - MESSAGES / 3 - n_lost);
	start(f);
	assert_int_equal(f->l->n_found, MESSAGES - MESSAGES / 3 - n_lost);
	assert_int_equal(f->l->n_problems, 0);
	assert_int_equal(spool_stats(f->s).set_aside, 0);
	spool_close(&f->s);
}

static void
test_sound(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(check(f, false), 0);
	assert_int_equal(f->sum.damaged, 0);
	assert_int_equal(f->sum.messages, MESSAGES - MESSAGES / 3);
	assert_int_equal(f->sum.notes, 10); /* of 15 with a note, 5 are settled */
	assert_true(f->sum.settled > 0 && f->sum.files > 3 && f->sum.bytes > 20000);
	assert_true(f->sum.records > MESSAGES);
	check_is_clean(f, 0);
}

/* Looking changes nothing; repair loses what is bad, keeps its bytes, and nothing else. */
static void
test_bad_head(void **state)
{
	struct fixture *f = *state;
	uint64_t calls;

	spoil(f, 5, false);
	assert_int_equal(check(f, false), 0);
	assert_int_equal(f->found[FSCK_NO_RECORD], 1);
	assert_int_equal(f->sum.set_aside, 0);
	calls = f->fs->calls;
	assert_int_equal(check(f, true), 0);
	assert_true(f->fs->calls > calls);
	assert_int_equal(f->sum.damaged, 1);
	assert_int_equal(f->sum.set_aside, 1);
	assert_non_null(strstr(f->last, "; set aside"));
	check_is_clean(f, 1);
	assert_int_equal(f->found[FSCK_ASIDE], 1);
}

static void
test_bad_body(void **state)
{
	struct fixture *f = *state;
	uint64_t at;
	struct memfs_file *aside;

	spoil(f, 7, true);
	assert_int_equal(check(f, false), 0);
	assert_int_equal(f->found[FSCK_BODY_BAD], 1);
	assert_non_null(strstr(f->last, "id-7-0"));
	assert_int_equal(f->sum.messages, MESSAGES - MESSAGES / 3 - 1);
	assert_int_equal(check(f, true), 0);
	assert_int_equal(f->sum.set_aside, 1);
	check_is_clean(f, 1);
	/* The envelope is still to be found: in the place, whose header only was written, and aside. */
	aside = place_of(f, 7, false, &at);
	assert_non_null(aside);
	aside->is_named = false;
	assert_non_null(place_of(f, 7, false, &at));
	aside->is_named = true;
}

/* What is settled may be bad: nobody wants it. */
static void
test_bad_body_of_a_settled_one(void **state)
{
	struct fixture *f = *state;

	spoil(f, 9, true);
	assert_int_equal(check(f, true), 0);
	assert_int_equal(f->sum.damaged, 0);
	check_is_clean(f, 0);
}

/* Several in one file, side by side. */
static void
test_many(void **state)
{
	static const size_t bad[] = {1, 2, 4, 10, 11, 20, 22};
	struct fixture *f = *state;
	unsigned n = sizeof(bad) / sizeof(bad[0]);

	for (size_t i = 0; i < n; i++)
		spoil(f, bad[i], i % 2 == 0);
	assert_int_equal(check(f, true), 0);
	assert_int_equal(f->sum.set_aside, f->sum.damaged);
	check_is_clean(f, n);
}

static void
test_header_makes_no_sense(void **state)
{
	struct fixture *f = *state;
	uint64_t at;
	struct memfs_file *file = place_of(f, 1, false, &at);
	unsigned n_lost = 0;

	memfs_damage(file, "x", 1, 0);
	memfs_damage(file, "x", 1, SEGMENT_COPY_AT);
	assert_int_equal(check(f, true), 0);
	assert_int_equal(f->found[FSCK_FILE_UNKNOWN], 1);
	assert_non_null(strstr(file->name, ".damaged"));
	for (size_t i = 0; i < MESSAGES; i++) {
		struct memfs_file *home = place_of(f, i, false, &at);

		f->l->entries[i].is_spoilt = home == file;
		n_lost += home == file && i % 3 != 0;
	}
	assert_true(n_lost > 0);
	check_is_clean(f, n_lost);
}

static void
test_number_twice(void **state)
{
	struct fixture *f = *state;
	uint64_t at;
	struct memfs_file *file = place_of(f, 1, false, &at);
	unsigned char bytes[SEGMENT];
	int fd;

	assert_int_equal(memfs_get(file, bytes, sizeof(bytes), 0), sizeof(bytes));
	fd = memfs_open_file(f->fs, MEMFS_DIR, "00000099.seg", true);
	memfs_put(&f->fs->files[fd], bytes, sizeof(bytes), 0);
	memfs_close_fd(f->fs, fd);
	assert_int_equal(check(f, true), 0);
	assert_int_equal(f->found[FSCK_FILE_TWICE], 1);
	assert_null(memfs_find(f->fs, "00000099.seg"));
	check_is_clean(f, 0);
}

/* A crash in the middle of a batch is no damage, and is left alone. */
static void
test_torn_tail(void **state)
{
	struct fixture *f = *state;
	uint64_t at;
	struct memfs_file *file = place_of(f, MESSAGES - 2, false, &at);

	memfs_damage(file, "x", 1, at);
	f->l->entries[MESSAGES - 2].is_spoilt = true;
	assert_int_equal(check(f, true), 0);
	assert_int_equal(f->sum.damaged, 0);
	assert_int_equal(f->found[FSCK_TORN], 1);
	start(f);
	assert_int_equal(f->l->n_found, MESSAGES - MESSAGES / 3 - 1);
}

/* The very last record: nothing follows that would show a gap, and it is told all the same. */
static void
test_torn_last(void **state)
{
	struct fixture *f = *state;
	uint64_t at;
	struct memfs_file *file = place_of(f, MESSAGES - 1, false, &at);

	memfs_damage(file, "x", 1, at);
	f->l->entries[MESSAGES - 1].is_spoilt = true;
	assert_int_equal(check(f, true), 0);
	assert_int_equal(f->sum.damaged, 0);
	assert_int_equal(f->found[FSCK_TORN], 1);
}

/* Every call of a repair fails once: it says so or does it all, and done again it is done. */
static void
test_each_call_of_a_repair_fails(void **state)
{
	struct fixture *f = *state;
	struct memfs *harmed;
	bool has_failed = true;

	spoil(f, 5, false);
	spoil(f, 7, true);
	harmed = f->fs;
	for (uint64_t n = 1; has_failed; n++) {
		f->fs = memfs_clone(harmed, n);
		f->fs->fail_at = n;
		(void)check(f, true); /* that it failed may have been seen as damage, too */
		has_failed = f->fs->n_failed > 0;
		f->fs->fail_at = 0;
		if (n % 2 == 0)
			memfs_lose_power(f->fs, (enum memfs_loss)(n / 2 % MEMFS_LOSSES));
		assert_int_equal(check(f, true), 0);
		start(f);
		assert_true(f->l->n_found >= MESSAGES - MESSAGES / 3 - 2);
		spool_close(&f->s);
		memfs_free(&f->fs);
	}
	f->fs = harmed;
}

static void
test_folders(void **state)
{
	struct fixture *f = *state;
	char dir[] = "/tmp/postern-fsck-XXXXXX", name[64];
	struct spool_options options = {.dir = name, .segment_bytes = SEGMENT};
	struct spool *s;

	assert_int_equal(
	    fsck_run(NULL, "/nonexistent/x", false, on_finding, f, &f->sum, &f->err), -E_NOT_FOUND);
	assert_non_null(mkdtemp(dir));
	(void)snprintf(name, sizeof(name), "%s/spool", dir);
	s = spool_open(&options, f->loop, &ledger_events, f->l, &f->err);
	assert_non_null(s);
	assert_int_equal(fsck_run(NULL, name, false, on_finding, f, &f->sum, &f->err), -E_IO);
	assert_non_null(strstr(f->err.text, "stop it first"));
	spool_close(&s);
	assert_int_equal(fsck_run(NULL, name, false, on_finding, f, &f->sum, &f->err), 0);
	assert_int_equal(f->sum.damaged, 0);
	for (int i = 1; i < 10; i++) {
		(void)snprintf(name, sizeof(name), "%s/spool/%08d.seg", dir, i);
		(void)unlink(name);
	}
	(void)snprintf(name, sizeof(name), "%s/spool", dir);
	assert_int_equal(rmdir(name), 0);
	assert_int_equal(rmdir(dir), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_sound),
	    TEST(test_bad_head),
	    TEST(test_bad_body),
	    TEST(test_bad_body_of_a_settled_one),
	    TEST(test_many),
	    TEST(test_header_makes_no_sense),
	    TEST(test_number_twice),
	    TEST(test_torn_tail),
	    TEST(test_torn_last),
	    TEST(test_each_call_of_a_repair_fails),
	    TEST(test_folders),
	};

	log_setup("test", false, (enum log_level)(LOG_ERROR + 1));
	return cmocka_run_group_tests(tests, NULL, NULL);
}

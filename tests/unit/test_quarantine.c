/* The quarantine on a loop and its thread: what goes in, what is counted, what leaves by age or room. */
#include "relay/quarantine/quarantine.h"
#include "relay/base/clock.h"
#include "relay/base/mem.h"

#include <fcntl.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

enum { WALL_MS = 1000000, KEEP_MS = 60000, TURNS_MAX = 30000, LARGE = 700000 };

static struct loop *loop;
static struct quarantine *q;
static char base[64], dir[128];
static struct quarantine_options options;
static size_t n_stored, n_failed, n_expired, n_early, n_reads;
static int read_fails;
static char problem[64], last_expired[64];
static int64_t now_ms;

static int
on_read(void *arg, const struct quarantine_source *from, uint64_t offset, void *to, size_t n)
{
	(void)arg;
	(void)from;
	n_reads++;
	if (read_fails != 0 && offset > 0)
		return read_fails;
	for (size_t i = 0; i < n; i++)
		((char *)to)[i] = (char)((offset + i) * 13);
	return 0;
}

static void
on_stored(void *arg, const struct quarantine_source *from, struct span id, const struct err *err)
{
	(void)arg;
	assert_true(span_eq(span_str(from->about), id));
	if (err == NULL)
		n_stored++;
	else
		n_failed++;
}

static char in_use[LETTER_ID_MAX + 1];

static bool
is_in_use(void *arg, struct span id)
{
	(void)arg;
	return span_eq(id, span_str(in_use));
}

static void
on_expired(void *arg, struct span id, bool is_early)
{
	(void)arg;
	(void)span_copy(id, last_expired, sizeof(last_expired));
	n_expired++;
	n_early += is_early;
}

static void
on_problem(void *arg, const char *name, const char *what, const char *do_this)
{
	(void)arg;
	(void)what;
	(void)span_copy(span_str(do_this != NULL ? name : ""), problem, sizeof(problem));
}

static const struct quarantine_events events = {
    on_read, on_stored, is_in_use, on_expired, on_problem};

static void
set_clock(int64_t ms)
{
	now_ms = ms;
	clock_fake(ms, WALL_MS + ms);
}

static void
open_it(void)
{
	struct err err = {0};

	q = quarantine_open(&options, loop, &events, NULL, &err);
	assert_non_null(q);
}

/* Until the condition holds; each turn waits a little for the thread. */
#define UNTIL(cond)                                     \
	for (int turn_ = 0; !(cond); turn_++) {         \
		if (turn_ == TURNS_MAX)                 \
			fail_msg("in vain: %s", #cond); \
		loop_turn(loop, 1);                     \
	}

/* One tick of the retention. */
static void
tick(int64_t ms)
{
	set_clock(ms);
	loop_turn(loop, 0);
}

static int
set_up(void **state)
{
	(void)state;
	(void)snprintf(base, sizeof(base), "/tmp/postern-quar-XXXXXX"); /* fits */
	assert_non_null(mkdtemp(base));
	(void)snprintf(dir, sizeof(dir), "%s/quarantine", base); /* fits */
	options = (struct quarantine_options){.dir = dir, .keep_ms = KEEP_MS, .max = 10000000};
	n_stored = n_failed = n_expired = n_early = n_reads = 0;
	read_fails = 0;
	problem[0] = '\0';
	set_clock(0);
	loop = loop_new();
	open_it();
	UNTIL(!quarantine_totals(q).is_counting);
	return 0;
}

static int
remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st;
	(void)kind;
	(void)at;
	return remove(path);
}

static int
tear_down(void **state)
{
	(void)state;
	quarantine_close(&q);
	loop_free(&loop);
	clock_fake(0, -1);
	return nftw(base, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void
put(const char *id, uint64_t size)
{
	struct letter_rcpt rcpt = {.address = SPAN("a@example.org"), .gateway = SPAN("g")};
	struct quarantine_source from = {.copy = 0};
	struct letter l = {.id = span_str(id),
	    .flow = SPAN("f"),
	    .reason = SPAN("r"),
	    .received_ms = clock_wall_ms(),
	    .stored_ms = clock_wall_ms(),
	    .rcpts = &rcpt,
	    .n_rcpts = 1,
	    .size = size};

	(void)span_copy(span_str(id), from.about, sizeof(from.about));
	assert_true(quarantine_has_room(q));
	assert_int_equal(quarantine_put(q, &from, &l), 0);
}

/* Stored, and of the size that the count says. */
static void
test_put(void **state)
{
	struct quarantine_totals totals;
	struct taken t;

	(void)state;
	put("A", 10);
	put("B", 0);
	put("C", LARGE); /* in three pieces */
	assert_int_equal(n_stored, 0);
	UNTIL(n_stored == 3);
	totals = quarantine_totals(q);
	assert_int_equal(totals.messages, 3);
	assert_true(totals.bytes > LARGE + 10 && totals.bytes < LARGE + 3000);
	assert_int_equal(totals.oldest_ms, WALL_MS);
	assert_int_equal(shelf_take(quarantine_shelf(q), SPAN("C"), &t), 0);
	assert_int_equal(t.letter.size, LARGE);
	shelf_taken_free(quarantine_shelf(q), &t);
	put("A", 500); /* again: it takes the first one's place */
	UNTIL(n_stored == 4);
	assert_int_equal(quarantine_totals(q).messages, 3);
	assert_true(quarantine_has(q, SPAN("C")));
	quarantine_gone(q, SPAN("C"));
	assert_false(quarantine_has(q, SPAN("C")));
	quarantine_gone(q, SPAN("NO"));
	assert_true(quarantine_totals(q).bytes < 3000);
	/* A new start counts the same from the files alone. */
	quarantine_close(&q);
	open_it();
	UNTIL(!quarantine_totals(q).is_counting);
	assert_int_equal(quarantine_totals(q).messages, 3);
	assert_true(quarantine_totals(q).bytes > LARGE);
}

static void
test_reading_fails(void **state)
{
	struct taken t;

	(void)state;
	read_fails = -E_CORRUPT;
	put("A", LARGE);
	UNTIL(n_failed == 1);
	assert_int_equal(quarantine_totals(q).messages, 0);
	assert_int_equal(shelf_take(quarantine_shelf(q), SPAN("A"), &t), -E_NOT_FOUND);
	assert_string_equal(problem, ""); /* the spool's problem, not ours */
}

static void
test_no_room_on_disk(void **state)
{
	(void)state;
	quarantine_close(&q);
	options.min_free = UINT64_MAX / 2;
	open_it();
	put("A", 10);
	UNTIL(n_failed == 1);
	assert_string_equal(problem, "quarantine-write");
	quarantine_close(&q);
	options.min_free = 0;
	open_it();
	put("A", 10);
	UNTIL(n_stored == 1);
}

static void
test_age(void **state)
{
	(void)state;
	put("A", 10);
	UNTIL(n_stored == 1);
	set_clock(30000);
	put("B", 10);
	UNTIL(n_stored == 2);
	tick(KEEP_MS - 1);
	assert_int_equal(quarantine_totals(q).messages, 2);
	must(span_copy(SPAN("A"), in_use, sizeof(in_use)));
	tick(KEEP_MS + 1000);
	tick(KEEP_MS + 3000);
	assert_int_equal(quarantine_totals(q).messages, 2); /* a release has hold of it */
	in_use[0] = '\0';
	tick(KEEP_MS + 5000);
	UNTIL(n_expired == 1);
	assert_string_equal(last_expired, "A");
	assert_int_equal(quarantine_totals(q).messages, 1);
	tick(2 * KEEP_MS);
	UNTIL(n_expired == 2);
	assert_int_equal(n_early, 0);
	assert_int_equal(quarantine_totals(q).messages, 0);
	assert_int_equal(quarantine_totals(q).oldest_ms, -1);
	assert_int_equal(quarantine_totals(q).bytes, 0);
	assert_string_equal(problem, "");
}

static void
test_room(void **state)
{
	(void)state;
	quarantine_close(&q);
	options.max = 3 * LARGE;
	open_it();
	UNTIL(!quarantine_totals(q).is_counting);
	put("A", LARGE);
	UNTIL(n_stored == 1);
	set_clock(100);
	put("B", LARGE);
	put("C", LARGE / 2);
	UNTIL(n_stored == 3);
	tick(2000);
	assert_int_equal(quarantine_totals(q).messages, 3);
	put("D", LARGE);
	UNTIL(n_stored == 4);
	tick(4000);
	UNTIL(n_expired == 1);
	assert_string_equal(last_expired, "A");
	assert_int_equal(n_early, 1);
	assert_string_equal(problem, "quarantine-full");
	tick(6000);
	assert_int_equal(quarantine_totals(q).messages, 3);
	tick(4000 +
	     2 * 3600 * 1000); /* an hour without it, and the alarm is over; all are old by then */
	UNTIL(problem[0] == '\0');
	UNTIL(n_expired == 4);
	assert_int_equal(n_early, 1);
}

static void
test_many_at_once(void **state)
{
	char id[32];

	(void)state;
	for (int i = 0; i < QUARANTINE_PUTS_MAX; i++) {
		(void)snprintf(id, sizeof(id), "N%d", i); /* fits */
		put(id, 100);
	}
	assert_false(quarantine_has_room(q));
	UNTIL(n_stored == QUARANTINE_PUTS_MAX);
	assert_true(quarantine_has_room(q));
	quarantine_close(&q);
	open_it();
	UNTIL(!quarantine_totals(q).is_counting);
	assert_int_equal(quarantine_totals(q).messages, QUARANTINE_PUTS_MAX);
}

/* What is under way when the role ends is given up: nothing is told, and nothing half is left. */
static void
test_close_under_way(void **state)
{
	struct letter l;

	(void)state;
	put("A", LARGE);
	put("B", LARGE);
	quarantine_close(&q);
	assert_int_equal(n_stored + n_failed, 0);
	open_it();
	UNTIL(!quarantine_totals(q).is_counting);
	assert_int_equal(quarantine_totals(q).messages, 0);
	assert_int_equal(shelf_read(quarantine_shelf(q), SPAN("A"), &l), -E_NOT_FOUND);
}

static void
test_damaged_and_strange_files(void **state)
{
	static const char *const names[] = {
	    "00/X.eml", "00/x.eml", "00/.hidden", "00/Y.tmp", "0a/Z"};
	char path[256];

	(void)state;
	put("A", 10);
	UNTIL(n_stored == 1);
	quarantine_close(&q);
	for (unsigned i = 0; i < SHELF_FOLDERS; i++) { /* wherever B belongs, it is damaged there */
		int fd;

		(void)snprintf(path, sizeof(path), "%s/%02x/B.eml", dir, i); /* fits */
		fd = open(path, O_CREAT | O_WRONLY, 0600);
		assert_true(fd >= 0 && write(fd, "nonsense", 8) == 8 && close(fd) == 0);
	}
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		int fd;

		(void)snprintf(path, sizeof(path), "%s/%s", dir, names[i]); /* fits */
		fd = open(path, O_CREAT | O_WRONLY, 0600);
		assert_true(fd >= 0 && close(fd) == 0);
	}
	open_it();
	UNTIL(!quarantine_totals(q).is_counting);
	assert_string_equal(problem, "quarantine-damaged");
	assert_int_equal(quarantine_totals(q).messages, 1);
}

static void
test_a_second_one(void **state)
{
	struct err err = {0};

	(void)state;
	assert_null(
	    quarantine_open(&options, loop, &events, NULL, &err)); /* the folder is locked */
	assert_non_null(strstr(err.text, dir));
	options.dir = "/proc/no/such";
	assert_null(quarantine_open(&options, loop, &events, NULL, &err));
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

static struct spool_io counting;
static size_t n_syncs;

static int
count_sync(void *arg, int fd)
{
	n_syncs++;
	return spool_io_system.sync_data(arg, fd);
}

static int
count_sync_dir(void *arg, int folder)
{
	n_syncs++;
	return spool_io_system.sync_dir(arg, folder);
}

static int
count_sync_all(void *arg, int folder, const int *fds, size_t n)
{
	assert_true(n <= SHELF_GROUP_MAX);
	n_syncs += n > 0;
	return spool_io_system.sync_all(arg, folder, fds, n);
}

/* Many at once share their syncs, and each of them is whole. */
static void
test_groups(void **state)
{
	enum { MANY = QUARANTINE_PUTS_MAX };
	char id[16];

	(void)state;
	quarantine_close(&q);
	counting = spool_io_system;
	counting.sync_data = count_sync;
	counting.sync_dir = count_sync_dir;
	counting.sync_all = count_sync_all;
	options.io = &counting;
	open_it();
	UNTIL(!quarantine_totals(q).is_counting);
	n_syncs = 0;
	for (unsigned i = 0; i < MANY; i++) {
		(void)snprintf(id, sizeof(id), "G%u", i); /* fits */
		put(id, i == 7 ? LARGE : i);
	}
	assert_false(quarantine_has_room(q));
	UNTIL(n_stored + n_failed == MANY);
	assert_int_equal(n_stored, MANY);
	assert_true(n_syncs < 16);
	for (unsigned i = 0; i < MANY; i++) {
		struct taken t;

		(void)snprintf(id, sizeof(id), "G%u", i); /* fits */
		assert_int_equal(shelf_take(quarantine_shelf(q), span_str(id), &t), 0);
		shelf_taken_free(quarantine_shelf(q), &t);
	}
	/* Those that wait for their group at the end are given up or stored, and none is lost to memory. */
	for (unsigned i = 0; i < 10; i++) {
		(void)snprintf(id, sizeof(id), "H%u", i); /* fits */
		put(id, 10);
	}
	quarantine_close(&q);
	assert_int_equal(n_stored, MANY);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_put),
	    TEST(test_reading_fails),
	    TEST(test_no_room_on_disk),
	    TEST(test_age),
	    TEST(test_room),
	    TEST(test_many_at_once),
	    TEST(test_groups),
	    TEST(test_close_under_way),
	    TEST(test_damaged_and_strange_files),
	    TEST(test_a_second_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

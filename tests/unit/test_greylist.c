/* The greylist: who waits, who passes, what is forgotten, and its file. */
#include "policy/rate/grey_file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))
enum { MINUTE = 60 * 1000, HOUR = 60 * MINUTE };

static const struct conf_greylist conf = {
    .delay_ms = 5 * MINUTE, .window_ms = 48 * HOUR, .keep_ms = 840LL * HOUR, .clients = 3};

static struct greylist_mail
mail_of(const char *client, const char *from, const char *to)
{
	struct greylist_mail m = {.from = span_str(from), .to = span_str(to)};

	assert_true(ip_parse(span_str(client), &m.client));
	return m;
}

static void
check(struct greylist *g, const char *client, const char *from, const char *to, int64_t now_ms,
    enum greylist_fact wanted, int64_t wanted_left_ms)
{
	struct greylist_mail m = mail_of(client, from, to);
	int64_t left_ms = -1, looked_ms = -1;
	enum greylist_fact looked = greylist_look(g, &conf, &m, now_ms, &looked_ms);
	enum greylist_fact fact = greylist_see(g, &conf, &m, now_ms, &left_ms);

	if (fact != wanted || left_ms != wanted_left_ms)
		fail_msg("%s <%s> <%s> at %lld: %d, %lld ms left", client, from, to,
		    (long long)now_ms, (int)fact, (long long)left_ms);
	/* Whoever only looks sees the same. */
	assert_int_equal(looked, fact);
	assert_int_equal(looked_ms, left_ms);
}

static void
test_waits_then_passes(void **state)
{
	struct greylist *g = greylist_new(NULL, NULL);
	int64_t t = 1000000;

	(void)state;
	check(g, "192.0.2.1", "a@x.example", "b@y.example", t, GREYLIST_WAIT, 5 * MINUTE);
	check(g, "192.0.2.1", "a@x.example", "b@y.example", t + 1, GREYLIST_WAIT, 5 * MINUTE - 1);
	check(g, "192.0.2.1", "a@x.example", "b@y.example", t + 5 * MINUTE - 1, GREYLIST_WAIT, 1);
	check(g, "192.0.2.1", "a@x.example", "b@y.example", t + 5 * MINUTE, GREYLIST_PASSED, 0);
	check(g, "192.0.2.1", "a@x.example", "b@y.example", t + 840LL * HOUR, GREYLIST_PASSED, 0);
	/* Each use makes it last longer; without one it is forgotten. */
	check(g, "192.0.2.1", "a@x.example", "b@y.example", t + 3 * 840LL * HOUR, GREYLIST_WAIT,
	    5 * MINUTE);
	greylist_free(&g);
}

static void
test_window_closes(void **state)
{
	struct greylist *g = greylist_new(NULL, NULL);

	(void)state;
	check(g, "192.0.2.1", "a@x.example", "b@y.example", 0, GREYLIST_WAIT, 5 * MINUTE);
	check(g, "192.0.2.1", "a@x.example", "b@y.example", 48 * HOUR, GREYLIST_WAIT, 5 * MINUTE);
	check(g, "192.0.2.1", "a@x.example", "b@y.example", 96 * HOUR - 1, GREYLIST_PASSED, 0);
	greylist_free(&g);
}

/* A clock that is set back does not make anybody wait for years. */
static void
test_clock_set_back(void **state)
{
	struct greylist *g = greylist_new(NULL, NULL);

	(void)state;
	check(
	    g, "192.0.2.1", "a@x.example", "b@y.example", 1000LL * HOUR, GREYLIST_WAIT, 5 * MINUTE);
	check(g, "192.0.2.1", "a@x.example", "b@y.example", HOUR, GREYLIST_WAIT, 5 * MINUTE);
	check(g, "192.0.2.1", "a@x.example", "b@y.example", HOUR + 5 * MINUTE, GREYLIST_PASSED, 0);
	greylist_free(&g);
}

/* Which mails are the same to the greylist. */
static void
test_triplets(void **state)
{
	static const struct {
		const char *client, *from, *to;
		bool is_same;
	} rows[] = {
	    {"192.0.2.254", "list-12@x.example", "b@y.example", true},
	    {"::ffff:192.0.2.9", "list-12@x.example", "b@y.example", true},
	    {"192.0.3.1", "list-12@x.example", "b@y.example", false},
	    {"192.0.2.1", "LIST-9@X.example", "B@Y.Example", true},
	    {"192.0.2.1", "list-123456+tag@x.example", "b@y.example", true},
	    {"192.0.2.1", "prvs=0123abc=list-7@x.example", "b@y.example", true},
	    {"192.0.2.1", "prvs=list-7@x.example", "b@y.example", false},
	    {"192.0.2.1", "list-@x.example", "b@y.example", false},
	    {"192.0.2.1", "list-1a@x.example", "b@y.example", false},
	    {"192.0.2.1", "list-12@x2.example", "b@y.example", false},
	    {"192.0.2.1", "list-12@x.example", "b2@y.example", false},
	    {"192.0.2.1", "list-12@x.example", "", false},
	    {"192.0.2.1", "", "b@y.example", false},
	};

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++) {
		struct greylist *g = greylist_new(NULL, NULL);
		struct greylist_mail m = mail_of(rows[i].client, rows[i].from, rows[i].to);
		int64_t left_ms;

		check(g, "192.0.2.1", "list-12@x.example", "b@y.example", 0, GREYLIST_WAIT,
		    5 * MINUTE);
		if ((greylist_see(g, &conf, &m, 5 * MINUTE, &left_ms) == GREYLIST_PASSED) !=
		    rows[i].is_same)
			fail_msg("row %zu", i);
		greylist_free(&g);
	}
}

static void
test_ipv6_is_a_64(void **state)
{
	struct greylist *g = greylist_new(NULL, NULL);

	(void)state;
	check(g, "2001:db8::1", "a@x.example", "b@y.example", 0, GREYLIST_WAIT, 5 * MINUTE);
	check(g, "2001:db8:0:0:f::1", "a@x.example", "b@y.example", 5 * MINUTE, GREYLIST_PASSED, 0);
	check(g, "2001:db8:0:1::1", "a@x.example", "b@y.example", 5 * MINUTE, GREYLIST_WAIT,
	    5 * MINUTE);
	greylist_free(&g);
}

static void
test_null_sender_is_a_stranger(void **state)
{
	struct greylist *g = greylist_new(NULL, NULL);

	(void)state;
	greylist_know(g, (struct span){0}, HOUR, 0);
	check(g, "192.0.2.1", "", "b@y.example", 0, GREYLIST_WAIT, 5 * MINUTE);
	check(g, "192.0.2.1", "", "b@y.example", 5 * MINUTE, GREYLIST_PASSED, 0);
	greylist_free(&g);
}

static void
test_network_becomes_known(void **state)
{
	static const char *const to[] = {"1@y.example", "2@y.example", "3@y.example"};
	struct greylist *g = greylist_new(NULL, NULL);

	(void)state;
	for (size_t i = 0; i < COUNT(to); i++)
		check(g, "192.0.2.1", "a@x.example", to[i], 0, GREYLIST_WAIT, 5 * MINUTE);
	for (size_t i = 0; i < COUNT(to); i++)
		check(g, "192.0.2.1", "a@x.example", to[i], 5 * MINUTE, GREYLIST_PASSED, 0);
	check(g, "192.0.2.200", "new@z.example", "4@y.example", 5 * MINUTE, GREYLIST_CLIENT, 0);
	check(
	    g, "192.0.3.1", "new@z.example", "4@y.example", 5 * MINUTE, GREYLIST_WAIT, 5 * MINUTE);
	check(g, "192.0.2.200", "new@z.example", "5@y.example", 2 * 840LL * HOUR, GREYLIST_WAIT,
	    5 * MINUTE);
	greylist_free(&g);
}

static void
test_correspondent(void **state)
{
	struct greylist *g = greylist_new(NULL, NULL);

	(void)state;
	greylist_know(g, SPAN("Friend@Far.example"), HOUR, 0);
	check(g, "192.0.2.1", "friend@far.example", "b@y.example", HOUR - 1, GREYLIST_CORRESPONDENT,
	    0);
	check(g, "192.0.2.1", "friend2@far.example", "b@y.example", 0, GREYLIST_WAIT, 5 * MINUTE);
	check(g, "192.0.2.1", "friend@far.example", "b@y.example", HOUR, GREYLIST_WAIT, 5 * MINUTE);
	greylist_free(&g);
}

/* Strangers without end: memory stays bounded, and who is known stays known. */
static void
test_flood(void **state)
{
	struct greylist *g = greylist_new(NULL, NULL);

	(void)state;
	check(g, "192.0.2.1", "a@x.example", "b@y.example", 0, GREYLIST_WAIT, 5 * MINUTE);
	check(g, "192.0.2.1", "a@x.example", "b@y.example", 5 * MINUTE, GREYLIST_PASSED, 0);
	for (int i = 0; i < 3 * GREYLIST_WAITING_MAX; i++) {
		char to[32];

		(void)snprintf(to, sizeof(to), "%d@y.example", i);
		check(g, "198.51.100.1", "s@x.example", to, 5 * MINUTE, GREYLIST_WAIT, 5 * MINUTE);
	}
	assert_true(greylist_count(g) <= GREYLIST_WAITING_MAX + GREYLIST_KNOWN_MAX);
	check(g, "192.0.2.1", "a@x.example", "b@y.example", 6 * MINUTE, GREYLIST_PASSED, 0);
	greylist_free(&g);
}

/* --- what is written down -------------------------------------------------------------------------- */

static void
note(void *arg, const struct greylist_entry *e)
{
	greylist_entry_put(arg, e);
}

static void
put_all(struct greylist *g, struct span entries, int64_t now_ms)
{
	struct wire w = wire_over(entries);

	while (w.rest.n > 0) {
		struct greylist_entry e;

		greylist_entry_get(&w, &e);
		greylist_put(g, &e, now_ms);
	}
	assert_int_equal(wire_end(&w), 0);
}

/* One that was told all changes knows what the first one knows; so does one that got it as a whole. */
static void
test_told_is_known(void **state)
{
	static const char *const to[] = {"1@y.example", "2@y.example", "3@y.example"};
	struct buf changes = BUF_INIT(1 << 20), all = BUF_INIT(1 << 20);
	struct greylist *g = greylist_new(note, &changes), *copies[2];

	(void)state;
	for (size_t i = 0; i < COUNT(to); i++)
		check(g, "192.0.2.1", "a@x.example", to[i], 0, GREYLIST_WAIT, 5 * MINUTE);
	for (size_t i = 0; i < COUNT(to); i++)
		check(g, "192.0.2.1", "a@x.example", to[i], 5 * MINUTE, GREYLIST_PASSED, 0);
	check(
	    g, "198.51.100.1", "a@x.example", "w@y.example", 5 * MINUTE, GREYLIST_WAIT, 5 * MINUTE);
	greylist_know(g, SPAN("friend@far.example"), HOUR, 5 * MINUTE);
	greylist_each(g, 5 * MINUTE, note, &all);
	assert_false(changes.failed || all.failed);
	assert_true(all.n < changes.n);
	for (int i = 0; i < 2; i++) {
		copies[i] = greylist_new(NULL, NULL);
		put_all(copies[i], i == 0 ? buf_span(&changes) : buf_span(&all), 6 * MINUTE);
		assert_int_equal(greylist_count(copies[i]), greylist_count(g));
		check(copies[i], "192.0.2.1", "a@x.example", "1@y.example", 6 * MINUTE,
		    GREYLIST_CLIENT, 0);
		check(copies[i], "198.51.100.1", "a@x.example", "w@y.example", 6 * MINUTE,
		    GREYLIST_WAIT, 4 * MINUTE);
		check(copies[i], "198.51.100.1", "friend@far.example", "w@y.example", 6 * MINUTE,
		    GREYLIST_CORRESPONDENT, 0);
		greylist_free(&copies[i]);
	}
	greylist_free(&g);
	buf_free(&changes);
	buf_free(&all);
}

/* A known triplet in daily use is not written down daily. */
static void
test_few_changes(void **state)
{
	struct buf changes = BUF_INIT(1 << 20);
	struct greylist *g = greylist_new(note, &changes);
	size_t before;

	(void)state;
	check(g, "192.0.2.1", "a@x.example", "b@y.example", 0, GREYLIST_WAIT, 5 * MINUTE);
	check(g, "192.0.2.1", "a@x.example", "b@y.example", 5 * MINUTE, GREYLIST_PASSED, 0);
	before = changes.n;
	for (int i = 0; i < 1000; i++)
		check(g, "192.0.2.1", "a@x.example", "b@y.example", 6 * MINUTE + i * MINUTE,
		    GREYLIST_PASSED, 0);
	assert_int_equal(changes.n, before);
	check(g, "192.0.2.1", "a@x.example", "b@y.example", 100 * HOUR, GREYLIST_PASSED, 0);
	assert_int_equal(changes.n, before + GREYLIST_ENTRY);
	greylist_free(&g);
	buf_free(&changes);
}

static void
test_garbage_is_left_out(void **state)
{
	static const struct greylist_entry rows[] = {
	    {.first_ms = 0, .until_ms = 1000, .passes = 1},      /* expired */
	    {.first_ms = 5000, .until_ms = 4000, .passes = 1},   /* ends before it began */
	    {.first_ms = 0, .until_ms = INT64_MAX, .passes = 1}, /* for ever */
	    {.first_ms = INT64_MIN, .until_ms = INT64_MIN, .passes = 1},
	    {.first_ms = 0, .until_ms = 367LL * 24 * HOUR + 1001, .passes = 0},
	};
	struct greylist *g = greylist_new(NULL, NULL);

	(void)state;
	for (size_t i = 0; i < COUNT(rows); i++)
		greylist_put(g, &rows[i], 1000);
	assert_int_equal(greylist_count(g), 0);
	greylist_free(&g);
}

/* --- the file -------------------------------------------------------------------------------------- */

static char folder[64];
static int dir_fd;

static int
setup(void **state)
{
	(void)state;
	(void)snprintf(folder, sizeof(folder), "/tmp/postern-grey-XXXXXX");
	assert_non_null(mkdtemp(folder));
	dir_fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_true(dir_fd >= 0);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	(void)unlinkat(dir_fd, "greylist", 0);
	(void)unlinkat(dir_fd, "greylist.new", 0);
	assert_int_equal(close(dir_fd), 0);
	assert_int_equal(rmdir(folder), 0);
	return 0;
}

static struct grey_file *
opened(void)
{
	struct err err = {0};
	struct grey_file *f = grey_file_open(dir_fd, &err);

	if (f == NULL)
		fail_msg("%s", err.text);
	return f;
}

static void
check_file(struct grey_file *f, struct span wanted)
{
	struct buf b = BUF_INIT(GREY_FILE_MAX);
	struct err err = {0};

	assert_int_equal(grey_file_read(f, &b, &err), 0);
	assert_true(span_eq(buf_span(&b), wanted));
	buf_free(&b);
}

/* Entries in a row, each of one letter. */
static struct span
entries(const char *letters)
{
	static char room[16 * GREYLIST_ENTRY];
	size_t n = strlen(letters);

	for (size_t i = 0; i < n; i++)
		memset(room + i * GREYLIST_ENTRY, letters[i], GREYLIST_ENTRY);
	return span_of(room, n * GREYLIST_ENTRY);
}

static void
test_file(void **state)
{
	struct grey_file *f = opened();
	struct err err = {0};

	(void)state;
	check_file(f, entries(""));
	assert_int_equal(grey_file_add(f, entries("a"), &err), 0);
	assert_int_equal(grey_file_add(f, entries("bc"), &err), 0);
	check_file(f, entries("abc"));
	grey_file_close(&f);
	f = opened();
	check_file(f, entries("abc"));
	assert_int_equal(grey_file_replace(f, entries("xy"), &err), 0);
	assert_int_equal(grey_file_add(f, entries("z"), &err), 0);
	check_file(f, entries("xyz"));
	grey_file_close(&f);
	f = opened();
	check_file(f, entries("xyz"));
	assert_int_equal(grey_file_replace(f, entries(""), &err), 0);
	check_file(f, entries(""));
	assert_int_equal(grey_file_add(f, span_take(entries("a"), 35), &err), -E_SYNTAX);
	assert_int_equal(grey_file_replace(f, span_take(entries("ab"), 37), &err), -E_SYNTAX);
	check_file(f, entries(""));
	grey_file_close(&f);
}

/* Cut anywhere by a crash: whole entries stay, and what is added behind them is read. */
static void
test_torn_file(void **state)
{
	struct err err = {0};

	(void)state;
	for (off_t cut = 0; cut <= 19 + 3 * GREYLIST_ENTRY; cut++) {
		static const char *const left[] = {"q", "aq", "abq", "abcq"};
		struct grey_file *f = opened();
		int fd;

		assert_int_equal(grey_file_replace(f, entries("abc"), &err), 0);
		grey_file_close(&f);
		fd = openat(dir_fd, "greylist", O_RDWR | O_CLOEXEC);
		assert_true(fd >= 0);
		assert_int_equal(ftruncate(fd, cut), 0);
		assert_int_equal(close(fd), 0);
		f = opened();
		assert_int_equal(grey_file_add(f, entries("q"), &err), 0);
		check_file(f, entries(left[cut < 19 ? 0 : (cut - 19) / GREYLIST_ENTRY]));
		grey_file_close(&f);
	}
}

static void
test_file_of_another_version(void **state)
{
	int fd = openat(dir_fd, "greylist", O_RDWR | O_CREAT | O_CLOEXEC, 0640);
	struct grey_file *f;

	(void)state;
	assert_int_equal(
	    write(fd, "Postern greylist 2\nabcdefghijklmnopqrstuvwxyz0123456789", 55), 55);
	assert_int_equal(close(fd), 0);
	f = opened();
	check_file(f, entries(""));
	grey_file_close(&f);
}

/* No room: nothing is added, the old file stays, and there is room again later. */
static void
test_full_disk(void **state)
{
	struct rlimit limit, small;
	struct grey_file *f = opened();
	struct err err = {0};

	(void)state;
	(void)signal(SIGXFSZ, SIG_IGN);
	assert_int_equal(grey_file_add(f, entries("ab"), &err), 0);
	assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
	small = limit;
	small.rlim_cur = 19 + 2 * GREYLIST_ENTRY + 5;
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
	assert_int_equal(grey_file_add(f, entries("c"), &err), -E_IO);
	assert_int_equal(grey_file_replace(f, entries("xyz"), &err), -E_IO);
	assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
	check_file(f, entries("ab"));
	assert_int_equal(grey_file_add(f, entries("d"), &err), 0);
	check_file(f, entries("abd"));
	grey_file_close(&f);
	f = opened();
	check_file(f, entries("abd"));
	grey_file_close(&f);
}

#define FILE_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_waits_then_passes),
	    cmocka_unit_test(test_window_closes),
	    cmocka_unit_test(test_clock_set_back),
	    cmocka_unit_test(test_triplets),
	    cmocka_unit_test(test_ipv6_is_a_64),
	    cmocka_unit_test(test_null_sender_is_a_stranger),
	    cmocka_unit_test(test_network_becomes_known),
	    cmocka_unit_test(test_correspondent),
	    cmocka_unit_test(test_flood),
	    cmocka_unit_test(test_told_is_known),
	    cmocka_unit_test(test_few_changes),
	    cmocka_unit_test(test_garbage_is_left_out),
	    FILE_TEST(test_file),
	    FILE_TEST(test_torn_file),
	    FILE_TEST(test_file_of_another_version),
	    FILE_TEST(test_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

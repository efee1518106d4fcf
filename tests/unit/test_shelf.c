/*
 * The files of the quarantine: stored, taken, divided, removed; then the same with the n-th file
 * call failing, for n = 1, 2, … until a run passes untouched, each looked at as after kill -9 and as
 * after power loss.  What was said to be durable is there, whole; what was said to be gone is gone.
 */
#include "relay/quarantine/lister.h"
#include "tests/lib/shelf_fs.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { SECTION = 30, SIZE = 3000 };

#define ID SPAN("01JD0000000000000000000000")

static char message[SIZE];
static struct letter_rcpt rcpts[] = {{.address = {"a@example.org", 13}, .gateway = {"one", 3}},
    {.address = {"b@example.org", 13}, .gateway = {"one", 3}}};

static struct letter
letter(struct span id, size_t n_rcpts)
{
	return (struct letter){.id = id,
	    .flow = SPAN("inbound"),
	    .from = SPAN("x@y.example"),
	    .received_ms = 1,
	    .stored_ms = 2,
	    .reason = SPAN("because"),
	    .subject = SPAN("Hello"),
	    .rcpts = rcpts,
	    .n_rcpts = n_rcpts,
	    .section = SECTION,
	    .size = SIZE};
}

static int
set_up(void **state)
{
	(void)state;
	rng_seed(7);
	for (size_t i = 0; i < SIZE; i++)
		message[i] = (char)(i * 31 + i / 97);
	return 0;
}

static struct shelf
shelf_on(struct shelf_fs *fs)
{
	return (struct shelf){.io = &fs->io, .dir = "q", .root = -1};
}

/* In two pieces, as the loop hands them over. */
static int
store(const struct shelf *s, const struct letter *l)
{
	struct draft d;
	int r = draft_prepare(&d, l);

	assert_int_equal(r, 0);
	r = shelf_begin(s, &d);
	if (r == 0)
		r = shelf_add(s, &d, message, 1000);
	if (r == 0)
		r = shelf_add(s, &d, message + 1000, SIZE - 1000);
	if (r == 0)
		r = shelf_finish(s, &d);
	if (r < 0)
		shelf_abandon(s, &d);
	return r;
}

/* The letter is there, whole: its recipients; 0: it is not there. */
static size_t
look(const struct shelf *s, struct span id)
{
	struct taken t;
	char bytes[SIZE];
	int r = shelf_take(s, id, &t);
	size_t n;

	if (r == -E_NOT_FOUND)
		return 0;
	assert_int_equal(r, 0);
	assert_int_equal(t.section.n, SECTION);
	assert_memory_equal(t.section.p, message, SECTION);
	assert_int_equal(shelf_read_at(s, &t, 0, bytes, SIZE), SIZE);
	assert_memory_equal(bytes, message, SIZE);
	assert_int_equal(shelf_read_at(s, &t, SIZE - 5, bytes, 100), 5);
	assert_int_equal(shelf_read_at(s, &t, SIZE + 5, bytes, 100), 0);
	n = t.letter.n_rcpts;
	shelf_taken_free(s, &t);
	return n;
}

static void
test_store_and_take(void **state)
{
	struct shelf_fs *fs = shelf_fs_new();
	struct shelf s = shelf_on(fs);
	struct letter l = letter(ID, 2), got;

	(void)state;
	assert_int_equal(shelf_open(&s), 0);
	assert_int_equal(look(&s, ID), 0);
	assert_int_equal(store(&s, &l), 0);
	assert_int_equal(look(&s, ID), 2);
	l.n_rcpts = 1;
	assert_int_equal(store(&s, &l), 0); /* takes the first one's place */
	assert_int_equal(look(&s, ID), 1);
	assert_int_equal(shelf_read(&s, ID, &got), 0);
	assert_true(span_eq(got.subject, SPAN("Hello")));
	letter_free(&got);
	assert_int_equal(shelf_remove(&s, ID, true), 0);
	assert_int_equal(shelf_remove(&s, ID, true), -E_NOT_FOUND);
	assert_int_equal(shelf_remove(&s, SPAN("../X"), true), -E_NOT_FOUND);
	assert_int_equal(look(&s, SPAN("../X")), 0);
	assert_int_equal(look(&s, ID), 0);
	shelf_close(&s);
	assert_int_equal(fs->n_open, 0);
	mem_free(fs);
}

static void
test_damage(void **state)
{
	struct shelf_fs *fs = shelf_fs_new();
	struct shelf s = shelf_on(fs);
	struct letter l = letter(ID, 1), got;
	struct taken t;
	struct fs_file *f;

	(void)state;
	assert_int_equal(shelf_open(&s), 0);
	assert_int_equal(store(&s, &l), 0);
	f = &fs->files[0];
	for (size_t i = 0; i < f->size; i += i < 600 ? 1 : 37) {
		f->now[i] ^= 4;
		assert_int_equal(shelf_take(&s, ID, &t), -E_CORRUPT);
		f->now[i] ^= 4;
	}
	f->size--;
	assert_int_equal(shelf_read(&s, ID, &got), -E_CORRUPT);
	assert_int_equal(shelf_take(&s, ID, &t), -E_CORRUPT);
	f->size = 3;
	assert_int_equal(shelf_read(&s, ID, &got), -E_CORRUPT);
	shelf_close(&s);
	assert_int_equal(fs->n_open, 0);
	mem_free(fs);
}

enum { GROUP = 3 };

static const char *const group_ids[GROUP] = {"G1", "G2", "G3"};

/* Written one by one, durable together. */
static void
store_group(const struct shelf *s, int results[GROUP])
{
	struct draft drafts[GROUP], *filled[GROUP];
	int settled[GROUP];
	size_t n = 0, k = 0;

	for (size_t i = 0; i < GROUP; i++) {
		struct letter l = letter(span_str(group_ids[i]), 1 + i % 2);

		assert_int_equal(draft_prepare(&drafts[i], &l), 0);
		results[i] = shelf_begin(s, &drafts[i]);
		if (results[i] == 0)
			results[i] = shelf_add(s, &drafts[i], message, SIZE);
		if (results[i] == 0)
			results[i] = shelf_fill(s, &drafts[i]);
		if (results[i] == 0)
			filled[n++] = &drafts[i];
	}
	if (n > 0)
		shelf_settle(s, filled, n, settled);
	for (size_t i = 0; i < GROUP; i++) {
		if (results[i] == 0)
			results[i] = settled[k++];
		if (results[i] < 0)
			shelf_abandon(s, &drafts[i]);
	}
}

static void
test_group(void **state)
{
	struct shelf_fs *fs = shelf_fs_new();
	struct shelf s = shelf_on(fs);
	int results[GROUP];
	uint64_t before;

	(void)state;
	assert_int_equal(shelf_open(&s), 0);
	before = fs->n_syncs;
	store_group(&s, results);
	assert_int_equal(fs->n_syncs - before, 2 * GROUP); /* they are few */
	s.share_min = GROUP;
	before = fs->n_syncs;
	store_group(&s, results);
	assert_int_equal(fs->n_syncs - before, 2); /* of bytes, of names */
	for (size_t i = 0; i < GROUP; i++) {
		assert_int_equal(results[i], 0);
		assert_int_equal(look(&s, span_str(group_ids[i])), 1 + i % 2);
	}
	shelf_close(&s);
	assert_int_equal(fs->n_open, 0);
	mem_free(fs);
}

/* The n-th call fails, and the next; what is told to be durable is there after a power loss, whole, and
 * nothing is there by halves. */
static void
test_group_fails(void **state)
{
	uint64_t at = 0;
	bool is_untouched;

	(void)state;
	do {
		struct shelf_fs *fs = shelf_fs_new();
		struct shelf s = shelf_on(fs);
		int results[GROUP];

		assert_int_equal(shelf_open(&s), 0);
		s.share_min = 2;
		fs->fail_at = fs->calls + ++at;
		fs->fails = 1 + at % 2;
		store_group(&s, results);
		is_untouched = fs->n_failed == 0;
		shelf_close(&s);
		assert_int_equal(fs->n_open, 0);
		for (int k = 0; k < 8; k++) {
			struct shelf_fs *image = shelf_fs_copy(fs);
			struct shelf after = shelf_on(image);

			if (k > 0)
				shelf_fs_lose_power(image);
			assert_int_equal(shelf_open(&after), 0);
			for (size_t i = 0; i < GROUP; i++) {
				size_t n = look(&after, span_str(group_ids[i]));

				if (n != 1 + i % 2 && (results[i] == 0 || n != 0))
					fail_msg("call %llu: letter %zu has %zu recipients, %d",
					    (unsigned long long)at, i, n, results[i]);
			}
			shelf_close(&after);
			mem_free(image);
		}
		mem_free(fs);
	} while (!is_untouched);
	assert_true(at > 20);
}

static void
test_no_room(void **state)
{
	struct shelf_fs *fs = shelf_fs_new();
	struct shelf s = shelf_on(fs);
	struct letter l = letter(ID, 1);

	(void)state;
	assert_int_equal(shelf_open(&s), 0);
	s.min_free = 1000000;
	fs->free_bytes = 1000000 + SIZE; /* but for its head */
	assert_int_equal(store(&s, &l), -E_FULL);
	fs->free_bytes = 999;
	assert_int_equal(store(&s, &l), -E_FULL);
	assert_int_equal(look(&s, ID), 0);
	fs->free_bytes = 1000000 + SIZE + 1000;
	assert_int_equal(store(&s, &l), 0);
	shelf_close(&s);
	mem_free(fs);
}

struct ledger {
	size_t first, second;     /* recipients said to be there for good; 0: none */
	bool is_first, is_second; /* whether that was said */
};

/* Two letters; one is divided, one removed. */
static void
work(const struct shelf *s, struct ledger *l)
{
	struct letter a = letter(SPAN("A1"), 2), b = letter(SPAN("B2"), 1),
		      one = letter(SPAN("A1"), 1);
	struct taken t;
	int r;

	*l = (struct ledger){.is_first = true, .is_second = true};
	r = store(s, &a);
	l->is_first = r == 0;
	l->first = 2;
	r = store(s, &b);
	l->is_second = r == 0;
	l->second = 1;
	if (l->is_first && shelf_take(s, SPAN("A1"), &t) == 0) {
		l->is_first = shelf_rewrite(s, &t, &one) == 0;
		l->first = 1;
		shelf_taken_free(s, &t);
	}
	r = shelf_remove(s, SPAN("B2"), true);
	if (r == 0)
		l->second = 0;
	else if (r != -E_NOT_FOUND)
		l->is_second = false;
}

static void
count_id(void *arg, struct span id)
{
	assert_true(letter_id_is_fine(id));
	(*(size_t *)arg)++;
}

/* Whatever was promised holds; whatever is there is whole. */
static void
check(struct shelf_fs *fs, const struct ledger *l)
{
	struct shelf s = shelf_on(fs);
	size_t first, second, n = 0;

	assert_int_equal(shelf_open(&s), 0);
	first = look(&s, SPAN("A1"));
	second = look(&s, SPAN("B2"));
	if (l->is_first)
		assert_int_equal(first, l->first);
	if (l->is_second)
		assert_int_equal(second, l->second);
	for (unsigned i = 0; i < SHELF_FOLDERS; i++)
		assert_int_equal(shelf_names(&s, i, true, count_id, &n), 0);
	assert_int_equal(n, (first > 0) + (second > 0));
	for (int i = 0; i < FS_NAMES; i++) /* and nothing else is left */
		assert_null(strstr(fs->now.items[i].name, ".tmp"));
	shelf_close(&s);
	assert_int_equal(fs->n_open, 0);
}

static void
check_images(const struct shelf_fs *fs, const struct ledger *l)
{
	struct shelf_fs *image = shelf_fs_copy(fs);

	check(image, l); /* kill -9 */
	mem_free(image);
	for (int i = 0; i < 8; i++) {
		image = shelf_fs_copy(fs);
		shelf_fs_lose_power(image);
		check(image, l);
		mem_free(image);
	}
}

static void
test_each_call_fails(void **state)
{
	static const int errors[] = {EIO, ENOSPC};
	uint64_t n = 0;
	bool is_untouched = false;

	(void)state;
	for (; !is_untouched; n++) {
		struct shelf_fs *fs = shelf_fs_new();
		struct shelf s = shelf_on(fs);
		struct ledger l;

		assert_int_equal(shelf_open(&s), 0);
		fs->calls = 0;
		fs->fail_at = n / 4 + 1;
		fs->fails = n % 4 < 2 ? 1 : 3;
		fs->fail_with = errors[n % 2];
		work(&s, &l);
		is_untouched = fs->calls < fs->fail_at && n % 4 == 3;
		shelf_close(&s);
		assert_int_equal(fs->n_open, 0);
		check_images(fs, &l);
		mem_free(fs);
	}
	assert_true(n > 150);
}

/* The shelf's own making, too. */
static void
test_open_fails(void **state)
{
	bool is_open = false;

	(void)state;
	for (uint64_t n = 1; !is_open; n += 50) {
		struct shelf_fs *fs = shelf_fs_new();
		struct shelf s = shelf_on(fs);
		int r;

		fs->fail_at = n;
		r = shelf_open(&s);
		is_open = r == 0;
		assert_true(r == 0 || r == -E_IO);
		shelf_close(&s);
		assert_int_equal(fs->n_open, 0);
		mem_free(fs);
	}
}

static void
test_lister(void **state)
{
	struct shelf_fs *fs = shelf_fs_new();
	struct shelf s = shelf_on(fs);
	char id[8] = "A0";
	struct lister l;
	struct span got;

	(void)state;
	assert_int_equal(shelf_open(&s), 0);
	for (int i = 0; i < 9; i++) {
		struct letter one = letter(span_str(id), 1);

		id[1] = (char)('0' + i * 4 % 9);
		assert_int_equal(store(&s, &one), 0);
	}
	assert_int_equal(lister_start(&l, &s, true), 0);
	for (int i = 8; i >= 0; i--) {
		assert_true(lister_next(&l, &got));
		assert_int_equal(got.p[1], '0' + i);
	}
	assert_false(lister_next(&l, &got));
	lister_free(&l);
	shelf_close(&s);
	mem_free(fs);
}

static void
test_filter(void **state)
{
	static const struct {
		const char *words[4];
		bool matches;
		int code;
	} rows[] = {
	    {{NULL}, true, 0},
	    {{"--from", "X@Y", NULL}, true, 0},
	    {{"--from", "", NULL}, false, 0},
	    {{"--to", "B@example", NULL}, true, 0},
	    {{"--to", "c@", NULL}, false, 0},
	    {{"--subject", "ELL", NULL}, true, 0},
	    {{"--reason", "cause", "--subject", "no"}, false, 0},
	    {{"--since", "1970-01-02", NULL}, false, 0},
	    {{"--until", "1970-01-02", NULL}, true, 0},
	    {{"--limit", "5", NULL}, true, 0},
	    {{"--limit", "0", NULL}, false, -E_SYNTAX},
	    {{"--limit", NULL}, false, -E_SYNTAX},
	    {{"--since", "yesterday", NULL}, false, -E_SYNTAX},
	    {{"--what", "x", NULL}, false, -E_SYNTAX},
	};
	struct letter l = letter(ID, 2);

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct letter_filter f;
		struct span words[4];
		struct err err = {0};
		size_t n = 0;
		int r;

		for (; n < 4 && rows[i].words[n] != NULL; n++)
			words[n] = span_str(rows[i].words[n]);
		r = letter_filter_parse(words, n, 1000000000, &f, &err);
		if (r != rows[i].code ||
		    (r == 0 && letter_filter_matches(&f, &l) != rows[i].matches))
			fail_msg("row %zu: %d %s", i, r, err.text);
	}
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, set_up)
	const struct CMUnitTest tests[] = {
	    TEST(test_store_and_take),
	    TEST(test_damage),
	    TEST(test_group),
	    TEST(test_group_fails),
	    TEST(test_no_room),
	    TEST(test_each_call_fails),
	    TEST(test_open_fails),
	    TEST(test_lister),
	    TEST(test_filter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

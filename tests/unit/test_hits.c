/* Hits of rules: counted in front, told in batches, added up in the store. */
#include "policy/store/inside.h"
#include "relay/base/clock.h"
#include "relay/front/hits.h"
#include "relay/ipc/hits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { RULES_MAX = 5000 };

static struct {
	uint64_t hits[RULES_MAX + 1];
	size_t n_batches, n_entries;
	int64_t last_ms;
} told;

static void
on_batch(void *arg, struct span payload)
{
	struct wire w = wire_over(payload);
	struct hits_entry e;

	(void)arg;
	told.n_batches++;
	while (hits_entry_get(&w, &e)) {
		assert_in_range(e.rule, 1, RULES_MAX);
		told.hits[e.rule] += e.hits;
		told.last_ms = e.last_ms;
		told.n_entries++;
	}
	assert_false(w.failed);
}

static void
test_counted_and_told(void **state)
{
	struct loop *loop = loop_new();
	struct hits *h = hits_new(loop, on_batch, NULL);

	(void)state;
	memset(&told, 0, sizeof(told));
	clock_fake(1000, 50000);
	hits_tell(h);
	assert_int_equal(told.n_batches, 0);
	hits_count(h, 7);
	clock_fake(1001, 50001);
	hits_count(h, 7);
	hits_count(h, 3);
	loop_turn(loop, 0);
	assert_int_equal(told.n_batches, 0); /* not yet */
	clock_fake(1000 + HITS_MS, 60000);
	loop_turn(loop, 0);
	assert_int_equal(told.n_batches, 1);
	assert_int_equal(told.hits[7], 2);
	assert_int_equal(told.hits[3], 1);
	assert_int_equal(told.last_ms, 50001);
	hits_tell(h);
	assert_int_equal(told.n_batches, 1); /* told once */
	hits_count(h, 7);
	hits_tell(h); /* at once */
	assert_int_equal(told.hits[7], 3);
	hits_count(h, 7);
	hits_free(&h);
	assert_int_equal(told.hits[7], 3);
	loop_free(&loop);
	clock_fake(0, -1);
}

static void
test_many_rules(void **state)
{
	struct loop *loop = loop_new();
	struct hits *h = hits_new(loop, on_batch, NULL);

	(void)state;
	memset(&told, 0, sizeof(told));
	for (uint32_t rule = 1; rule <= RULES_MAX; rule++)
		hits_count(h, rule);
	hits_tell(h);
	assert_int_equal(told.n_batches, (RULES_MAX + HITS_ENTRIES_MAX - 1) / HITS_ENTRIES_MAX);
	assert_int_equal(told.n_entries, RULES_MAX);
	for (uint32_t rule = 1; rule <= RULES_MAX; rule++)
		assert_int_equal(told.hits[rule], 1);
	hits_free(&h);
	loop_free(&loop);
}

static void
test_malformed(void **state)
{
	static const struct hits_entry bad[] = {
	    {0, 1, 1}, {1, 0, 1}, {1, (uint64_t)UINT32_MAX + 1, 1}, {1, 1, -1}};
	const struct hits_entry good = {1, UINT32_MAX, 0};

	(void)state;
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct buf b = BUF_INIT(100);
		struct hits_entry e;
		struct wire w;

		hits_entry_put(&b, &good);
		hits_entry_put(&b, &bad[i]);
		w = wire_over(buf_span(&b));
		assert_true(hits_entry_get(&w, &e));
		assert_int_equal(e.hits, UINT32_MAX);
		assert_false(hits_entry_get(&w, &e));
		assert_true(w.failed);
		/* cut anywhere */
		for (size_t n = 1; n < HITS_ENTRY; n++) {
			w = wire_over(span_take(buf_span(&b), n));
			assert_false(hits_entry_get(&w, &e));
		}
		buf_free(&b);
	}
}

/* --- in the store ------------------------------------------------------------------------------ */

static void
add_line(void *arg, const struct store_hit *h)
{
	assert_int_equal(buf_addf(arg, "%u %llu %lld\n", h->rule, (unsigned long long)h->hits,
			     (long long)h->last_ms),
	    0);
}

static void
assert_kept(struct store *s, const char *wanted)
{
	struct buf seen = BUF_INIT(4096);

	assert_int_equal(store_hits(s, add_line, &seen, NULL), 0);
	assert_true(span_eq(buf_span(&seen), span_str(wanted)));
	buf_free(&seen);
}

static void
remove_store(const char *dir)
{
	static const char *const ends[] = {"", "-wal", "-shm"};
	char path[80];

	for (int i = 0; i < 3; i++) {
		(void)snprintf(path, sizeof(path), "%s/policy.db%s", dir, ends[i]);
		(void)unlink(path);
	}
	assert_int_equal(rmdir(dir), 0);
}

static void
test_added_up(void **state)
{
	const struct store_hit some[] = {{3, 2, 1000}, {1, 1, 900}},
			       more[] = {{3, 5, 800}, {2, 1, 7}};
	char dir[] = "/tmp/postern-hits-XXXXXX";
	struct store *s, *reader;

	(void)state;
	assert_non_null(mkdtemp(dir));
	s = store_open(dir, false, NULL);
	assert_kept(s, "");
	store_close(&s);
	s = store_open(dir, true, NULL);
	assert_int_equal(store_add_hits(s, some, 2, NULL), 0);
	reader = store_open(dir, false, NULL);
	assert_kept(reader, "1 1 900\n3 2 1000\n");
	assert_int_equal(store_add_hits(reader, some, 2, NULL), -E_DENIED);
	store_close(&reader);
	assert_int_equal(store_add_hits(s, more, 2, NULL), 0);
	store_close(&s);
	s = store_open(dir, false, NULL);
	assert_kept(s, "1 1 900\n2 1 7\n3 7 1000\n");
	store_close(&s);
	remove_store(dir);
}

/* What a front that is not ours any more may say: rules that never were, too many hits, a day to come. */
static void
test_invented(void **state)
{
	static const char text[] = "tag a client *\ntag b client *\n";
	const struct store_hit some[] = {{0, 1, 1}, {3, 1, INT64_MAX}, {4, 1, 7},
	    {UINT32_MAX, 1, 1}},
			       after[] = {
				   {3, UINT64_MAX, 7}, {3, 1, 7}, {4, 1, 7}, {5, 2, 7}, {6, 1, 7}};
	char dir[] = "/tmp/postern-hits-XXXXXX";
	struct store *s;
	uint64_t version;
	bool is_new;

	(void)state;
	clock_fake(1000, 50000);
	assert_non_null(mkdtemp(dir));
	s = store_open_hits(dir, NULL);
	assert_int_equal(store_add_hits(s, some, 4, NULL), 0);
	assert_kept(s, "3 1 50000\n"); /* the default has three */
	assert_int_equal(store_import(s, span_of(text, sizeof(text) - 1), SPAN("anna"), SPAN(""),
			     &version, &is_new, NULL),
	    0);
	assert_int_equal(store_add_hits(s, after, 5, NULL), 0);
	assert_kept(s, "3 9007199254740991 50000\n4 1 7\n5 2 7\n");
	assert_int_equal(store_run(s, "UPDATE hits SET hits = 9223372036854775807", NULL), 0);
	assert_int_equal(store_add_hits(s, after, 5, NULL), 0); /* of an older program */
	assert_kept(s, "3 9007199254740991 50000\n4 9007199254740991 7\n5 9007199254740991 7\n");
	store_close(&s);
	remove_store(dir);
	clock_fake(0, -1);
}

/* Somebody else writes: the store opens all the same, hits wait for it a moment, and for no disk. */
static void
test_nobody_waits(void **state)
{
	const struct store_hit some[] = {{1, 1, 900}};
	char dir[] = "/tmp/postern-hits-XXXXXX";
	struct store *writer, *s;

	(void)state;
	assert_non_null(mkdtemp(dir));
	writer = store_open(dir, true, NULL);
	assert_int_equal(store_begin(writer, NULL), 0);
	s = store_open_hits(dir, NULL);
	assert_non_null(s);
	assert_int_equal(store_ask(s, "PRAGMA busy_timeout"), STORE_HITS_WAIT_MS);
	assert_int_equal(store_ask(s, "PRAGMA synchronous"), 1);
	assert_int_equal(store_add_hits(s, some, 1, NULL), -E_IO);
	assert_int_equal(store_end(writer, -E_AGAIN, NULL), -E_AGAIN);
	assert_int_equal(store_add_hits(s, some, 1, NULL), 0);
	assert_kept(s, "1 1 900\n");
	store_close(&s);
	s = store_open_now(dir, true, NULL);
	assert_int_equal(store_ask(s, "PRAGMA busy_timeout"), STORE_HITS_WAIT_MS);
	assert_int_equal(
	    store_ask(s, "PRAGMA synchronous"), 2); /* what it writes is worth a sync */
	store_close(&s);
	assert_int_equal(store_ask(writer, "PRAGMA busy_timeout"), STORE_WAIT_MS);
	assert_int_equal(store_ask(writer, "PRAGMA synchronous"), 2);
	store_close(&writer);
	remove_store(dir);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_counted_and_told),
	    cmocka_unit_test(test_many_rules),
	    cmocka_unit_test(test_malformed),
	    cmocka_unit_test(test_added_up),
	    cmocka_unit_test(test_invented),
	    cmocka_unit_test(test_nobody_waits),
	};

	return cmocka_run_group_tests_name("hits", tests, NULL, NULL);
}

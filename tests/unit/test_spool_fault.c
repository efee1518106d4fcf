/*
 * Fails the n-th file call, for n = 1, 2, … until a run passes untouched.  After each: the spool is
 * opened again on a sound disk, as after kill -9 and as after power loss, and must hold what it
 * said it holds, and nothing that it refused.
 */
#include "relay/base/clock.h"
#include "relay/base/log.h"
#include "tests/lib/spool_ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

/* With more failing calls in a row a mark may find no file to go to, and a crash repeats it. */
enum { SEGMENT = 16384, ROUNDS = 14, TURNS = 60, EXACT_FAILS = 3 };

struct run {
	struct memfs *fs;
	struct loop *loop;
	struct ledger *l;
	int64_t now_ms;
};

static void
turns(struct run *r, int n)
{
	for (int i = 0; i < n; i++) {
		struct timespec nap = {.tv_nsec = 20000};

		r->now_ms += 200;
		clock_fake(r->now_ms, r->now_ms);
		loop_turn(r->loop, 0);
		(void)nanosleep(&nap, NULL); /* lets the committer work; nothing depends on it */
	}
}

/* Waits for an answer as long as one may come: a dead disk gives none, and that is right. */
static void
wait_for(struct run *r, size_t number)
{
	for (int i = 0; i < TURNS && r->l->entries[number].told == TOLD_NOTHING; i++)
		turns(r, 4);
}

static void
work(struct run *r, struct spool *s)
{
	for (int round = 0; round < ROUNDS; round++) {
		size_t from = r->l->n;

		for (uint64_t i = 0; i < 4; i++)
			(void)ledger_put(r->l, s, 300 + i * 700, i % 2 == 0);
		if (round % 5 == 1)
			(void)ledger_put(r->l, s, 20000, true);
		wait_for(r, r->l->n - 1);
		for (size_t i = from; i < r->l->n; i++)
			if (r->l->entries[i].told == TOLD_KEPT && i % 3 != 0) {
				ledger_note(r->l, s, i);
				if (i % 3 == 1)
					ledger_forget(r->l, s, i);
			}
		/* All but one of each round go after a while, so that files are recycled. */
		for (size_t i = from > 8 ? from - 8 : 0; i < from; i++)
			if (r->l->entries[i].told == TOLD_KEPT && i % 5 != 0)
				ledger_forget(r->l, s, i);
		turns(r, 8);
	}
}

static void
check_image(struct run *r, struct memfs *image, bool is_exact, uint64_t n)
{
	struct spool_options options = {.dir = "x", .segment_bytes = SEGMENT, .io = &image->io};
	struct ledger *copy = mem_alloc(sizeof(*copy));
	struct err err = {0};
	struct spool *s;

	*copy = *r->l;
	copy->fs = NULL;
	copy->is_exact = is_exact;
	s = spool_open(&options, r->loop, &ledger_events, copy, &err);
	if (s == NULL)
		fail_msg("call %llu: %s", (unsigned long long)n, err.text);
	ledger_check(copy, s);
	if (copy->n_wrong > 0)
		fail_msg("call %llu: %s", (unsigned long long)n, copy->wrong);
	spool_close(&s);
	mem_free(copy);
	memfs_free(&image);
}

/* False: the run made fewer than n calls. */
static bool
run_failing(uint64_t n, int fails, int with)
{
	struct run r = {.fs = memfs_new(n), .loop = loop_new(), .l = mem_alloc(sizeof(*r.l))};
	struct spool_options options = {.dir = "x", .segment_bytes = SEGMENT, .io = &r.fs->io};
	struct spool *s;
	struct err err = {0};
	struct memfs *image;
	bool was_reached;

	r.now_ms = 1000;
	clock_fake(r.now_ms, r.now_ms);
	r.fs->fail_at = n;
	r.fs->fails = fails;
	r.fs->fail_with = with;
	s = spool_open(&options, r.loop, &ledger_events, r.l, &err);
	if (s != NULL) {
		work(&r, s);
		/* Nothing is in flight but what was not answered: the image is one of a kill. */
		image = memfs_clone(r.fs, n);
		check_image(&r, image, fails <= EXACT_FAILS, n);
		image = memfs_clone(r.fs, n + 1);
		memfs_lose_power(image, (enum memfs_loss)(n % MEMFS_LOSSES));
		check_image(&r, image, false, n);
		spool_close(&s);
		check_image(&r, memfs_clone(r.fs, n), fails <= EXACT_FAILS, n);
	} else {
		check_image(&r, memfs_clone(r.fs, n), fails <= EXACT_FAILS, n);
	}
	was_reached = r.fs->calls >= n;
	memfs_free(&r.fs);
	loop_free(&r.loop);
	mem_free(r.l);
	return was_reached;
}

static void
fail_each(int fails, int with, uint64_t step)
{
	uint64_t n = 1;

	rng_seed(11);
	while (run_failing(n, fails, with))
		n += step;
	assert_true(n > 300); /* the run does make calls */
}

static void
test_one_call_fails(void **state)
{
	(void)state;
	fail_each(1, EIO, 1);
}

static void
test_three_calls_fail(void **state)
{
	(void)state;
	fail_each(3, EIO, 3);
}

static void
test_disk_is_full_for_a_while(void **state)
{
	(void)state;
	fail_each(12, ENOSPC, 7);
}

/* From one call on nothing works any more. */
static void
test_disk_dies(void **state)
{
	(void)state;
	fail_each(1 << 30, EIO, 31);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_one_call_fails),
	    cmocka_unit_test(test_three_calls_fail),
	    cmocka_unit_test(test_disk_is_full_for_a_while),
	    cmocka_unit_test(test_disk_dies),
	};

	log_setup("test", false, (enum log_level)(LOG_ERROR + 1));
	return cmocka_run_group_tests(tests, NULL, NULL);
}

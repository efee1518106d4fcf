/*
 * The power fails at any call: images of what the disk might then hold are recovered and held
 * against what had been promised at that moment.  Seeded, so that a failure can be repeated.
 */
#include "relay/base/clock.h"
#include "relay/base/log.h"
#include "tests/lib/spool_ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum {
	SEGMENT = 16384,
	STEPS = 120,
	RUNS = 4,
	SHOTS = 24,     /* images that wait to be checked */
	SHOT_EVERY = 6, /* calls */
	SHOT_NEAR = 10, /* calls after a failure: all */
	POINTS_MIN = 1000
};

struct shot {
	struct memfs *fs;
	struct ledger *l;
};

struct run {
	struct memfs *fs;
	struct loop *loop;
	struct ledger *l;
	struct spool *s;
	int64_t now_ms;
	uint64_t seed;
	bool has_faults;
	struct shot shots[SHOTS]; /* under the lock of fs */
	size_t n_shots;
};

static uint64_t n_points;

/* In whichever thread makes the call, under the lock: file system and ledger of one moment. */
static void
take_shot(void *arg)
{
	struct run *r = arg;
	struct shot *shot;

	uint64_t after = r->fs->calls - r->fs->fail_at;
	bool is_close = r->fs->fail_at != 0 && after < SHOT_NEAR;

	/* Behind a failure each call counts. */
	if (r->n_shots == SHOTS || (!is_close && memfs_noise(r->fs) % SHOT_EVERY != 0))
		return;
	shot = &r->shots[r->n_shots++];
	shot->fs = memfs_clone(r->fs, memfs_noise(r->fs));
	shot->l = mem_alloc(sizeof(*shot->l));
	*shot->l = *r->l;
	shot->l->fs = NULL;
}

static void
recover_and_check(struct run *r, struct memfs *image, const struct ledger *told, bool is_exact)
{
	struct spool_options options = {.dir = "x", .segment_bytes = SEGMENT, .io = &image->io};
	struct ledger *copy = mem_alloc(sizeof(*copy));
	struct err err = {0};
	struct spool *s;

	*copy = *told;
	copy->is_exact = is_exact;
	s = spool_open(&options, r->loop, &ledger_events, copy, &err);
	if (s == NULL)
		fail_msg("seed %llu: %s", (unsigned long long)r->seed, err.text);
	ledger_check(copy, s);
	if (copy->n_wrong > 0)
		fail_msg("seed %llu: %s", (unsigned long long)r->seed, copy->wrong);
	n_points++;
	spool_close(&s);
	mem_free(copy);
}

/* Kill -9; power loss with nothing, some and most of what was not synced; power loss again right
 * after the recovery. */
static void
check_shot(struct run *r, struct shot *shot)
{
	static const unsigned odds[] = {0, 40, 128, 230};

	for (size_t i = 0; i < sizeof(odds) / sizeof(odds[0]); i++) {
		struct memfs *image = memfs_clone(shot->fs, r->seed + i + n_points);

		memfs_lose_power(image, odds[i]);
		recover_and_check(r, image, shot->l, false);
		memfs_lose_power(image, odds[3 - i]);
		recover_and_check(r, image, shot->l, false);
		memfs_free(&image);
	}
	/* While writes fail a mark may wait in memory for a sound file: then a kill repeats it. */
	recover_and_check(r, shot->fs, shot->l, !r->has_faults);
	memfs_free(&shot->fs);
	mem_free(shot->l);
}

static void
check_shots(struct run *r)
{
	struct shot shots[SHOTS];
	size_t n;

	(void)pthread_mutex_lock(&r->fs->lock);
	n = r->n_shots;
	memcpy(shots, r->shots, sizeof(shots));
	r->n_shots = SHOTS; /* none while these are looked at: no clock decides what is seen */
	(void)pthread_mutex_unlock(&r->fs->lock);
	for (size_t i = 0; i < n; i++)
		check_shot(r, &shots[i]);
	(void)pthread_mutex_lock(&r->fs->lock);
	r->n_shots = 0;
	(void)pthread_mutex_unlock(&r->fs->lock);
}

static void
turns(struct run *r, int n)
{
	for (int i = 0; i < n; i++) {
		struct timespec nap = {.tv_nsec = 20000};

		r->now_ms += 100;
		clock_fake(r->now_ms, r->now_ms);
		loop_turn(r->loop, 0);
		(void)nanosleep(&nap, NULL); /* lets the committer work; nothing depends on it */
	}
}

static bool
is_kept(const struct ledger *l, size_t number)
{
	return l->entries[number].told == TOLD_KEPT;
}

static void
one_step(struct run *r)
{
	uint32_t what = rng_below(10);
	size_t back = r->l->n > 0 ? rng_below(r->l->n < 40 ? (uint32_t)r->l->n : 40) : 0;
	size_t number = r->l->n - 1 - back;

	if (what < 4 || r->l->n == 0) {
		for (uint32_t i = rng_below(4); i < 4; i++)
			(void)ledger_put(r->l, r->s, rng_below(2500), rng_below(2) == 0);
		if (rng_below(8) == 0)
			(void)ledger_put(r->l, r->s, 4000 + rng_below(20000), true);
	} else if (what < 6 && is_kept(r->l, number)) {
		ledger_note(r->l, r->s, number);
	} else if (what < (r->has_faults ? 7u : 9u) && is_kept(r->l, number)) {
		ledger_forget(r->l, r->s, number);
	} else if (r->has_faults) {
		(void)pthread_mutex_lock(&r->fs->lock);
		r->fs->fail_at = r->fs->calls + 1 + rng_below(12);
		(void)pthread_mutex_unlock(&r->fs->lock);
	}
	/* Most of what is older goes, so that files are recycled and copied. */
	for (size_t i = 0; i + 60 < r->l->n; i++)
		if (is_kept(r->l, i) && i % 16 != 0)
			ledger_forget(r->l, r->s, i);
	turns(r, 1 + (int)rng_below(3));
}

static void
run_seed(uint64_t seed, bool has_faults)
{
	struct run r = {
	    .fs = memfs_new(seed), .loop = loop_new(), .seed = seed, .has_faults = has_faults};
	struct spool_options options = {.dir = "x", .segment_bytes = SEGMENT, .io = &r.fs->io};
	struct err err = {0};

	rng_seed(seed);
	r.now_ms = 1000;
	clock_fake(r.now_ms, r.now_ms);
	r.l = mem_alloc(sizeof(*r.l));
	r.l->fs = r.fs;
	r.fs->on_call = take_shot;
	r.fs->on_call_arg = &r;
	r.s = spool_open(&options, r.loop, &ledger_events, r.l, &err);
	assert_non_null(r.s);
	for (int i = 0; i < STEPS; i++) {
		one_step(&r);
		check_shots(&r);
	}
	(void)pthread_mutex_lock(&r.fs->lock);
	r.fs->on_call = NULL;
	(void)pthread_mutex_unlock(&r.fs->lock);
	check_shots(&r);
	spool_close(&r.s);
	if (r.l->n_wrong > 0)
		fail_msg("seed %llu: %s", (unsigned long long)seed, r.l->wrong);
	memfs_free(&r.fs);
	loop_free(&r.loop);
	mem_free(r.l);
}

static void
test_power_fails(void **state)
{
	(void)state;
	for (uint64_t seed = 1; seed <= RUNS; seed++)
		run_seed(seed, false);
	assert_true(n_points > POINTS_MIN);
}

/* A sync or write fails now and then, and the power on top of it. */
static void
test_disk_and_power_fail(void **state)
{
	uint64_t before = n_points;

	(void)state;
	for (uint64_t seed = 101; seed <= 100 + RUNS; seed++)
		run_seed(seed, true);
	assert_true(n_points - before > POINTS_MIN);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_power_fails),
	    cmocka_unit_test(test_disk_and_power_fail),
	};

	log_setup("test", false, (enum log_level)(LOG_ERROR + 1));
	return cmocka_run_group_tests(tests, NULL, NULL);
}

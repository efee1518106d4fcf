#include "relay/base/loop.h"
#include "relay/base/clock.h"
#include "relay/base/mem.h"
#include "relay/base/rng.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <sys/socket.h>
#include <unistd.h>

enum { TIMERS = 200, PAIRS = 3 };

struct world;

struct one {
	struct world *world;
	struct timer *timer;
	struct watch *watch;
	int64_t due_ms;
	unsigned n_fired, events;
	bool again;
	struct one *victim; /* whose timer or watch its callback removes */
};

struct world {
	struct loop *loop;
	struct one ones[TIMERS];
	int ends[PAIRS][2];
	int64_t now_ms, last_due_ms;
	unsigned n_fired, n_ends;
};

static int
setup(void **state)
{
	struct world *w = mem_alloc(sizeof(*w));

	w->now_ms = 5000;
	clock_fake(w->now_ms, 1);
	rng_seed(7);
	w->loop = loop_new();
	for (size_t i = 0; i < TIMERS; i++)
		w->ones[i].world = w;
	for (size_t i = 0; i < PAIRS; i++)
		assert_int_equal(
		    socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, w->ends[i]), 0);
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	for (size_t i = 0; i < PAIRS; i++) {
		watch_remove(&w->ones[i].watch);
		(void)close(w->ends[i][0]);
		if (w->ends[i][1] >= 0)
			(void)close(w->ends[i][1]);
	}
	loop_free(&w->loop);
	assert_null(w->loop);
	loop_free(&w->loop);
	clock_fake(0, -1);
	mem_free(w);
	return 0;
}

static void
turn_at(struct world *w, int64_t now_ms)
{
	w->now_ms = now_ms;
	clock_fake(now_ms, 1);
	loop_turn(w->loop, 0);
}

/* --- timers ------------------------------------------------------------------------------------ */

static void
on_time(void *arg)
{
	struct one *o = arg;
	struct world *w = o->world;

	assert_null(o->timer); /* never stale */
	assert_true(o->due_ms <= w->now_ms);
	assert_true(o->due_ms >= w->last_due_ms); /* in the order of time */
	w->last_due_ms = o->due_ms;
	o->n_fired++;
	w->n_fired++;
	if (o->victim != NULL)
		timer_cancel(&o->victim->timer);
	if (o->again)
		loop_timer(w->loop, &o->timer, 10, on_time, o);
}

static void
arm(struct one *o, int64_t delay_ms)
{
	o->due_ms = o->world->now_ms + delay_ms;
	loop_timer(o->world->loop, &o->timer, delay_ms, on_time, o);
	assert_non_null(o->timer);
}

/* Armed, armed anew and cancelled at random, against what should be due at each moment. */
static void
test_timers_at_random(void **state)
{
	struct world *w = *state;
	bool is_armed[TIMERS] = {0};

	for (int round = 0; round < 3000; round++) {
		size_t i = rng_below(TIMERS);

		if (rng_below(3) > 0) {
			arm(&w->ones[i], rng_below(500));
			is_armed[i] = true;
		} else {
			timer_cancel(&w->ones[i].timer);
			is_armed[i] = false;
		}
		if (round % 10 != 0)
			continue;
		w->last_due_ms = 0;
		turn_at(w, w->now_ms + rng_below(60));
		for (size_t k = 0; k < TIMERS; k++) {
			bool was_due = is_armed[k] && w->ones[k].due_ms <= w->now_ms;

			assert_int_equal(w->ones[k].n_fired, was_due);
			w->ones[k].n_fired = 0;
			is_armed[k] &= !was_due;
			assert_int_equal(is_armed[k], w->ones[k].timer != NULL);
		}
	}
}

static void
test_timer_edge(void **state)
{
	struct world *w = *state;

	arm(&w->ones[0], 100);
	turn_at(w, 5099);
	assert_int_equal(w->n_fired, 0);
	turn_at(w, 5100);
	assert_int_equal(w->n_fired, 1);
	turn_at(w, 9000);
	assert_int_equal(w->n_fired, 1); /* once */
	timer_cancel(&w->ones[0].timer); /* NULL is fine */
}

static void
test_timer_cancels_another(void **state)
{
	struct world *w = *state;

	w->ones[0].victim = &w->ones[1];
	w->ones[2].victim = &w->ones[2]; /* its own slot is empty by then */
	arm(&w->ones[0], 10);
	arm(&w->ones[1], 10);
	arm(&w->ones[2], 20);
	turn_at(w, 5020);
	assert_int_equal(w->ones[0].n_fired, 1);
	assert_int_equal(w->ones[1].n_fired, 0);
	assert_int_equal(w->ones[2].n_fired, 1);
}

static void
test_timer_arms_itself(void **state)
{
	struct world *w = *state;

	w->ones[0].again = true;
	arm(&w->ones[0], 0);
	turn_at(w, 5000);
	assert_int_equal(w->n_fired, 1);
	assert_non_null(w->ones[0].timer);
	turn_at(w, 5009);
	assert_int_equal(w->n_fired, 1);
	turn_at(w, 5010);
	assert_int_equal(w->n_fired, 2);
}

/* --- watches ----------------------------------------------------------------------------------- */

static void
on_ready(void *arg, unsigned events)
{
	struct one *o = arg;

	o->n_fired++;
	o->events = events;
	if (o->victim != NULL)
		watch_remove(&o->victim->watch);
}

static void
watch(struct world *w, size_t i, unsigned events)
{
	w->ones[i].watch = loop_watch(w->loop, w->ends[i][0], events, on_ready, &w->ones[i]);
}

static void
test_watch(void **state)
{
	struct world *w = *state;
	struct one *o = &w->ones[0];

	watch(w, 0, LOOP_READ);
	loop_turn(w->loop, 0);
	assert_int_equal(o->n_fired, 0);
	assert_int_equal(write(w->ends[0][1], "x", 1), 1);
	loop_turn(w->loop, 0);
	loop_turn(w->loop, 0);
	assert_int_equal(o->n_fired, 2); /* level-triggered */
	assert_int_equal(o->events, LOOP_READ);
	watch_change(o->watch, LOOP_READ | LOOP_WRITE);
	loop_turn(w->loop, 0);
	assert_int_equal(o->events, LOOP_READ | LOOP_WRITE);
	watch_change(o->watch, 0);
	loop_turn(w->loop, 0);
	assert_int_equal(o->n_fired, 3);
	watch_remove(&o->watch);
	assert_null(o->watch);
	watch_remove(&o->watch);
	loop_turn(w->loop, 0);
	assert_int_equal(o->n_fired, 3);
}

static void
test_hang_up_comes_as_what_is_waited_for(void **state)
{
	struct world *w = *state;

	watch(w, 0, LOOP_READ);
	watch(w, 1, LOOP_WRITE);
	for (size_t i = 0; i < 2; i++) {
		(void)close(w->ends[i][1]);
		w->ends[i][1] = -1;
	}
	loop_turn(w->loop, 0);
	assert_int_equal(w->ones[0].events, LOOP_READ | LOOP_GONE);
	assert_int_equal(w->ones[1].events, LOOP_WRITE | LOOP_GONE);
}

/* Whichever comes first of three that are ready removes the two others, or itself too. */
static void
test_watch_removes_others(void **state)
{
	struct world *w = *state;

	for (size_t i = 0; i < PAIRS; i++) {
		watch(w, i, LOOP_READ);
		w->ones[i].victim = &w->ones[(i + 1) % PAIRS];
		assert_int_equal(write(w->ends[i][1], "x", 1), 1);
	}
	loop_turn(w->loop, 0);
	for (size_t i = 0; i < PAIRS; i++) {
		const struct one *before = &w->ones[(i + PAIRS - 1) % PAIRS];

		w->n_fired += w->ones[i].n_fired;
		if (before->n_fired > 0)
			assert_null(w->ones[i].watch);
	}
	assert_in_range(w->n_fired, 1, 2); /* not all three: one was removed before its turn */
}

static void
test_watch_removes_itself(void **state)
{
	struct world *w = *state;

	watch(w, 0, LOOP_WRITE);
	w->ones[0].victim = &w->ones[0];
	loop_turn(w->loop, 0);
	loop_turn(w->loop, 0);
	assert_int_equal(w->ones[0].n_fired, 1);
}

/* --- the end of a turn -------------------------------------------------------------------------- */

static void
on_end(void *arg)
{
	struct world *w = arg;

	w->n_ends++;
}

static void
on_end_once(void *arg)
{
	struct world *w = arg;

	w->n_ends += 100;
	loop_forget_turn_end(w->loop, on_end_once, w);
	loop_at_turn_end(w->loop, on_end, w);
}

static void
test_turn_end(void **state)
{
	struct world *w = *state;

	loop_at_turn_end(w->loop, on_end_once, w);
	loop_turn(w->loop, 0);
	assert_in_range(w->n_ends, 100, 101);
	w->n_ends = 0;
	loop_turn(w->loop, 0);
	assert_int_equal(w->n_ends, 1);
	loop_forget_turn_end(w->loop, on_end, &w->ones); /* not this one */
	loop_turn(w->loop, 0);
	assert_int_equal(w->n_ends, 2);
	loop_forget_turn_end(w->loop, on_end, w);
	loop_turn(w->loop, 0);
	assert_int_equal(w->n_ends, 2);
}

static void
stop(void *arg)
{
	struct world *w = arg;

	loop_stop(w->loop);
}

/* What waits to be flushed is, before the loop first sleeps. */
static void
test_run_and_stop(void **state)
{
	struct world *w = *state;

	loop_at_turn_end(w->loop, on_end, w);
	loop_timer(w->loop, &w->ones[0].timer, 0, stop, w);
	loop_run(w->loop);
	assert_int_equal(w->n_ends, 2);
	loop_timer(w->loop, &w->ones[0].timer, 0, stop, w);
	loop_run(w->loop); /* a second time too */
	assert_int_equal(w->n_ends, 4);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

static void
be_slow(void *arg)
{
	struct world *w = arg;

	w->now_ms += LOOP_SLOW_MS + 1;
	clock_fake(w->now_ms, 1);
}

/* A role tells of it, and nobody else. */
static void
test_slow_turns(void **state)
{
	struct world *w = *state;
	struct timer *timer = NULL;
	char text[200];
	ssize_t n[2];

	for (int tells = 0; tells < 2; tells++) {
		int ends[2], real = dup(STDERR_FILENO);

		assert_true(real >= 0 && pipe2(ends, O_NONBLOCK) == 0);
		if (tells)
			loop_tell_slow_turns(w->loop);
		(void)dup2(ends[1], STDERR_FILENO);
		loop_timer(w->loop, &timer, 0, be_slow, w);
		loop_turn(w->loop, 0);
		(void)dup2(real, STDERR_FILENO);
		n[tells] = read(ends[0], text, sizeof(text));
		(void)close(real);
		(void)close(ends[0]);
		(void)close(ends[1]);
	}
	assert_true(n[0] < 0);
	assert_true(n[1] > 0);
	assert_non_null(memmem(text, (size_t)n[1], "slow turn ms=51", 15));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_timers_at_random),
	    TEST(test_timer_edge),
	    TEST(test_timer_cancels_another),
	    TEST(test_timer_arms_itself),
	    TEST(test_watch),
	    TEST(test_hang_up_comes_as_what_is_waited_for),
	    TEST(test_watch_removes_others),
	    TEST(test_watch_removes_itself),
	    TEST(test_turn_end),
	    TEST(test_slow_turns),
	    TEST(test_run_and_stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

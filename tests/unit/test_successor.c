/* The filter role's two places: who serves, who takes over when, and what a failure changes (nothing). */
#include "relay/process/successor.h"
#include "relay/base/mem.h"
#include "relay/ipc/supervision.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <signal.h>
#include <sys/wait.h>

enum { SOME_PID = 0x7ffffff0 }; /* no process has it: what is sent to it goes nowhere */

static int
setup(void **state)
{
	struct supervisor *s = mem_alloc(sizeof(*s));

	s->loop = loop_new();
	successor_reset(s);
	for (unsigned i = ROLE_FRONT; i < PLACES; i++)
		child_init(&s->children[i], s, i);
	s->children[ROLE_FILTER].state = CHILD_UP;
	s->children[ROLE_FILTER].is_wanted = true;
	*state = s;
	return 0;
}

static int
teardown(void **state)
{
	struct supervisor *s = *state;

	for (unsigned i = ROLE_FRONT; i < PLACES; i++)
		timer_cancel(&s->children[i].kill);
	problem_report(&s->problems, ROLE_FILTER, SPAN("signatures"), SPAN(""), SPAN(""));
	assert_int_equal(s->problems.n, 0);
	buf_free(&s->filter_loaded);
	loop_free(&s->loop);
	mem_free(s);
	return 0;
}

static void
test_places(void **state)
{
	const struct supervisor *s = *state;

	assert_int_equal(place_role(PLACE_FILTER_2), ROLE_FILTER);
	assert_int_equal(place_instance(PLACE_FILTER_2), 1);
	assert_int_equal(place_instance(ROLE_FILTER), 0);
	assert_string_equal(place_name(PLACE_FILTER_2), "filter");
	assert_string_equal(place_name(PLACE_FILTER_2 - 1), "front-8");
	assert_ptr_equal(successor_filter(s), &s->children[ROLE_FILTER]);
	assert_true(successor_is_other(&s->children[PLACE_FILTER_2]));
	assert_false(successor_is_other(&s->children[ROLE_FILTER]));
	assert_false(successor_is_other(&s->children[ROLE_FRONT]));
}

static void
test_takes_over_when_ready(void **state)
{
	struct supervisor *s = *state;
	struct child *first = &s->children[ROLE_FILTER], *second = &s->children[PLACE_FILTER_2];

	problem_report(&s->problems, ROLE_FILTER, SPAN("signatures"), SPAN("old"), SPAN("wait"));
	second->state = CHILD_STARTING;
	successor_changed(s, second);
	assert_ptr_equal(successor_filter(s), first);
	second->state = CHILD_UP;
	successor_changed(s, second);
	assert_ptr_equal(successor_filter(s), second);
	assert_true(second->is_wanted);
	assert_false(first->is_wanted);
	assert_int_equal(s->problems.n, 0);
	successor_changed(s, second); /* ready said again: it serves already */
	assert_ptr_equal(successor_filter(s), second);
	/* And back to the first place, the next time. */
	first->state = CHILD_UP;
	successor_changed(s, first);
	assert_ptr_equal(successor_filter(s), first);
}

static void
test_not_while_all_are_renewed_or_stopped(void **state)
{
	struct supervisor *s = *state;
	struct child *second = &s->children[PLACE_FILTER_2];

	second->state = CHILD_UP;
	s->renewal = RENEWAL_STOPPING;
	successor_changed(s, second);
	assert_int_equal(s->filter_place, ROLE_FILTER);
	successor_ask(s, &s->children[ROLE_FILTER], SPAN("\x05"));
	assert_true(second->pid < 0);
	s->renewal = RENEWAL_NONE;
	s->is_stopping = true;
	successor_changed(s, second);
	assert_int_equal(s->filter_place, ROLE_FILTER);
	second->state = CHILD_DOWN;
	successor_changed(s, second);
	assert_true(second->pid < 0);
	assert_true(s->is_filter_due);
	successor_reset(s);
	assert_false(s->is_filter_due);
}

/* The place is taken by one that finishes: the next one starts when that has gone, and is not forgotten. */
static void
test_asked_while_the_other_place_is_taken(void **state)
{
	struct supervisor *s = *state;
	struct child *second = &s->children[PLACE_FILTER_2];

	second->pid = SOME_PID;
	second->state = CHILD_STOPPING;
	successor_ask(s, &s->children[ROLE_FILTER], SPAN("\x05"));
	assert_true(s->is_filter_due);
	assert_true(
	    span_eq(buf_span(&s->filter_loaded), SPAN("\x05"))); /* what the next one is told */
	assert_int_equal(second->state, CHILD_STOPPING);
	successor_reset(s);
	successor_ask(s, second, SPAN("\x01")); /* who leaves has no say */
	assert_false(s->is_filter_due);
	second->pid = -1;
}

static void
test_one_that_dies_while_it_loads(void **state)
{
	struct supervisor *s = *state;
	struct child *second = &s->children[PLACE_FILTER_2];

	s->is_stopping = true; /* so that nobody is started in this test */
	second->state = CHILD_STARTING;
	child_died(second, W_EXITCODE(0, SIGSEGV));
	assert_ptr_equal(successor_filter(s), &s->children[ROLE_FILTER]);
	assert_int_equal(second->restarts, 0);
	assert_int_equal(second->failed_starts, 0);
	assert_null(second->restart);
	assert_int_equal(s->problems.n, 1);
	assert_string_equal(
	    s->problems.items[0].what, "new signatures cannot be loaded, the old ones stay");
}

/* It dies of a load: tried again without that filter where the one that serves lacks it too, else refused. */
static void
test_one_that_dies_of_a_load(void **state)
{
	static struct conf_filter filter = {.name = "one", .load_ms = 1000};
	static struct config config = {.filters = &filter, .n_filters = 1};
	static const enum load_result results[] = {LOAD_NOT_NOW, LOAD_FINE};
	struct supervisor *s = *state;
	struct child *first = &s->children[ROLE_FILTER], *second = &s->children[PLACE_FILTER_2];

	s->is_stopping = true; /* so that nobody is started in this test */
	s->config = &config;
	for (size_t i = 0; i < sizeof(results) / sizeof(results[0]); i++) {
		bool is_there = results[i] == LOAD_FINE;
		struct buf told = BUF_INIT(100);

		load_state_put(&told, &(struct load_state){0, results[i], SPAN("")});
		loads_take(&first->loads, &config, buf_span(&told));
		buf_free(&told);
		loads_forget(&second->loads);
		s->is_filter_again = false;
		second->state = CHILD_STARTING;
		child_loading(second, 1);
		assert_non_null(second->kill);
		child_died(second, W_EXITCODE(0, SIGSEGV));
		assert_null(second->kill);
		assert_int_equal(s->is_filter_again, !is_there);
		assert_int_equal(s->problems.n, is_there);
		assert_true(second->loads.barred.n > 0);
	}
	loads_forget(&first->loads);
	loads_forget(&second->loads);
	s->config = NULL;
}

/* The one that serves, too, is started again without it, and not counted as one that cannot start. */
static void
test_the_one_that_serves_dies_of_a_load(void **state)
{
	static struct conf_filter filter = {.name = "one", .load_ms = 1000};
	static struct config config = {.filters = &filter, .n_filters = 1};
	struct supervisor *s = *state;
	struct child *first = &s->children[ROLE_FILTER];
	int64_t delay_ms = first->delay_ms;

	s->config = &config;
	s->was_ready = true;
	first->state = CHILD_STARTING;
	child_loading(first, 1);
	child_died(first, W_EXITCODE(0, SIGSEGV));
	assert_non_null(first->restart);
	assert_int_equal(first->failed_starts, 0);
	assert_int_equal(first->delay_ms, delay_ms);
	assert_true(first->loads.barred.n > 0);
	timer_cancel(&first->restart);
	/* Once more of the same: it is none of that. */
	first->state = CHILD_STARTING;
	child_loading(first, 1);
	child_died(first, W_EXITCODE(0, SIGSEGV));
	assert_int_equal(first->failed_starts, 1);
	timer_cancel(&first->restart);
	loads_forget(&first->loads);
	s->config = NULL;
}

static void
on_message(void *arg, struct message *m)
{
	supervisor_child_message(((struct child *)arg)->supervisor, arg, m);
}

static void
on_closed(void *arg)
{
	(void)arg;
}

/* It said that it was ready and died: that is read only when its death is known. */
static void
test_one_that_dies_when_ready(void **state)
{
	static const struct channel_events events = {on_message, on_closed};
	struct supervisor *s = *state;
	struct child *first = &s->children[ROLE_FILTER], *second = &s->children[PLACE_FILTER_2];
	int ends[2];

	channel_pair(ends);
	second->state = CHILD_STARTING;
	second->channel = channel_new(s->loop, ends[0], &events, second);
	assert_int_equal(channel_send_now(ends[1], ROLE_READY, 0, (struct span){0}, NULL), 0);
	(void)close(ends[1]);
	s->was_ready = true;
	child_died(second, W_EXITCODE(0, SIGKILL));
	assert_ptr_equal(successor_filter(s), first);
	assert_int_equal(second->state, CHILD_DOWN);
	assert_int_equal(first->state, CHILD_UP);
	assert_true(first->is_wanted);
	assert_false(second->is_wanted);
	assert_int_equal(s->problems.n, 1);
}

/* Whichever place it was at: what the one that serves has said, and what is said of it, stays. */
static void
test_problems_of_the_one_that_serves(void **state)
{
	struct supervisor *s = *state;
	struct child *first = &s->children[ROLE_FILTER], *second = &s->children[PLACE_FILTER_2];

	second->state = CHILD_UP;
	successor_changed(s, second);
	problem_report(&s->problems, PLACE_FILTER_2, SPAN("workers"), SPAN("none"), SPAN("look"));
	s->is_stopping = true;
	first->state = CHILD_STOPPING;
	child_died(first, 0); /* the old one, with its last worker */
	first->state = CHILD_STARTING;
	child_died(first, W_EXITCODE(1, 0)); /* the next one, for want of good signatures */
	assert_int_equal(s->problems.n, 2);
	child_died(second, W_EXITCODE(0, SIGKILL));
	assert_int_equal(s->problems.n, 0);
}

static void
not_called(void *arg)
{
	(void)arg;
	fail_msg("a process that nobody wants is started");
}

/* Had it ended and was to come back in a while: another is there, and what it could not load is old. */
static void
test_one_that_was_to_come_back(void **state)
{
	struct supervisor *s = *state;
	struct child *first = &s->children[ROLE_FILTER], *second = &s->children[PLACE_FILTER_2];

	first->state = CHILD_DOWN;
	loop_timer(s->loop, &first->restart, 0, not_called, first);
	(void)buf_add(&first->loads.barred, "x", 1);
	second->state = CHILD_UP;
	successor_take_place(s, second);
	assert_null(first->restart);
	assert_int_equal(first->loads.barred.n, 0);
	loop_turn(s->loop, 0);
	assert_ptr_equal(successor_filter(s), second);
}

/* Of one that leaves, nothing is said and nothing is started again. */
static void
test_one_that_leaves(void **state)
{
	struct supervisor *s = *state;
	struct child *second = &s->children[PLACE_FILTER_2];

	second->state = CHILD_STOPPING;
	s->is_stopping = true;
	child_died(second, 0);
	assert_int_equal(s->problems.n, 0);
	assert_null(second->restart);
	assert_int_equal(second->state, CHILD_DOWN);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_places, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_takes_over_when_ready, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		test_not_while_all_are_renewed_or_stopped, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		test_asked_while_the_other_place_is_taken, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_one_that_dies_while_it_loads, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_one_that_dies_of_a_load, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		test_the_one_that_serves_dies_of_a_load, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_one_that_dies_when_ready, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_one_that_leaves, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_one_that_was_to_come_back, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_problems_of_the_one_that_serves, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

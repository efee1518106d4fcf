/* Policies are compiled beside the loop; also to be run with the thread sanitizer. */
#include "relay/process/policy_build.h"
#include "relay/base/mem.h"
#include "relay/ipc/policy_bundle.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

enum { TURNS_MAX = 60000, RULES = 2000 };

static struct loop *loop;
static struct policy_build *build; /* never freed, as in its role */
static struct snapshot *newest;
static uint64_t last_generation;
static size_t n_built, n_refused;
static bool starts_another;

/* Some rules of each kind, so that expressions, lists and content rules are compiled over there. */
static struct buf
bundle_of(size_t n_rules)
{
	struct buf text = BUF_INIT(POLICY_TEXT_MAX), bundle = BUF_INIT(BUNDLE_MAX);

	for (size_t i = 0; i < n_rules; i++)
		(void)buf_addf(&text,
		    "reject client 192.0.2.%zu\nreject helo /^host%zu\\.x$/i\n"
		    "score 1 word%zu body /word%zu/i\n",
		    i % 256, i, i, i);
	(void)buf_add_str(&text, "reject client list:drop\n");
	bundle_add(&bundle, BUNDLE_LIST, SPAN("drop"), SPAN("198.51.100.1\n"));
	bundle_add(&bundle, BUNDLE_POLICY, SPAN("7"), buf_span(&text));
	assert_false(text.failed || bundle.failed);
	buf_free(&text);
	return bundle;
}

static void
start(size_t n_rules, uint64_t generation)
{
	struct buf bundle = bundle_of(n_rules);

	policy_build_start(build, &bundle, generation);
	assert_int_equal(bundle.n, 0); /* it has been taken */
}

static void
on_built(void *arg, struct policy_built *built)
{
	(void)arg;
	n_built++;
	n_refused += built->snapshot == NULL;
	last_generation = built->generation;
	if (built->snapshot != NULL) {
		snapshot_release(&newest);
		newest = built->snapshot;
		assert_int_equal(snapshot_version(newest), built->generation);
		assert_true(built->content.n > 0);
	}
	buf_free(&built->bundle);
	buf_free(&built->content);
	if (starts_another) {
		starts_another = false;
		start(3, built->generation + 1);
	}
}

static int
set_up(void **state)
{
	(void)state;
	n_built = n_refused = 0;
	starts_another = false;
	return 0;
}

static void
await(uint64_t generation)
{
	for (int i = 0; last_generation != generation; i++) {
		if (i == TURNS_MAX)
			fail_msg("generation %llu, not %llu", (unsigned long long)last_generation,
			    (unsigned long long)generation);
		loop_turn(loop, 10);
	}
}

static void
test_built(void **state)
{
	struct buf none = BUF_INIT(BUNDLE_MAX);

	(void)state;
	start(RULES, 1);
	assert_int_equal(n_built, 0); /* the loop hears of it, never the caller */
	await(1);
	assert_non_null(newest);
	bundle_add(&none, BUNDLE_POLICY, SPAN("8"), SPAN("nonsense here\n"));
	policy_build_start(build, &none, 2);
	await(2);
	assert_int_equal(n_refused, 1);
	assert_int_equal(snapshot_version(newest), 1); /* it is what there is */
	assert_int_equal(n_built, 2);
}

/* Of several that come meanwhile the last counts, and it is the last that is told. */
static void
test_several(void **state)
{
	(void)state;
	for (uint64_t generation = 10; generation < 20; generation++)
		start(generation == 10 ? RULES : 5, generation);
	await(19);
	assert_in_range(n_built, 2, 10);
	assert_int_equal(n_refused, 0);
	assert_int_equal(snapshot_version(newest), 19);
}

/* Who is told of one begins the next. */
static void
test_again_from_inside(void **state)
{
	(void)state;
	starts_another = true;
	start(5, 30);
	await(31);
	assert_int_equal(n_built, 2);
	assert_int_equal(snapshot_version(newest), 31);
}

/* While a thread builds, the loop goes on deciding with the newest one. */
static void
test_beside_the_newest(void **state)
{
	(void)state;
	start(5, 40);
	await(40);
	start(RULES, 41);
	for (int i = 0; i < 1000; i++) {
		struct snapshot *held = snapshot_hold(newest);

		snapshot_release(&held);
	}
	await(41);
}

static void
test_now(void **state)
{
	struct buf bundle = bundle_of(5);
	struct policy_built built;

	(void)state;
	policy_build_now(&bundle, 50, &built);
	assert_non_null(built.snapshot);
	assert_int_equal(built.generation, 50);
	assert_int_equal(n_built, 0);
	snapshot_release(&built.snapshot);
	buf_free(&built.bundle);
	buf_free(&built.content);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup(f, set_up)
	const struct CMUnitTest tests[] = {
	    TEST(test_built),
	    TEST(test_several),
	    TEST(test_again_from_inside),
	    TEST(test_beside_the_newest),
	    TEST(test_now),
	};
	int failed;

	loop = loop_new();
	build = policy_build_new(loop, on_built, NULL);
	failed = cmocka_run_group_tests_name("policy_build", tests, NULL, NULL);
	snapshot_release(&newest);
	return failed;
}

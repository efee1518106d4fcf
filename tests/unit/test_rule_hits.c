/* Hits that fronts have told, on their way into the policy store: they wait while somebody else writes it,
 * not without bound, and a store that stays away is a problem that ends with it. */
#include "policy/store/inside.h"
#include "relay/base/clock.h"
#include "relay/base/mem.h"
#include "relay/ipc/hits.h"
#include "relay/process/rule_hits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct supervisor *s;
static struct config config;
static char dir[40];
static struct store *writer;
static int64_t now_ms;

static int
set_up(void **state)
{
	(void)state;
	(void)snprintf(dir, sizeof(dir), "/tmp/postern-hits-XXXXXX"); /* fits */
	assert_non_null(mkdtemp(dir));
	now_ms = 1000;
	clock_fake(now_ms, 50000);
	config.state_dir = dir;
	s = mem_alloc(sizeof(*s));
	s->loop = loop_new();
	s->config = &config;
	writer = store_open(dir, true, NULL);
	assert_non_null(writer);
	return 0;
}

static int
tear_down(void **state)
{
	static const char *const ends[] = {"", "-wal", "-shm"};
	char path[80];

	(void)state;
	store_close(&writer);
	timer_cancel(&s->hits_again);
	problem_forget(&s->problems, ROLE_SUPERVISOR);
	assert_int_equal(s->problems.n, 0);
	buf_free(&s->hits);
	loop_free(&s->loop);
	mem_free(s);
	clock_fake(0, -1);
	for (int i = 0; i < 3; i++) {
		(void)snprintf(path, sizeof(path), "%s/policy.db%s", dir, ends[i]); /* fits */
		(void)unlink(path);
	}
	return rmdir(dir);
}

static void
take(uint32_t rule, uint64_t hits, size_t times)
{
	const struct hits_entry e = {rule, hits, 700};
	struct buf b = BUF_INIT(HITS_WAITING_MAX * 2);

	while (times-- > 0)
		hits_entry_put(&b, &e);
	rule_hits_take(s, buf_span(&b));
	buf_free(&b);
}

static void
tick(void)
{
	now_ms += HITS_AGAIN_MS;
	clock_fake(now_ms, 50000);
	loop_turn(s->loop, 0);
}

static void
add_line(void *arg, const struct store_hit *h)
{
	assert_int_equal(buf_addf(arg, "%u %llu\n", h->rule, (unsigned long long)h->hits), 0);
}

static void
assert_kept(const char *wanted)
{
	struct buf seen = BUF_INIT(4096);

	assert_int_equal(store_hits(writer, add_line, &seen, NULL), 0);
	if (!span_eq(buf_span(&seen), span_str(wanted)))
		fail_msg("%.*s instead of %s", SPAN_ARG(buf_span(&seen)), wanted);
	buf_free(&seen);
}

static void
test_at_once(void **state)
{
	(void)state;
	take(1, 2, 1);
	assert_kept("1 2\n");
	take(1, 3, 2);
	assert_kept("1 8\n");
	assert_int_equal(s->hits.n, 0);
	assert_null(s->hits_again);
	rule_hits_store(s); /* nothing is there */
	take(1, 1, 0);
	assert_kept("1 8\n");
}

/* Batches that come meanwhile wait with the first; then all of it is there, once. */
static void
test_wait_for_a_writer(void **state)
{
	(void)state;
	assert_int_equal(store_begin(writer, NULL), 0);
	take(1, 1, 1);
	assert_int_equal(s->hits.n, HITS_ENTRY);
	assert_non_null(s->hits_again);
	take(2, 5, 2);
	assert_int_equal(s->hits.n, 3 * HITS_ENTRY);
	assert_int_equal(s->hits_failed, 1); /* the second batch has not tried */
	tick();
	assert_int_equal(s->hits_failed, 2);
	assert_int_equal(s->problems.n, 0);
	assert_int_equal(store_end(writer, -E_AGAIN, NULL), -E_AGAIN);
	assert_kept("");
	tick();
	assert_kept("1 1\n2 10\n");
	assert_int_equal(s->hits.n, 0);
	assert_int_equal(s->hits_failed, 0);
	assert_null(s->hits_again);
}

static void
test_problem(void **state)
{
	(void)state;
	assert_int_equal(store_begin(writer, NULL), 0);
	take(1, 1, 1);
	for (unsigned i = 1; i < HITS_TRIES; i++) {
		assert_int_equal(s->problems.n, 0);
		tick();
	}
	assert_int_equal(s->problems.n, 1);
	assert_string_equal(s->problems.items[0].name, "hits");
	tick();
	assert_int_equal(s->problems.n, 1);
	assert_int_equal(store_end(writer, -E_AGAIN, NULL), -E_AGAIN);
	tick();
	assert_int_equal(s->problems.n, 0);
	assert_kept("1 1\n");
}

/* Whole entries up to the bound; what is past it is lost, and no more. */
static void
test_bound(void **state)
{
	const size_t fit = HITS_WAITING_MAX / HITS_ENTRY;
	char wanted[64];

	(void)state;
	assert_int_equal(store_begin(writer, NULL), 0);
	take(1, 1, fit - 1);
	take(2, 1, 5);
	assert_int_equal(s->hits.n, fit * HITS_ENTRY);
	take(3, 1, 1);
	assert_int_equal(s->hits.n, fit * HITS_ENTRY);
	assert_int_equal(store_end(writer, -E_AGAIN, NULL), -E_AGAIN);
	rule_hits_store(s); /* the end does not wait for the timer */
	(void)snprintf(wanted, sizeof(wanted), "1 %zu\n2 1\n", fit - 1); /* fits */
	assert_kept(wanted);
	take(3, 1, 1);
	(void)snprintf(wanted, sizeof(wanted), "1 %zu\n2 1\n3 1\n", fit - 1); /* fits */
	assert_kept(wanted);
}

/* Of what a front that is not ours any more says, the entries before the first bad one. */
static void
test_malformed(void **state)
{
	const struct hits_entry rows[] = {{1, 4, 7}, {0, 1, 7}, {2, 1, 7}};
	struct buf b = BUF_INIT(100);

	(void)state;
	for (size_t i = 0; i < 3; i++)
		hits_entry_put(&b, &rows[i]);
	rule_hits_take(s, buf_span(&b));
	assert_kept("1 4\n");
	rule_hits_take(s, span_take(buf_span(&b), HITS_ENTRY + HITS_ENTRY / 2));
	assert_kept("1 8\n");
	rule_hits_take(s, SPAN("nonsense"));
	assert_kept("1 8\n");
	assert_int_equal(s->hits.n, 0);
	buf_free(&b);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(test_at_once),
	    TEST(test_wait_for_a_writer),
	    TEST(test_problem),
	    TEST(test_bound),
	    TEST(test_malformed),
	};

	return cmocka_run_group_tests_name("rule_hits", tests, NULL, NULL);
}

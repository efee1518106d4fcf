/* Passwords are checked beside the loop, in their order; also to be run with the thread sanitizer. */
#include "relay/key/checker.h"
#include "relay/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

enum { ASKER = 7, TURNS_MAX = 60000 };

static struct loop *loop;
static struct checker *checker;
static struct users *users;
static struct user alice, nobody;
static uint64_t n_told, n_right;

static void
on_result(void *arg, uint64_t asker, uint64_t id, bool is_password)
{
	(void)arg;
	assert_int_equal(asker, ASKER);
	assert_int_equal(id, n_told); /* in their order */
	n_told++;
	n_right += is_password;
}

static int
set_up(void **state)
{
	struct buf line = BUF_INIT(1024);
	struct err err;

	(void)state;
	assert_int_equal(user_add_line(&line, SPAN("alice"), SPAN("secret")), 0);
	users = users_parse(buf_span(&line), "u", &err);
	assert_non_null(users);
	buf_free(&line);
	assert_true(users_find(users, SPAN("alice"), &alice));
	assert_false(users_find(users, SPAN("nobody"), &nobody));
	n_told = n_right = 0;
	loop = loop_new();
	checker = checker_new(loop, on_result, NULL);
	return 0;
}

static int
tear_down(void **state)
{
	(void)state;
	checker_free(&checker);
	checker_free(&checker); /* twice is harmless */
	users_free(&users);
	loop_free(&loop);
	return 0;
}

static void
await(uint64_t n)
{
	for (int i = 0; n_told < n; i++) {
		if (i == TURNS_MAX)
			fail_msg("%llu answers of %llu", (unsigned long long)n_told,
			    (unsigned long long)n);
		loop_turn(loop, 10);
	}
}

/* The bytes asked with may change at once; what was asked has been copied. */
static void
test_answers(void **state)
{
	static const struct {
		const char *password;
		bool is_known, is_right;
	} rows[] = {
	    {"secret", true, true},
	    {"Secret", true, false},
	    {"", true, false},
	    {"secret", false, false}, /* the same work, and no */
	    {"secret", true, true},
	};
	uint64_t n = 0;

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char password[16];
		struct user user = rows[i].is_known ? alice : nobody;
		uint64_t right = n_right;

		(void)span_copy(span_str(rows[i].password), password, sizeof(password)); /* fits */
		assert_true(
		    checker_ask(checker, ASKER, n, &user, rows[i].is_known, span_str(password)));
		memset(password, 'x', sizeof(password));
		memset(&user, 0, sizeof(user));
		await(++n);
		if (n_right - right != rows[i].is_right)
			fail_msg("row %zu", i);
	}
}

/* No more than fit may wait; each is answered, and then there is room again. */
static void
test_bound(void **state)
{
	uint64_t n = 0;

	(void)state;
	while (checker_ask(checker, ASKER, n, &alice, true, SPAN("secret")))
		n++;
	assert_int_equal(n, CHECKER_WAITING_MAX);
	await(1);
	assert_true(checker_ask(checker, ASKER, n, &alice, true, SPAN("no")));
	await(n + 1);
	assert_int_equal(n_right, n);
}

/* The end waits for the one in hand; the others, and answers that nobody has fetched, go unsaid. */
static void
test_end_under_way(void **state)
{
	(void)state;
	for (uint64_t i = 0; i < 5; i++)
		assert_true(checker_ask(checker, ASKER, i, &alice, true, SPAN("secret")));
	await(1);
	checker_free(&checker);
	assert_null(checker);
	loop_turn(loop, 0);
	assert_true(n_told < 5 || n_right == 5);
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
	const struct CMUnitTest tests[] = {
	    TEST(test_answers),
	    TEST(test_bound),
	    TEST(test_end_under_way),
	};

	return cmocka_run_group_tests_name("checker", tests, NULL, NULL);
}

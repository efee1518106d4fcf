/* Structs by a number they hold: what goes in is found, what goes out is not, whatever the order. */
#include "relay/base/table.h"
#include "relay/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { MANY = 5000 };

struct thing {
	int other;
	uint64_t key;
	bool is_in;
};

static struct thing things[MANY];

static int
set_up(void **state)
{
	static struct table t;

	t = (struct table){.key_at = offsetof(struct thing, key)};
	for (size_t i = 0; i < MANY; i++)
		things[i] = (struct thing){.key = i + 1};
	*state = &t;
	return 0;
}

static int
tear_down(void **state)
{
	table_free(*state);
	return 0;
}

static void
test_empty(void **state)
{
	struct table *t = *state;
	size_t at = 0;

	assert_null(table_get(t, 1));
	assert_null(table_remove(t, 1));
	assert_null(table_next(t, &at));
}

static void
test_twice(void **state)
{
	struct table *t = *state;
	struct thing same = {.key = 1};

	assert_true(table_add(t, &things[0]));
	assert_false(table_add(t, &same));
	assert_ptr_equal(table_get(t, 1), &things[0]);
	assert_int_equal(t->count, 1);
}

static void
check(const struct table *t)
{
	size_t n = 0, at = 0;

	for (size_t i = 0; i < MANY; i++) {
		assert_ptr_equal(table_get(t, things[i].key), things[i].is_in ? &things[i] : NULL);
		n += things[i].is_in;
	}
	assert_int_equal(t->count, n);
	while (table_next(t, &at) != NULL)
		n--;
	assert_int_equal(n, 0);
}

/* A fixed sequence of additions and removals, of serials and of numbers that collide. */
static void
test_any_order(void **state)
{
	struct table *t = *state;
	uint32_t dice = 12345;

	for (int round = 0; round < 2; round++) {
		for (size_t i = 0; i < MANY; i++)
			things[i].key = round == 0 ? i : (uint64_t)i << 44; /* all at one home */
		for (int step = 0; step < (round == 0 ? 40000 : 3000); step++) {
			struct thing *x;

			dice = dice * 1664525u + 1013904223u;
			x = &things[(dice >> 8) % (round == 0 ? MANY : 300)];
			if (x->is_in)
				assert_ptr_equal(table_remove(t, x->key), x);
			else
				assert_true(table_add(t, x));
			x->is_in = !x->is_in;
			if (step % 5000 == 0)
				check(t);
		}
		check(t);
		for (size_t i = 0; i < MANY; i++)
			if (things[i].is_in) {
				assert_ptr_equal(table_remove(t, things[i].key), &things[i]);
				things[i].is_in = false;
			}
		check(t);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_empty, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_twice, set_up, tear_down),
	    cmocka_unit_test_setup_teardown(test_any_order, set_up, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

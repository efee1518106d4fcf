#include "relay/base/mem.h"
#include "relay/base/rng.h"
#include "relay/spool/store.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { MANY = 20000 };

static void
test_empty(void **state)
{
	struct serials s = {0};
	size_t at = 0;

	(void)state;
	assert_null(serials_get(&s, 1));
	assert_null(serials_next(&s, &at));
	serials_clear(&s);
}

/* In any order in and out: what is there is found, what is not is not, and none is told twice. */
static void
check(const struct serials *s, const struct spool_message *messages, const bool *is_in, size_t n)
{
	size_t count = 0, walked = 0, at = 0;

	for (size_t i = 0; i < n; i++) {
		assert_ptr_equal(
		    serials_get(s, messages[i].serial), is_in[i] ? &messages[i] : NULL);
		count += is_in[i];
	}
	while (serials_next(s, &at) != NULL)
		walked++;
	assert_int_equal(s->count, count);
	assert_int_equal(walked, count);
}

static void
run(uint64_t (*serial_of)(size_t i))
{
	struct spool_message *messages = mem_array(MANY, sizeof(*messages));
	bool *is_in = mem_array(MANY, sizeof(*is_in));
	struct serials s = {0};

	for (size_t i = 0; i < MANY; i++)
		messages[i].serial = serial_of(i);
	for (size_t step = 0; step < 6 * MANY; step++) {
		size_t i = rng_below(MANY);

		if (is_in[i])
			serials_remove(&s, messages[i].serial);
		else
			serials_put(&s, &messages[i]);
		is_in[i] = !is_in[i];
		if (step % (MANY / 2) == 0)
			check(&s, messages, is_in, MANY);
	}
	for (size_t i = 0; i < MANY; i++)
		if (is_in[i]) {
			serials_put(&s, &messages[i]); /* once more: nothing changes */
			serials_remove(&s, messages[i].serial);
			is_in[i] = false;
		}
	check(&s, messages, is_in, MANY);
	serials_clear(&s);
	mem_free(messages);
	mem_free(is_in);
}

static uint64_t
in_order(size_t i)
{
	return i + 1;
}

/* All of them want few places. */
static uint64_t
far_apart(size_t i)
{
	return (uint64_t)i << 44;
}

static void
test_put_get_remove(void **state)
{
	(void)state;
	rng_seed(5);
	run(in_order);
}

static void
test_collisions(void **state)
{
	(void)state;
	rng_seed(6);
	run(far_apart);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_empty),
	    cmocka_unit_test(test_put_get_remove),
	    cmocka_unit_test(test_collisions),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

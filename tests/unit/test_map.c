#include "relay/base/map.h"
#include "relay/base/mem.h"
#include "relay/base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { KEYS = 600, OPERATIONS = 60000, KEY_MAX = 40 };

/* The oracle: an array, value 0 where the key is not in the map. */
struct world {
	struct map *map;
	uintptr_t values[KEYS];
	size_t count;
};

static int
setup(void **state)
{
	struct world *w = mem_alloc(sizeof(*w));

	rng_seed(20261122);
	w->map = map_new();
	*state = w;
	return 0;
}

static int
teardown(void **state)
{
	struct world *w = *state;

	map_free(&w->map);
	assert_null(w->map);
	map_free(&w->map);
	mem_free(w);
	return 0;
}

/* Keys of every length around what is kept inline, with NULs, one the beginning of another. */
static struct span
key_of(size_t i, char to[KEY_MAX])
{
	memset(to, 0, KEY_MAX);
	to[0] = (char)(i / 30);
	return span_of(to, i % 30 + (i / 30 > 0));
}

static void
check_all(struct world *w)
{
	size_t at = 0, seen = 0;
	char text[KEY_MAX];
	struct span key;
	void *value;

	assert_int_equal(map_count(w->map), w->count);
	for (size_t i = 0; i < KEYS; i++)
		assert_ptr_equal(map_get(w->map, key_of(i, text)), (void *)w->values[i]);
	while (map_next(w->map, &at, &key, &value)) {
		size_t i = (uintptr_t)value % KEYS;

		assert_true(span_eq(key, key_of(i, text)));
		assert_ptr_equal(value, (void *)w->values[i]);
		seen++;
	}
	assert_int_equal(seen, w->count);
}

static void
one_operation(struct world *w, size_t round)
{
	size_t i = rng_below(KEYS);
	uintptr_t value = (round + 1) * KEYS + i, before = w->values[i];
	/* Phases that grow and phases that shrink, so that old places are used again. */
	bool sets = rng_below(10) < (round / 5000 % 2 ? 3 : 7);
	char text[KEY_MAX];
	struct span key = key_of(i, text);

	if (sets) {
		assert_ptr_equal(map_set(w->map, key, (void *)value), (void *)before);
		w->values[i] = value;
		w->count += before == 0;
	} else {
		assert_ptr_equal(map_remove(w->map, key), (void *)before);
		w->values[i] = 0;
		w->count -= before != 0;
	}
	memset(text, 'x', sizeof(text)); /* the map has its own copy */
}

static void
test_against_an_array(void **state)
{
	struct world *w = *state;

	check_all(w);
	for (size_t round = 0; round < OPERATIONS; round++) {
		one_operation(w, round);
		if (round % 997 == 0)
			check_all(w);
	}
	check_all(w);
}

static void
test_removal_while_walking(void **state)
{
	struct world *w = *state;
	size_t at = 0, seen = 0;
	struct span key;
	void *value;

	for (uint64_t i = 0; i < 1000; i++)
		assert_null(map_set_u64(w->map, i, (void *)(uintptr_t)(i + 1)));
	while (map_next(w->map, &at, &key, &value)) {
		seen++;
		if ((uintptr_t)value % 2)
			assert_ptr_equal(map_remove(w->map, key), value);
	}
	assert_int_equal(seen, 1000);
	assert_int_equal(map_count(w->map), 500);
	for (uint64_t i = 0; i < 1000; i++)
		assert_ptr_equal(map_get_u64(w->map, i), (void *)(uintptr_t)(i % 2 ? i + 1 : 0));
}

static void
test_numbers(void **state)
{
	static const uint64_t keys[] = {0, 1, 0xff, 0x100, UINT64_MAX, 1ULL << 63};
	struct world *w = *state;
	char values[6];

	for (size_t i = 0; i < 6; i++)
		assert_null(map_set_u64(w->map, keys[i], &values[i]));
	for (size_t i = 0; i < 6; i++)
		assert_ptr_equal(map_get_u64(w->map, keys[i]), &values[i]);
	for (size_t i = 0; i < 6; i++)
		assert_ptr_equal(map_remove_u64(w->map, keys[i]), &values[i]);
	assert_null(map_remove_u64(w->map, 0));
	assert_int_equal(map_count(w->map), 0);
}

/* Different keys, different hashes; the same bytes elsewhere, the same hash; all bits move. */
static void
test_hash(void **state)
{
	char a[64] = {0}, b[65] = {0};
	uint64_t ones = 0, zeros = UINT64_MAX;

	for (size_t n = 0; n <= 64; n++) {
		assert_true(map_hash(span_of(a, n)) == map_hash(span_of(b + 1, n)));
		for (size_t k = 0; k < n; k++)
			assert_false(map_hash(span_of(a, n)) == map_hash(span_of(a, k)));
	}
	for (int i = 0; i < 64; i++) {
		uint64_t plain = map_hash(span_of(a, 64)), changed;

		a[i] = 1;
		changed = map_hash(span_of(a, 64));
		a[i] = 0;
		assert_false(plain == changed);
		ones |= changed;
		zeros &= changed;
	}
	assert_true(ones == UINT64_MAX && zeros == 0);
	(void)state;
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_against_an_array),
	    TEST(test_removal_while_walking),
	    TEST(test_numbers),
	    TEST(test_hash),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

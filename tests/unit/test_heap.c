#include "relay/base/heap.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { NODES = 100 };

/* Every node once, in an order without order; 37 and NODES have no common divisor. */
static void
fill(struct heap *h, struct heap_node *nodes)
{
	for (size_t i = 0; i < NODES; i++) {
		nodes[i].ms = (int64_t)(i * 37 % NODES);
		heap_add(h, &nodes[i]);
	}
}

static void
test_comes_out_in_order(void **state)
{
	struct heap_node nodes[NODES];
	struct heap h = {0};

	(void)state;
	assert_null(heap_first(&h));
	fill(&h, nodes);
	for (int64_t ms = 0; ms < NODES; ms++) {
		assert_non_null(heap_first(&h));
		assert_true(heap_first(&h)->ms == ms);
		heap_remove(&h, heap_first(&h));
	}
	assert_null(heap_first(&h));
	heap_free(&h);
}

/* Any node may go first, and the rest keeps its order. */
static void
test_removes_from_anywhere(void **state)
{
	(void)state;
	for (size_t gone = 0; gone < NODES; gone++) {
		struct heap_node nodes[NODES];
		struct heap h = {0};
		int64_t last_ms = -1;
		size_t n = 0;

		fill(&h, nodes);
		heap_remove(&h, &nodes[gone]);
		for (; heap_first(&h) != NULL; n++) {
			struct heap_node *first = heap_first(&h);

			assert_ptr_not_equal(first, &nodes[gone]);
			assert_true(first->ms > last_ms);
			last_ms = first->ms;
			heap_remove(&h, first);
		}
		assert_int_equal(n, NODES - 1);
		heap_free(&h);
	}
}

static void
test_same_time(void **state)
{
	struct heap_node nodes[3] = {{.ms = 5}, {.ms = 5}, {.ms = -1}};
	struct heap h = {0};

	(void)state;
	for (size_t i = 0; i < 3; i++)
		heap_add(&h, &nodes[i]);
	assert_ptr_equal(heap_first(&h), &nodes[2]);
	heap_remove(&h, &nodes[0]);
	heap_remove(&h, &nodes[2]);
	assert_ptr_equal(heap_first(&h), &nodes[1]);
	heap_free(&h);
	assert_null(heap_first(&h));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_comes_out_in_order),
	    cmocka_unit_test(test_removes_from_anywhere),
	    cmocka_unit_test(test_same_time),
	};

	return cmocka_run_group_tests_name("heap", tests, NULL, NULL);
}

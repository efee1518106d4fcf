/* The content of a message while it is received, and the budget that all contents share. */
#include "relay/front/content.h"
#include "relay/ipc/channel.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { PIECE = 60000, BUDGET = 1000000 };

static struct content a, b;
static char piece[PIECE];

static int
setup(void **state)
{
	(void)state;
	memset(piece, 'x', sizeof(piece));
	content_set_budget(BUDGET);
	content_start(&a, "mx.example.org");
	content_start(&b, "mx.example.org");
	assert_int_equal(content_held(), 0);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	content_free(&a);
	content_free(&b);
	assert_int_equal(content_held(), 0);
	content_set_budget(CONTENT_BYTES_MAX);
	return 0;
}

static int
add(struct content *c, size_t n)
{
	return content_add(c, span_of(piece, n));
}

static void
begin(struct content *c)
{
	assert_int_equal(content_add(c, SPAN("Subject: x\r\n\r\n")), 0);
}

/* Adds until it is refused; returns how many bytes were taken. */
static uint64_t
fill(struct content *c)
{
	uint64_t taken = 0;
	int r;

	while ((r = add(c, PIECE)) == 0)
		taken += PIECE;
	assert_int_equal(r, -E_FULL);
	return taken;
}

static void
test_small_stays_in_memory(void **state)
{
	(void)state;
	begin(&a);
	assert_int_equal(add(&a, 100), 0);
	assert_int_equal(content_end(&a), 0);
	assert_int_equal(a.fd, -1);
	assert_int_equal(a.size, 114);
	assert_int_equal(content_inline(&a).n, 114);
	assert_true(content_held() >= 114);
}

static void
test_edge_in_memory(void **state)
{
	(void)state;
	begin(&a);
	content_set_budget(content_held() + 1000);
	begin(&b); /* its first buffers are within the 1000 */
	content_set_budget(content_held() + 1000);
	assert_int_equal(add(&b, 1001), -E_FULL);
	assert_int_equal(add(&b, 1000), 0);
}

static void
test_edge_in_file(void **state)
{
	(void)state;
	begin(&a);
	for (int i = 0; i < 3; i++)
		assert_int_equal(add(&a, PIECE), 0);
	assert_true(a.fd >= 0);
	content_set_budget(content_held() + PIECE);
	assert_true(content_has_room());
	content_set_budget(content_held() + PIECE - 1);
	assert_int_equal(add(&a, PIECE), -E_FULL);
	assert_int_equal(add(&a, PIECE - 1), 0);
}

/* A file grows past what its buffer has room for: each byte of it counts. */
static void
test_file_is_bounded(void **state)
{
	uint64_t taken;

	(void)state;
	begin(&a);
	taken = fill(&a);
	assert_true(taken > BUDGET / 4 && taken <= BUDGET);
	assert_true(content_held() <= BUDGET + 2 * CHANNEL_INLINE_MAX);
}

static void
test_is_shared_and_given_back(void **state)
{
	(void)state;
	begin(&a);
	begin(&b);
	(void)fill(&a);
	assert_int_equal(add(&b, PIECE), -E_FULL);
	content_free(&a);
	assert_true(content_has_room());
	assert_int_equal(add(&b, PIECE), 0);
}

static void
test_no_room(void **state)
{
	(void)state;
	begin(&a);
	content_set_budget(content_held());
	assert_false(content_has_room());
	content_set_budget(content_held() + 1);
	assert_true(content_has_room());
}

/* What will be refused anyway keeps its header section for the record, and nothing else. */
static void
test_drop_keeps_the_header(void **state)
{
	(void)state;
	begin(&a);
	(void)fill(&a);
	content_drop(&a);
	assert_int_equal(a.fd, -1);
	assert_int_equal(content_held(), a.section.cap);
	assert_true(span_eq(buf_span(&a.section), SPAN("Subject: x\r\n")));
	content_drop(&a);
	assert_int_equal(content_held(), a.section.cap);
}

static void
test_end_gives_the_buffer_back(void **state)
{
	(void)state;
	begin(&a);
	for (int i = 0; i < 3; i++)
		assert_int_equal(add(&a, PIECE), 0);
	assert_int_equal(content_end(&a), 0);
	assert_true(a.fd >= 0);
	assert_int_equal(a.in_file, a.size);
	assert_int_equal(content_held(), a.size + a.section.cap);
}

static void
test_budget_of_machine(void **state)
{
	(void)state;
	assert_true(content_budget_of_machine() > 0);
	assert_true(content_budget_of_machine() <= CONTENT_BYTES_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_small_stays_in_memory, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_edge_in_memory, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_edge_in_file, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_file_is_bounded, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_is_shared_and_given_back, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_no_room, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_drop_keeps_the_header, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_end_gives_the_buffer_back, setup, teardown),
	    cmocka_unit_test(test_budget_of_machine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* How many descriptors the clients of front may take, and how many sessions that makes. */
#include "relay/front/files.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void
test_sessions_max(void **state)
{
	static const struct {
		uint64_t n_files, n_listeners;
		size_t wanted, max;
	} rows[] = {
	    {0, 0, 20000, 1},
	    {FILES_OURS, 0, 20000, 1},
	    {FILES_OURS + 1, 0, 20000, 1},
	    {FILES_OURS + 7, 0, 20000, 7},
	    {FILES_OURS + 8, 0, 20000, 7},
	    {FILES_OURS + 9, 0, 20000, 8},
	    {1024, 0, 20000, 700},
	    {20000, 0, 20000, 17304},
	    {23080, 0, 20000, 19999},
	    {23081, 0, 20000, 20000},
	    {UINT64_MAX, 0, 20000, 20000},
	    {1024, 0, 10, 10},
	    {1024, 1, 20000, 700},
	    {1024, 2048, 20000, 1},
	    {FILES_OURS + 40, 40, 20000, 1},
	    {FILES_OURS + 40 + 9, 40, 20000, 8},
	    {20000, 2048, 20000, 15512},
	    {23082, 1, 20000, 20000},
	    {UINT64_MAX, 2048, 20000, 20000},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		files_set_limit(rows[i].n_files, rows[i].n_listeners);
		if (files_sessions_max(rows[i].wanted) != rows[i].max)
			fail_msg("row %zu: %zu", i, files_sessions_max(rows[i].wanted));
	}
}

/* Sessions alone never take what messages need. */
static void
test_messages_have_their_share(void **state)
{
	(void)state;
	for (uint64_t n = FILES_OURS + 16; n < 30000; n += 7) {
		files_set_limit(n, 0);
		files_take(files_sessions_max(20000) * FILES_SESSION);
		assert_true(files_left() >= FILES_MESSAGE);
		files_give(files_sessions_max(20000) * FILES_SESSION);
	}
}

/* The least that a front starts with is room for clients and for a message of theirs. */
static void
test_least(void **state)
{
	static const uint64_t listeners[] = {0, 1, 40, 256, 2048};

	(void)state;
	for (size_t i = 0; i < sizeof(listeners) / sizeof(listeners[0]); i++) {
		files_set_limit(files_needed(listeners[i]), listeners[i]);
		assert_int_equal(files_left(), FILES_CLIENTS_MIN);
		assert_int_equal(files_sessions_max(20000), FILES_CLIENTS_MIN - FILES_MESSAGE);
	}
}

static void
test_left(void **state)
{
	(void)state;
	files_set_limit(FILES_OURS + 10 + 3, 3);
	assert_int_equal(files_left(), 10);
	files_take(4);
	assert_int_equal(files_left(), 6);
	files_take(9); /* a message that front did not ask for */
	assert_int_equal(files_left(), 0);
	files_give(13);
	assert_int_equal(files_left(), 10);
	files_set_limit(3, 0);
	assert_int_equal(files_left(), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_sessions_max),
	    cmocka_unit_test(test_messages_have_their_share),
	    cmocka_unit_test(test_least),
	    cmocka_unit_test(test_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

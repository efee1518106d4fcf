/* How many descriptors the clients of front may take, and how many sessions that makes. */
#include "relay/front/files.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void
test_sessions_max(void **state)
{
	static const struct {
		uint64_t n_files;
		size_t wanted, max;
	} rows[] = {
	    {0, 20000, 1},
	    {FILES_OURS, 20000, 1},
	    {FILES_OURS + 1, 20000, 1},
	    {FILES_OURS + 7, 20000, 7},
	    {FILES_OURS + 8, 20000, 7},
	    {FILES_OURS + 9, 20000, 8},
	    {1024, 20000, 700},
	    {20000, 20000, 17304},
	    {23080, 20000, 19999},
	    {23081, 20000, 20000},
	    {UINT64_MAX, 20000, 20000},
	    {1024, 10, 10},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		files_set_limit(rows[i].n_files);
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
		files_set_limit(n);
		files_take(files_sessions_max(20000) * FILES_SESSION);
		assert_true(files_left() >= FILES_MESSAGE);
		files_give(files_sessions_max(20000) * FILES_SESSION);
	}
}

static void
test_left(void **state)
{
	(void)state;
	files_set_limit(FILES_OURS + 10);
	assert_int_equal(files_left(), 10);
	files_take(4);
	assert_int_equal(files_left(), 6);
	files_take(9); /* a message that front did not ask for */
	assert_int_equal(files_left(), 0);
	files_give(13);
	assert_int_equal(files_left(), 10);
	files_set_limit(3);
	assert_int_equal(files_left(), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_sessions_max),
	    cmocka_unit_test(test_messages_have_their_share),
	    cmocka_unit_test(test_left),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

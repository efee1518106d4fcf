/* How many sessions there is room for. */
#include "relay/front/clients.h"

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
	    {64, 20000, 1},
	    {66, 20000, 1},
	    {67, 20000, 1},
	    {69, 20000, 1},
	    {70, 20000, 2},
	    {1024, 20000, 320},
	    {60063, 20000, 19999},
	    {60064, 20000, 20000},
	    {60067, 20000, 20000},
	    {UINT64_MAX, 20000, 20000},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (clients_sessions_max(rows[i].n_files, rows[i].wanted) != rows[i].max)
			fail_msg("row %zu", i);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_sessions_max),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * The simulator of the quarantine proves itself: with each fault of a letter's that is in
 * relay/spool/plant.h planted it must find something wrong, and with none it must not.  The Makefile
 * builds relay/quarantine and the walk to and from it once more for this program, with
 * -DPLANT=plant_chosen.  `make fault-planted` sets PLANTED_POINTS and shows the table.
 */
#include "relay/base/log.h"
#include "tests/lib/planted.h"
#include "tests/lib/release_sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { POINTS = 8000, NONE_POINTS = 800 };

static const char *const names[PLANTS] = {
    [PLANT_LETTER_GONE_EARLY] = "letter removed before its release is durable",
    [PLANT_LETTER_GONE_UNSYNCED] = "released letter's removal not synced",
    [PLANT_LETTER_STAYERS_GONE] = "release for some removes the letter",
    [PLANT_LETTER_EXPIRES_IN_USE] = "letter expires while it is released",
    [PLANT_LETTER_NAME_TAKEN] = "released under the name of a letter",
    [PLANT_LETTER_UNSYNCED] = "letter not synced before it is told",
    [PLANT_LETTER_DIR_UNSYNCED] = "letter's name not synced before it is told",
    [PLANT_LETTER_ERROR_IGNORED] = "failed sync of a letter ignored",
    [PLANT_LETTER_OTHERS_UNSYNCED] = "one letter of a group synced for all",
};

static void
test_each_planted_fault_is_found(void **state)
{
	uint64_t points = campaign_points("PLANTED_POINTS", POINTS);
	unsigned missed = 0;

	(void)state;
	for (int plant = PLANTS_OF_SPOOL; plant < PLANTS; plant += RSIM_IS_SLOW ? 3 : 1)
		missed += !planted_is_found((enum plant)plant, names[plant], points, rsim_both);
	assert_int_equal(missed, 0);
}

static void
test_without_a_fault_nothing_is_wrong(void **state)
{
	struct sim_result result = planted_run(PLANT_NONE, NONE_POINTS, rsim_both);

	(void)state;
	assert_string_equal(result.wrong, "");
	assert_true(result.n_points >= NONE_POINTS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_each_planted_fault_is_found),
	    cmocka_unit_test(test_without_a_fault_nothing_is_wrong),
	};

	log_setup("test", false, (enum log_level)(LOG_ERROR + 1));
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/*
 * The simulator proves itself: with each fault of relay/spool/plant.h planted it must find something
 * wrong, and with none it must not.  The Makefile builds relay/spool once more for this program, with
 * -DPLANT=plant_chosen.  `make fault-planted` sets PLANTED_POINTS and shows the table.
 */
#include "relay/base/log.h"
#include "tests/lib/planted.h"
#include "tests/lib/spool_sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

enum { POINTS = 60000, NONE_POINTS = 2000 };

static const char *const names[PLANTS_OF_SPOOL] = {
    [PLANT_NONE] = "none",
    [PLANT_ACK_BEFORE_SYNC] = "answered before the sync",
    [PLANT_SYNC_ERROR_IGNORED] = "error of a sync ignored",
    [PLANT_SYNC_RETRIED] = "failed batch synced again",
    [PLANT_SEAL_NOT_WRITTEN] = "refused without a seal",
    [PLANT_SEAL_NOT_SYNCED] = "refused before the seal is synced",
    [PLANT_SEAL_IGNORED] = "refused batch recovered",
    [PLANT_COPY_NOT_SYNCED] = "source retired before its copy is synced",
    [PLANT_DIR_NOT_SYNCED] = "folder not synced after a create",
    [PLANT_ERASE_NOT_SYNCED] = "erased header not synced before reuse",
    [PLANT_NONCE_REUSED] = "nonce reused across lives",
    [PLANT_NONCE_UNCHECKED] = "nonce unchecked",
    [PLANT_CRC_UNCHECKED] = "CRC unchecked on recovery",
    [PLANT_TAIL_IGNORED] = "torn tail of a closed segment dropped",
    [PLANT_OLDEST_NOTE] = "oldest note kept",
    [PLANT_MARKS_NOT_SYNCED] = "marks never synced",
    [PLANT_MARKS_NOT_REPEATED] = "marks of a failed sync not repeated",
    [PLANT_MARKS_RETIRED_EARLY] = "marks retired before their segment",
    [PLANT_NOTE_RETIRED_EARLY] = "old note retired before the new is synced",
    [PLANT_RECOVERY_UNSYNCED] = "recovered from the page cache, not synced",
};

static void
test_each_planted_fault_is_found(void **state)
{
	uint64_t points = campaign_points("PLANTED_POINTS", POINTS);
	unsigned missed = 0;

	(void)state;
	for (int plant = PLANT_NONE + 1; plant < PLANTS_OF_SPOOL; plant++)
		missed += !planted_is_found((enum plant)plant, names[plant], points, sim_both);
	assert_int_equal(missed, 0);
}

static void
test_without_a_fault_nothing_is_wrong(void **state)
{
	struct sim_result result = planted_run(PLANT_NONE, NONE_POINTS, sim_both);

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

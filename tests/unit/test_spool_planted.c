/*
 * The simulator proves itself: with each fault of relay/spool/plant.h planted it must find something
 * wrong, and with none it must not.  The Makefile builds relay/spool once more for this program, with
 * -DPLANT=plant_chosen.  `make fault-planted` sets PLANTED_POINTS and shows the table.
 */
#include "relay/base/log.h"
#include "relay/spool/plant.h"
#include "tests/lib/spool_sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { POINTS = 60000, NONE_POINTS = 2000 };

enum plant plant_chosen = PLANT_NONE;

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

static uint64_t
points(void)
{
	const char *text = getenv("PLANTED_POINTS");
	uint64_t n = POINTS;

	if (text != NULL && !span_to_u64(span_str(text), &n))
		fail_msg("PLANTED_POINTS=%s is no number", text);
	return n;
}

/* In a process of its own, since a planted fault may trip over a `must`. */
static struct sim_result
run(enum plant plant, uint64_t n)
{
	struct sim_result result = {.wrong = "ended by a signal"};
	int ends[2], status;
	pid_t child;

	must(pipe(ends) == 0);
	child = fork();
	must(child >= 0);
	if (child == 0) {
		result.wrong[0] = '\0';
		plant_chosen = plant;
		sim_both(&result, n);
		must(write(ends[1], &result, sizeof(result)) == (ssize_t)sizeof(result));
		_exit(0);
	}
	(void)close(ends[1]);
	(void)!read(ends[0], &result, sizeof(result)); /* nothing: as it was */
	(void)close(ends[0]);
	must(waitpid(child, &status, 0) == child);
	return result;
}

static void
test_each_planted_fault_is_found(void **state)
{
	unsigned missed = 0;

	(void)state;
	for (int plant = PLANT_NONE + 1; plant < PLANTS_OF_SPOOL; plant++) {
		struct sim_result result = run((enum plant)plant, points());

		missed += result.wrong[0] == '\0';
		(void)printf("# %-42s %7llu points until: %s\n", names[plant],
		    (unsigned long long)result.n_points,
		    result.wrong[0] != '\0' ? result.wrong : "NOT FOUND");
	}
	assert_int_equal(missed, 0);
}

static void
test_without_a_fault_nothing_is_wrong(void **state)
{
	struct sim_result result = run(PLANT_NONE, NONE_POINTS);

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

/*
 * The simulator of the quarantine proves itself: with each fault of a letter's that is in
 * relay/spool/plant.h planted it must find something wrong, and with none it must not.  The Makefile
 * builds relay/quarantine and the walk to and from it once more for this program, with
 * -DPLANT=plant_chosen.  `make fault-planted` sets PLANTED_POINTS and shows the table.
 */
#include "relay/base/log.h"
#include "relay/spool/plant.h"
#include "tests/lib/release_sim.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

enum { POINTS = 8000, NONE_POINTS = 800 };

enum plant plant_chosen = PLANT_NONE;

static const char *const names[PLANTS - PLANTS_OF_SPOOL] = {
    [PLANT_LETTER_GONE_EARLY - PLANTS_OF_SPOOL] = "letter removed before its release is durable",
    [PLANT_LETTER_GONE_UNSYNCED - PLANTS_OF_SPOOL] = "released letter's removal not synced",
    [PLANT_LETTER_STAYERS_GONE - PLANTS_OF_SPOOL] = "release for some removes the letter",
    [PLANT_LETTER_EXPIRES_IN_USE - PLANTS_OF_SPOOL] = "letter expires while it is released",
    [PLANT_LETTER_NAME_TAKEN - PLANTS_OF_SPOOL] = "released under the name of a letter",
    [PLANT_LETTER_UNSYNCED - PLANTS_OF_SPOOL] = "letter not synced before it is told",
    [PLANT_LETTER_DIR_UNSYNCED - PLANTS_OF_SPOOL] = "letter's name not synced before it is told",
    [PLANT_LETTER_ERROR_IGNORED - PLANTS_OF_SPOOL] = "failed sync of a letter ignored",
    [PLANT_LETTER_OTHERS_UNSYNCED - PLANTS_OF_SPOOL] = "one letter of a group synced for all",
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
static struct rsim_result
run(enum plant plant, uint64_t n)
{
	struct rsim_result result = {.wrong = "ended by a signal"};
	int ends[2], status;
	pid_t child;

	must(pipe(ends) == 0);
	child = fork();
	must(child >= 0);
	if (child == 0) {
		result.wrong[0] = '\0';
		plant_chosen = plant;
		rsim_both(&result, n);
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
	for (int plant = PLANTS_OF_SPOOL; plant < PLANTS; plant += RSIM_IS_SLOW ? 3 : 1) {
		struct rsim_result result = run((enum plant)plant, points());

		missed += result.wrong[0] == '\0';
		(void)printf("# %-44s %7llu points until: %s\n", names[plant - PLANTS_OF_SPOOL],
		    (unsigned long long)result.n_points,
		    result.wrong[0] != '\0' ? result.wrong : "NOT FOUND");
	}
	assert_int_equal(missed, 0);
}

static void
test_without_a_fault_nothing_is_wrong(void **state)
{
	struct rsim_result result = run(PLANT_NONE, NONE_POINTS);

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

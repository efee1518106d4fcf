/*
 * planted.h - a simulator proves itself: it runs with a fault of relay/spool/plant.h planted in what it
 * simulates, and must find something wrong.  For programs built with -DPLANT=plant_chosen.
 */
#ifndef TESTS_PLANTED_H
#define TESTS_PLANTED_H
#include "relay/spool/plant.h"
#include "tests/lib/campaign.h"

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

enum plant plant_chosen = PLANT_NONE;

/* In a process of its own, since a planted fault may trip over a `must`. */
static struct sim_result
planted_run(
    enum plant plant, uint64_t points, void (*campaign)(struct sim_result *to, uint64_t points))
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
		campaign(&result, points);
		must(write(ends[1], &result, sizeof(result)) == (ssize_t)sizeof(result));
		_exit(0);
	}
	(void)close(ends[1]);
	(void)!read(ends[0], &result, sizeof(result)); /* nothing: as it was */
	(void)close(ends[0]);
	must(waitpid(child, &status, 0) == child);
	return result;
}

/* Prints when the fault was found, if it was. */
static bool
planted_is_found(enum plant plant, const char *name, uint64_t points,
    void (*campaign)(struct sim_result *to, uint64_t points))
{
	struct sim_result result = planted_run(plant, points, campaign);

	(void)printf("# %-44s %7llu points until: %s\n", name, (unsigned long long)result.n_points,
	    result.wrong[0] != '\0' ? result.wrong : "NOT FOUND");
	return result.wrong[0] != '\0';
}

#endif

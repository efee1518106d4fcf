/*
 * files.h - the descriptors of the front role, as far as clients take them: one for each session, two
 * more for a message that is in a file (the file, and its copy on the way to a worker or the spool),
 * and one for each policy that sessions have begun with.  Counted as they are taken, so that who waits
 * without a message costs one and no more; told before there is none left, so that the client hears
 * 421 or 452 and nothing fails halfway.
 *
 * One count for the process.  Opens and closes nothing itself.
 */
#ifndef FRONT_FILES_H
#define FRONT_FILES_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	/* Those that are no client's: 128 workers, 32 farewells, channels, logs.  Listeners come on
	 * top, all that the relay has: a front accepts from those of others while they are away. */
	FILES_OURS = 224,
	/* With less there is no point in starting: it is room for 14 sessions and a message. */
	FILES_CLIENTS_MIN = 16,
	FILES_SESSION = 1,
	FILES_MESSAGE = 2,
	/* That part of the rest is never given to sessions: who has one can also send a message. */
	FILES_MESSAGES_SHARE = 8
};

/* `n_files`: the limit of open files, of which that many may be listeners.  Without the call there is
 * none. */
void files_set_limit(uint64_t n_files, uint64_t n_listeners);
/* The limit below which a front with so many listeners cannot work. */
uint64_t files_needed(uint64_t n_listeners);
/* How many sessions there may be: at most `wanted`, at least 1. */
size_t files_sessions_max(size_t wanted);

size_t files_left(void); /* that nobody has taken; SIZE_MAX: no limit */
void files_take(size_t n);
void files_give(size_t n); /* as many as were taken */

#endif

/*
 * clients.h - how many sessions this process has room for.
 */
#ifndef FRONT_CLIENTS_H
#define FRONT_CLIENTS_H
#include <stddef.h>
#include <stdint.h>

enum {
	CLIENTS_FILES_OURS = 64, /* descriptors that are no session's: channels, listeners, logs */
	CLIENTS_FILES_SESSION =
	    3 /* of a session: its socket, its message, that message on its way */
};

/* At most `wanted`, as far as `n_files`, the limit of open files, goes; at least 1. */
size_t clients_sessions_max(uint64_t n_files, size_t wanted);

#endif

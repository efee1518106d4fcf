/* limits.h - what a worker gives up right after the fork, and the folder it works in. */
#ifndef WORKER_LIMITS_H
#define WORKER_LIMITS_H
#include "relay/base/err.h"

#include <stdint.h>

enum { LIMITS_FDS = 256 };

/*
 * Closes every descriptor but 0, 1, 2 and `keep`; dies with its parent; no core, LIMITS_FDS
 * descriptors, files up to `file_max` bytes (past it a call fails and is counted, no signal);
 * allocator set for a short life.  0, or -E_IO.
 */
int limits_set(int keep, int parent, uint64_t file_max, struct err *err);
/* Makes `path` when it is not there and removes what a dead worker left in it. */
int limits_empty_folder(const char *path, struct err *err);

#endif

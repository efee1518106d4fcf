/* limits.h - what a worker gives up right after the fork, and the folder it works in. */
#ifndef WORKER_LIMITS_H
#define WORKER_LIMITS_H
#include "relay/base/err.h"

#include <stdint.h>

enum { LIMITS_FDS = 256 };

/*
 * Closes every descriptor but 0, 1, 2 and `keep`; dies with its parent; no core, LIMITS_FDS
 * descriptors, files up to `file_max` bytes (past it a call fails and is counted, no signal);
 * allocator set for a short life; `memory_max` bytes of writable memory of its own, the zygote's it
 * was forked with included (0: no limit).  0, or -E_IO.
 */
int limits_set(int keep, int parent, uint64_t file_max, uint64_t memory_max, struct err *err);
/* A descriptor for limits_memory, to be opened before a sandbox; -1: there is none. */
int limits_memory_open(void);
/* Bytes of writable memory that this process has; 0: it cannot be told. */
uint64_t limits_memory(int fd);
/* Makes `path` when it is not there and removes what a dead worker left in it. */
int limits_empty_folder(const char *path, struct err *err);

#endif

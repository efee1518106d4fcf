/*
 * folders.h - state_dir and run_dir: made, owned by the roles that use them, and ours alone.
 */
#ifndef PROCESS_FOLDERS_H
#define PROCESS_FOLDERS_H
#include "policy/config/config.h"

/* Makes state_dir{,/spool,/quarantine,/journal,/lists} and run_dir{,/filter} where missing, each owned by its
 * role when we are root.  0, or err: one sentence that says what to do. */
int folders_make(const struct config *config, struct err *err);
/* Locks state_dir for as long as this process lives; -E_EXISTS when another relay has it. */
int folders_lock(const struct config *config, struct err *err);

#endif

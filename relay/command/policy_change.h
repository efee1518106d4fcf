/* policy_change.h - puts a whole policy text in force, as one version. */
#ifndef COMMAND_POLICY_CHANGE_H
#define COMMAND_POLICY_CHANGE_H
#include "relay/command/command.h"

/* Checks, stores and makes live; `file` is what errors are prefixed with.  Prints the version, or
 * why nothing has changed; returns the exit status. */
int policy_change(const struct config *config, struct span text, const char *file,
    const char *comment, bool is_json);

#endif

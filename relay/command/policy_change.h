/* policy_change.h - puts a whole policy text in force, as one version. */
#ifndef COMMAND_POLICY_CHANGE_H
#define COMMAND_POLICY_CHANGE_H
#include "relay/command/command.h"

enum { POLICY_CHANGE_AGAIN = -1 };

/* Checks, stores and makes live; `file` is what errors are prefixed with.  Prints the version, or
 * why nothing has changed; returns the exit status.  `base`: the version the text was made from, and
 * POLICY_CHANGE_AGAIN, with nothing printed, when it is not the newest any more; NULL: whatever is
 * there is replaced. */
int policy_change(const struct config *config, struct span text, const uint64_t *base,
    const char *file, const char *comment, bool is_json);

#endif

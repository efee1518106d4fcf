/*
 * policy_list.h - the rules of the policy in force, each with its author and its hits: what `postern
 * policy list` and `query` print.
 */
#ifndef COMMAND_POLICY_LIST_H
#define COMMAND_POLICY_LIST_H
#include "policy/rules/rules.h"
#include "relay/command/command.h"

/* Both print and return the exit status. */
int policy_list_all(const struct config *config, const struct snapshot *s, bool is_json);
/* Those that look at this facet, and whose value for it matches; EXIT_USAGE: no such facet. */
int policy_list_found(const struct config *config, const struct snapshot *s, struct span facet,
    struct span value, bool is_json);

#endif

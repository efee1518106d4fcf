/* policy_change.h - puts a whole policy text in force, as one version. */
#ifndef COMMAND_POLICY_CHANGE_H
#define COMMAND_POLICY_CHANGE_H
#include "relay/command/command.h"

enum { POLICY_CHANGE_AGAIN = -1 };

struct policy_change {
	struct span text;
	/* The version the text was made from, and POLICY_CHANGE_AGAIN, with nothing printed, when it
	 * is not the newest any more; NULL: whatever is there is replaced. */
	const uint64_t *base;
	const char *file; /* what errors are prefixed with */
	const char *comment;
	int64_t confirm_ms; /* goes back by itself unless confirmed within; 0: it stays */
	bool is_json;
};

/* Checks, stores and makes live.  Prints the version, or why nothing has changed; returns the exit
 * status. */
int policy_change(const struct config *config, const struct policy_change *change);
/* `policy confirm`: what is on trial stays. */
int policy_confirm(const struct config *config, bool is_json);

#endif

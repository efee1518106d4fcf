/*
 * conduct_told.h - what fronts tell of a client's conduct (relay/ipc/conduct.h), put together for
 * `postern explain`.
 */
#ifndef COMMAND_CONDUCT_TOLD_H
#define COMMAND_CONDUCT_TOLD_H
#include "policy/decide/decide.h"
#include "relay/command/explain_options.h"

struct conduct_rcpt {
	enum greylist_fact greylist;
	int64_t left_ms; /* GREYLIST_WAIT */
};

struct conduct {
	enum rate_fact connect, mail, rcpt; /* with several fronts the worst of what they say */
	struct conduct_rcpt rcpts[EXPLAIN_TO_MAX];
	const char *why; /* "unknown", and for what is why */
};

/* Takes one front's answer for the n recipients from `first` on; a malformed one is left out. */
void conduct_take(struct conduct *c, struct span line, size_t first, size_t n);
/* Puts it into the facts of STAGE_RCPT for the i-th recipient. */
void conduct_set(const struct conduct *c, size_t i, struct facts *facts);

#endif

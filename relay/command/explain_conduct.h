/*
 * explain_conduct.h - how the client has behaved so far, as the running relay knows it: rates and
 * greylist, for `postern explain`.
 */
#ifndef COMMAND_EXPLAIN_CONDUCT_H
#define COMMAND_EXPLAIN_CONDUCT_H
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

/* Asks the relay if one runs and the flow looks at such things at all; else all is unknown. */
void conduct_ask(const struct config *config, const struct conf_flow *flow,
    const struct explain_options *o, struct conduct *c);
/* Puts it into the facts of STAGE_RCPT for the i-th recipient. */
void conduct_set(const struct conduct *c, size_t i, struct facts *facts);
/* Takes one front's answer for the recipients from `first` on; a malformed one is left out. */
void conduct_take(struct conduct *c, struct span line, size_t first, size_t n);

#endif

/*
 * explain_conduct.h - how the client has behaved so far, as the running relay knows it: rates and
 * greylist, for `postern explain`.
 */
#ifndef COMMAND_EXPLAIN_CONDUCT_H
#define COMMAND_EXPLAIN_CONDUCT_H
#include "relay/command/conduct_told.h"

/* Asks the relay if one runs and the flow looks at such things at all; else all is unknown. */
void conduct_ask(const struct config *config, const struct conf_flow *flow,
    const struct explain_options *o, struct conduct *c);

#endif

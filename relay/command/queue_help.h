/* queue_help.h - `postern queue VERB --help`. */
#ifndef COMMAND_QUEUE_HELP_H
#define COMMAND_QUEUE_HELP_H
#include "relay/command/command.h"

/* Of the verb that is the first word, or of all of them. */
int command_queue_help(const struct command_line *line);

#endif

/* queue_fsck.h - `postern queue fsck [--repair]`: the spool's folder, while no relay runs on it. */
#ifndef COMMAND_QUEUE_FSCK_H
#define COMMAND_QUEUE_FSCK_H
#include "relay/command/command.h"

/* EXIT_OK: sound, or all damage is set aside; EXIT_NO: there is damage; EXIT_TEMPFAIL: a relay runs, or
 * the folder cannot be read. */
int command_queue_fsck(const struct command_line *line);

#endif

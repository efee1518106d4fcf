/*
 * usage.h - what can be said to the postern command: one table, from which every --help is printed
 * and against which what is given is checked, before any sub-command looks at its words.
 *
 * The bash completion (docs/postern.bash) reads the printed help, so that a new word needs one line here.
 */
#ifndef COMMAND_USAGE_H
#define COMMAND_USAGE_H
#include "relay/command/command.h"

/* Its name as the table has it; NULL, with what would be right on standard error: there is none. */
const char *usage_command(const char *name);
/* The verb and its options as far as they can be checked without a value's meaning.  EXIT_OK, or
 * EXIT_USAGE after saying what would be right. */
int usage_check(const char *command, const struct command_line *line);
/* `postern --help`, or with a command (or a verb, as the first of `line`'s words) that of it. */
void usage_print(const char *command, const struct command_line *line);

#endif

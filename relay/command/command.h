/*
 * command.h - the postern command: what its sub-commands share.
 *
 * Each sub-command is a function in a file of its own; it prints to standard output, complaints go
 * to standard error, and its return value is the exit status (err.h names them).
 */
#ifndef COMMAND_COMMAND_H
#define COMMAND_COMMAND_H
#include "policy/config/config.h"

#define COMMAND_DEFAULT_CONFIG "/etc/postern/postern.conf"

/* The general options, and the words behind the sub-command without them. */
struct command_line {
	const char *config_file; /* -c FILE */
	bool is_json;
	const char **words; /* without the sub-command; NULL-terminated */
	size_t n_words;
};

/* Prints "postern: text" to standard error and returns `status`. */
int command_fail(int status, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Reads and parses the configuration; NULL after every error was printed.  `text` may be NULL. */
struct config *command_config(const struct command_line *line, struct buf *text);
/* The same, with its errors, a line each, added to `errors` instead of printed. */
struct config *command_config_errors(
    const struct command_line *line, struct buf *text, struct buf *errors);
/* The same for a command that asks the relay: while one runs where the text says, nothing else of the text has to be
 * right, and the result holds no more than config_parse_places gives. */
struct config *command_place(const struct command_line *line);
/* {"ok":true,"policy_version":N,"warnings":[]} or {"ok":false,"errors":[]}, of lines; without a version
 * where `version` is NULL. */
void command_print_check(bool is_fine, const uint64_t *version, struct span errors);
/* The bytes of the plugins' catalog that this configuration came with; empty: no plugin folder. */
struct span command_plugins(void);

/* The sub-commands. */
int command_run(const struct command_line *line);
int command_check(const struct command_line *line);
int command_explain(const struct command_line *line);
int command_gateway(const struct command_line *line);
int command_plan(const struct command_line *line);
int command_policy(const struct command_line *line);
int command_recipient(const struct command_line *line);
int command_queue(const struct command_line *line);
int command_quarantine(const struct command_line *line);
int command_status(const struct command_line *line);
int command_reload(const struct command_line *line);
int command_trace(const struct command_line *line);
int command_user(const struct command_line *line);

#endif

/* ask.h - one request over the control socket of a running relay, and its answer. */
#ifndef COMMAND_ASK_H
#define COMMAND_ASK_H
#include "relay/command/command.h"

enum { ASK_ANSWER_MAX = 256 * 1024 * 1024, ASK_TIMEOUT_MS = 60000 };

/*
 * Sends the words and gathers the answer's text into `answer` (JSON lines).  Returns the status
 * that the relay gives, EXIT_NOT_RUNNING when there is no relay; what it says about a failure has
 * then been printed.
 */
int ask_relay(
    const struct config *config, const char *const *words, size_t n_words, struct buf *answer);
/*
 * The same for an answer of any length: each piece goes to `take` as it comes (lines may be cut anywhere), and
 * further pages are asked for until there are none.
 */
int ask_relay_each(const struct config *config, const char *const *words, size_t n_words,
    void (*take)(void *arg, struct span piece), void *arg);
/*
 * Asks by the configuration of the command line and prints the answer: as it came with --json, else
 * by `print`.  What was answered before a failure is printed too: one probe of several.  Returns an exit status.
 */
int ask_and_print(const struct command_line *line, const char *const *words, size_t n_words,
    void (*print)(struct span answer));
/* Whether a relay answers there: no word is said. */
bool ask_is_running(const struct config *config);

#endif

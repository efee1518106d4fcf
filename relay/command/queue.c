/* postern queue, status, reload: what a running relay is asked. */
#include "relay/command/ask.h"
#include "relay/command/table.h"

#include <stdio.h>

static const struct table_column queue_columns[] = {{"id", "ID", 28}, {"state", "STATE", 9},
    {"size", "BYTES", 9}, {"attempts", "TRIES", 5}, {"next_attempt", "NEXT TRY", 25},
    {"from", "FROM", 28}, {"to", "TO", 28}, {"last_reply", "LAST REPLY", 0}, {0}};

/* Asks, and prints JSON as it came or calls the printer. */
static int
ask_and_print(const struct command_line *line, const char *const *words, size_t n_words,
    void (*print)(struct span answer))
{
	struct buf answer = BUF_INIT(0);
	struct config *config = command_config(line, NULL);
	int status;

	if (config == NULL)
		return EXIT_CONFIG;
	status = ask_relay(config, words, n_words, &answer);
	if (status != EXIT_OK)
		fprintf(stderr, "%.*s", (int)answer.n, answer.n ? answer.p : "");
	else if (line->is_json || print == NULL)
		printf("%.*s", (int)answer.n, answer.n ? answer.p : "");
	else
		print(buf_span(&answer));
	buf_free(&answer);
	config_free(&config);
	return status;
}

static void
print_queue(struct span answer)
{
	table_print(answer, queue_columns);
}

int
command_queue(const struct command_line *line)
{
	static const char *const later[] = {"hold", "release", "delete", "bounce", "fsck"};
	const char *words[3] = {"queue", line->n_words > 0 ? line->words[0] : "",
	    line->n_words > 1 ? line->words[1] : NULL};

	for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++)
		if (strcmp(words[1], later[i]) == 0)
			return command_fail(
			    EXIT_USAGE, "queue %s is not in this version", words[1]);
	if (strcmp(words[1], "list") == 0 && line->n_words == 1)
		return ask_and_print(line, words, 2, print_queue);
	if (strcmp(words[1], "show") == 0 && line->n_words == 2)
		return ask_and_print(line, words, 3, table_print_object);
	if (strcmp(words[1], "retry") == 0 && line->n_words == 2)
		return ask_and_print(line, words, 3, NULL);
	return command_fail(EXIT_USAGE, "say queue list, queue show ID or queue retry ID|all");
}

int
command_status(const struct command_line *line)
{
	static const char *const words[] = {"status"};

	if (line->n_words > 0)
		return command_fail(EXIT_USAGE, "status takes no further words");
	return ask_and_print(line, words, 1, table_print_object);
}

int
command_reload(const struct command_line *line)
{
	static const char *const words[] = {"reload"};

	if (line->n_words > 0)
		return command_fail(EXIT_USAGE, "reload takes no further words");
	return ask_and_print(line, words, 1, NULL);
}

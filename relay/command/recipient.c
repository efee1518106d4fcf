/* postern recipient: whether an address is one of ours, and who says so. */
#include "relay/command/ask.h"
#include "relay/command/table.h"

#include <stdio.h>

static int
ask_recipients(const struct command_line *line, const char *const *words, size_t n_words)
{
	struct buf answer = BUF_INIT(0);
	struct config *config = command_config(line, NULL);
	int status;

	if (config == NULL)
		return EXIT_CONFIG;
	status = ask_relay(config, words, n_words, &answer);
	if (line->is_json)
		printf("%.*s", (int)answer.n, answer.n ? answer.p : "");
	else if (answer.n > 0)
		table_print_object(buf_span(&answer));
	buf_free(&answer);
	config_free(&config);
	return status;
}

int
command_recipient(const struct command_line *line)
{
	const char *verb = line->n_words > 0 ? line->words[0] : "";
	const char *words[3] = {"recipient", verb, line->n_words > 1 ? line->words[1] : NULL};

	if (strcmp(verb, "show") == 0 && line->n_words == 2)
		return ask_recipients(line, words, 3);
	if (strcmp(verb, "clear") == 0 && line->n_words <= 2)
		return ask_recipients(line, words, line->n_words + 1);
	return command_fail(EXIT_USAGE, "say recipient show ADDRESS or recipient clear [ADDRESS]");
}

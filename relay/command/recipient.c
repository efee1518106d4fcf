/* postern recipient: what is known of recipients that a directory or a gateway is asked for. */
#include "relay/command/ask.h"
#include "relay/command/table.h"

#include <jansson.h>
#include <stdio.h>

static const struct table_column columns[] = {{"address", "ADDRESS", 30}, {"state", "STATE", 7},
    {"source", "SOURCE", 20}, {"age", "AGE (S)", 8}, {"expires", "EXPIRES", 25},
    {"stale", "STALE", 5}, {"why", "WHY", 0}, {0}};

static void
print_cleared(struct span answer)
{
	json_error_t error;
	json_t *object = json_loadb(answer.p, answer.n, JSON_REJECT_DUPLICATES, &error);

	printf(
	    "forgotten: %lld\n", (long long)json_integer_value(json_object_get(object, "cleared")));
	json_decref(object);
}

int
command_recipient(const struct command_line *line)
{
	const char *verb = line->n_words > 0 ? line->words[0] : "";
	const char *words[3] = {"recipient", verb, line->n_words == 2 ? line->words[1] : NULL};
	bool is_show = strcmp(verb, "show") == 0;
	struct buf answer = BUF_INIT(0);
	struct config *config;
	int status;

	if (line->n_words != 2 || (!is_show && strcmp(verb, "clear") != 0))
		return command_fail(EXIT_USAGE,
		    "say recipient show ADDRESS, recipient clear ADDRESS or recipient clear all");
	config = command_place(line);
	if (config == NULL)
		return EXIT_CONFIG;
	status = ask_relay(config, words, 3, &answer);
	if (line->is_json)
		printf("%.*s", (int)answer.n, answer.n ? answer.p : "");
	else if (answer.n > 0 && is_show)
		table_print(buf_span(&answer), columns);
	else if (answer.n > 0)
		print_cleared(buf_span(&answer));
	buf_free(&answer);
	config_free(&config);
	return status;
}

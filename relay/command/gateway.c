/* postern gateway: the servers that mail goes to. */
#include "relay/command/ask.h"
#include "relay/command/table.h"

#include <jansson.h>
#include <stdio.h>

static const struct table_column server_columns[] = {{"gateway", "GATEWAY", 12},
    {"server", "SERVER", 21}, {"state", "STATE", 10}, {"preference", "PREF", 5},
    {"weight", "WEIGHT", 6}, {"connections", "CONN", 4}, {"limit", "LIMIT", 5},
    {"delivered", "DELIVERED", 9}, {"deferred", "DEFERRED", 8}, {"failed", "FAILED", 6},
    {"latency_ms", "MS AVG/P95", 11}, {"next_trial", "NEXT TRIAL", 25},
    {"last_reply", "LAST REPLY", 0}, {0}};

static void
print_servers(struct span answer)
{
	table_print(answer, server_columns);
}

/* What a server has said, without what could steer a terminal. */
static void
print_said(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);
	const char *text = json_string_value(value);

	if (text == NULL)
		return;
	printf("    ");
	for (size_t i = 0; i < json_string_length(value); i++)
		(void)putchar((unsigned char)text[i] < ' ' || text[i] == 0x7f ? ' ' : text[i]);
	printf("\n");
}

static void
print_probe(const json_t *o)
{
	printf("%s of %s: ", json_string_value(json_object_get(o, "server")),
	    json_string_value(json_object_get(o, "gateway")));
	if (json_is_true(json_object_get(o, "ok")))
		printf("ok, greeted after %lld ms, ready after %lld ms\n",
		    (long long)json_integer_value(json_object_get(o, "banner_ms")),
		    (long long)json_integer_value(json_object_get(o, "ready_ms")));
	else
		printf("failed\n");
	print_said(o, "banner");
	print_said(o, "ehlo");
	print_said(o, "error");
}

static void
print_probes(struct span answer)
{
	json_error_t error;

	while (answer.n > 0) {
		struct span line = span_cut(&answer, '\n');
		json_t *object = json_loadb(line.p, line.n, JSON_REJECT_DUPLICATES, &error);

		if (object != NULL)
			print_probe(object);
		json_decref(object);
	}
}

int
command_gateway(const struct command_line *line)
{
	const char *verb = line->n_words > 0 ? line->words[0] : "list";
	const char *words[3] = {"gateway", verb, line->n_words > 1 ? line->words[1] : NULL};
	bool has_server = line->n_words == 2;

	if (strcmp(verb, "list") == 0 && line->n_words <= 1)
		return ask_and_print(line, words, 2, print_servers);
	if (has_server && (strcmp(verb, "drain") == 0 || strcmp(verb, "undrain") == 0))
		return ask_and_print(line, words, 3, print_servers);
	if (strcmp(verb, "probe") == 0 && line->n_words <= 2)
		return ask_and_print(line, words, has_server ? 3 : 2, print_probes);
	return command_fail(EXIT_USAGE,
	    "say gateway list, gateway drain SERVER, gateway undrain SERVER or "
	    "gateway probe [SERVER]");
}

#include "relay/command/explain_options.h"
#include "relay/smtp/address.h"

#include <string.h>

/* As rules and tables know it: front turns a domain beyond ASCII into its ASCII form at once. */
static int
check_address(const char *value)
{
	if (!smtp_address_is_valid(span_str(value)))
		return command_fail(EXIT_USAGE, "\"%.80s\" is no mail address", value);
	if (smtp_address_is_utf8(smtp_address_domain(span_str(value))))
		return command_fail(EXIT_USAGE,
		    "\"%.80s\": write the domain in ASCII (xn--...), as rules see it", value);
	return EXIT_OK;
}

static int
parse_option(struct explain_options *o, const char *name, const char *value)
{
	int status = EXIT_OK;

	if (value == NULL)
		return command_fail(EXIT_USAGE, "%s needs a value", name);
	if (strcmp(name, "--client") == 0) {
		o->has_client = ip_parse(span_str(value), &o->client);
		return o->has_client
			   ? EXIT_OK
			   : command_fail(EXIT_USAGE, "\"%.60s\" is no IP address", value);
	}
	if (strcmp(name, "--helo") == 0) {
		o->helo = value;
	} else if (strcmp(name, "--from") == 0) {
		o->from = strcmp(value, "<>") == 0 ? "" : value;
		if (o->from[0] != '\0')
			status = check_address(o->from);
	} else if (strcmp(name, "--policy") == 0) {
		o->policy = value;
	} else if (strcmp(name, "--to") == 0) {
		if (!span_eq_nocase(span_str(value), SPAN("postmaster")))
			status = check_address(value);
		if (o->n_to == EXPLAIN_TO_MAX)
			return command_fail(EXIT_USAGE, "at most %d recipients", EXPLAIN_TO_MAX);
		o->to[o->n_to++] = value;
	} else {
		return command_fail(EXIT_USAGE, "explain does not know %.40s", name);
	}
	return status;
}

int
explain_options_parse(struct explain_options *o, const struct command_line *line)
{
	o->from = "";
	o->is_json = line->is_json;
	for (size_t i = 0; i < line->n_words; i++) {
		const char *word = line->words[i];
		int status;

		if (strcmp(word, "--offline") == 0) {
			o->is_offline = true;
			continue;
		}
		if (word[0] != '-' || word[1] != '-') {
			if (o->message != NULL)
				return command_fail(EXIT_USAGE, "explain takes one message");
			o->message = word;
			continue;
		}
		status = parse_option(o, word, i + 1 < line->n_words ? line->words[i + 1] : NULL);
		i++;
		if (status != EXIT_OK)
			return status;
	}
	if (!o->has_client)
		return command_fail(EXIT_USAGE, "say --client IP: whose mail it would be");
	return EXIT_OK;
}

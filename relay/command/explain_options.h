/* explain_options.h - what `postern explain` was asked: whose mail, from whom, to whom. */
#ifndef COMMAND_EXPLAIN_OPTIONS_H
#define COMMAND_EXPLAIN_OPTIONS_H
#include "relay/base/ip.h"
#include "relay/command/command.h"

enum { EXPLAIN_TO_MAX = 100 };

struct explain_options {
	struct ip client;
	bool has_client, is_offline, is_json;
	const char *helo, *from, *policy, *message;
	const char *to[EXPLAIN_TO_MAX];
	size_t n_to;
};

/* EXIT_OK, or EXIT_USAGE after saying why. */
int explain_options_parse(struct explain_options *o, const struct command_line *line);

#endif

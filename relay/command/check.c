/*
 * postern check: everything `run` would refuse, without starting anything: the configuration,
 * what it needs of this machine, and the policy in the store.
 */
#include "relay/command/command.h"
#include "relay/process/policy_source.h"
#include "relay/process/secrets.h"

#include <stdio.h>

int
command_check(const struct command_line *line)
{
	struct config_errors machine = {.lines = BUF_INIT(CONFIG_TEXT_MAX)};
	struct buf bundle = BUF_INIT(0), errors = BUF_INIT(0);
	struct config *config;
	uint64_t version = 0;
	bool is_fine;
	int secrets = -1;

	if (line->n_words > 0)
		return command_fail(EXIT_USAGE, "check takes no further words");
	config = command_config(line, NULL);
	if (config == NULL)
		return EXIT_CONFIG;
	is_fine = config_check_machine(config, &machine) == 0;
	if (policy_source_read(config, &bundle, &version, &errors) < 0)
		is_fine = false;
	if (is_fine && secrets_read(config, &bundle, &secrets, &errors) < 0)
		is_fine = false;
	secrets_close(&secrets);
	fprintf(stderr, "%.*s%.*s", (int)machine.lines.n, machine.lines.n ? machine.lines.p : "",
	    (int)errors.n, errors.n ? errors.p : "");
	if (is_fine && line->is_json)
		printf("{\"ok\":true,\"policy_version\":%llu}\n", (unsigned long long)version);
	else if (is_fine)
		printf("%s is fine; policy version %llu\n", line->config_file,
		    (unsigned long long)version);
	buf_free(&machine.lines);
	buf_free(&bundle);
	buf_free(&errors);
	config_free(&config);
	return is_fine ? EXIT_OK : EXIT_CONFIG;
}

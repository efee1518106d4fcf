/*
 * postern check: everything `run` would refuse, without starting anything: the configuration,
 * what it needs of this machine, and the policy in the store.
 */
#include "relay/base/json.h"
#include "relay/command/command.h"
#include "relay/process/policy_source.h"
#include "relay/process/secrets.h"

#include <stdio.h>

enum { ERRORS_MAX = 4 * CONFIG_TEXT_MAX };

/* Adds what is wrong with the machine and the policy, a line each; false when something is. */
static bool
check_rest(const struct config *config, uint64_t *version, struct buf *errors)
{
	struct config_errors machine = {.lines = BUF_INIT(CONFIG_TEXT_MAX)};
	struct buf bundle = BUF_INIT(0), policy = BUF_INIT(0);
	int secrets = -1;
	bool is_fine = config_check_machine(config, &machine) == 0;

	if (policy_source_read(config, &bundle, version, &policy) < 0)
		is_fine = false;
	if (secrets_read(config, &bundle, &secrets, &policy) < 0)
		is_fine = false;
	secrets_close(&secrets);
	(void)buf_add_span(errors, buf_span(&machine.lines)); /* that many say enough */
	(void)buf_add_span(errors, buf_span(&policy));
	buf_free(&machine.lines);
	buf_free(&policy);
	buf_free(&bundle);
	return is_fine;
}

void
command_print_check(bool is_fine, const uint64_t *version, struct span errors)
{
	struct buf b = BUF_INIT(6 * ERRORS_MAX + 64); /* an escape has six bytes */
	struct json j = {.to = &b};

	json_open(&j, NULL, '{');
	json_bool(&j, "ok", is_fine);
	if (is_fine && version != NULL)
		json_int(&j, "policy_version", (int64_t)*version);
	json_open(&j, is_fine ? "warnings" : "errors", '[');
	while (errors.n > 0)
		json_text(&j, NULL, span_cut(&errors, '\n'));
	json_close(&j, ']');
	json_close(&j, '}');
	printf("%.*s\n", (int)b.n, b.p);
	buf_free(&b);
}

int
command_check(const struct command_line *line)
{
	struct buf errors = BUF_INIT(ERRORS_MAX);
	struct config *config;
	uint64_t version = 0;
	bool is_fine;

	if (line->n_words > 0)
		return command_fail(EXIT_USAGE, "check takes no further words");
	config = command_config_errors(line, NULL, &errors);
	is_fine = config != NULL && check_rest(config, &version, &errors);
	fprintf(stderr, "%.*s", (int)errors.n, errors.n ? errors.p : "");
	if (line->is_json)
		command_print_check(is_fine, &version, buf_span(&errors));
	else if (is_fine)
		printf("%s is fine; policy version %llu\n", line->config_file,
		    (unsigned long long)version);
	buf_free(&errors);
	config_free(&config);
	return is_fine ? EXIT_OK : EXIT_CONFIG;
}

/*
 * The one command an admin types: finds the sub-command, its options before or after it, its help.
 */
#include "relay/command/ask.h"
#include "relay/command/usage.h"
#include "relay/process/plugins.h"
#include "relay/process/policy_source.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define POSTERN_VERSION "0.1"

static const struct subcommand {
	const char *name;
	int (*run)(const struct command_line *line);
} subcommands[] = {
    {"run", command_run},
    {"check", command_check},
    {"plan", command_plan},
    {"explain", command_explain},
    {"policy", command_policy},
    {"queue", command_queue},
    {"quarantine", command_quarantine},
    {"gateway", command_gateway},
    {"recipient", command_recipient},
    {"status", command_status},
    {"reload", command_reload},
    {"trace", command_trace},
    {"user", command_user},
};

int
command_fail(int status, const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "postern: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\n");
	return status;
}

static struct plugins plugins; /* of the one configuration that a command reads */

struct span
command_plugins(void)
{
	return buf_span(&plugins.bytes);
}

struct config *
command_config_errors(const struct command_line *line, struct buf *text, struct buf *told)
{
	struct config_errors errors = {.lines = BUF_INIT(CONFIG_TEXT_MAX)};
	struct buf own = BUF_INIT(CONFIG_TEXT_MAX), *to = text != NULL ? text : &own;
	struct config *config = NULL;
	struct err err = {0};

	to->max = CONFIG_TEXT_MAX;
	if (file_read(line->config_file, CONFIG_TEXT_MAX, to, &err) < 0)
		(void)buf_addf(
		    told, "postern: %s; name the configuration with -c FILE\n", err.text);
	else
		config = plugins_parse_config(buf_span(to), line->config_file, &plugins, &errors);
	(void)buf_add_span(told, buf_span(&errors.lines)); /* that many say enough */
	buf_free(&errors.lines);
	buf_free(&own);
	return config;
}

struct config *
command_config(const struct command_line *line, struct buf *text)
{
	struct buf errors = BUF_INIT(2 * CONFIG_TEXT_MAX);
	struct config *config = command_config_errors(line, text, &errors);

	fprintf(stderr, "%.*s", (int)errors.n, errors.n > 0 ? errors.p : "");
	buf_free(&errors);
	return config;
}

struct config *
command_place(const struct command_line *line)
{
	struct config_errors errors = {.lines = BUF_INIT(CONFIG_TEXT_MAX)};
	struct buf text = BUF_INIT(CONFIG_TEXT_MAX);
	struct config *config = NULL;
	struct err err = {0};

	if (file_read(line->config_file, CONFIG_TEXT_MAX, &text, &err) == 0)
		config = config_parse_places(buf_span(&text), line->config_file, &errors);
	if (config != NULL && ask_is_running(config)) {
		fprintf(
		    stderr, "%.*s", (int)errors.lines.n, errors.lines.n > 0 ? errors.lines.p : "");
	} else {
		config_free(&config);
		config = command_config(line, NULL);
	}
	buf_free(&errors.lines);
	buf_free(&text);
	return config;
}

struct parsed {
	struct command_line line;
	const char *name; /* the first word; NULL: none */
	bool wants_help, wants_version;
};

/* General options may stand anywhere; all else is the sub-command's.  0 or an exit status. */
static int
parse(int argc, char **argv, struct parsed *p)
{
	p->line.config_file = COMMAND_DEFAULT_CONFIG;
	p->line.words = mem_array((size_t)argc + 1, sizeof(*p->line.words));
	for (int i = 1; i < argc; i++) {
		const char *word = argv[i];

		if (strcmp(word, "-c") == 0) {
			if (++i == argc)
				return command_fail(EXIT_USAGE, "-c needs a file");
			p->line.config_file = argv[i];
		} else if (strcmp(word, "--json") == 0) {
			p->line.is_json = true;
		} else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
			p->wants_help = true;
		} else if (strcmp(word, "--version") == 0) {
			p->wants_version = true;
		} else if (p->name == NULL) {
			p->name = word;
		} else {
			p->line.words[p->line.n_words++] = word;
		}
	}
	return EXIT_OK;
}

static int
run(const struct parsed *p)
{
	const char *name = p->name != NULL ? usage_command(p->name) : NULL;
	int status;

	if (p->name != NULL && name == NULL)
		return EXIT_USAGE;
	if (p->wants_help) {
		usage_print(name, &p->line);
		return EXIT_OK;
	}
	if (name == NULL)
		return command_fail(EXIT_USAGE, "say what to do; \"postern --help\" lists it");
	status = usage_check(name, &p->line);
	for (size_t i = 0; status == EXIT_OK; i++)
		if (strcmp(subcommands[i].name, name) == 0)
			return subcommands[i].run(&p->line);
	return status;
}

int
main(int argc, char **argv)
{
	struct parsed p = {0};
	int status = parse(argc, argv, &p);

	if (status == EXIT_OK && p.wants_version)
		printf("postern %s\n", POSTERN_VERSION);
	else if (status == EXIT_OK)
		status = run(&p);
	mem_free(p.line.words);
	plugins_free(&plugins);
	if (fflush(stdout) != 0)
		return command_fail(EXIT_NO, "cannot write to standard output: %m");
	return status;
}

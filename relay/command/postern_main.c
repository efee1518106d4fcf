/*
 * The one command an admin types: finds the sub-command, its options before or after it, its help.
 */
#include "relay/base/nearest.h"
#include "relay/command/ask.h"
#include "relay/command/queue_help.h"
#include "relay/process/plugins.h"
#include "relay/process/policy_source.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#define POSTERN_VERSION "0.1"

static const char default_config[] = "/etc/postern/postern.conf";

struct subcommand {
	const char *name, *usage, *summary;
	int (*run)(const struct command_line *line);
};

static const struct subcommand subcommands[] = {
    {"run", "[--log=json]",
	"run the relay in the foreground; prints \"ready\" once mail is accepted", command_run},
    {"check", "", "check configuration and policy; every error at once", command_check},
    {"plan", "[--flow NAME]",
	"which filters run over the mail of each flow, and what their word leads to", command_plan},
    {"explain",
	"--client IP [--helo NAME] [--from ADDRESS] [--to ADDRESS]... [--policy FILE]\n"
	"                       [--offline] [MESSAGE.eml]",
	"what the relay would do with this mail, step by step, and why", command_explain},
    {"policy",
	"list | query FACET VALUE | export | history | diff VERSION VERSION | confirm |\n"
	"                      import FILE | add \"RULE\" | remove ID | rollback VERSION\n"
	"                      [--comment TEXT] [--confirm TIME]",
	"show or change the policy (FILE may be -: standard input)", command_policy},
    {"queue", "list | show | retry | hold | release | delete | bounce | fsck",
	"the mail that waits to be delivered", command_queue},
    {"quarantine",
	"list [--from TEXT] [--to TEXT] [--subject TEXT] [--reason TEXT]\n"
	"                          [--since TIME] [--until TIME] [--limit N] | show ID [--raw] |\n"
	"                          release ID... [--to ADDRESS]... | delete ID...",
	"the mail that is kept from its recipients", command_quarantine},
    {"gateway", "list | drain SERVER | undrain SERVER | probe [SERVER]",
	"the servers that mail goes to", command_gateway},
    {"recipient", "show ADDRESS | clear ADDRESS | clear all",
	"what directories and gateways have said of recipients", command_recipient},
    {"status", "", "how the relay is, and what to do where it is not well", command_status},
    {"reload", "", "put a changed configuration, list file or recipient file in force",
	command_reload},
    {"trace",
	"[ID] [--client IP] [--from ADDRESS] [--to ADDRESS] [--subject TEXT]\n"
	"                     [--verdict WORD] [--since TIME] [--until TIME] [--follow]",
	"what happened to mail, refused connections too", command_trace},
    {"user", "password NAME",
	"print a line for a listener's users; the password is read from standard input",
	command_user},
};

static const char *const later[] = {"replay", "seal", "backup", "restore", "milter", "selftest"};

enum {
	SUBCOMMANDS = sizeof(subcommands) / sizeof(subcommands[0]),
	LATER = sizeof(later) / sizeof(later[0])
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

static void
print_usage(const struct subcommand *s)
{
	printf("usage: postern [-c FILE] %s%s%s%s\n\n  %s\n", s->name, s->usage[0] ? " " : "",
	    s->usage, s->run != command_run && s->run != command_check ? " [--json]" : "",
	    s->summary);
}

static int
print_help(void)
{
	printf("usage: postern [-c FILE] SUB-COMMAND [--json] [WORD...]\n\n");
	for (size_t i = 0; i < SUBCOMMANDS; i++)
		printf("  %-10s %s\n", subcommands[i].name, subcommands[i].summary);
	printf(
	    "\n  -c FILE  the configuration (%s)\n  --json   one JSON document, or JSON lines for "
	    "lists\n  --help   this, or of a sub-command\n  --version\n",
	    default_config);
	return EXIT_OK;
}

static int
unknown_subcommand(const char *name)
{
	const char *names[SUBCOMMANDS];
	size_t at;

	for (size_t i = 0; i < LATER; i++)
		if (strcmp(later[i], name) == 0)
			return command_fail(EXIT_USAGE, "%s is not in this version", name);
	for (size_t i = 0; i < SUBCOMMANDS; i++)
		names[i] = subcommands[i].name;
	at = nearest_word(span_str(name), names, SUBCOMMANDS);
	if (nearest_distance(span_str(name), span_str(names[at])) * 2 > strlen(name))
		return command_fail(
		    EXIT_USAGE, "no sub-command \"%.40s\"; \"postern --help\" lists them", name);
	return command_fail(EXIT_USAGE,
	    "no sub-command \"%.40s\"; did you mean %s? \"postern --help\" lists them", name,
	    names[at]);
}

struct parsed {
	struct command_line line;
	const struct subcommand *subcommand;
	bool wants_help, wants_version;
	const char *unknown; /* a first word that is no sub-command */
};

/* General options may stand anywhere; all else is the sub-command's.  0 or an exit status. */
static int
parse(int argc, char **argv, struct parsed *p)
{
	p->line.config_file = default_config;
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
		} else if (p->subcommand == NULL && p->unknown == NULL) {
			for (size_t k = 0; k < SUBCOMMANDS; k++)
				if (strcmp(subcommands[k].name, word) == 0)
					p->subcommand = &subcommands[k];
			if (p->subcommand == NULL)
				p->unknown = word;
		} else {
			p->line.words[p->line.n_words++] = word;
		}
	}
	return EXIT_OK;
}

int
main(int argc, char **argv)
{
	struct parsed p = {0};
	int status = parse(argc, argv, &p);

	if (status != EXIT_OK)
		return status;
	if (p.wants_version) {
		printf("postern %s\n", POSTERN_VERSION);
		return EXIT_OK;
	}
	if (p.unknown != NULL)
		return unknown_subcommand(p.unknown);
	if (p.wants_help && p.subcommand != NULL && p.subcommand->run == command_queue)
		return command_queue_help(&p.line);
	if (p.wants_help && p.subcommand != NULL) {
		print_usage(p.subcommand);
		return EXIT_OK;
	}
	if (p.wants_help)
		return print_help();
	if (p.subcommand == NULL)
		return command_fail(EXIT_USAGE, "say what to do; \"postern --help\" lists it");
	status = p.subcommand->run(&p.line);
	mem_free(p.line.words);
	plugins_free(&plugins);
	if (fflush(stdout) != 0)
		return command_fail(EXIT_NO, "cannot write to standard output: %m");
	return status;
}

#include "relay/command/queue_help.h"

#include <stdio.h>

struct verb_help {
	const char *name, *words, *text;
};

#define SELECTORS                                                                            \
	"ID... | all | [--from ADDRESS] [--to ADDRESS] [--domain DOMAIN] [--gateway NAME]\n" \
	"                              [--older AGE] [--state STATE] [--id BEGINNING] [--limit N]"

static const struct verb_help verbs[] = {
    {"list",
	"[--id BEGINNING] [--from ADDRESS] [--to ADDRESS] [--domain DOMAIN] [--gateway NAME]\n"
	"                          [--state STATE] [--older AGE] [--limit N]",
	"the messages that wait, oldest first"},
    {"show", "ID [--headers]",
	"one message: each recipient, its next attempt, what its gateway said last"},
    {"retry", SELECTORS,
	"tries them now (many of them: some after others). A message named by its ID is tried\n"
	"  also when it is held because its sender may not be told of its failure; what the "
	"policy\n"
	"  or a filter's failure holds is filtered again."},
    {"hold", SELECTORS, "keeps them here, across restarts, until they are released"},
    {"release", SELECTORS, "lets go what `postern queue hold` has held, and nothing else"},
    {"delete", SELECTORS,
	"forgets them: they are not delivered and nobody is told. The journal records by whom."},
    {"bounce", SELECTORS, "gives them up now and tells their senders, where a sender may be told"},
    {"fsck", "[--repair]",
	"checks the spool's folder while the relay is stopped; --repair sets aside what is "
	"damaged"},
};

enum { VERBS = sizeof(verbs) / sizeof(verbs[0]) };

static void
print_verb(const struct verb_help *v)
{
	printf(
	    "usage: postern [-c FILE] queue %s %s [--json]\n\n  %s\n", v->name, v->words, v->text);
	if (strcmp(v->name, "show") == 0 || strcmp(v->name, "fsck") == 0)
		return;
	printf(
	    "\n  ADDRESS  exact, or @DOMAIN; <> is the null sender\n"
	    "  STATE    waiting, active, deferred or held\n"
	    "  AGE      30m, 2h, 3d: at least that old; or a time as 2026-11-22T01:02Z\n"
	    "  --to, --domain and --gateway are about the recipients they name, the rest of the\n"
	    "  message stays as it is.\n");
}

int
command_queue_help(const struct command_line *line)
{
	for (size_t i = 0; i < VERBS && line->n_words > 0; i++)
		if (strcmp(verbs[i].name, line->words[0]) == 0) {
			print_verb(&verbs[i]);
			return EXIT_OK;
		}
	printf(
	    "usage: postern [-c FILE] queue VERB [WORD...] [--json]\n\n  the mail that waits to be "
	    "delivered\n\n");
	for (size_t i = 0; i < VERBS; i++)
		printf("  %-8s %.*s\n", verbs[i].name, (int)strcspn(verbs[i].text, "\n"),
		    verbs[i].text);
	printf("\n  postern queue VERB --help says more\n");
	return EXIT_OK;
}

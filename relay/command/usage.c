#include "relay/command/usage.h"
#include "relay/base/nearest.h"

#include <stdio.h>

enum {
	COLUMNS = 96,
	WORD_MAX = 40,
	NAMES_MAX = 32,
	COMMAND_WIDTH = 10,
	VERB_WIDTH = 20,
	LEFT_MAX = 80
};

/* One form of a command.  `words`: what follows, options in brackets, with "..." where they may be
 * given again; NULL: not in this version. */
struct usage {
	const char *command, *verb, *words, *text;
	const char *more; /* below it in its own help; may be NULL */
};

#define SELECTORS                                                             \
	"[--from ADDRESS] [--to ADDRESS] [--domain DOMAIN] [--gateway NAME] " \
	"[--state STATE] [--older AGE] [--id BEGINNING] [--limit N]"
#define CHANGE "[--comment TEXT] [--confirm TIME]"

static const char about_selection[] =
    "  ADDRESS  exact, or @DOMAIN; <> is the null sender\n"
    "  STATE    waiting, active, deferred or held\n"
    "  AGE      30m, 2h, 3d: at least that old; or a time as 2026-11-22T01:02Z\n"
    "  --to, --domain and --gateway are about the recipients they name, the rest of the\n"
    "  message stays as it is.\n";
static const char about_retry[] =
    "  Of many, some after others. A message named by its ID is tried also when it is held "
    "because\n"
    "  its sender may not be told of its failure; what the policy or a filter's failure holds is\n"
    "  filtered again.\n\n"
    "  ADDRESS  exact, or @DOMAIN; <> is the null sender\n"
    "  STATE    waiting, active, deferred or held\n"
    "  AGE      30m, 2h, 3d: at least that old; or a time as 2026-11-22T01:02Z\n";
static const char about_change[] =
    "  --comment TEXT  kept with the version, for `postern policy history`\n"
    "  --confirm TIME  on trial: without `postern policy confirm` it goes back by itself, from 1s "
    "to 7d\n";
static const char about_letters[] = "  TEXT  a part of the field, without case\n"
				    "  TIME  2026-11-22, 2026-11-22T01:02Z or an age as 2h\n";

static const struct usage usages[] = {
    {"run", NULL, "[--log=json] [--log=text]",
	"run the relay in the foreground; prints \"ready\" once mail is accepted",
	"  SIGHUP reloads, SIGTERM ends it. Logs go to standard error, as text or (json) JSON "
	"lines.\n"},
    {"check", NULL, "", "check configuration and policy; every error at once", NULL},
    {"plan", NULL, "[--flow NAME]",
	"which filters run over the mail of each flow, and what their word leads to", NULL},
    {"explain", NULL,
	"--client ADDRESS [--helo NAME] [--from ADDRESS] [--to ADDRESS]... [--policy FILE] "
	"[--offline] [MESSAGE.eml]",
	"what the relay would do with this mail, step by step, and why",
	"  --from is the null sender when it is not given; without --to it stops after MAIL.\n"
	"  --policy tries another text of rules, --offline asks no DNS and no directory.\n"
	"  Status 0: every recipient ends in pass or tag (or strip, normalise); 1: not; 75: a "
	"fact\n"
	"  could not be got.\n"},
    {"policy", NULL, NULL, "show or change the policy", NULL},
    {"policy", "list", "", "the rules, with their ids and hits", NULL},
    {"policy", "query", "FACET VALUE", "the rules whose value for this facet matches",
	"  Such as: client 192.0.2.1, from a@b.example, dnsbl ZONE. Other facets are not looked "
	"at.\n"},
    {"policy", "export", "", "the text as it was imported", NULL},
    {"policy", "history", "", "the versions with time, author and comment", NULL},
    {"policy", "diff", "VERSION VERSION", "the lines in which two versions differ", NULL},
    {"policy", "import", "FILE " CHANGE, "replace the whole text, or change nothing and say why",
	about_change},
    {"policy", "add", "\"RULE\" " CHANGE, "one more rule, behind the others", about_change},
    {"policy", "remove", "ID " CHANGE, "one rule fewer, by its id in `policy list`", about_change},
    {"policy", "rollback", "VERSION " CHANGE, "the text of an older version again", about_change},
    {"policy", "confirm", "", "keep the change that is on trial", NULL},
    {"queue", NULL, NULL, "the mail that waits to be delivered", NULL},
    {"queue", "list", SELECTORS, "the messages that wait, oldest first", about_selection},
    {"queue", "show", "ID [--headers]",
	"one message, each recipient and what its gateway said last", NULL},
    {"queue", "retry", "[ID...|all] " SELECTORS, "try them now", about_retry},
    {"queue", "hold", "[ID...|all] " SELECTORS,
	"keep them here, also over a restart, until released", about_selection},
    {"queue", "release", "[ID...|all] " SELECTORS, "undo `queue hold`, and nothing else",
	about_selection},
    {"queue", "delete", "[ID...|all] " SELECTORS,
	"forget them: not delivered, nobody is told; the journal keeps by whom", about_selection},
    {"queue", "bounce", "[ID...|all] " SELECTORS,
	"give them up and tell their senders, where one may be told", about_selection},
    {"queue", "fsck", "[--repair]", "check the spool's folder while the relay is stopped",
	"  --repair sets aside what is damaged. Status 1: damage that was not set aside.\n"},
    {"quarantine", NULL, NULL, "the mail that is kept from its recipients", NULL},
    {"quarantine", "list",
	"[--from TEXT] [--to TEXT] [--subject TEXT] [--reason TEXT] [--since TIME] [--until TIME] "
	"[--limit N]",
	"what is kept and why, newest first", about_letters},
    {"quarantine", "show", "ID [--raw]", "all that is known of one; --raw: the message itself",
	NULL},
    {"quarantine", "release", "ID... [--to ADDRESS]...",
	"send it to its recipients, or to those named", NULL},
    {"quarantine", "delete", "ID...", "remove it for good", NULL},
    {"gateway", NULL, NULL, "the servers that mail goes to", NULL},
    {"gateway", "list", "", "state, connections, deliveries and last reply of each", NULL},
    {"gateway", "drain", "SERVER", "give it no new mail; what is under way ends as usual",
	"  SERVER as in the list, as in the configuration, or GATEWAY/SERVER. It outlives "
	"restarts.\n"},
    {"gateway", "undrain", "SERVER", "undo that", NULL},
    {"gateway", "probe", "[SERVER]", "connect, greet and leave; status 1 when that fails", NULL},
    {"recipient", NULL, NULL, "what directories and gateways have said of recipients", NULL},
    {"recipient", "show", "ADDRESS", "what is known of one; status 1: nothing", NULL},
    {"recipient", "clear", "ADDRESS|all", "forget it; the next RCPT asks again", NULL},
    {"status", NULL, "", "how the relay is, and what to do where it is not well", NULL},
    {"reload", NULL, "", "put a changed configuration, list file or recipient file in force", NULL},
    {"trace", NULL,
	"[ID] [--client ADDRESS] [--from ADDRESS] [--to ADDRESS] [--subject TEXT] [--verdict WORD] "
	"[--since TIME] [--until TIME] [--follow]",
	"what happened to mail, refused connections too",
	"  ADDRESS  exact, or @DOMAIN; <> is the null sender; of a client a network, too\n"
	"  WORD     pass, tag, normalise, strip, quarantine, discard, hold, tempfail, reject or "
	"keep\n"
	"  TIME     2026-11-22, 2026-11-22T01:02Z or an age as 2h\n"
	"  --follow goes on with what happens from then on.\n"},
    {"user", NULL, NULL, "lines for a listener's users", NULL},
    {"user", "password", "NAME", "print one; the password is read from standard input", NULL},
    {"user", "add", NULL, NULL, NULL},
    {"replay", NULL, NULL, NULL, NULL},
    {"seal", NULL, NULL, NULL, NULL},
    {"backup", NULL, NULL, NULL, NULL},
    {"restore", NULL, NULL, NULL, NULL},
    {"milter", NULL, NULL, NULL, NULL},
    {"selftest", NULL, NULL, NULL, NULL},
};

enum { USAGES = sizeof(usages) / sizeof(usages[0]) };

static bool
is_of(const struct usage *u, const char *command)
{
	return command == NULL ? u->verb == NULL
			       : u->verb != NULL && strcmp(u->command, command) == 0;
}

static const char *
name_of(const struct usage *u)
{
	return u->verb != NULL ? u->verb : u->command;
}

/* The command (NULL) or its verb of this name; NULL: there is none. */
static const struct usage *
find(const char *command, const char *name)
{
	for (size_t i = 0; i < USAGES; i++)
		if (is_of(&usages[i], command) && strcmp(name_of(&usages[i]), name) == 0)
			return &usages[i];
	return NULL;
}

static bool
has_verbs(const struct usage *u)
{
	return u->verb == NULL && u->words == NULL && u->text != NULL;
}

/* Behind `see`: where the rest is said. */
static void
complain(const char *command, const struct usage *verb, const char *what, const char *word,
    const char *nearest)
{
	(void)command_fail(EXIT_USAGE, "%s \"%.40s\"%s%s%s \"postern %s%s%s%s--help\" says more",
	    what, word, nearest != NULL ? "; did you mean " : ";", nearest != NULL ? nearest : "",
	    nearest != NULL ? "?" : "", command != NULL ? command : "", command != NULL ? " " : "",
	    verb != NULL && verb->verb != NULL ? verb->verb : "",
	    verb != NULL && verb->verb != NULL ? " " : "");
}

/* The nearest of the names, NULL: none is near. */
static const char *
nearest(const char *word, const char *const *names, size_t n)
{
	size_t at = nearest_word(span_str(word), names, n);

	if (at == n || nearest_distance(span_str(word), span_str(names[at])) * 2 > strlen(word))
		return NULL;
	return names[at];
}

/* The command or verb; NULL after saying what would be right. */
static const struct usage *
look_up(const char *command, const char *name)
{
	const struct usage *u = find(command, name);
	const char *names[NAMES_MAX];
	size_t n = 0;

	_Static_assert(USAGES <= 2 * NAMES_MAX, "neither commands nor verbs of one are that many");
	if (u != NULL && u->text == NULL) {
		(void)command_fail(EXIT_USAGE, "%s%s%s is not in this version",
		    command != NULL ? command : "", command != NULL ? " " : "", name);
		return NULL;
	}
	for (size_t i = 0; i < USAGES && u == NULL && n < NAMES_MAX; i++)
		if (is_of(&usages[i], command) && usages[i].text != NULL)
			names[n++] = name_of(&usages[i]);
	if (u == NULL)
		complain(command, NULL,
		    name[0] == '-'    ? "no option"
		    : command != NULL ? "no verb"
				      : "no sub-command",
		    name, nearest(name, names, n));
	return u;
}

const char *
usage_command(const char *name)
{
	const struct usage *u = look_up(NULL, name);

	return u != NULL ? u->command : NULL;
}

/* --- options ----------------------------------------------------------------------------------- */

/* One option in `words`: its name, whether a value follows, whether it may be given again. */
struct option {
	char name[WORD_MAX];
	bool has_value, may_repeat;
};

/* The next option from *at on; false: there are no more. */
static bool
next_option(const char **at, struct option *o)
{
	const char *start = strstr(*at, "--"), *end;
	size_t n;

	if (start == NULL)
		return false;
	n = strcspn(start, " ]");
	must(span_copy(span_of(start, n), o->name, sizeof(o->name)));
	o->has_value = start[n] == ' ' && start[n + 1] >= 'A' && start[n + 1] <= 'Z';
	end = strchr(start, ']');
	o->may_repeat = end != NULL && strncmp(end, "]...", 4) == 0;
	*at = start + n;
	return true;
}

static bool
find_option(const struct usage *u, const char *name, struct option *o)
{
	const char *at = u->words;

	while (next_option(&at, o))
		if (strcmp(o->name, name) == 0)
			return true;
	return false;
}

static int
complain_of_option(const struct usage *u, const char *word)
{
	struct option options[NAMES_MAX];
	const char *names[NAMES_MAX], *at = u->words;
	size_t n = 0;

	while (n < NAMES_MAX && next_option(&at, &options[n])) {
		names[n] = options[n].name;
		n++;
	}
	complain(u->command, u, "no option", word, nearest(word, names, n));
	return EXIT_USAGE;
}

static bool
was_given(const struct command_line *line, size_t from, size_t before, const char *name)
{
	for (size_t i = from; i < before; i++)
		if (strcmp(line->words[i], name) == 0)
			return true;
	return false;
}

static int
check_options(const struct usage *u, const struct command_line *line, size_t from)
{
	struct option o;

	for (size_t i = from; i < line->n_words; i++) {
		const char *word = line->words[i];

		if (word[0] != '-' || word[1] == '\0' || strchr(word, ' ') != NULL)
			continue; /* "-" is standard input; a rule or text is no option */
		if (!find_option(u, word, &o))
			return complain_of_option(u, word);
		if (!o.may_repeat && was_given(line, from, i, word))
			return command_fail(EXIT_USAGE, "%s is given twice; say it once", word);
		if (o.has_value && ++i == line->n_words)
			return command_fail(EXIT_USAGE, "%s needs a value", word);
	}
	return EXIT_OK;
}

int
usage_check(const char *command, const struct command_line *line)
{
	const struct usage *u = find(NULL, command);
	size_t from = 0;

	must(u != NULL); /* usage_command has found it */
	if (has_verbs(u)) {
		if (line->n_words == 0)
			return EXIT_OK; /* some have a verb that goes without saying */
		u = look_up(command, line->words[0]);
		from = 1;
	}
	if (u == NULL)
		return EXIT_USAGE;
	return check_options(u, line, from);
}

/* --- help -------------------------------------------------------------------------------------- */

/* Of the text the piece that stays together: to a blank outside of brackets. */
static size_t
piece(const char *text)
{
	size_t n = 0;

	for (int depth = 0; text[n] != '\0' && (text[n] != ' ' || depth > 0); n++)
		depth += text[n] == '[' ? 1 : text[n] == ']' ? -1 : 0;
	return n;
}

static void
print_usage_line(const struct usage *u, const char *words)
{
	int column = printf("usage: postern [-c FILE] %s%s%s", u->command,
	    u->verb != NULL ? " " : "", u->verb != NULL ? u->verb : "");
	int indent = column + 1;
	size_t n;

	for (; words[0] != '\0'; words += n + (words[n] == ' ')) {
		n = piece(words);
		if (column + 1 + (int)n > COLUMNS)
			column = printf("\n%*s", indent - 1, "") - 1;
		column += printf(" %.*s", (int)n, words);
	}
	printf("%s\n", strcmp(u->command, "run") != 0 ? " [--json]" : "");
}

/* The words of a verb that must stand; its options are in its own help. */
static void
print_line_of(const struct usage *u)
{
	const char *words = u->words != NULL && u->verb != NULL ? u->words : "";
	int n = (int)strcspn(words, "[");
	char left[LEFT_MAX];

	while (n > 0 && words[n - 1] == ' ')
		n--;
	(void)snprintf(
	    left, sizeof(left), "%s%s%.*s", name_of(u), n > 0 ? " " : "", n, words); /* fits */
	printf("    %-*s %s\n", u->verb != NULL ? VERB_WIDTH : COMMAND_WIDTH, left, u->text);
}

static void
print_list(const char *command)
{
	for (size_t i = 0; i < USAGES; i++)
		if (is_of(&usages[i], command) && usages[i].text != NULL)
			print_line_of(&usages[i]);
}

static void
print_all(void)
{
	printf("usage: postern [-c FILE] SUB-COMMAND [--json] [WORD...]\n\n");
	print_list(NULL);
	printf("\n    -c FILE    the configuration (%s)\n"
	       "    --json     one JSON document, or JSON lines for lists\n"
	       "    --help     this, or of a sub-command\n"
	       "    --version  of the program\n",
	    COMMAND_DEFAULT_CONFIG);
}

void
usage_print(const char *command, const struct command_line *line)
{
	const struct usage *u = command != NULL ? find(NULL, command) : NULL, *verb = NULL;

	if (u == NULL) {
		print_all();
		return;
	}
	if (has_verbs(u) && line->n_words > 0)
		verb = find(command, line->words[0]);
	if (verb != NULL && verb->text != NULL)
		u = verb;
	print_usage_line(u, has_verbs(u) ? "VERB [WORD...]" : u->words);
	printf("\n  %s\n", u->text);
	if (has_verbs(u)) {
		printf("\n");
		print_list(command);
		printf("\n  \"postern %s VERB --help\" says more\n", command);
	} else if (u->more != NULL) {
		printf("\n%s", u->more);
	}
}

/* postern policy: shows the policy and its versions, and words each change as a whole new text. */
#include "policy/config/scalar.h"
#include "policy/rules/rules.h"
#include "policy/store/store.h"
#include "relay/base/clock.h"
#include "relay/base/diff.h"
#include "relay/base/json.h"
#include "relay/command/policy_change.h"
#include "relay/command/policy_list.h"
#include "relay/process/policy_source.h"

#include <stdio.h>

enum { CHANGE_TRIES = 50 };

static int
read_current(const struct config *config, struct buf *text, uint64_t *version)
{
	struct err err = {0};
	struct store *store = store_open(config->state_dir, false, &err);
	int r = store != NULL ? store_current(store, text, version, &err) : -E_IO;

	store_close(&store);
	return r < 0 ? command_fail(EXIT_NO, "%s", err.text) : EXIT_OK;
}

static void
print_text(uint64_t version, struct span text)
{
	struct buf b = BUF_INIT(6 * POLICY_TEXT_MAX + 64); /* an escape has six bytes */
	struct json j = {.to = &b};

	json_open(&j, NULL, '{');
	json_int(&j, "version", (int64_t)version);
	json_text(&j, "text", text);
	json_close(&j, '}');
	printf("%.*s\n", (int)b.n, b.p);
	buf_free(&b);
}

static int
export_policy(const struct config *config, const struct command_line *line)
{
	struct buf text = BUF_INIT(POLICY_TEXT_MAX);
	uint64_t version;
	int status = read_current(config, &text, &version);

	if (status == EXIT_OK && line->is_json)
		print_text(version, buf_span(&text));
	else if (status == EXIT_OK && text.n > 0 && fwrite(text.p, 1, text.n, stdout) != text.n)
		status = command_fail(EXIT_NO, "cannot write: %m");
	buf_free(&text);
	return status;
}

/* The policy in force; NULL after its errors were printed. */
static struct snapshot *
load_current(const struct config *config)
{
	struct buf bundle = BUF_INIT(0), errors = BUF_INIT(0);
	struct snapshot *s = NULL;
	uint64_t version;

	if (policy_source_read(config, &bundle, &version, &errors) == 0)
		s = policy_source_compile(buf_span(&bundle), version);
	fprintf(stderr, "%.*s", (int)errors.n, errors.n ? errors.p : "");
	buf_free(&bundle);
	buf_free(&errors);
	return s;
}

static int
list_policy(const struct config *config, const struct command_line *line)
{
	struct snapshot *s = load_current(config);
	int status;

	if (s == NULL)
		return EXIT_CONFIG;
	status = policy_list_all(config, s, line->is_json);
	snapshot_release(&s);
	return status;
}

static int
query_policy(const struct config *config, const struct command_line *line)
{
	struct snapshot *s = load_current(config);
	int status;

	if (s == NULL)
		return EXIT_CONFIG;
	status = policy_list_found(
	    config, s, span_str(line->words[1]), span_str(line->words[2]), line->is_json);
	snapshot_release(&s);
	return status;
}

static void
print_version(void *arg, const struct store_version *v)
{
	const struct command_line *line = arg;
	struct buf b = BUF_INIT(4 * STORE_WORD_MAX * 6);
	struct json j = {.to = &b};

	json_open(&j, NULL, '{');
	json_int(&j, "version", (int64_t)v->version);
	json_time(&j, "time", v->wall_ms);
	json_text(&j, "author", v->author);
	json_text(&j, "comment", v->comment);
	json_int(&j, "size", (int64_t)v->size);
	json_close(&j, '}');
	if (line->is_json) {
		printf("%.*s\n", (int)b.n, b.p);
	} else {
		buf_clear(&b);
		(void)clock_add_rfc3339(&b, v->wall_ms); /* short */
		printf("%5llu  %.*s  %-12.*s %.*s\n", (unsigned long long)v->version, (int)b.n, b.p,
		    SPAN_ARG(v->author), SPAN_ARG(v->comment));
	}
	buf_free(&b);
}

static int
show_history(const struct config *config, const struct command_line *line)
{
	struct err err = {0};
	struct store *store = store_open(config->state_dir, false, &err);
	int r = -E_IO;

	if (store != NULL)
		r = store_history(store, print_version, (void *)(uintptr_t)line, &err);
	store_close(&store);
	return r < 0 ? command_fail(EXIT_NO, "%s", err.text) : EXIT_OK;
}

/* --- differences --- */

/* A version's text; its number is a word of the command line. */
static int
read_version(const struct config *config, const char *word, struct buf *text)
{
	struct err err = {0};
	struct store *store = store_open(config->state_dir, false, &err);
	uint64_t version;
	int r = -E_IO;

	if (store != NULL && !span_to_u64(span_str(word), &version))
		r = err_set(&err, E_NOT_FOUND,
		    "no version %.20s; \"policy history\" shows their numbers", word);
	else if (store != NULL)
		r = store_text(store, version, text, &err);
	store_close(&store);
	return r < 0 ? command_fail(EXIT_NO, "%s", err.text) : EXIT_OK;
}

static void
print_difference(void *arg, const struct diff_line *line)
{
	const struct command_line *command = arg;
	struct buf b = BUF_INIT(POLICY_TEXT_MAX);
	struct json j = {.to = &b};

	if (!command->is_json) {
		printf("%c%5zu  %.*s\n", line->is_added ? '+' : '-', line->number,
		    SPAN_ARG(line->line));
		return;
	}
	json_open(&j, NULL, '{');
	json_str(&j, "change", line->is_added ? "added" : "removed");
	json_int(&j, "line", (int64_t)line->number);
	json_text(&j, "text", line->line);
	json_close(&j, '}');
	printf("%.*s\n", (int)b.n, b.p);
	buf_free(&b);
}

static int
show_difference(const struct config *config, const struct command_line *line)
{
	struct buf from = BUF_INIT(POLICY_TEXT_MAX), to = BUF_INIT(POLICY_TEXT_MAX);
	int status = read_version(config, line->words[1], &from);

	if (status == EXIT_OK)
		status = read_version(config, line->words[2], &to);
	if (status == EXIT_OK)
		diff_texts(
		    buf_span(&from), buf_span(&to), print_difference, (void *)(uintptr_t)line);
	buf_free(&from);
	buf_free(&to);
	return status;
}

static int
confirm(const struct config *config, const struct command_line *line)
{
	return policy_confirm(config, line->is_json);
}

/* --- changes: each makes the new text, policy_change does the rest --- */

static int
import_text(
    const struct config *config, const struct command_line *line, struct buf *text, uint64_t *base)
{
	struct err err = {0};

	(void)config;
	(void)base; /* it replaces whatever is there */
	if (file_read(line->words[1], POLICY_TEXT_MAX, text, &err) < 0)
		return command_fail(EXIT_NO, "%s", err.text);
	return EXIT_OK;
}

static int
added_text(
    const struct config *config, const struct command_line *line, struct buf *text, uint64_t *base)
{
	struct snapshot *s = load_current(config);
	struct err err = {0};
	int r;

	if (s == NULL)
		return EXIT_CONFIG;
	*base = snapshot_version(s);
	r = snapshot_text_add(s, span_str(line->words[1]), text, &err);
	snapshot_release(&s);
	return r < 0 ? command_fail(EXIT_NO, "%s", err.text) : EXIT_OK;
}

static int
removed_text(
    const struct config *config, const struct command_line *line, struct buf *text, uint64_t *base)
{
	struct snapshot *s = load_current(config);
	struct err err = {0};
	uint64_t id;
	int r = -E_NOT_FOUND;

	if (s == NULL)
		return EXIT_CONFIG;
	*base = snapshot_version(s);
	if (span_to_u64(span_str(line->words[1]), &id) && id <= UINT32_MAX)
		r = snapshot_text_remove(s, (uint32_t)id, text, &err);
	else
		r = err_set(&err, E_NOT_FOUND, "no rule %.20s; \"policy list\" shows their numbers",
		    line->words[1]);
	snapshot_release(&s);
	return r < 0 ? command_fail(EXIT_NO, "%s", err.text) : EXIT_OK;
}

static int
older_text(
    const struct config *config, const struct command_line *line, struct buf *text, uint64_t *base)
{
	(void)base; /* it replaces whatever is there */
	return read_version(config, line->words[1], text);
}

struct verb {
	const char *name;
	size_t n_words; /* behind it */
	int (*show)(const struct config *config, const struct command_line *line);
	/* or: fills the new text */
	int (*change)(const struct config *config, const struct command_line *line,
	    struct buf *text, uint64_t *base);
	bool is_edit; /* of the newest version: made again when somebody else was faster */
};

static const struct verb verbs[] = {
    {"list", 0, list_policy, NULL, false},
    {"export", 0, export_policy, NULL, false},
    {"query", 2, query_policy, NULL, false},
    {"history", 0, show_history, NULL, false},
    {"diff", 2, show_difference, NULL, false},
    {"confirm", 0, confirm, NULL, false},
    {"import", 1, NULL, import_text, false},
    {"add", 1, NULL, added_text, true},
    {"remove", 1, NULL, removed_text, true},
    {"rollback", 1, NULL, older_text, false},
};

/* What stands behind the verb and its words. */
struct wish {
	const char *comment;
	int64_t confirm_ms;
};

static const struct {
	int64_t min_ms, max_ms;
	const char *text;
} confirm_range = {1000, (int64_t)7 * 24 * 60 * 60 * 1000, "from 1s to 7d"};

static int
read_wish(const struct verb *v, const struct command_line *line, struct wish *wish)
{
	*wish = (struct wish){.comment = ""};
	for (size_t i = v->n_words + 1; i + 1 < line->n_words; i += 2) {
		const char *value = line->words[i + 1];

		if (strcmp(line->words[i], "--comment") == 0)
			wish->comment = value;
		else if (!scalar_time(span_str(value), &wish->confirm_ms) ||
			 wish->confirm_ms < confirm_range.min_ms ||
			 wish->confirm_ms > confirm_range.max_ms)
			return command_fail(EXIT_USAGE, "--confirm %.20s is no time %s; say 5m",
			    value, confirm_range.text);
	}
	return EXIT_OK;
}

static int
change(const struct verb *v, const struct config *config, const struct command_line *line)
{
	struct wish wish;
	int status = read_wish(v, line, &wish);

	if (status != EXIT_OK)
		return status;
	status = POLICY_CHANGE_AGAIN;
	for (int i = 0; status == POLICY_CHANGE_AGAIN && i < CHANGE_TRIES; i++) {
		struct buf text = BUF_INIT(POLICY_TEXT_MAX);
		uint64_t base = 0;
		struct policy_change c = {.base = v->is_edit ? &base : NULL,
		    .file = v->change == import_text ? line->words[1] : "policy",
		    .comment = wish.comment,
		    .confirm_ms = wish.confirm_ms,
		    .is_json = line->is_json};

		status = v->change(config, line, &text, &base);
		c.text = span_skip_bom(buf_span(&text));
		if (status == EXIT_OK)
			status = policy_change(config, &c);
		buf_free(&text);
	}
	if (status == POLICY_CHANGE_AGAIN)
		return command_fail(
		    EXIT_TEMPFAIL, "the policy is being changed by others; try again");
	return status;
}

/* Whether what follows the verb's words is pairs of options that a change takes. */
static bool
has_only_options(const struct verb *v, const struct command_line *line)
{
	size_t i = v->n_words + 1;

	while (
	    v->change != NULL && i + 1 < line->n_words &&
	    (strcmp(line->words[i], "--comment") == 0 || strcmp(line->words[i], "--confirm") == 0))
		i += 2;
	return i == line->n_words;
}

/* NULL after saying what would be right. */
static const struct verb *
find_verb(const struct command_line *line)
{
	const char *name = line->n_words > 0 ? line->words[0] : "";

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++)
		if (strcmp(name, verbs[i].name) == 0 && has_only_options(&verbs[i], line))
			return &verbs[i];
	(void)command_fail(0,
	    "say policy list, query FACET VALUE, export, history, diff VERSION VERSION, "
	    "import FILE, add \"RULE\", remove ID, rollback VERSION or confirm; changes take "
	    "--comment TEXT and --confirm TIME");
	return NULL;
}

int
command_policy(const struct command_line *line)
{
	const struct verb *v = find_verb(line);
	struct config *config;
	int status;

	if (v == NULL)
		return EXIT_USAGE;
	config = command_config(line, NULL);
	if (config == NULL)
		return EXIT_CONFIG;
	status = v->show != NULL ? v->show(config, line) : change(v, config, line);
	config_free(&config);
	return status;
}

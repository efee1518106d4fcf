/*
 * postern policy: list, export, import.  An import is checked whole, stored as one version, and
 * live when the command returns; anything wrong changes nothing.
 */
#include "policy/rules/rules.h"
#include "policy/store/store.h"
#include "relay/base/json.h"
#include "relay/command/ask.h"
#include "relay/process/policy_source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* The store belongs to whom state_dir belongs, also when root imports for a relay of another. */
static int
become_owner(const struct config *config)
{
	struct stat st;

	if (mkdir(config->state_dir, 0755) < 0 && errno != EEXIST)
		return command_fail(EXIT_NO, "cannot make %s: %m", config->state_dir);
	if (geteuid() != 0 || stat(config->state_dir, &st) < 0 || st.st_uid == 0)
		return EXIT_OK;
	if (setegid(st.st_gid) < 0 || seteuid(st.st_uid) < 0)
		return command_fail(
		    EXIT_NO, "cannot act for the owner of %s: %m", config->state_dir);
	return EXIT_OK;
}

static int
read_current(const struct config *config, struct buf *text, uint64_t *version)
{
	struct err err = {0};
	struct store *store = store_open(config->state_dir, false, &err);
	int r = store != NULL ? store_current(store, text, version, &err) : -E_IO;

	store_close(&store);
	return r < 0 ? command_fail(EXIT_NO, "%s", err.text) : EXIT_OK;
}

static int
export_policy(const struct config *config)
{
	struct buf text = BUF_INIT(POLICY_TEXT_MAX);
	uint64_t version;
	int status = read_current(config, &text, &version);

	if (status == EXIT_OK && text.n > 0 && fwrite(text.p, 1, text.n, stdout) != text.n)
		status = command_fail(EXIT_NO, "cannot write: %m");
	buf_free(&text);
	return status;
}

static void
print_rule(const struct snapshot *s, uint32_t id, bool is_json)
{
	struct span text = snapshot_rule_text(s, id);
	struct buf b = BUF_INIT(POLICY_TEXT_MAX);
	struct json j = {.to = &b};

	if (!is_json) {
		printf("%5u  %.*s\n", id, SPAN_ARG(text));
		return;
	}
	json_open(&j, NULL, '{');
	json_int(&j, "id", id);
	json_text(&j, "rule", text);
	json_close(&j, '}');
	printf("%.*s\n", (int)b.n, b.p);
	buf_free(&b);
}

static int
list_policy(const struct config *config, bool is_json)
{
	struct buf bundle = BUF_INIT(0), errors = BUF_INIT(0);
	struct snapshot *s = NULL;
	uint64_t version;

	if (policy_source_read(config, &bundle, &version, &errors) == 0)
		s = policy_source_compile(buf_span(&bundle), version);
	for (uint32_t id = 1; s != NULL && id <= snapshot_rule_count(s); id++)
		print_rule(s, id, is_json);
	fprintf(stderr, "%.*s", (int)errors.n, errors.n ? errors.p : "");
	buf_free(&bundle);
	buf_free(&errors);
	if (s == NULL)
		return EXIT_CONFIG;
	snapshot_release(&s);
	return EXIT_OK;
}

static int
read_text(const char *file, struct buf *text)
{
	struct err err = {0};

	if (file_read(file, POLICY_TEXT_MAX, text, &err) < 0)
		return command_fail(EXIT_NO, "%s", err.text);
	return EXIT_OK;
}

static int
store_text_as_version(const struct config *config, struct span text, const char *comment,
    uint64_t *version, bool *is_new)
{
	const char *author = getenv("SUDO_USER") != NULL ? getenv("SUDO_USER") : getenv("USER");
	struct err err = {0};
	struct store *store = store_open(config->state_dir, true, &err);
	int r = -E_IO;

	if (store != NULL)
		r = store_import(store, text, author != NULL ? span_str(author) : SPAN("unknown"),
		    span_str(comment), version, is_new, &err);
	store_close(&store);
	return r < 0 ? command_fail(EXIT_NO, "%s; the policy is as it was", err.text) : EXIT_OK;
}

static int
make_live(const struct config *config)
{
	static const char *const words[] = {"reload"};
	struct buf answer = BUF_INIT(0);
	int status = EXIT_OK;

	if (ask_is_running(config))
		status = ask_relay(config, words, 1, &answer);
	fprintf(stderr, "%.*s", (int)answer.n, answer.n ? answer.p : "");
	buf_free(&answer);
	return status;
}

static int
import_policy(const struct config *config, const char *file, const char *comment, bool is_json)
{
	struct buf text = BUF_INIT(POLICY_TEXT_MAX), bundle = BUF_INIT(0), errors = BUF_INIT(0);
	uint64_t version = 0;
	bool is_new = false;
	int status = read_text(file, &text);

	if (status == EXIT_OK &&
	    policy_source_bundle(config, buf_span(&text), file, 0, &bundle, &errors) < 0) {
		fprintf(stderr, "%.*s", (int)errors.n, errors.p);
		status = command_fail(EXIT_NO, "refused; the policy is as it was");
	}
	if (status == EXIT_OK)
		status = store_text_as_version(config, buf_span(&text), comment, &version, &is_new);
	if (status == EXIT_OK)
		status = make_live(config);
	if (status == EXIT_OK && is_json)
		printf("{\"version\":%llu,\"is_new\":%s}\n", (unsigned long long)version,
		    is_new ? "true" : "false");
	else if (status == EXIT_OK)
		printf("policy version %llu%s\n", (unsigned long long)version,
		    is_new ? "" : " (nothing has changed)");
	buf_free(&text);
	buf_free(&bundle);
	buf_free(&errors);
	return status;
}

static int
act(const struct config *config, const struct command_line *line)
{
	const char *verb = line->words[0], *comment = "";
	int status;

	if (strcmp(verb, "list") == 0 && line->n_words == 1)
		return list_policy(config, line->is_json);
	if (strcmp(verb, "export") == 0 && line->n_words == 1)
		return export_policy(config);
	if (line->n_words == 4 && strcmp(line->words[2], "--comment") == 0)
		comment = line->words[3];
	status = become_owner(config);
	if (status != EXIT_OK)
		return status;
	return import_policy(config, line->words[1], comment, line->is_json);
}

/* The words before any file is touched: EXIT_OK when they are right. */
static int
check_words(const struct command_line *line)
{
	static const char *const later[] = {
	    "query", "add", "remove", "history", "diff", "rollback"};
	const char *verb = line->n_words > 0 ? line->words[0] : "";
	bool has_comment = line->n_words == 4 && strcmp(line->words[2], "--comment") == 0;

	for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++)
		if (strcmp(verb, later[i]) == 0)
			return command_fail(EXIT_USAGE, "policy %s is not in this version", verb);
	if ((strcmp(verb, "list") == 0 || strcmp(verb, "export") == 0) && line->n_words == 1)
		return EXIT_OK;
	if (strcmp(verb, "import") == 0 && (line->n_words == 2 || has_comment))
		return EXIT_OK;
	return command_fail(
	    EXIT_USAGE, "say policy list, policy export or policy import FILE [--comment TEXT]");
}

int
command_policy(const struct command_line *line)
{
	struct config *config;
	int status = check_words(line);

	if (status != EXIT_OK)
		return status;
	config = command_config(line, NULL);
	if (config == NULL)
		return EXIT_CONFIG;
	status = act(config, line);
	config_free(&config);
	return status;
}

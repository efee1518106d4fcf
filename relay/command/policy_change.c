/*
 * The changes that `postern policy` makes: import, add, remove, rollback.  Each is a whole new text,
 * checked as such, stored as one version, and live when the command returns; anything wrong changes
 * nothing.
 */
#include "relay/command/policy_change.h"
#include "policy/rules/rules.h"
#include "policy/store/store.h"
#include "relay/command/ask.h"
#include "relay/process/policy_source.h"

#include <errno.h>
#include <pwd.h>
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
store_text_as_version(const struct config *config, struct span text, const uint64_t *base,
    const char *comment, uint64_t *version, bool *is_new)
{
	const struct passwd *user = getpwuid(getuid());
	const char *sudo = getenv("SUDO_USER");
	struct span author = span_str(sudo != NULL   ? sudo
				      : user != NULL ? user->pw_name
						     : "unknown");
	struct err err = {0};
	struct store *store = store_open(config->state_dir, true, &err);
	int r = -E_IO;

	if (store != NULL && base != NULL)
		r = store_import_on(
		    store, *base, text, author, span_str(comment), version, is_new, &err);
	else if (store != NULL)
		r = store_import(store, text, author, span_str(comment), version, is_new, &err);
	store_close(&store);
	if (r == -E_AGAIN)
		return POLICY_CHANGE_AGAIN;
	return r < 0 ? command_fail(EXIT_NO, "%s; the policy is as it was", err.text) : EXIT_OK;
}

static int
make_live(const struct config *config)
{
	static const char *const words[] = {"reload", "policy"};
	struct buf answer = BUF_INIT(0);
	int status = EXIT_OK;

	if (ask_is_running(config))
		status = ask_relay(config, words, 2, &answer);
	fprintf(stderr, "%.*s", (int)answer.n, answer.n ? answer.p : "");
	buf_free(&answer);
	return status;
}

int
policy_change(const struct config *config, struct span text, const uint64_t *base, const char *file,
    const char *comment, bool is_json)
{
	struct buf bundle = BUF_INIT(0), errors = BUF_INIT(0);
	uint64_t version = 0;
	bool is_new = false;
	int status = become_owner(config);

	if (status == EXIT_OK && policy_source_bundle(config, text, file, 0, &bundle, &errors) < 0)
		status = EXIT_NO;
	fprintf(stderr, "%.*s", (int)errors.n, errors.n ? errors.p : ""); /* or warnings */
	if (status == EXIT_NO)
		status = command_fail(EXIT_NO, "refused; the policy is as it was");
	if (status == EXIT_OK)
		status = store_text_as_version(config, text, base, comment, &version, &is_new);
	if (status == EXIT_OK)
		status = make_live(config);
	if (status == EXIT_OK && is_json)
		printf("{\"version\":%llu,\"is_new\":%s}\n", (unsigned long long)version,
		    is_new ? "true" : "false");
	else if (status == EXIT_OK)
		printf("policy version %llu%s\n", (unsigned long long)version,
		    is_new ? "" : " (nothing has changed)");
	buf_free(&bundle);
	buf_free(&errors);
	return status;
}

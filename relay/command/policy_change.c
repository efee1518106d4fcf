/*
 * The changes that `postern policy` makes: import, add, remove, rollback, confirm.  Each is a whole new text,
 * checked as such, stored as one version, and live when the command returns; anything wrong changes
 * nothing.
 */
#include "relay/command/policy_change.h"
#include "policy/rules/rules.h"
#include "policy/store/store.h"
#include "relay/base/clock.h"
#include "relay/base/json.h"
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

static struct span
author(void)
{
	const struct passwd *user = getpwuid(getuid());
	const char *sudo = getenv("SUDO_USER");

	return span_str(sudo != NULL ? sudo : user != NULL ? user->pw_name : "unknown");
}

/* What came of it. */
struct stored {
	uint64_t version;
	bool is_new;
	struct store_trial trial; /* version 0: none */
};

static int
store_text_as_version(
    const struct config *config, const struct policy_change *c, struct stored *stored)
{
	int64_t until_ms = c->confirm_ms > 0 ? clock_wall_ms() + c->confirm_ms : 0;
	struct err err = {0};
	struct store *store = store_open(config->state_dir, true, &err);
	int r = -E_IO;

	if (store != NULL)
		r = store_import_trial(store, c->base, c->text, author(), span_str(c->comment),
		    until_ms, &stored->version, &stored->is_new, &err);
	if (r == 0)
		(void)store_trial(store, &stored->trial, NULL); /* none: all zeros */
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

static void
print_stored(const struct stored *stored, bool is_json)
{
	const struct store_trial *t = &stored->trial;
	struct buf out = BUF_INIT(4096);
	struct json j = {.to = &out};

	if (is_json) {
		json_open(&j, NULL, '{');
		json_int(&j, "version", (int64_t)stored->version);
		json_bool(&j, "is_new", stored->is_new);
		if (t->version > 0) {
			json_int(&j, "back_to", (int64_t)t->back_to);
			json_time(&j, "confirm_until", t->until_ms);
		}
		json_close(&j, '}');
	} else {
		/* Bounded: numbers and a time. */
		(void)buf_addf(&out, "policy version %llu%s", (unsigned long long)stored->version,
		    stored->is_new ? "" : " (nothing has changed)");
		if (t->version > 0) {
			(void)buf_addf(&out, "; it goes back to version %llu at ",
			    (unsigned long long)t->back_to);
			(void)clock_add_rfc3339(&out, t->until_ms);
			(void)buf_addf(&out, " unless you say \"postern policy confirm\"");
		}
	}
	printf("%.*s\n", (int)out.n, out.p);
	buf_free(&out);
}

int
policy_change(const struct config *config, const struct policy_change *c)
{
	struct buf bundle = BUF_INIT(0), errors = BUF_INIT(0);
	struct stored stored = {0};
	int status = become_owner(config);

	if (status == EXIT_OK &&
	    policy_source_bundle(config, c->text, c->file, 0, &bundle, &errors) < 0)
		status = EXIT_NO;
	fprintf(stderr, "%.*s", (int)errors.n, errors.n ? errors.p : ""); /* or warnings */
	if (errors.n > 0 && status == EXIT_NO && c->is_json)
		command_print_check(false, NULL, buf_span(&errors));
	if (status == EXIT_NO)
		status = command_fail(EXIT_NO, "refused; the policy is as it was");
	if (status == EXIT_OK)
		status = store_text_as_version(config, c, &stored);
	if (status == EXIT_OK)
		status = make_live(config);
	if (status == EXIT_OK)
		print_stored(&stored, c->is_json);
	buf_free(&bundle);
	buf_free(&errors);
	return status;
}

int
policy_confirm(const struct config *config, bool is_json)
{
	struct store_trial t = {0};
	struct err err = {0};
	struct store *store;
	int status = become_owner(config), r = -E_IO;

	if (status != EXIT_OK)
		return status;
	store = store_open(config->state_dir, true, &err);
	if (store != NULL)
		r = store_confirm(store, &t, &err);
	store_close(&store);
	if (r < 0)
		return command_fail(EXIT_NO, "%s", err.text);
	printf(is_json ? "{\"version\":%llu}\n" : "policy version %llu stays\n",
	    (unsigned long long)t.version);
	return EXIT_OK;
}

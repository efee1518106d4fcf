/* postern queue, status, reload: what a running relay is asked. */
#include "relay/base/clock.h"
#include "relay/command/ask.h"
#include "relay/command/queue_fsck.h"
#include "relay/command/queue_print.h"
#include "relay/command/table.h"
#include "relay/deliver/selection.h"
#include "relay/ipc/control.h"

#include <stdio.h>
#include <stdlib.h>

enum {
	LINE_MAX_BYTES = 16 * 1024 * 1024, /* one message with all its recipients */
	IDS_WORD_MAX = CONTROL_WORD_MAX - 1,
	REASONS_TEXT_MAX = 64 * 1024
};

/* --- orders and what they are called when they are done ----------------------------------------- */

static const struct {
	const char *verb, *done;
} orders[] = {{"retry", "retried"}, {"hold", "held"}, {"release", "released"},
    {"delete", "deleted"}, {"bounce", "bounced"}};

static const char *
done_word(const char *verb)
{
	for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++)
		if (strcmp(orders[i].verb, verb) == 0)
			return orders[i].done;
	return NULL;
}

/* --- words ------------------------------------------------------------------------------------- */

/* What the relay is sent: the ids, however many, in as few words as they fit into. */
struct request {
	const char *words[CONTROL_WORDS_MAX];
	size_t n;
	struct buf texts[CONTROL_WORDS_MAX]; /* of ids */
	size_t n_texts;
};

static int
add_word(struct request *r, const char *word)
{
	if (r->n == CONTROL_WORDS_MAX)
		return command_fail(
		    EXIT_USAGE, "too many words; say it with --from, --to and so on");
	r->words[r->n++] = word;
	return EXIT_OK;
}

static int
add_id(struct request *r, const char *id)
{
	struct buf *text = r->n_texts > 0 ? &r->texts[r->n_texts - 1] : NULL;

	if (text == NULL || text->n + strlen(id) + 1 > IDS_WORD_MAX) {
		if (r->n + r->n_texts == CONTROL_WORDS_MAX)
			return command_fail(
			    EXIT_USAGE, "too many ids; say it with --from, --to and so on");
		text = &r->texts[r->n_texts++];
		text->max = CONTROL_WORD_MAX;
	}
	/* Whoever gives one that is too long for any is told so by the relay's own check. */
	(void)buf_add_str(text, text->n > 0 ? " " : "");
	(void)buf_add_str(text, id);
	return EXIT_OK;
}

static int
make_request(const struct command_line *line, struct request *r)
{
	int status = EXIT_OK;

	(void)add_word(r, "queue"); /* there is room for these */
	(void)add_word(r, line->words[0]);
	for (size_t i = 1; i < line->n_words && status == EXIT_OK; i++) {
		bool is_option = strncmp(line->words[i], "--", 2) == 0;

		if (!is_option) {
			status = add_id(r, line->words[i]);
			continue;
		}
		status = add_word(r, line->words[i]);
		if (status == EXIT_OK && strcmp(line->words[i], "--headers") != 0 &&
		    i + 1 < line->n_words)
			status = add_word(r, line->words[++i]);
	}
	for (size_t i = 0; i < r->n_texts && status == EXIT_OK; i++) {
		(void)buf_add_char(&r->texts[i], '\0'); /* left free above */
		status = add_word(r, r->texts[i].p);
	}
	return status;
}

static void
request_free(struct request *r)
{
	for (size_t i = 0; i < r->n_texts; i++)
		buf_free(&r->texts[i]);
}

/* The relay looks at the words once more; said here, it is said also when none runs. */
static int
check_words(const struct command_line *line, bool is_order)
{
	struct span *words = mem_array(line->n_words, sizeof(*words));
	struct selection s;
	struct err err = {0};
	bool is_given, is_show = strcmp(line->words[0], "show") == 0;
	size_t n_ids;
	int rc;

	for (size_t i = 1; i < line->n_words; i++)
		words[i - 1] = span_str(line->words[i]);
	rc = selection_parse(words, line->n_words - 1, (struct span){0}, clock_wall_ms(), &s, &err);
	mem_free(words);
	if (rc < 0)
		return command_fail(EXIT_USAGE, "%s", err.text);
	is_given = selection_is_given(&s);
	n_ids = s.n_ids;
	selection_free(&s);
	if (is_show && n_ids != 1)
		return command_fail(EXIT_USAGE, "say queue show ID");
	if (is_order && !is_given)
		return command_fail(EXIT_USAGE,
		    "say which messages: their ids, --from, --to, --domain, --gateway, --older, "
		    "--state, or all");
	return EXIT_OK;
}

/* --- answers ----------------------------------------------------------------------------------- */

static void
print_line(void *arg, struct span line)
{
	(void)arg;
	printf("%.*s\n", SPAN_ARG(line));
}

static void
print_row(void *arg, struct span line)
{
	bool *is_titled = arg;

	if (!*is_titled)
		queue_print_titles();
	*is_titled = true;
	queue_print_row(line);
}

static void
print_detail(void *arg, struct span line)
{
	(void)arg;
	queue_print_detail(line);
}

static void
add_outcome(void *arg, struct span line)
{
	queue_outcome_add(arg, line);
}

static int
ask_lines(const struct config *config, const struct request *r,
    void (*on_line)(void *arg, struct span line), void *arg)
{
	struct queue_lines lines = {
	    .rest = BUF_INIT(LINE_MAX_BYTES), .on_line = on_line, .arg = arg};
	int status = ask_relay_each(config, r->words, r->n, queue_lines_take, &lines);

	queue_lines_free(&lines);
	return status;
}

static int
ask_list(const struct command_line *line, const struct config *config, const struct request *r)
{
	bool is_titled = false;
	int status;

	if (line->is_json)
		return ask_lines(config, r, print_line, NULL);
	status = ask_lines(config, r, print_row, &is_titled);
	if (status == EXIT_OK && !is_titled)
		printf("no message waits\n");
	return status;
}

static int
ask_order(const struct command_line *line, const struct config *config, const struct request *r)
{
	struct queue_outcome o = {
	    .reasons = BUF_INIT(REASONS_TEXT_MAX), .json = BUF_INIT(REASONS_TEXT_MAX)};
	int status = ask_lines(config, r, add_outcome, &o);

	if (status == EXIT_OK || o.messages > 0)
		queue_outcome_print(&o, done_word(line->words[0]), line->is_json);
	if (status == EXIT_OK && o.done + o.unchanged == 0)
		status = o.active > 0 ? EXIT_TEMPFAIL : EXIT_NO;
	buf_free(&o.reasons);
	buf_free(&o.json);
	return status;
}

static int
ask_queue(const struct command_line *line, bool is_order)
{
	struct request r = {0};
	struct config *config = NULL;
	int status = check_words(line, is_order);

	if (status == EXIT_OK)
		status = make_request(line, &r);
	if (status == EXIT_OK && (config = command_place(line)) == NULL)
		status = EXIT_CONFIG;
	if (status == EXIT_OK && is_order)
		status = ask_order(line, config, &r);
	else if (status == EXIT_OK && strcmp(line->words[0], "list") == 0)
		status = ask_list(line, config, &r);
	else if (status == EXIT_OK)
		status = ask_lines(config, &r, line->is_json ? print_line : print_detail, NULL);
	request_free(&r);
	config_free(&config);
	return status;
}

int
command_queue(const struct command_line *line)
{
	const char *verb = line->n_words > 0 ? line->words[0] : "";
	bool is_order = done_word(verb) != NULL;

	if (strcmp(verb, "fsck") == 0)
		return command_queue_fsck(line);
	if (is_order || strcmp(verb, "list") == 0 || strcmp(verb, "show") == 0)
		return ask_queue(line, is_order);
	return command_fail(EXIT_USAGE,
	    "say queue list, show, retry, hold, release, delete, bounce or fsck; "
	    "\"postern queue --help\" says more");
}

/* postern trace: the journal's events by a filter, with a running relay or without. */
#include "policy/journal/read.h"
#include "relay/base/clock.h"
#include "relay/command/command.h"
#include "relay/command/table.h"
#include "relay/ipc/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <unistd.h>

enum { FOLLOW_MS = 200 };

static const struct table_column columns[] = {{"time", "TIME", 24}, {"event", "EVENT", 10},
    {"id", "ID", 28}, {"client", "CLIENT", 15}, {"from", "FROM", 24}, {"to", "TO", 24},
    {"verdict", "VERDICT", 9}, {"observed", "OBSERVED", 8}, {"reply", "REPLY", 0}, {0}};

struct trace {
	bool is_json, is_followed, has_begun;
	struct journal_filter filter;
	struct buf lines;
};

static void
keep_line(void *arg, struct span line)
{
	struct buf *lines = arg;

	(void)buf_add_span(lines, line); /* those of one slice */
	(void)buf_add_char(lines, '\n');
}

/* The journal's folder, or -1 and what to say. */
static int
open_journal(const struct config *config, bool is_followed, int *status)
{
	char path[PATH_MAX];
	int dir;

	(void)snprintf(path, sizeof(path), "%s/journal", config->state_dir); /* cut: not there */
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0 && errno == ENOENT) /* an empty one, but nothing that could be followed */
		*status = command_fail(is_followed ? EXIT_NO : EXIT_OK,
		    "%s: not there yet; the relay makes it at its first start", path);
	else if (dir < 0)
		*status =
		    command_fail(EXIT_NO, "%s: %m; become root or the user postern-journal", path);
	return dir;
}

/* What was found in one step; the titles of the table come with the first of it. */
static void
print_lines(struct trace *t)
{
	if (t->lines.n == 0)
		return;
	if (t->is_json)
		printf("%.*s", (int)t->lines.n, t->lines.p);
	else if (t->has_begun)
		table_print_rows(buf_span(&t->lines), columns);
	else
		table_print(buf_span(&t->lines), columns);
	t->has_begun = true;
	buf_clear(&t->lines);
}

/* All that is there now: as journal_reader_step at its end. */
static int
read_on(struct trace *t, struct journal_reader *r, struct err *err)
{
	int more = 1;

	while (more == 1) {
		more = journal_reader_step(r, keep_line, &t->lines, err);
		print_lines(t);
	}
	return more;
}

/* False when nobody reads any more. */
static bool
wait_for_more(void)
{
	struct pollfd reader = {.fd = STDOUT_FILENO};

	return fflush(stdout) == 0 && poll(&reader, 1, FOLLOW_MS) == 0;
}

/* Prints what is written from now on, until `--until`, a signal, or nobody reads. */
static int
follow(struct trace *t, struct journal_reader *r, int dir, struct err *err)
{
	int more = 0;

	while (more >= 0 && clock_wall_ms() <= t->filter.until_ms && wait_for_more()) {
		more = journal_reader_refresh(r, dir, err);
		if (more >= 0)
			more = read_on(t, r, err);
	}
	return more;
}

static int
read_journal(struct trace *t, int dir)
{
	struct err err = {0};
	struct journal_reader *r = journal_reader_new(dir, &t->filter, &err);
	int more = r != NULL ? read_on(t, r, &err) : -E_IO;

	if (more == 0 && t->is_followed)
		more = follow(t, r, dir, &err);
	journal_reader_free(&r);
	if (more < 0)
		return command_fail(EXIT_NO, "%s", err.text);
	if (t->filter.id[0] != '\0' && !t->has_begun)
		return command_fail(EXIT_NO, "nothing is known of %s", t->filter.id);
	if (!t->is_json && !t->has_begun)
		table_print((struct span){0}, columns);
	return EXIT_OK;
}

/* All words but --follow, which is no part of the filter; each option has a value. */
static int
read_words(struct trace *t, const struct command_line *line)
{
	struct span words[64];
	struct err err = {0};
	size_t n = 0;
	bool is_value = false;

	if (line->n_words > sizeof(words) / sizeof(words[0]))
		return command_fail(EXIT_USAGE, "too many words");
	for (size_t i = 0; i < line->n_words; i++) {
		struct span word = span_str(line->words[i]);

		if (!is_value && span_eq(word, SPAN("--follow"))) {
			t->is_followed = true;
			continue;
		}
		is_value = !is_value && span_starts(word, SPAN("--"));
		words[n++] = word;
	}
	if (journal_filter_parse(words, n, clock_wall_ms(), &t->filter, &err) < 0)
		return command_fail(EXIT_USAGE, "%s", err.text);
	return EXIT_OK;
}

int
command_trace(const struct command_line *line)
{
	struct trace t = {
	    .is_json = line->is_json, .lines = BUF_INIT(2 * (JOURNAL_EVENT_MAX + JOURNAL_SLICE))};
	int status = read_words(&t, line), dir;
	struct config *config;

	if (status != EXIT_OK)
		return status;
	config = command_place(line);
	if (config == NULL)
		return EXIT_CONFIG;
	dir = open_journal(config, t.is_followed, &status);
	if (dir >= 0) {
		status = read_journal(&t, dir);
		(void)close(dir); /* read only */
	}
	buf_free(&t.lines);
	config_free(&config);
	return status;
}

/* postern trace: the journal's events by a filter, with a running relay or without. */
#include "policy/journal/read.h"
#include "relay/base/clock.h"
#include "relay/command/command.h"
#include "relay/command/table.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

static const struct table_column columns[] = {{"time", "TIME", 24}, {"event", "EVENT", 10},
    {"id", "ID", 28}, {"client", "CLIENT", 15}, {"from", "FROM", 24}, {"to", "TO", 24},
    {"verdict", "VERDICT", 9}, {"observed", "OBSERVED", 8}, {"reply", "REPLY", 0}, {0}};

static void
keep_line(void *arg, struct span line)
{
	struct buf *lines = arg;

	(void)buf_add_span(lines, line); /* past the maximum: cut, and said */
	(void)buf_add_char(lines, '\n');
}

static int
read_journal(const struct config *config, const struct journal_filter *filter, struct buf *lines)
{
	char path[PATH_MAX];
	struct err err = {0};
	int dir, r;

	(void)snprintf(path, sizeof(path), "%s/journal", config->state_dir); /* cut: not there */
	dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return command_fail(EXIT_NO,
		    errno == ENOENT ? "%s: not there; the relay makes it at its first start"
				    : "%s: %m; become root or the user postern-journal",
		    path);
	r = journal_read(dir, filter, keep_line, lines, &err);
	(void)close(dir); /* read only */
	return r < 0 ? command_fail(EXIT_NO, "%s", err.text) : EXIT_OK;
}

int
command_trace(const struct command_line *line)
{
	struct buf lines = BUF_INIT(256 * 1024 * 1024);
	struct journal_filter filter;
	struct span words[64];
	struct err err = {0};
	struct config *config;
	int status;

	if (line->n_words > sizeof(words) / sizeof(words[0]))
		return command_fail(EXIT_USAGE, "too many words");
	for (size_t i = 0; i < line->n_words; i++)
		words[i] = span_str(line->words[i]);
	if (journal_filter_parse(words, line->n_words, clock_wall_ms(), &filter, &err) < 0)
		return command_fail(EXIT_USAGE, "%s", err.text);
	config = command_config(line, NULL);
	if (config == NULL)
		return EXIT_CONFIG;
	status = read_journal(config, &filter, &lines);
	if (status == EXIT_OK && filter.id[0] != '\0' && lines.n == 0)
		status = command_fail(EXIT_NO, "nothing is known of %s", filter.id);
	if (status == EXIT_OK && line->is_json)
		printf("%.*s", (int)lines.n, lines.n ? lines.p : "");
	else if (status == EXIT_OK)
		table_print(buf_span(&lines), columns);
	if (lines.failed)
		status = command_fail(EXIT_TEMPFAIL, "more than fits; ask for less");
	buf_free(&lines);
	config_free(&config);
	return status;
}

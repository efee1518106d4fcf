/* postern quarantine: what is kept from its recipients; `list` needs no running relay. */
#include "relay/base/clock.h"
#include "relay/command/ask.h"
#include "relay/command/table.h"
#include "relay/quarantine/lister.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <stdio.h>
#include <unistd.h>

enum { WORDS_MAX = 60, LINES_MAX = 256 * 1024 * 1024 };

static const char usage[] = "say quarantine list, quarantine show ID [--raw], quarantine release "
			    "ID... [--to ADDRESS]... or quarantine delete ID...";

static const struct table_column columns[] = {{"id", "ID", 28}, {"received", "RECEIVED", 24},
    {"size", "BYTES", 9}, {"from", "FROM", 28}, {"to", "TO", 28}, {"subject", "SUBJECT", 32},
    {"reason", "REASON", 0}, {0}};

/* --- list -------------------------------------------------------------------------------------- */

static int
read_shelf(const struct shelf *s, const struct letter_filter *f, int64_t keep_ms, struct buf *to)
{
	uint64_t n_found = 0, n_damaged = 0;
	struct lister l;
	struct span id;
	int r = lister_start(&l, s, false);

	while (r == 0 && n_found < f->limit && lister_next(&l, &id)) {
		struct letter letter;
		int read = shelf_read(s, id, &letter);

		n_damaged += read == -E_CORRUPT || read == -E_IO;
		if (read < 0)
			continue;
		if (letter_filter_matches(f, &letter)) {
			letter_show(to, &letter, keep_ms, false);
			n_found++;
		}
		letter_free(&letter);
	}
	lister_free(&l);
	if (n_damaged > 0)
		(void)command_fail(0, "%llu files cannot be read as they were written",
		    (unsigned long long)n_damaged);
	return r < 0 ? command_fail(EXIT_NO, "%s cannot be read: %m", s->dir) : EXIT_OK;
}

/* The folder itself, where no relay runs. */
static int
list_folder(const struct config *config, const struct letter_filter *f, struct buf *to)
{
	char path[PATH_MAX];
	struct shelf shelf;
	int fd;

	(void)snprintf(path, sizeof(path), "%s/quarantine", config->state_dir); /* cut: not there */
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return command_fail(
		    EXIT_OK, "%s: not there yet; the relay makes it at its first start", path);
	if (fd < 0)
		return command_fail(EXIT_NO, "%s: %m; become root or the user postern-spool", path);
	(void)close(fd); /* only to know */
	shelf_open_reader(&shelf, path);
	return read_shelf(&shelf, f, config->quarantine.keep_ms, to);
}

static size_t
count_lines(struct span text)
{
	size_t n = 0;

	for (size_t i = 0; i < text.n; i++)
		n += text.p[i] == '\n';
	return n;
}

static int
list(const struct command_line *line, const struct config *config)
{
	struct buf answer = BUF_INIT(LINES_MAX);
	struct span words[WORDS_MAX];
	const char *asked[WORDS_MAX + 2] = {"quarantine", "list"};
	struct letter_filter filter;
	struct err err = {0};
	size_t n = line->n_words - 1;
	int status;

	for (size_t i = 0; i < n; i++) {
		asked[i + 2] = line->words[i + 1];
		words[i] = span_str(line->words[i + 1]);
	}
	if (letter_filter_parse(words, n, clock_wall_ms(), &filter, &err) < 0)
		return command_fail(EXIT_USAGE, "%s", err.text);
	status = ask_is_running(config) ? ask_relay(config, asked, n + 2, &answer)
					: list_folder(config, &filter, &answer);
	if (status == EXIT_OK && line->is_json)
		printf("%.*s", (int)answer.n, answer.n ? answer.p : "");
	else if (status == EXIT_OK)
		table_print(buf_span(&answer), columns);
	if (status == EXIT_OK && count_lines(buf_span(&answer)) == filter.limit)
		(void)command_fail(0,
		    "these are the newest %llu; --limit %llu shows more, --until older ones",
		    (unsigned long long)filter.limit, (unsigned long long)filter.limit * 10);
	if (answer.failed)
		status = command_fail(EXIT_TEMPFAIL, "more than fits; ask for less");
	buf_free(&answer);
	return status;
}

/* --- show -------------------------------------------------------------------------------------- */

/* A header section from outside: nothing of it may steer the terminal. */
static void
print_visibly(const char *text, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned char c = (unsigned char)text[i];

		if (c == '\r' && i + 1 < n && text[i + 1] == '\n')
			continue;
		if (c == '\n' || c == '\t')
			putchar(c);
		else if (c < 32)
			printf("^%c", c + 64);
		else if (c == 127)
			printf("^?");
		else if (c == 0xc2 && i + 1 < n && (unsigned char)text[i + 1] < 0xa0)
			printf("<%02X>", (unsigned char)text[++i]); /* U+0080 to U+009F */
		else
			putchar(c);
	}
}

static void
print_letter(struct span answer)
{
	json_error_t error;
	json_t *object = json_loadb(answer.p, answer.n, JSON_ALLOW_NUL, &error);
	json_t *header = json_object_get(object, "header");
	char *rest;

	if (!json_is_string(header)) {
		json_decref(object);
		return;
	}
	json_incref(header);
	(void)json_object_del(object, "header"); /* it is there */
	rest = json_dumps(object, JSON_COMPACT);
	if (rest != NULL)
		table_print_object(span_str(rest));
	free(rest);
	printf("\n");
	print_visibly(json_string_value(header), json_string_length(header));
	json_decref(header);
	json_decref(object);
}

static int
show(const struct command_line *line, const struct config *config)
{
	const char *words[] = {"quarantine", "show", line->words[1], "--raw"};
	bool is_raw = line->n_words == 3 && strcmp(line->words[2], "--raw") == 0;
	struct buf answer = BUF_INIT(0);
	int status;

	if (line->n_words != 2 && !is_raw)
		return command_fail(EXIT_USAGE, "%s", usage);
	status = ask_relay(config, words, is_raw ? 4 : 3, &answer);
	if (status == EXIT_OK && (is_raw || line->is_json))
		(void)fwrite(answer.p, 1, answer.n, stdout); /* main flushes and tests */
	else if (status == EXIT_OK)
		print_letter(buf_span(&answer));
	buf_free(&answer);
	return status;
}

/* --- release, delete --------------------------------------------------------------------------- */

static void
print_done(const char *id, bool is_done)
{
	json_t *object = json_pack("{s:s,s:b}", "id", id, "ok", (int)is_done);

	if (object != NULL && json_dumpf(object, stdout, JSON_COMPACT) == 0)
		printf("\n");
	json_decref(object);
}

/* One request for each id, all with the same options. */
static int
each(const struct command_line *line, const struct config *config)
{
	const char *words[WORDS_MAX + 3] = {"quarantine", line->words[0]};
	size_t n_ids = 1;
	int worst = EXIT_OK;

	while (n_ids < line->n_words && line->words[n_ids][0] != '-')
		n_ids++;
	for (size_t i = n_ids; i < line->n_words; i++)
		words[3 + i - n_ids] = line->words[i];
	if (n_ids == 1)
		return command_fail(EXIT_USAGE, "%s", usage);
	for (size_t i = 1; i < n_ids; i++) {
		struct buf answer = BUF_INIT(0);
		int status;

		words[2] = line->words[i];
		status = ask_relay(config, words, 3 + line->n_words - n_ids, &answer);
		buf_free(&answer);
		if (status == EXIT_NOT_RUNNING || status == EXIT_USAGE)
			return status; /* the others would hear the same */
		if (line->is_json)
			print_done(line->words[i], status == EXIT_OK);
		if (status > worst)
			worst = status;
	}
	return worst;
}

int
command_quarantine(const struct command_line *line)
{
	static const struct {
		const char *verb;
		int (*run)(const struct command_line *line, const struct config *config);
		size_t words; /* with the verb, at least */
	} verbs[] = {
	    {"list", list, 1}, {"show", show, 2}, {"release", each, 2}, {"delete", each, 2}};
	struct config *config;
	int status;

	for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
		if (line->n_words < verbs[i].words || line->n_words > WORDS_MAX ||
		    strcmp(line->words[0], verbs[i].verb) != 0)
			continue;
		config = command_place(line);
		if (config == NULL)
			return EXIT_CONFIG;
		status = verbs[i].run(line, config);
		config_free(&config);
		return status;
	}
	return command_fail(EXIT_USAGE, "%s", usage);
}

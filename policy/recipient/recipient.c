#include "policy/recipient/recipient.h"
#include "policy/rules/textset.h"
#include "relay/base/mem.h"
#include "relay/base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { READ_STEP = 65536 };

struct recipients {
	struct textset entries; /* as written: "user@dom", "@dom", "user" */
};

static struct span
entry_of_line(struct span line)
{
	line = span_trim(line);
	for (size_t i = 0; i < line.n; i++)
		if (line.p[i] == '#' && (i == 0 || line.p[i - 1] == ' ' || line.p[i - 1] == '\t'))
			return span_trim(span_take(line, i));
	return line;
}

static bool
has_byte_of(struct span s, const char *bytes)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] < 32 || strchr(bytes, s.p[i]) != NULL)
			return true;
	return false;
}

/* What is wrong with an entry; NULL: nothing. */
static const char *
complaint(struct span entry)
{
	size_t at = span_rfind(entry, '@');
	struct span domain = span_skip(entry, at + 1);

	if (entry.n > RECIPIENT_MAX)
		return "an entry longer than 320 bytes; write one address a line";
	if (!utf8_is_valid(entry))
		return "not UTF-8 text; save the file as UTF-8";
	if (has_byte_of(entry, "\177<>,;") || (entry.p[0] != '"' && has_byte_of(entry, " ")))
		return "more than an address; write one address a line, without <> and commas";
	if (at < entry.n && (domain.n == 0 || has_byte_of(domain, " *\"/")))
		return "no domain behind the @; write user@example.org or @example.org";
	if (span_find(entry, '*') < entry.n)
		return "a glob; write @example.org for every address of a domain";
	return NULL;
}

struct recipients *
recipients_parse(struct span text, const char *file, struct err *err)
{
	struct recipients *table = mem_alloc(sizeof(*table));
	size_t number = 0;

	text = span_skip_bom(text);
	while (text.n > 0) {
		struct span entry = entry_of_line(span_cut(&text, '\n'));
		const char *wrong;

		number++;
		if (entry.n == 0)
			continue;
		wrong = complaint(entry);
		if (wrong != NULL) {
			(void)err_set(
			    err, E_CONFIG, "%s:%zu: %s", file, number, wrong); /* NULL says it */
			recipients_free(&table);
			return NULL;
		}
		must(textset_add(
		    &table->entries, entry)); /* RECIPIENT_MAX is below the set's limit */
	}
	return table;
}

static int
read_all(int fd, struct buf *text)
{
	for (;;) {
		char *to = buf_room(text, READ_STEP);
		ssize_t n;

		if (to == NULL)
			return -E_LIMIT;
		n = read(fd, to, READ_STEP);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -E_IO;
		if (n == 0)
			return 0;
		text->n += (size_t)n;
	}
}

struct recipients *
recipients_load(const char *path, struct err *err)
{
	struct buf text = BUF_INIT(RECIPIENTS_TEXT_MAX + READ_STEP);
	struct recipients *table = NULL;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int rc = fd < 0 ? -E_IO : read_all(fd, &text);

	/* NULL is what is returned, `err` says why. */
	if (rc == -E_IO)
		(void)err_set(err, E_IO, "%s: %m; make it a readable file", path);
	else if (rc < 0)
		(void)err_set(err, E_LIMIT, "%s: more than %d bytes; divide it by domain", path,
		    RECIPIENTS_TEXT_MAX);
	else
		table = recipients_parse(buf_span(&text), path, err);
	if (fd >= 0)
		(void)close(fd); /* nothing was written */
	buf_free(&text);
	return table;
}

bool
recipients_has(const struct recipients *table, struct span address)
{
	size_t at = span_rfind(address, '@');

	if (address.n == 0 || address.n > RECIPIENT_MAX || at == 0)
		return false;
	if (textset_has(&table->entries, address))
		return true;
	if (at == address.n)
		return false;
	return textset_has(&table->entries, span_skip(address, at)) ||
	       textset_has(&table->entries, span_take(address, at));
}

size_t
recipients_count(const struct recipients *table)
{
	return table->entries.count;
}

void
recipients_free(struct recipients **table)
{
	if (*table == NULL)
		return;
	textset_free(&(*table)->entries);
	mem_free(*table);
	*table = NULL;
}

#include "filters/antivirus/layers.h"
#include "relay/base/buf.h"

void
layers_clear(struct layers *l)
{
	l->n = 0;
}

/* The line without blanks at its end; a CR is one wherever it stands there. */
static struct span
line_of(struct span line)
{
	while (line.n > 0 && (line.p[line.n - 1] == '\r' || line.p[line.n - 1] == ' ' ||
				 line.p[line.n - 1] == '\t'))
		line.n--;
	return line;
}

/* Of the lines that are not empty, each with one LF. */
static bool
text_key(struct span text, struct clean_key *key)
{
	struct buf lines = BUF_INIT(LAYERS_TEXT_MAX + 1);
	bool is_fine;

	if (text.n > LAYERS_TEXT_MAX || buf_room(&lines, text.n + 1) == NULL)
		return false;
	while (text.n > 0) {
		struct span line = line_of(span_cut(&text, '\n'));

		if (line.n == 0)
			continue;
		(void)buf_add_span(&lines, line); /* the room is there, see above */
		(void)buf_add_char(&lines, '\n');
	}
	is_fine = !lines.failed && clean_key(buf_span(&lines), key);
	buf_free(&lines);
	return is_fine;
}

void
layers_add(struct layers *l, struct span bytes, bool is_text)
{
	struct layer *to = &l->items[l->n];

	if (l->n == LAYERS_MAX || !clean_key(bytes, &to->bytes))
		return;
	to->is_text = is_text && text_key(bytes, &to->lines);
	l->n++;
}

static bool
has_bytes(const struct layers *l, const struct clean_key *key)
{
	for (size_t i = 0; i < l->n; i++)
		if (memcmp(&l->items[i].bytes, key, sizeof(*key)) == 0)
			return true;
	return false;
}

static bool
has_lines(const struct layers *l, const struct clean_key *key)
{
	for (size_t i = 0; i < l->n; i++)
		if (l->items[i].is_text && memcmp(&l->items[i].lines, key, sizeof(*key)) == 0)
			return true;
	return false;
}

bool
layers_have(const struct layers *l, struct span bytes, bool is_text)
{
	struct clean_key key;

	if (l->n == 0)
		return false;
	if (is_text && text_key(bytes, &key) && has_lines(l, &key))
		return true;
	return clean_key(bytes, &key) && has_bytes(l, &key);
}

#include "relay/message/card.h"

enum { HEAD_LOOK = 2000 }; /* bytes in which a property's parameters end */

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

bool
card_is_one(struct span text)
{
	if (span_starts(text, SPAN("\xef\xbb\xbf")))
		text = span_skip(text, 3);
	text = span_take(text, HEAD_LOOK);
	return span_starts_nocase(span_trim(text), SPAN("BEGIN:V"));
}

/* A line with those that it is folded into (RFC 5545 section 3.1). */
static struct span
logical_line(struct span text, size_t at)
{
	struct span rest = span_skip(text, at);
	size_t n = span_find(rest, '\n') + 1;

	while (n < rest.n && is_blank(rest.p[n]))
		n += span_find(span_skip(rest, n), '\n') + 1;
	return span_take(rest, n);
}

/* Behind a fold at i, else i. */
static size_t
behind_fold(struct span s, size_t i)
{
	size_t k = i < s.n && s.p[i] == '\r' ? i + 1 : i;

	return k + 1 < s.n && s.p[k] == '\n' && is_blank(s.p[k + 1]) ? k + 2 : i;
}

/* Behind the first `word`, which is in capitals, in any case and with folds anywhere in it; SIZE_MAX: none. */
static size_t
find_word(struct span s, struct span word)
{
	for (size_t i = 0; i < s.n; i++) {
		size_t k = i, n = 0;

		while (n < word.n && k < s.n && char_lower(s.p[k]) == char_lower(word.p[n])) {
			n++;
			k = behind_fold(s, k + 1);
		}
		if (n == word.n)
			return k;
	}
	return SIZE_MAX;
}

/* Name and parameters of a property: up to the ':' that is not in quotes. */
static struct span
property_head(struct span line)
{
	bool is_quoted = false;
	size_t i = 0;

	line = span_take(line, HEAD_LOOK);
	for (; i < line.n && (is_quoted || line.p[i] != ':'); i++)
		is_quoted ^= line.p[i] == '"';
	return span_take(line, i < line.n ? i : 0);
}

/* Where the base64 of a value begins; SIZE_MAX: it is none. */
static size_t
find_base64(struct span head, struct span value)
{
	size_t at;

	if (find_word(head, SPAN("ENCODING=B")) != SIZE_MAX ||
	    find_word(head, SPAN(";BASE64")) != SIZE_MAX)
		return 0;
	value = span_take(value, HEAD_LOOK);
	at = find_word(value, SPAN(";BASE64,"));
	return find_word(span_take(value, at), SPAN("DATA:")) != SIZE_MAX ? at : SIZE_MAX;
}

static struct span
find_name(struct span head)
{
	size_t at = find_word(head, SPAN("FILENAME=")), n = 0;
	struct span name = span_skip(head, at);

	if (name.n > 0 && name.p[0] == '"') {
		name = span_skip(name, 1);
		return span_take(name, span_find(name, '"'));
	}
	while (n < name.n && name.p[n] != ';')
		n++;
	return span_take(name, n);
}

bool
card_next(struct span text, size_t *at, struct inline_file *file)
{
	while (*at < text.n) {
		struct span line = logical_line(text, *at), head = property_head(line), value;
		size_t start;

		*at += line.n;
		if (head.n == 0)
			continue;
		value = span_skip(line, head.n + 1);
		start = find_base64(head, value);
		if (start == SIZE_MAX)
			continue;
		*file = (struct inline_file){.kind = INLINE_BASE64,
		    .name = find_name(head),
		    .data = span_skip(value, start)};
		return true;
	}
	return false;
}

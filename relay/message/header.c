#include "relay/message/header.h"
#include "relay/message/decode.h"

/* The first line of s with its LF; all of s when there is none. */
static struct span
first_line(struct span s)
{
	size_t n = span_find(s, '\n');

	return span_take(s, n < s.n ? n + 1 : n);
}

static bool
is_empty_line(struct span line)
{
	return span_eq(line, SPAN("\r\n")) || span_eq(line, SPAN("\n"));
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

size_t
header_section_length(struct span message)
{
	size_t at = 0;

	while (at < message.n) {
		struct span line = first_line(span_skip(message, at));

		if (is_empty_line(line))
			return at;
		at += line.n;
	}
	return message.n;
}

struct span
header_body(struct span message)
{
	struct span rest = span_skip(message, header_section_length(message));

	return span_skip(rest, first_line(rest).n);
}

/* RFC 5322 section 2.2: printable ASCII without the colon. */
static bool
name_is_possible(struct span name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= 0x20 || name.p[i] > 0x7e)
			return false;
	return name.n > 0;
}

bool
header_next(struct span *rest, struct header_field *field)
{
	struct span line = first_line(*rest), bare;
	size_t n = line.n, colon;

	if (line.n == 0)
		return false;
	while (n < rest->n && is_blank(rest->p[n]))
		n += first_line(span_skip(*rest, n)).n;
	*field = (struct header_field){.whole = span_take(*rest, n)};
	*rest = span_skip(*rest, n);

	colon = span_find(line, ':');
	field->name = span_take(line, colon);
	while (field->name.n > 0 && is_blank(field->name.p[field->name.n - 1]))
		field->name.n--;
	bare = span_chomp(field->whole);
	if (colon == line.n || !name_is_possible(field->name)) {
		field->is_malformed = true;
		field->name = span_take(line, 0);
		field->value = bare;
		return true;
	}
	field->value = span_skip(bare, colon + 1);
	return true;
}

void
header_decode(struct span value, struct buf *to)
{
	struct buf text = BUF_INIT(HEADER_DECODED_MAX);

	decode_words(span_trim(value), &text);
	(void)buf_add_span(to, span_trim(buf_span(&text))); /* sticky */
	buf_free(&text);
}

bool
header_find(struct span section, struct span name, struct header_field *field)
{
	while (header_next(&section, field))
		if (!field->is_malformed && span_eq_nocase(field->name, name))
			return true;
	return false;
}

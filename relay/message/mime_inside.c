/* mime_inside.c - what is inside of a part that holds no others by its type: files in a text, in a calendar or in
 * cards, and messages in files. */
#include "relay/base/utf8.h"
#include "relay/message/card.h"
#include "relay/message/charset.h"
#include "relay/message/cms.h"
#include "relay/message/inline_file.h"
#include "relay/message/mime_parser.h"
#include "relay/message/param.h"

enum { ROUNDING = 8 };

/* The name of a file in a text: folds undone, in UTF-8. */
static struct span
file_name(struct parser *p, struct span name)
{
	struct buf flat = BUF_INIT(PARAM_VALUE_MAX), clean = BUF_INIT(PARAM_VALUE_MAX);

	name = leaf_characters(name, PARAM_VALUE_MAX / 4);
	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] == '\n')
			i++; /* and the blank behind it */
		else if (name.p[i] != '\r')
			(void)buf_add_char(&flat, name.p[i]); /* fits */
	}
	(void)charset_to_utf8(SPAN(""), buf_span(&flat), &clean); /* as it goes */
	name = parser_keep(p, buf_span(&clean));
	buf_free(&flat);
	buf_free(&clean);
	return name;
}

/* False: a limit is reached. */
static bool
add_inline_file(struct parser *p, const struct inline_file *file, uint32_t index, uint32_t depth)
{
	size_t room = file->data.n + ROUNDING;
	struct mime_part *part;
	struct span *name;

	if (depth + 1 > p->limits.depth) {
		parser_flag(p, MIME_TOO_DEEP);
		return false;
	}
	if (room + sizeof(*name) + PARAM_VALUE_MAX > parser_room(p) ||
	    room > p->limits.decoded_bytes - p->decoded) {
		parser_flag(p, MIME_TOO_LARGE);
		return false;
	}
	part = parser_part(p);
	if (part == NULL)
		return false;
	part->parent = index;
	part->depth = depth + 1;
	part->is_reading = true;
	part->type = SPAN("application/octet-stream");
	part->raw = file->data;
	part->encoding = file->kind == INLINE_YENC ? CLAIMS_YENC : CLAIMS_UU;
	part->decoded = span_of(arena_alloc(p->arena, room), 0);
	part->decoded.n = inline_file_decode(file, (char *)(uintptr_t)part->decoded.p);
	p->decoded += part->decoded.n;
	name = arena_alloc(p->arena, sizeof(*name));
	*name = file_name(p, file->name);
	part->names = name;
	part->n_names = name->n > 0;
	part->filename = *name;
	parser_flag(p, MIME_INLINE_FILE);
	return true;
}

void
inside_files(struct parser *p, struct span text, uint32_t index, uint32_t depth)
{
	struct inline_file file;
	size_t at = 0;

	while (inline_file_next(text, &at, &file))
		if (!add_inline_file(p, &file, index, depth))
			return;
}

void
inside_card_files(struct parser *p, struct span text, uint32_t index, uint32_t depth)
{
	struct inline_file file;
	size_t at = 0;

	while (card_is_one(text) && card_next(text, &at, &file))
		if (!add_inline_file(p, &file, index, depth))
			return;
}

/* --- messages inside of files ---------------------------------------------------------------- */

/* Types and names of files that mail readers open as what they are: messages. */
static bool
is_message_file(const struct mime_part *part)
{
	static const char *const endings[] = {".eml", ".mht", ".mhtml", ".nws", NULL};

	if (span_starts(part->type, SPAN("text/rfc822")))
		return true;
	for (size_t i = 0; i < part->n_names; i++)
		for (const char *const *ending = endings; *ending != NULL; ending++)
			if (span_ends_nocase(part->names[i], span_str(*ending)))
				return true;
	return false;
}

/* What is signed, in memory of its own: in the message it stands in pieces. */
static struct span
signed_message(struct parser *p, struct span bytes)
{
	char *to = mem_alloc(bytes.n);
	struct span content = span_of(to, cms_content(bytes, to)), kept = {0};

	if (content.n > p->limits.decoded_bytes - p->decoded)
		parser_flag(p, MIME_TOO_LARGE);
	else
		kept = parser_keep(p, content);
	p->decoded += kept.n;
	mem_free(to);
	return kept;
}

/* The message in a part of another type: signed, or a file that begins like one.  Of texts only those that
 * say so: people write about headers. */
static struct span
message_inside(struct parser *p, uint32_t index)
{
	const struct mime_part *part = &p->out->parts[index];
	struct span rest = span_take(part->decoded, HEADER_FIELD_LOOK);
	struct header_field field;

	if (cms_is_one(part->decoded))
		return signed_message(p, part->decoded);
	if (span_starts(part->type, SPAN("text/")) && !is_message_file(part))
		return span_take(rest, 0);
	if (!header_next(&rest, &field) || field.is_malformed || !claims_has_any(part->decoded))
		return span_take(rest, 0);
	return part->decoded;
}

void
inside_message(struct parser *p, uint32_t index)
{
	uint32_t depth = p->out->parts[index].depth, first;
	struct span message = message_inside(p, index);

	if (message.n == 0)
		return;
	if (depth >= p->limits.depth) {
		p->out->parts[index].is_truncated = true;
		parser_flag(p, MIME_TOO_DEEP);
		return;
	}
	first = (uint32_t)p->out->n_parts;
	parser_message(p, message, index, depth + 1);
	/* Beside the file itself, which is what the part is. */
	if (p->out->n_parts > first)
		p->out->parts[first].is_reading = true;
}

/* mime_leaf.c - bodies that are no multipart: decoded, as text, and in their other readings. */
#include "relay/base/err.h"
#include "relay/base/utf8.h"
#include "relay/message/charset.h"
#include "relay/message/decode.h"
#include "relay/message/inline_file.h"
#include "relay/message/mime_parser.h"
#include "relay/message/param.h"

enum { ROUNDING = 8 };

/* --- transfer encodings ---------------------------------------------------------------------- */

static size_t
room_for(unsigned encoding, size_t n)
{
	if (encoding == CLAIMS_BASE64)
		return decode_base64_room(n);
	return n + ROUNDING;
}

/* A body that is uuencode or yEnc as a whole; without a first line all of it is data. */
static size_t
decode_file(struct span in, unsigned encoding, char *to, bool *is_bad)
{
	struct inline_file file;
	size_t at = 0;

	while (inline_file_next(in, &at, &file))
		if ((file.kind == INLINE_YENC) == (encoding == CLAIMS_YENC))
			return inline_file_decode(&file, to);
	*is_bad = true;
	file = (struct inline_file){
	    .kind = encoding == CLAIMS_YENC ? INLINE_YENC : INLINE_UU, .data = in};
	return inline_file_decode(&file, to);
}

static size_t
decode_as(struct span in, unsigned encoding, char *to, bool *is_bad)
{
	switch (encoding) {
	case CLAIMS_BASE64:
		return decode_base64(in, to, is_bad);
	case CLAIMS_QUOTED:
		return decode_quoted_printable(in, to, is_bad);
	case CLAIMS_UU:
	case CLAIMS_YENC:
		return decode_file(in, encoding, to, is_bad);
	default:
		memcpy(to, in.p, in.n);
		return in.n;
	}
}

/* How much of raw may be decoded into `room` bytes. */
static struct span
take_fitting(struct parser *p, struct span raw, unsigned encoding, size_t room)
{
	size_t left = p->limits.decoded_bytes - p->decoded;
	struct span in;

	if (room > left)
		room = left;
	if (encoding == CLAIMS_BASE64)
		in = span_take(raw, room < 8 ? 0 : (room - 3) / 3 * 4);
	else
		in = span_take(raw, room < ROUNDING ? 0 : room - ROUNDING);
	if (in.n < raw.n)
		parser_flag(p, MIME_TOO_LARGE);
	return in;
}

/* Another reading of the same body with the same encoding has been decoded already. */
static bool
reuse(struct parser *p, uint32_t index)
{
	struct mime_part *own = &p->out->parts[index];

	for (uint32_t i = 0; i < index; i++) {
		const struct mime_part *part = &p->out->parts[i];

		if (part->raw.p != own->raw.p || part->raw.n != own->raw.n ||
		    part->encoding != own->encoding)
			continue;
		own->decoded = part->decoded;
		own->is_malformed |= part->is_malformed;
		own->is_truncated |= part->is_truncated;
		return true;
	}
	return false;
}

void
leaf_decode(struct parser *p, uint32_t index, unsigned encoding)
{
	struct mime_part *part = &p->out->parts[index];
	struct span in = part->raw;
	bool is_bad = false;
	char *to;
	size_t n;

	part->decoded = part->raw;
	part->encoding = encoding;
	if (encoding == CLAIMS_PLAIN || (part->is_reading && reuse(p, index)))
		return;
	in = take_fitting(p, in, encoding, parser_room(p));
	part->is_truncated |= in.n < part->raw.n;
	part->decoded = in;
	if (in.n == 0)
		return;
	to = arena_alloc(p->arena, room_for(encoding, in.n));
	n = decode_as(in, encoding, to, &is_bad);
	part->decoded = span_of(to, n);
	p->decoded += n;
	if (is_bad) {
		part->is_malformed = true;
		parser_flag(p, MIME_BAD_ENCODING);
	}
}

char *
leaf_decode_aside(struct parser *p, struct span raw, unsigned encoding, size_t *n)
{
	struct span in = take_fitting(p, raw, encoding, parser_room(p));
	bool is_bad = false;
	char *to;

	if (in.n == 0)
		return NULL;
	to = mem_alloc(room_for(encoding, in.n));
	*n = decode_as(in, encoding, to, &is_bad);
	return to;
}

/* --- text ------------------------------------------------------------------------------------ */

struct span
leaf_characters(struct span s, size_t max)
{
	if (s.n <= max)
		return s;
	while (max > 0 && ((unsigned char)s.p[max] & 0xC0) == 0x80)
		max--;
	return span_take(s, max);
}

static void
fill_text(struct parser *p, struct mime_part *part)
{
	struct span head = leaf_characters(part->decoded, MIME_TEXT);
	size_t room = parser_room(p);
	struct buf text = BUF_INIT(room < MIME_TEXT ? room : MIME_TEXT);

	if (head.n < part->decoded.n)
		part->is_truncated = true;
	if (charset_is_utf8(part->charset) && utf8_is_valid(head)) {
		part->text = head;
		return;
	}
	if (!charset_to_utf8(part->charset, part->decoded, &text))
		parser_flag(p, MIME_BAD_CHARSET);
	if (text.n + 8 > text.max) {
		part->is_truncated = true;
		if (text.max < MIME_TEXT)
			parser_flag(p, MIME_TOO_LARGE);
	}
	if (text.n == text.max && text.n > 0)
		text.n = leaf_characters(buf_span(&text), text.n - 1).n;
	part->text = parser_keep(p, buf_span(&text));
	buf_free(&text);
}

/* The text in one more charset, when that makes another text of it. */
static void
add_text(struct parser *p, uint32_t index, struct span charset)
{
	const struct mime_part *part = &p->out->parts[index];
	struct buf text = BUF_INIT(MIME_TEXT);
	struct mime_part *reading;

	if (span_eq_nocase(charset, part->charset) || !charset_is_known(charset))
		return;
	(void)charset_to_utf8(charset, part->decoded, &text); /* as it goes */
	if (!span_eq(buf_span(&text), part->text)) {
		reading = parser_reading(p, index);
		if (reading != NULL) {
			reading->charset = charset;
			reading->text = parser_keep(p, buf_span(&text));
			parser_flag(p, MIME_TWO_TEXTS);
		}
	}
	buf_free(&text);
}

static bool
has_wide_mark(struct span s)
{
	return span_starts(s, SPAN("\xff\xfe")) || span_starts(s, SPAN("\xfe\xff"));
}

void
leaf_text(struct parser *p, uint32_t index, struct span type_value)
{
	struct variants charsets = {.n = 0};
	struct mime_part *part = &p->out->parts[index];

	if (type_value.n > 0)
		param_readings(type_value, SPAN("charset"), p->arena, &charsets);
	for (size_t i = 0; i < charsets.n; i++) {
		char lower[CHARSET_NAME_MAX];
		size_t n = 0;

		for (; n < charsets.items[i].n && n < sizeof(lower); n++)
			lower[n] = char_lower(charsets.items[i].p[n]);
		charsets.items[i] = parser_keep(p, span_of(lower, n));
	}
	part->charset = charsets.n > 0 ? charsets.items[0] : SPAN("");
	if (!span_starts(part->type, SPAN("text/")))
		return;
	fill_text(p, part);
	for (size_t i = 1; i < charsets.n; i++)
		add_text(p, index, charsets.items[i]);
	part = &p->out->parts[index];
	if (has_wide_mark(part->decoded)) {
		add_text(p, index, SPAN("utf-16"));
	} else if (charset_needs_mark(part->charset)) {
		/* Without a mark: big endian by the standard, little by habit. */
		add_text(p, index, SPAN("utf-16be"));
		add_text(p, index, SPAN("utf-16le"));
	}
}

/* --- names ----------------------------------------------------------------------------------- */

/* The last part of a URL's path. */
static struct span
last_of_path(struct span url)
{
	size_t n = 0;

	while (n < url.n && url.p[n] != '?' && url.p[n] != '#')
		n++;
	url = span_take(url, n);
	n = span_rfind(url, '/');
	/* "http://host" has none. */
	if (n < url.n && n > 0 && url.p[n - 1] == '/')
		return span_take(url, 0);
	return n < url.n ? span_skip(url, n + 1) : url;
}

/* A part that has no name elsewhere goes by its description or its place, where that has the form of one:
 * a word with an ending. */
static void
add_other_names(struct parser *p, const struct claims_field *f, bool is_url, struct variants *names)
{
	struct buf text = BUF_INIT(PARAM_VALUE_MAX);

	for (size_t i = 0; i < f->n; i++) {
		struct span name;
		size_t n = 0;

		buf_clear(&text);
		header_decode(f->values[i], &text);
		name = is_url ? last_of_path(buf_span(&text)) : buf_span(&text);
		while (n < name.n && name.p[n] > ' ')
			n++;
		if (n == name.n && span_find(name, '.') < n)
			variants_add(names, p->arena, name);
	}
	buf_free(&text);
}

void
leaf_names(struct parser *p, uint32_t index, const struct claims *c)
{
	struct mime_part *part = &p->out->parts[index];
	struct variants names = {.n = 0};
	struct span *kept;

	for (size_t i = 0; i < c->disposition.n; i++)
		param_text_readings(c->disposition.values[i], SPAN("filename"), p->arena, &names);
	for (size_t i = 0; i < c->type.n; i++)
		param_text_readings(c->type.values[i], SPAN("name"), p->arena, &names);
	for (size_t i = 0; i < c->disposition.n; i++)
		param_text_readings(c->disposition.values[i], SPAN("name"), p->arena, &names);
	for (size_t i = 0; i < c->type.n; i++)
		param_text_readings(c->type.values[i], SPAN("filename"), p->arena, &names);
	if (names.n == 0) {
		add_other_names(p, &c->description, false, &names);
		add_other_names(p, &c->location, true, &names);
	}
	if (names.is_full)
		parser_flag(p, MIME_TOO_MANY_READINGS);
	if (names.n == 0 || parser_room(p) < names.n * sizeof(*kept))
		return;
	kept = arena_alloc(p->arena, names.n * sizeof(*kept));
	memcpy(kept, names.items, names.n * sizeof(*kept));
	part->names = kept;
	part->n_names = names.n;
	part->filename = kept[0];
}

/* --- further readings ------------------------------------------------------------------------ */

/* A message whose lines end with a CR alone, as some readers take it: the CRs as line ends. */
static void
add_bare_cr_message(struct parser *p, uint32_t index)
{
	const struct mime_part *part = &p->out->parts[index];
	struct span s = part->decoded;
	uint32_t depth = part->depth;
	bool has_bare = false;
	char *copy;

	for (size_t at = span_find(s, '\r'); at < s.n && !has_bare;
	     at += 1 + span_find(span_skip(s, at + 1), '\r'))
		has_bare = at + 1 == s.n || s.p[at + 1] != '\n';
	if (!has_bare)
		return;
	if (s.n > parser_room(p) || s.n > p->limits.decoded_bytes - p->decoded) {
		parser_flag(p, MIME_TOO_LARGE);
		return;
	}
	if (p->readings++ >= p->limits.readings) {
		parser_flag(p, MIME_TOO_MANY_READINGS);
		return;
	}
	copy = arena_alloc(p->arena, s.n + 1);
	for (size_t i = 0; i < s.n; i++)
		copy[i] = s.p[i] == '\r' && (i + 1 == s.n || s.p[i + 1] != '\n') ? '\n' : s.p[i];
	p->decoded += s.n;
	parser_message(p, span_of(copy, s.n), index, depth + 1);
}

void
leaf_finish(struct parser *p, uint32_t index, struct span type_value)
{
	struct mime_part *part = &p->out->parts[index];
	uint32_t depth = part->depth;
	struct span decoded = part->decoded;

	if (part->is_message) {
		if (depth >= p->limits.depth) {
			part->is_truncated = true;
			parser_flag(p, MIME_TOO_DEEP);
			return;
		}
		parser_message(p, decoded, index, depth + 1);
		add_bare_cr_message(p, index);
		return;
	}
	leaf_text(p, index, type_value);
	part = &p->out->parts[index];
	if (part->encoding == CLAIMS_PLAIN || span_starts(part->type, SPAN("text/")))
		inside_files(p, decoded, index, depth);
	inside_card_files(p, decoded, index, depth);
	inside_message(p, index);
}

/* Whether a reading of this body with these bytes is there. */
static bool
is_known(const struct parser *p, uint32_t index, struct span decoded)
{
	const struct mime_part *of = &p->out->parts[index];

	for (size_t i = 0; i < p->out->n_parts; i++) {
		const struct mime_part *part = &p->out->parts[i];

		if (part->raw.p == of->raw.p && part->raw.n == of->raw.n &&
		    part->is_message == of->is_message && span_eq(part->decoded, decoded))
			return true;
	}
	return false;
}

static bool
looks_like_header(struct span s)
{
	struct header_field field;
	struct span rest = span_take(s, HEADER_FIELD_LOOK);

	return header_next(&rest, &field) && !field.is_malformed;
}

/* Takes a reading that nobody has seen; its bytes are copied. */
static void
add_decoded(struct parser *p, uint32_t index, unsigned encoding, struct span decoded,
    unsigned anomaly, struct span type_value)
{
	struct mime_part *reading;

	if (is_known(p, index, decoded) ||
	    (p->out->parts[index].is_message && !looks_like_header(decoded)))
		return;
	reading = parser_reading(p, index);
	if (reading == NULL)
		return;
	reading->encoding = encoding;
	reading->decoded = encoding == CLAIMS_PLAIN ? decoded : parser_keep(p, decoded);
	if (encoding != CLAIMS_PLAIN)
		p->decoded += reading->decoded.n;
	p->out->anomalies |= anomaly;
	leaf_finish(p, (uint32_t)(reading - p->out->parts), type_value);
}

/* Ways to undo a broken encoding; of base64 that is only ragged, line by line. */
static void
add_broken_ways(
    struct parser *p, uint32_t index, unsigned encoding, bool is_broken, struct span type_value)
{
	struct span raw = p->out->parts[index].raw;
	struct span in = take_fitting(p, raw, encoding, parser_room(p));
	char *scratch, *to;
	size_t n;

	if (in.n == 0)
		return;
	scratch = mem_alloc(in.n);
	to = mem_alloc(room_for(encoding, in.n));
	if (encoding == CLAIMS_QUOTED) {
		n = decode_quoted_printable_strict(in, to);
		add_decoded(p, index, encoding, span_of(to, n), MIME_TWO_DECODINGS, type_value);
	}
	for (int way = 0; encoding == CLAIMS_BASE64 && way < BASE64_WAYS; way++) {
		if (!is_broken && way != BASE64_LINES)
			continue;
		n = decode_base64_as(in, (enum base64_way)way, scratch, to);
		if (n <= p->limits.decoded_bytes - p->decoded)
			add_decoded(p, index, encoding, span_of(to, n),
			    is_broken ? MIME_TWO_DECODINGS : 0, type_value);
		else
			parser_flag(p, MIME_TOO_LARGE);
	}
	mem_free(scratch);
	mem_free(to);
}

void
leaf_readings(struct parser *p, uint32_t index, const struct claims_encodings *e, bool is_bad,
    struct span type_value)
{
	struct span raw = p->out->parts[index].raw;

	for (unsigned bit = CLAIMS_PLAIN; bit <= CLAIMS_YENC; bit <<= 1) {
		char *bytes;
		size_t n = 0;

		if (bit == e->first || !(e->all & bit))
			continue;
		if (bit == CLAIMS_PLAIN) {
			add_decoded(p, index, bit, raw, MIME_TWO_ENCODINGS, type_value);
			continue;
		}
		bytes = leaf_decode_aside(p, raw, bit, &n);
		if (bytes != NULL && n <= p->limits.decoded_bytes - p->decoded)
			add_decoded(
			    p, index, bit, span_of(bytes, n), MIME_TWO_ENCODINGS, type_value);
		mem_free(bytes);
	}
	for (unsigned bit = CLAIMS_BASE64; bit <= CLAIMS_QUOTED; bit <<= 1)
		if ((e->all & bit) && (is_bad || bit != e->first))
			add_broken_ways(p, index, bit, true, type_value);
		else if ((e->all & bit & CLAIMS_BASE64) && decode_base64_is_ragged(raw))
			add_broken_ways(p, index, bit, false, type_value);
}

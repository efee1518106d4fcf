#include "relay/message/mime.h"
#include "relay/base/err.h"
#include "relay/base/utf8.h"
#include "relay/message/charset.h"
#include "relay/message/decode.h"
#include "relay/message/param.h"

enum {
	PARTS_FIRST = 8,    /* room made at the beginning; doubles */
	DEPTH_CEILING = 64, /* whatever limits say: each level is a call */
	BOUNDARY_MAX = 70,  /* RFC 2046 section 5.1.1; longer ones are used, and flagged */
	FILENAME_MAX_BYTES = 1024,
	WORD_MAX_BYTES = 128, /* type, encoding */
	ARENA_ROUNDING = 64   /* what an allocation may take beyond what was asked for */
};

struct parser {
	struct mime_limits limits;
	struct arena *arena;
	struct mime_message *out;
	size_t parts_cap, decoded;
};

/* What the fields of a part say about its body. */
struct content {
	struct span type, encoding, disposition; /* values as they stand there */
	bool has_type, has_encoding, has_disposition;
};

static void parse_part(
    struct parser *p, struct span whole, uint32_t parent, uint32_t depth, struct span default_type);

static void
flag(struct parser *p, enum mime_anomaly anomaly)
{
	p->out->anomalies |= (unsigned)anomaly;
}

static size_t
arena_room(const struct parser *p)
{
	size_t left = arena_left(p->arena);

	return left > ARENA_ROUNDING ? left - ARENA_ROUNDING : 0;
}

/* A copy in the arena; empty and flagged when there is no room. */
static struct span
keep(struct parser *p, struct span s)
{
	if (s.n >= arena_room(p)) {
		flag(p, MIME_TOO_LARGE);
		return SPAN("");
	}
	return arena_copy(p->arena, s);
}

/* --- header sections ------------------------------------------------------------------------- */

/*
 * Divides a part into header section and body.  Without an empty line the first line that is no
 * field begins the body; a section without a single field is body.
 */
static void
split(struct parser *p, struct span whole, struct span *section, struct span *body)
{
	size_t n = header_section_length(whole), fields = 0, first_bad = SIZE_MAX;
	struct span rest = span_take(whole, n < HEADER_SECTION_MAX ? n : HEADER_SECTION_MAX);
	const char *start = rest.p;
	bool has_field = false;
	struct header_field field;

	if (n > HEADER_SECTION_MAX)
		flag(p, MIME_BAD_HEADER);
	while (fields++ < HEADER_FIELDS_MAX && header_next(&rest, &field)) {
		if (!field.is_malformed)
			has_field = true;
		else if (first_bad == SIZE_MAX)
			first_bad = (size_t)(field.whole.p - start);
	}
	if (rest.n > 0 || first_bad != SIZE_MAX)
		flag(p, MIME_BAD_HEADER);
	*section = span_take(whole, n);
	*body = header_body(whole);
	if (first_bad != SIZE_MAX && !has_field) {
		*section = span_take(whole, 0);
		*body = whole;
	} else if (first_bad != SIZE_MAX && n == whole.n) {
		*section = span_take(whole, first_bad);
		*body = span_skip(whole, first_bad);
	}
	*section = span_take(*section, HEADER_SECTION_MAX);
}

static void
take_field(struct parser *p, struct span value, struct span *to, bool *has, bool is_flagged)
{
	if (*has && is_flagged)
		flag(p, MIME_DUPLICATE_HEADER);
	if (!*has)
		*to = value;
	*has = true;
}

static struct content
read_content(struct parser *p, struct span section)
{
	struct content c = {.has_type = false};
	struct header_field field;
	size_t fields = 0;

	while (fields++ < HEADER_FIELDS_MAX && header_next(&section, &field)) {
		if (field.is_malformed || !span_starts_nocase(field.name, SPAN("Content-")))
			continue;
		if (span_eq_nocase(field.name, SPAN("Content-Type")))
			take_field(p, field.value, &c.type, &c.has_type, true);
		else if (span_eq_nocase(field.name, SPAN("Content-Transfer-Encoding")))
			take_field(p, field.value, &c.encoding, &c.has_encoding, true);
		else if (span_eq_nocase(field.name, SPAN("Content-Disposition")))
			take_field(p, field.value, &c.disposition, &c.has_disposition, false);
	}
	return c;
}

static void
read_headers(struct parser *p, struct span section)
{
	struct span rest = section;
	struct header_field field;
	size_t n = 0, most = arena_room(p) / 2 / sizeof(field);

	while (n < HEADER_FIELDS_MAX && header_next(&rest, &field))
		n++;
	if (n > most) {
		flag(p, MIME_TOO_LARGE);
		n = most;
	}
	p->out->headers = arena_alloc(p->arena, n * sizeof(field));
	for (rest = section; p->out->n_headers < n; p->out->n_headers++)
		(void)header_next(&rest, &p->out->headers[p->out->n_headers]); /* counted above */
}

/* --- one part's facts ------------------------------------------------------------------------ */

static bool
type_is_possible(struct span type)
{
	size_t slash = span_find(type, '/');

	for (size_t i = 0; i < type.n; i++)
		if (type.p[i] <= 0x20 || type.p[i] > 0x7e ||
		    (type.p[i] == '/' ? i != slash : strchr("\"<>@,;:\\[]?=", type.p[i]) != NULL))
			return false;
	return slash > 0 && slash + 1 < type.n;
}

static void
read_type(struct parser *p, struct mime_part *part, const struct content *c, struct span fallback)
{
	struct buf word = BUF_INIT(WORD_MAX_BYTES);
	struct param_about about;

	part->type = fallback;
	if (!c->has_type)
		return;
	param_main_value(c->type, &word);
	if (type_is_possible(buf_span(&word))) {
		part->type = keep(p, buf_span(&word));
	} else {
		part->is_malformed = true;
		flag(p, MIME_BAD_HEADER);
	}
	buf_free(&word);

	word = BUF_INIT(PARAM_VALUE_MAX);
	if (param_find(c->type, SPAN("charset"), &word, &about)) {
		struct span name = span_take(span_trim(buf_span(&word)), CHARSET_NAME_MAX);
		char lower[CHARSET_NAME_MAX];

		for (size_t i = 0; i < name.n; i++)
			lower[i] = char_lower(name.p[i]);
		part->charset = keep(p, span_of(lower, name.n));
	}
	buf_free(&word);
}

static void
read_filename(struct parser *p, struct mime_part *part, const struct content *c)
{
	struct buf name = BUF_INIT(FILENAME_MAX_BYTES);

	if ((c->has_disposition && param_find_text(c->disposition, SPAN("filename"), &name) &&
		name.n > 0) ||
	    (c->has_type && param_find_text(c->type, SPAN("name"), &name)))
		part->filename = keep(p, buf_span(&name));
	buf_free(&name);
}

enum encoding { ENCODING_NONE, ENCODING_BASE64, ENCODING_QUOTED };

static enum encoding
read_encoding(struct parser *p, struct mime_part *part, const struct content *c)
{
	struct buf word = BUF_INIT(WORD_MAX_BYTES);
	enum encoding encoding = ENCODING_NONE;
	struct span name;

	if (!c->has_encoding)
		return ENCODING_NONE;
	param_main_value(c->encoding, &word);
	name = buf_span(&word);
	if (span_eq(name, SPAN("base64"))) {
		encoding = ENCODING_BASE64;
	} else if (span_eq(name, SPAN("quoted-printable"))) {
		encoding = ENCODING_QUOTED;
	} else if (!span_eq(name, SPAN("7bit")) && !span_eq(name, SPAN("8bit")) &&
		   !span_eq(name, SPAN("binary"))) {
		part->is_malformed = true;
		flag(p, MIME_UNKNOWN_ENCODING);
	}
	buf_free(&word);
	return encoding;
}

/* --- bodies ---------------------------------------------------------------------------------- */

static void
decode_body(struct parser *p, struct mime_part *part, enum encoding encoding)
{
	size_t left = p->limits.decoded_bytes - p->decoded, room = arena_room(p);
	struct span in = part->raw;
	bool is_bad = false;
	char *to;
	size_t n;

	part->decoded = part->raw;
	if (encoding == ENCODING_NONE)
		return;
	if (room > left)
		room = left;
	if (encoding == ENCODING_BASE64)
		in = span_take(in, room < 8 ? 0 : (room - 3) / 3 * 4);
	else
		in = span_take(in, room);
	if (in.n < part->raw.n) {
		part->is_truncated = true;
		flag(p, MIME_TOO_LARGE);
	}
	if (in.n == 0) {
		part->decoded = in;
		return;
	}
	to = arena_alloc(p->arena, encoding == ENCODING_BASE64 ? decode_base64_room(in.n) : in.n);
	n = encoding == ENCODING_BASE64 ? decode_base64(in, to, &is_bad)
					: decode_quoted_printable(in, to, &is_bad);
	part->decoded = span_of(to, n);
	p->decoded += n;
	if (is_bad) {
		part->is_malformed = true;
		flag(p, MIME_BAD_ENCODING);
	}
}

/* The longest start of s, up to max bytes, that does not end inside a character. */
static struct span
take_characters(struct span s, size_t max)
{
	if (s.n <= max)
		return s;
	while (max > 0 && ((unsigned char)s.p[max] & 0xC0) == 0x80)
		max--;
	return span_take(s, max);
}

static void
read_text(struct parser *p, struct mime_part *part)
{
	struct span head = take_characters(part->decoded, MIME_TEXT);
	size_t room = arena_room(p);
	struct buf text = BUF_INIT(room < MIME_TEXT ? room : MIME_TEXT);

	if (head.n < part->decoded.n)
		part->is_truncated = true;
	if (charset_is_utf8(part->charset) && utf8_is_valid(head)) {
		part->text = head;
		return;
	}
	if (!charset_to_utf8(part->charset, part->decoded, &text))
		flag(p, MIME_BAD_CHARSET);
	if (text.n + 8 > text.max) {
		part->is_truncated = true;
		if (text.max < MIME_TEXT)
			flag(p, MIME_TOO_LARGE);
	}
	if (text.n == text.max && text.n > 0)
		text.n = take_characters(buf_span(&text), text.n - 1).n;
	part->text = keep(p, buf_span(&text));
	buf_free(&text);
}

enum delimiter { DELIMITER_NONE, DELIMITER_NEXT, DELIMITER_CLOSE };

/* Whether a line that begins with "--" is a delimiter of this boundary; blanks may follow it. */
static enum delimiter
delimiter_of(struct span line, struct span boundary)
{
	enum delimiter kind = DELIMITER_NEXT;

	line = span_skip(line, 2); /* the dashes */
	if (!span_starts(line, boundary))
		return DELIMITER_NONE;
	line = span_skip(line, boundary.n);
	if (span_starts(line, SPAN("--"))) {
		kind = DELIMITER_CLOSE;
		line = span_skip(line, 2);
	}
	return span_trim(line).n == 0 ? kind : DELIMITER_NONE;
}

static struct span
line_at(struct span body, size_t at)
{
	struct span rest = span_skip(body, at);

	return span_take(rest, span_find(rest, '\n') + 1);
}

/* The next line from `at` on that begins with "--", body.n when there is none.  Dashes are searched,
 * not lines: base64 has none, so most of what is large is passed at the speed of memchr. */
static size_t
next_dashes(struct span body, size_t at)
{
	while (at < body.n) {
		at += span_find(span_skip(body, at), '-');
		if (at + 1 < body.n && body.p[at + 1] == '-' && (at == 0 || body.p[at - 1] == '\n'))
			return at;
		while (at < body.n && body.p[at] == '-')
			at++;
	}
	return body.n;
}

/* Returns how many parts were found, also those past a limit. */
static size_t
parse_children(
    struct parser *p, struct span body, struct span boundary, uint32_t index, uint32_t depth)
{
	struct span fallback = span_eq(p->out->parts[index].type, SPAN("multipart/digest"))
				   ? SPAN("message/rfc822")
				   : SPAN("text/plain");
	size_t start = SIZE_MAX, found = 0;
	bool is_closed = false;
	struct span line;

	for (size_t at = next_dashes(body, 0); at < body.n; at = next_dashes(body, at + line.n)) {
		enum delimiter kind;

		line = line_at(body, at);
		kind = delimiter_of(line, boundary);
		if (kind == DELIMITER_NONE)
			continue;
		if (start != SIZE_MAX) {
			struct span child = span_of(body.p + start, at - start);

			/* The line end before a delimiter belongs to it. */
			parse_part(p, span_chomp(child), index, depth + 1, fallback);
			if (p->out->anomalies & MIME_TOO_MANY_PARTS)
				return found;
		}
		if (kind == DELIMITER_NEXT) {
			found++;
			if (is_closed) /* behind the end: some readers show it */
				flag(p, MIME_BAD_BOUNDARY);
		}
		is_closed |= kind == DELIMITER_CLOSE;
		start = kind == DELIMITER_NEXT ? at + line.n : SIZE_MAX;
	}
	if (start != SIZE_MAX) {
		flag(p, MIME_BAD_BOUNDARY);
		parse_part(p, span_skip(body, start), index, depth + 1, fallback);
	}
	return found;
}

/* The first line that looks like a delimiter, for a multipart that names no boundary. */
static struct span
guess_boundary(struct span body)
{
	struct span line;

	for (size_t at = next_dashes(body, 0); at < body.n; at = next_dashes(body, at + line.n)) {
		line = line_at(body, at);
		if (span_trim(line).n > 2)
			return span_skip(span_trim(line), 2);
	}
	return span_take(body, 0);
}

static void
parse_multipart(struct parser *p, uint32_t index, uint32_t depth, enum encoding encoding,
    struct span type_value)
{
	struct buf word = BUF_INIT(PARAM_VALUE_MAX);
	struct param_about about = {.is_repeated = false};
	struct span body = p->out->parts[index].raw, boundary;
	size_t found = 0;

	(void)param_find(type_value, SPAN("boundary"), &word, &about); /* none: guessed */
	boundary = span_trim(buf_span(&word));
	if (boundary.n == 0)
		boundary = guess_boundary(body);
	if (word.n == 0 || boundary.n > BOUNDARY_MAX || about.is_repeated)
		flag(p, MIME_BAD_BOUNDARY);
	if (boundary.n > 0)
		found = parse_children(p, body, boundary, index, depth);
	if (encoding != ENCODING_NONE) {
		/* Not allowed (RFC 2045 section 6.4), but some readers decode it. */
		flag(p, MIME_BAD_ENCODING);
		if (found == 0 && boundary.n > 0) {
			decode_body(p, &p->out->parts[index], encoding);
			body = p->out->parts[index].decoded;
			found = parse_children(p, body, boundary, index, depth);
		}
	}
	if (found == 0) {
		p->out->parts[index].is_malformed = true;
		flag(p, MIME_BAD_BOUNDARY);
	}
	buf_free(&word);
}

/* --- the tree -------------------------------------------------------------------------------- */

/* A new last part, or NULL when a limit is reached. */
static struct mime_part *
add_part(struct parser *p)
{
	struct mime_message *m = p->out;

	if (m->n_parts >= p->limits.parts) {
		flag(p, MIME_TOO_MANY_PARTS);
		return NULL;
	}
	if (m->n_parts == p->parts_cap) {
		size_t cap = p->parts_cap == 0 ? PARTS_FIRST : p->parts_cap * 2;
		struct mime_part *parts;

		if (p->parts_cap > 0 && cap * sizeof(*parts) > arena_room(p)) {
			flag(p, MIME_TOO_LARGE);
			flag(p, MIME_TOO_MANY_PARTS);
			return NULL;
		}
		parts = arena_alloc(p->arena, cap * sizeof(*parts));
		if (m->n_parts > 0)
			memcpy(parts, m->parts, m->n_parts * sizeof(*parts));
		m->parts = parts;
		p->parts_cap = cap;
	}
	return &m->parts[m->n_parts++];
}

static bool
type_is_message(struct span type)
{
	return span_eq(type, SPAN("message/rfc822")) || span_eq(type, SPAN("message/global")) ||
	       span_eq(type, SPAN("message/news"));
}

static void
parse_body(struct parser *p, uint32_t index, uint32_t depth, enum encoding encoding,
    struct span type_value)
{
	struct mime_part *part = &p->out->parts[index];
	bool is_deepest = depth >= p->limits.depth;

	part->is_multipart = span_starts(part->type, SPAN("multipart/"));
	part->is_message = type_is_message(part->type);
	if (part->is_multipart && !is_deepest) {
		part->decoded = part->raw;
		parse_multipart(p, index, depth, encoding, type_value);
		return;
	}
	decode_body(p, part, encoding);
	if (span_starts(part->type, SPAN("text/")))
		read_text(p, part);
	if (!part->is_multipart && !part->is_message)
		return;
	if (is_deepest) {
		part->is_truncated = true;
		flag(p, MIME_TOO_DEEP);
		return;
	}
	parse_part(p, part->decoded, index, depth + 1, SPAN("text/plain"));
}

static void
parse_part(
    struct parser *p, struct span whole, uint32_t parent, uint32_t depth, struct span default_type)
{
	struct mime_part *part = add_part(p);
	struct span section, body;
	struct content content;

	if (part == NULL)
		return;
	split(p, whole, &section, &body);
	if (depth == 0)
		read_headers(p, section);
	content = read_content(p, section);
	part->parent = parent;
	part->depth = depth;
	part->raw = body;
	read_type(p, part, &content, default_type);
	read_filename(p, part, &content);
	parse_body(p, (uint32_t)(part - p->out->parts), depth, read_encoding(p, part, &content),
	    content.type);
}

void
mime_parse(struct span message, const struct mime_limits *limits, struct arena *arena,
    struct mime_message *out)
{
	struct parser p = {.arena = arena, .out = out};

	must(arena_left(arena) >= MIME_ARENA_MIN);
	if (limits != NULL)
		p.limits = *limits;
	if (p.limits.parts == 0)
		p.limits.parts = MIME_PARTS;
	if (p.limits.depth == 0)
		p.limits.depth = MIME_DEPTH;
	if (p.limits.depth > DEPTH_CEILING)
		p.limits.depth = DEPTH_CEILING;
	if (p.limits.decoded_bytes == 0)
		p.limits.decoded_bytes = MIME_DECODED;
	*out = (struct mime_message){.anomalies = 0};
	parse_part(&p, message, 0, 0, SPAN("text/plain"));
}

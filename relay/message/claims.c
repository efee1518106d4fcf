#include "relay/message/claims.h"
#include "relay/message/decode.h"
#include "relay/message/header.h"
#include "relay/message/param.h"

enum { WORD_MAX_BYTES = 128, TYPE_LOOK = 1000, NAME_LOOK = 200 };

/* --- where the section ends ------------------------------------------------------------------ */

static bool
is_blank_line(struct span whole)
{
	return span_trim(whole).n == 0;
}

/* Bytes of the empty lines that a part begins with, where some readers look for its header behind them. */
static size_t
empty_lines(struct span whole)
{
	size_t n = 0;

	while (n < whole.n && (whole.p[n] == '\r' || whole.p[n] == '\n'))
		n++;
	return n;
}

/* The end of the first line of blanks only inside a section; 0: there is none. */
static size_t
blank_line_end(struct span section)
{
	for (size_t at = 0; at < section.n;) {
		struct span line = span_skip(section, at);

		line = span_take(line, span_find(line, '\n') + 1);
		at += line.n;
		if (is_blank_line(line))
			return at;
	}
	return 0;
}

static void
add_view(struct claims_split *out, struct span section, struct span body)
{
	for (size_t i = 0; i < out->n; i++)
		if (out->views[i].body.n == body.n && out->views[i].section.n == section.n)
			return;
	if (out->n < CLAIMS_VIEWS_MAX)
		out->views[out->n++] = (struct claims_view){.section = section, .body = body};
}

static bool
has_claims(struct span section)
{
	struct claims c;

	claims_read(section, &c);
	return c.type.n + c.encoding.n + c.disposition.n > 0;
}

bool
claims_has_any(struct span whole)
{
	size_t n = header_section_length(span_take(whole, HEADER_SECTION_MAX));

	return has_claims(span_take(whole, n));
}

void
claims_split(struct span whole, struct claims_split *out)
{
	size_t n = header_section_length(whole), fields = 0, bad = SIZE_MAX, end;
	struct span rest = span_take(whole, n < HEADER_SECTION_MAX ? n : HEADER_SECTION_MAX);
	struct span section = span_take(whole, n), body = header_body(whole);
	const char *start = rest.p;
	bool has_field = false, has_field_before = false;
	struct header_field field;

	*out = (struct claims_split){.n = 0};
	while (fields++ < HEADER_FIELDS_MAX && header_next(&rest, &field)) {
		if (!field.is_malformed) {
			has_field = true;
			has_field_before |= bad == SIZE_MAX;
		} else if (bad == SIZE_MAX) {
			bad = (size_t)(field.whole.p - start);
		}
	}
	out->is_long = n > HEADER_SECTION_MAX || rest.n > 0;
	out->is_bad = out->is_long || bad != SIZE_MAX;
	if (bad != SIZE_MAX && !has_field) {
		section = span_take(whole, 0);
		body = whole;
	} else if (bad != SIZE_MAX && n == whole.n) {
		section = span_take(whole, bad);
		body = span_skip(whole, bad);
	}
	section = span_take(section, HEADER_SECTION_MAX);
	add_view(out, section, body);
	if (!has_field && n < whole.n && has_claims(span_take(whole, n)))
		add_view(out, span_take(whole, n), header_body(whole));
	if (bad != SIZE_MAX && has_field_before)
		add_view(out, span_take(whole, bad), span_skip(whole, bad));
	end = n == 0 ? empty_lines(whole) : 0;
	if (end > 0 && claims_has_any(span_skip(whole, end))) {
		struct span behind = span_skip(whole, end);

		out->is_bad = true;
		add_view(
		    out, span_take(behind, header_section_length(behind)), header_body(behind));
		out->views[out->n - 1].is_late = true;
	}
	end = blank_line_end(section);
	if (end > 0) {
		out->is_bad = true;
		add_view(out, span_take(whole, end), span_skip(whole, end));
	}
}

/* --- fields ---------------------------------------------------------------------------------- */

static void
add_claim(struct claims *c, struct claims_field *f, struct span value, bool is_strict)
{
	for (size_t i = 0; i < f->n; i++)
		if (span_eq(span_trim(f->values[i]), span_trim(value)))
			return;
	if (f->n == CLAIMS_MAX) {
		c->is_full = true;
		return;
	}
	f->values[f->n++] = value;
	f->n_strict += is_strict;
}

static struct claims_field *
field_named(struct claims *c, struct span name)
{
	if (!span_starts_nocase(name, SPAN("Content-")))
		return NULL;
	name = span_skip(name, 8);
	if (span_eq_nocase(name, SPAN("Type")))
		return &c->type;
	if (span_eq_nocase(name, SPAN("Transfer-Encoding")))
		return &c->encoding;
	if (span_eq_nocase(name, SPAN("Description")))
		return &c->description;
	if (span_eq_nocase(name, SPAN("Location")))
		return &c->location;
	return span_eq_nocase(name, SPAN("Disposition")) ? &c->disposition : NULL;
}

/* A name with bytes in it that some readers do not see: without them. */
static struct span
visible_name(struct span line, char to[NAME_LOOK])
{
	struct span name = span_take(line, span_find(span_take(line, NAME_LOOK), ':'));
	size_t n = 0;

	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] > 0x20 && name.p[i] <= 0x7e)
			to[n++] = name.p[i];
	return span_of(to, n);
}

void
claims_read(struct span section, struct claims *out)
{
	struct header_field field;
	struct claims_field *to;
	struct span rest;
	char name[NAME_LOOK];
	size_t fields = 0;

	*out = (struct claims){.is_full = false};
	for (rest = section; fields < HEADER_FIELDS_MAX && header_next(&rest, &field); fields++) {
		to = field.is_malformed ? NULL : field_named(out, field.name);
		if (to != NULL)
			add_claim(out, to, field.value, true);
	}
	fields = 0;
	for (rest = section; fields < HEADER_FIELDS_MAX && header_next(&rest, &field); fields++) {
		if (!field.is_malformed)
			continue;
		to = field_named(out, visible_name(field.whole, name));
		if (to != NULL)
			add_claim(out, to,
			    span_skip(span_chomp(field.whole), span_find(field.whole, ':') + 1),
			    false);
	}
}

/* --- types ----------------------------------------------------------------------------------- */

static bool
is_type_byte(char c)
{
	return c > 0x20 && c <= 0x7e && strchr("\"'<>@,;:\\[]?=()", c) == NULL;
}

static bool
is_type(struct span type)
{
	size_t slash = span_find(type, '/');

	for (size_t i = 0; i < type.n; i++)
		if (!is_type_byte(type.p[i]) || (type.p[i] == '/' && i != slash))
			return false;
	return slash > 0 && slash + 1 < type.n;
}

static void
add_type(struct claims_types *out, struct arena *arena, struct span name, struct span value)
{
	struct variants copy = {.n = 0};

	for (size_t i = 0; i < out->n; i++)
		if (span_eq(out->items[i].name, name) && out->items[i].value.p == value.p &&
		    out->items[i].value.n == value.n)
			return;
	variants_add(&copy, arena, name);
	if (out->n == CLAIMS_TYPES_MAX || copy.n == 0) {
		out->is_full = true;
		return;
	}
	out->items[out->n++] = (struct claims_type){copy.items[0], value};
}

/* A word, or the first two of "multipart/mixed/x": of other types no more hangs on it than a name. */
static struct span
type_of_word(struct span word)
{
	size_t slash = span_find(word, '/');
	struct span two = span_take(word, slash + 1 + span_find(span_skip(word, slash + 1), '/'));

	return span_starts(word, SPAN("multipart/")) || span_starts(word, SPAN("message/")) ? two
											    : word;
}

/* Every word of the text that has the form of a type, and a bare "multipart". */
static void
add_words(struct claims_types *out, struct arena *arena, struct span text, struct span value)
{
	char lower[WORD_MAX_BYTES];

	for (size_t at = 0; at < text.n;) {
		struct span word = span_skip(text, at);
		size_t n = 0;

		while (n < word.n && is_type_byte(word.p[n]) && n < sizeof(lower)) {
			lower[n] = char_lower(word.p[n]);
			n++;
		}
		if (is_type(type_of_word(span_of(lower, n))))
			add_type(out, arena, type_of_word(span_of(lower, n)), value);
		else if (span_eq(span_of(lower, n), SPAN("multipart")))
			add_type(out, arena, SPAN("multipart/mixed"), value);
		at += n + 1;
	}
}

static void
read_type(struct claims_types *out, struct arena *arena, struct span value)
{
	struct buf word = BUF_INIT(WORD_MAX_BYTES), decoded = BUF_INIT(TYPE_LOOK);
	size_t before = out->n;

	param_main_value(value, &word);
	if (is_type(buf_span(&word))) {
		struct span head = span_trim(span_take(value, span_find(value, ';')));

		add_type(out, arena, buf_span(&word), value);
		/* Comments or blanks inside, which not every reader takes out. */
		if (head.n != word.n)
			add_words(out, arena, span_take(head, TYPE_LOOK), value);
	} else {
		out->is_bad = true;
		add_words(out, arena, span_take(value, TYPE_LOOK), value);
		decode_words(span_take(value, TYPE_LOOK), &decoded);
		add_words(out, arena, buf_span(&decoded), value);
	}
	if (out->n == before)
		out->is_bad = true;
	buf_free(&word);
	buf_free(&decoded);
}

void
claims_types(
    const struct claims *c, struct span fallback, struct arena *arena, struct claims_types *out)
{
	const struct claims_field *f = &c->type;

	*out = (struct claims_types){.n = 0};
	for (size_t i = 0; i < f->n; i++) {
		/* A proper field that names no type: the standard's default is believed first. */
		if (i == 0 && f->n_strict > 0) {
			struct buf word = BUF_INIT(WORD_MAX_BYTES);

			param_main_value(f->values[0], &word);
			if (!is_type(buf_span(&word)))
				add_type(out, arena, fallback, f->values[0]);
			buf_free(&word);
		}
		if (i == 0 && f->n_strict == 0)
			add_type(out, arena, fallback, span_take(f->values[0], 0));
		read_type(out, arena, f->values[i]);
	}
	if (out->n == 0)
		out->items[out->n++] = (struct claims_type){fallback, span_take(fallback, 0)};
}

/* --- encodings ------------------------------------------------------------------------------- */

static bool
has_text(struct span s, struct span part)
{
	for (; s.n >= part.n; s = span_skip(s, 1))
		if (span_starts_nocase(s, part))
			return true;
	return false;
}

/* What a name that no standard knows may mean to somebody. */
static unsigned
guess_encoding(struct span name)
{
	unsigned bits = 0;

	if (has_text(name, SPAN("64")) || has_text(name, SPAN("base")) || span_eq(name, SPAN("b")))
		bits |= CLAIMS_BASE64;
	if (has_text(name, SPAN("quoted")) || has_text(name, SPAN("print")) ||
	    has_text(name, SPAN("qp")) || span_eq(name, SPAN("q")))
		bits |= CLAIMS_QUOTED;
	if (has_text(name, SPAN("uu")))
		bits |= CLAIMS_UU;
	if (has_text(name, SPAN("yenc")))
		bits |= CLAIMS_YENC;
	if (has_text(name, SPAN("bit")) || has_text(name, SPAN("binary")))
		bits |= CLAIMS_PLAIN;
	return bits != 0 ? bits | CLAIMS_PLAIN : CLAIMS_PLAIN | CLAIMS_BASE64 | CLAIMS_QUOTED;
}

static unsigned
standard_encoding(struct span name)
{
	if (span_eq(name, SPAN("base64")))
		return CLAIMS_BASE64;
	if (span_eq(name, SPAN("quoted-printable")))
		return CLAIMS_QUOTED;
	return span_eq(name, SPAN("7bit")) || span_eq(name, SPAN("8bit")) ||
		       span_eq(name, SPAN("binary"))
		   ? CLAIMS_PLAIN
		   : 0;
}

struct claims_encodings
claims_encodings(const struct claims *c)
{
	const struct claims_field *f = &c->encoding;
	struct claims_encodings e = {.first = 0};
	struct buf word = BUF_INIT(WORD_MAX_BYTES);

	for (size_t i = 0; i < f->n; i++) {
		unsigned bits;

		buf_clear(&word);
		param_main_value(f->values[i], &word);
		bits = standard_encoding(buf_span(&word));
		if (bits == 0) {
			bits = guess_encoding(span_trim(f->values[i]));
			e.is_unknown = true;
		} else if (span_trim(f->values[i]).n != word.n) {
			e.all |= CLAIMS_PLAIN; /* not every reader takes comments and blanks out */
		}
		if (i == 0 && f->n_strict > 0)
			e.first = bits & (bits - 1) ? CLAIMS_PLAIN : bits;
		e.all |= bits;
	}
	if (f->n_strict == 0) {
		e.first = CLAIMS_PLAIN;
		e.all |= CLAIMS_PLAIN;
	}
	buf_free(&word);
	return e;
}

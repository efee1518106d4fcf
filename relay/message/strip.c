#include "relay/message/strip.h"
#include "relay/base/err.h"
#include "relay/base/utf8.h"
#include "relay/message/edit.h"
#include "relay/message/header.h"

#include <inttypes.h>
#include <stdio.h>

enum { QUOTED_LINE_MAX = 76 /* RFC 2045 section 6.7, rule 5 */ };

/* --- the header section ------------------------------------------------------------------------ */

static bool
text_describes_body(struct span text)
{
	char room[EDIT_NAME_SEEN_MAX];
	bool has_colon;
	struct span name = edit_seen_name(text, room, &has_colon);

	return span_starts(name, SPAN("content-"));
}

/* A description that some reader takes for the part's name: leaf_names (mime_leaf.c) reads it so. */
static bool
names_part(const struct header_field *field)
{
	struct span value = span_trim(field->value);
	bool has_blank = span_find(value, ' ') < value.n || span_find(value, '\t') < value.n;

	return memmem(value.p, value.n, "=?", 2) != NULL ||
	       (!has_blank && span_find(value, '.') < value.n);
}

/* One that is no field is judged line by line too, as a reader may skip what it cannot read. */
static bool
describes_body(const struct header_field *field)
{
	struct span rest = field->whole;

	if (!field->is_malformed &&
	    (span_eq_nocase(field->name, SPAN("Content-ID")) ||
		(span_eq_nocase(field->name, SPAN("Content-Description")) && !names_part(field))))
		return false;
	if (text_describes_body(rest))
		return true;
	while (field->is_malformed && rest.n > 0) {
		(void)span_cut(&rest, '\n');
		if (rest.n > 0 && text_describes_body(rest))
			return true;
	}
	return false;
}

int
strip_section(struct span section, bool needs_version, struct buf *to)
{
	struct header_field field;
	bool ends_line = true;

	while (header_next(&section, &field)) {
		if (!field.is_malformed && span_eq_nocase(field.name, SPAN("MIME-Version")))
			needs_version = false;
		if (describes_body(&field))
			continue;
		(void)buf_add_span(to, field.whole); /* sticky, as all below */
		ends_line = field.whole.p[field.whole.n - 1] == '\n';
	}
	if (!ends_line)
		(void)buf_add_str(to, "\r\n");
	if (needs_version)
		(void)buf_add_str(to, "MIME-Version: 1.0\r\n");
	return buf_add_str(to, "Content-Type: text/plain; charset=utf-8\r\n"
			       "Content-Transfer-Encoding: quoted-printable\r\n"
			       "Content-Disposition: inline\r\n");
}

/* --- the text ---------------------------------------------------------------------------------- */

/* Quoted-printable, a line at a time. */
struct quoted {
	struct buf *to;
	size_t column;
};

static void
add_quoted(struct quoted *q, char c, bool is_last)
{
	unsigned char byte = (unsigned char)c;
	bool is_plain = byte > ' ' && byte < 0x7f && byte != '=';

	/* A dash that begins a line would do for a delimiter, a dot or "From " for other things. */
	is_plain |= byte == ' ' && !is_last;
	if (q->column + (is_plain ? 1 : 3) > QUOTED_LINE_MAX - 1) {
		(void)buf_add_str(q->to, "=\r\n"); /* sticky, as all below */
		q->column = 0;
	}
	is_plain &= q->column > 0 || (byte != '-' && byte != '.' && byte != 'F' && byte != ' ');
	if (is_plain)
		(void)buf_add_char(q->to, c);
	else
		(void)buf_addf(q->to, "=%02X", byte);
	q->column += is_plain ? 1 : 3;
}

/* C1 controls, line separators, and what turns the direction of the letters behind it. */
static bool
is_hidden(struct span c)
{
	unsigned char b[3] = {0};

	memcpy(b, c.p, c.n < sizeof(b) ? c.n : sizeof(b));
	if (c.n == 1)
		return b[0] < ' ' || b[0] == 0x7f;
	if (c.n == 2)
		return b[0] == 0xc2 && b[1] < 0xa0;
	if (c.n != 3 || b[0] != 0xe2)
		return false;
	return (b[1] == 0x80 && b[2] >= 0xa8 && b[2] <= 0xae) ||
	       (b[1] == 0x81 && b[2] >= 0xa6 && b[2] <= 0xa9);
}

/* One line of the text; what cannot be shown of `value` is "?". */
static void
add_line(struct buf *to, const char *label, struct span value)
{
	struct quoted q = {.to = to};

	for (const char *c = label; *c != '\0'; c++)
		add_quoted(&q, *c, c[1] == '\0' && value.n == 0);
	while (value.n > 0) {
		size_t n = utf8_length(value);
		bool is_shown = n > 0 && !is_hidden(span_take(value, n));

		if (!is_shown)
			add_quoted(&q, '?', false);
		for (size_t i = 0; is_shown && i < n; i++)
			add_quoted(&q, value.p[i], value.n == 1);
		value = span_skip(value, n > 0 ? n : 1);
	}
	(void)buf_add_str(to, "\r\n");
}

static void
add_type(struct buf *to, const struct scan_part *p)
{
	struct buf line = BUF_INIT(2 * SCAN_PART_TYPE_MAX + 64);

	(void)buf_add_span(&line, p->type.n > 0 ? p->type : p->declared); /* fits, as below */
	if (p->type.n > 0 && !span_eq(p->type, p->declared))
		(void)buf_addf(&line, ", declared as %.*s", SPAN_ARG(p->declared));
	add_line(to, "Type:     ", buf_span(&line));
	buf_free(&line);
}

static void
add_facts(struct buf *to, const struct scan_part *p)
{
	char text[2 * SCAN_HASH_BYTES + 1];
	int n;

	add_line(to, "Name:     ", p->name.n > 0 ? p->name : SPAN("(none)"));
	add_type(to, p);
	n = snprintf(text, sizeof(text), "%" PRIu64 " bytes", p->size);
	add_line(to, "Size:     ", span_of(text, (size_t)n)); /* fits */
	for (size_t i = 0; i < SCAN_HASH_BYTES; i++)
		(void)snprintf(text + 2 * i, 3, "%02x", p->hash[i]); /* two digits */
	add_line(to, "SHA-256:  ", span_of(text, 2 * SCAN_HASH_BYTES));
}

static void
add_reason(struct buf *to, const struct strip_reason *r)
{
	struct buf line = BUF_INIT(1024);

	/* Cut is fine. */
	(void)buf_addf(&line, "filter %.*s, %.*s%s%.*s", SPAN_ARG(r->filter), SPAN_ARG(r->outcome),
	    r->why.n > 0 ? ": " : "", SPAN_ARG(r->why));
	add_line(to, "Reason:   ", buf_span(&line));
	buf_free(&line);
}

int
strip_text(const struct strip_notice *n, struct buf *to)
{
	struct buf line = BUF_INIT(1024);

	(void)buf_addf(&line, "removed here by %.*s.", SPAN_ARG(n->hostname)); /* cut is fine */
	add_line(to, "An attachment was ", buf_span(&line));
	add_line(to, "", SPAN(""));
	add_facts(to, n->part);
	for (size_t i = 0; i < n->n_reasons && i < STRIP_REASONS_MAX; i++)
		add_reason(to, &n->reasons[i]);
	add_line(to, "Message:  ", n->id);
	add_line(to, "Original: ", n->letter);
	add_line(to, "", SPAN(""));
	add_line(to, "The message as it was sent is kept in quarantine, under the id", SPAN(""));
	buf_clear(&line);
	(void)buf_addf(&line, "%.*s to have it released.", SPAN_ARG(n->postmaster));
	add_line(to, "behind \"Original\". Ask ", buf_span(&line));
	buf_free(&line);
	return to->failed ? -E_LIMIT : 0;
}

int
strip_part(struct span head, bool needs_version, const struct strip_notice *n, struct buf *to)
{
	struct span section = span_take(head, header_section_length(head));

	if (strip_section(section, needs_version, to) < 0 || buf_add_str(to, "\r\n") < 0)
		return -E_LIMIT;
	return strip_text(n, to);
}

bool
strip_is_whole(struct span before, struct span behind)
{
	return (before.n == 0 || before.p[before.n - 1] == '\n') &&
	       (behind.n == 0 || span_starts(behind, SPAN("\r\n")));
}

#include "relay/message/edit.h"
#include "relay/message/header.h"

enum {
	FOLD_AT = 78,       /* RFC 5322 section 2.1.1: should */
	WIRE_LINE_MAX = 998 /* the same: must */
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

struct span
edit_seen_name(struct span text, char to[EDIT_NAME_SEEN_MAX], bool *has_colon)
{
	size_t n = 0, colon = span_find(text, ':');

	*has_colon = colon < text.n;
	for (size_t i = 0; i < colon && n < EDIT_NAME_SEEN_MAX; i++)
		if (text.p[i] > 0x20 && text.p[i] < 0x7f)
			to[n++] = char_lower(text.p[i]);
	return span_of(to, n);
}

/* X-Postern-* and X-Spam-Flag; without a colon whatever begins so. */
static bool
name_is_ours(struct span name, bool has_colon)
{
	if (span_starts(name, SPAN("x-postern-")))
		return true;
	return has_colon ? span_eq(name, SPAN("x-spam-flag"))
			 : span_starts(name, SPAN("x-spam-flag"));
}

static struct span
skip_blanks_and_comments(struct span s)
{
	size_t depth = 0, i = 0;

	for (; i < s.n; i++) {
		char c = s.p[i];

		if (depth > 0 && c == '\\')
			i++;
		else if (c == '(')
			depth++;
		else if (c == ')' && depth > 0)
			depth--;
		else if (depth == 0 && (unsigned char)c > 0x20 && (unsigned char)c < 0x7f)
			break;
	}
	return span_skip(s, i);
}

/* RFC 8601 section 2.2: whether the authserv-id at the start of `value` is `hostname`. */
static bool
claims_hostname(struct span value, struct span hostname)
{
	char id[256];
	size_t n = 0, i = 0;
	bool is_quoted;

	value = skip_blanks_and_comments(value);
	is_quoted = value.n > 0 && value.p[0] == '"';
	for (i = is_quoted ? 1 : 0; i < value.n && n < sizeof(id); i++) {
		char c = value.p[i];

		if (is_quoted && c == '"')
			break;
		if (is_quoted && c == '\\' && i + 1 < value.n)
			c = value.p[++i];
		else if (!is_quoted && (is_blank(c) || (c != '\0' && strchr("\r\n;(/", c) != NULL)))
			break;
		if (c > 0x20 && c < 0x7f)
			id[n++] = c;
	}
	while (n > 0 && id[n - 1] == '.')
		n--;
	while (hostname.n > 0 && hostname.p[hostname.n - 1] == '.')
		hostname.n--;
	return span_eq_nocase(span_of(id, n), hostname);
}

static bool
text_is_foreign(struct span text, struct span hostname)
{
	char room[EDIT_NAME_SEEN_MAX];
	bool has_colon;
	struct span name = edit_seen_name(text, room, &has_colon);

	if (name_is_ours(name, has_colon))
		return true;
	return has_colon && span_eq(name, SPAN("authentication-results")) &&
	       claims_hostname(span_skip(text, span_find(text, ':') + 1), hostname);
}

/* A malformed field is judged line by line too, as a reader may skip what it cannot read. */
static bool
field_is_foreign(const struct header_field *field, struct span hostname)
{
	struct span rest = field->whole;

	if (text_is_foreign(rest, hostname))
		return true;
	while (field->is_malformed && rest.n > 0) {
		(void)span_cut(&rest, '\n');
		if (rest.n > 0 && text_is_foreign(rest, hostname))
			return true;
	}
	return false;
}

int
edit_strip_foreign(struct span section, struct span hostname, struct buf *to)
{
	struct header_field field;
	size_t fields = 0;
	int gone = 0;

	if (section.n > HEADER_SECTION_MAX)
		return -E_LIMIT;
	while (header_next(&section, &field)) {
		/* A fold without a field above would be read as part of what we put on top. */
		bool is_orphan = fields == 0 && is_blank(field.whole.p[0]);

		if (++fields > HEADER_FIELDS_MAX)
			return -E_LIMIT;
		if (is_orphan || field_is_foreign(&field, hostname))
			gone++;
		else
			(void)buf_add_span(to, field.whole); /* sticky */
	}
	return to->failed ? -E_LIMIT : gone;
}

/* Names that are ours to write, whatever a filter asks for. */
static bool
name_is_protected(struct span name)
{
	char room[EDIT_NAME_SEEN_MAX];
	bool has_colon;
	struct span seen = edit_seen_name(name, room, &has_colon);

	return name_is_ours(seen, true) || span_eq(seen, SPAN("received")) ||
	       span_eq(seen, SPAN("authentication-results"));
}

static bool
name_is_fine(struct span name)
{
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= 0x20 || name.p[i] > 0x7e || name.p[i] == ':')
			return false;
	return name.n > 0 && name.n <= EDIT_NAME_SEEN_MAX && !name_is_protected(name);
}

/* Every line has something but blanks on it, begins with a blank when it is a fold, and is short
 * enough; the first line has the name before it. */
static bool
value_is_fine(struct span value, size_t name_n)
{
	size_t column = name_n + 2;
	bool is_blank_line = false;

	for (size_t i = 0; i < value.n; i++) {
		char c = value.p[i];

		if (c == '\0' || c == '\n')
			return false;
		if (c == '\r') {
			if (i + 2 >= value.n || value.p[i + 1] != '\n' || is_blank_line ||
			    !is_blank(value.p[i + 2]))
				return false;
			i++;
			column = 0;
			is_blank_line = true;
			continue;
		}
		if (++column > WIRE_LINE_MAX)
			return false;
		if (!is_blank(c))
			is_blank_line = false;
	}
	return !is_blank_line;
}

bool
edit_is_fine(const struct header_edit *e)
{
	switch (e->kind) {
	case EDIT_ADD:
		return name_is_fine(e->name) && value_is_fine(e->value, e->name.n);
	case EDIT_CHANGE:
		return value_is_fine(e->value, EDIT_NAME_SEEN_MAX);
	case EDIT_REMOVE:
		return true;
	}
	return false;
}

/* A value given in wire form, folds included. */
static void
add_raw_field(struct buf *to, struct span name, struct span value)
{
	(void)buf_add_span(to, name); /* sticky, as all below */
	(void)buf_add_char(to, ':');
	if (value.n == 0 || (!is_blank(value.p[0]) && value.p[0] != '\r'))
		(void)buf_add_char(to, ' ');
	(void)buf_add_span(to, value);
	(void)buf_add_str(to, "\r\n");
}

/* The field after the edits that name its index: the last change counts, any removal goes first. */
static void
add_edited(struct buf *to, const struct header_field *field, const struct header_edit *edits,
    const bool *is_on, size_t n_edits, size_t index)
{
	const struct header_edit *change = NULL;

	for (size_t i = 0; i < n_edits; i++) {
		if (!is_on[i] || edits[i].kind == EDIT_ADD || edits[i].index != index)
			continue;
		if (!field->is_malformed && name_is_protected(field->name))
			continue;
		if (edits[i].kind == EDIT_REMOVE)
			return;
		change = &edits[i];
	}
	if (change == NULL || field->is_malformed)
		(void)buf_add_span(to, field->whole); /* sticky */
	else
		add_raw_field(to, field->name, change->value);
}

int
edit_apply(struct span section, const struct header_edit *edits, size_t n_edits, bool is_tagged,
    struct buf *to)
{
	struct buf out = BUF_INIT(HEADER_SECTION_MAX);
	bool is_on[SCAN_EDITS_MAX];
	struct header_field field;
	int status = -E_LIMIT;

	if (n_edits > SCAN_EDITS_MAX || section.n > HEADER_SECTION_MAX)
		return -E_LIMIT;
	for (size_t i = 0; i < n_edits; i++) {
		is_on[i] = (is_tagged || !edits[i].only_tagged) && edit_is_fine(&edits[i]);
		if (is_on[i] && edits[i].kind == EDIT_ADD)
			add_raw_field(&out, edits[i].name, edits[i].value);
	}
	for (size_t index = 0; !out.failed && header_next(&section, &field); index++)
		add_edited(&out, &field, edits, is_on, n_edits, index);
	if (!out.failed)
		status = buf_add_span(to, buf_span(&out));
	buf_free(&out);
	return status;
}

static char
clean_byte(char c)
{
	return c >= 0x20 && c <= 0x7e ? c : '?';
}

/* A word too long for any line is broken by folds inside it. */
static size_t
add_word(struct buf *to, struct span word, size_t column)
{
	for (size_t i = 0; i < word.n; i++) {
		if (column == WIRE_LINE_MAX) {
			(void)buf_add_str(to, "\r\n "); /* sticky, as below */
			column = 1;
		}
		(void)buf_add_char(to, clean_byte(word.p[i]));
		column++;
	}
	return column;
}

int
edit_add_field(struct buf *to, struct span name, struct span value)
{
	size_t column = name.n + 1;
	bool is_first = true;

	for (size_t i = 0; i < name.n; i++) {
		char c = clean_byte(name.p[i]);

		(void)buf_add_char(to, c == ' ' || c == ':' ? '?' : c); /* sticky, as all below */
	}
	(void)buf_add_char(to, ':');
	while (value.n > 0 && is_blank(value.p[value.n - 1]))
		value.n--;
	for (;;) {
		size_t blanks = 0;
		struct span word;

		while (blanks < value.n && is_blank(value.p[blanks]))
			blanks++;
		word = span_skip(value, blanks);
		value = word;
		word = span_word(&value);
		if (word.n == 0)
			break;
		if (is_first || blanks > FOLD_AT)
			blanks = 1;
		if (!is_first && column + blanks + word.n > FOLD_AT) {
			(void)buf_add_str(to, "\r\n");
			column = 0;
			blanks = 1;
		}
		for (size_t i = 0; i < blanks; i++)
			(void)buf_add_char(to, ' ');
		column = add_word(to, word, column + blanks);
		is_first = false;
	}
	return buf_add_str(to, "\r\n");
}

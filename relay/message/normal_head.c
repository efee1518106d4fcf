#include "relay/message/normal_head.h"
#include "relay/base/err.h"
#include "relay/message/edit.h"
#include "relay/message/param.h"

enum { NAME_TAIL = 40, PARAMS_MAX = 16 };

/* --- the section ------------------------------------------------------------------------------- */

enum name {
	NAME_TYPE,
	NAME_ENCODING,
	NAME_DISPOSITION,
	NAME_VERSION,
	NAME_LENGTH, /* of the body: for mailboxes, and wrong afterwards */
	NAMES_COUNT
};
static const char *const names[NAMES_COUNT] = {[NAME_TYPE] = "content-type",
    [NAME_ENCODING] = "content-transfer-encoding",
    [NAME_DISPOSITION] = "content-disposition",
    [NAME_VERSION] = "mime-version",
    [NAME_LENGTH] = "content-length"};

/* Of the field that begins at `text`, as the most tolerant reader takes its name. */
static bool
is_named(struct span text, size_t i)
{
	char room[EDIT_NAME_SEEN_MAX];
	bool has_colon;

	return span_eq(edit_seen_name(text, room, &has_colon), span_str(names[i]));
}

static bool
is_ours(struct span text)
{
	for (size_t i = 0; i < NAMES_COUNT; i++)
		if (is_named(text, i))
			return true;
	return false;
}

/* A line of blanks inside a fold would end the section for some readers. */
static void
add_lines(struct buf *to, struct span field)
{
	while (field.n > 0) {
		struct span line = span_take(field, span_find(field, '\n') + 1);

		field = span_skip(field, line.n);
		if (span_trim(line).n == 0)
			continue;
		(void)buf_add_span(to, line); /* sticky, as below */
		if (line.p[line.n - 1] != '\n')
			(void)buf_add_str(to, "\r\n");
	}
}

int
normal_head_section(struct span section, struct span fields, struct buf *to)
{
	struct header_field field;

	while (header_next(&section, &field))
		if (!field.is_malformed && !is_ours(field.whole))
			add_lines(to, field.whole);
	return buf_add_span(to, fields);
}

/* --- parameters -------------------------------------------------------------------------------- */

static bool
is_token_byte(char c)
{
	return c > 0x20 && c < 0x7f && strchr("()<>@,;:\\\"/[]?=%'*", c) == NULL;
}

static bool
is_token(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!is_token_byte(s.p[i]))
			return false;
	return s.n > 0;
}

/* What every reader takes alike between quotes. */
static bool
is_quotable(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < 0x20 || s.p[i] > 0x7e || strchr("\"\\%'", s.p[i]) != NULL ||
		    (s.p[i] == '=' && i + 1 < s.n && s.p[i + 1] == '?'))
			return false;
	return s.n > 0 && s.p[0] != ' ' && s.p[s.n - 1] != ' ';
}

/* All sticky. */
static void
add_param(struct buf *to, const char *name, struct span value)
{
	bool is_bare = is_token(value);

	(void)buf_addf(to, ";\r\n\t%s=%s", name, is_bare ? "" : "\"");
	(void)buf_add_span(to, value);
	if (!is_bare)
		(void)buf_add_char(to, '"');
}

/* Those with a meaning of their own, if every reader takes their value alike. */
static void
add_others(struct buf *to, struct span value)
{
	static const char *const kept[] = {"type", "start", "start-info", "report-type", "protocol",
	    "micalg", "format", "delsp", "method", "profile"};
	struct param_about known;
	struct buf word = BUF_INIT(PARAM_VALUE_MAX);

	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
		buf_clear(&word);
		if (param_find(value, span_str(kept[i]), &word, &known) && !known.is_repeated &&
		    word.n <= NORMAL_PARAM_MAX && is_quotable(span_trim(buf_span(&word))))
			add_param(to, kept[i], span_trim(buf_span(&word)));
	}
	buf_free(&word);
}

/* --- names ------------------------------------------------------------------------------------- */

/* The longest start of s, up to max bytes, of whole characters. */
static struct span
characters(struct span s, size_t max)
{
	size_t n = s.n < max ? s.n : max;

	while (n > 0 && n < s.n && ((unsigned char)s.p[n] & 0xC0) == 0x80)
		n--;
	return span_take(s, n);
}

static void
add_visible(struct buf *to, struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0x20 && s.p[i] != 0x7f)
			(void)buf_add_char(to, s.p[i]); /* fits: it is not longer */
}

/* The last whole characters, up to max bytes of a longer s. */
static struct span
last_characters(struct span s, size_t max)
{
	size_t at = s.n - max;

	while (at < s.n && ((unsigned char)s.p[at] & 0xC0) == 0x80)
		at++;
	return span_skip(s, at);
}

/* Both ends of a name that is too long: the last one says what it is opened with.  What is between them keeps the
 * two from becoming an ending that no filter has seen. */
static void
clean_name(struct span name, struct buf *to)
{
	if (name.n <= NORMAL_NAME_MAX) {
		add_visible(to, name);
		return;
	}
	add_visible(to, characters(name, NORMAL_NAME_MAX - NAME_TAIL - 1));
	(void)buf_add_char(to, '_'); /* fits */
	add_visible(to, last_characters(name, NAME_TAIL));
}

/* In the plain form if that is one for all, else in that of RFC 2231 alone. */
static void
add_name(struct buf *to, struct span name)
{
	struct buf clean = BUF_INIT(PARAM_VALUE_MAX);

	clean_name(name, &clean);
	name = span_trim(buf_span(&clean));
	if (is_quotable(name)) {
		add_param(to, "filename", name);
	} else if (name.n > 0) {
		(void)buf_add_str(to, ";\r\n\tfilename*=utf-8''"); /* sticky, as below */
		for (size_t i = 0; i < name.n; i++)
			if (is_token_byte(name.p[i]))
				(void)buf_add_char(to, name.p[i]);
			else
				(void)buf_addf(to, "%%%02X", (unsigned char)name.p[i]);
	}
	buf_free(&clean);
}

/* --- the fields -------------------------------------------------------------------------------- */

static void
add_type(struct buf *to, const struct normal_about *about, const struct claims *c)
{
	struct span value = c->type.n > 0 ? c->type.values[0] : SPAN("");

	(void)buf_addf(to, "Content-Type: %.*s", SPAN_ARG(about->type)); /* sticky */
	if (is_token(about->charset))
		add_param(to, "charset", about->charset);
	if (about->boundary.n > 0)
		add_param(to, "boundary", about->boundary);
	add_others(to, value);
	(void)buf_add_str(to, "\r\n");
}

static void
add_disposition(struct buf *to, const struct normal_about *about, const struct claims *c)
{
	struct buf word = BUF_INIT(NORMAL_PARAM_MAX);
	bool is_inline;

	if (c->disposition.n > 0)
		param_main_value(c->disposition.values[0], &word);
	is_inline = span_eq(buf_span(&word), SPAN("inline"));
	buf_free(&word);
	if (c->disposition.n == 0 && about->name.n == 0)
		return;
	(void)buf_addf(to, "Content-Disposition: %s", is_inline ? "inline" : "attachment");
	if (about->name.n > 0)
		add_name(to, about->name);
	(void)buf_add_str(to, "\r\n");
}

int
normal_head_fields(const struct normal_about *about, struct buf *to)
{
	struct claims c;

	claims_read(about->section, &c);
	if (about->has_version)
		(void)buf_add_str(to, "MIME-Version: 1.0\r\n"); /* sticky, as all below */
	add_type(to, about, &c);
	if (about->encoding.n > 0)
		(void)buf_addf(
		    to, "Content-Transfer-Encoding: %.*s\r\n", SPAN_ARG(about->encoding));
	add_disposition(to, about, &c);
	return to->failed ? -E_LIMIT : 0;
}

/* --- what is plain already --------------------------------------------------------------------- */

static void
skip_blanks(struct span *s)
{
	while (s->n > 0 && strchr(" \t\r\n", s->p[0]) != NULL && s->p[0] != '\0')
		*s = span_skip(*s, 1);
}

static struct span
take_token(struct span *s, bool has_slash)
{
	size_t n = 0;
	struct span token;

	while (n < s->n && (is_token_byte(s->p[n]) || (has_slash && s->p[n] == '/')))
		n++;
	token = span_take(*s, n);
	*s = span_skip(*s, n);
	return token;
}

/* A token, or a quoted text that needs no escapes. */
static bool
take_value(struct span *s)
{
	size_t n;

	if (s->n == 0 || s->p[0] != '"')
		return take_token(s, false).n > 0;
	*s = span_skip(*s, 1);
	n = span_find(*s, '"');
	if (n == s->n || !is_quotable(span_take(*s, n)))
		return false;
	*s = span_skip(*s, n + 1);
	return true;
}

/* TOKEN *(";" NAME=VALUE), each name once. */
static bool
is_plain_value(struct span value, bool is_type)
{
	struct span params[PARAMS_MAX], word;
	size_t n = 0;

	skip_blanks(&value);
	word = take_token(&value, is_type);
	if (is_type && span_find(word, '/') == word.n)
		return false;
	for (skip_blanks(&value); value.n > 0; skip_blanks(&value)) {
		if (value.p[0] != ';' || n == PARAMS_MAX)
			return false;
		value = span_skip(value, 1);
		skip_blanks(&value);
		params[n] = take_token(&value, false);
		for (size_t i = 0; i < n; i++)
			if (span_eq_nocase(params[i], params[n]))
				return false;
		if (params[n++].n == 0 || value.n == 0 || value.p[0] != '=')
			return false;
		value = span_skip(value, 1);
		if (!take_value(&value))
			return false;
	}
	return word.n > 0;
}

/* On the line of its name: some readers take the line end of a fold for part of the word. */
static bool
begins_at_once(struct span value)
{
	struct span line = span_take(value, span_find(value, '\n'));

	return span_trim(line).n > 0;
}

static bool
is_plain_encoding(struct span value)
{
	static const char *const known[] = {"7bit", "8bit", "binary", "base64", "quoted-printable"};

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (span_eq_nocase(span_trim(value), span_str(known[i])))
			return true;
	return false;
}

static bool
has_line_of_blanks(struct span field)
{
	while (field.n > 0)
		if (span_trim(span_cut(&field, '\n')).n == 0)
			return true;
	return false;
}

bool
normal_head_is_plain(struct span section)
{
	bool seen[NAMES_COUNT] = {false};
	struct header_field field;

	if (span_eq(section, SPAN("\r\n")))
		return true; /* nothing but the line that ends it */
	while (header_next(&section, &field)) {
		size_t i = 0;

		if (section.n == 0 && span_eq(field.whole, SPAN("\r\n")))
			return true;
		if (field.is_malformed || has_line_of_blanks(field.whole))
			return false;
		while (i < NAMES_COUNT && !is_named(field.whole, i))
			i++;
		if (i == NAMES_COUNT)
			continue;
		if (seen[i] || !span_eq_nocase(field.name, span_str(names[i])) ||
		    field.value.p != field.whole.p + field.name.n + 1)
			return false;
		seen[i] = true;
		if (!begins_at_once(field.value) ||
		    (i == NAME_ENCODING && !is_plain_encoding(field.value)) ||
		    (i == NAME_VERSION && !span_eq(span_trim(field.value), SPAN("1.0"))) ||
		    (i == NAME_TYPE && !is_plain_value(field.value, true)) ||
		    (i == NAME_DISPOSITION && !is_plain_value(field.value, false)))
			return false;
	}
	return true;
}

/* --- looked at --------------------------------------------------------------------------------- */

bool
normal_head_is_fine(struct span fields)
{
	struct header_field field;

	if (fields.n > NORMAL_HEAD_MAX || !normal_text_is_fine(fields, false) ||
	    (fields.n > 0 && fields.p[fields.n - 1] != '\n'))
		return false; /* without a line end the last one would go on in what follows */
	while (header_next(&fields, &field)) {
		for (size_t i = 0; i < field.whole.n; i++)
			if (field.whole.p[i] < 0x20 && strchr("\r\n\t", field.whole.p[i]) == NULL)
				return false;
		if (field.is_malformed || span_find(field.whole, ':') != field.name.n ||
		    !is_ours(field.whole))
			return false;
	}
	return true;
}

bool
normal_text_is_fine(struct span text, bool is_8bit)
{
	size_t start = 0;

	for (size_t i = 0; i < text.n; i++) {
		unsigned char c = (unsigned char)text.p[i];

		if (c == '\0' || (c >= 0x80 && !is_8bit) ||
		    (c == '\n' && (i == 0 || text.p[i - 1] != '\r')) ||
		    (c == '\r' && (i + 1 == text.n || text.p[i + 1] != '\n')))
			return false;
		if (c == '\n')
			start = i + 1;
		else if (c != '\r' && i - start >= NORMAL_LINE_MAX)
			return false;
	}
	return true;
}

struct span
normal_plain_encoding(struct span bytes)
{
	bool is_8bit = false;

	for (size_t i = 0; i < bytes.n && !is_8bit; i++)
		is_8bit = (unsigned char)bytes.p[i] >= 0x80;
	if (!normal_text_is_fine(bytes, true))
		return SPAN("binary");
	return is_8bit ? SPAN("8bit") : SPAN("");
}

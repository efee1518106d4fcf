#include "relay/message/param.h"
#include "relay/message/decode.h"

/* One name=value as it stands there. */
struct raw_param {
	struct span name, value; /* value: inside of the quotes, escapes still there */
	bool is_quoted;
};

struct segment {
	struct raw_param param;
	unsigned index;
	bool is_extended;
};

/* All forms of one parameter. */
struct forms {
	struct raw_param plain, extended;
	bool has_plain, has_extended, is_repeated;
	struct segment segments[PARAM_SEGMENTS_MAX];
	size_t n;
};

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Bytes of a comment at the start of s, nested ones included; all of s when it is never closed. */
static size_t
comment_length(struct span s)
{
	size_t depth = 0;

	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '\\')
			i++;
		else if (s.p[i] == '(')
			depth++;
		else if (s.p[i] == ')' && --depth == 0)
			return i + 1;
	}
	return s.n;
}

static struct span
skip_blanks_and_comments(struct span s)
{
	while (s.n > 0 && (is_space(s.p[0]) || s.p[0] == '('))
		s = span_skip(s, s.p[0] == '(' ? comment_length(s) : 1);
	return s;
}

/* Bytes inside the quotes of a quoted string at the start of s; s.n - 1 when it is not closed. */
static size_t
quoted_inside(struct span s)
{
	for (size_t i = 1; i < s.n; i++) {
		if (s.p[i] == '\\')
			i++;
		else if (s.p[i] == '"')
			return i - 1;
	}
	return s.n - 1;
}

/* An unquoted value: up to ';' or a comment behind a blank, since many senders forget the quotes
 * around names with blanks. */
static size_t
bare_length(struct span s)
{
	size_t i = 0;

	while (i < s.n && s.p[i] != ';' && !(s.p[i] == '(' && i > 0 && is_space(s.p[i - 1])))
		i++;
	return i;
}

static struct span
behind_semicolon(struct span s)
{
	while (s.n > 0 && s.p[0] != ';') {
		if (s.p[0] == '"')
			s = span_skip(s, quoted_inside(s) + 2);
		else
			s = span_skip(s, s.p[0] == '(' ? comment_length(s) : 1);
	}
	return span_skip(s, 1);
}

/* The next parameter; `rest` begins behind the ';' before it. */
static bool
next_param(struct span *rest, struct raw_param *param)
{
	for (;;) {
		struct span s = skip_blanks_and_comments(*rest);
		size_t n = 0;

		if (s.n == 0)
			return false;
		if (s.p[0] == ';') {
			*rest = span_skip(s, 1);
			continue;
		}
		while (n < s.n && s.p[n] != '=' && s.p[n] != ';' && s.p[n] != '"' &&
		       s.p[n] != '(' && !is_space(s.p[n]))
			n++;
		param->name = span_take(s, n);
		s = skip_blanks_and_comments(span_skip(s, n));
		if (s.n == 0 || s.p[0] != '=') {
			*rest = behind_semicolon(s);
			continue;
		}
		s = skip_blanks_and_comments(span_skip(s, 1));
		param->is_quoted = s.n > 0 && s.p[0] == '"';
		n = param->is_quoted ? quoted_inside(s) : bare_length(s);
		param->value =
		    param->is_quoted ? span_take(span_skip(s, 1), n) : span_trim(span_take(s, n));
		*rest = span_skip(s, param->is_quoted ? n + 2 : n);
		return true;
	}
}

/* Files a parameter under its form when it is called `name`. */
static void
take_form(struct forms *f, const struct raw_param *param, struct span name)
{
	struct span tail = span_skip(param->name, name.n);
	uint64_t index;
	bool is_extended;

	if (!span_starts_nocase(param->name, name) || (tail.n > 0 && tail.p[0] != '*'))
		return;
	if (tail.n <= 1) {
		bool *has = tail.n == 0 ? &f->has_plain : &f->has_extended;

		if (*has)
			f->is_repeated = true;
		else
			*(tail.n == 0 ? &f->plain : &f->extended) = *param;
		*has = true;
		return;
	}
	is_extended = tail.p[tail.n - 1] == '*';
	tail = span_of(tail.p + 1, tail.n - 1 - (is_extended ? 1 : 0));
	if (!span_to_u64(tail, &index) || index >= PARAM_SEGMENTS_MAX || f->n == PARAM_SEGMENTS_MAX)
		return;
	for (size_t i = 0; i < f->n; i++) {
		if (f->segments[i].index == index) {
			f->is_repeated = true;
			return;
		}
	}
	f->segments[f->n++] = (struct segment){*param, (unsigned)index, is_extended};
}

static const struct segment *
segment_of(const struct forms *f, size_t index)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->segments[i].index == index)
			return &f->segments[i];
	return NULL;
}

/* Appends a value's bytes: quoted pairs or percent escapes undone, line ends dropped. */
static void
add_value(struct buf *to, const struct raw_param *param, struct span value, bool is_extended)
{
	for (size_t i = 0; i < value.n; i++) {
		char c = value.p[i];

		if (c == '\r' || c == '\n')
			continue;
		if (is_extended && c == '%' && i + 2 < value.n && char_hex(value.p[i + 1]) >= 0 &&
		    char_hex(value.p[i + 2]) >= 0) {
			c = (char)(char_hex(value.p[i + 1]) << 4 | char_hex(value.p[i + 2]));
			i += 2;
		} else if (param->is_quoted && c == '\\' && i + 1 < value.n) {
			c = value.p[++i];
		}
		(void)buf_add_char(to, c); /* cut at its max */
	}
}

/* charset'language'text; text without the two quotes is taken as it is. */
static struct span
take_charset(struct span value, struct param_about *about)
{
	size_t first = span_find(value, '\''), second;

	if (first == value.n)
		return value;
	second = span_find(span_skip(value, first + 1), '\'');
	if (first + 1 + second == value.n)
		return value;
	if (first <= CHARSET_NAME_MAX)
		(void)span_copy(span_take(value, first), about->charset, sizeof(about->charset));
	return span_skip(value, first + second + 2);
}

static void
assemble(const struct forms *f, struct buf *to, struct param_about *about)
{
	if (f->has_extended) {
		add_value(to, &f->extended, take_charset(f->extended.value, about), true);
		return;
	}
	if (segment_of(f, 0) == NULL) {
		add_value(to, &f->plain, f->plain.value, false);
		return;
	}
	for (size_t i = 0; i < PARAM_SEGMENTS_MAX; i++) {
		const struct segment *s = segment_of(f, i);
		struct span value;

		if (s == NULL)
			break;
		value = s->param.value;
		if (i == 0 && s->is_extended)
			value = take_charset(value, about);
		add_value(to, &s->param, value, s->is_extended);
	}
}

bool
param_find(struct span value, struct span name, struct buf *to, struct param_about *about)
{
	struct forms f;
	struct raw_param param;
	struct span rest = behind_semicolon(value);
	struct buf bytes = BUF_INIT(PARAM_VALUE_MAX);

	f.has_plain = f.has_extended = f.is_repeated = false;
	f.n = 0;
	while (next_param(&rest, &param))
		take_form(&f, &param, name);
	*about = (struct param_about){.is_repeated = f.is_repeated};
	if (!f.has_plain && !f.has_extended && segment_of(&f, 0) == NULL)
		return false;
	assemble(&f, &bytes, about);
	(void)buf_add_span(to, buf_span(&bytes)); /* sticky */
	buf_free(&bytes);
	return true;
}

bool
param_find_text(struct span value, struct span name, struct buf *to)
{
	struct buf bytes = BUF_INIT(PARAM_VALUE_MAX);
	struct param_about about;
	bool is_there = param_find(value, name, &bytes, &about);

	if (is_there && about.charset[0] != '\0')
		(void)charset_to_utf8(span_str(about.charset), buf_span(&bytes), to);
	else if (is_there)
		decode_words(buf_span(&bytes), to);
	buf_free(&bytes);
	return is_there;
}

void
param_main_value(struct span value, struct buf *to)
{
	while (value.n > 0 && value.p[0] != ';') {
		if (value.p[0] == '(') {
			value = span_skip(value, comment_length(value));
			continue;
		}
		if (!is_space(value.p[0]) && to->n < to->max)
			(void)buf_add_char(to, char_lower(value.p[0])); /* fits */
		value = span_skip(value, 1);
	}
}

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

/* --- all readings ---------------------------------------------------------------------------- */

/* Without the characters of `drop`, and without folds: the blanks at the start of a line too. */
static void
add_without(struct span text, const char *drop, struct arena *arena, struct variants *to)
{
	struct buf flat = BUF_INIT(PARAM_VALUE_MAX);
	bool is_fold = false;

	for (size_t i = 0; i < text.n; i++) {
		bool is_end = text.p[i] == '\r' || text.p[i] == '\n';

		is_fold = is_end || (is_fold && is_space(text.p[i]));
		if (!is_fold && (text.p[i] == '\0' || strchr(drop, text.p[i]) == NULL))
			(void)buf_add_char(&flat, text.p[i]); /* cut at its max */
	}
	variants_add(to, arena, span_trim(buf_span(&flat)));
	buf_free(&flat);
}

/* A reading: line ends dropped, trimmed. */
static void
add_reading(struct span text, struct arena *arena, struct variants *to)
{
	struct buf flat = BUF_INIT(PARAM_VALUE_MAX);
	static const struct raw_param bare = {.is_quoted = false};

	text = span_trim(text);
	if (text.n > PARAM_VALUE_MAX)
		to->is_full = true;
	add_value(&flat, &bare, text, false);
	variants_add(to, arena, span_trim(buf_span(&flat)));
	buf_free(&flat);
	if (span_find(text, '\n') < text.n)
		add_without(text, "", arena, to);
}

/* Bytes up to the first of `set`, or all. */
static size_t
until_any(struct span s, const char *set)
{
	size_t i = 0;

	while (i < s.n && (s.p[i] == '\0' || strchr(set, s.p[i]) == NULL))
		i++;
	return i;
}

/* What stands behind a '=', as different readers end it. */
static void
add_loose(struct span text, struct arena *arena, struct variants *to)
{
	static const char *const ends[] = {";", "; \t\r\n", ";(", ";,", ";\"", "\r\n"};
	size_t n;

	if (text.n > 0 && (text.p[0] == '"' || text.p[0] == '\'')) {
		const char quote[2] = {text.p[0], '\0'};
		struct span inside = span_skip(text, 1);

		n = until_any(inside, quote);
		add_reading(span_take(inside, n), arena, to);
		/* Quotes inside: up to the last one before the ';'. */
		n = span_rfind(span_take(inside, until_any(inside, ";")), quote[0]);
		add_reading(span_take(inside, n), arena, to);
		if (span_find(inside, quote[0]) == inside.n)
			add_loose(inside, arena, to);
	}
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		add_reading(span_take(text, until_any(text, ends[i])), arena, to);
	n = until_any(text, ";");
	if (span_find(span_take(text, n), '"') < n)
		add_without(span_take(text, n), "\"", arena, to);
}

static bool
is_word_byte(char c)
{
	c = char_lower(c);
	return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

/* The text behind the next "name=", "name*0*=" and the like; `*at` moves behind the name. */
static bool
next_place(struct span value, struct span name, size_t *at, struct span *text)
{
	while (*at + name.n <= value.n) {
		struct span rest = span_skip(value, *at);
		bool is_start = *at == 0 || !is_word_byte(value.p[*at - 1]);

		if (!is_start || !span_starts_nocase(rest, name)) {
			++*at;
			continue;
		}
		*at += name.n;
		rest = span_skip(rest, name.n);
		while (rest.n > 0 && (rest.p[0] == '*' || (rest.p[0] >= '0' && rest.p[0] <= '9')))
			rest = span_skip(rest, 1);
		rest = skip_blanks_and_comments(rest);
		if (rest.n == 0 || rest.p[0] != '=')
			continue;
		*text = skip_blanks_and_comments(span_skip(rest, 1));
		return true;
	}
	return false;
}

/* The strict reading of each form alone, then all that the grammar allows nobody. */
static void
add_forms(struct span value, struct span name, struct arena *arena, struct variants *to)
{
	struct buf bytes = BUF_INIT(PARAM_VALUE_MAX), joined = BUF_INIT(PARAM_VALUE_MAX);
	struct span rest = behind_semicolon(value);
	struct param_about about;
	struct raw_param param;

	while (next_param(&rest, &param)) {
		struct span tail = span_skip(param.name, name.n);
		bool is_extended = tail.n > 0 && tail.p[tail.n - 1] == '*';

		if (!span_starts_nocase(param.name, name) || (tail.n > 0 && tail.p[0] != '*'))
			continue;
		buf_clear(&bytes);
		add_value(&bytes, &param,
		    is_extended ? take_charset(param.value, &about) : param.value, is_extended);
		(void)buf_add_span(&joined, buf_span(&bytes)); /* cut at its max */
		variants_add(to, arena, span_trim(buf_span(&bytes)));
	}
	variants_add(to, arena, span_trim(buf_span(&joined)));
	buf_free(&joined);
	buf_free(&bytes);
}

/* One token, or one quoted text without escapes of any kind, and then a ';' or nothing: every
 * reader takes it alike. */
static bool
is_plain_place(struct span text)
{
	size_t n;

	if (text.n > 0 && text.p[0] == '"') {
		n = 1 + until_any(span_skip(text, 1), "\"\\%';\r\n");
		if (n == text.n || text.p[n] != '"')
			return false;
		for (size_t i = 1; i + 1 < n; i++)
			if (text.p[i] == '=' && text.p[i + 1] == '?')
				return false;
		n++;
	} else {
		n = until_any(text, " \t\r\n\"'();,=?%<>@\\");
	}
	text = span_trim(span_skip(text, n));
	return n > 0 && (text.n == 0 || text.p[0] == ';');
}

void
param_readings(struct span value, struct span name, struct arena *arena, struct variants *to)
{
	struct buf bytes = BUF_INIT(PARAM_VALUE_MAX);
	struct param_about about;
	struct span text = {0};
	size_t at = 0, places = 0;

	if (param_find(value, name, &bytes, &about)) {
		variants_add(to, arena, span_trim(buf_span(&bytes)));
		to->is_full |= bytes.n == PARAM_VALUE_MAX; /* cut */
	}
	while (places < PARAM_PLACES_MAX && next_place(value, name, &at, &text))
		places++;
	if (places == PARAM_PLACES_MAX && next_place(value, name, &at, &text))
		to->is_full = true;
	at = 0;
	if (places > 1 || (places == 1 && (to->n == 0 || !is_plain_place(text)))) {
		add_forms(value, name, arena, to);
		for (size_t i = 0; i < places && next_place(value, name, &at, &text); i++)
			add_loose(text, arena, to);
	}
	buf_free(&bytes);
}

/* charset'language'text%20… where the strict reading saw no RFC 2231. */
static void
add_percent(struct span text, struct arena *arena, struct variants *to)
{
	struct buf bytes = BUF_INIT(PARAM_VALUE_MAX), utf8 = BUF_INIT(PARAM_VALUE_MAX);
	static const struct raw_param bare = {.is_quoted = false};
	struct param_about about = {.is_repeated = false};

	add_value(&bytes, &bare, take_charset(text, &about), true);
	(void)charset_to_utf8(span_str(about.charset), buf_span(&bytes), &utf8); /* as it goes */
	variants_add(to, arena, buf_span(&utf8));
	buf_free(&bytes);
	buf_free(&utf8);
}

void
param_text_readings(struct span value, struct span name, struct arena *arena, struct variants *to)
{
	struct variants raw = {.n = 0};
	struct buf text = BUF_INIT(PARAM_VALUE_MAX);

	if (param_find_text(value, name, &text))
		variants_add(to, arena, buf_span(&text));
	param_readings(value, name, arena, &raw);
	to->is_full |= raw.is_full;
	for (size_t i = 0; i < raw.n; i++) {
		buf_clear(&text);
		decode_words(raw.items[i], &text);
		variants_add(to, arena, buf_span(&text));
		if (span_find(raw.items[i], '%') < raw.items[i].n)
			add_percent(raw.items[i], arena, to);
	}
	buf_free(&text);
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

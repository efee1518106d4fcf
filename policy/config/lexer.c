#include "policy/config/lexer.h"
#include "relay/base/utf8.h"

static bool
has_control(struct span s)
{
	for (size_t i = 0; i < s.n; i++)
		if (((unsigned char)s.p[i] < ' ' && s.p[i] != '\t' && s.p[i] != '\r') ||
		    s.p[i] == 127)
			return true;
	return false;
}

void
config_lexer_check_bytes(struct span text, struct complaints *complaints)
{
	for (unsigned line = 1; text.n > 0; line++) {
		struct span s = span_cut(&text, '\n');

		if (span_find(s, '\0') != s.n)
			config_complain(
			    complaints, line, "a NUL byte; the configuration must be text");
		else if (!utf8_is_valid(s))
			config_complain(
			    complaints, line, "bytes that are not UTF-8; save the file as UTF-8");
		else if (has_control(s))
			config_complain(complaints, line, "a control character; remove it");
	}
}

static void
advance(struct lexer *l, size_t n)
{
	l->rest = span_skip(l->rest, n);
}

static void
skip_line(struct lexer *l)
{
	advance(l, span_find(l->rest, '\n'));
}

static void
skip_block_comment(struct lexer *l)
{
	unsigned start = l->line;

	advance(l, 2);
	while (l->rest.n > 0) {
		if (span_starts(l->rest, SPAN("*/"))) {
			advance(l, 2);
			return;
		}
		if (l->rest.p[0] == '\n')
			l->line++;
		advance(l, 1);
	}
	config_complain(l->complaints, start, "a comment is not closed; end it with */");
}

/* Characters of no meaning here, with what was probably meant. */
static bool
skip_stray(struct lexer *l)
{
	char c = l->rest.p[0];

	if (c == ';')
		config_complain(l->complaints, l->line, "\";\" has no meaning here; remove it");
	else if (c == '\'')
		config_complain(l->complaints, l->line, "\"'\" does not enclose text; use \"...\"");
	else if ((unsigned char)c >= ' ' && c != 127)
		return false; /* other controls: config_lexer_check_bytes has complained */
	advance(l, 1);
	return true;
}

static void
skip_blanks(struct lexer *l)
{
	while (l->rest.n > 0) {
		char c = l->rest.p[0];

		if (c == '\n') {
			l->line++;
			advance(l, 1);
		} else if (c == ' ' || c == '\t' || c == '\r') {
			advance(l, 1);
		} else if (c == '#' || span_starts(l->rest, SPAN("//"))) {
			skip_line(l);
		} else if (span_starts(l->rest, SPAN("/*"))) {
			skip_block_comment(l);
		} else if (!skip_stray(l)) {
			return;
		}
	}
}

/* Bytes of a quoted text up to its closing quote or the line's end. */
static size_t
quoted_length(struct span s)
{
	size_t n = 0;

	while (n < s.n && s.p[n] != '"' && s.p[n] != '\n')
		n += s.p[n] == '\\' && n + 1 < s.n && s.p[n + 1] != '\n' ? 2 : 1;
	return n;
}

static struct span
undo_escapes(struct lexer *l, struct span raw)
{
	char *to;
	size_t n = 0;

	if (span_find(raw, '\\') == raw.n)
		return raw;
	to = arena_alloc(l->memory, raw.n);
	for (size_t i = 0; i < raw.n; i++) {
		if (raw.p[i] == '\\' && i + 1 < raw.n) {
			i++;
			if (raw.p[i] != '"' && raw.p[i] != '\\')
				config_complain(l->complaints, l->line,
				    "\"\\%s\" is no escape; only \\\" and \\\\ are, write \\\\ for "
				    "a "
				    "backslash",
				    SHOW(span_of(raw.p + i, 1)));
		}
		to[n++] = raw.p[i];
	}
	return span_of(to, n);
}

static struct token
lex_quoted(struct lexer *l)
{
	struct token t = {.kind = TOKEN_TEXT, .line = l->line};
	size_t n;

	advance(l, 1);
	n = quoted_length(l->rest);
	if (n == l->rest.n || l->rest.p[n] != '"')
		config_complain(l->complaints, l->line,
		    "a text is not closed on its line; end it with \" (and write \\\" for a quote "
		    "inside)");
	t.text = undo_escapes(l, span_take(l->rest, n));
	advance(l, n);
	if (l->rest.n > 0 && l->rest.p[0] == '"')
		advance(l, 1);
	return t;
}

static bool
is_word_byte(char c)
{
	const struct span not_in_words = SPAN("\"'#{}=,;");

	return (unsigned char)c > ' ' && c != 127 && span_find(not_in_words, c) == not_in_words.n;
}

struct token
config_lexer_next(struct lexer *l)
{
	struct token t = {.kind = TOKEN_END};
	size_t n = 1;

	skip_blanks(l);
	t.line = l->line;
	if (l->rest.n == 0)
		return t;
	switch (l->rest.p[0]) {
	case '"':
		return lex_quoted(l);
	case '=':
		t.kind = TOKEN_EQUALS;
		break;
	case '{':
		t.kind = TOKEN_OPEN;
		break;
	case '}':
		t.kind = TOKEN_CLOSE;
		break;
	case ',':
		t.kind = TOKEN_COMMA;
		break;
	default:
		t.kind = TOKEN_WORD;
		while (n < l->rest.n && is_word_byte(l->rest.p[n]))
			n++;
		break;
	}
	t.text = span_take(l->rest, n);
	advance(l, n);
	return t;
}

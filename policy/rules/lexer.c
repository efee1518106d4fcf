#include "policy/rules/lexer.h"

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Index of the first blank from `at` on, or the end. */
static size_t
word_end(struct span s, size_t at)
{
	while (at < s.n && !is_blank(s.p[at]))
		at++;
	return at;
}

static struct span
between(struct span s, size_t from, size_t to)
{
	return span_of(s.p + from, to - from);
}

/* `at` is behind the opening quote; sets it behind the closing one. */
static int
read_quoted(struct lexer *l, size_t *at, struct token *out, struct err *err)
{
	struct span s = l->rest;
	size_t i = *at, n = 0;
	bool has_escape = false;
	char *copy;

	for (; i < s.n && s.p[i] != '"'; i++) {
		if (s.p[i] == '\\' && i + 1 < s.n && (s.p[i + 1] == '"' || s.p[i + 1] == '\\')) {
			has_escape = true;
			i++;
		}
	}
	if (i >= s.n)
		return err_set(err, E_SYNTAX,
		    "a quote without its closing \"; close it, and write \\\" for a quote inside");
	if (i + 1 < s.n && !is_blank(s.p[i + 1]))
		return err_set(err, E_SYNTAX,
		    "text right behind a closing quote; put a blank there, and write \\\" for a "
		    "quote "
		    "inside");
	out->kind = TOKEN_QUOTED;
	out->text = between(s, *at, i);
	if (has_escape) {
		copy = arena_alloc(l->memory, i - *at);
		for (size_t k = *at; k < i; k++) {
			if (s.p[k] == '\\' && (s.p[k + 1] == '"' || s.p[k + 1] == '\\'))
				k++;
			copy[n++] = s.p[k];
		}
		out->text = span_of(copy, n);
	}
	*at = i + 1;
	return 0;
}

static int
read_flags(struct span flags, bool *is_caseless, struct err *err)
{
	*is_caseless = span_eq(flags, SPAN("i"));
	if (flags.n == 0 || *is_caseless)
		return 0;
	return err_set(err, E_SYNTAX,
	    "`%.*s` behind a regex; only the flag i is known, and a / inside is written \\/",
	    SPAN_ARG(span_take(flags, 40)));
}

/* `at` is behind the opening slash. */
static int
read_regex(struct lexer *l, size_t *at, struct token *out, struct err *err)
{
	struct span s = l->rest;
	size_t i = *at, end;

	for (; i < s.n && s.p[i] != '/'; i++)
		if (s.p[i] == '\\' && i + 1 < s.n)
			i++;
	if (i >= s.n)
		return err_set(
		    err, E_SYNTAX, "a regex without its closing /; write /pattern/ or /pattern/i");
	end = word_end(s, i + 1);
	out->kind = TOKEN_REGEX;
	out->text = between(s, *at, i);
	*at = end;
	return read_flags(between(s, i + 1, end), &out->is_caseless, err);
}

static int
read_word(struct lexer *l, size_t *at, struct token *out, struct err *err)
{
	size_t end = word_end(l->rest, *at);

	out->kind = TOKEN_WORD;
	out->text = between(l->rest, *at, end);
	*at = end;
	if (span_find(out->text, '"') < out->text.n)
		return err_set(err, E_SYNTAX,
		    "a quote inside a word; put the whole value in quotes and write \\\" for a "
		    "quote");
	return 0;
}

int
rule_lexer_next(struct lexer *l, struct token *out, struct err *err)
{
	size_t at = 0;
	int rc;

	*out = (struct token){0};
	while (l->rest.n > 0 && is_blank(l->rest.p[0]))
		l->rest = span_skip(l->rest, 1);
	if (l->rest.n == 0 || l->rest.p[0] == '#')
		return 0;
	if (l->rest.p[0] == '!') {
		out->is_negated = true;
		at = 1;
		if (at == l->rest.n || is_blank(l->rest.p[at]) || l->rest.p[at] == '!')
			return err_set(err, E_SYNTAX,
			    "`!` needs a value right behind it; write !VALUE, or \"!\" for the "
			    "character");
	}
	if (l->rest.p[at] == '"') {
		at++;
		rc = read_quoted(l, &at, out, err);
	} else if (l->rest.p[at] == '/') {
		at++;
		rc = read_regex(l, &at, out, err);
	} else {
		rc = read_word(l, &at, out, err);
	}
	if (rc < 0)
		return rc;
	out->written = span_take(l->rest, at);
	l->rest = span_skip(l->rest, at);
	return 1;
}

int
lexer_quoted_regex(struct span text, struct span *pattern, bool *is_caseless, struct err *err)
{
	size_t last = span_rfind(text, '/');
	struct span flags;
	int rc;

	if (text.n < 2 || text.p[0] != '/' || last == 0)
		return 0;
	flags = span_skip(text, last + 1);
	/* "/usr/bin" is a text: its last part is more than flags could be. */
	for (size_t i = 0; i < flags.n; i++)
		if (memchr("imsxgu", flags.p[i], 6) == NULL)
			return 0;
	rc = read_flags(flags, is_caseless, err);
	if (rc < 0)
		return rc;
	*pattern = span_of(text.p + 1, last - 1);
	return 1;
}

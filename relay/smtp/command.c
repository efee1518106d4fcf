#include "relay/smtp/command.h"
#include "relay/base/utf8.h"

enum { CHUNK_DIGITS_MAX = 18 }; /* far over any message, far under an overflow of sums */

static const struct {
	const char *word;
	enum smtp_verb verb;
} VERBS[] = {
    {"EHLO", SMTP_EHLO},
    {"HELO", SMTP_HELO},
    {"MAIL", SMTP_MAIL},
    {"RCPT", SMTP_RCPT},
    {"DATA", SMTP_DATA},
    {"BDAT", SMTP_BDAT},
    {"RSET", SMTP_RSET},
    {"NOOP", SMTP_NOOP},
    {"QUIT", SMTP_QUIT},
    {"VRFY", SMTP_VRFY},
    {"HELP", SMTP_HELP},
    {"XCLIENT", SMTP_XCLIENT},
    {"EXPN", SMTP_KNOWN_ELSEWHERE},
    {"TURN", SMTP_KNOWN_ELSEWHERE},
    {"ATRN", SMTP_KNOWN_ELSEWHERE},
    {"ETRN", SMTP_KNOWN_ELSEWHERE},
    {"SEND", SMTP_KNOWN_ELSEWHERE},
    {"SOML", SMTP_KNOWN_ELSEWHERE},
    {"SAML", SMTP_KNOWN_ELSEWHERE},
    {"STARTTLS", SMTP_STARTTLS},
    {"AUTH", SMTP_AUTH},
    {"XFORWARD", SMTP_KNOWN_ELSEWHERE},
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static struct span
skip_blanks(struct span s)
{
	while (s.n > 0 && is_blank(s.p[0]))
		s = span_skip(s, 1);
	return s;
}

/* Removes "@one,@two:" from the front of a path (RFC 5321 appendix C: accepted, ignored). */
static int
strip_source_route(struct span *path)
{
	struct span s = *path;

	if (s.n == 0 || s.p[0] != '@')
		return 0;
	for (;;) {
		size_t n;

		if (s.n == 0 || s.p[0] != '@')
			return -E_SYNTAX;
		s = span_skip(s, 1);
		n = smtp_domain_prefix(s);
		if (n == 0 || n >= s.n)
			return -E_SYNTAX;
		s = span_skip(s, n + 1);
		if (s.p[-1] == ':')
			break;
		if (s.p[-1] != ',')
			return -E_SYNTAX;
	}
	*path = s;
	return 0;
}

/* Bytes up to the '>' that ends the path, not counting one in a quoted local part; s.n: none. */
static size_t
path_end(struct span s)
{
	bool is_quoted = false;

	for (size_t i = 0; i < s.n; i++) {
		if (is_quoted && s.p[i] == '\\')
			i++;
		else if (s.p[i] == '"')
			is_quoted = !is_quoted;
		else if (s.p[i] == '>' && !is_quoted)
			return i;
	}
	return s.n;
}

static bool
is_alnum(char c)
{
	char low = char_lower(c);

	return (low >= 'a' && low <= 'z') || (c >= '0' && c <= '9');
}

/* esmtp-value of RFC 5321 section 4.1.2, with UTF-8 as RFC 6531 section 3.3 has it. */
static bool
value_is_valid(struct span value)
{
	for (size_t i = 0; i < value.n; i++)
		if ((unsigned char)value.p[i] <= 0x20 || value.p[i] == 0x7f || value.p[i] == '=')
			return false;
	return utf8_is_valid(value);
}

static bool
param_is_valid(const struct smtp_param *param, bool has_equals)
{
	for (size_t i = 0; i < param->name.n; i++)
		if (!is_alnum(param->name.p[i]) && (param->name.p[i] != '-' || i == 0))
			return false;
	return param->name.n > 0 && (!has_equals || param->value.n > 0) &&
	       value_is_valid(param->value);
}

static int
parse_params(struct span rest, struct smtp_command *out)
{
	for (;;) {
		struct span word = span_word(&rest);
		struct smtp_param *param;
		size_t equals = span_find(word, '=');

		if (word.n == 0)
			return 0;
		if (out->n_params == SMTP_PARAMS_MAX)
			return -E_LIMIT;
		param = &out->params[out->n_params];
		param->name = span_take(word, equals);
		param->value = span_skip(word, equals + 1);
		if (!param_is_valid(param, equals < word.n))
			return -E_SYNTAX;
		out->n_params++;
	}
}

/* `rest` begins behind the verb and its blanks; `word` is "FROM:" or "TO:". */
static int
parse_path(struct span rest, struct span word, struct smtp_command *out)
{
	size_t end;
	int status;

	if (!span_starts_nocase(rest, word))
		return -E_SYNTAX;
	rest = skip_blanks(span_skip(rest, word.n));
	if (rest.n == 0 || rest.p[0] != '<')
		return -E_SYNTAX;
	rest = span_skip(rest, 1);
	end = path_end(rest);
	if (end == rest.n)
		return -E_SYNTAX;
	out->path = span_take(rest, end);
	rest = span_skip(rest, end + 1);
	if (rest.n > 0 && !is_blank(rest.p[0]))
		return -E_SYNTAX;

	if ((out->path.n == 0 && out->verb == SMTP_MAIL) ||
	    (span_eq_nocase(out->path, SPAN("postmaster")) && out->verb == SMTP_RCPT))
		return parse_params(rest, out);
	status = strip_source_route(&out->path);
	if (status == 0)
		status = smtp_address_check(out->path);
	return status == 0 ? parse_params(rest, out) : status;
}

/* RFC 3030 section 2: chunk-size SP ["LAST"]. */
static int
parse_chunk(struct span rest, struct smtp_command *out)
{
	struct span size = span_word(&rest), last = span_word(&rest);

	if (size.n > CHUNK_DIGITS_MAX || !span_to_u64(size, &out->chunk_size))
		return -E_SYNTAX;
	out->is_last = span_eq_nocase(last, SPAN("LAST"));
	return (last.n == 0 || out->is_last) && span_word(&rest).n == 0 ? 0 : -E_SYNTAX;
}

static enum smtp_verb
verb_of(struct span word)
{
	for (size_t i = 0; i < sizeof(VERBS) / sizeof(VERBS[0]); i++)
		if (span_eq_nocase(word, span_str(VERBS[i].word)))
			return VERBS[i].verb;
	return SMTP_UNKNOWN;
}

int
smtp_command_parse(struct span line, struct smtp_command *out)
{
	size_t n = 0;
	struct span rest;

	while (n < line.n && !is_blank(line.p[n]))
		n++;
	*out = (struct smtp_command){.verb = verb_of(span_take(line, n))};
	rest = span_trim(span_skip(line, n));

	switch (out->verb) {
	case SMTP_MAIL:
		return parse_path(rest, SPAN("FROM:"), out);
	case SMTP_RCPT:
		return parse_path(rest, SPAN("TO:"), out);
	case SMTP_XCLIENT:
		out->argument = rest;
		return rest.n > 0 ? parse_params(rest, out) : -E_SYNTAX;
	case SMTP_EHLO:
	case SMTP_HELO:
	case SMTP_VRFY:
		out->argument = rest;
		return rest.n > 0 ? 0 : -E_SYNTAX;
	case SMTP_DATA:
	case SMTP_RSET:
	case SMTP_QUIT:
		out->argument = rest;
		return rest.n > 0 ? -E_SYNTAX : 0;
	case SMTP_BDAT:
		out->argument = rest;
		return parse_chunk(rest, out);
	case SMTP_NOOP:
	case SMTP_HELP:
	case SMTP_STARTTLS:
	case SMTP_AUTH:
	case SMTP_KNOWN_ELSEWHERE:
	case SMTP_UNKNOWN:
		out->argument = rest;
		return 0;
	}
	return 0;
}

#include "relay/smtp/command.h"
#include "relay/base/ip.h"

enum { LOCAL_MAX = 64, DOMAIN_MAX = 255, LABEL_MAX = 63, HELO_MAX = 255 }; /* RFC 5321 4.5.3.1 */

static const struct {
	const char *word;
	enum smtp_verb verb;
} VERBS[] = {
    {"EHLO", SMTP_EHLO},
    {"HELO", SMTP_HELO},
    {"MAIL", SMTP_MAIL},
    {"RCPT", SMTP_RCPT},
    {"DATA", SMTP_DATA},
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
    {"BDAT", SMTP_KNOWN_ELSEWHERE},
    {"XFORWARD", SMTP_KNOWN_ELSEWHERE},
};

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool
is_alnum(char c)
{
	char low = char_lower(c);

	return (low >= 'a' && low <= 'z') || (c >= '0' && c <= '9');
}

/* atext of RFC 5322 section 3.2.3. */
static bool
is_atext(char c)
{
	return is_alnum(c) || (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

static struct span
skip_blanks(struct span s)
{
	while (s.n > 0 && is_blank(s.p[0]))
		s = span_skip(s, 1);
	return s;
}

/* Bytes of the name (labels of letters, digits and inner hyphens) at the start of s, 0: none. */
static size_t
domain_prefix(struct span s)
{
	size_t i = 0, label = 0;

	for (; i < s.n; i++) {
		if (is_alnum(s.p[i]) || (s.p[i] == '-' && label > 0)) {
			if (++label > LABEL_MAX)
				return 0;
			continue;
		}
		if (s.p[i] != '.')
			break;
		if (label == 0 || s.p[i - 1] == '-')
			return 0;
		label = 0;
	}
	return label == 0 || s.p[i - 1] == '-' ? 0 : i;
}

bool
smtp_domain_is_valid(struct span domain)
{
	return domain.n > 0 && domain.n <= DOMAIN_MAX && domain_prefix(domain) == domain.n;
}

/* RFC 5321 section 4.1.3.  Of the tagged forms only IPv6 is registered. */
static bool
literal_is_valid(struct span s)
{
	struct span inside;
	struct ip ip;

	if (s.n < 3 || s.p[0] != '[' || s.p[s.n - 1] != ']')
		return false;
	inside = span_of(s.p + 1, s.n - 2);
	if (span_starts_nocase(inside, SPAN("IPv6:"))) {
		inside = span_skip(inside, 5);
		return span_find(inside, ':') < inside.n && ip_parse(inside, &ip);
	}
	return span_find(inside, ':') == inside.n && ip_parse(inside, &ip);
}

/* Bytes of a Quoted-string with its quotes at the start of s, 0 when it is none. */
static size_t
quoted_length(struct span s)
{
	for (size_t i = 1; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '"')
			return i + 1;
		if (c == '\\' && ++i < s.n)
			c = (unsigned char)s.p[i];
		if (c < 0x20 || c > 0x7e)
			return 0;
	}
	return 0;
}

/* Bytes of a Dot-string at the start of s, 0 when it is none. */
static size_t
dot_string_length(struct span s)
{
	size_t i = 0;

	for (; i < s.n; i++) {
		if (is_atext(s.p[i]))
			continue;
		if (s.p[i] != '.')
			break;
		if (i == 0 || s.p[i - 1] == '.')
			return 0;
	}
	return i > 0 && s.p[i - 1] == '.' ? 0 : i;
}

static size_t
local_length(struct span s)
{
	return s.n > 0 && s.p[0] == '"' ? quoted_length(s) : dot_string_length(s);
}

static int
address_check(struct span address)
{
	size_t local = local_length(address);
	struct span domain;

	if (local == 0 || local >= address.n || address.p[local] != '@')
		return -E_SYNTAX;
	domain = span_skip(address, local + 1);
	if (address.n > SMTP_PATH_MAX || local > LOCAL_MAX || domain.n > DOMAIN_MAX)
		return -E_LIMIT;
	return smtp_domain_is_valid(domain) || literal_is_valid(domain) ? 0 : -E_SYNTAX;
}

bool
smtp_address_is_valid(struct span address)
{
	return address_check(address) == 0;
}

struct span
smtp_address_domain(struct span address)
{
	size_t at = span_rfind(address, '@');

	return at < address.n ? span_skip(address, at + 1) : span_skip(address, address.n);
}

bool
smtp_helo_is_valid(struct span name)
{
	if (name.n == 0 || name.n > HELO_MAX)
		return false;
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= 0x20 || name.p[i] > 0x7e)
			return false;
	return true;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool
smtp_xtext_decode(struct span value, char *to, size_t size, size_t *n)
{
	size_t out = 0;

	for (size_t i = 0; i < value.n; i++, out++) {
		char c = value.p[i];

		if (c <= 0x20 || c > 0x7e || c == '=' || out == size)
			return false;
		if (c == '+') {
			int high = i + 2 < value.n ? hex_digit(value.p[i + 1]) : -1;
			int low = i + 2 < value.n ? hex_digit(value.p[i + 2]) : -1;

			if (high < 0 || low < 0)
				return false;
			c = (char)(high << 4 | low);
			i += 2;
		}
		to[out] = c;
	}
	*n = out;
	return true;
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
		n = domain_prefix(s);
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
param_is_valid(const struct smtp_param *param, bool has_equals)
{
	for (size_t i = 0; i < param->name.n; i++)
		if (!is_alnum(param->name.p[i]) && (param->name.p[i] != '-' || i == 0))
			return false;
	for (size_t i = 0; i < param->value.n; i++)
		if (param->value.p[i] <= 0x20 || param->value.p[i] > 0x7e ||
		    param->value.p[i] == '=')
			return false;
	return param->name.n > 0 && (!has_equals || param->value.n > 0);
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
		status = address_check(out->path);
	return status == 0 ? parse_params(rest, out) : status;
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

#include "policy/config/scalar.h"

enum { LOCAL_PART_MAX = 64 };

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
is_letter(char c)
{
	return char_lower(c) >= 'a' && char_lower(c) <= 'z';
}

bool
scalar_bool(struct span s, bool *out)
{
	static const struct {
		const char *word;
		bool value;
	} words[] = {{"true", true}, {"yes", true}, {"on", true}, {"false", false}, {"no", false},
	    {"off", false}};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (span_eq_nocase(s, span_str(words[i].word))) {
			*out = words[i].value;
			return true;
		}
	return false;
}

bool
scalar_size(struct span s, uint64_t *out)
{
	uint64_t value, factor = 1;

	if (s.n > 1 && !is_digit(s.p[s.n - 1])) {
		switch (s.p[s.n - 1]) {
		case 'K':
			factor = 1024;
			break;
		case 'M':
			factor = 1024 * 1024;
			break;
		case 'G':
			factor = 1024 * 1024 * 1024;
			break;
		default:
			return false;
		}
		s.n--;
	}
	if (!span_to_u64(s, &value) || __builtin_mul_overflow(value, factor, &value) ||
	    value > INT64_MAX)
		return false;
	*out = value;
	return true;
}

bool
scalar_time(struct span s, int64_t *ms)
{
	static const struct {
		const char *unit;
		int64_t ms;
	} units[] = {{"ms", 1}, {"s", 1000}, {"m", 60000}, {"h", 3600000}, {"d", 86400000}};
	size_t digits = 0;
	uint64_t value;

	while (digits < s.n && is_digit(s.p[digits]))
		digits++;
	if (!span_to_u64(span_take(s, digits), &value) || value > INT64_MAX)
		return false;
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (span_eq(span_skip(s, digits), span_str(units[i].unit)))
			return !__builtin_mul_overflow((int64_t)value, units[i].ms, ms);
	return false;
}

bool
scalar_milli(struct span s, int64_t *milli)
{
	bool is_negative = s.n > 0 && s.p[0] == '-';
	struct span decimals = span_skip(s, is_negative ? 1 : 0), whole = span_cut(&decimals, '.');
	bool has_point = whole.n + (is_negative ? 1 : 0) < s.n;
	uint64_t value, part = 0;

	if (!span_to_u64(whole, &value) || value > SCORE_MILLI_MAX / 1000)
		return false;
	if (has_point && (decimals.n > 3 || !span_to_u64(decimals, &part)))
		return false;
	for (size_t i = decimals.n; i < 3; i++)
		part *= 10;
	value = value * 1000 + part;
	if (value > SCORE_MILLI_MAX)
		return false;
	*milli = is_negative ? -(int64_t)value : (int64_t)value;
	return true;
}

/* An atom's characters (RFC 5321 section 4.1.2, RFC 5322 section 3.2.3). */
static bool
is_atom_char(char c)
{
	const struct span others = SPAN("!#$%&'*+-/=?^_`{|}~");

	return is_letter(c) || is_digit(c) || span_find(others, c) != others.n;
}

static bool
is_label(struct span label)
{
	if (label.n == 0 || label.n > HOST_LABEL_MAX || label.p[0] == '-' ||
	    label.p[label.n - 1] == '-')
		return false;
	for (size_t i = 0; i < label.n; i++)
		if (!is_letter(label.p[i]) && !is_digit(label.p[i]) && label.p[i] != '-')
			return false;
	return true;
}

bool
scalar_is_host(struct span s)
{
	struct span last = span_skip(s, span_rfind(s, '.') == s.n ? 0 : span_rfind(s, '.') + 1);
	uint64_t number;

	if (s.n == 0 || s.n > HOST_NAME_MAX_BYTES || last.n == 0 || span_to_u64(last, &number))
		return false;
	while (s.n > 0)
		if (!is_label(span_cut(&s, '.')))
			return false;
	return true;
}

bool
scalar_is_address(struct span s)
{
	size_t at = span_rfind(s, '@');
	struct span local = span_take(s, at);

	if (at == s.n || local.n == 0 || local.n > LOCAL_PART_MAX || local.p[0] == '.' ||
	    local.p[local.n - 1] == '.')
		return false;
	for (size_t i = 0; i < local.n; i++) {
		char c = local.p[i];

		if (c == '.' ? local.p[i - 1] == '.' : !is_atom_char(c))
			return false;
	}
	return scalar_is_host(span_skip(s, at + 1));
}

bool
scalar_is_path(struct span s)
{
	if (s.n < 2 || s.n > PATH_MAX_BYTES || s.p[0] != '/' || span_find(s, '\0') != s.n)
		return false;
	while (s.n > 0) {
		struct span name = span_cut(&s, '/');

		if (span_eq(name, SPAN(".")) || span_eq(name, SPAN("..")))
			return false;
	}
	return true;
}

bool
scalar_host_port(struct span s, struct span *host, uint16_t *port)
{
	size_t colon = span_rfind(s, ':');
	struct span before = span_take(s, colon);
	uint64_t value;

	if (colon == s.n || before.n == 0 || !span_to_u64(span_skip(s, colon + 1), &value) ||
	    value == 0 || value > 65535)
		return false;
	if (before.n > 2 && before.p[0] == '[' && before.p[before.n - 1] == ']')
		before = span_of(before.p + 1, before.n - 2);
	else if (span_find(before, ':') != before.n)
		return false;
	*host = before;
	*port = (uint16_t)value;
	return true;
}

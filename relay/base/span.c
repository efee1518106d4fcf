#include "relay/base/span.h"

bool
span_eq(struct span a, struct span b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

bool
span_eq_nocase(struct span a, struct span b)
{
	return a.n == b.n && span_starts_nocase(a, b);
}

bool
span_starts(struct span s, struct span prefix)
{
	return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

bool
span_starts_nocase(struct span s, struct span prefix)
{
	if (s.n < prefix.n)
		return false;
	for (size_t i = 0; i < prefix.n; i++)
		if (char_lower(s.p[i]) != char_lower(prefix.p[i]))
			return false;
	return true;
}

bool
span_ends_nocase(struct span s, struct span suffix)
{
	return s.n >= suffix.n && span_eq_nocase(span_skip(s, s.n - suffix.n), suffix);
}

size_t
span_find(struct span s, char c)
{
	const char *hit = s.n ? memchr(s.p, c, s.n) : NULL;

	return hit != NULL ? (size_t)(hit - s.p) : s.n;
}

size_t
span_rfind(struct span s, char c)
{
	const char *hit = s.n ? memrchr(s.p, c, s.n) : NULL;

	return hit != NULL ? (size_t)(hit - s.p) : s.n;
}

struct span
span_skip(struct span s, size_t n)
{
	if (n > s.n)
		n = s.n;
	return n == 0 ? s : (struct span){s.p + n, s.n - n};
}

struct span
span_take(struct span s, size_t n)
{
	return (struct span){s.p, n < s.n ? n : s.n};
}

struct span
span_skip_bom(struct span s)
{
	static const struct span mark = {"\xef\xbb\xbf", 3};

	return span_starts(s, mark) ? span_skip(s, mark.n) : s;
}

static bool
is_blank_or_eol(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct span
span_trim(struct span s)
{
	while (s.n > 0 && is_blank_or_eol(s.p[0]))
		s = span_skip(s, 1);
	while (s.n > 0 && is_blank_or_eol(s.p[s.n - 1]))
		s.n--;
	return s;
}

struct span
span_chomp(struct span s)
{
	if (s.n > 0 && s.p[s.n - 1] == '\n')
		s.n--;
	if (s.n > 0 && s.p[s.n - 1] == '\r')
		s.n--;
	return s;
}

struct span
span_cut(struct span *rest, char c)
{
	size_t at = span_find(*rest, c);
	struct span head = span_take(*rest, at);

	*rest = span_skip(*rest, at < rest->n ? at + 1 : at);
	return head;
}

struct span
span_word(struct span *rest)
{
	size_t n = 0;
	struct span word;

	while (rest->n > 0 && (rest->p[0] == ' ' || rest->p[0] == '\t'))
		*rest = span_skip(*rest, 1);
	while (n < rest->n && rest->p[n] != ' ' && rest->p[n] != '\t')
		n++;
	word = span_take(*rest, n);
	*rest = span_skip(*rest, n);
	return word;
}

bool
span_to_u64(struct span s, uint64_t *out)
{
	uint64_t value = 0;

	if (s.n == 0)
		return false;
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return false;
		if (__builtin_mul_overflow(value, (uint64_t)10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(s.p[i] - '0'), &value))
			return false;
	}
	*out = value;
	return true;
}

bool
span_copy(struct span s, char *to, size_t size)
{
	size_t n = s.n < size ? s.n : size - 1;

	if (n > 0)
		memcpy(to, s.p, n);
	to[n] = '\0';
	return n == s.n;
}

int
span_cmp(struct span a, struct span b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int order = n ? memcmp(a.p, b.p, n) : 0;

	if (order != 0)
		return order;
	return a.n < b.n ? -1 : a.n > b.n;
}

#include "relay/base/utf8.h"

size_t
utf8_length(struct span s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	unsigned char low = 0x80, high = 0xBF;
	size_t n;

	if (s.n == 0)
		return 0;
	if (p[0] < 0x80)
		return 1;
	if (p[0] < 0xC2 || p[0] > 0xF4)
		return 0;
	n = p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;
	if (s.n < n)
		return 0;
	/* The second byte's range shuts out overlong forms, surrogates and what is past U+10FFFF. */
	if (p[0] == 0xE0)
		low = 0xA0;
	else if (p[0] == 0xED)
		high = 0x9F;
	else if (p[0] == 0xF0)
		low = 0x90;
	else if (p[0] == 0xF4)
		high = 0x8F;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < n; i++)
		if (p[i] < 0x80 || p[i] > 0xBF)
			return 0;
	return n;
}

/* Bytes at the start of s that are ASCII for certain: eight at a time, since nearly all mail is. */
static size_t
ascii_run(struct span s)
{
	size_t n = 0;
	uint64_t word;

	for (; n + sizeof(word) <= s.n; n += sizeof(word)) {
		memcpy(&word, s.p + n, sizeof(word));
		if (word & 0x8080808080808080ULL)
			break;
	}
	return n;
}

bool
utf8_is_valid(struct span s)
{
	while (s.n > 0) {
		size_t n = ascii_run(s);

		if (n == 0)
			n = utf8_length(s);

		if (n == 0)
			return false;
		s = span_skip(s, n);
	}
	return true;
}

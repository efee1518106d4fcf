#include "relay/base/base64.h"
#include "relay/base/err.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int
base64_add(struct buf *to, struct span s)
{
	for (size_t i = 0; i < s.n; i += 3) {
		size_t n = s.n - i < 3 ? s.n - i : 3;
		unsigned char b[3] = {0};
		unsigned bits;

		memcpy(b, s.p + i, n);
		bits = (unsigned)b[0] << 16 | (unsigned)b[1] << 8 | b[2];
		for (size_t k = 0; k < 4; k++)
			(void)buf_add_char(
			    to, k > n ? '=' : digits[bits >> (18 - 6 * k) & 63]); /* sticky */
	}
	return to->failed ? -E_LIMIT : 0;
}

/* Three bytes' bits of one group of four digits; *n_bytes is how many there are, 0: no such group. */
static unsigned
group_bits(const char *p, size_t *n_bytes)
{
	unsigned bits = 0;
	size_t n = 0;

	while (n < 4 && p[n] != '=') {
		const char *digit = p[n] != '\0' ? strchr(digits, p[n]) : NULL;

		if (digit == NULL)
			break;
		bits = bits << 6 | (unsigned)(digit - digits);
		n++;
	}
	*n_bytes = n > 1 ? n - 1 : 0;
	for (size_t i = n; i < 4; i++)
		if (p[i] != '=')
			*n_bytes = 0;
	bits <<= 6 * (4 - n);
	if ((n == 2 && (bits & 0xffff) != 0) || (n == 3 && (bits & 0xff) != 0))
		*n_bytes = 0; /* a second way of writing the same bytes */
	return bits;
}

int
base64_decode(struct buf *to, struct span text)
{
	size_t had = to->n;

	if (text.n % 4 != 0)
		return -E_SYNTAX;
	for (size_t i = 0; i < text.n; i += 4) {
		size_t n;
		unsigned bits = group_bits(text.p + i, &n);
		const char bytes[3] = {(char)(bits >> 16), (char)(bits >> 8), (char)bits};

		if (n == 0 || (n < 3 && i + 4 < text.n)) {
			to->n = had;
			return -E_SYNTAX;
		}
		(void)buf_add(to, bytes, n); /* sticky */
	}
	return to->failed ? -E_LIMIT : 0;
}

#include "relay/base/base64.h"
#include "relay/base/err.h"

int
base64_add(struct buf *to, struct span s)
{
	static const char digits[] =
	    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

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

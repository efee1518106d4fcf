/*
 * interpose_number.c - sscanf for the filter program, quick where a short number is all that is read.
 *
 * For every layer of a message libclamav reads the expression of each logical signature, and each number
 * in it by sscanf(…, "%u", …), for which libc sets up a stream and takes it down: a third of a scan with
 * some thousand of them (docs/benchmarks.md).  It reaches libc through its linkage table, as for the calls
 * of interpose.c; what is not such a number is left to libc.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* Under the names that libraries ask for: <stdio.h> calls the first one the second, by the standard
 * that a file is compiled for. */
int number_sscanf(const char *s, const char *format, ...) __asm__("sscanf")
    __attribute__((format(scanf, 2, 3)));
int number_sscanf_c99(const char *s, const char *format, ...) __asm__("__isoc99_sscanf")
    __attribute__((format(scanf, 2, 3)));
int number_rest(const char *s, const char *format, va_list ap) __asm__("vsscanf")
    __attribute__((format(scanf, 2, 0)));
int number_rest_c99(const char *s, const char *format, va_list ap) __asm__("__isoc99_vsscanf")
    __attribute__((format(scanf, 2, 0)));

enum { DIGITS_MAX = 9 }; /* any number of so many fits */

/* Not for blanks before it, a sign, or more digits. */
static bool
number_read(const char *s, unsigned *out)
{
	unsigned n = 0;
	int i = 0;

	for (; i < DIGITS_MAX && s[i] >= '0' && s[i] <= '9'; i++)
		n = n * 10 + (unsigned)(s[i] - '0');
	if (i == 0 || (s[i] >= '0' && s[i] <= '9'))
		return false;
	*out = n;
	return true;
}

#define DEFINE_SSCANF(name, rest)                                    \
	int name(const char *s, const char *format, ...)             \
	{                                                            \
		unsigned n;                                          \
		va_list ap;                                          \
		int r = 1;                                           \
                                                                     \
		va_start(ap, format);                                \
		if (strcmp(format, "%u") == 0 && number_read(s, &n)) \
			*va_arg(ap, unsigned *) = n;                 \
		else                                                 \
			r = rest(s, format, ap);                     \
		va_end(ap);                                          \
		return r;                                            \
	}

DEFINE_SSCANF(number_sscanf, number_rest)
DEFINE_SSCANF(number_sscanf_c99, number_rest_c99)

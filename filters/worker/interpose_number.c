/*
 * interpose_number.c - sscanf for the filter program, quick where a short number is all that is read.
 *
 * For every layer of a message libclamav reads the expression of each logical signature, and each number
 * in it by sscanf(…, "%u", …), for which libc sets up a stream and takes it down: a third of a scan with
 * some thousand of them (docs/benchmarks.md).  It reaches libc through its linkage table, as for the calls
 * of interpose.c; what is not such a number is left to libc.
 */
#include <stdarg.h>
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

/* -1: something else than digits, blanks before them or a sign included, or too many. */
static long
number_read(const char *s)
{
	long n = 0;
	int i = 0;

	for (; s[i] >= '0' && s[i] <= '9'; i++) {
		if (i == DIGITS_MAX)
			return -1;
		n = n * 10 + (s[i] - '0');
	}
	return i > 0 ? n : -1;
}

#define DEFINE_SSCANF(name, rest)                                         \
	int name(const char *s, const char *format, ...)                  \
	{                                                                 \
		long n = strcmp(format, "%u") == 0 ? number_read(s) : -1; \
		va_list ap;                                               \
		int r = 1;                                                \
                                                                          \
		va_start(ap, format);                                     \
		if (n >= 0)                                               \
			*va_arg(ap, unsigned *) = (unsigned)n;            \
		else                                                      \
			r = rest(s, format, ap);                          \
		va_end(ap);                                               \
		return r;                                                 \
	}

DEFINE_SSCANF(number_sscanf, number_rest)
DEFINE_SSCANF(number_sscanf_c99, number_rest_c99)

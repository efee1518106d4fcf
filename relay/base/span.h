/*
 * span.h - text by value: a pointer and a length, never NUL-terminated, never owned.
 *
 * A span is valid as long as the memory it points into.  All text that came from outside is
 * handled as spans; nothing here reads past `n`, allocates, or stops at a NUL.
 */
#ifndef BASE_SPAN_H
#define BASE_SPAN_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct span {
	const char *p;
	size_t n;
};

/* A string literal as a span. */
#define SPAN(literal) ((struct span){"" literal, sizeof(literal) - 1})
/* For printf: "%.*s", SPAN_ARG(s). Cuts at INT_MAX, which no bounded text reaches. */
#define SPAN_ARG(s) ((int)(s).n), ((s).n ? (s).p : "")

static inline struct span
span_of(const void *p, size_t n)
{
	return (struct span){p, n};
}

/* A NUL-terminated string of our own (configuration, constants); NULL gives the empty span. */
static inline struct span
span_str(const char *s)
{
	return (struct span){s, s != NULL ? strlen(s) : 0};
}

static inline bool
span_is_empty(struct span s)
{
	return s.n == 0;
}

/* ASCII only: mail's protocol words know no locale. */
static inline char
char_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
}

/* Value of a hexadecimal digit of either case, -1 for anything else. */
static inline int
char_hex(char c)
{
	c = char_lower(c);
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool span_eq(struct span a, struct span b);
bool span_eq_nocase(struct span a, struct span b);
bool span_starts(struct span s, struct span prefix);
bool span_starts_nocase(struct span s, struct span prefix);
bool span_ends_nocase(struct span s, struct span suffix);
/* Index of the first `c`, or s.n when there is none. */
size_t span_find(struct span s, char c);
size_t span_rfind(struct span s, char c);
/* s without its first / from its first `n` bytes; n beyond the end counts as the end. */
struct span span_skip(struct span s, size_t n);
struct span span_take(struct span s, size_t n);
/* Without the byte order mark that some editors put in front of UTF-8. */
struct span span_skip_bom(struct span s);
/* Without blanks, tabs, CR and LF at both ends. */
struct span span_trim(struct span s);
/* Without one CRLF, or bare LF or CR, at the end. */
struct span span_chomp(struct span s);
/*
 * Cuts `rest` at the first `c`: returns what stands before it and moves `rest` behind it.
 * Without a `c` returns all of it and leaves `rest` empty.
 */
struct span span_cut(struct span *rest, char c);
/* Next word divided by blanks or tabs; empty at the end. */
struct span span_word(struct span *rest);
/* Decimal digits only, all of the span; false on anything else or on overflow. */
bool span_to_u64(struct span s, uint64_t *out);
/* Copies into a NUL-terminated array, cut to fit; returns false when it was cut. */
bool span_copy(struct span s, char *to, size_t size);
/* Order by bytes, then by length; for sorting. */
int span_cmp(struct span a, struct span b);

#endif

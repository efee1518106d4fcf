#include "relay/base/buf.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/base/utf8.h"

#include <stdarg.h>
#include <stdio.h>

enum { BUF_FIRST = 256 };

/* Back to the beginning of its memory. */
static void
settle(struct buf *b)
{
	if (b->taken == 0)
		return;
	memmove(b->p - b->taken, b->p, b->n);
	b->p -= b->taken;
	b->taken = 0;
}

/* Room for n bytes inside the maximum, and for `spare` behind them that are never counted. */
static char *
room(struct buf *b, size_t n, size_t spare)
{
	size_t need;

	if (b->failed || __builtin_add_overflow(b->n, n, &need) || need > b->max) {
		b->failed = true;
		return NULL;
	}
	need += spare;
	if (need > b->cap - b->taken)
		settle(b);
	if (need > b->cap) {
		size_t cap = b->cap < BUF_FIRST ? BUF_FIRST : b->cap;

		while (cap < need)
			cap *= 2;
		b->p = mem_grow(b->p, cap);
		b->cap = cap;
	}
	return b->p + b->n;
}

char *
buf_room(struct buf *b, size_t n)
{
	return room(b, n, 0);
}

int
buf_add(struct buf *b, const void *bytes, size_t n)
{
	char *to;

	if (n == 0)
		return b->failed ? -E_LIMIT : 0;
	to = buf_room(b, n);
	if (to == NULL)
		return -E_LIMIT;
	memcpy(to, bytes, n);
	b->n += n;
	return 0;
}

int
buf_add_span(struct buf *b, struct span s)
{
	return buf_add(b, s.p, s.n);
}

int
buf_add_str(struct buf *b, const char *s)
{
	return buf_add(b, s, strlen(s));
}

int
buf_add_char(struct buf *b, char c)
{
	return buf_add(b, &c, 1);
}

int
buf_addf(struct buf *b, const char *fmt, ...)
{
	va_list ap;
	int n;
	char *to;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	must(n >= 0);
	to = room(b, (size_t)n, 1); /* for the NUL */
	if (to == NULL)
		return -E_LIMIT;
	va_start(ap, fmt);
	(void)vsnprintf(to, (size_t)n + 1, fmt, ap); /* same arguments, same length */
	va_end(ap);
	b->n += (size_t)n;
	return 0;
}

int
buf_add_json(struct buf *b, struct span s)
{
	(void)buf_add_char(b, '"'); /* sticky: tested at the end */
	while (s.n > 0) {
		size_t n = utf8_length(s);
		unsigned char c = (unsigned char)s.p[0];

		if (n == 0)
			(void)buf_add_str(b, "\xEF\xBF\xBD");
		else if (c == '"' || c == '\\')
			(void)buf_addf(b, "\\%c", c);
		else if (c == '\n')
			(void)buf_add_str(b, "\\n");
		else if (c < 0x20 || c == 0x7f)
			(void)buf_addf(b, "\\u%04x", c);
		else
			(void)buf_add(b, s.p, n);
		s = span_skip(s, n ? n : 1);
	}
	return buf_add_char(b, '"');
}

void
buf_consume(struct buf *b, size_t n)
{
	must(n <= b->n);
	b->n -= n;
	if (n == 0)
		return;
	b->p += n;
	b->taken += n;
	if (b->n == 0)
		settle(b);
}

void
buf_clear(struct buf *b)
{
	b->n = 0;
	settle(b);
	b->failed = false;
}

void
buf_free(struct buf *b)
{
	b->n = 0;
	settle(b);
	mem_free(b->p);
	*b = (struct buf){.max = b->max};
}

/*
 * buf.h - growing bytes with a named maximum.  All zeros (plus max) is a valid empty buffer.
 *
 * The owner calls buf_free.  Adding past `max` adds nothing, sets `failed` and returns -E_LIMIT;
 * `failed` is sticky, so a row of adds may be tested once at its end.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H
#include "relay/base/span.h"

struct buf {
	char *p;
	size_t n, cap, max;
	size_t taken; /* bytes of the memory before p: buf_consume moves nothing */
	bool failed;
};

#define BUF_INIT(limit) ((struct buf){.max = (limit)})

int buf_add(struct buf *b, const void *bytes, size_t n);
int buf_add_span(struct buf *b, struct span s);
int buf_add_str(struct buf *b, const char *s);
int buf_add_char(struct buf *b, char c);
int buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* The span as a JSON string, quotes included; bytes that are not UTF-8 become U+FFFD. */
int buf_add_json(struct buf *b, struct span s);
/* Room for n more bytes at b->p + b->n, to be filled and counted by the caller; NULL: past max. */
char *buf_room(struct buf *b, size_t n);
/* Drops n bytes from the front, in constant time: a client may send ten thousand commands at once. */
void buf_consume(struct buf *b, size_t n);
void buf_clear(struct buf *b); /* empty, memory kept, `failed` reset */
void buf_free(struct buf *b);

static inline struct span
buf_span(const struct buf *b)
{
	return span_of(b->p, b->n);
}

#endif

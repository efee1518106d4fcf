/*
 * id.h - the transaction id: 26 characters of Crockford's base 32, 48 bits of wall time in
 * milliseconds and 80 random bits (the ULID layout), so that ids sort by time.
 *
 * The same id stands in replies, logs, headers, journal and queue.
 */
#ifndef BASE_ID_H
#define BASE_ID_H
#include "relay/base/span.h"

enum { ID_LENGTH = 26 };

struct id {
	char text[ID_LENGTH + 1]; /* NUL-terminated */
};

struct id id_new(void);
bool id_parse(struct span s, struct id *out); /* false: not an id; lower case is folded */
int64_t id_wall_ms(const struct id *id);      /* the time it was made */

static inline struct span
id_span(const struct id *id)
{
	return span_of(id->text, strlen(id->text));
}

#endif

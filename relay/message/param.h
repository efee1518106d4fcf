/*
 * param.h - a structured MIME field ("text/plain; charset=utf-8"): its main value and its parameters
 * (RFC 2045 section 5.1, RFC 2231 with segments, charset and percent escapes).
 *
 * Pure, tolerant, linear: comments and folds anywhere, missing quotes, missing semicolons.
 */
#ifndef MESSAGE_PARAM_H
#define MESSAGE_PARAM_H
#include "relay/base/buf.h"
#include "relay/message/charset.h"
#include "relay/message/variants.h"

enum {
	PARAM_SEGMENTS_MAX = 100, /* name*0, name*1, …: further ones are ignored */
	PARAM_VALUE_MAX = 4096,   /* bytes; a longer one is cut */
	PARAM_PLACES_MAX = 8      /* where a name stands in a value that are looked at */
};

struct param_about {
	char charset[CHARSET_NAME_MAX + 1]; /* RFC 2231's, "" when there is none */
	bool is_repeated; /* the very same parameter stood there twice: the first is given */
};

/*
 * Finds parameter `name` (without case) of a field's value and appends its bytes to `to`, at most
 * PARAM_VALUE_MAX: quotes undone, segments put together, percent escapes undone.  An RFC 2231 form
 * goes before the plain one.  False when there is none.
 */
bool param_find(struct span value, struct span name, struct buf *to, struct param_about *about);
/* The same as UTF-8 text for people (file names): charset applied, RFC 2047 words decoded. */
bool param_find_text(struct span value, struct span name, struct buf *to);
/*
 * Every way in which readers understand that parameter, param_find's first: each form and each
 * repetition of it, quotes that do not close or stand inside, text behind them, comments taken for
 * text, segments in the order they stand, RFC 2047 words and percent escapes undone or not.
 */
void param_readings(struct span value, struct span name, struct arena *arena, struct variants *to);
/* The same as UTF-8 text for people. */
void param_text_readings(
    struct span value, struct span name, struct arena *arena, struct variants *to);
/* What stands before the first ';', in lower case, comments and blanks removed: "text/plain",
 * "base64".  At most `to`'s max. */
void param_main_value(struct span value, struct buf *to);

#endif

/*
 * name.h - what a file name comes to on the machine where it is saved: without path, without the marks
 * and blanks that hide its ending, without what some systems cut off.
 *
 * Pure.
 */
#ifndef UNPACK_NAME_H
#define UNPACK_NAME_H
#include "relay/base/span.h"

enum {
	NAME_BYTES_MAX = 1024, /* of a form; the end of a longer name counts */
	NAME_FORMS_MAX = 5,
	NAME_BLANKS_MAX = 5 /* in a row; more hide what is behind them */
};

struct name_forms {
	struct span forms[NAME_FORMS_MAX]; /* each once; the cleaned one first */
	size_t n;
	bool is_disguised; /* right-to-left marks, control characters, rows of blanks */
	char room[NAME_FORMS_MAX][NAME_BYTES_MAX];
};

/* `name` is UTF-8, or bytes that were meant to be.  No forms for an empty name. */
void name_read(struct span name, struct name_forms *out);
/* What stands behind the last dot; empty when there is none. */
struct span name_extension(struct span form);

#endif

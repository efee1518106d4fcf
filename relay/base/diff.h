/*
 * diff.h - which lines two texts differ in: the shortest list of lines removed and added (Myers, An
 * O(ND) Difference Algorithm, 1986).
 *
 * Pure.  Texts that differ in more than DIFF_MAX lines are told as what their common beginning and end
 * leave: all of it removed, all of it added.
 */
#ifndef BASE_DIFF_H
#define BASE_DIFF_H
#include "relay/base/span.h"

enum { DIFF_MAX = 2000 };

struct diff_line {
	bool is_added;    /* else removed */
	size_t number;    /* in the text it stands in, from 1 */
	struct span line; /* without its newline */
};

/* Calls on_line in the order of the texts, removed lines before those added in their place. */
void diff_texts(struct span from, struct span to,
    void (*on_line)(void *arg, const struct diff_line *line), void *arg);

#endif

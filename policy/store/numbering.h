/*
 * numbering.h - which id each rule of a policy text has: a line that stood in the text before keeps
 * the one it had there, wherever it stands now; every other gets a number that no rule has had.
 *
 * Pure.  A list of ids is four bytes (wire.h) for each rule line, in their order.
 */
#ifndef STORE_NUMBERING_H
#define STORE_NUMBERING_H
#include "relay/base/buf.h"

/* A text with the ids of its rules; no ids: they are 1, 2, 3, … */
struct numbered {
	struct span text, ids;
};

/* Rule lines of a text: those that are neither empty nor comments. */
size_t numbering_count(struct span text);
/*
 * Appends the ids of the rules of `text`: for each line that of an equal line of known[0], else of
 * known[1] and so on; of several equal lines the first takes the first.  What is left is numbered
 * from *next on, which moves. 0, or -E_LIMIT: no more numbers, or the buf's bound.
 */
int numbering_assign(struct span text, const struct numbered *known, size_t n_known, uint32_t *next,
    struct buf *ids);

#endif

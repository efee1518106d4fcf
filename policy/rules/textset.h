/*
 * textset.h - a set of texts compared without case, packed so that a million of them cost about
 * their own bytes and eight more each.  All zeros is an empty set.  Built once, then only asked.
 */
#ifndef RULES_TEXTSET_H
#define RULES_TEXTSET_H
#include "relay/base/span.h"

enum { TEXTSET_TEXT_MAX = 1000 }; /* bytes of one member */

struct textset {
	char *bytes;     /* each member: two bytes of length, then itself in lower case */
	size_t n, cap;   /* of bytes */
	uint32_t *slots; /* offset + 1 of a member; 0: free */
	size_t size;     /* of slots, a power of two */
	size_t count;
	size_t shortest, longest; /* bytes of members, so that other texts are not looked for */
};

/* False: longer than TEXTSET_TEXT_MAX or the set is full. A member given twice counts once. */
bool textset_add(struct textset *set, struct span text);
bool textset_has(const struct textset *set, struct span text);
void textset_free(struct textset *set);

#endif

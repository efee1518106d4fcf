/*
 * variants.h - the ways in which one piece of text may be read, each once, the likeliest first.
 *
 * Bounded: what does not fit is not forgotten silently, is_full says so.  The texts are copies in
 * the arena given.
 */
#ifndef MESSAGE_VARIANTS_H
#define MESSAGE_VARIANTS_H
#include "relay/base/mem.h"

enum { VARIANTS_MAX = 16 };

struct variants {
	struct span items[VARIANTS_MAX];
	size_t n;
	bool is_full; /* one more was there, or no memory for it */
};

/* Adds a copy of `s` when it is not empty and not there. */
void variants_add(struct variants *v, struct arena *arena, struct span s);
bool variants_have(const struct variants *v, struct span s);

#endif

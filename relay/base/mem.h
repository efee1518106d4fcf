/*
 * mem.h - memory that never fails: a supervised process that cannot have memory dies and is
 * restarted, so bound the size before asking.  Also the arena: memory that is dropped as a whole.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H
#include "relay/base/span.h"

void *mem_alloc(size_t size);               /* zeroed; dies when there is none */
void *mem_array(size_t count, size_t size); /* zeroed, checked product */
void *mem_grow(void *p, size_t size);       /* realloc that dies */
char *mem_dup(struct span s);               /* NUL-terminated copy; mem_free */
void mem_free(void *p);

/*
 * An arena belongs to a message, transaction or snapshot.  Pieces are never freed singly.
 * `max` bounds the sum of all pieces: asking for more is a bug of the caller (must).
 */
struct arena_block;
struct arena {
	struct arena_block *head;
	size_t used, max;
};

void arena_init(struct arena *a, size_t max);
void *arena_alloc(struct arena *a, size_t size);        /* zeroed, aligned for any type */
struct span arena_copy(struct arena *a, struct span s); /* with a NUL behind it that n excludes */
size_t arena_left(const struct arena *a);               /* bytes that may still be asked for */
void arena_free(struct arena *a);                       /* all of it; the arena can be used again */

#endif

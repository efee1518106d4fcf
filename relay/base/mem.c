#include "relay/base/mem.h"
#include "relay/base/err.h"

#include <stdalign.h>
#include <stdlib.h>

enum { ARENA_BLOCK = 4096 };

struct arena_block {
	struct arena_block *next;
	size_t used, size;
	alignas(max_align_t) char bytes[];
};

void *
mem_alloc(size_t size)
{
	void *p = calloc(1, size ? size : 1);

	must(p != NULL);
	return p;
}

void *
mem_array(size_t count, size_t size)
{
	void *p = calloc(count ? count : 1, size ? size : 1);

	must(p != NULL);
	return p;
}

void *
mem_grow(void *p, size_t size)
{
	void *q = realloc(p, size ? size : 1);

	must(q != NULL);
	return q;
}

char *
mem_dup(struct span s)
{
	char *copy = mem_alloc(s.n + 1);

	if (s.n > 0)
		memcpy(copy, s.p, s.n);
	return copy;
}

void
mem_free(void *p)
{
	free(p);
}

void
arena_init(struct arena *a, size_t max)
{
	*a = (struct arena){.max = max};
}

void *
arena_alloc(struct arena *a, size_t size)
{
	size_t align = alignof(max_align_t), need = (size + align - 1) / align * align;
	struct arena_block *b = a->head;
	void *piece;

	must(need >= size && need <= arena_left(a));
	if (b == NULL || b->size - b->used < need) {
		size_t room = need > ARENA_BLOCK ? need : ARENA_BLOCK;

		b = mem_alloc(sizeof(*b) + room);
		b->size = room;
		b->next = a->head;
		a->head = b;
	}
	piece = b->bytes + b->used;
	b->used += need;
	a->used += need;
	return piece;
}

struct span
arena_copy(struct arena *a, struct span s)
{
	char *copy = arena_alloc(a, s.n + 1);

	if (s.n > 0)
		memcpy(copy, s.p, s.n);
	return span_of(copy, s.n);
}

size_t
arena_left(const struct arena *a)
{
	return a->max - a->used;
}

void
arena_free(struct arena *a)
{
	while (a->head != NULL) {
		struct arena_block *next = a->head->next;

		mem_free(a->head);
		a->head = next;
	}
	a->used = 0;
}

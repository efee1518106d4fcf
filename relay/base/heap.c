#include "relay/base/heap.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"

enum { SIZE_FIRST = 64 };

static void
put(struct heap *h, size_t at, struct heap_node *node)
{
	h->nodes[at] = node;
	node->at = at;
}

static void
rise(struct heap *h, struct heap_node *node)
{
	size_t at = node->at;

	for (; at > 0 && h->nodes[(at - 1) / 2]->ms > node->ms; at = (at - 1) / 2)
		put(h, at, h->nodes[(at - 1) / 2]);
	put(h, at, node);
}

static void
sink(struct heap *h, struct heap_node *node)
{
	size_t at = node->at;

	for (;;) {
		size_t child = 2 * at + 1;

		if (child + 1 < h->n && h->nodes[child + 1]->ms < h->nodes[child]->ms)
			child++;
		if (child >= h->n || h->nodes[child]->ms >= node->ms)
			break;
		put(h, at, h->nodes[child]);
		at = child;
	}
	put(h, at, node);
}

void
heap_add(struct heap *h, struct heap_node *node)
{
	if (h->n == h->size) {
		h->size = h->size > 0 ? 2 * h->size : SIZE_FIRST;
		h->nodes = mem_grow(h->nodes, h->size * sizeof(struct heap_node *));
	}
	put(h, h->n++, node);
	rise(h, node);
}

void
heap_remove(struct heap *h, struct heap_node *node)
{
	struct heap_node *last;

	must(node->at < h->n && h->nodes[node->at] == node);
	last = h->nodes[--h->n];
	if (last == node)
		return;
	put(h, node->at, last);
	rise(h, last);
	sink(h, last);
}

struct heap_node *
heap_first(const struct heap *h)
{
	return h->n > 0 ? h->nodes[0] : NULL;
}

void
heap_free(struct heap *h)
{
	mem_free(h->nodes);
	*h = (struct heap){0};
}

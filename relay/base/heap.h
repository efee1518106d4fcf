/*
 * heap.h - what is due when: a binary heap of nodes that live in other structs.
 *
 * The heap owns its array only; the owner of a node removes it before the node's memory goes.
 * All zeros is an empty heap.
 */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H
#include <stddef.h>
#include <stdint.h>

struct heap_node {
	int64_t ms; /* on whatever clock the owner keeps */
	size_t at;  /* the heap's: place in its array */
};

struct heap {
	struct heap_node **nodes;
	size_t n, size;
};

/* The struct that holds a node. */
#define HEAP_ENTRY(node, type, member) ((type *)(void *)((char *)(node)-offsetof(type, member)))

/* `node`, which is in no heap, is due at node->ms; that stays as it is until it is removed. */
void heap_add(struct heap *h, struct heap_node *node);
/* A bug when it is not in this heap. */
void heap_remove(struct heap *h, struct heap_node *node);
/* The node that is due first, NULL when there is none. */
struct heap_node *heap_first(const struct heap *h);
/* Forgets all nodes. */
void heap_free(struct heap *h);

#endif

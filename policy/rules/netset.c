#include "policy/rules/netset.h"
#include "relay/base/mem.h"

#include <stdlib.h>

enum { ITEMS_FIRST = 64 };

void
netset_add(struct netset *set, const struct net *net)
{
	if (set->n == set->cap) {
		set->cap = set->cap == 0 ? ITEMS_FIRST : set->cap * 2;
		set->items = mem_grow(set->items, set->cap * sizeof(*set->items));
	}
	set->items[set->n++] = *net;
}

/* By base, the wider network first. */
static int
net_order(const void *a, const void *b)
{
	const struct net *x = a, *y = b;
	int order = memcmp(x->base.bytes, y->base.bytes, sizeof(x->base.bytes));

	return order != 0 ? order : (int)x->bits - (int)y->bits;
}

void
netset_seal(struct netset *set)
{
	size_t kept = 0;

	if (set->n == 0)
		return;
	qsort(set->items, set->n, sizeof(*set->items), net_order);
	for (size_t i = 1; i < set->n; i++)
		if (!net_has(&set->items[kept], &set->items[i].base))
			set->items[++kept] = set->items[i];
	set->n = kept + 1;
}

bool
netset_has(const struct netset *set, const struct ip *ip)
{
	size_t low = 0, high = set->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		const uint8_t *base = set->items[middle].base.bytes;

		if (memcmp(base, ip->bytes, sizeof(ip->bytes)) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low > 0 && net_has(&set->items[low - 1], ip);
}

void
netset_free(struct netset *set)
{
	mem_free(set->items);
	*set = (struct netset){0};
}

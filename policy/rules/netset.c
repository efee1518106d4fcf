#include "policy/rules/netset.h"
#include "relay/base/mem.h"

#include <stdlib.h>

/* The index of a large set: one place for each value of an IPv4 address's first two bytes. */
enum { ITEMS_FIRST = 64, INDEX_MIN = 4096, HALVES = 65536, V4_AT = 12 };

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

static size_t
half_of(const struct ip *ip)
{
	return (size_t)ip->bytes[V4_AT] << 8 | ip->bytes[V4_AT + 1];
}

static void
build_v4(struct netset *set)
{
	size_t at = 0;

	if (set->n < INDEX_MIN || set->n > UINT32_MAX)
		return;
	set->v4 = mem_array(HALVES + 1, sizeof(*set->v4));
	while (at < set->n && !ip_is_v4(&set->items[at].base))
		at++;
	for (size_t half = 0; half < HALVES; half++) {
		set->v4[half] = (uint32_t)at;
		while (at < set->n && ip_is_v4(&set->items[at].base) &&
		       half_of(&set->items[at].base) == half)
			at++;
	}
	set->v4[HALVES] = (uint32_t)at;
}

/* Whether the place where we write IPv4 (::ffff:a.b.c.d) lies inside, which is none of its own. */
static bool
is_around_v4(const struct net *net)
{
	for (unsigned i = 0; i < net->bits && i < V4_AT * 8; i++)
		if ((net->base.bytes[i / 8] >> (7 - i % 8) & 1) != (i >= (V4_AT - 2) * 8))
			return false;
	return net->bits < V4_AT * 8;
}

/* Those that have others inside which are not theirs; the widest has what the others have. */
static void
take_around_v4(struct netset *set)
{
	size_t n = 0;

	for (size_t i = 0; i < set->n; i++) {
		const struct net *net = &set->items[i];

		if (!is_around_v4(net)) {
			set->items[n++] = *net;
			continue;
		}
		if (!set->has_around || net->bits < set->around.bits)
			set->around = *net;
		set->has_around = true;
	}
	set->n = n;
}

void
netset_seal(struct netset *set)
{
	size_t kept = 0;

	take_around_v4(set);
	if (set->n == 0)
		return;
	qsort(set->items, set->n, sizeof(*set->items), net_order);
	for (size_t i = 1; i < set->n; i++)
		if (!net_has(&set->items[kept], &set->items[i].base))
			set->items[++kept] = set->items[i];
	set->n = kept + 1;
	build_v4(set);
}

bool
netset_has(const struct netset *set, const struct ip *ip)
{
	size_t low = 0, high = set->n;

	if (set->has_around && net_has(&set->around, ip))
		return true;
	if (set->v4 != NULL && ip_is_v4(ip)) {
		low = set->v4[half_of(ip)];
		high = set->v4[half_of(ip) + 1];
	}
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
	mem_free(set->v4);
	*set = (struct netset){0};
}

#include "relay/message/variants.h"

enum { ROUNDING = 64 }; /* what an arena may take beyond what was asked for */

bool
variants_have(const struct variants *v, struct span s)
{
	for (size_t i = 0; i < v->n; i++)
		if (span_eq(v->items[i], s))
			return true;
	return false;
}

void
variants_add(struct variants *v, struct arena *arena, struct span s)
{
	if (s.n == 0 || variants_have(v, s))
		return;
	if (v->n == VARIANTS_MAX || arena_left(arena) < s.n + ROUNDING) {
		v->is_full = true;
		return;
	}
	v->items[v->n++] = arena_copy(arena, s);
}

#include "relay/process/problem.h"
#include "relay/base/mem.h"

static void
problem_clear(struct problem *p)
{
	mem_free(p->name);
	mem_free(p->what);
	mem_free(p->do_this);
}

void
problem_report(struct problem_set *set, struct span name, struct span what, struct span do_this)
{
	size_t at = 0;

	while (at < set->n && !span_eq(span_str(set->items[at].name), name))
		at++;
	if (at < set->n) {
		problem_clear(&set->items[at]);
		set->items[at] = set->items[--set->n];
	}
	if (do_this.n == 0 || set->n == PROBLEMS_MAX)
		return;
	set->items[set->n++] = (struct problem){mem_dup(name), mem_dup(what), mem_dup(do_this)};
}

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
problem_report(struct problem_set *set, unsigned place, struct span name, struct span what,
    struct span do_this)
{
	uint32_t bit = 1U << place, places = do_this.n > 0 ? bit : 0;
	size_t at = 0;

	while (at < set->n && !span_eq(span_str(set->items[at].name), name))
		at++;
	if (at < set->n) {
		places |= set->items[at].places & ~bit;
		set->items[at].places = places;
		if (places != 0 && do_this.n == 0)
			return; /* another has it still */
		problem_clear(&set->items[at]);
		set->items[at] = set->items[--set->n];
	}
	if (do_this.n == 0 || set->n == PROBLEMS_MAX)
		return;
	set->items[set->n++] =
	    (struct problem){mem_dup(name), mem_dup(what), mem_dup(do_this), places};
}

void
problem_forget(struct problem_set *set, unsigned place)
{
	for (size_t i = set->n; i-- > 0;) {
		struct problem *p = &set->items[i];

		p->places &= ~(1U << place);
		if (p->places != 0)
			continue;
		problem_clear(p);
		*p = set->items[--set->n];
	}
}

void
problem_list(const struct problem_set *set, unsigned place, struct buf *to)
{
	for (size_t i = 0; i < set->n; i++)
		if (set->items[i].places >> place & 1)
			(void)buf_addf(to, "%s; %s\n", set->items[i].what,
			    set->items[i].do_this); /* sticky: bounded by who reports */
}

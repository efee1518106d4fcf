#include "policy/rules/effort.h"

static bool
spend(struct effort *e, uint64_t units)
{
	if (units > e->left)
		e->is_spent = true;
	e->left = e->is_spent ? 0 : e->left - units;
	return !e->is_spent;
}

void
effort_begin(struct effort *e, uint64_t units)
{
	*e = (struct effort){.left = units};
}

static int
on_item(pcre2_callout_block *block, void *arg)
{
	struct effort *e = arg;
	size_t from = e->at, to = block->current_position;

	e->at = to;
	return spend(e, EFFORT_STEP + (to > from ? to - from : from - to)) ? 0
									   : PCRE2_ERROR_CALLOUT;
}

int
effort_match(struct effort *e, const pcre2_code *code, struct span subject, pcre2_match_data *data,
    pcre2_match_context *limits)
{
	const char *start = subject.n > 0 ? subject.p : "";

	if (!spend(e, EFFORT_START + subject.n))
		return PCRE2_ERROR_CALLOUT;
	e->at = 0;
	(void)pcre2_set_callout(limits, on_item, e); /* always 0 */
	return pcre2_match(code, (PCRE2_SPTR)start, subject.n, 0, 0, data, limits);
}

#include "relay/ipc/hits.h"

void
hits_entry_put(struct buf *to, const struct hits_entry *e)
{
	put_u32(to, e->rule);
	put_u64(to, e->hits);
	put_i64(to, e->last_ms);
}

bool
hits_entry_get(struct wire *w, struct hits_entry *e)
{
	if (w->failed || w->rest.n == 0)
		return false;
	e->rule = get_u32(w);
	e->hits = get_u64(w);
	e->last_ms = get_i64(w);
	if (e->rule == 0 || e->hits == 0 || e->hits > UINT32_MAX || e->last_ms < 0)
		w->failed = true; /* no front counts so much in a few seconds */
	return !w->failed;
}

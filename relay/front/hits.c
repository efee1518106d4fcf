#include "relay/front/hits.h"
#include "relay/base/clock.h"
#include "relay/base/mem.h"
#include "relay/base/table.h"
#include "relay/ipc/hits.h"

#include <stddef.h>

struct hit {
	uint64_t rule;
	struct hits_entry entry;
};

struct hits {
	struct loop *loop;
	struct table table; /* of struct hit */
	struct timer *due;  /* NULL: nothing is to be told */
	void (*on_batch)(void *arg, struct span payload);
	void *arg;
};

struct hits *
hits_new(struct loop *loop, void (*on_batch)(void *arg, struct span payload), void *arg)
{
	struct hits *h = mem_alloc(sizeof(*h));

	*h = (struct hits){.loop = loop,
	    .table = {.key_at = offsetof(struct hit, rule)},
	    .on_batch = on_batch,
	    .arg = arg};
	return h;
}

static void
forget(struct hits *h)
{
	struct hit *hit;
	size_t at = 0;

	while ((hit = table_next(&h->table, &at)) != NULL)
		mem_free(hit);
	table_free(&h->table);
	h->table = (struct table){.key_at = offsetof(struct hit, rule)};
}

void
hits_free(struct hits **h)
{
	if (*h == NULL)
		return;
	timer_cancel(&(*h)->due);
	forget(*h);
	mem_free(*h);
	*h = NULL;
}

void
hits_tell(struct hits *h)
{
	struct buf b = BUF_INIT(HITS_ENTRY * HITS_ENTRIES_MAX);
	const struct hit *hit;
	size_t at = 0;

	timer_cancel(&h->due);
	while ((hit = table_next(&h->table, &at)) != NULL) {
		hits_entry_put(&b, &hit->entry);
		if (b.n == HITS_ENTRY * HITS_ENTRIES_MAX) {
			h->on_batch(h->arg, buf_span(&b));
			buf_clear(&b);
		}
	}
	if (b.n > 0)
		h->on_batch(h->arg, buf_span(&b));
	buf_free(&b);
	forget(h);
}

static void
on_due(void *arg)
{
	hits_tell(arg);
}

void
hits_count(void *hits, uint32_t rule)
{
	struct hits *h = hits;
	struct hit *hit = table_get(&h->table, rule);

	if (hit == NULL) {
		hit = mem_alloc(sizeof(*hit));
		*hit = (struct hit){.rule = rule, .entry = {.rule = rule}};
		(void)table_add(&h->table, hit); /* it was not there */
	}
	hit->entry.hits++;
	hit->entry.last_ms = clock_wall_ms();
	if (h->due == NULL)
		loop_timer(h->loop, &h->due, HITS_MS, on_due, h);
}

#include "filters/worker/page.h"

#include <stdio.h>
#include <string.h>

void
page_reset(struct worker_page *p)
{
	atomic_store(&p->turn, 0);
	p->start[0] = '\0';
	page_write(p, &(struct worker_doing){.filter = -1});
}

void
page_write(struct worker_page *p, const struct worker_doing *d)
{
	atomic_fetch_add(&p->turn, 1);
	atomic_store(&p->scan, d->scan);
	atomic_store(&p->flow, d->flow);
	atomic_store(&p->filter, d->filter);
	atomic_store(&p->since_mono_ms, d->since_mono_ms);
	atomic_fetch_add(&p->turn, 1);
}

int
page_read(struct worker_page *p, struct worker_doing *d)
{
	uint32_t turn = atomic_load(&p->turn);

	d->scan = atomic_load(&p->scan);
	d->flow = atomic_load(&p->flow);
	d->filter = atomic_load(&p->filter);
	d->since_mono_ms = atomic_load(&p->since_mono_ms);
	return (turn & 1) || atomic_load(&p->turn) != turn ? -1 : 0;
}

void
page_write_start(struct worker_page *p, const char *text)
{
	(void)snprintf(p->start, sizeof(p->start), "%s", text); /* cut is fine */
}

bool
page_read_start(const struct worker_page *p, char to[PAGE_START_MAX])
{
	size_t n = strnlen(p->start, PAGE_START_MAX - 1);

	memcpy(to, p->start, n);
	to[n] = '\0';
	return n > 0;
}

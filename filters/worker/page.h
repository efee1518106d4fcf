/*
 * page.h - what a worker is doing, in memory it shares with its zygote, so that a deadline and a
 * death can be laid at the right filter's door.
 *
 * The worker writes, the zygote reads and believes nothing beyond what bounds it: a lying worker
 * can only blame another filter or be killed later than it should, by front's own timer.
 */
#ifndef WORKER_PAGE_H
#define WORKER_PAGE_H
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PAGE_START_MAX = 480 };

struct worker_page {
	_Atomic uint32_t turn; /* raised around each change: odd while one is going on */
	_Atomic uint64_t scan; /* id of the WORKER_SCAN at work, 0: none */
	_Atomic uint32_t flow;
	_Atomic int32_t filter;        /* index in the flow, -1: none */
	_Atomic int64_t since_mono_ms; /* when that began; 0: not yet */
	char start[PAGE_START_MAX]; /* what keeps it from being ready; empty: nothing, or it is */
};

/* A consistent copy. */
struct worker_doing {
	uint64_t scan;
	uint32_t flow;
	int32_t filter;
	int64_t since_mono_ms;
};

/* By the zygote, for a worker to come: whatever the last one left, half a change too, is gone. */
void page_reset(struct worker_page *p);
/* By the worker. */
void page_write(struct worker_page *p, const struct worker_doing *d);
void page_write_start(struct worker_page *p, const char *text);
/* By the zygote, once the worker has gone; false: it had started. */
bool page_read_start(const struct worker_page *p, char to[PAGE_START_MAX]);
/* By the zygote; 0, or -1 while the worker is changing it. */
int page_read(struct worker_page *p, struct worker_doing *d);

#endif

/*
 * filter_once.h - runs the filter chain on one message outside a relay: a filter role of our own,
 * sandboxed as always, for as long as the message takes.
 */
#ifndef COMMAND_FILTER_ONCE_H
#define COMMAND_FILTER_ONCE_H
#include "relay/front/worker_pool.h"

struct filter_job {
	const struct config *config;
	struct span config_text;
	struct span plugins; /* bytes of their catalog; may be empty */
	const char *config_file;
	struct span bundle; /* the policy */
	uint64_t generation;
	struct scan scan; /* request, flow and body_fd filled; the rest is ours */
	bool is_done;
	struct scan_result result; /* its spans live in `kept` */
	struct buf kept;
	uint32_t failed; /* bit i: filter i of the flow failed */
};

/* 0 when the chain has run (job->failed tells how), or err. */
int filter_once(struct filter_job *job, struct err *err);

#endif

/*
 * strip.h - the copy of a message from which parts are taken out: which of the parts that a worker
 * has named, for one group of recipients, and what stands there instead.
 *
 * Pure.  What a worker says of parts is checked here against the message
 * before it is believed; the text is made here, of nothing but what is known to be harmless.
 */
#ifndef WALK_STRIP_H
#define WALK_STRIP_H
#include "policy/decide/decide.h"
#include "relay/base/buf.h"
#include "relay/ipc/front_filter.h"
#include "relay/ipc/front_spool.h"

struct strip_order {
	const struct scan_result *result;
	const struct verdict *verdict; /* of the group; see verdict_strips */
	const struct conf_flow *flow;
	struct span message;
	size_t header; /* bytes of its header section, without the empty line */
	struct span hostname, postmaster, id;
	struct span letter; /* of the original in quarantine */
};

struct stripped {
	struct commit_cut *cuts; /* in the body behind its header section */
	size_t n_cuts;
	bool is_whole; /* the message itself is such a part: see strip_section */
	/* Of a message that is normalised (normal.h): its header section's first bytes, with these fields:
	 * see normal_head_section.  They point into the result. */
	bool is_normal, has_head;
	size_t section, n_notices;
	struct span head, why; /* why: of the outcome for which that is done */
	struct buf texts;      /* what the cuts' texts point into */
};

/* Whether the group loses this part. */
bool strip_has_part(const struct strip_order *o, size_t part);
/* Fills `to` (all zeros): 0; -E_CORRUPT: a part is not where the worker says, or none is to go;
 * -E_LIMIT.  strip_free in any case. */
int strip_make(const struct strip_order *o, struct stripped *to);
void strip_free(struct stripped *s);

#endif

/*
 * hits.h - how often rules have matched: what a front tells the supervisor (ROLE_HITS), one entry
 * behind the other.  They are additions to what was told before.
 */
#ifndef IPC_HITS_H
#define IPC_HITS_H
#include "relay/base/wire.h"

enum { HITS_ENTRY = 4 + 8 + 8, HITS_ENTRIES_MAX = 2048 /* of one message */ };

struct hits_entry {
	uint32_t rule;
	uint64_t hits;
	int64_t last_ms; /* wall */
};

void hits_entry_put(struct buf *to, const struct hits_entry *e);
/* The next entry; false: that was all, or what is left is none (wire's error is sticky). */
bool hits_entry_get(struct wire *w, struct hits_entry *e);

#endif

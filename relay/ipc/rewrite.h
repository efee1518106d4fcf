/*
 * rewrite.h - a message that a worker has brought into one reading: what front is to put in place of
 * which of its bytes.
 *
 * Everything is untrusted: counts and lengths are checked here, places and texts by who has the message
 * (relay/walk/normal.h).
 */
#ifndef IPC_REWRITE_H
#define IPC_REWRITE_H
#include "relay/ipc/front_filter.h"

enum {
	REWRITE_CUTS_MAX = 200,
	REWRITE_PARTS_MAX = 32,
	REWRITE_HEAD_MAX = 4096,
	REWRITE_TEXT_MAX = 2 * 1024 * 1024, /* of all cuts */
	REWRITE_NO_PART = UINT16_MAX
};

struct rewrite_cut {
	uint64_t at, n;
	struct span text;
	uint16_t part; /* a notice about it stands behind the text; REWRITE_NO_PART: none */
};

struct rewrite {
	/* The header section is written anew: its first `section` bytes, with these fields. */
	bool has_head;
	uint32_t section;
	struct span head;
	struct rewrite_cut cuts[REWRITE_CUTS_MAX]; /* at least one, in their order */
	size_t n_cuts;
	struct scan_part parts[REWRITE_PARTS_MAX]; /* what notices say; their places are zero */
	size_t n_parts;
};

void rewrite_put(struct buf *to, const struct rewrite *r);
/* 0 or -E_CORRUPT.  Points into the payload. */
int rewrite_get(struct span payload, struct rewrite *r);

#endif

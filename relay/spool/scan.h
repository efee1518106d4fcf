/*
 * scan.h - reads the records of one segment from its first to its last byte.
 *
 * A record counts when its header has the segment's nonce and its CRC fits; whatever else lies
 * there is skipped to the next place where both hold.  Where a write may have been torn a body's own
 * CRC must fit too.
 */
#ifndef SPOOL_SCAN_H
#define SPOOL_SCAN_H
#include "relay/spool/io.h"
#include "relay/spool/record.h"

struct scan {
	const struct spool_io *io;
	int fd;
	uint64_t nonce, start, limit; /* records lie in [start, limit) */
	bool has_bodies;              /* bodies are checked */
	/* `peek`: the first bytes of the payload, at most RECORD_PEEK. */
	void (*on_record)(void *arg, const struct record *r, uint64_t offset, struct span peek);
	/* May be NULL: bytes before a good record that are in none. */
	void (*on_gap)(void *arg, uint64_t from, uint64_t to);
	void *arg;
	/* results */
	uint64_t end;        /* behind the last good record */
	uint64_t gaps;       /* bytes before `end` that are in no good record */
	unsigned unreadable; /* blocks that the disk did not give */
};

void scan_run(struct scan *s);

#endif

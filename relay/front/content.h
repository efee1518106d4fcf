/*
 * content.h - the bytes of one message while it is received: header section first, freed of what
 * may not come in from outside; in memory up to CHANNEL_INLINE_MAX, then in a memory file that
 * worker and spool get as it is.
 */
#ifndef FRONT_CONTENT_H
#define FRONT_CONTENT_H
#include "relay/base/buf.h"
#include "relay/base/err.h"

struct content {
	struct buf bytes;     /* all of it, or what is not yet in the file */
	int fd;               /* -1: all in memory */
	uint64_t size;        /* of the whole, after cleaning */
	uint64_t header;      /* bytes of the header section, without the empty line */
	bool is_header_done;  /* false: bytes holds raw header lines so far */
	const char *hostname; /* ours: forged Authentication-Results of this name are removed */
	size_t hops;          /* Received fields */
	struct buf section;   /* the cleaned header section */
};

void content_start(struct content *c, const char *hostname);
/* Adds un-dotted bytes.  0, -E_LIMIT (header section too long), -E_IO (no memory file). */
int content_add(struct content *c, struct span bytes);
/* No more bytes: seals the file.  The same errors. */
int content_end(struct content *c);
void content_free(struct content *c);
/* When fd < 0: the whole message. */
struct span content_inline(const struct content *c);

#endif

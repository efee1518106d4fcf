/*
 * content.h - the bytes of one message while it is received: header section first, freed of what
 * may not come in from outside; in memory up to CHANNEL_INLINE_MAX, then in a memory file that
 * worker and spool get as it is.
 *
 * All contents and the buffers of all connections together hold at most a budget: whoever sends
 * slowly to many sessions at once, or reads no replies, is told 452 or 421 before the machine has no
 * memory left for the rest.
 */
#ifndef FRONT_CONTENT_H
#define FRONT_CONTENT_H
#include "relay/base/buf.h"
#include "relay/base/err.h"

#define CONTENT_BYTES_MAX ((uint64_t)1024 * 1024 * 1024) /* of all contents, at most */

struct content {
	struct buf bytes;       /* all of it, or what is not yet in the file */
	int fd;                 /* -1: all in memory */
	uint64_t size;          /* of the whole, after cleaning */
	uint64_t header;        /* bytes of the header section, without the empty line */
	bool is_header_done;    /* false: bytes holds raw header lines so far */
	const char *hostname;   /* ours: forged Authentication-Results of this name are removed */
	size_t hops;            /* Received fields */
	struct buf section;     /* the cleaned header section */
	uint64_t in_file, held; /* bytes written to fd; bytes that count against the budget */
};

void content_start(struct content *c, const char *hostname);
/* Adds un-dotted bytes.  0, -E_LIMIT (header section too long), -E_IO (no memory file), -E_FULL
 * (over the budget, or no descriptor left for a file). */
int content_add(struct content *c, struct span bytes);
/* The message is that of `fd`, which is taken; -1: it has come without, and cannot be read. */
void content_adopt(struct content *c, int fd);
/* No more bytes: seals the file.  The same errors. */
int content_end(struct content *c);
void content_free(struct content *c);
/* Nobody will want the body: gives its memory back, keeps the header section for the record. */
void content_drop(struct content *c);
/* When fd < 0: the whole message. */
struct span content_inline(const struct content *c);

/* --- the budget, one for the process --- */
/* CONTENT_BYTES_MAX, or a quarter of the machine's memory where that is less.  Once, at start. */
uint64_t content_budget_of_machine(void);
void content_set_budget(uint64_t bytes); /* CONTENT_BYTES_MAX until then */
uint64_t content_held(void);             /* of all contents, and what is counted with them */
bool content_has_room(void);             /* whether a new message is worth beginning */
/* Bytes that somebody else holds now, in the same budget; *counted is 0 at first, and the caller's. */
void content_count(uint64_t *counted, uint64_t now);

#endif

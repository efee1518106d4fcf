/*
 * transit.h - a message on its way through: its gateway is asked before the client is answered, so
 * its bytes are in memory and not in the spool.
 *
 * Belongs to its queue entry until it is over or has become durable.  All of them together hold
 * at most TRANSIT_BYTES_MAX; what does not fit takes the way over the disk.
 */
#ifndef DELIVER_TRANSIT_H
#define DELIVER_TRANSIT_H
#include "relay/deliver/intake.h"

enum { TRANSIT_INLINE_MAX = 1 << 20 }; /* a body that is not in a memory file; see commit_get */
#define TRANSIT_BYTES_MAX ((uint64_t)256 * 1024 * 1024)

enum transit_state {
	TRANSIT_ASKING,  /* the gateways; nobody else knows of the message */
	TRANSIT_STORING, /* being made durable, while gateways may still speak */
	TRANSIT_GIVEN_UP /* it could not be made durable: its client tries again */
};

struct transit {
	struct list node; /* of its owner's list */
	struct queue_entry *entry;
	struct arrival arrival; /* whom to answer */
	enum transit_state state;
	bool is_answered;
	struct timer *wait;
	struct buf envelope;
	struct buf bytes;          /* all copies' header sections, then an inline body */
	int fd;                    /* sealed memfd with the rest; -1: none */
	uint64_t skip, body_bytes; /* of fd: where the body begins, how long it is */
};

/* Whether a message with so many bytes may be held in memory. */
bool transit_has_room(uint64_t bytes);
/* An entry with its message in memory; takes the body's fd when there is one.  NULL: the envelope
 * cannot be kept, and nothing was taken. */
struct transit *transit_new(
    struct span id, const struct envelope *envelope, const struct intake_body *body);
/* Gives the memory back; the entry stays its owner's. */
void transit_free(struct transit **t);
uint64_t transit_size(const struct transit *t); /* header sections and body, bytes */
/* Hands the message to the spool, the entry as it is; the intake's on_done says how it went.  0, or
 * -E_IO when there is no descriptor for it. */
int transit_store(struct transit *t, struct intake *in, struct spool *spool);
/* n bytes of the entry's message from `offset` on, wherever they are: 0, -E_IO or -E_CORRUPT. */
int transit_read(
    struct spool *spool, const struct queue_entry *e, uint64_t offset, void *to, size_t n);

#endif

/*
 * front_spool.h - front hands a decided message to the spool and waits for its durable answer.
 */
#ifndef IPC_FRONT_SPOOL_H
#define IPC_FRONT_SPOOL_H
#include "relay/base/wire.h"

enum spool_type {
	SPOOL_COMMIT = 1, /* front: payload = struct commit; fds[0] = body when it is not inline */
	SPOOL_COMMITTED,  /* spool: same id; durable now: front may say 250 */
	SPOOL_REFUSED,    /* spool: same id; not accepted, payload = struct refusal */
	SPOOL_ROOM /* spool: id = 1 there is room, 0 there is none: front answers 452 early */
};

enum { COMMIT_RCPTS_MAX = 10000, COMMIT_ADDRESS_MAX = 320, COMMIT_HEADER_MAX = 131072 };

enum rcpt_fate { FATE_DELIVER, FATE_HELD /* not sent: `why` says for what */ };

struct commit_rcpt {
	struct span address;
	struct span gateway; /* name in the configuration */
	enum rcpt_fate fate;
	struct span why;
};

/* One group of recipients with the same copy of the message. */
struct commit {
	struct span id;   /* the transaction's; a second group appends "-2" */
	struct span flow; /* name */
	struct span from; /* without <> */
	bool is_8bit;     /* BODY=8BITMIME was said */
	bool is_tagged;   /* may not be bounced */
	const struct commit_rcpt *rcpts;
	size_t n_rcpts;
	struct span
	    prefix; /* the whole header section as it shall leave; the empty line belongs to the body */
	uint64_t skip;      /* bytes of the body to leave out: its own header section */
	uint64_t body_size; /* with the skipped bytes */
	bool is_inline;
	struct span body; /* when inline; CRLF lines, not dot-stuffed */
};

struct refusal {
	uint16_t code;        /* 451 or 452 */
	struct span enhanced; /* "4.3.1" */
	struct span text;
};

void commit_put(struct buf *to, const struct commit *c);
int commit_get(struct span payload, struct commit *c, struct commit_rcpt *rcpts, size_t max);
void refusal_put(struct buf *to, const struct refusal *r);
int refusal_get(struct span payload, struct refusal *r);

#endif

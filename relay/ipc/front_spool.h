/*
 * front_spool.h - front hands a decided message to the spool and waits for its durable answer.
 */
#ifndef IPC_FRONT_SPOOL_H
#define IPC_FRONT_SPOOL_H
#include "relay/base/wire.h"
#include "relay/smtp/notify.h"

enum spool_type {
	SPOOL_COMMIT = 1, /* front: payload = struct commit; fds[0] = body when it is not inline */
	SPOOL_COMMITTED,  /* spool: same id; durable now: front may say 250 */
	SPOOL_REFUSED,    /* spool: same id; not accepted, payload = struct refusal */
	SPOOL_ROOM,    /* spool: id = 1 there is room, 0 there is none: front answers 452 early */
	SPOOL_GATEWAY, /* spool: id = a gateway's index in the configuration, payload = struct
			* gateway_ability: what its servers can take, as far as they have said */
	SPOOL_HURRY, /* front: is about to end; what waits for a gateway's answer is made durable */
	SPOOL_REFILTER, /* spool: id = its own number, payload = struct held, fds[0] = the message */
	SPOOL_REPLACE,  /* front: same id, payload = struct replacement */
	SPOOL_PUT_BACK, /* front: same id; it cannot be filtered here now */
	SPOOL_SPLIT,    /* front: same id; what becomes of it does not fit into one message: the
			 * spool asks again, for fewer recipients at once */
	SPOOL_AWAITS, /* spool: payload = a filter that mail is held for ("*": any); front says: */
	SPOOL_WORKS /* front: payload = the filter that failed and works again; id 1: the policy has
		     * changed, for what it holds; what waits for that may be filtered again */
};

enum {
	COMMIT_RCPTS_MAX = 10000,
	COMMIT_COPIES_MAX = 10000, /* each recipient may get a copy of its own */
	COMMIT_ADDRESS_MAX = 320,
	COMMIT_HEADER_MAX = 131072,            /* header section of one copy */
	COMMIT_CUTS_MAX = 512,                 /* of all copies together */
	COMMIT_TEXT_MAX = 131072,              /* of one cut */
	COMMIT_PREFIXES_MAX = 8 * 1024 * 1024, /* of all copies together, with the texts of cuts */
	/* What the spool writes down of sender, copies and recipients; of these alone. */
	COMMIT_ENVELOPE_MAX = 8 * 1024 * 1024,
	COMMIT_RCPTS_BYTES_MAX = 7 * 1024 * 1024,
	COMMIT_RCPT_BYTES = 21,  /* beside address, gateway and ORCPT; 4 if it is moved later */
	COMMIT_FILTER_MAX = 256, /* a filter's name */
	HELD_FACTS_MAX = 131072
};

/* What becomes of a copy. */
enum copy_fate {
	COPY_DELIVER,
	COPY_QUARANTINE, /* kept here; `why` says for what */
	COPY_HOLD,       /* to be filtered again; `why` says for what */
	COPY_DISCARD     /* dropped; only where front has filtered a held message again */
};

/* What stands in the body of a copy instead of some of its bytes. */
struct commit_cut {
	uint64_t at, n; /* in the body, behind `skip` */
	struct span text;
};

/* What some of the recipients get: the same body behind a header section of their own, and with
 * its cuts made. */
struct commit_copy {
	struct span prefix; /* the whole header section as it shall leave; without the empty line */
	enum copy_fate fate;
	struct span why;
	struct span waits_for;         /* of COPY_HOLD: the filter that failed; empty: none has */
	bool is_tagged;                /* may not be bounced */
	const struct commit_cut *cuts; /* in their order, apart from each other */
	size_t n_cuts;
};

struct commit_rcpt {
	struct span address;
	struct span gateway; /* name in the configuration */
	uint32_t copy;       /* index */
	unsigned notify;     /* NOTIFY_ bits */
	struct span orcpt;   /* as received: address type and xtext; empty: not given */
};

/* One transaction, whatever the number of its copies: kept whole or not at all. */
struct commit {
	struct span id;
	struct span flow; /* name */
	struct span from; /* without <> */
	bool is_8bit;     /* BODY=8BITMIME was said */
	bool is_utf8;     /* SMTPUTF8 was said */
	enum notify_ret ret;
	struct span envid; /* as received: xtext; empty: not given */
	/* Where a copy is held: bytes of our own Received at the top of its header section, behind
	 * which it stands as it came in; and what held_facts_put has written. */
	uint32_t received;
	struct span facts;
	int64_t data_end_ms; /* monotonic: when the client had sent the last byte */
	const struct commit_copy *copies;
	size_t n_copies;
	const struct commit_rcpt *rcpts;
	size_t n_rcpts;
	uint64_t skip;      /* bytes of the body to leave out: its own header section */
	uint64_t body_size; /* with the skipped bytes */
	bool is_inline;
	struct span body; /* when inline; CRLF lines, not dot-stuffed */
};

/* Room for what commit_get finds. */
struct commit_room {
	struct commit_cut cuts[COMMIT_CUTS_MAX];
	struct commit_copy copies[COMMIT_COPIES_MAX];
	struct commit_rcpt rcpts[COMMIT_RCPTS_MAX];
};

struct refusal {
	uint16_t code;        /* 451 or 452; 5xx: every gateway has refused the message */
	struct span enhanced; /* "4.3.1" */
	struct span text;
};

/* Of all servers of a gateway together: what at least one of them can take. */
struct gateway_ability {
	bool is_known; /* every server that may get mail has been asked */
	bool takes_8bit, takes_utf8;
	uint64_t size_limit; /* bytes, 0: none that we know of */
};

void ability_put(struct buf *to, const struct gateway_ability *a);
int ability_get(struct span payload, struct gateway_ability *a);
void commit_put(struct buf *to, const struct commit *c);
/* 0 or -E_CORRUPT.  The result points into the payload and into `room`. */
int commit_get(struct span payload, struct commit *c, struct commit_room *room);
/* Bytes of all copies' header sections and of the texts of their cuts. */
uint64_t commit_prefixes(const struct commit *c);
/* Bytes of one recipient in an envelope, and of the whole of it at most. */
uint64_t commit_rcpt_size(const struct commit_rcpt *r);
uint64_t commit_envelope_size(const struct commit *c);
void refusal_put(struct buf *to, const struct refusal *r);
int refusal_get(struct span payload, struct refusal *r);

#endif

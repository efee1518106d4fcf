/*
 * held.h - a message that was held goes back to front to be filtered again, and what front decides.
 *
 * The spool sends it with the facts of the session it came in (struct held_facts), kept in its
 * envelope since then; front runs the filters of today and decides with the policy of today.
 */
#ifndef IPC_HELD_H
#define IPC_HELD_H
#include "relay/base/ip.h"
#include "relay/ipc/front_spool.h"

enum {
	HELD_LISTS_MAX = 64, /* POLICY_LISTS_MAX */
	HELD_NAME_MAX = 1024,
	HELD_LIST_STATE_LAST = 3, /* LIST_ERROR of rules.h */
	HELD_LIST_OF_LAST = 4,    /* LIST_OF_URL of rules.h */
	HELD_SENDER_LAST = 6,     /* SENDER_PRIVATE of decide.h */
	HELD_RECEIVED_MAX = 8192  /* our own Received */
};

/* What a DNS list had said of the client or of a name. */
struct held_list {
	struct span zone;
	uint8_t of;       /* enum list_of */
	uint8_t state;    /* enum list_state */
	uint32_t address; /* host byte order */
	struct span name; /* of a list of domains: what was listed */
};

/* What was known of the session and can not be asked again. */
struct held_facts {
	struct ip client;
	bool has_host;    /* verified both ways */
	struct span host; /* empty when it has none */
	struct span helo, user, tls;
	uint8_t sender; /* enum sender_fact */
	const struct held_list *lists;
	size_t n_lists;
};

/* SPOOL_REFILTER; fds[0] is the message: its header section as it came in, without our Received,
 * and its body. */
struct held {
	struct span id, flow, from;
	struct span
	    part;     /* the id of what goes on; its message's own if is_last and nobody stays */
	bool is_last; /* of the message nothing else is left */
	bool is_8bit, is_utf8;
	struct span received; /* our own, as it was made when the message came */
	uint64_t section;     /* bytes of the header section, without the empty line */
	uint64_t size;        /* of all */
	struct held_facts facts;
	const struct commit_rcpt *rcpts; /* those who are held; `copy` says nothing */
	size_t n_rcpts;
};

struct held_room {
	struct held_list lists[HELD_LISTS_MAX];
	struct commit_rcpt rcpts[COMMIT_RCPTS_MAX];
};

/* SPOOL_REPLACE: the copies as they shall be.  A copy with COPY_HOLD says why it is held still, one
 * with COPY_DISCARD goes; both have no header section. */
struct replacement {
	struct commit commit;
	const uint32_t *asked; /* for each of commit.rcpts: its index in struct held */
	bool is_deadly;        /* workers have died of it */
};

struct replacement_room {
	struct commit_room commit;
	uint32_t asked[COMMIT_RCPTS_MAX];
};

void held_facts_put(struct buf *to, const struct held_facts *f);
/* 0 or -E_CORRUPT; the result points into the bytes and into `lists`. */
int held_facts_get(struct span bytes, struct held_facts *f, struct held_list lists[HELD_LISTS_MAX]);
/* `facts`: what held_facts_put has written. */
void held_put(struct buf *to, const struct held *h, struct span facts);
int held_get(struct span payload, struct held *h, struct held_room *room);
void replacement_put(struct buf *to, const struct replacement *r);
/* 0 or -E_CORRUPT: no commit, an index of `n_asked` or above, one left out, or one given
 * twice that is not that of a stripped message: once its original for quarantine, once with cuts. */
int replacement_get(
    struct span payload, size_t n_asked, struct replacement *r, struct replacement_room *room);
/* Whether it speaks of bytes that are as many as those that were sent: `section` and `size` as in struct
 * held.  Else its cuts may lie behind their end. */
bool replacement_is_of(const struct replacement *r, uint64_t section, uint64_t size);

#endif

/*
 * queue.h - the live messages in memory: who still waits for what, and when the next attempt is.
 *
 * A message has one or more copies (the same body behind different header sections) and one leg
 * for each gateway that the recipients of a copy go to; a leg has its own attempts and its own next
 * time, so that one dead gateway never delays the mail of another.  The spool
 * owns the bytes; the queue owns its entries and a copy of each envelope.  It never does I/O.
 *
 * Times of attempts are monotonic here and turned into wall time when they are written down.
 */
#ifndef DELIVER_QUEUE_H
#define DELIVER_QUEUE_H
#include "relay/base/heap.h"
#include "relay/base/list.h"
#include "relay/ipc/front_spool.h"
#include "relay/spool/spool.h"

enum {
	QUEUE_MESSAGES_MAX = 1000000, /* more are refused with 452 */
	QUEUE_REPLY_MAX = 600,        /* bytes of a gateway's reply that are kept */
	QUEUE_NAME_MAX = 256          /* flow and gateway */
};

enum rcpt_state {
	RCPT_WAITING,
	RCPT_FAILED, /* for good; the sender is still to be told */
	RCPT_HELD,   /* stays here until an admin decides; its reply says why */
	RCPT_DELIVERED,
	RCPT_BOUNCED, /* the sender's bounce is durable */
	RCPT_RELAYED, /* delivered to a server that tells nobody; the sender is still to be told */
	RCPT_DELETED, /* by an admin, and nobody is told */
	RCPT_TO_QUARANTINE, /* goes there as soon as it can be written; its reply says why */
	RCPT_QUARANTINED,   /* its letter in quarantine is durable */
	RCPT_MOVED          /* filtered again: it is another message's now, or was discarded */
};

/* What kind of mail it is, which decides who is told when it fails. */
enum mail_kind {
	MAIL_RELAYED,
	MAIL_BOUNCE,    /* our own report to a sender: its failure goes to postmaster */
	MAIL_POSTMASTER /* our own report to postmaster: its failure is held */
};

struct queue_rcpt {
	struct span address;
	uint32_t leg;  /* index in legs */
	uint32_t next; /* of its leg: index in rcpts + 1; 0: none */
	enum rcpt_state state;
	bool is_tried;     /* in the attempt that goes on */
	unsigned notify;   /* NOTIFY_ bits of RFC 3461 */
	struct span orcpt; /* as received; empty: not given */
	bool is_in_bounce; /* in the bounce that is being made durable */
	bool is_in_letter; /* in the letter that is being made durable */
	char *reply; /* the gateway's last words to it, or why it is held; NULL: see the leg */
};

enum leg_state {
	LEG_IDLE,     /* nothing to do: every recipient is settled, held or failed */
	LEG_DEFERRED, /* in the heap, until `due` */
	LEG_READY,    /* in its gateway's list */
	LEG_ACTIVE    /* with a server */
};

/* Some bytes of the body, and how many stand there instead. */
struct queue_cut {
	uint64_t at, n;
	uint32_t text_n;
};

/* A header section and what becomes of the message behind it. */
struct queue_copy {
	uint64_t prefix; /* where it begins in the spooled message; texts of cuts follow it */
	uint32_t prefix_n;
	uint32_t n_cuts;
	struct queue_cut *cuts;
	uint32_t first_leg; /* of its legs: index in legs + 1; 0: none */
	enum copy_fate fate;
	struct span why;       /* of a fate other than COPY_DELIVER */
	struct span waits_for; /* of COPY_HOLD: a filter, "*": any; empty: no failure holds it */
	bool is_tagged;        /* may not be bounced */
};

struct queue_leg {
	struct list node; /* in a gateway's list while LEG_READY or parked */
	struct queue_entry *entry;
	struct span gateway; /* its name */
	uint32_t copy;       /* index in copies */
	uint32_t next_leg;   /* of its copy, as above */
	uint32_t first;      /* of its recipients, in no order: index in rcpts + 1 */
	enum leg_state state;
	struct heap_node due; /* monotonic, while LEG_DEFERRED */
	uint32_t attempts;
	uint64_t tried;      /* bit i: the gateway's target i failed in this round */
	uint64_t refused;    /* bit i: it refused some for now, and others are still to be asked */
	bool is_unreachable; /* no server could be reached; while LEG_DEFERRED: parked */
	char *reply;         /* last reply or reason, NULL: none */
	char *server;        /* that gave it, NULL: none */
};

/* A message's place in the queue.  A million of these wait in a bad week, so while its legs only
 * wait for their time the message sleeps: no more than this is in memory of it, and waking reads
 * the rest back from the spool. */
struct queue_item {
	struct list node; /* oldest first */
	uint64_t key;     /* hash of its id */
	int64_t received_ms;
	struct queue_entry *entry; /* NULL: it sleeps */
	struct spool_message *msg; /* while it sleeps */
	struct heap_node due;      /* while it sleeps: of its first leg; INT64_MAX: none */
	/* Of its gateway, when no server can be had: from its sleep until its leg is taken up. */
	struct list parked;
	bool awaits_filter; /* while it sleeps */
};

enum hold_state {
	HOLD_WAITING, /* for its time */
	HOLD_READY,   /* in the list of those to be filtered next */
	HOLD_BUSY,    /* being filtered */
	HOLD_STORING  /* what became of it is being made durable */
};

/* Of a message with copies that are held to be filtered again (relay/walk/hold.c). */
struct queue_hold {
	struct list node; /* while HOLD_READY */
	enum hold_state state;
	uint32_t tries, deaths; /* it was filtered again so often; workers or fronts died of it */
	int64_t tried_wall_ms;  /* last; 0: never */
	bool is_damaged;        /* its bytes cannot be read: an admin has to look */
	/* Unless HOLD_WAITING: all of them together are too many for one answer.  Who is asked about next
	 * (index), and how many at once; 0: everyone. */
	uint32_t next, most;
	char *waits_for; /* as of a copy; NULL: as the copies say */
};

struct queue_entry {
	struct queue_item *item;   /* NULL: not in the queue yet */
	struct spool_message *msg; /* NULL: not durable (yet), see `transit` */
	struct transit *transit;   /* its bytes in memory while its gateways are asked first */
	char id[SPOOL_ID_MAX + 1];
	enum mail_kind kind;
	struct span flow, from;
	bool is_8bit, is_utf8;
	enum notify_ret ret;
	struct span envid;
	bool is_renamed;          /* its id is not the one in the spool */
	bool is_warned;           /* the delay notice was sent */
	bool is_notice_in_flight; /* a bounce or delay notice waits for its sync */
	bool is_letter_in_flight; /* some of its recipients are on their way into quarantine */
	int64_t received_ms;      /* wall */
	uint64_t size;            /* as one recipient gets it, of the first copy */
	uint64_t prefixes; /* bytes of all copies' header sections and cuts' texts; the body begins
			    * behind them */
	uint64_t body;     /* its bytes */
	struct queue_copy *copies;
	size_t n_copies;
	struct queue_rcpt *rcpts;
	size_t n_rcpts;
	struct queue_leg *legs;
	size_t n_legs;
	char *envelope;    /* what the spans point into */
	uint32_t received; /* bytes of our Received at the top of what is held */
	struct span facts; /* of its session; empty: what is held cannot be filtered again */
	uint64_t replaces; /* serial of the held message it was a part of; 0: none */
	struct span moved; /* indexes of its recipients there, u32 each */
	struct queue_hold hold;
	size_t n_deferred;    /* legs in the heap */
	bool is_counted_held; /* in the queue's totals */
};

/* The envelope's bytes: what spool_put stores beside a message. */
struct envelope {
	enum mail_kind kind;
	struct span flow, from;
	bool is_8bit, is_utf8;
	enum notify_ret ret;
	struct span envid;
	int64_t received_ms; /* wall */
	const struct commit_copy *copies;
	size_t n_copies;
	const struct commit_rcpt *rcpts;
	size_t n_rcpts;
	uint32_t received; /* as in struct commit */
	struct span facts;
	uint64_t
	    replaces; /* serial of a held message, of which these recipients are done; 0: none */
	const uint32_t *moved; /* their indexes there */
	size_t n_moved;
};

void envelope_put(struct buf *to, const struct envelope *e);
/* An entry from an envelope's bytes (copied), its legs idle; NULL: the bytes are none of ours. */
struct queue_entry *entry_new(struct span id, struct span envelope);
void entry_free(struct queue_entry **e);

/* The note: attempts, times and recipients' states, that the spool keeps behind the message. */
void note_put(struct buf *to, const struct queue_entry *e);
/* 0, or -E_CORRUPT with the entry as it was: then everything is simply tried again. */
int note_get(struct span note, struct queue_entry *e);

/* The bytes in front of a spooled body: each copy's header section and the texts of its cuts. */
int envelope_put_prefixes(struct buf *to, const struct envelope *e);
/* Whether a spooled message of this size can be the entry's. */
bool entry_fits(const struct queue_entry *e, uint64_t spooled);
/* Tells the entry the message's size in the spool, all copies' header sections in it; it fits. */
void entry_set_size(struct queue_entry *e, uint64_t spooled);
/* Bytes of the leg's copy, and where the n bytes from `offset` of it lie in the spooled message:
 * *n is cut where they stop to lie together. */
uint64_t leg_size(const struct queue_leg *l);
uint64_t leg_place(const struct queue_leg *l, uint64_t offset, size_t *n);
const struct queue_copy *leg_copy(const struct queue_leg *l);
const struct queue_copy *rcpt_copy(const struct queue_entry *e, const struct queue_rcpt *r);

/* Whether the recipient's copy is held to be filtered again, and can be. */
bool rcpt_awaits_filter(const struct queue_entry *e, const struct queue_rcpt *r);
bool leg_awaits_filter(const struct queue_leg *l);
bool entry_awaits_filter(const struct queue_entry *e);
/* The i-th of entry->moved. */
size_t entry_moved_count(const struct queue_entry *e);
uint32_t entry_moved(const struct queue_entry *e, size_t i);
/* The filter whose failure holds it, "*": any of several; empty: something else does. */
struct span entry_waits_for(const struct queue_entry *e);
/* Every recipient delivered, bounced, in quarantine or moved. */
bool entry_is_settled(const struct queue_entry *e);
bool entry_has(const struct queue_entry *e, enum rcpt_state state);
bool leg_has(const struct queue_leg *l, enum rcpt_state state);
/* Whether the sender is still to be told of somebody's failure or success. */
bool entry_owes_report(const struct queue_entry *e);
bool leg_owes_report(const struct queue_leg *l);
void rcpt_set(struct queue_rcpt *r, enum rcpt_state state, struct span reply);
void leg_set_reply(struct queue_leg *l, struct span reply, const char *server);
/* What was last said about a recipient, its own reply or its leg's; may be empty. */
struct span rcpt_reply(const struct queue_entry *e, const struct queue_rcpt *r);

/* Whether it still waits for something: a gateway, a report of its failure, an admin. */
bool rcpt_is_open(const struct queue_rcpt *r);
/* Whether an admin's order holds it (and no copy's fate, and no gateway's reply); for how long, only
 * an admin says. */
bool rcpt_is_held_by_admin(const struct queue_entry *e, const struct queue_rcpt *r);
/* What its reply begins with then; the admin's name follows. */
#define QUEUE_HELD_BY_ADMIN "held by admin "

struct queue;
/* Whether a copy is left that may be sent as it is. */
bool queue_can_be_sent(const struct queue_entry *e);
struct queue *queue_new(void);
void queue_free(struct queue **q); /* the entries too; nothing of the spool */
/* 0, or -E_EXISTS (the id is taken). Takes the entry when 0.  QUEUE_MESSAGES_MAX is for whoever
 * accepts: what is durable already is never turned away. */
int queue_add(struct queue *q, struct queue_entry *e);
void queue_remove(struct queue *q, struct queue_entry **e); /* frees it */
bool queue_has(const struct queue *q, struct span id);
/* Wakes it.  NULL: not there, or the disk cannot give it back just now. */
struct queue_entry *queue_find(struct queue *q, struct span id);
size_t queue_count(const struct queue *q);
int64_t queue_oldest_ms(const struct queue *q); /* wall, when it was received; -1: empty */

/* --- sleep --- */
/* Makes the entry of a spooled message anew, as the spool's envelope and note say; NULL: it cannot
 * be read now.  Once, before the first sleep. */
typedef struct queue_entry *queue_loader(void *arg, struct spool_message *m);
void queue_set_loader(struct queue *q, queue_loader *load, void *arg);
/* Whether nothing but time can happen to it.  Its note must say all that is known of it, and be
 * readable: that is for the caller to see to. */
bool queue_may_sleep(const struct queue_entry *e);
/* Frees the entry; `parked`: its gateway's list of sleepers without a server, or NULL. */
void queue_sleep(struct queue *q, struct queue_entry **e, struct list *parked);
/* The entry, its legs deferred to their times; a parked one stays in its gateway's list. */
struct queue_entry *queue_wake(struct queue *q, struct queue_item *item);
/* Wakes one whose time has come; NULL: there is none, or it could not be read. */
struct queue_entry *queue_wake_due(struct queue *q, int64_t now_ms);

/* A walk over all entries, oldest first, that can be left and taken up again while entries come and
 * go.  It ends with the entries there were at its start, or about them. */
struct queue_cursor {
	struct list node;
	struct list *next;
	size_t left;
};
/* Each is awake then: let it sleep again when you have looked at it. */
void queue_cursor_start(struct queue *q, struct queue_cursor *c);
struct queue_entry *queue_cursor_next(struct queue *q, struct queue_cursor *c); /* NULL: done */
/* The same, of those that have copies to be filtered again; those between are not woken.  NULL: of
 * the next `steps` none has, or (queue_cursor_is_over) it is done. */
struct queue_entry *queue_cursor_next_held(struct queue *q, struct queue_cursor *c, size_t steps);
bool queue_cursor_is_over(const struct queue *q, const struct queue_cursor *c);
void queue_cursor_end(struct queue_cursor *c); /* before its memory goes; twice is harmless */

/* Counted as things change, so that asking costs nothing. */
enum { QUEUE_AGES = 6, QUEUE_TRIES = 4 };
extern const int64_t queue_age_bounds_ms[QUEUE_AGES - 1];  /* 5m 1h 4h 1d 5d */
extern const uint32_t queue_tries_bounds[QUEUE_TRIES - 1]; /* attempts below 2, 6, 21 */
struct queue_totals {
	uint64_t messages, bytes;
	uint64_t deferred;           /* messages with a leg in the heap */
	uint64_t held;               /* messages with a recipient that is held */
	uint64_t ages[QUEUE_AGES];   /* messages; the last: older than all bounds */
	uint64_t tries[QUEUE_TRIES]; /* deferred legs by their attempts; the last: more */
};
void queue_totals(const struct queue *q, int64_t wall_ms, struct queue_totals *to);
/* To be called when recipients of the entry may have come to be held, or not any more. */
void queue_recount(struct queue *q, struct queue_entry *e);

/* Puts an idle leg into the heap; takes one out; the time of the next one, -1: none. */
void queue_defer(struct queue *q, struct queue_leg *l, int64_t due_ms);
void queue_undefer(struct queue *q, struct queue_leg *l);
int64_t queue_next_ms(const struct queue *q);
/* Takes the next leg that is due at `now_ms` out of the heap; NULL: none is. */
struct queue_leg *queue_take_due(struct queue *q, int64_t now_ms);

#endif

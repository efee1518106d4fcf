/*
 * delivery.h - the second half of a message's walk, in the spool role: what 7_deliver.c and
 * 8_settle.c share.
 */
#ifndef WALK_DELIVERY_H
#define WALK_DELIVERY_H
#include "relay/deliver/courier.h"
#include "relay/deliver/intake.h"
#include "relay/deliver/resolve.h"
#include "relay/deliver/transit.h"
#include "relay/quarantine/quarantine.h"

struct delivery {
	struct loop *loop;
	const struct config *config;
	struct spool *spool;
	struct queue *queue;
	struct gateway **gateways;
	size_t n_gateways;
	struct courier *courier;
	struct resolve *resolver;
	struct intake *intake;
	struct list transits; /* messages whose gateways are asked first */
	struct quarantine *quarantine;
	struct list releases;    /* of letters, under way */
	struct hold_work *hold;  /* what is held to be filtered again */
	struct channel *journal; /* NULL while the role is away */
	struct timer *wake;
	int64_t ages_ms;  /* monotonic: when legs that wait for a busy server are looked at next */
	bool has_changed; /* since the end of the last turn */
	bool is_stopping;
	/* An admin must know, or (do_this NULL) need not any more. */
	void (*on_problem)(void *arg, const char *name, const char *what, const char *do_this);
	/* A message on its way through: front may say 250, or (refusal) must refuse it. */
	void (*on_through)(void *arg, const struct arrival *a, const struct refusal *refusal);
	/* Sends SPOOL_REFILTER to one of the fronts (takes the fd); 0: none is there, else which of
	 * their channels it was.  May be NULL. */
	uint64_t (*on_refilter)(void *arg, uint64_t job, struct span payload, int fd);
	/* Mail is held for this filter: SPOOL_AWAITS, to all fronts.  May be NULL. */
	void (*on_awaits)(void *arg, struct span filter);
	/* What the gateway of this index can take has changed.  May be NULL. */
	void (*on_ability)(void *arg, size_t index);
	void *arg;
};

/* Everything but the spool, which the owner opens next (recovery fills the queue). */
void delivery_init(struct delivery *d, struct loop *loop, const struct config *config);
void delivery_free(struct delivery *d); /* before the spool is closed */

/* 7_deliver.c */
void deliver_start(struct delivery *d, struct queue_entry *e); /* durable now: send it */
/* Found on disk: takes up where its note says it was. */
void deliver_recover(struct delivery *d, struct spool_message *m, struct span id,
    struct span envelope, struct span note);
/* A message from what the spool has of it; NULL: it cannot be read. */
struct queue_entry *deliver_load(struct delivery *d, struct spool_message *m);
/* The same for one that waits no more for another: hold_recovered. */
void deliver_recover_entry(struct delivery *d, struct queue_entry *e);
void deliver_leg(struct delivery *d, struct queue_leg *leg); /* as soon as a server is free */
void deliver_now(struct delivery *d, struct queue_entry *e); /* the admin asks; held mail too */
/* An admin has drained servers of this gateway, or undone that. */
void deliver_drained(struct delivery *d, struct gateway *g);
/* Lets the entry sleep when nothing but time can happen to it: it may be gone afterwards.  Whoever
 * has looked at an entry that settle_entry does not get calls this. */
void deliver_rest(struct delivery *d, struct queue_entry *e);
extern const struct courier_events deliver_events;

/* through.c */
/* Whether its gateways are to be asked before the client is answered. */
bool through_is_fit(const struct delivery *d, const struct commit *c);
/* Asks them; on_through follows.  data_end_ms: monotonic, when the client had sent all. */
void through_begin(
    struct delivery *d, const struct arrival *a, struct transit *t, int64_t data_end_ms);
void through_settle(struct delivery *d, struct queue_entry *e); /* something was said about it */
/* Its client was told to try again: no gateway is asked any more. */
bool through_is_given_up(const struct queue_entry *e);
/* It is durable now, or (err) cannot be. */
void through_arrived(struct delivery *d, struct arrival *a, const struct err *err);
void through_hurry(struct delivery *d); /* the clients will not wait: make all of them durable */

/* aside.c: what goes into quarantine. */
extern const struct quarantine_events aside_events; /* their arg is the delivery */
void aside_begin(
    struct delivery *d, struct queue_entry *e); /* if something of it has to go there */

/* release.c: what comes out again. */
struct release_order {
	struct span id;
	const struct span *to; /* these recipients of it; none: all */
	size_t n_to;
	struct span who;  /* for the journal */
	uint64_t request; /* handed back */
};
/* It is in the spool and out of quarantine (EXIT_OK), or `status` is an exit status and `text` one
 * sentence that says why. */
typedef void release_done(void *arg, uint64_t request, int status, struct span text);
void release_begin(
    struct delivery *d, const struct release_order *o, release_done *on_done, void *arg);
/* Whether an order for the letter of this id is under way: it neither expires nor is it deleted. */
bool release_is_under_way(const struct delivery *d, struct span id);
void release_arrived(struct delivery *d, struct arrival *a, const struct err *err);

/* 8_settle.c */
void settle_refused_rcpt(
    void *arg, const struct carriage *carriage, size_t i, int code, struct span reply);
void settle_carriage(void *arg, const struct carriage *carriage, const struct client_end *end);
/* An admin may have taken out of it those who were still to be asked in this attempt.  True: so it
 * was, and the attempt is over or goes on with the next server. */
bool settle_tried(struct delivery *d, struct queue_leg *leg);
/* No server of its gateway can be had: this round is over, or goes on as it was (parked). */
void settle_unreachable(struct delivery *d, struct queue_leg *leg, struct gateway *g);
/* A leg that is READY, behind a server that is busy: its sender may be to be told of the delay, or it
 * is too old by now.  True: so it is, and others of its message may be gone with it. */
bool settle_ready(struct delivery *d, struct queue_leg *leg);
void settle_held(struct delivery *d, struct queue_leg *leg, struct span why);
/* The same for the recipients alone: settle_entry is still to be called. */
void settle_hold(struct delivery *d, struct queue_leg *leg, struct span why);
/* How long the message may still be tried, ms; 0 and below: it is too old. */
int64_t settle_time_left(const struct delivery *d, const struct queue_entry *e);
/* How long after this many attempts the next one is, ms. */
int64_t settle_retry_after(const struct delivery *d, uint32_t attempts);
void settle_tell(
    struct delivery *d, struct queue_entry *e, struct queue_rcpt *r, const char *event);
void settle_write_note(struct delivery *d, struct queue_entry *e);
/* Looks at what is left of a message: a notice to send, a note to write, or nothing at all. */
void settle_entry(struct delivery *d, struct queue_entry *e);
/* A notice is durable (entry: its own) or could not be kept. */
void settle_notice(struct delivery *d, struct arrival *a, const struct err *err);

#endif

/*
 * intake.h - new messages on their way into the spool: front's and our own notices.
 *
 * Each waits here between spool_put and the spool's word that it is durable.
 */
#ifndef DELIVER_INTAKE_H
#define DELIVER_INTAKE_H
#include "relay/deliver/queue.h"

/* Whose message it is, so that the answer finds its way. */
struct arrival {
	bool is_notice;               /* our own bounce or delay notice */
	char about[SPOOL_ID_MAX + 1]; /* the message a notice speaks of */
	uint64_t front_id;            /* of SPOOL_COMMIT */
	uint64_t front_life;          /* which of front's channels it came by */
	struct queue_entry *entry;
	bool is_release;    /* a letter that leaves the quarantine; `owner` knows which */
	void *owner;        /* whoever asked, if it wants to be known */
	bool is_refiltered; /* a part of a held message that was filtered again: hold.h */
	bool is_kept;       /* the entry is in the queue already: intake_keep */
};

/* The bytes of a new message behind the header sections that its envelope names. */
struct intake_body {
	struct span body; /* or: */
	int fd;           /* sealed memfd, -1: none; taken */
	uint64_t skip, size;
};

struct intake;
/* on_done: `a` ended; durable with its entry (now the callee's, with ->msg set), or refused with
 * err (the entry is freed by the intake, but not one that intake_keep got). */
struct intake *intake_new(
    void (*on_done)(void *arg, struct arrival *a, const struct err *err), void *arg);
void intake_free(struct intake **in);
/* Puts a message on its way; a->entry is made from the envelope here.  0 or -E_CORRUPT. */
int intake_put(struct intake *in, struct spool *spool, const struct arrival *about, struct span id,
    const struct envelope *envelope, const struct intake_body *body);
/* The same for an entry that is in the queue already and stays there, with the bytes of its
 * envelope and all its header sections in a row. */
void intake_keep(struct intake *in, struct spool *spool, const struct arrival *about,
    struct queue_entry *e, struct span envelope, struct span prefix,
    const struct intake_body *body);
/* To be called by spool_events.on_committed. */
void intake_committed(
    struct intake *in, uint64_t cookie, struct spool_message *m, const struct err *err);
bool intake_has(const struct intake *in, struct span id);
size_t intake_count(const struct intake *in);

#endif

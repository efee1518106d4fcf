/*
 * bounce.h - reports about mail (RFC 3461, RFC 3464): whether one is sent, to whom, by which gateway,
 * and its bytes (by relay/message/dsn.h).
 *
 * Never for null senders or tagged mail: those may not be answered (RFC 5321 section 6.1); and for
 * each recipient only what NOTIFY asks for.  Without NOTIFY that is failure and delay.
 */
#ifndef DELIVER_BOUNCE_H
#define DELIVER_BOUNCE_H
#include "policy/config/config.h"
#include "relay/deliver/queue.h"
#include "relay/message/dsn.h"

enum {
	BOUNCE_HEADER_MAX = 64 * 1024,
	/* RET=FULL sends a longer original back as its header section (RFC 3461 section 4.3). */
	BOUNCE_FULL_MAX = 1024 * 1024,
	/* COMMIT_RCPTS_MAX recipients, each with its address and QUEUE_REPLY_MAX bytes of reply in the
	 * text and again in the status part, all of it in base64: always enough. */
	BOUNCE_TEXT_MAX = 64 * 1024 * 1024
};

struct bounce_route {
	struct span to;
	const struct conf_gateway *gateway; /* NULL: there is no way to it */
	enum mail_kind kind;                /* MAIL_BOUNCE or MAIL_POSTMASTER */
};

/* A report's bytes, and what must be said with them to whoever takes it. */
struct bounce_text {
	struct buf text; /* the caller frees it */
	bool is_8bit, is_utf8;
};

/* The gateway for mail to an address: its domain's, else that of a flow with relay = "any". */
const struct conf_gateway *bounce_gateway(const struct config *c, struct span address);
/* Whether anybody may be told that this recipient's mail has failed. */
bool bounce_is_allowed(const struct queue_entry *e, const struct queue_rcpt *r);
/* The same for all that reports tell.  A delay or a success is told to senders only. */
bool bounce_is_wanted(
    const struct queue_entry *e, const struct queue_rcpt *r, enum dsn_action action);
/* Why bounce_is_allowed says no, for an admin: one part of a sentence. */
const char *bounce_obstacle(const struct queue_entry *e, const struct queue_rcpt *r);
/* To the sender, or to postmaster when that has no way or the message was a bounce itself. */
struct bounce_route bounce_route(const struct config *c, const struct queue_entry *e);
/* The whole report: about the recipients marked is_in_bounce, or (is_delay) those still waiting
 * that want to know.  0, or -E_LIMIT. */
int bounce_build(const struct config *c, struct spool *spool, const struct queue_entry *e,
    const struct bounce_route *route, struct span id, bool is_delay, struct bounce_text *to);

#endif

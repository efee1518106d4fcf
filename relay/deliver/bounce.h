/*
 * bounce.h - reports about mail that could not be delivered: to whom they go, by which gateway,
 * and their bytes (RFC 3464, by relay/message/dsn.h).
 *
 * Never for null senders or tagged mail: those may not be answered (RFC 5321 section 6.1).
 */
#ifndef DELIVER_BOUNCE_H
#define DELIVER_BOUNCE_H
#include "policy/config/config.h"
#include "relay/deliver/queue.h"

enum {
	BOUNCE_HEADER_MAX = 64 * 1024,
	/* COMMIT_RCPTS_MAX recipients, each with its address and QUEUE_REPLY_MAX bytes of reply in the
	 * text and again in the status part, beside the header section: always enough. */
	BOUNCE_TEXT_MAX = 32 * 1024 * 1024
};

struct bounce_route {
	struct span to;
	const struct conf_gateway *gateway; /* NULL: there is no way to it */
	enum mail_kind kind;                /* MAIL_BOUNCE or MAIL_POSTMASTER */
};

/* The gateway for mail to an address: its domain's, else that of a flow with relay = "any". */
const struct conf_gateway *bounce_gateway(const struct config *c, struct span address);
/* Whether anybody may be told about this recipient at all. */
bool bounce_is_allowed(const struct queue_entry *e, const struct queue_rcpt *r);
/* To the sender, or to postmaster when that has no way or the message was a bounce itself. */
struct bounce_route bounce_route(const struct config *c, const struct queue_entry *e);
/* The whole report: about the recipients marked is_in_bounce, or (is_delay) those still waiting.
 * 0, or -E_LIMIT. */
int bounce_build(const struct config *c, struct spool *spool, const struct queue_entry *e,
    const struct bounce_route *route, struct span id, bool is_delay, struct buf *to);

#endif

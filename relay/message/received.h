/*
 * received.h - our trace field (RFC 5321 section 4.4), and the count of them that shows a loop.
 *
 * Pure.  What the client chose (its HELO, the recipient) is cut and cleaned, so that it can neither
 * end the field nor pass for another clause of it.
 */
#ifndef MESSAGE_RECEIVED_H
#define MESSAGE_RECEIVED_H
#include "relay/base/buf.h"
#include "relay/base/ip.h"

struct received {
	struct span helo;
	struct span host; /* the verified reverse name; empty: "unknown" */
	struct ip client;
	struct span hostname;    /* ours */
	struct span protocol;    /* "ESMTP", "SMTP", "ESMTPS" … (RFC 3848) */
	struct span tls, cipher; /* empty: it came in the clear */
	struct span id;
	struct span rcpt; /* empty: no "for" clause, as with several recipients (their privacy) */
	int64_t wall_ms;
};

/* Appends the field with its CRLF.  0, or -E_LIMIT when `to` is full. */
int received_add(struct buf *to, const struct received *r);
/* How many Received fields stand in a header section (RFC 5321 section 6.3). */
size_t received_count(struct span section);

#endif

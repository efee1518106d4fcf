/*
 * callout.h - asks a domain's gateway whether a recipient exists: MAIL FROM:<>, RCPT TO:<address>,
 * RSET, with the SMTP client of relay/deliver and so with the gateway's own TLS and addresses.
 *
 * The lookup role connects by itself instead of asking the spool role's couriers: those are for
 * mail that waits, and a gateway busy with callouts must not look slow to them.
 *
 * Once a day each server is asked for a random address, too: one that takes it takes everything,
 * and its word is worth nothing; `report` says so.
 */
#ifndef LOOKUP_CALLOUT_H
#define LOOKUP_CALLOUT_H
#include "relay/lookup/resolver.h"
#include "relay/lookup/source.h"

enum {
	CALLOUT_CONNECTIONS = 2,     /* to each gateway */
	CALLOUT_WAITING_MAX = 1000,  /* questions that wait for a connection to one gateway */
	CALLOUT_REST_MS = 10 * 1000, /* a server that failed is asked last for so long */
	CALLOUT_PROBE_MS =
	    60 * 1000 /* until the next random address, when nothing was said of one */
};

struct callout;

/* Reads the gateways' authorities: before the sandbox closes.  `config` must outlive it. */
struct callout *callout_new(struct loop *loop, struct resolver *resolver,
    const struct config *config, const struct source_report *report, struct err *err);
void callout_free(struct callout **c); /* questions under way are dropped */
void callout_ask(struct callout *c, struct source_query *q);

/*
 * What a reply to RCPT means: RECIPIENT_NONE for 5xx that speak of the mailbox (enhanced codes
 * 5.1.x and 5.2.1 of RFC 3463, without one 550, 551 and 553), RECIPIENT_EXISTS for 2xx, else
 * RECIPIENT_UNKNOWN: 4xx, and refusals of us (5.7.x), of the service or of the command.  `reply` is
 * its text from the code on, "550 5.1.1 text".
 */
enum recipient_state callout_judge(int code, struct span reply);

#endif

/*
 * rates.h - how much each client of a flow has sent lately: a bucket of messages, of recipients and
 * of errors for each IPv4 address and IPv6 /64, counted over all fronts (tallies.h).
 *
 * Pure but for the tallies: the time is passed in.  Whose bucket is forgotten for want of room has a
 * full one, which is to his advantage.
 */
#ifndef RATE_RATES_H
#define RATE_RATES_H
#include "policy/config/config.h"
#include "policy/rate/tallies.h"

/* The fact of the decision: what a client has too much of.  RATE_UNKNOWN: nobody counts it. */
enum rate_fact {
	RATE_UNKNOWN,
	RATE_WITHIN,
	RATE_CONNECTIONS, /* at once */
	RATE_ERRORS,
	RATE_MESSAGES,
	RATE_RECIPIENTS
};

struct rates;

/* Both must live as long; `flow` tells these clients from others in the same tallies. */
struct rates *rates_new(const struct conf_rate *limits, struct tallies *tallies, unsigned flow);
void rates_free(struct rates **r);
/* One more message, recipient or error of this client: RATE_WITHIN, or `kind` when that is too
 * many, which does not make it wait longer.  RATE_UNKNOWN: there is no such limit. */
enum rate_fact rates_take(
    struct rates *r, enum rate_fact kind, const struct ip *client, int64_t now_ms);
/* The same, but nothing is taken. */
enum rate_fact rates_look(
    const struct rates *r, enum rate_fact kind, const struct ip *client, int64_t now_ms);

#endif

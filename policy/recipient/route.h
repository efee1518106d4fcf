/*
 * route.h - whether a recipient is ours to take, and which gateway its mail goes to.
 *
 * Pure; the same answer for the live relay and for `postern explain`.
 */
#ifndef RECIPIENT_ROUTE_H
#define RECIPIENT_ROUTE_H
#include "policy/config/config.h"
#include "policy/recipient/recipient.h"

enum route_result {
	ROUTE_FOUND,
	ROUTE_DENIED, /* 550 5.7.1: not a domain of ours, and no relaying for this flow */
	ROUTE_NO_SUCH /* 550 5.1.1: the domain is ours, the recipient is not there */
};

struct route {
	struct span address; /* where it goes: the postmaster's, for a bare postmaster */
	const struct conf_gateway *gateway; /* for ROUTE_FOUND */
	bool is_postmaster;                 /* always accepted (RFC 5321 section 4.5.1) */
};

/* `tables`: one for each of config->domains, NULL where any recipient is taken. */
enum route_result route_find(const struct config *config, const struct conf_flow *flow,
    struct recipients *const *tables, struct span address, struct route *out);

/* What a client is told when there is no route. */
const char *route_enhanced(enum route_result r);
const char *route_text(enum route_result r);

#endif

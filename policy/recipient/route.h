/*
 * route.h - whether a recipient is ours to take, and which gateway its mail goes to.
 *
 * Pure; the same answer for the live relay and for `postern explain`.
 */
#ifndef RECIPIENT_ROUTE_H
#define RECIPIENT_ROUTE_H
#include "policy/config/config.h"
#include "policy/recipient/recipient.h"
#include "relay/ipc/lookup.h"

enum route_result {
	ROUTE_FOUND,
	ROUTE_DENIED,  /* 550 5.7.1: not a domain of ours, and no relaying for this flow */
	ROUTE_NO_SUCH, /* 550 5.1.1: the domain is ours, the recipient is not there */
	ROUTE_UNKNOWN  /* 451 4.4.3: whoever knows the recipients cannot be asked now */
};

struct route {
	struct span address; /* where it goes: the postmaster's, for a bare postmaster */
	const struct conf_gateway *gateway; /* for ROUTE_FOUND */
	bool is_postmaster;                 /* always accepted (RFC 5321 section 4.5.1) */
	/* For ROUTE_FOUND: this domain's source must be asked for the address first, and
	 * route_answered says what its answer means; NULL: nobody need be asked. */
	const struct conf_domain *asks;
};

/* `tables`: one for each of config->domains, NULL where any recipient is taken. */
enum route_result route_find(const struct config *config, const struct conf_flow *flow,
    struct recipients *const *tables, struct span address, struct route *out);

/* What the answer of the domain's source means. */
enum route_result route_answered(const struct conf_domain *domain, enum recipient_state state);

/* What a client is told when there is no route. */
int route_code(enum route_result r);
const char *route_enhanced(enum route_result r);
const char *route_text(enum route_result r);

#endif

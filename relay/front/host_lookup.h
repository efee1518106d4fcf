/*
 * host_lookup.h - a client's reverse name, verified both ways (RFC 8601 section 2.7.3, "iprev"):
 * a PTR name counts when one of its own addresses is the client's.
 */
#ifndef FRONT_HOST_LOOKUP_H
#define FRONT_HOST_LOOKUP_H
#include "relay/front/dns_client.h"

enum { HOST_NAMES_MAX = 4 /* PTR names that are looked at; a client chooses how many it has */ };

/* Embedded in its owner; all zeros: nothing is asked. */
struct host_lookup {
	struct ip client;
	struct dns_client *dns;
	uint32_t timeout_ms;
	struct dns_request ptr, addresses[HOST_NAMES_MAX];
	char names[HOST_NAMES_MAX][LOOKUP_NAME_MAX + 1];
	size_t n_waiting;
	/* Once; host is empty when there is no verified name, or it could not be had (is_known
	 * false).  Never from inside host_lookup_start. */
	void (*on_done)(struct host_lookup *h, struct span host, bool is_known);
	void *arg;
};

/* Set on_done and arg first. */
void host_lookup_start(
    struct host_lookup *h, struct dns_client *dns, const struct ip *client, uint32_t timeout_ms);
void host_lookup_cancel(struct host_lookup *h);

#endif

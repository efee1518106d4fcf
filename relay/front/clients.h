/*
 * clients.h - how many sessions there is room for, in all and from one client.
 *
 * A client is an IPv4 address or an IPv6 /64: that is what one customer has (RFC 6177), so that
 * addresses within it are for free.  Its sessions are counted over all fronts (tallies.h); two that
 * begin at the same moment at two of them may both be the last.
 */
#ifndef FRONT_CLIENTS_H
#define FRONT_CLIENTS_H
#include "policy/rate/tallies.h"

enum {
	/* Descriptors that are no session's: channels, workers', listeners, farewells, logs. */
	CLIENTS_FILES_OURS = 160,
	CLIENTS_FILES_SESSION =
	    3 /* of a session: its socket, its message, that message on its way */
};

struct clients;

/* `matter` tells these clients from others that are counted in the same tallies; 0: by listener. */
struct clients *clients_new(struct tallies *tallies, unsigned matter);
void clients_free(struct clients **c);
/* Whether it has max_each sessions at once, or more. */
bool clients_is_full(const struct clients *c, const struct ip *ip, size_t max_each);
/* A session begins and, with the same address, ends. */
void clients_enter(struct clients *c, const struct ip *ip);
void clients_leave(struct clients *c, const struct ip *ip);
size_t clients_count(const struct clients *c); /* sessions that have entered here */

/* At most `wanted`, as far as `n_files`, the limit of open files, goes; at least 1. */
size_t clients_sessions_max(uint64_t n_files, size_t wanted);

#endif

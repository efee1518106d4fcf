/*
 * clients.h - how many sessions each client has.
 *
 * A client is an IPv4 address or an IPv6 /64: that is what one customer has (RFC 6177), so that
 * addresses within it are for free.  Its sessions are counted over all fronts (tallies.h); two that
 * begin at the same moment at two of them may both be the last.
 */
#ifndef FRONT_CLIENTS_H
#define FRONT_CLIENTS_H
#include "policy/rate/tallies.h"

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

#endif

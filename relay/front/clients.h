/*
 * clients.h - how many sessions each client has.
 *
 * A client is an IPv4 address or an IPv6 /64: that is what one customer has (RFC 6177), so that
 * addresses within it are for free.
 */
#ifndef FRONT_CLIENTS_H
#define FRONT_CLIENTS_H
#include "relay/base/ip.h"

struct clients;

struct clients *clients_new(void);
void clients_free(struct clients **c);
/* Whether it has max_each sessions at once, or more. */
bool clients_is_full(const struct clients *c, const struct ip *ip, size_t max_each);
/* A session begins and, with the same address, ends. */
void clients_enter(struct clients *c, const struct ip *ip);
void clients_leave(struct clients *c, const struct ip *ip);
size_t clients_count(const struct clients *c); /* clients that have sessions */

#endif

/*
 * resolve.h - keeps the addresses of gateways given by name: asks the lookup role for A and
 * AAAA when they are not known or their TTL has ended, never more than once at a time for a name.
 */
#ifndef DELIVER_RESOLVE_H
#define DELIVER_RESOLVE_H
#include "relay/deliver/gateway.h"
#include "relay/ipc/channel.h"

struct resolver;

/* on_changed: the addresses of `g` may be others now, or are known to be unknown. */
struct resolver *resolver_new(void (*on_changed)(void *arg, struct gateway *g), void *arg);
void resolver_free(struct resolver **r);
/* The channel to the lookup role, NULL while it is away; questions under way are asked again. */
void resolver_attach(struct resolver *r, struct channel *lookup);
/* Asks what must be asked; returns when to be called again (monotonic ms), -1: not at all. */
int64_t resolver_refresh(struct resolver *r, struct gateway *g, int64_t now_ms);
/* An answer from the channel; what is no answer of ours is ignored. */
void resolver_take(struct resolver *r, const struct message *m);

#endif

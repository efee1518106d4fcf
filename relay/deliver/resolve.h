/*
 * resolve.h - keeps the addresses of gateways given by name: asks the lookup role for A and
 * AAAA when they are not known or their TTL has ended, never more than once at a time for a name.
 * A name without an address that can be reached is asked for afresh before that.
 */
#ifndef DELIVER_RESOLVE_H
#define DELIVER_RESOLVE_H
#include "relay/deliver/gateway.h"
#include "relay/ipc/channel.h"

struct resolve;

/* on_changed: the addresses of `g` may be others now, or are known to be unknown. */
struct resolve *resolve_new(void (*on_changed)(void *arg, struct gateway *g), void *arg);
void resolve_free(struct resolve **r);
/* The channel to the lookup role, NULL while it is away; questions under way are asked again. */
void resolve_attach(struct resolve *r, struct channel *lookup);
/* Asks what must be asked; returns when to be called again (monotonic ms), -1: not at all. */
int64_t resolve_refresh(struct resolve *r, struct gateway *g, int64_t now_ms);
/* An answer from the channel; what is no answer of ours is ignored. */
void resolve_take(struct resolve *r, const struct message *m);

#endif

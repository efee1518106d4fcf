/*
 * canary_watch.h - the names that must exist (`canary` of `sender { }`; each flow may have its own):
 * which of them the resolver denies.
 *
 * Whoever looks up a sender has heard of its flow's canary and says so.  One that is denied is an
 * alarm of its own, and is asked for by itself until it is there: the next sender that would bring
 * the news may take a day.
 */
#ifndef FRONT_CANARY_WATCH_H
#define FRONT_CANARY_WATCH_H
#include "relay/front/sender_lookup.h"

enum { CANARY_AGAIN_MS = 10 * 1000 /* between questions for one that is denied */ };

struct canary_watch;

/* Lives as long as its process.  `report`: do_this NULL when the problem of this name is over. */
struct canary_watch *canary_watch_new(struct loop *loop, struct dns_client *dns,
    uint32_t timeout_ms,
    void (*report)(void *arg, const char *name, const char *what, const char *do_this), void *arg);
/* What has become of the canary `name`, which is the configuration's; CANARY_UNASKED and
 * CANARY_SILENT say nothing. */
void canary_watch_note(struct canary_watch *w, enum sender_canary state, struct span name);

#endif

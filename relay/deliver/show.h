/*
 * show.h - what `queue list`, `queue show` and `status` print about live messages: JSON lines
 * with the keys of CONTRACT.md section 4.
 */
#ifndef DELIVER_SHOW_H
#define DELIVER_SHOW_H
#include "relay/deliver/gateway.h"
#include "relay/deliver/queue.h"

/* waiting, active, deferred or held. */
const char *show_state(const struct queue_entry *e);
/* One line with its \n; has_detail adds each recipient with its own state and reply, and the
 * header section where one is given. */
void show_entry(struct buf *to, const struct queue_entry *e, bool has_detail, struct span headers);
/* up, slow, draining or down. */
const char *show_target_state(const struct target *t);
/* One line for each address of one server of the gateway (as written or by address), or (empty) of
 * all its servers. */
void show_servers(struct buf *to, const struct gateway *g, struct span server);
/* {queue:{…}, gateways:[…]} */
void show_status(struct buf *to, struct queue *q, struct gateway *const *gateways, size_t n);

#endif

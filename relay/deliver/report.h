/*
 * report.h - one outcome for one recipient, told to the log and to the journal.
 */
#ifndef DELIVER_REPORT_H
#define DELIVER_REPORT_H
#include "relay/deliver/queue.h"
#include "relay/ipc/channel.h"

/* {id, time, event, to, gateway, server, reply}; event: delivered, deferred, expired, bounced,
 * held.  `journal` may be NULL or closed (the role is being restarted): the log has it all. */
void report_rcpt(struct channel *journal, const struct queue_entry *e, const struct queue_rcpt *r,
    const char *event, const char *server, struct span reply);

#endif

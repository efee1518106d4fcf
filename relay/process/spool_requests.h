/*
 * spool_requests.h - what the command line and the console ask the spool role: queue, gateway, status.
 */
#ifndef PROCESS_SPOOL_REQUESTS_H
#define PROCESS_SPOOL_REQUESTS_H
#include "relay/process/queue_jobs.h"

void spool_request(struct role *role, struct delivery *d, struct queue_jobs *jobs, uint64_t id,
    const struct control_request *r);

#endif

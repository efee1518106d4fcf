/*
 * quarantine_requests.h - what the command line and the console ask of the quarantine: list, show,
 * release, delete.  Files are looked at in the quarantine's helper thread, a slice at a time.
 */
#ifndef PROCESS_QUARANTINE_REQUESTS_H
#define PROCESS_QUARANTINE_REQUESTS_H
#include "relay/process/role.h"
#include "relay/walk/delivery.h"

void quarantine_request(
    struct role *role, struct delivery *d, uint64_t id, const struct control_request *r);
/* {quarantine:{…}} for `status`. */
void quarantine_status(struct role *role, struct delivery *d, uint64_t id);

#endif

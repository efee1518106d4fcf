/*
 * gateway_requests.h - what the command line and the console ask of gateways: list, drain, undrain
 * and probe.
 */
#ifndef PROCESS_GATEWAY_REQUESTS_H
#define PROCESS_GATEWAY_REQUESTS_H
#include "relay/process/role.h"
#include "relay/walk/delivery.h"

/* Drains again what was drained before the role started. */
void gateway_requests_start(struct delivery *d);
/* "gateway", verb, server. */
void gateway_request(
    struct role *role, struct delivery *d, uint64_t id, const struct control_request *r);

#endif

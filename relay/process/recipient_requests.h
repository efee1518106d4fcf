/* recipient_requests.h - what `postern recipient` asks of front. */
#ifndef PROCESS_RECIPIENT_REQUESTS_H
#define PROCESS_RECIPIENT_REQUESTS_H
#include "relay/process/role.h"
#include "relay/walk/walk.h"

/* Words "recipient", then "show ADDRESS" or "clear [ADDRESS]": answers it. */
void recipient_request(
    struct role *role, const struct front *f, uint64_t id, const struct control_request *r);

#endif

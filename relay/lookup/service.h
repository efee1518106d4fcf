/*
 * service.h - the lookup role without its process: peers that ask over channels, the resolver and
 * the sources of recipients that answer them.
 *
 * Every LOOKUP_ASK is answered by one LOOKUP_ANSWER of the same id, every LOOKUP_RECIPIENT by one
 * LOOKUP_RECIPIENT_ANSWER.  Ids belong to the channel they came over; when it closes, what it asked
 * is forgotten.
 */
#ifndef LOOKUP_SERVICE_H
#define LOOKUP_SERVICE_H
#include "relay/lookup/resolver.h"
#include "relay/lookup/verify.h"

enum { SERVICE_PENDING_MAX = 20000 /* questions of one peer; more are answered DNS_FAILED */ };

struct service;

/* Before the sandbox closes.  `config` must outlive it; `report` is told what an admin must know. */
struct service *service_new(struct loop *loop, const struct config *config,
    const struct source_report *report, struct err *err);
void service_free(struct service **s);
void service_peer(struct service *s, int fd); /* takes the fd; serves it until it closes */
struct verify *service_verify(struct service *s);
/* One JSON object: {"lookup":{questions,cache_hits,timeouts,failures,cached,pending,recipients:{}}}. */
void service_add_status(const struct service *s, struct buf *to);

#endif

/*
 * service.h - the lookup role without its process: peers that ask over channels, and the resolver
 * that answers them.
 *
 * Every LOOKUP_ASK is answered by one LOOKUP_ANSWER of the same id.  Ids belong to the channel
 * they came over; when it closes, what it asked is forgotten.
 */
#ifndef LOOKUP_SERVICE_H
#define LOOKUP_SERVICE_H
#include "relay/lookup/resolver.h"

enum { SERVICE_PENDING_MAX = 20000 /* questions of one peer; more are answered DNS_FAILED */ };

struct service;

struct service *service_new(struct loop *loop, const struct conf_dns *conf, struct err *err);
void service_free(struct service **s);
void service_peer(struct service *s, int fd); /* takes the fd; serves it until it closes */
/* One JSON object: {"lookup":{questions,cache_hits,timeouts,failures,cached,pending}}. */
void service_add_status(const struct service *s, struct buf *to);

#endif

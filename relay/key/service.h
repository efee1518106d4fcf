/*
 * service.h - the key role's work: it signs for TLS handshakes and says whether a password is right.
 *
 * Front is not trusted: nothing it can say gets a key, a password record, or a signature over
 * anything but a handshake.
 */
#ifndef KEY_SERVICE_H
#define KEY_SERVICE_H
#include "relay/base/loop.h"
#include "relay/key/material.h"

struct key_service;

struct key_service *key_service_new(struct loop *loop);
void key_service_free(struct key_service **s);
/* Takes the material; what was in force before is kept once more for handshakes that began with it. */
void key_service_take(struct key_service *s, struct material *m);
void key_service_start(struct key_service *s); /* inside the sandbox: starts a thread */
/* Takes the fd of the front of this number, below CONFIG_FRONTS_MAX; an older one closes. */
void key_service_peer(struct key_service *s, unsigned front, int fd);
void key_service_on_lost(
    struct key_service *s, void (*on_lost)(void *arg, unsigned front), void *arg);
/* {"key":{...}}: counts of what was asked. */
void key_service_add_status(const struct key_service *s, struct buf *to);

#endif

/*
 * spool_client.h - hands messages to the spool role and hears when they are durable.
 */
#ifndef FRONT_SPOOL_CLIENT_H
#define FRONT_SPOOL_CLIENT_H
#include "relay/ipc/channel.h"
#include "relay/ipc/front_spool.h"

struct spool_client;

/* Embedded in its owner; all zeros: nothing is asked. */
struct spool_request {
	uint64_t id;
	struct spool_client *client;
	struct timer *failed;
	/* refusal NULL: durable.  Its spans live during the call only. */
	void (*on_done)(struct spool_request *r, const struct refusal *refusal);
	void *arg;
};

struct spool_client *spool_client_new(struct loop *loop, size_t n_gateways);
/* What the gateway of this index in the configuration can take; nothing is known of one that has
 * not been asked. */
struct gateway_ability spool_client_ability(const struct spool_client *s, size_t gateway);
/* Called when the channel closes by itself. */
void spool_client_on_lost(struct spool_client *s, void (*on_lost)(void *arg), void *arg);
/* Called with SPOOL_REFILTER, whose descriptor it may take, and with SPOOL_AWAITS. */
void spool_client_on_held(
    struct spool_client *s, void (*on_held)(void *arg, struct message *m), void *arg);
/* Something that nobody answers; nothing while the spool is away. */
void spool_client_tell(struct spool_client *s, uint16_t type, uint64_t id, struct span payload);
void spool_client_connect(struct spool_client *s, int fd); /* takes the fd */
/* Set on_done and arg first.  A spool that takes nothing for long is answered for: 452 4.3.1.  body_fd: of the caller, sealed; -1 when the body is inline. */
void spool_commit(
    struct spool_client *s, struct spool_request *r, const struct commit *c, int body_fd);
/* The client has gone: nobody is told, the message may still become durable (and is delivered). */
void spool_forget_request(struct spool_request *r);
/* We are about to end: messages whose gateways are asked first are made durable instead. */
void spool_client_hurry(struct spool_client *s);
bool spool_client_has_room(const struct spool_client *s);

#endif

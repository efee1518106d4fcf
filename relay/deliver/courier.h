/*
 * courier.h - the connections to gateways: carries a leg of a message over one and tells how it
 * went.  Connections are kept and used again; the courier also tries servers that are down.
 *
 * It owns connections and keeps the health of targets; what becomes of a recipient is decided by
 * whoever listens to its events (relay/walk/8_settle.c).
 */
#ifndef DELIVER_COURIER_H
#define DELIVER_COURIER_H
#include "relay/deliver/client.h"
#include "relay/deliver/gateway.h"
#include "relay/deliver/queue.h"

enum {
	COURIER_IDLE_MS = 20 * 1000, /* an unused connection: QUIT */
	COURIER_PROBE_MS = 20 * 1000 /* the whole of a probe */
};

struct courier;

/* One leg on one connection: which recipients this transaction is for. */
struct carriage {
	struct queue_leg *leg;
	struct gateway *gateway;
	size_t target;                  /* index */
	const char *server;             /* its text */
	size_t rcpts[CLIENT_RCPTS_MAX]; /* indexes in the entry */
	bool is_refused[CLIENT_RCPTS_MAX];
	size_t n_rcpts, n_refused;
};

struct courier_events {
	/* Recipient `i` of the carriage was refused. */
	void (*on_rcpt)(
	    void *arg, const struct carriage *carriage, size_t i, int code, struct span reply);
	void (*on_end)(void *arg, const struct carriage *carriage, const struct client_end *end);
	/* Something about the gateway has changed: a free connection, a server up or down. */
	void (*on_change)(void *arg, struct gateway *g);
	/* A server has said that it can take something else than it was known to. */
	void (*on_ability)(void *arg, struct gateway *g);
	/* A server went down (`why`), came back, became slow beside its peers, or is so no more. */
	void (*on_health)(void *arg, struct gateway *g, const struct target *t,
	    enum target_state state, struct span why);
};

/* What a probe found. */
struct probe {
	bool is_fine;                      /* it greeted and took EHLO */
	char banner[CLIENT_REPLY_MAX + 1]; /* "": it came to none */
	char ehlo[CLIENT_REPLY_MAX + 1];   /* reply to the last EHLO or HELO */
	char why[CLIENT_REPLY_MAX + 1];    /* !is_fine */
	int64_t banner_ms, ready_ms;       /* since the beginning; -1: it came to none */
};

struct courier *courier_new(struct loop *loop, struct spool *spool, const char *hostname,
    const struct courier_events *events, void *arg);
/* Before the first connection, where a gateway has TLS; the trust outlives the courier. */
void courier_use_trust(struct courier *k, struct trust *trust);
void courier_free(struct courier **k); /* after courier_drop of every gateway */
/* Takes the leg (now LEG_ACTIVE) to a target, on an idle connection or a new one.  Its waiting,
 * untried recipients are in it, of which there must be one.  on_end follows, perhaps from inside
 * this call: do not touch the leg afterwards. */
void courier_carry(struct courier *k, struct gateway *g, size_t target, struct queue_leg *leg);
/* Connects to a server that is down, without mail, to see whether it greets again. */
void courier_try(struct courier *k, struct gateway *g, struct target *t);
/* Connects for an admin, whatever is known of the server: greeting, EHLO, QUIT.  What is found
 * counts for its health.  on_done comes once, later or from courier_drop. */
void courier_probe(struct courier *k, struct gateway *g, size_t target,
    void (*on_done)(void *arg, struct gateway *g, size_t target, const struct probe *p), void *arg);
/* QUIT on the idle connections to drained servers; the busy ones follow as they become idle. */
void courier_drained(struct courier *k, struct gateway *g);
/* QUIT on every connection of the gateway as it becomes idle. */
void courier_quit(struct courier *k, struct gateway *g);
void courier_drop(struct courier *k, struct gateway *g); /* at once */
size_t courier_active(const struct courier *k);          /* carriages under way */

#endif

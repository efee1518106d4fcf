/*
 * client.h - one SMTP connection to a gateway (RFC 5321, 2920 PIPELINING, 1870 SIZE, 6152
 * 8BITMIME), driven by the loop and used for one message after another.
 *
 * The gateway is not trusted: every wait has an end, replies are bounded, and whatever is no
 * reply ends the connection.  Message bytes are read piece by piece, never as a whole.  The client
 * decides nothing about retries: it reports what was said, to whom, and how it ended.
 */
#ifndef DELIVER_CLIENT_H
#define DELIVER_CLIENT_H
#include "relay/base/ip.h"
#include "relay/base/loop.h"

enum {
	CLIENT_CONNECT_MS = 30 * 1000,
	CLIENT_GREETING_MS = 60 * 1000, /* banner, EHLO, HELO, RSET */
	CLIENT_ENVELOPE_MS = 60 * 1000, /* each reply to MAIL and RCPT, and to DATA */
	CLIENT_STALL_MS = 180 * 1000,   /* the gateway takes no byte of the body */
	CLIENT_BODY_MS = 3600 * 1000,   /* the whole body, however steadily it trickles */
	CLIENT_FINAL_MS = 600 * 1000,   /* reply to the final dot (RFC 5321 4.5.3.2.6) */
	CLIENT_QUIT_MS = 5 * 1000,
	CLIENT_RCPTS_MAX = 100, /* in one transaction; RFC 5321 4.5.3.1.8 */
	CLIENT_REPLY_MAX = 600  /* bytes of a reply that are passed on */
};

enum client_outcome {
	CLIENT_ACCEPTED,    /* the gateway has it for every recipient not refused by on_rcpt */
	CLIENT_REFUSED,     /* `code` is meant for every recipient not refused by on_rcpt */
	CLIENT_NO_RCPT,     /* every recipient was refused by on_rcpt */
	CLIENT_UNREACHABLE, /* no connection, or no usable greeting */
	CLIENT_LOST,  /* the connection broke before the final dot, or 421: try the next server */
	CLIENT_STALE, /* a reused connection had gone before MAIL was answered: try it afresh */
	CLIENT_UNCERTAIN, /* it broke between the final dot and its reply: perhaps delivered */
	CLIENT_UNREADABLE /* the message could not be read; nothing was delivered */
};

struct client_mail {
	struct span from;         /* without <> */
	const struct span *rcpts; /* 1 to CLIENT_RCPTS_MAX, without <>; valid until the end */
	size_t n_rcpts;
	uint64_t size; /* bytes, CRLF lines, not dot-stuffed */
	bool is_8bit;
	/* Reads n bytes at offset; 0 or a negative error. */
	int (*read)(void *arg, uint64_t offset, void *to, size_t n);
	void *read_arg;
};

struct client_end {
	enum client_outcome outcome;
	int code;          /* of the reply, 0: there was none */
	struct span reply; /* "550 5.7.1 text", or what happened instead; during the call only */
	int64_t waited_ms; /* of CLIENT_ACCEPTED: from the final dot to its reply */
	bool is_over;      /* the connection too: the owner frees the client, now or later */
	bool has_dsn; /* the gateway offers DSN: what was asked for about reports is its task now */
};

struct client_events {
	/* Greeted, or done with the last message: client_send may be called, from in here too. */
	void (*on_ready)(void *arg);
	/* Recipient `i` was refused for now (4xx) or for good (5xx). */
	void (*on_rcpt)(void *arg, size_t i, int code, struct span reply);
	/* The message's end, once for each client_send. */
	void (*on_end)(void *arg, const struct client_end *end);
	/* The connection ended without a message on it; the owner frees the client. */
	void (*on_gone)(void *arg, const struct client_end *end);
	/* Each reply as it comes, the banner first, before what it leads to.  The client may not be
	 * touched from inside.  May be NULL. */
	void (*on_reply)(void *arg, int code, struct span reply);
};

struct client;

/* Starts to connect. `hostname` (for EHLO) stays the caller's.  Never calls back from inside. */
struct client *client_new(struct loop *loop, const struct ip *ip, uint16_t port,
    const char *hostname, const struct client_events *events, void *arg);
/* The same over a connected socket, for tests. */
struct client *client_new_on(
    struct loop *loop, int fd, const char *hostname, const struct client_events *events, void *arg);
void client_free(struct client **c); /* drops the connection; no more calls */
bool client_is_idle(const struct client *c);
bool client_is_fresh(const struct client *c); /* has not sent a message yet */
/* Before on_ready the message waits for the greeting. One at a time. */
void client_send(struct client *c, const struct client_mail *mail);
/* Idle: says QUIT; on_gone follows. Busy: after the message. */
void client_quit(struct client *c);

#endif

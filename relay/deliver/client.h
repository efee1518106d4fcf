/*
 * client.h - one SMTP connection to a gateway (RFC 5321, 2920 PIPELINING, 1870 SIZE, 6152
 * 8BITMIME, 6531 SMTPUTF8, 3461 DSN, 3030 CHUNKING, 3207 STARTTLS), driven by the loop and used
 * for one message after another.
 *
 * The gateway is not trusted: every wait has an end, replies are bounded, and whatever is no
 * reply ends the connection.  Message bytes are read piece by piece, never as a whole.  The client
 * decides nothing about retries: it reports what was said, to whom, and how it ended.
 */
#ifndef DELIVER_CLIENT_H
#define DELIVER_CLIENT_H
#include "policy/config/config.h"
#include "relay/base/loop.h"
#include "relay/smtp/notify.h"
#include "relay/tls/trust.h"

enum {
	CLIENT_BODY_MS = 3600 * 1000, /* the whole body, however steadily it trickles */
	CLIENT_QUIT_MS = 5 * 1000,
	CLIENT_RCPTS_MAX = 100, /* in one transaction; RFC 5321 4.5.3.1.8 */
	CLIENT_REPLY_MAX = 600  /* bytes of a reply that are passed on */
};

/* What pointers lead to stays the caller's, and must outlive the client. */
struct client_options {
	struct ip ip; /* where to */
	uint16_t port;
	const char *hostname;                 /* for EHLO */
	const struct ip *source;              /* to connect from; NULL: the system's choice */
	struct trust_server *trust;           /* NULL: no TLS */
	const struct conf_timeouts *timeouts; /* NULL: conf_timeouts_default */
};

/* What a server has offered. */
enum {
	CLIENT_PIPELINING = 1,
	CLIENT_SIZE = 2,
	CLIENT_8BITMIME = 4,
	CLIENT_SMTPUTF8 = 8,
	CLIENT_DSN = 16,
	CLIENT_CHUNKING = 32,
	CLIENT_STARTTLS = 64
};

struct client_extensions {
	unsigned bits;       /* of the above; 0 before the greeting */
	uint64_t size_limit; /* with CLIENT_SIZE; 0: none said */
	bool is_tls;         /* this was said under TLS */
};

enum client_outcome {
	CLIENT_ACCEPTED, /* the gateway has it, or would take a probe, for every recipient not refused
			  * by on_rcpt */
	CLIENT_REFUSED, /* `code` is meant for every recipient not refused by on_rcpt; ours when the
			     * gateway cannot take such a message (552 5.3.4, 553 5.6.7, 554 5.6.3) */
	CLIENT_NO_RCPT, /* every recipient was refused by on_rcpt */
	CLIENT_UNREACHABLE, /* no connection, no usable greeting, or not the TLS that is asked for */
	CLIENT_LOST, /* the connection broke before the final dot, or 421: try the next server */
	CLIENT_STALE, /* a reused connection had gone before MAIL was answered, or MAIL had a 4xx on it,
		       * whereupon the client quits by itself: try it afresh */
	CLIENT_UNCERTAIN, /* it broke between the final dot and its reply: perhaps delivered */
	CLIENT_UNREADABLE /* the message could not be read; nothing was delivered */
};

struct client_rcpt {
	struct span address; /* without <> */
	unsigned notify;     /* NOTIFY_ bits; 0: not given */
	struct span orcpt;   /* "rfc822;..." as xtext; empty: not given */
};

struct client_mail {
	struct span from;                /* without <> */
	const struct client_rcpt *rcpts; /* 1 to CLIENT_RCPTS_MAX; valid until the end */
	size_t n_rcpts;
	uint64_t size; /* bytes, CRLF lines, not dot-stuffed */
	bool is_probe; /* the recipients are asked for only: no message follows, RSET does */
	bool is_8bit;  /* BODY=8BITMIME was said */
	bool is_utf8;  /* SMTPUTF8 was said */
	enum notify_ret ret;
	struct span envid; /* as xtext; empty: not given */
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

/* Starts to connect.  Never calls back from inside. */
struct client *client_new(struct loop *loop, const struct client_options *options,
    const struct client_events *events, void *arg);
/* The same over a connected socket, for tests. */
struct client *client_new_on(struct loop *loop, int fd, const struct client_options *options,
    const struct client_events *events, void *arg);
void client_free(struct client **c); /* drops the connection; no more calls */
bool client_is_idle(const struct client *c);
bool client_is_fresh(const struct client *c); /* has not sent a message yet */
/* What the server last offered. */
struct client_extensions client_extensions(const struct client *c);
/* Before on_ready the message waits for the greeting. One at a time. */
void client_send(struct client *c, const struct client_mail *mail);
/* Idle: says QUIT; on_gone follows. Busy: after the message. */
void client_quit(struct client *c);

#endif

/*
 * dialogue.h - what the two files of the SMTP client share, and nobody else: client.c has the
 * connection (bytes in and out, time-outs, its end), dialogue.c what is said over it.
 */
#ifndef DELIVER_DIALOGUE_H
#define DELIVER_DIALOGUE_H
#include "relay/base/buf.h"
#include "relay/deliver/client.h"
#include "relay/smtp/reply.h"

enum client_state {
	STATE_CONNECTING,
	STATE_BANNER,
	STATE_EHLO,
	STATE_HELO,
	STATE_STARTTLS,
	STATE_HANDSHAKE,
	STATE_IDLE,
	STATE_ENVELOPE, /* replies to MAIL, each RCPT and (not before BDAT) DATA, in this order */
	STATE_BODY,
	STATE_FINAL,
	STATE_LONE_DOT, /* 354 though nobody was accepted (RFC 2920 section 3.1) */
	STATE_RSET,
	STATE_QUIT
};

struct client {
	struct loop *loop;
	struct watch *watch;
	struct timer *timer;
	int fd;
	struct tls *tls; /* NULL: plain */
	struct client_options options;
	const struct client_events *events;
	void *arg;
	enum client_state state;
	unsigned depth;   /* of our functions that call back: frees wait for the outermost */
	bool is_doomed;   /* client_free was called inside a callback */
	bool is_quitting; /* QUIT as soon as idle */
	struct client_extensions offered;
	unsigned n_sent; /* messages so far, this one included */
	struct smtp_reply reply;
	char said[CLIENT_REPLY_MAX + 1]; /* of the last reply, or of what happened */
	struct buf out;
	/* the message */
	bool has_mail;
	struct client_mail mail;
	size_t n_replies;  /* in STATE_ENVELOPE */
	size_t n_accepted; /* recipients */
	bool is_mail_ok;
	struct client_end end; /* what the message ends with once the dialogue allows */
	char end_reply[CLIENT_REPLY_MAX + 1];
	bool is_chunked; /* it goes by BDAT */
	uint64_t offset; /* of the body */
	bool at_line_start;
	int64_t body_began_ms, body_ended_ms;
};

/*
 * Functions that return bool: false says that the connection is over and the owner has been told;
 * the owner may have freed the client, of which only c->fd (-1 then) may still be looked at.
 */

/* client.c */
void client_finish(struct client *c, enum client_outcome outcome, int code, const char *said);
/* The connection broke; what that means depends on how far the message was. */
void client_lose(struct client *c, int code, const char *said);
/* "`what` while waiting for …" into c->said. */
void client_explain(struct client *c, const char *what);
void client_wait(struct client *c, int64_t ms);
bool client_write(struct client *c); /* as much of c->out as goes */
/* Sends one command or group of commands that stands in c->out, in a new state. */
bool client_command(struct client *c, enum client_state state, int64_t timeout_ms);
void client_start_tls(struct client *c); /* the server waits for our ClientHello */

/* dialogue.c */
bool dialogue_greet(struct client *c); /* EHLO, the first one or the one under TLS */
bool dialogue_begin(struct client *c); /* MAIL of c->mail, and what may go with it */
bool dialogue_body(struct client *c);  /* goes on sending it */
bool dialogue_reply(struct client *c, int code);

#endif

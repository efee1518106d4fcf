/*
 * connection.h - a client's TCP connection: bounded input and output buffers on the event loop, in
 * the clear or, from connection_start_tls on, inside TLS.
 *
 * Knows bytes, not SMTP.  Output is gathered and written once for each batch of input, so that a
 * group of pipelined commands is answered with one write.  Embedded in its owner.
 */
#ifndef FRONT_CONNECTION_H
#define FRONT_CONNECTION_H
#include "relay/base/buf.h"
#include "relay/base/loop.h"
#include "relay/tls/tls.h"

enum {
	CONNECTION_IN_MAX = 128 * 1024,  /* unread input kept for a session */
	CONNECTION_READ = 64 * 1024,     /* one read */
	CONNECTION_OUT_MAX = 256 * 1024, /* a client that reads no replies is dropped at this */
	CONNECTION_LINGER_MS = 5000, /* how long a last reply may take to leave and to be read */
	CONNECTION_LINGER_MAX = 1024 * 1024, /* input dropped meanwhile */
	CONNECTION_HANDSHAKE_MS = 30000,     /* all of it, however often bytes come */
	/* What OpenSSL holds for a connection, measured: inside its handshake, with the longest
	 * ClientHello (TLS_HANDSHAKE_MAX), and behind it. */
	CONNECTION_HANDSHAKE_BYTES = 72 * 1024,
	CONNECTION_TLS_BYTES = 15 * 1024
};

struct connection_events {
	/* Input is in c->in: take what is complete with buf_consume. */
	void (*on_input)(void *arg);
	/* The client has closed, or the network has failed; c is closed when this returns.  A reset
	 * is told while paused too. */
	void (*on_gone)(void *arg);
	/* The time set with connection_expect has passed without input. */
	void (*on_timeout)(void *arg);
	/* All output has left after connection_finish, and the client has closed its side or had time
	 * to; c is closed when this returns. */
	void (*on_finished)(void *arg);
	/* The TLS handshake is done.  One that fails ends in on_gone, one that takes too long in
	 * on_timeout; is_handshaking tells.  NULL for who never starts TLS. */
	void (*on_secure)(void *arg);
};

struct connection {
	struct loop *loop;
	int fd; /* -1: closed */
	struct watch *watch;
	struct timer *timer, *go_on; /* go_on: of a handshake whose signature has come */
	int64_t timeout_ms;
	struct buf in, out; /* no memory while they are empty and the client is silent */
	bool is_paused, is_finishing;
	bool is_all_due; /* input does not give more time */
	bool is_shut;    /* our side is closed: what still comes in is dropped */
	size_t dropped;  /* bytes of it */
	uint64_t held;   /* by in, out and TLS, as the memory budget knows it (content.h) */
	struct tls *tls; /* NULL: in the clear */
	bool is_handshaking, is_slow;
	enum tls_wait read_wait, write_wait; /* of the handshake too: what TLS waits for */
	const struct connection_events *events;
	void *arg;
};

void connection_open(struct connection *c, struct loop *loop, int fd,
    const struct connection_events *events, void *arg); /* takes the fd, which is non-blocking */
void connection_close(struct connection *c);            /* at once; buffers are freed */
void connection_send(struct connection *c, struct span bytes); /* leaves with connection_flush */
void connection_flush(struct connection *c);
/* Whether there is input, read or not, that nobody has taken.  In the clear. */
bool connection_has_spoken(const struct connection *c);
/* No more input is wanted; on_finished when the output has left and the client has closed too, or
 * the linger time is over.  A socket that is closed while input waits resets the connection, and the
 * client may never see our last reply (RFC 9112 section 9.6 says it best): so our side is shut, and
 * what still comes is read and dropped, within bounds. */
void connection_finish(struct connection *c);
/* Stops and resumes reading, for a session that waits for an answer from elsewhere. */
void connection_pause(struct connection *c, bool is_paused);
/* TLS begins when what was sent has left in the clear; input that has come already is dropped, and
 * nothing can be sent until on_secure. */
void connection_start_tls(struct connection *c, struct ssl_ctx_st *ctx);
/* Reads no byte that it has not asked for, so that what follows a first header is left for TLS. */
void connection_read_slowly(struct connection *c, bool is_slow);
/* Each input must come within `timeout_ms`; 0: no limit. */
void connection_expect(struct connection *c, int64_t timeout_ms);
/* All of it must come within that time, until either is called again: a byte now and then is not
 * enough. */
void connection_expect_all(struct connection *c, int64_t timeout_ms);

#endif

/*
 * tls.h - one TLS connection over a non-blocking socket, either side of it, by OpenSSL 3.
 *
 * It owns the SSL object, never the socket, and knows nothing of SMTP.  Contexts (certificates,
 * trust, versions) are made by server.h and trust.h before the sandbox closes and are shared by all
 * connections of a role.  Never blocks; no call raises SIGPIPE.
 */
#ifndef TLS_TLS_H
#define TLS_TLS_H
#include "relay/base/err.h"
#include "relay/base/span.h"
#include <sys/types.h>

struct ssl_ctx_st;
struct ssl_session_st;
struct tls;

enum tls_wait {
	TLS_DONE,
	TLS_WANT_READ,  /* call again when the socket is readable */
	TLS_WANT_WRITE, /* ... writable */
	TLS_WANT_KEY,   /* ... when go_on tells (tls_sign_later) */
	TLS_FAILED      /* tls_why says what; only tls_free is left */
};

/* What a client may send before the handshake is done: OpenSSL would keep a ClientHello of 128 KiB, and
 * an honest one has no more than a few.  More fails. */
enum { TLS_HANDSHAKE_MAX = 16 * 1024 };

/* A connection that begins with our ServerHello (server) or ClientHello; `name` is sent as SNI and,
 * where the context verifies, must be in the certificate (client; an address is never sent). */
struct tls *tls_new_server(struct ssl_ctx_st *ctx, int fd);
struct tls *tls_new_client(struct ssl_ctx_st *ctx, int fd, struct span name);
void tls_free(struct tls **t); /* without a word to the peer */

/*
 * Server, before the handshake: its signature may come later (remote_key.h).  tls_handshake then says
 * TLS_WANT_KEY and is not called until go_on was; that may be from inside anything, so it calls
 * nothing but the loop.  A handshake that waits has a stack of OpenSSL's (async(7), 32 KiB), of which
 * there are TLS_JOBS_MAX at most in the process: others wait for one.
 */
enum { TLS_JOBS_MAX = 64 };
void tls_sign_later(struct tls *t, void (*go_on)(void *arg), void *arg);
size_t tls_jobs(void); /* handshakes that wait for their signature */

/* Client, before the handshake: offers the session in *slot, if there is one, and keeps the newest
 * the server gives there.  `slot` outlives the connection; its owner drops what is in it.  The
 * context must have been given to tls_keep_sessions. */
void tls_use_session(struct tls *t, struct ssl_session_st **slot);
void tls_keep_sessions(struct ssl_ctx_st *ctx);
void tls_session_drop(struct ssl_session_st **slot); /* *slot NULL is fine */

enum tls_wait tls_handshake(struct tls *t);
/* As many bytes as are there at once: > 0; 0 the peer has ended its side (close_notify or, *is_cut,
 * a plain end); -1 with *wait set. */
ssize_t tls_read(struct tls *t, void *to, size_t n, enum tls_wait *wait, bool *is_cut);
/* > 0 taken, -1 with *wait set: then the same bytes (perhaps more) must be given again. */
ssize_t tls_write(struct tls *t, const void *from, size_t n, enum tls_wait *wait);
/* Decrypted bytes that tls_read would give without touching the socket: the owner reads again. */
bool tls_has_pending(const struct tls *t);
void tls_bye(struct tls *t); /* close_notify, if it goes at once */

/* "TLSv1.3", "TLS_AES_256_GCM_SHA384"; empty before the handshake. */
struct span tls_version(const struct tls *t);
struct span tls_cipher(const struct tls *t);
bool tls_is_resumed(const struct tls *t);
/* Why it failed, for a log and a person: "certificate has expired", "wrong version number". */
const char *tls_why(const struct tls *t);

#endif

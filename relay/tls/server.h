/*
 * server.h - what a TLS server shows: certificates chosen by the name the client asks for, versions,
 * ciphers, session tickets.  One context for all connections of a role; a new one when certificates
 * change, while running connections keep theirs.
 *
 * Private keys are elsewhere (remote_key.h).
 */
#ifndef TLS_SERVER_H
#define TLS_SERVER_H
#include "relay/base/err.h"
#include "relay/base/span.h"

struct ssl_ctx_st;
struct tls_tickets;

enum {
	TLS_SERVER_CERTIFICATES_MAX = 16,
	TLS_TICKET_ROTATE_MS =
	    60 * 60 * 1000 /* a key is used that long, and honoured as long again */
};

/* Keys of session tickets: random, in this process only, so that they survive nothing. */
struct tls_tickets *tls_tickets_new(void);
void tls_tickets_free(struct tls_tickets **t); /* after the contexts that use them */

/*
 * `chains`: PEM texts, each a certificate and what signs it.  For the name that the client asks for
 * (SNI) the first one that has it is shown, and beside it one for the same names with the other kind
 * of key (RSA, ECDSA); without a name or a match the first of all.  NULL with `err` when a text is no
 * chain; err names `files[i]`.
 */
struct ssl_ctx_st *tls_server_new(const struct span *chains, const char *const *files, size_t n,
    bool is_13_only, struct tls_tickets *tickets, struct err *err);
/* Connections that use it keep it alive. */
void tls_server_free(struct ssl_ctx_st **ctx);

#endif

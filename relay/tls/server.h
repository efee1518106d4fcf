/*
 * server.h - what a TLS server shows: certificates chosen by the name the client asks for, versions,
 * ciphers, session tickets (tickets.h).  One context for all connections of a role; a new one when certificates
 * change, while running connections keep theirs.
 *
 * Private keys are elsewhere (remote_key.h).
 */
#ifndef TLS_SERVER_H
#define TLS_SERVER_H
#include "relay/base/err.h"
#include "relay/base/span.h"
#include "relay/tls/tickets.h"

enum { TLS_SERVER_CERTIFICATES_MAX = 16 };

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

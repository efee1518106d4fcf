/*
 * trust.h - TLS towards gateways: whose certificates count, and what is remembered of each server.
 *
 * One struct trust for all gateways of a configuration.  It reads authorities, so it is made before
 * the sandbox closes; it lives as long as the role, and its servers live as long as it.  It never
 * connects.
 */
#ifndef TLS_TRUST_H
#define TLS_TRUST_H
#include "policy/config/config.h"
#include "relay/tls/tls.h"

enum {
	TRUST_PLAIN_MS = 10 * 60 * 1000
}; /* tls = "may": how long a failed handshake is remembered */

struct trust;
struct trust_server;

/* `config` must outlive it.  NULL: an authority's file cannot be read; err says which. */
struct trust *trust_new(const struct config *config, struct err *err);
void trust_free(struct trust **t);
/* For servers that are no gateways: a context that takes certificates of these authorities (`ca`
 * NULL: the system's) and no others; tls_server_free frees it.  NULL: err says why. */
struct ssl_ctx_st *trust_verifying(const char *ca, struct err *err);
/* What is known of a server of that configuration; NULL: its gateway has tls = "off". */
struct trust_server *trust_server(struct trust *t, const struct conf_server *server);

/* The gateway's tls, or GATEWAY_TLS_OFF while a failed handshake is remembered. */
enum gateway_tls trust_mode(const struct trust_server *s);
/* A connection over fd, with the server's name, its last session, and the gateway's context. */
struct tls *trust_connect(struct trust_server *s, int fd);
/* A handshake failed: its session is forgotten, and with tls = "may" the server is spared TLS for
 * TRUST_PLAIN_MS, which is logged.  Returns whether it is. */
bool trust_failed(struct trust_server *s, const char *why);

#endif

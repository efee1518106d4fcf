/*
 * server.h - libmicrohttpd on our loop, for one listening socket.
 *
 * HTTP without TLS, so on loopback only; no thread; requests that wait for the supervisor are
 * suspended.  Bodies are not taken: nothing here changes anything.
 */
#ifndef WEB_SERVER_H
#define WEB_SERVER_H
#include "relay/base/err.h"
#include "web/server/site.h"

enum {
	SERVER_CONNECTIONS_MAX = 256,
	SERVER_CONNECTIONS_PER_IP_MAX = 64,
	SERVER_MEMORY_MAX = 32 * 1024, /* of one connection: bounds request line and headers */
	SERVER_TIMEOUT_S = 30          /* of an idle connection */
};

struct server;

/* Takes the listening fd.  NULL and err when libmicrohttpd cannot start. */
struct server *server_new(struct loop *loop, int fd, struct asks *asks, struct err *err);
void server_free(struct server **s); /* closes everything; before asks_free */

#endif

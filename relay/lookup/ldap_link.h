/*
 * ldap_link.h - one LDAP session (RFC 4511) over one connection: TLS, bind, searches side by side.
 *
 * libldap makes and reads the messages; it never connects, never resolves a name, never blocks and
 * never does TLS: the socket is ours and non-blocking, and a layer below libldap (liblber's
 * Sockbuf_IO) passes its bytes through relay/tls.  Left to itself libldap connects, shakes hands
 * and chases referrals synchronously, whatever LDAP_OPT_CONNECT_ASYNC says, and reads files that
 * the sandbox does not have; the other way out, a pool of threads that may block, would need
 * threads in a role that has none.
 *
 * The server is not trusted: a message is at most LDAP_LINK_MESSAGE_MAX, every wait has an end.
 */
#ifndef LOOKUP_LDAP_LINK_H
#define LOOKUP_LDAP_LINK_H
#include "policy/config/config.h"
#include "relay/base/loop.h"
#include "relay/ipc/lookup.h"
#include "relay/tls/tls.h"

enum { LDAP_LINK_MESSAGE_MAX = 65536, LDAP_LINK_WHY_MAX = 200 };

struct ldap_link_events {
	void (*on_ready)(void *arg); /* ldap_link_search may be called, from in here too */
	/* What a search has found, once or twice (an entry, the end): the first one counts.  The link
	 * may not be freed from inside. */
	void (*on_result)(void *arg, int msgid, enum recipient_state state, const char *why);
	/* It is over, with everything that was asked; the owner frees the link, from in here too. */
	void (*on_gone)(void *arg, const char *why);
};

struct ldap_link_options {
	const struct conf_ldap *conf;
	const struct conf_ldap_server *server;
	struct ssl_ctx_st *tls; /* with starttls or ldaps */
	const char *password;   /* with conf->bind */
	int64_t patience_ms;    /* for each step, and for the next result while one is due */
};

struct ldap_link;

/* To be called once before the sandbox closes: libldap reads its environment then, and never a
 * file. */
void ldap_link_prepare(void);
/* Takes the fd, a socket that is connecting or connected.  Never calls back from inside.  What
 * pointers lead to outlives the link. */
struct ldap_link *ldap_link_new(struct loop *loop, int fd, const struct ldap_link_options *options,
    const struct ldap_link_events *events, void *arg);
void ldap_link_free(struct ldap_link **l); /* NULL is fine; no more calls */
bool ldap_link_is_ready(const struct ldap_link *l);
/* For the address, or for anybody whose address ends in it.  The number of the search, > 0; -E_SYNTAX: no such filter; -E_CLOSED: the connection has
 * broken, on_gone follows. */
int ldap_link_search(struct ldap_link *l, struct span address, bool is_ending);

/*
 * The filter with each %s replaced by the address, whose special bytes are escaped (RFC 4515
 * section 3); is_ending: by anything that ends in it.  0, or -E_LIMIT when `to` is full.
 */
int ldap_filter_expand(struct span filter, struct span address, bool is_ending, struct buf *to);

#endif

/*
 * source.h - one question to a source that knows recipients (a directory, a gateway): what
 * verify.c, ldap.c and callout.c share.
 */
#ifndef LOOKUP_SOURCE_H
#define LOOKUP_SOURCE_H
#include "policy/config/config.h"
#include "relay/base/list.h"
#include "relay/base/loop.h"
#include "relay/ipc/lookup.h"

/* The server of a source, by where it was reached: a name may lead to another one tomorrow.  All
 * zeros: none. */
struct source_server {
	struct ip ip;
	uint16_t port;
};

/* Embedded in its owner, who sets the first group; the rest is the source's. */
struct source_query {
	char address[LOOKUP_ADDRESS_MAX + 1];
	const struct conf_domain *domain;
	bool is_ending; /* directories only: does anybody's address end in `address`? */
	/* Called once, from the loop, never from inside *_ask; `why` is one printable line, valid
	 * during the call. */
	void (*on_answer)(struct source_query *q, enum recipient_state state, const char *why);
	void *arg;

	bool takes_all; /* with the answer: the source was found to say yes to everybody */
	struct source_server server; /* with the answer: whose it is; not with RECIPIENT_UNKNOWN */
	struct list node;
	struct timer *deadline;
	void *source; /* who has it; NULL: nobody */
	int msgid;    /* ldap: of the search; 0: it waits */
};

/* Something an admin must know of a source: as role_problem takes it, do_this NULL when over.  All
 * zeros: nobody wants to. */
struct source_report {
	void (*report)(void *arg, const char *name, const char *what, const char *do_this);
	void *arg;
};

static inline bool
source_server_eq(const struct source_server *a, const struct source_server *b)
{
	return a->port == b->port && ip_eq(&a->ip, &b->ip);
}

static inline void
source_tell(const struct source_report *to, const char *name, const char *what, const char *do_this)
{
	if (to->report != NULL)
		to->report(to->arg, name, what, do_this);
}

#endif

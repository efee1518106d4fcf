/*
 * ldap.h - a directory of the configuration (`ldap "NAME"`): asked over one connection that stays
 * open, from whichever of its servers answers.
 *
 * One connection is enough: LDAP numbers its messages, and searches go side by side.  When it
 * breaks or falls silent the next server is asked the same questions; when all have failed, what
 * waits is answered RECIPIENT_UNKNOWN and nobody is connected to for LDAP_REST_MS.
 */
#ifndef LOOKUP_LDAP_H
#define LOOKUP_LDAP_H
#include "relay/lookup/resolver.h"
#include "relay/lookup/source.h"

enum {
	LDAP_REST_MS = 1000,
	LDAP_PASSWORD_MAX = 1024, /* bytes */
	LDAP_ASKED_MAX = 100      /* searches at a time; the others wait */
};

struct ldap_source;

/* Reads password and authorities: before the sandbox closes.  `conf` must outlive it.  NULL: err
 * says what is wrong with which file. */
struct ldap_source *ldap_source_new(
    struct loop *loop, struct resolver *resolver, const struct conf_ldap *conf, struct err *err);
void ldap_source_free(struct ldap_source **s); /* questions under way are dropped */
void ldap_source_ask(struct ldap_source *s, struct source_query *q);

#endif

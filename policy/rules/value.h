/*
 * value.h - one value of a rule or of a list file: an exact text, a network, a domain, or a domain
 * and everything below it.  Globs, regexes and lists are the matcher's (matcher.h).
 *
 * Reading points into the text given; comparing ignores ASCII case.
 */
#ifndef RULES_VALUE_H
#define RULES_VALUE_H
#include "policy/rules/rules.h"

enum { VALUE_TEXT_MAX = 1000 }; /* bytes of one value */

/* What a facet's values are. */
enum value_kind {
	VALUE_NET,     /* client */
	VALUE_NAME,    /* host, helo */
	VALUE_ADDRESS, /* from, to */
	VALUE_COUNTRY, /* country */
	VALUE_ASN,     /* asn */
	VALUE_TLS,     /* tls */
	VALUE_TEXT     /* subject, header, body, attachment, attachment-type */
};

enum value_form {
	VALUE_EXACT,
	VALUE_CIDR,
	VALUE_DOMAIN, /* the address's domain is exactly this */
	VALUE_BELOW   /* the name, or the address's domain, is this or below it */
};

struct value {
	enum value_form form;
	struct span text;
	struct net net; /* VALUE_CIDR */
};

enum value_kind value_kind_of(enum facet facet);
/* 0, or -E_SYNTAX with what would be right. */
int value_read(struct span text, enum value_kind kind, struct value *out, struct err *err);

/* What stands behind the last @; all of it when there is none. */
struct span value_domain(struct span address);
bool value_is_below(struct span name, struct span domain);
/* A fact as it is compared: names without the dot at their end. */
struct span value_fact(struct span fact, enum value_kind kind);

#endif

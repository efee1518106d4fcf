/*
 * address.h - mail addresses and host names on the wire (RFC 5321 section 4.1.2, RFC 6531 section
 * 3.3), and xtext.  Pure.
 *
 * Characters beyond ASCII are well-formed UTF-8 or the address is none; whether they may stand here
 * (SMTPUTF8 was said) is for the caller to say.
 */
#ifndef SMTP_ADDRESS_H
#define SMTP_ADDRESS_H
#include "relay/base/err.h"
#include "relay/base/span.h"

enum {
	SMTP_PATH_MAX = 320, /* address without <>: local part 64, @, domain 255 */
	SMTP_HELO_MAX = 255
};

/* 0, -E_SYNTAX: no Mailbox, or -E_LIMIT: over the limits (64, 255, SMTP_PATH_MAX).  Quoted local
 * parts and address literals are fine. */
int smtp_address_check(struct span address);
bool smtp_address_is_valid(struct span address);
/* Part after the last @, empty when there is none. */
struct span smtp_address_domain(struct span address);
/* Holds bytes beyond ASCII, an address or any other text: needs SMTPUTF8. */
bool smtp_address_is_utf8(struct span address);
/*
 * The address with its domain in the one form that everything behind knows: U-labels become A-labels
 * ("xn--…", IDNA2008 as of UTS 46, non-transitional), the rest stays as it is.  `to` has room for
 * SMTP_PATH_MAX bytes.  0, -E_SYNTAX: no domain name by IDNA, -E_LIMIT: too long now.
 */
int smtp_address_normalise(struct span address, char to[SMTP_PATH_MAX], size_t *n);
/* Bytes of the ASCII name (labels of letters, digits and inner hyphens) that s begins with, 0: none. */
size_t smtp_domain_prefix(struct span s);
/* An ASCII name; an address literal is none. */
bool smtp_domain_is_valid(struct span domain);
/* EHLO/HELO argument: domain or address literal, leniently: printable ASCII without blanks. */
bool smtp_helo_is_valid(struct span name);
/* xtext of RFC 3461 section 4; false on bad escapes or when it does not fit. */
bool smtp_xtext_decode(struct span value, char *to, size_t size, size_t *n);

#endif

/*
 * domain.h - what a list of domains (RFC 5782 section 3) is asked for: host names, the domains that
 * somebody has registered, and addresses as they are written in URLs.
 *
 * Pure but for the public suffix list, which is libpsl's: the one it was built with, or a newer one
 * that domain_prepare has read.
 */
#ifndef DNSBL_DOMAIN_H
#define DNSBL_DOMAIN_H
#include "relay/base/ip.h"

enum { DOMAIN_NAME_MAX = 253, DOMAIN_LABEL_MAX = 63 };

/* Takes the system's public suffix list (Debian's package publicsuffix) where it is the newer one.
 * Reads files: before the sandbox closes, once.  Not needed. */
void domain_prepare(void);
/*
 * The part of `name` that is a host name worth asking for: at least two labels of letters, digits,
 * '-' and '_', the last one no number, without the dot at the end.  Empty: none.
 */
struct span domain_host(struct span name);
/* The part of a host name that somebody has registered, "example.co.uk" of "www.example.co.uk".  Empty:
 * it is no host name, or others register below it ("co.uk"). */
struct span domain_registrable(struct span name);
/* An address as a URL's host, however browsers let it be written: 192.0.2.1, 3221225985, 0xc0.0.0x201,
 * [2001:db8::1]. */
bool domain_address(struct span host, struct ip *ip);

#endif

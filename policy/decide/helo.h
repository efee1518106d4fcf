/*
 * helo.h - what is wrong with the name a client says at HELO or EHLO (RFC 5321 section 4.1.1.1).
 *
 * Pure, and asks nobody: only what the name itself shows.
 */
#ifndef DECIDE_HELO_H
#define DECIDE_HELO_H
#include "relay/base/ip.h"

enum helo_fault {
	HELO_FINE,
	HELO_OWN,     /* our own name */
	HELO_IP,      /* an address without its brackets */
	HELO_LITERAL, /* [an address] that is not the client's, or none at all */
	HELO_NAME     /* no full host name: one word, or characters that no host name has */
};

enum helo_fault helo_fault_of(struct span helo, const struct ip *client, const char *hostname);
/* "helo-own": the tag it is marked with.  Not for HELO_FINE. */
struct span helo_fault_tag(enum helo_fault fault);
const char *helo_fault_text(enum helo_fault fault);

#endif

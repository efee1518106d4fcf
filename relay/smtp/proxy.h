/*
 * proxy.h - the header with which a load balancer says whose connection it forwards: the PROXY
 * protocol, versions 1 and 2 (haproxy's proxy-protocol.txt).  Pure; any split gives the same.
 *
 * Whether a peer may say so at all is for the caller to know.
 */
#ifndef SMTP_PROXY_H
#define SMTP_PROXY_H
#include "relay/base/err.h"
#include "relay/base/ip.h"

enum {
	PROXY_V1_MAX = 107,  /* a line with its CRLF */
	PROXY_V2_MAX = 4096, /* addresses and TLVs; more is refused, though the format has room */
	PROXY_HEADER_MAX = 16 + PROXY_V2_MAX
};

struct proxy_header {
	bool has_client; /* false: LOCAL or UNKNOWN, the balancer speaks for itself */
	struct ip client, local;
	uint16_t client_port, local_port;
};

/* Looks at the start of a connection's input.  1: the header is whole, *used its bytes; 0: more is
 * needed; -E_SYNTAX: it is none; -E_LIMIT: too long.  TLVs are skipped. */
int proxy_parse(struct span input, struct proxy_header *out, size_t *used);

#endif

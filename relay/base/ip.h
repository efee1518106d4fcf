/*
 * ip.h - IP addresses and networks as values.  IPv4 is kept as ::ffff:a.b.c.d (RFC 4291
 * section 2.5.5.2) and is IPv4 everywhere: printed, matched and looked up as such.
 */
#ifndef BASE_IP_H
#define BASE_IP_H
#include "relay/base/buf.h"

#include <netinet/in.h>
#include <sys/socket.h>

enum { IP_TEXT_MAX = 46, NET_TEXT_MAX = 50 };

struct ip {
	uint8_t bytes[16];
};

struct net {
	struct ip base;
	uint8_t bits; /* 0 to 128; IPv4 /n is stored as 96 + n */
};

bool ip_parse(
    struct span text, struct ip *out); /* "192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1" */
bool ip_is_v4(const struct ip *ip);
bool ip_is_loopback(const struct ip *ip);
bool ip_eq(const struct ip *a, const struct ip *b);
/* NUL-terminated text into `to`; returns it as a span. */
struct span ip_format(const struct ip *ip, char to[IP_TEXT_MAX]);
/* The name a DNSBL or reverse zone is asked with, without the zone: "2.0.0.127" or 32 nibbles
 * divided by dots (RFC 5782). */
int ip_add_reversed(struct buf *to, const struct ip *ip);
bool ip_from_sockaddr(const struct sockaddr_storage *sa, struct ip *out, uint16_t *port);
socklen_t ip_to_sockaddr(const struct ip *ip, uint16_t port, struct sockaddr_storage *sa);

bool net_parse(
    struct span text, struct net *out); /* CIDR or a single address; host bits must be 0 */
bool net_has(const struct net *net, const struct ip *ip);
/* The address with all behind the first v4_bits (IPv4) or v6_bits set to 0: what one client has. */
struct ip ip_network(const struct ip *ip, uint8_t v4_bits, uint8_t v6_bits);
struct span net_format(const struct net *net, char to[NET_TEXT_MAX]);

/* "ADDRESS:PORT" or "[ADDRESS]:PORT". */
bool ip_parse_with_port(struct span text, struct ip *out, uint16_t *port);

#endif

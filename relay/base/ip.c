#include "relay/base/ip.h"

#include <arpa/inet.h>
#include <stdio.h>

static const uint8_t v4_prefix[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

bool
ip_parse(struct span text, struct ip *out)
{
	char copy[IP_TEXT_MAX];

	if (text.n == 0 || memchr(text.p, '\0', text.n) != NULL ||
	    !span_copy(text, copy, sizeof(copy)))
		return false;
	if (inet_pton(AF_INET, copy, out->bytes + 12) == 1) {
		memcpy(out->bytes, v4_prefix, sizeof(v4_prefix));
		return true;
	}
	return inet_pton(AF_INET6, copy, out->bytes) == 1;
}

bool
ip_is_v4(const struct ip *ip)
{
	return memcmp(ip->bytes, v4_prefix, sizeof(v4_prefix)) == 0;
}

bool
ip_is_loopback(const struct ip *ip)
{
	static const struct ip one = {.bytes = {[15] = 1}};

	return ip_is_v4(ip) ? ip->bytes[12] == 127 : ip_eq(ip, &one);
}

bool
ip_eq(const struct ip *a, const struct ip *b)
{
	return memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0;
}

struct span
ip_format(const struct ip *ip, char to[IP_TEXT_MAX])
{
	if (ip_is_v4(ip))
		(void)inet_ntop(AF_INET, ip->bytes + 12, to, IP_TEXT_MAX); /* fits by definition */
	else
		(void)inet_ntop(AF_INET6, ip->bytes, to, IP_TEXT_MAX);
	return span_str(to);
}

int
ip_add_reversed(struct buf *to, const struct ip *ip)
{
	if (ip_is_v4(ip))
		return buf_addf(
		    to, "%u.%u.%u.%u", ip->bytes[15], ip->bytes[14], ip->bytes[13], ip->bytes[12]);
	for (int i = 15; i >= 0; i--)
		(void)buf_addf(to, "%x.%x%s", ip->bytes[i] & 15, ip->bytes[i] >> 4, i ? "." : "");
	return to->failed ? -1 : 0;
}

bool
ip_from_sockaddr(const struct sockaddr_storage *sa, struct ip *out, uint16_t *port)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	if (sa->ss_family == AF_INET) {
		memcpy(&v4, sa, sizeof(v4));
		memcpy(out->bytes, v4_prefix, sizeof(v4_prefix));
		memcpy(out->bytes + 12, &v4.sin_addr, 4);
		*port = ntohs(v4.sin_port);
		return true;
	}
	if (sa->ss_family == AF_INET6) {
		memcpy(&v6, sa, sizeof(v6));
		memcpy(out->bytes, &v6.sin6_addr, 16);
		*port = ntohs(v6.sin6_port);
		return true;
	}
	return false;
}

socklen_t
ip_to_sockaddr(const struct ip *ip, uint16_t port, struct sockaddr_storage *sa)
{
	memset(sa, 0, sizeof(*sa));
	if (ip_is_v4(ip)) {
		struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(port)};

		memcpy(&v4.sin_addr, ip->bytes + 12, 4);
		memcpy(sa, &v4, sizeof(v4));
		return sizeof(v4);
	}
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

	memcpy(&v6.sin6_addr, ip->bytes, 16);
	memcpy(sa, &v6, sizeof(v6));
	return sizeof(v6);
}

static bool
has_bits_after(const struct ip *ip, unsigned bits)
{
	for (unsigned i = bits; i < 128; i++)
		if (ip->bytes[i / 8] & (0x80 >> (i % 8)))
			return true;
	return false;
}

bool
net_parse(struct span text, struct net *out)
{
	struct span address = span_cut(&text, '/');
	uint64_t bits = 0;
	bool is_v4;

	if (!ip_parse(address, &out->base))
		return false;
	is_v4 = ip_is_v4(&out->base) && span_find(address, ':') == address.n;
	out->bits = 128;
	if (text.n == 0)
		return address.p + address.n == text.p || text.p == NULL;
	if (!span_to_u64(text, &bits) || bits > (is_v4 ? 32 : 128))
		return false;
	out->bits = (uint8_t)(is_v4 ? 96 + bits : bits);
	return !has_bits_after(&out->base, out->bits);
}

struct ip
ip_network(const struct ip *ip, uint8_t v4_bits, uint8_t v6_bits)
{
	struct ip out = *ip;
	unsigned bits = ip_is_v4(ip) ? 96U + v4_bits : v6_bits;

	for (unsigned i = 0; i < sizeof(out.bytes); i++)
		if (i * 8 >= bits)
			out.bytes[i] = 0;
		else if (bits - i * 8 < 8)
			out.bytes[i] &= (uint8_t)(0xff << (8 - (bits - i * 8)));
	return out;
}

bool
net_has(const struct net *net, const struct ip *ip)
{
	unsigned whole = net->bits / 8, rest = net->bits % 8;

	/* Ours to write IPv4 as ::ffff:a.b.c.d: ::/0 is all of IPv6, and nothing else. */
	if (net->bits < sizeof(v4_prefix) * 8 && ip_is_v4(ip))
		return false;
	if (memcmp(net->base.bytes, ip->bytes, whole) != 0)
		return false;
	return rest == 0 ||
	       ((net->base.bytes[whole] ^ ip->bytes[whole]) & (0xff00 >> rest) & 0xff) == 0;
}

struct span
net_format(const struct net *net, char to[NET_TEXT_MAX])
{
	char address[IP_TEXT_MAX];
	bool is_v4 = ip_is_v4(&net->base) && net->bits >= 96;

	(void)ip_format(&net->base, address); /* fits */
	if (net->bits == 128)
		(void)snprintf(to, NET_TEXT_MAX, "%s", address);
	else
		(void)snprintf(to, NET_TEXT_MAX, "%s/%u", address,
		    is_v4 ? net->bits - 96u : (unsigned)net->bits);
	return span_str(to);
}

bool
ip_parse_with_port(struct span text, struct ip *out, uint16_t *port)
{
	size_t colon = span_rfind(text, ':');
	struct span host = span_take(text, colon), digits = span_skip(text, colon + 1);
	uint64_t value;

	if (colon == text.n || !span_to_u64(digits, &value) || value == 0 || value > 65535)
		return false;
	if (host.n >= 2 && host.p[0] == '[' && host.p[host.n - 1] == ']')
		host = span_of(host.p + 1, host.n - 2);
	else if (span_find(host, ':') != host.n)
		return false;
	*port = (uint16_t)value;
	return ip_parse(host, out);
}

#include "relay/smtp/proxy.h"

#define SIGNATURE SPAN("\r\n\r\n\0\r\nQUIT\n")
#define V1_START  SPAN("PROXY ")

enum {
	V2_HEAD = 16,
	V2_LOCAL = 0x20,
	V2_PROXY = 0x21,
	V2_UNSPEC = 0x00,
	V2_TCP4 = 0x11,
	V2_TCP6 = 0x21,
	V2_TCP4_BYTES = 12,
	V2_TCP6_BYTES = 36
};

/* Whether the input begins as `start` does, as far as it has come. */
static bool
may_begin_with(struct span input, struct span start)
{
	return span_starts(input, span_take(start, input.n));
}

static unsigned
u16_at(struct span s, size_t at)
{
	return (unsigned)((unsigned char)s.p[at] << 8 | (unsigned char)s.p[at + 1]);
}

static struct ip
v4_at(struct span s, size_t at)
{
	struct ip ip = {.bytes = {[10] = 0xff, [11] = 0xff}};

	memcpy(ip.bytes + 12, s.p + at, 4);
	return ip;
}

static struct ip
v6_at(struct span s, size_t at)
{
	struct ip ip;

	memcpy(ip.bytes, s.p + at, sizeof(ip.bytes));
	return ip;
}

static int
read_v2_addresses(unsigned family, struct span body, struct proxy_header *out)
{
	if (family == V2_TCP4 && body.n >= V2_TCP4_BYTES) {
		out->client = v4_at(body, 0);
		out->local = v4_at(body, 4);
		out->client_port = (uint16_t)u16_at(body, 8);
		out->local_port = (uint16_t)u16_at(body, 10);
	} else if (family == V2_TCP6 && body.n >= V2_TCP6_BYTES) {
		out->client = v6_at(body, 0);
		out->local = v6_at(body, 16);
		out->client_port = (uint16_t)u16_at(body, 32);
		out->local_port = (uint16_t)u16_at(body, 34);
	} else {
		return -E_SYNTAX;
	}
	out->has_client = true;
	return 1;
}

static int
parse_v2(struct span input, struct proxy_header *out, size_t *used)
{
	unsigned command, family;
	size_t length;

	if (input.n < V2_HEAD)
		return 0;
	command = (unsigned char)input.p[12];
	family = (unsigned char)input.p[13];
	length = u16_at(input, 14);
	if (command != V2_LOCAL && command != V2_PROXY)
		return -E_SYNTAX;
	if (length > PROXY_V2_MAX)
		return -E_LIMIT;
	if (input.n < V2_HEAD + length)
		return 0;
	*used = V2_HEAD + length;
	if (command == V2_LOCAL || family == V2_UNSPEC)
		return 1;
	return read_v2_addresses(family, span_of(input.p + V2_HEAD, length), out);
}

static bool
read_port(struct span word, uint16_t *port)
{
	uint64_t n;

	if (word.n == 0 || word.n > 5 || (word.n > 1 && word.p[0] == '0') ||
	    !span_to_u64(word, &n) || n > UINT16_MAX)
		return false;
	*port = (uint16_t)n;
	return true;
}

static bool
read_address(struct span word, bool is_v4, struct ip *ip)
{
	return ip_parse(word, ip) && (span_find(word, ':') == word.n) == is_v4;
}

/* "TCP4 192.0.2.1 198.51.100.2 56324 25", without PROXY and CRLF. */
static int
read_v1(struct span line, struct proxy_header *out)
{
	struct span protocol = span_cut(&line, ' '), client, local, client_port;
	bool is_v4 = span_eq(protocol, SPAN("TCP4"));

	if (span_eq(protocol, SPAN("UNKNOWN")))
		return 1; /* and whatever stands behind it */
	client = span_cut(&line, ' ');
	local = span_cut(&line, ' ');
	client_port = span_cut(&line, ' ');
	if ((!is_v4 && !span_eq(protocol, SPAN("TCP6"))) ||
	    !read_address(client, is_v4, &out->client) ||
	    !read_address(local, is_v4, &out->local) ||
	    !read_port(client_port, &out->client_port) || !read_port(line, &out->local_port))
		return -E_SYNTAX;
	out->has_client = true;
	return 1;
}

static int
parse_v1(struct span input, struct proxy_header *out, size_t *used)
{
	struct span window = span_take(input, PROXY_V1_MAX);
	size_t lf = span_find(window, '\n');

	if (lf == window.n)
		return window.n == PROXY_V1_MAX ? -E_LIMIT : 0;
	if (lf < V1_START.n + 1 || window.p[lf - 1] != '\r')
		return -E_SYNTAX;
	*used = lf + 1;
	return read_v1(span_of(window.p + V1_START.n, lf - 1 - V1_START.n), out);
}

int
proxy_parse(struct span input, struct proxy_header *out, size_t *used)
{
	*out = (struct proxy_header){0};
	*used = 0;
	if (input.n == 0)
		return 0;
	if (may_begin_with(input, SIGNATURE))
		return parse_v2(input, out, used);
	if (!may_begin_with(input, V1_START))
		return -E_SYNTAX;
	return parse_v1(input, out, used);
}

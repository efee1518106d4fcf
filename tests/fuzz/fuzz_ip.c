/* Addresses and networks: what is read is written as a text that is read as the same value. */
#include "relay/base/err.h"
#include "relay/base/ip.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_ip(struct span in)
{
	struct buf name = BUF_INIT(63);
	struct sockaddr_storage sa;
	char text[IP_TEXT_MAX];
	struct ip ip, again;
	uint16_t port;

	if (!ip_parse(in, &ip))
		return;
	must(ip_parse(ip_format(&ip, text), &again) && ip_eq(&ip, &again));
	(void)ip_to_sockaddr(&ip, 25, &sa); /* its length is not needed */
	must(ip_from_sockaddr(&sa, &again, &port) && ip_eq(&ip, &again) && port == 25);
	must(ip_add_reversed(&name, &ip) == 0);
	buf_free(&name);
}

static void
check_net(struct span in)
{
	char text[NET_TEXT_MAX];
	struct net net, again;

	if (!net_parse(in, &net))
		return;
	must(net.bits <= 128 && net_has(&net, &net.base));
	must(net_parse(net_format(&net, text), &again));
	must(ip_eq(&net.base, &again.base) && net.bits == again.bits);
	if (net.bits > 0) { /* the last bit that counts, turned over, is outside */
		again.base.bytes[(net.bits - 1) / 8] ^= (uint8_t)(0x80 >> ((net.bits - 1) % 8));
		must(!net_has(&net, &again.base));
	}
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span in = span_of(data, size);
	uint16_t port;
	struct ip ip;

	check_ip(in);
	check_net(in);
	must(!ip_parse_with_port(in, &ip, &port) || port > 0);
	return 0;
}

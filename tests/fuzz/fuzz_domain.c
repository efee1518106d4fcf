/*
 * A host as it stands in a URL or an address: what lists of domains are asked for is a part of it and a
 * name that may be asked for, and an address is read the same again.
 */
#include "policy/dnsbl/domain.h"
#include "relay/base/err.h"
#include "relay/lookup/packet.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool
is_inside(struct span part, struct span all)
{
	return part.p >= all.p && part.p + part.n <= all.p + all.n;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text = span_of(data, size), host = domain_host(text);
	struct span name = domain_registrable(text);
	char room[IP_TEXT_MAX];
	struct ip ip, again;

	must(host.n == 0 || (is_inside(host, text) && packet_name_is_askable(host)));
	must(name.n == 0 || (is_inside(name, host) && name.p + name.n == host.p + host.n));
	must(name.n == 0 || span_eq(domain_registrable(name), name));
	if (domain_address(text, &ip)) {
		struct span said = ip_format(&ip, room);

		must(host.n == 0 && ip_parse(said, &again) && ip_eq(&ip, &again));
		must(!ip_is_v4(&ip) || (domain_address(said, &again) && ip_eq(&ip, &again)));
	}
	return 0;
}

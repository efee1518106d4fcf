/* fuzz_smtp_proxy.c - a PROXY header is the same however it is cut, and never longer than it may be. */
#include "relay/smtp/proxy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span input = span_of(data, size);
	struct proxy_header whole, cut;
	size_t used, cut_used = 0, n = 0;
	int status = proxy_parse(input, &whole, &used), cut_status = 0;

	must(status == 1 || status == 0 || status == -E_SYNTAX || status == -E_LIMIT);
	must(used <= size && used <= PROXY_HEADER_MAX);
	must(status != 0 || size < PROXY_HEADER_MAX);
	while (n < size && cut_status == 0)
		cut_status = proxy_parse(span_take(input, ++n), &cut, &cut_used);
	if (size == 0)
		return 0;
	must(cut_status == status);
	if (status != 1)
		return 0;
	must(cut_used == used && n == used && cut.has_client == whole.has_client);
	if (whole.has_client)
		must(ip_eq(&cut.client, &whole.client) && ip_eq(&cut.local, &whole.local) &&
		     cut.client_port == whole.client_port && cut.local_port == whole.local_port);
	return 0;
}

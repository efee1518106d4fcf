/* The first byte chooses type and name, the rest is the packet. */
#include "relay/base/err.h"
#include "relay/lookup/packet.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct span names[] = {
	    {"a.b", 3}, {"2.0.0.127.bl.test", 17}, {"www.example", 11}};
	static struct dns_answer a;
	struct dns_question q;
	int rc;

	if (n == 0)
		return 0;
	q.type = data[0] & 0x80 ? DNS_MX : (enum dns_type)(data[0] % 3);
	q.name = names[(data[0] & 0x7f) / 3 % 3];
	rc = packet_read(span_of(data + 1, n - 1), &q, &a);
	must(rc == 0 || a.status == DNS_FAILED);
	must(
	    a.status == DNS_FOUND ? a.n_addresses + a.n_names > 0 : a.n_addresses + a.n_names == 0);
	must(a.n_addresses <= LOOKUP_RECORDS_MAX);
	for (size_t i = 0; i < a.n_names; i++)
		must(strnlen(a.names[i], LOOKUP_NAME_MAX + 1) <= LOOKUP_NAME_MAX &&
		     (packet_name_is_askable(span_str(a.names[i])) ||
			 (q.type == DNS_MX && strcmp(a.names[i], ".") == 0)));
	must(a.status == DNS_NONE || !a.is_nxdomain);
	return 0;
}

#include "relay/front/host_lookup.h"

static void
done(struct host_lookup *h, struct span host, bool is_known)
{
	host_lookup_cancel(h);
	h->on_done(h, host, is_known);
}

static void
on_address(struct dns_request *r, const struct dns_answer *a)
{
	struct host_lookup *h = r->arg;

	for (size_t i = 0; a->status == DNS_FOUND && i < a->n_addresses; i++)
		if (ip_eq(&a->addresses[i], &h->client)) {
			done(h, span_str(h->names[r->index]), true);
			return;
		}
	if (--h->n_waiting == 0)
		done(h, (struct span){0}, a->status == DNS_FOUND || a->status == DNS_NONE);
}

static void
on_names(struct dns_request *r, const struct dns_answer *a)
{
	struct host_lookup *h = r->arg;
	size_t n = a->status == DNS_FOUND ? a->n_names : 0;

	if (n == 0) {
		done(h, (struct span){0}, a->status == DNS_FOUND || a->status == DNS_NONE);
		return;
	}
	h->n_waiting = n < HOST_NAMES_MAX ? n : HOST_NAMES_MAX;
	for (size_t i = 0; i < h->n_waiting; i++) {
		struct dns_question q = {
		    .type = ip_is_v4(&h->client) ? DNS_A : DNS_AAAA, .timeout_ms = h->timeout_ms};

		(void)span_copy(
		    span_str(a->names[i]), h->names[i], sizeof(h->names[i])); /* as long */
		q.name = span_str(h->names[i]);
		h->addresses[i] =
		    (struct dns_request){.on_answer = on_address, .arg = h, .index = i};
		dns_ask(h->dns, &h->addresses[i], &q);
	}
}

void
host_lookup_start(
    struct host_lookup *h, struct dns_client *dns, const struct ip *client, uint32_t timeout_ms)
{
	struct buf name = BUF_INIT(LOOKUP_NAME_MAX);
	struct dns_question q = {.type = DNS_PTR, .timeout_ms = timeout_ms};

	h->client = *client;
	h->dns = dns;
	h->timeout_ms = timeout_ms;
	h->ptr = (struct dns_request){.on_answer = on_names, .arg = h};
	/* 32 nibbles, their dots and the zone are far below the maximum. */
	(void)ip_add_reversed(&name, client);
	(void)buf_add_str(&name, ip_is_v4(client) ? ".in-addr.arpa" : ".ip6.arpa");
	q.name = buf_span(&name);
	dns_ask(dns, &h->ptr, &q);
	buf_free(&name);
}

void
host_lookup_cancel(struct host_lookup *h)
{
	dns_cancel(&h->ptr);
	for (size_t i = 0; i < HOST_NAMES_MAX; i++)
		dns_cancel(&h->addresses[i]);
	h->n_waiting = 0;
}

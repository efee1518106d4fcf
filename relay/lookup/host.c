#include "relay/lookup/host.h"
#include "relay/base/err.h"

static void ask(struct host_search *h, enum dns_type type);

static void
on_soon(void *arg)
{
	struct host_search *h = arg;
	struct host_memory *m = h->memory;

	if (h->n_found > 0) {
		m->n_found = h->n_found;
		memcpy(m->found, h->found, sizeof(m->found));
	}
	h->on_done(h->arg, m->found, m->n_found);
}

static void
take(struct host_search *h, enum dns_type type, const struct dns_answer *a)
{
	for (size_t i = 0; a->status == DNS_FOUND && i < a->n_addresses; i++)
		if (h->n_found < HOST_ADDRESSES_MAX)
			h->found[h->n_found++] = a->addresses[i];
	if (h->n_found == 0 && type == DNS_A)
		ask(h, DNS_AAAA);
	else
		loop_timer(h->loop, &h->soon, 0, on_soon, h); /* resolver_ask may call inside */
}

static void
on_ipv4(void *arg, const struct dns_answer *a)
{
	struct host_search *h = arg;

	h->waiter = NULL; /* it ends with this call */
	take(h, DNS_A, a);
}

static void
on_ipv6(void *arg, const struct dns_answer *a)
{
	struct host_search *h = arg;

	h->waiter = NULL; /* it ends with this call */
	take(h, DNS_AAAA, a);
}

static void
ask(struct host_search *h, enum dns_type type)
{
	struct dns_question q = {.type = type,
	    .name = span_str(h->name),
	    .timeout_ms = h->timeout_ms,
	    .is_fresh = h->is_fresh};
	struct waiter *w = resolver_ask(h->resolver, &q, type == DNS_A ? on_ipv4 : on_ipv6, h);

	if (w != NULL) /* else it has been answered, and the next one may be under way */
		h->waiter = w;
}

void
host_search_start(struct host_search *h, struct loop *loop, struct resolver *r, struct span name,
    uint32_t timeout_ms, bool is_fresh, struct host_memory *memory)
{
	h->is_fresh = is_fresh;
	h->memory = memory;
	h->loop = loop;
	h->resolver = r;
	h->timeout_ms = timeout_ms;
	h->n_found = 0;
	must(span_copy(name, h->name, sizeof(h->name))); /* config_parse has bounded it */
	ask(h, DNS_A);
}

void
host_search_cancel(struct host_search *h)
{
	resolver_cancel(&h->waiter);
	timer_cancel(&h->soon);
}

/* explain_names.c - the questions about names that the live walk asks in relay/walk/inquire.c. */
#include "relay/command/explain.h"
#include "relay/front/sender_lookup.h"
#include "relay/smtp/address.h"
#include "relay/walk/domain_round.h"

enum { ROUNDS = LIST_OF_URL + 1 };

static void
on_done(void *arg)
{
	struct explanation *e = arg;

	if (--e->n_waiting == 0)
		loop_stop(e->loop);
}

static struct domain_round *
ask_lists(struct explanation *e, enum list_of of, const struct span *hosts, size_t n_hosts)
{
	const struct domain_round_about about = {
	    .loop = e->loop, .dns = e->dns, .snapshot = e->snapshot, .conf = &e->config->dns};
	struct domain_round *r = NULL;

	if ((e->flow->connect & CONNECT_DNSBL) && n_hosts > 0 && hosts[0].n > 0)
		r = domain_round_start(&about, of, hosts, n_hosts, on_done, e);
	e->n_waiting += r != NULL;
	return r;
}

static void
take_lists(struct explanation *e, struct domain_round **r)
{
	if (*r == NULL)
		return;
	domain_round_take(*r, e->answers);
	e->lacks_fact |= domain_round_lacks(*r);
	domain_round_free(r);
}

void
explain_ask_names(struct explanation *e)
{
	struct span host = span_str(e->host), helo = span_str(e->options.helo);
	struct span domain = smtp_address_domain(span_str(e->options.from));
	struct domain_round *rounds[ROUNDS] = {NULL};
	struct sender_lookup *sender = NULL;

	rounds[LIST_OF_HOST] = ask_lists(e, LIST_OF_HOST, &host, 1);
	rounds[LIST_OF_HELO] = ask_lists(e, LIST_OF_HELO, &helo, 1);
	rounds[LIST_OF_FROM] = ask_lists(e, LIST_OF_FROM, &domain, 1);
	e->sender = sender_presumed(e->config, domain);
	if ((e->flow->connect & CONNECT_SENDER) && domain.n > 0 && e->sender == SENDER_UNKNOWN) {
		e->n_waiting++;
		sender =
		    sender_lookup_start(e->loop, e->dns, domain, span_str(e->flow->sender.canary),
			(uint32_t)e->config->dns.timeout_ms, on_done, e);
	}
	if (e->n_waiting > 0)
		loop_run(e->loop);
	for (size_t i = 0; i < ROUNDS; i++)
		take_lists(e, &rounds[i]);
	if (sender != NULL) {
		e->sender = sender_lookup_fact(sender);
		e->lacks_fact |= e->sender == SENDER_UNKNOWN;
	}
	sender_lookup_free(&sender);
}

void
explain_ask_urls(struct explanation *e)
{
	struct domain_round *r;

	if (e->dns == NULL)
		return;
	r = ask_lists(e, LIST_OF_URL, e->hosts, e->n_hosts);
	if (e->n_waiting > 0)
		loop_run(e->loop);
	take_lists(e, &r);
}

#include "policy/recipient/route.h"

static struct span
domain_of(struct span address)
{
	size_t at = span_rfind(address, '@');

	return span_skip(address, at < address.n ? at + 1 : at);
}

static bool
is_postmaster(const struct config *config, struct span address)
{
	struct span domain = domain_of(address);
	struct span local = span_take(address, span_rfind(address, '@'));

	if (span_eq_nocase(address, span_str(config->postmaster)))
		return true;
	return span_eq_nocase(local, SPAN("postmaster")) &&
	       (domain.n == 0 || config_domain(config, domain) != NULL);
}

enum route_result
route_find(const struct config *config, const struct conf_flow *flow,
    struct recipients *const *tables, struct span address, struct route *out)
{
	const struct conf_domain *domain;
	const struct recipients *table;

	*out = (struct route){.address = address, .is_postmaster = is_postmaster(config, address)};
	if (out->is_postmaster && domain_of(address).n == 0)
		out->address = span_str(config->postmaster);
	domain = config_domain(config, domain_of(out->address));
	if (domain != NULL) {
		out->gateway = domain->gateway;
		if (config_asks_recipients(domain) && !out->is_postmaster)
			out->asks = domain;
		table = tables[domain - config->domains];
		if (table == NULL || out->is_postmaster || recipients_has(table, address))
			return ROUTE_FOUND;
		return ROUTE_NO_SUCH;
	}
	if (flow->relay == RELAY_ANY)
		out->gateway = flow->gateway;
	else if (out->is_postmaster && config->n_domains > 0)
		/* The postmaster's own domain need not be one of ours; the mail must go somewhere. */
		out->gateway = config->domains[0].gateway;
	return out->gateway != NULL ? ROUTE_FOUND : ROUTE_DENIED;
}

enum route_result
route_answered(const struct conf_domain *domain, enum recipient_state state)
{
	switch (state) {
	case RECIPIENT_EXISTS:
		return ROUTE_FOUND;
	case RECIPIENT_NONE:
		return ROUTE_NO_SUCH;
	case RECIPIENT_UNKNOWN:
		break;
	}
	return domain->takes_unknown ? ROUTE_FOUND : ROUTE_UNKNOWN;
}

int
route_code(enum route_result r)
{
	return r == ROUTE_UNKNOWN ? 451 : 550;
}

const char *
route_enhanced(enum route_result r)
{
	if (r == ROUTE_UNKNOWN)
		return "4.4.3";
	return r == ROUTE_NO_SUCH ? "5.1.1" : "5.7.1";
}

const char *
route_text(enum route_result r)
{
	if (r == ROUTE_UNKNOWN)
		return "The recipient cannot be verified now, try again later";
	return r == ROUTE_NO_SUCH ? "No such recipient here" : "Relaying denied";
}

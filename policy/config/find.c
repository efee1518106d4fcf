/* The lookups of config.h. */
#include "policy/config/config.h"

#include <stdlib.h>

unsigned
config_line_of(const struct config *c, const char *path)
{
	unsigned line = 1;

	/* The last one that was noted comes first. */
	for (const struct conf_place *p = c->places; p != NULL; p = p->next)
		if (strcmp(p->text, path) == 0)
			line = p->line;
	return line;
}

const struct conf_flow *
config_flow(const struct config *c, struct span name)
{
	for (size_t i = 0; i < c->n_flows; i++)
		if (span_eq(name, span_str(c->flows[i].name)))
			return &c->flows[i];
	return NULL;
}

const struct conf_gateway *
config_gateway(const struct config *c, struct span name)
{
	for (size_t i = 0; i < c->n_gateways; i++)
		if (span_eq(name, span_str(c->gateways[i].name)))
			return &c->gateways[i];
	return NULL;
}

const struct conf_ldap *
config_ldap(const struct config *c, struct span name)
{
	for (size_t i = 0; i < c->n_ldaps; i++)
		if (span_eq(name, span_str(c->ldaps[i].name)))
			return &c->ldaps[i];
	return NULL;
}

bool
config_asks_recipients(const struct conf_domain *d)
{
	return d->recipients == RECIPIENTS_LDAP || d->recipients == RECIPIENTS_CALLOUT;
}

struct domain_key {
	struct span name;
	bool has_subdomains;
};

static int
lower_cmp(struct span any_case, struct span lower)
{
	for (size_t i = 0; i < any_case.n && i < lower.n; i++) {
		unsigned char a = (unsigned char)char_lower(any_case.p[i]);
		unsigned char b = (unsigned char)lower.p[i];

		if (a != b)
			return a < b ? -1 : 1;
	}
	return any_case.n < lower.n ? -1 : any_case.n > lower.n;
}

/* The order config_parse has sorted the domains by. */
static int
by_key(const void *key, const void *item)
{
	const struct domain_key *k = key;
	const struct conf_domain *d = item;
	int order = lower_cmp(k->name, span_str(d->name));

	return order != 0 ? order : (int)k->has_subdomains - (int)d->has_subdomains;
}

static const struct conf_domain *
find_domain(const struct config *c, struct span name, bool has_subdomains)
{
	struct domain_key key = {name, has_subdomains};

	return c->n_domains == 0
		   ? NULL
		   : bsearch(&key, c->domains, c->n_domains, sizeof(c->domains[0]), by_key);
}

const struct conf_domain *
config_domain(const struct config *c, struct span domain)
{
	const struct conf_domain *d = find_domain(c, domain, false);

	while (d == NULL && domain.n > 0) {
		d = find_domain(c, domain, true);
		(void)span_cut(&domain, '.'); /* one label less */
	}
	return d;
}

const struct conf_domain *
config_domain_of(const struct config *c, struct span address)
{
	size_t at = span_rfind(address, '@');

	return config_domain(c, span_skip(address, at < address.n ? at + 1 : at));
}

static const struct conf_override *
find_override(const struct conf_domain *d, const struct conf_filter *filter)
{
	for (size_t i = 0; d != NULL && i < d->n_overrides; i++)
		if (d->overrides[i].filter == filter)
			return &d->overrides[i];
	return NULL;
}

enum action
config_action(const struct conf_flow_filter *filter, const struct conf_domain *domain, int outcome)
{
	const struct conf_override *o = find_override(domain, filter->filter);

	if (outcome < 0)
		return o != NULL && o->is_failure_said ? o->actions.failure
						       : filter->actions.failure;
	return o != NULL && o->is_said[outcome] ? o->actions.outcomes[outcome]
						: filter->actions.outcomes[outcome];
}

bool
config_may_be(
    const struct config *c, const struct conf_flow_filter *filter, int outcome, enum action action)
{
	if (config_action(filter, NULL, outcome) == action)
		return true;
	for (size_t i = 0; i < c->n_domains; i++)
		if (config_action(filter, &c->domains[i], outcome) == action)
			return true;
	return false;
}

bool
config_can_normalise(const struct pnf_about *about, struct span outcome)
{
	return span_eq(outcome, SPAN("malformed")) &&
	       (strcmp(about->name, "clamav") == 0 || strcmp(about->name, "antivirus") == 0);
}

bool
nets_have(const struct nets *nets, const struct ip *ip)
{
	for (size_t i = 0; i < nets->n; i++)
		if (net_has(&nets->items[i], ip))
			return true;
	return false;
}

bool
config_needs_key(const struct config *c)
{
	for (size_t i = 0; i < c->n_listens; i++)
		if (c->listens[i].tls != LISTEN_PLAIN || c->listens[i].users != NULL)
			return true;
	return false;
}

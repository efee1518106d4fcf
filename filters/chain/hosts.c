/*
 * hosts.c - the hosts of a message's URLs, for DNS lists of domains.
 *
 * Bounded, and always the same for the same message: the first SCAN_DOMAINS_MAX registered domains
 * and addresses in the order of the text, and of each domain its first SCAN_HOSTS_OF_DOMAIN names, so
 * that a thousand names below one domain hide no other.  First the first name of each domain, then the
 * second ones.
 */
#include "filters/chain/run.h"
#include "policy/dnsbl/domain.h"
#include "relay/base/map.h"
#include "relay/message/url.h"
#include "relay/smtp/address.h"

enum { HOSTS_MEMORY = SCAN_HOSTS_MAX * (SCAN_HOST_MAX + 64) + 4096 };

struct domain {
	struct span hosts[SCAN_HOSTS_OF_DOMAIN];
	size_t n;
};

struct gathering {
	struct pnf_msg *m;
	struct map *by_name; /* registered name or address -> struct domain */
	struct domain domains[SCAN_DOMAINS_MAX];
	size_t n;
};

/* The name in ASCII, or the address as text; empty: no list could be asked for it.  Into `to`. */
static struct span
host_read(struct span host, char to[SMTP_PATH_MAX])
{
	char text[SCAN_HOST_MAX + 2] = "@";
	struct ip ip;
	size_t n;

	if (domain_address(host, &ip))
		return ip_format(&ip, to);
	if (host.n == 0 || host.n > SCAN_HOST_MAX)
		return (struct span){0};
	memcpy(text + 1, host.p, host.n);
	if (smtp_address_normalise(span_of(text, host.n + 1), to, &n) < 0)
		return (struct span){0};
	for (size_t i = 0; i < n; i++)
		to[i] = char_lower(to[i]);
	return domain_host(span_of(to + 1, n - 1));
}

static void
add_host(struct gathering *g, struct span key, struct span host)
{
	struct domain *d = map_get(g->by_name, key);

	if (d == NULL && g->n == SCAN_DOMAINS_MAX)
		return;
	if (d == NULL) {
		d = &g->domains[g->n++];
		(void)map_set(g->by_name, key, d); /* nothing stood there */
	}
	for (size_t i = 0; i < d->n; i++)
		if (span_eq(d->hosts[i], host))
			return;
	if (d->n < SCAN_HOSTS_OF_DOMAIN)
		d->hosts[d->n++] = arena_copy(&g->m->host_memory, host);
}

static bool
on_url(void *arg, struct span url, struct span raw)
{
	char room[SMTP_PATH_MAX];
	struct span host = host_read(raw, room), name = domain_registrable(host);
	struct ip ip;

	(void)url; /* the host alone is asked for */
	if (name.n == 0 && ip_parse(host, &ip))
		name = host;
	/* A public suffix: nobody's domain, but its own name may be listed whole. */
	if (host.n > 0)
		add_host(arg, name.n > 0 ? name : host, host);
	return true;
}

void
hosts_fill(struct pnf_msg *m)
{
	struct gathering *g = mem_alloc(sizeof(*g));
	struct scan_result *r = &m->result;

	arena_init(&m->host_memory, HOSTS_MEMORY);
	g->m = m;
	g->by_name = map_new();
	for (size_t i = 0; i < m->mime.n_parts; i++) {
		const struct mime_part *part = &m->mime.parts[i];

		/* What is beyond the bounds is not asked for, as is said above. */
		if (span_starts(part->type, SPAN("text/")) && !part->is_multipart)
			(void)url_each(
			    part->text, !span_eq(part->type, SPAN("text/plain")), on_url, g);
	}
	for (size_t rank = 0; rank < SCAN_HOSTS_OF_DOMAIN; rank++)
		for (size_t i = 0; i < g->n; i++)
			if (rank < g->domains[i].n)
				r->hosts[r->n_hosts++] = g->domains[i].hosts[rank];
	map_free(&g->by_name);
	mem_free(g);
}

#include "policy/decide/helo.h"
#include "policy/config/scalar.h"

/* RFC 5321 section 4.1.3: [192.0.2.1], [IPv6:2001:db8::1]. */
static bool
is_literal_of(struct span helo, const struct ip *client)
{
	struct span inside = span_skip(helo, 1);
	struct ip ip;

	if (inside.n == 0 || inside.p[inside.n - 1] != ']')
		return false;
	inside = span_take(inside, inside.n - 1);
	if (span_starts_nocase(inside, SPAN("IPv6:")))
		inside = span_skip(inside, 5);
	return ip_parse(inside, &ip) && ip_eq(&ip, client);
}

enum helo_fault
helo_fault_of(struct span helo, const struct ip *client, const char *hostname)
{
	struct ip ip;

	if (helo.n > 0 && helo.p[0] == '[')
		return is_literal_of(helo, client) ? HELO_FINE : HELO_LITERAL;
	if (ip_parse(helo, &ip))
		return HELO_IP;
	if (helo.n > 0 && helo.p[helo.n - 1] == '.')
		helo = span_take(helo, helo.n - 1); /* the root's dot is right, if unusual */
	if (hostname != NULL && span_eq_nocase(helo, span_str(hostname)))
		return HELO_OWN;
	if (!scalar_is_host(helo) || span_find(helo, '.') == helo.n)
		return HELO_NAME;
	return HELO_FINE;
}

struct span
helo_fault_tag(enum helo_fault fault)
{
	switch (fault) {
	case HELO_OWN:
		return SPAN("helo-own");
	case HELO_IP:
		return SPAN("helo-ip");
	case HELO_LITERAL:
		return SPAN("helo-literal");
	case HELO_NAME:
		return SPAN("helo-name");
	case HELO_FINE:
		break;
	}
	return (struct span){0};
}

const char *
helo_fault_text(enum helo_fault fault)
{
	switch (fault) {
	case HELO_OWN:
		return "HELO says our own name";
	case HELO_IP:
		return "HELO says an address without brackets";
	case HELO_LITERAL:
		return "HELO says an address that is not the client's";
	case HELO_NAME:
		return "HELO says no full host name";
	case HELO_FINE:
		break;
	}
	return "";
}

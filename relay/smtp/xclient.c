#include "relay/smtp/xclient.h"

enum { VALUE_MAX = 255 };

static bool
read_addr(struct span value, struct ip *ip)
{
	if (span_starts_nocase(value, SPAN("IPV6:")))
		value = span_skip(value, 5);
	return ip_parse(value, ip);
}

static bool
read_addr_attribute(struct span value, struct xclient *out)
{
	out->has_addr = value.n > 0;
	return value.n == 0 || read_addr(value, &out->addr);
}

static bool
read_destaddr(struct span value, struct xclient *out)
{
	struct ip ip;

	(void)out; /* nothing asks for it */
	return value.n == 0 || read_addr(value, &ip);
}

static bool
read_port(struct span value, struct xclient *out)
{
	uint64_t port;

	(void)out; /* as above */
	return value.n == 0 || (span_to_u64(value, &port) && port <= UINT16_MAX);
}

/* A name that is none is as good as no name. */
static bool
read_name(struct span value, struct xclient *out)
{
	out->is_name_told = true;
	if (value.n > XCLIENT_NAME_MAX || !smtp_domain_is_valid(value))
		return true;
	return span_copy(value, out->name, sizeof(out->name));
}

static bool
read_helo(struct span value, struct xclient *out)
{
	if (value.n > 0 && !smtp_helo_is_valid(value))
		return false;
	return span_copy(value, out->helo, sizeof(out->helo));
}

static bool
read_proto(struct span value, struct xclient *out)
{
	out->is_esmtp = span_eq_nocase(value, SPAN("ESMTP"));
	out->has_proto = value.n > 0;
	return value.n == 0 || out->is_esmtp || span_eq_nocase(value, SPAN("SMTP"));
}

static bool
read_login(struct span value, struct xclient *out)
{
	for (size_t i = 0; i < value.n; i++)
		if ((unsigned char)value.p[i] < 0x20 || value.p[i] == 0x7f)
			return false;
	return span_copy(value, out->login, sizeof(out->login));
}

static const struct {
	const char *name;
	bool (*read)(struct span value, struct xclient *out);
} attributes[] = {{"NAME", read_name}, {"ADDR", read_addr_attribute}, {"PORT", read_port},
    {"PROTO", read_proto}, {"HELO", read_helo}, {"LOGIN", read_login}, {"DESTADDR", read_destaddr},
    {"DESTPORT", read_port}};

enum { ATTRIBUTES = sizeof(attributes) / sizeof(attributes[0]) };

bool
xclient_parse(const struct smtp_command *c, struct xclient *out)
{
	unsigned seen = 0;

	*out = (struct xclient){0};
	for (size_t i = 0; i < c->n_params; i++) {
		const struct smtp_param *p = &c->params[i];
		char text[VALUE_MAX];
		struct span value;
		size_t n, k = 0;

		while (k < ATTRIBUTES && !span_eq_nocase(p->name, span_str(attributes[k].name)))
			k++;
		if (k == ATTRIBUTES || (seen & 1U << k) || p->value.n == 0 ||
		    !smtp_xtext_decode(p->value, text, sizeof(text), &n))
			return false;
		seen |= 1U << k;
		value = span_of(text, n);
		if (span_eq_nocase(value, SPAN("[UNAVAILABLE]")) ||
		    span_eq_nocase(value, SPAN("[TEMPUNAVAIL]")))
			value.n = 0;
		if (!attributes[k].read(value, out))
			return false;
	}
	return c->n_params > 0;
}

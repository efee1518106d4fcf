#include "policy/rules/value.h"

enum value_kind
value_kind_of(enum facet facet)
{
	switch (facet) {
	case FACET_CLIENT:
		return VALUE_NET;
	case FACET_HOST:
	case FACET_HELO:
		return VALUE_NAME;
	case FACET_FROM:
	case FACET_TO:
		return VALUE_ADDRESS;
	case FACET_COUNTRY:
		return VALUE_COUNTRY;
	case FACET_ASN:
		return VALUE_ASN;
	case FACET_TLS:
		return VALUE_TLS;
	case FACET_AUTH:
	case FACET_TAG:
	case FACET_SUBJECT:
	case FACET_HEADER:
	case FACET_BODY:
	case FACET_URL:
	case FACET_ATTACHMENT:
	case FACET_ATTACHMENT_TYPE:
		return VALUE_TEXT;
	}
	return VALUE_TEXT;
}

static bool
has_any(struct span text, const char *set)
{
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] != '\0' && strchr(set, text.p[i]) != NULL)
			return true;
	return false;
}

static struct span
without_dot(struct span name)
{
	return name.n > 1 && name.p[name.n - 1] == '.' ? span_take(name, name.n - 1) : name;
}

/* A host name, a domain or an address literal, as far as it could ever equal a fact. */
static bool
is_name(struct span name)
{
	return name.n > 0 && name.p[0] != '.' && !has_any(name, " \t@/,;<>()\"\\=");
}

/* 192.0.2.7/24 -> "192.0.2.0/24", so that the error can say it. */
static bool
net_masked(struct span text, char to[NET_TEXT_MAX])
{
	struct span rest = text, address = span_cut(&rest, '/');
	struct net net;
	uint64_t bits;

	if (!ip_parse(address, &net.base) || !span_to_u64(rest, &bits))
		return false;
	if (span_find(address, ':') == address.n)
		bits += 96;
	if (bits > 128)
		return false;
	net.bits = (uint8_t)bits;
	for (unsigned i = net.bits; i < 128; i++)
		net.base.bytes[i / 8] &= (uint8_t) ~(0x80u >> (i % 8));
	(void)net_format(&net, to); /* `to` is what is wanted */
	return true;
}

static int
read_net(struct span text, struct value *out, struct err *err)
{
	char right[NET_TEXT_MAX];

	out->form = VALUE_CIDR;
	if (net_parse(text, &out->net))
		return 0;
	if (net_masked(text, right))
		return err_set(err, E_SYNTAX,
		    "`%.*s` is no network: bits behind its length are set; write %s",
		    SPAN_ARG(text), right);
	return err_set(err, E_SYNTAX,
	    "`%.*s` is no client; write an address (192.0.2.1, 2001:db8::1), a network "
	    "(192.0.2.0/24), list:NAME or /regex/",
	    SPAN_ARG(span_take(text, 80)));
}

static int
read_name(struct span text, struct value *out, struct err *err)
{
	out->form = VALUE_EXACT;
	if (text.n > 0 && text.p[0] == '@')
		text = span_skip(text, 1);
	if (text.n > 0 && text.p[0] == '.') {
		out->form = VALUE_BELOW;
		text = span_skip(text, 1);
	}
	out->text = without_dot(text);
	if (is_name(out->text))
		return 0;
	return err_set(err, E_SYNTAX,
	    "`%.*s` is no host name; write mail.example.org, .example.org (it and everything "
	    "below), "
	    "*.example.org, list:NAME or /regex/",
	    SPAN_ARG(span_take(text, 80)));
}

static int
read_domain(struct span written, struct span domain, enum value_form form, struct value *out,
    struct err *err)
{
	out->form = form;
	out->text = without_dot(domain);
	if (is_name(out->text))
		return 0;
	return err_set(err, E_SYNTAX,
	    "`%.*s` is no domain; write @example.org (only it) or .example.org (it and everything "
	    "below)",
	    SPAN_ARG(span_take(written, 80)));
}

static int
read_address(struct span text, struct value *out, struct err *err)
{
	struct span inner = text;

	if (text.n >= 2 && text.p[0] == '<' && text.p[text.n - 1] == '>')
		inner = span_of(text.p + 1, text.n - 2);
	if (span_starts(inner, SPAN("@.")))
		return read_domain(text, span_skip(inner, 2), VALUE_BELOW, out, err);
	if (span_starts(inner, SPAN(".")))
		return read_domain(text, span_skip(inner, 1), VALUE_BELOW, out, err);
	if (span_starts(inner, SPAN("@")))
		return read_domain(text, span_skip(inner, 1), VALUE_DOMAIN, out, err);
	out->form = VALUE_EXACT;
	out->text = inner;
	if (inner.n == 0)
		return inner.n == text.n ? err_set(err, E_SYNTAX,
					       "an empty address; write <> for the null sender")
					 : 0;
	if (span_find(inner, '@') < inner.n) {
		if (is_name(value_domain(inner)))
			return 0;
	} else if (is_name(inner)) {
		if (span_find(inner, '.') == inner.n)
			return 0;
		return err_set(err, E_SYNTAX,
		    "`%.*s` has no @; write @%.*s for the domain or .%.*s for it and everything "
		    "below",
		    SPAN_ARG(span_take(text, 80)), SPAN_ARG(span_take(inner, 80)),
		    SPAN_ARG(span_take(inner, 80)));
	}
	return err_set(err, E_SYNTAX,
	    "`%.*s` is no address; write user@example.org, @example.org, .example.org, <>, "
	    "list:NAME "
	    "or /regex/",
	    SPAN_ARG(span_take(text, 80)));
}

static int
read_country(struct span text, struct value *out, struct err *err)
{
	out->form = VALUE_EXACT;
	out->text = text;
	if (text.n == 2 && char_lower(text.p[0]) >= 'a' && char_lower(text.p[0]) <= 'z' &&
	    char_lower(text.p[1]) >= 'a' && char_lower(text.p[1]) <= 'z')
		return 0;
	return err_set(err, E_SYNTAX,
	    "`%.*s` is no country; write the two letters of ISO 3166, such as DE",
	    SPAN_ARG(span_take(text, 80)));
}

/* "64512" and "AS64512"; kept as digits. */
static int
read_asn(struct span text, struct value *out, struct err *err)
{
	uint64_t number;

	out->form = VALUE_EXACT;
	out->text = text;
	if (text.n > 2 && char_lower(text.p[0]) == 'a' && char_lower(text.p[1]) == 's')
		out->text = span_skip(text, 2);
	if (span_to_u64(out->text, &number) && number <= UINT32_MAX && out->text.p[0] != '0')
		return 0;
	return err_set(err, E_SYNTAX,
	    "`%.*s` is no number of an autonomous system; write 64512 or AS64512",
	    SPAN_ARG(span_take(text, 80)));
}

/* "TLSv1.3" and "1.3"; kept as a session has it. */
static int
read_tls(struct span text, struct value *out, struct err *err)
{
	static const struct span versions[] = {
	    {"TLSv1.0", 7}, {"TLSv1.1", 7}, {"TLSv1.2", 7}, {"TLSv1.3", 7}};
	static const size_t prefix = 4; /* TLSv */

	out->form = VALUE_EXACT;
	for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
		out->text = versions[i];
		if (span_eq_nocase(text, versions[i]) ||
		    span_eq(text, span_skip(versions[i], prefix)))
			return 0;
	}
	return err_set(err, E_SYNTAX,
	    "`%.*s` is no version of TLS; write TLSv1.2 or TLSv1.3, or * for any",
	    SPAN_ARG(span_take(text, 80)));
}

int
value_read(struct span text, enum value_kind kind, struct value *out, struct err *err)
{
	*out = (struct value){0};
	if (text.n > VALUE_TEXT_MAX)
		return err_set(
		    err, E_SYNTAX, "a value of %zu bytes; at most %d", text.n, VALUE_TEXT_MAX);
	switch (kind) {
	case VALUE_NET:
		return read_net(text, out, err);
	case VALUE_NAME:
		return read_name(text, out, err);
	case VALUE_ADDRESS:
		return read_address(text, out, err);
	case VALUE_COUNTRY:
		return read_country(text, out, err);
	case VALUE_ASN:
		return read_asn(text, out, err);
	case VALUE_TLS:
		return read_tls(text, out, err);
	case VALUE_TEXT:
		out->form = VALUE_EXACT;
		out->text = text;
		return 0;
	}
	return 0;
}

struct span
value_domain(struct span address)
{
	size_t at = span_rfind(address, '@');

	return at < address.n ? span_skip(address, at + 1) : address;
}

bool
value_is_below(struct span name, struct span domain)
{
	if (!span_ends_nocase(name, domain))
		return false;
	return name.n == domain.n || name.p[name.n - domain.n - 1] == '.';
}

struct span
value_fact(struct span fact, enum value_kind kind)
{
	return kind == VALUE_NAME ? without_dot(fact) : fact;
}

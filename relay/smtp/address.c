#include "relay/smtp/address.h"
#include "relay/base/ip.h"
#include "relay/base/utf8.h"

#include <idn2.h>

enum { LOCAL_MAX = 64, DOMAIN_MAX = 255, LABEL_MAX = 63 }; /* RFC 5321 4.5.3.1 */

static bool
is_alnum(char c)
{
	char low = char_lower(c);

	return (low >= 'a' && low <= 'z') || (c >= '0' && c <= '9');
}

static bool
is_beyond_ascii(char c)
{
	return (unsigned char)c > 0x7f;
}

/* atext of RFC 5322 section 3.2.3, as RFC 6531 section 3.3 extends it. */
static bool
is_atext(char c)
{
	return is_alnum(c) || is_beyond_ascii(c) ||
	       (c != '\0' && strchr("!#$%&'*+-/=?^_`{|}~", c) != NULL);
}

static size_t
domain_prefix(struct span s, bool may_be_utf8)
{
	size_t i = 0, label = 0;

	for (; i < s.n; i++) {
		bool is_letter = is_alnum(s.p[i]) || (may_be_utf8 && is_beyond_ascii(s.p[i]));

		if (is_letter || (s.p[i] == '-' && label > 0)) {
			/* How long a U-label is counts as A-label: the domain's limit bounds it. */
			if (++label > LABEL_MAX && !may_be_utf8)
				return 0;
			continue;
		}
		if (s.p[i] != '.')
			break;
		if (label == 0 || s.p[i - 1] == '-')
			return 0;
		label = 0;
	}
	return label == 0 || s.p[i - 1] == '-' ? 0 : i;
}

size_t
smtp_domain_prefix(struct span s)
{
	return domain_prefix(s, false);
}

bool
smtp_domain_is_valid(struct span domain)
{
	return domain.n > 0 && domain.n <= DOMAIN_MAX && domain_prefix(domain, false) == domain.n;
}

/* RFC 5321 section 4.1.3.  Of the tagged forms only IPv6 is registered. */
static bool
literal_is_valid(struct span s)
{
	struct span inside;
	struct ip ip;

	if (s.n < 3 || s.p[0] != '[' || s.p[s.n - 1] != ']')
		return false;
	inside = span_of(s.p + 1, s.n - 2);
	if (span_starts_nocase(inside, SPAN("IPv6:"))) {
		inside = span_skip(inside, 5);
		return span_find(inside, ':') < inside.n && ip_parse(inside, &ip);
	}
	return span_find(inside, ':') == inside.n && ip_parse(inside, &ip);
}

/* Bytes of a Quoted-string with its quotes at the start of s, 0 when it is none. */
static size_t
quoted_length(struct span s)
{
	for (size_t i = 1; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c == '"')
			return i + 1;
		if (c == '\\' && ++i < s.n)
			c = (unsigned char)s.p[i];
		if (c < 0x20 || c == 0x7f)
			return 0;
	}
	return 0;
}

/* Bytes of a Dot-string at the start of s, 0 when it is none. */
static size_t
dot_string_length(struct span s)
{
	size_t i = 0;

	for (; i < s.n; i++) {
		if (is_atext(s.p[i]))
			continue;
		if (s.p[i] != '.')
			break;
		if (i == 0 || s.p[i - 1] == '.')
			return 0;
	}
	return i > 0 && s.p[i - 1] == '.' ? 0 : i;
}

static size_t
local_length(struct span s)
{
	return s.n > 0 && s.p[0] == '"' ? quoted_length(s) : dot_string_length(s);
}

static bool
domain_is_valid(struct span domain, bool is_utf8)
{
	struct span name = domain;

	if (!is_utf8)
		return smtp_domain_is_valid(domain) || literal_is_valid(domain);
	return name.n > 0 && domain_prefix(name, true) == name.n;
}

int
smtp_address_check(struct span address)
{
	size_t local = local_length(address);
	struct span domain;

	if (local == 0 || local >= address.n || address.p[local] != '@')
		return -E_SYNTAX;
	domain = span_skip(address, local + 1);
	if (address.n > SMTP_PATH_MAX || local > LOCAL_MAX || domain.n > DOMAIN_MAX)
		return -E_LIMIT;
	if (!utf8_is_valid(address) || !domain_is_valid(domain, smtp_address_is_utf8(domain)))
		return -E_SYNTAX;
	return 0;
}

bool
smtp_address_is_valid(struct span address)
{
	return smtp_address_check(address) == 0;
}

struct span
smtp_address_domain(struct span address)
{
	size_t at = span_rfind(address, '@');

	return at < address.n ? span_skip(address, at + 1) : span_skip(address, address.n);
}

bool
smtp_address_is_utf8(struct span address)
{
	for (size_t i = 0; i < address.n; i++)
		if (is_beyond_ascii(address.p[i]))
			return true;
	return false;
}

/* `name` is at most DOMAIN_MAX bytes long. */
static int
domain_to_ascii(struct span name, char to[DOMAIN_MAX + 1], size_t *n)
{
	char text[DOMAIN_MAX + 1];
	uint8_t *ascii = NULL;
	int status = -E_SYNTAX;

	if (!span_copy(name, text, sizeof(text)) || strlen(text) != name.n)
		return -E_SYNTAX;
	if (idn2_lookup_u8((const uint8_t *)text, &ascii, IDN2_NFC_INPUT | IDN2_NONTRANSITIONAL) ==
	    IDN2_OK) {
		struct span found = span_str((const char *)ascii);

		/* What IDNA maps may begin or end with what no host name does. */
		if (smtp_domain_is_valid(found)) {
			(void)span_copy(found, to, DOMAIN_MAX + 1); /* valid: it fits */
			*n = found.n;
			status = 0;
		}
	}
	idn2_free(ascii);
	return status;
}

int
smtp_address_normalise(struct span address, char to[SMTP_PATH_MAX], size_t *n)
{
	struct span domain = smtp_address_domain(address);
	struct span local = span_take(address, address.n - domain.n);
	char ascii[DOMAIN_MAX + 1];
	int status;

	if (address.n > SMTP_PATH_MAX)
		return -E_LIMIT;
	if (smtp_address_is_utf8(domain)) {
		size_t length = 0;

		if (domain.n > DOMAIN_MAX)
			return -E_LIMIT;
		status = domain_to_ascii(domain, ascii, &length);
		if (status < 0)
			return status;
		domain = span_of(ascii, length);
	}
	if (local.n + domain.n > SMTP_PATH_MAX)
		return -E_LIMIT;
	if (local.n > 0)
		memcpy(to, local.p, local.n);
	if (domain.n > 0)
		memcpy(to + local.n, domain.p, domain.n);
	*n = local.n + domain.n;
	return 0;
}

bool
smtp_helo_is_valid(struct span name)
{
	if (name.n == 0 || name.n > SMTP_HELO_MAX)
		return false;
	for (size_t i = 0; i < name.n; i++)
		if (name.p[i] <= 0x20 || name.p[i] > 0x7e)
			return false;
	return true;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool
smtp_xtext_decode(struct span value, char *to, size_t size, size_t *n)
{
	size_t out = 0;

	for (size_t i = 0; i < value.n; i++, out++) {
		char c = value.p[i];

		if (c <= 0x20 || c > 0x7e || c == '=' || out == size)
			return false;
		if (c == '+') {
			int high = i + 2 < value.n ? hex_digit(value.p[i + 1]) : -1;
			int low = i + 2 < value.n ? hex_digit(value.p[i + 2]) : -1;

			if (high < 0 || low < 0)
				return false;
			c = (char)(high << 4 | low);
			i += 2;
		}
		to[out] = c;
	}
	*n = out;
	return true;
}

#include "policy/dnsbl/domain.h"

#include <libpsl.h>

enum { PARTS_MAX = 4, NUMBER_MAX = 14 /* characters: 0x and eight digits, some zeros */ };

static const psl_ctx_t *suffixes;

void
domain_prepare(void)
{
	suffixes = psl_latest(NULL); /* kept as long as the process */
}

static const psl_ctx_t *
suffix_list(void)
{
	if (suffixes == NULL)
		suffixes = psl_builtin(); /* a table of the library: costs nothing */
	return suffixes;
}

/* --- addresses -------------------------------------------------------------------------------- */

/* Decimal, 0x… or 0… as in C. */
static bool
number_parse(struct span text, uint64_t *out)
{
	unsigned base = 10;

	if (text.n == 0 || text.n > NUMBER_MAX)
		return false;
	if (text.n > 1 && text.p[0] == '0') {
		base = char_lower(text.p[1]) == 'x' ? 16 : 8;
		text = span_skip(text, base == 16 ? 2 : 1);
	}
	*out = 0;
	for (size_t i = 0; i < text.n; i++) {
		int digit = char_hex(text.p[i]);

		if (digit < 0 || (unsigned)digit >= base)
			return false;
		*out = *out * base + (unsigned)digit;
	}
	return true;
}

/* One to four numbers; the last one fills the octets that are left (as inet_aton reads them). */
static bool
v4_parse(struct span text, uint32_t *out)
{
	uint64_t part = 0, sum = 0;
	int n = 0;

	if (text.n > 0 && text.p[text.n - 1] == '.')
		text = span_take(text, text.n - 1);
	while (n < PARTS_MAX) {
		bool is_last = span_find(text, '.') == text.n;

		if (!number_parse(is_last ? text : span_cut(&text, '.'), &part))
			return false;
		if (is_last) {
			*out = (uint32_t)(sum | part);
			return part >> (32 - 8 * n) == 0;
		}
		if (part > 255)
			return false;
		sum |= part << (24 - 8 * n++);
	}
	return false;
}

bool
domain_address(struct span host, struct ip *ip)
{
	uint32_t v4;

	if (host.n > 1 && host.p[0] == '[')
		return ip_parse(span_take(span_skip(host, 1), span_find(host, ']') - 1), ip);
	if (!v4_parse(host, &v4))
		return false;
	*ip = (struct ip){{[10] = 0xff, [11] = 0xff}};
	for (int i = 0; i < 4; i++)
		ip->bytes[12 + i] = (uint8_t)(v4 >> (24 - 8 * i));
	return true;
}

/* --- names ------------------------------------------------------------------------------------ */

static bool
is_label(struct span label)
{
	for (size_t i = 0; i < label.n; i++) {
		char c = char_lower(label.p[i]);

		if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_')
			return false;
	}
	return label.n > 0 && label.n <= DOMAIN_LABEL_MAX;
}

struct span
domain_host(struct span name)
{
	struct span rest, label = {0};
	uint64_t number;
	size_t n = 0;

	if (name.n > 0 && name.p[name.n - 1] == '.')
		name = span_take(name, name.n - 1);
	if (name.n == 0 || name.n > DOMAIN_NAME_MAX || name.p[name.n - 1] == '.')
		return (struct span){0};
	for (rest = name; rest.n > 0; n++) {
		label = span_cut(&rest, '.');
		if (!is_label(label))
			return (struct span){0};
	}
	return n > 1 && !number_parse(label, &number) ? name : (struct span){0};
}

struct span
domain_registrable(struct span name)
{
	char lower[DOMAIN_NAME_MAX + 1];
	const char *found;

	name = domain_host(name);
	for (size_t i = 0; i < name.n; i++)
		lower[i] = char_lower(name.p[i]);
	lower[name.n] = '\0';
	found = name.n > 0 ? psl_registrable_domain(suffix_list(), lower) : NULL;
	return found != NULL ? span_skip(name, (size_t)(found - lower)) : (struct span){0};
}

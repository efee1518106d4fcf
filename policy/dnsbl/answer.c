#include "policy/dnsbl/answer.h"

enum { CANARY = 0x7f000001 };

static uint32_t
number(const uint8_t octets[4])
{
	return (uint32_t)octets[0] << 24 | (uint32_t)octets[1] << 16 | (uint32_t)octets[2] << 8 |
	       octets[3];
}

struct answer_range
answer_range_default(void)
{
	return (struct answer_range){
	    .is_span = true, .low = {127, 0, 0, 2}, .high = {127, 255, 254, 255}};
}

static bool
octet_parse(struct span text, uint8_t *out)
{
	uint64_t value;

	if (text.n > 3 || !span_to_u64(text, &value) || value > 255)
		return false;
	*out = (uint8_t)value;
	return true;
}

/* "*", "N", "N-M" or "&N". */
static bool
octets_parse(struct span text, uint8_t *low, uint8_t *high, uint8_t *bits)
{
	struct span first;

	*bits = 0;
	if (span_eq(text, SPAN("*")) || span_starts(text, SPAN("&"))) {
		*low = 0;
		*high = 255;
		return text.p[0] == '*' || (octet_parse(span_skip(text, 1), bits) && *bits != 0);
	}
	if (span_find(text, '-') == text.n) {
		bool is_right = octet_parse(text, low);

		*high = *low;
		return is_right;
	}
	first = span_cut(&text, '-');
	return octet_parse(first, low) && octet_parse(text, high) && *low <= *high;
}

static bool
pattern_parse(struct span text, uint8_t low[4], uint8_t high[4], uint8_t bits[4])
{
	for (int i = 0; i < 4; i++) {
		if (i < 3 && span_find(text, '.') == text.n)
			return false;
		if (!octets_parse(i < 3 ? span_cut(&text, '.') : text, &low[i], &high[i], &bits[i]))
			return false;
	}
	return true;
}

static bool
span_range_parse(struct span text, struct answer_range *out)
{
	struct span first = span_cut(&text, '-');
	uint8_t low_end[4], high_end[4], bits[4];

	if (!pattern_parse(first, out->low, low_end, bits) ||
	    !pattern_parse(text, out->high, high_end, bits))
		return false;
	return number(out->low) == number(low_end) && number(out->high) == number(high_end) &&
	       number(out->low) <= number(out->high);
}

int
answer_range_parse(struct span text, struct answer_range *out, struct err *err)
{
	size_t dash = span_find(text, '-');
	bool is_right;

	*out = (struct answer_range){0};
	/* With a dot behind the dash and three before it, the dash divides two whole addresses. */
	out->is_span = dash < text.n && span_find(span_skip(text, dash), '.') + dash < text.n;
	if (out->is_span) {
		size_t dots = 0;

		for (size_t i = 0; i < dash; i++)
			dots += text.p[i] == '.';
		out->is_span = dots == 3;
	}
	is_right = out->is_span ? span_range_parse(text, out)
				: pattern_parse(text, out->low, out->high, out->bits);
	if (!is_right)
		return err_set(err, E_SYNTAX,
		    "`%.*s` is no range of answers; write 127.0.0.2, 127.0.0.2-127.0.0.11, "
		    "127.0.*.2-3 or 127.0.0.&8",
		    SPAN_ARG(span_take(text, 80)));
	if (out->low[0] != 127 || out->high[0] != 127)
		return err_set(err, E_SYNTAX,
		    "answers outside 127.0.0.0/8 are errors of the list, never a listing; write "
		    "127.…");
	if ((number(out->low) == CANARY && number(out->high) == CANARY) ||
	    (out->low[1] == 255 && out->low[2] == 255))
		return err_set(err, E_SYNTAX,
		    "127.0.0.1 and 127.255.255.0/24 are errors of the list, never a listing; "
		    "leave them out");
	return 0;
}

bool
answer_range_has(const struct answer_range *r, uint32_t address)
{
	if (r->is_span)
		return address >= number(r->low) && address <= number(r->high);
	for (int i = 0; i < 4; i++) {
		uint8_t octet = (uint8_t)(address >> (24 - 8 * i));

		if (octet < r->low[i] || octet > r->high[i] ||
		    (r->bits[i] != 0 && (octet & r->bits[i]) == 0))
			return false;
	}
	return true;
}

bool
answer_is_error(uint32_t address)
{
	return address >> 24 != 127 || address == CANARY || address >> 8 == 0x7fffff;
}

enum answer_type
answer_type(const struct answer_range *ranges, size_t n_ranges, const uint32_t *addresses, size_t n,
    uint32_t *deciding)
{
	enum answer_type type = ANSWER_NOT_LISTED;

	*deciding = 0;
	for (size_t i = 0; i < n; i++) {
		if (answer_is_error(addresses[i])) {
			*deciding = addresses[i];
			return ANSWER_ERROR;
		}
		for (size_t k = 0; k < n_ranges && type == ANSWER_NOT_LISTED; k++) {
			if (!answer_range_has(&ranges[k], addresses[i]))
				continue;
			type = ANSWER_LISTED;
			*deciding = addresses[i];
		}
	}
	return type;
}

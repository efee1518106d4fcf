/*
 * A range of answers up to the first NUL, then A records of four bytes each: what is listed is inside
 * a range, what is an error of the list never is a listing, and the order of records does not matter.
 */
#include "policy/dnsbl/answer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ADDRESSES_MAX = 64 };

static void
check(const struct answer_range *ranges, size_t n_ranges, uint32_t *addresses, size_t n)
{
	uint32_t deciding, again;
	enum answer_type type = answer_type(ranges, n_ranges, addresses, n, &deciding);
	bool has_error = false, has_listing = false;

	for (size_t i = 0; i < n; i++) {
		has_error |= answer_is_error(addresses[i]);
		for (size_t k = 0; k < n_ranges; k++)
			has_listing |= answer_range_has(&ranges[k], addresses[i]);
	}
	must((type == ANSWER_ERROR) == has_error);
	must((type == ANSWER_LISTED) == (!has_error && has_listing));
	must(type != ANSWER_NOT_LISTED || deciding == 0); /* 0.0.0.0 is an error of the list */
	for (size_t i = 0; i < n / 2; i++) {
		uint32_t other = addresses[n - 1 - i];

		addresses[n - 1 - i] = addresses[i];
		addresses[i] = other;
	}
	must(answer_type(ranges, n_ranges, addresses, n, &again) == type);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span rest = span_of(data, size), text = span_cut(&rest, '\0');
	struct answer_range ranges[ANSWER_RANGES_MAX];
	uint32_t addresses[ADDRESSES_MAX];
	size_t n_ranges = 0, n = 0;

	while (text.n > 0 && n_ranges < ANSWER_RANGES_MAX) {
		struct err err = {0};

		if (answer_range_parse(span_cut(&text, ','), &ranges[n_ranges], &err) == 0)
			n_ranges++;
		else
			must(err.code == E_SYNTAX && err.text[0] != '\0');
	}
	if (n_ranges == 0)
		ranges[n_ranges++] = answer_range_default();
	for (; rest.n >= 4 && n < ADDRESSES_MAX; rest = span_skip(rest, 4), n++) {
		const unsigned char *b = (const unsigned char *)rest.p;

		addresses[n] =
		    (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
	}
	check(ranges, n_ranges, addresses, n);
	return 0;
}

#include "relay/spool/crc32c.h"

#include <string.h>
#if defined(__x86_64__)
#include <nmmintrin.h>
#include <wmmintrin.h>
#endif

enum {
	CRC_BYTES = 256,
	CRC_LANE = 256, /* bytes of each of the three parts that are read side by side */
	CRC_REDUCED =
	    33, /* powers of x that a carry-less product of two reflected words and crc32 of it add */
};
static const uint32_t crc_polynomial = 0x82f63b78u; /* reflected */

static uint32_t crc_table[CRC_BYTES];
static uint32_t crc_past_one, crc_past_two; /* factors that move a CRC past one and two lanes */
static uint32_t (*crc_best)(uint32_t crc, const void *p, size_t n) = crc32c_by_table;

uint32_t
crc32c_by_table(uint32_t crc, const void *p, size_t n)
{
	const unsigned char *at = p;

	crc = ~crc;
	for (; n > 0; n--)
		crc = crc_table[(crc ^ *at++) & 0xff] ^ (crc >> 8);
	return ~crc;
}

#if defined(__x86_64__)
static uint64_t
crc_word(const unsigned char *p)
{
	uint64_t word;

	memcpy(&word, p, sizeof(word));
	return word;
}

/* The CRC `state` followed by as many zero bytes as `factor` stands for. */
__attribute__((target("sse4.2,pclmul"))) static uint64_t
crc_past(uint64_t state, uint32_t factor)
{
	__m128i product =
	    _mm_clmulepi64_si128(_mm_cvtsi64_si128((int64_t)state), _mm_cvtsi64_si128(factor), 0);

	return _mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

/* The instruction takes three cycles, and one can begin in each: three lanes side by side, joined at their ends. */
__attribute__((target("sse4.2,pclmul"))) static uint32_t
crc32c_by_sse(uint32_t crc, const void *p, size_t n)
{
	const unsigned char *at = p;
	uint64_t state = ~crc;

	for (; n >= 3 * CRC_LANE; n -= 3 * CRC_LANE, at += 3 * CRC_LANE) {
		uint64_t second = 0, third = 0;

		for (size_t i = 0; i < CRC_LANE; i += sizeof(uint64_t)) {
			state = _mm_crc32_u64(state, crc_word(at + i));
			second = _mm_crc32_u64(second, crc_word(at + CRC_LANE + i));
			third = _mm_crc32_u64(third, crc_word(at + (size_t)2 * CRC_LANE + i));
		}
		state = crc_past(state, crc_past_two) ^ crc_past(second, crc_past_one) ^ third;
	}
	for (; n >= sizeof(uint64_t); n -= sizeof(uint64_t), at += sizeof(uint64_t))
		state = _mm_crc32_u64(state, crc_word(at));
	for (; n > 0; n--)
		state = _mm_crc32_u8((uint32_t)state, *at++);
	return ~(uint32_t)state;
}
#endif

/* x to that power modulo the polynomial, reflected. */
static uint32_t
crc_power(size_t power)
{
	uint32_t value = UINT32_C(1) << 31;

	for (; power > 0; power--)
		value = (value >> 1) ^ ((value & 1) != 0 ? crc_polynomial : 0);
	return value;
}

/* Before main, so that no thread ever sees a half-made table. */
__attribute__((constructor)) static void
crc32c_prepare(void)
{
	for (uint32_t i = 0; i < CRC_BYTES; i++) {
		uint32_t value = i;

		for (int bit = 0; bit < 8; bit++)
			value = (value >> 1) ^ ((value & 1) != 0 ? crc_polynomial : 0);
		crc_table[i] = value;
	}
#if defined(__x86_64__)
	__builtin_cpu_init();
	crc_past_one = crc_power((size_t)8 * CRC_LANE - CRC_REDUCED);
	crc_past_two = crc_power((size_t)8 * 2 * CRC_LANE - CRC_REDUCED);
	if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul"))
		crc_best = crc32c_by_sse;
#endif
}

uint32_t
crc32c(uint32_t crc, const void *p, size_t n)
{
	return crc_best(crc, p, n);
}

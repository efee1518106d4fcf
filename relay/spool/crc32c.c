#include "relay/spool/crc32c.h"

#include <string.h>
#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

enum { CRC_BYTES = 256 };
static const uint32_t crc_polynomial = 0x82f63b78u; /* reflected */

static uint32_t crc_table[CRC_BYTES];
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
__attribute__((target("sse4.2"))) static uint32_t
crc32c_by_sse(uint32_t crc, const void *p, size_t n)
{
	const unsigned char *at = p;
	uint64_t state = ~crc;

	for (; n >= sizeof(uint64_t); n -= sizeof(uint64_t), at += sizeof(uint64_t)) {
		uint64_t word;

		memcpy(&word, at, sizeof(word));
		state = _mm_crc32_u64(state, word);
	}
	for (; n > 0; n--)
		state = _mm_crc32_u8((uint32_t)state, *at++);
	return ~(uint32_t)state;
}
#endif

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
	if (__builtin_cpu_supports("sse4.2"))
		crc_best = crc32c_by_sse;
#endif
}

uint32_t
crc32c(uint32_t crc, const void *p, size_t n)
{
	return crc_best(crc, p, n);
}

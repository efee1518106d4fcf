#include "relay/base/rng.h"
#include "relay/base/err.h"

#include <string.h>
#include <sys/random.h>

static uint64_t seeded; /* 0: the kernel's */

/* SplitMix64 (Steele, Lea, Flood 2014): for tests only. */
static uint64_t
next_seeded(void)
{
	uint64_t z = (seeded += 0x9e3779b97f4a7c15ULL);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
	return z ^ (z >> 31);
}

void
rng_bytes(void *to, size_t n)
{
	char *p = to;

	while (n > 0) {
		if (seeded != 0) {
			uint64_t word = next_seeded();
			size_t take = n < sizeof(word) ? n : sizeof(word);

			memcpy(p, &word, take);
			p += take;
			n -= take;
		} else {
			ssize_t got = getrandom(p, n, 0);

			must(got > 0);
			p += got;
			n -= (size_t)got;
		}
	}
}

uint64_t
rng_u64(void)
{
	uint64_t value;

	rng_bytes(&value, sizeof(value));
	return value;
}

uint32_t
rng_below(uint32_t bound)
{
	uint64_t limit, value;

	must(bound > 0);
	limit = UINT64_MAX - UINT64_MAX % bound;
	do
		value = rng_u64();
	while (value >= limit);
	return (uint32_t)(value % bound);
}

void
rng_seed(uint64_t seed)
{
	seeded = seed | 1;
}

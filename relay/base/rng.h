/* rng.h - the only source of randomness, so that tests can own it. */
#ifndef BASE_RNG_H
#define BASE_RNG_H
#include <stddef.h>
#include <stdint.h>

void rng_bytes(void *to, size_t n); /* from the kernel; from the seed after rng_seed */
uint64_t rng_u64(void);
uint32_t rng_below(uint32_t bound); /* even, 0 <= x < bound; bound > 0 */
void rng_seed(uint64_t seed);       /* tests only: a repeatable sequence from here on */

#endif

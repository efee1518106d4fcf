#include "relay/front/guesses.h"
#include "relay/base/clock.h"

enum { WAIT_DOUBLINGS = 5, COUNT_BITS = 8, COUNT_MAX = (1 << COUNT_BITS) - 1 };

/* How many, and when the last one was, as one number: the later, the larger. */
static int64_t
packed(int64_t last_ms, unsigned n)
{
	return last_ms << COUNT_BITS | (n < COUNT_MAX ? n : COUNT_MAX);
}

static uint64_t
name_of(const struct tallies *t, const struct ip *client)
{
	return tallies_name(t, 0, client);
}

/* Those that are not forgotten. */
static unsigned
failures(const struct tallies *t, uint64_t name)
{
	int64_t now_ms = clock_mono_ms();
	int64_t value = tallies_largest(t, TALLY_GUESSES, name, packed(now_ms, COUNT_MAX));

	return now_ms - (value >> COUNT_BITS) < GUESSES_FORGET_MS ? (unsigned)(value & COUNT_MAX)
								  : 0;
}

int64_t
guesses_failed(struct tallies *t, const struct ip *client)
{
	uint64_t name = name_of(t, client);
	unsigned n = failures(t, name);
	int64_t now_ms = clock_mono_ms(), wait_ms = GUESSES_FIRST_MS, keep_from = 1;

	if (now_ms > GUESSES_FORGET_MS)
		keep_from = packed(now_ms - GUESSES_FORGET_MS, COUNT_MAX) + 1;
	if (!tallies_set(t, TALLY_GUESSES, name, packed(now_ms, n + 1), keep_from))
		return GUESSES_WAIT_MAX_MS;
	for (unsigned i = 0; i < n && i < WAIT_DOUBLINGS; i++)
		wait_ms *= 2;
	return wait_ms;
}

bool
guesses_is_refused(const struct tallies *t, const struct ip *client)
{
	return failures(t, name_of(t, client)) >= GUESSES_MAX;
}

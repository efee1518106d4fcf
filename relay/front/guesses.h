/*
 * guesses.h - failed sign-ins by client address (IPv6: its /64), over all fronts (tallies.h), so that
 * guessing gets slow: each failure doubles the wait before the next is told, and an address with too
 * many hears no more.  Failures are forgotten after a while without new ones.
 */
#ifndef FRONT_GUESSES_H
#define FRONT_GUESSES_H
#include "policy/rate/tallies.h"

enum {
	GUESSES_FIRST_MS = 1000,
	GUESSES_WAIT_MAX_MS = 32000,
	GUESSES_MAX = 20, /* failures; then an address is refused until they are forgotten */
	GUESSES_FORGET_MS = 10 * 60 * 1000
};

/* One more; returns how long its answer should wait, in milliseconds.  GUESSES_WAIT_MAX_MS when there
 * are so many addresses that this one is not remembered. */
int64_t guesses_failed(struct tallies *t, const struct ip *client);
bool guesses_is_refused(const struct tallies *t, const struct ip *client);

#endif

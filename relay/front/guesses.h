/*
 * guesses.h - failed sign-ins by client address (IPv6: its /64), so that guessing gets slow: each
 * failure doubles the wait before the next is told, and an address with too many hears no more.
 * Failures are forgotten after a while without new ones; the table is swept whenever it has doubled, so
 * that it holds no more than twice those of that while.
 */
#ifndef FRONT_GUESSES_H
#define FRONT_GUESSES_H
#include "relay/base/ip.h"

enum {
	GUESSES_FIRST_MS = 1000,
	GUESSES_WAIT_MAX_MS = 32000,
	GUESSES_MAX = 20, /* failures; then an address is refused until they are forgotten */
	GUESSES_FORGET_MS = 10 * 60 * 1000,
	GUESSES_CLIENTS_MAX = 65536, /* more than these: the newest are not remembered */
	GUESSES_SWEEP_MIN = 256      /* clients; fewer are not worth a look */
};

struct guesses;

struct guesses *guesses_new(void);
void guesses_free(struct guesses **g);
/* One more; returns how long its answer should wait, in milliseconds. */
int64_t guesses_failed(struct guesses *g, const struct ip *client);
size_t guesses_count(const struct guesses *g); /* addresses in the table */
bool guesses_is_refused(const struct guesses *g, const struct ip *client);

#endif

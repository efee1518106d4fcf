/*
 * known.h - what sources have said of recipients, as long as it counts, bounded in number.
 *
 * A positive answer past its time is kept a while longer, for when its source is away; a negative
 * one is not: a mailbox made since then would be refused.  Pure but for memory: the time is the
 * caller's.
 */
#ifndef LOOKUP_KNOWN_H
#define LOOKUP_KNOWN_H
#include "policy/config/config.h"
#include "relay/ipc/lookup.h"

enum { KNOWN_ENTRIES_MAX = 100000 };

struct known;

struct known_answer {
	enum recipient_state state; /* RECIPIENT_EXISTS or RECIPIENT_NONE */
	int64_t learned_ms, expires_ms, stale_until_ms;
	char why[LOOKUP_WHY_MAX + 1];
};

struct known *known_new(size_t max_entries);
void known_free(struct known **k);
/* The address in any case.  False: nothing is known.  Fresh while now_ms < out->expires_ms, else
 * stale. */
bool known_get(struct known *k, struct span address, int64_t now_ms, struct known_answer *out);
/* `state` is RECIPIENT_EXISTS or RECIPIENT_NONE.  When full, the oldest goes. */
void known_put(struct known *k, struct span address, int64_t now_ms, const struct conf_keep *keep,
    enum recipient_state state, const char *why);
bool known_drop(struct known *k, struct span address); /* false: was not there */
size_t known_drop_all(struct known *k);                /* how many there were */
size_t known_count(const struct known *k);

#endif

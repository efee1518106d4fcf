/*
 * cache.h - answers kept as long as their TTL says, bounded in number.
 *
 * Owned by the resolver.  Keys are (type, name without case).  Answers are kept encoded, some
 * fifty bytes instead of three kilobytes.  Pure but for memory: the time is the caller's.
 */
#ifndef LOOKUP_CACHE_H
#define LOOKUP_CACHE_H
#include "relay/ipc/lookup.h"

enum {
	CACHE_ENTRIES_MAX = 100000,
	CACHE_TTL_MIN_S = 1,
	CACHE_TTL_MAX_S = 86400,
	CACHE_NEGATIVE_MAX_S = 900
};

enum { CACHE_KEY_MAX = LOOKUP_NAME_MAX + 1 };

struct cache_key {
	char bytes[CACHE_KEY_MAX];
	size_t n;
};

struct cache;

struct cache *cache_new(size_t max_entries);
void cache_free(struct cache **c);

/* type and lower-case name; the name has been found askable. */
struct cache_key cache_key(enum dns_type type, struct span name);

/* True with the answer and the seconds it has left (at least 1). */
bool cache_get(
    struct cache *c, const struct cache_key *key, int64_t now_ms, struct dns_answer *out);

/* Keeps DNS_FOUND and DNS_NONE; failures and time-outs are not knowledge and not kept.  When full,
 * what has expired goes first, then the oldest. */
void cache_put(
    struct cache *c, const struct cache_key *key, int64_t now_ms, const struct dns_answer *a);
size_t cache_count(const struct cache *c);

/* The TTL an answer is kept for after the limits above, in seconds. */
uint32_t cache_ttl_s(const struct dns_answer *a);

#endif

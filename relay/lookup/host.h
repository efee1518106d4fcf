/*
 * host.h - the addresses of a host that the configuration names: A records, else AAAA, by the
 * resolver and its cache.
 */
#ifndef LOOKUP_HOST_H
#define LOOKUP_HOST_H
#include "relay/lookup/resolver.h"

enum { HOST_ADDRESSES_MAX = 8 };

/* The addresses a name had last, kept by whoever searches for it again; all zeros: none yet. */
struct host_memory {
	struct ip found[HOST_ADDRESSES_MAX];
	size_t n_found;
};

/* Embedded in its owner; all zeros: not searching. */
struct host_search {
	struct resolver *resolver;
	struct waiter *waiter;
	struct timer *soon;
	struct loop *loop;
	char name[LOOKUP_NAME_MAX + 1];
	uint32_t timeout_ms;
	bool is_fresh;
	struct host_memory *memory;
	struct ip found[HOST_ADDRESSES_MAX];
	size_t n_found;
	/* n 0: none are known now. */
	void (*on_done)(void *arg, const struct ip *addresses, size_t n);
	void *arg;
};

/*
 * Set on_done and arg first.  on_done is called once, from the loop, never from inside.  A DNS that
 * fails, or denies a name that has been there, is no reason to lose a server: its addresses are
 * then those in `memory`, which outlives the search.  is_fresh: not from the cache, for a server
 * that could not be reached at the addresses there.
 */
void host_search_start(struct host_search *h, struct loop *loop, struct resolver *r,
    struct span name, uint32_t timeout_ms, bool is_fresh, struct host_memory *memory);
void host_search_cancel(struct host_search *h);

#endif

/*
 * pool_policies.h - the policies that workers may be asked with: the current one, and those that sessions
 * which began with an older one still hold.  Each is a sealed memory file, sent to a worker when it needs it.
 */
#ifndef FRONT_POOL_POLICIES_H
#define FRONT_POOL_POLICIES_H
#include "relay/base/list.h"
#include "relay/base/span.h"

struct pool_policy {
	struct list node;
	uint64_t version;
	int fd; /* of the policy bundle */
	size_t holders;
};

struct pool_policies {
	struct list all; /* the current one last */
};

void policies_init(struct pool_policies *p);
void policies_free(struct pool_policies *p);
/* It is the current one now; the one before goes if nobody holds it. */
const struct pool_policy *policies_add(
    struct pool_policies *p, uint64_t version, struct span bundle);
struct pool_policy *policies_find(const struct pool_policies *p, uint64_t version); /* or NULL */
struct pool_policy *policies_current(const struct pool_policies *p); /* NULL: there is none yet */
/* One that is there; each hold is released once. */
void policies_hold(struct pool_policies *p, uint64_t version);
void policies_release(struct pool_policies *p, uint64_t version);

#endif

#include "relay/front/pool_policies.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/front/files.h"
#include "relay/ipc/channel.h"

#include <unistd.h>

void
policies_init(struct pool_policies *p)
{
	list_init(&p->all);
}

static void
drop(struct pool_policy *v)
{
	list_remove(&v->node);
	(void)close(v->fd); /* memory only */
	files_give(1);
	mem_free(v);
}

void
policies_free(struct pool_policies *p)
{
	LIST_FOR_SAFE (it, &p->all)
		drop(LIST_ENTRY(it, struct pool_policy, node));
}

struct pool_policy *
policies_find(const struct pool_policies *p, uint64_t version)
{
	LIST_FOR (it, &p->all) {
		struct pool_policy *v = LIST_ENTRY(it, struct pool_policy, node);

		if (v->version == version)
			return v;
	}
	return NULL;
}

struct pool_policy *
policies_current(const struct pool_policies *p)
{
	return list_is_empty(&p->all) ? NULL : LIST_ENTRY(p->all.prev, struct pool_policy, node);
}

static void
drop_unused(struct pool_policies *p, struct pool_policy *v)
{
	if (v != NULL && v->holders == 0 && v != policies_current(p))
		drop(v);
}

const struct pool_policy *
policies_add(struct pool_policies *p, uint64_t version, struct span bundle)
{
	struct pool_policy *v = mem_alloc(sizeof(*v)), *before = policies_current(p);

	v->version = version;
	v->fd = channel_seal(bundle, "policy");
	must(v->fd >= 0);
	files_take(1);
	list_append(&p->all, &v->node);
	drop_unused(p, before);
	return v;
}

void
policies_hold(struct pool_policies *p, uint64_t version)
{
	struct pool_policy *v = policies_find(p, version);

	must(v != NULL);
	v->holders++;
}

void
policies_release(struct pool_policies *p, uint64_t version)
{
	struct pool_policy *v = policies_find(p, version);

	must(v != NULL && v->holders > 0);
	v->holders--;
	drop_unused(p, v);
}

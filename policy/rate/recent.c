#include "policy/rate/recent.h"
#include "relay/base/map.h"
#include "relay/base/mem.h"

struct recent {
	struct map *young, *old; /* -> records */
	size_t size, half;
};

struct recent *
recent_new(size_t size, size_t max)
{
	struct recent *r = mem_alloc(sizeof(*r));

	r->young = map_new();
	r->old = map_new();
	r->size = size;
	r->half = max / 2;
	return r;
}

static void
drop(struct map **m)
{
	struct span key;
	void *record;
	size_t at = 0;

	while (map_next(*m, &at, &key, &record))
		mem_free(record);
	map_free(m);
}

void
recent_free(struct recent **r)
{
	if (*r == NULL)
		return;
	drop(&(*r)->young);
	drop(&(*r)->old);
	mem_free(*r);
	*r = NULL;
}

/* Makes room for one more young record. */
static void
grow_old(struct recent *r)
{
	if (map_count(r->young) < r->half)
		return;
	drop(&r->old);
	r->old = r->young;
	r->young = map_new();
}

void *
recent_get(struct recent *r, struct span key)
{
	void *record = map_get(r->young, key);

	if (record != NULL)
		return record;
	record = map_remove(r->old, key);
	if (record == NULL)
		return NULL;
	grow_old(r);
	(void)map_set(r->young, key, record); /* none stood there */
	return record;
}

void *
recent_add(struct recent *r, struct span key)
{
	void *record = recent_get(r, key);

	if (record != NULL)
		return record;
	grow_old(r);
	record = mem_alloc(r->size);
	(void)map_set(r->young, key, record); /* none stood there */
	return record;
}

void
recent_remove(struct recent *r, struct span key)
{
	mem_free(map_remove(r->young, key));
	mem_free(map_remove(r->old, key));
}

size_t
recent_count(const struct recent *r)
{
	return map_count(r->young) + map_count(r->old);
}

void
recent_each(const struct recent *r,
    void (*on_record)(void *arg, struct span key, const void *record), void *arg)
{
	const struct map *const generations[] = {r->young, r->old};

	for (int i = 0; i < 2; i++) {
		struct span key;
		void *record;
		size_t at = 0;

		while (map_next(generations[i], &at, &key, &record))
			on_record(arg, key, record);
	}
}

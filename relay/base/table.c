#include "relay/base/table.h"
#include "relay/base/mem.h"

#include <string.h>

enum { TABLE_FIRST = 64 };

static uint64_t
key_of(const struct table *t, const void *entry)
{
	uint64_t key;

	memcpy(&key, (const char *)entry + t->key_at, sizeof(key));
	return key;
}

/* Serials follow each other: Fibonacci hashing (Knuth, volume 3, 6.4) spreads them. */
static size_t
home_of(const struct table *t, uint64_t key)
{
	return (size_t)((key * UINT64_C(0x9e3779b97f4a7c15)) >> 20) & (t->size - 1);
}

/* The slot that holds `key`, or the free one where it would go. */
static size_t
find(const struct table *t, uint64_t key)
{
	size_t i = home_of(t, key);

	while (t->slots[i] != NULL && key_of(t, t->slots[i]) != key)
		i = (i + 1) & (t->size - 1);
	return i;
}

static void
grow(struct table *t)
{
	struct table bigger = {
	    .key_at = t->key_at, .size = t->size > 0 ? t->size * 2 : TABLE_FIRST};

	bigger.slots = mem_array(bigger.size, sizeof(*bigger.slots));
	for (size_t i = 0; i < t->size; i++)
		if (t->slots[i] != NULL)
			bigger.slots[find(&bigger, key_of(t, t->slots[i]))] = t->slots[i];
	bigger.count = t->count;
	mem_free(t->slots);
	*t = bigger;
}

void *
table_get(const struct table *t, uint64_t key)
{
	return t->size > 0 ? t->slots[find(t, key)] : NULL;
}

bool
table_add(struct table *t, void *entry)
{
	size_t i;

	if (t->count >= t->size - t->size / 4)
		grow(t);
	i = find(t, key_of(t, entry));
	if (t->slots[i] != NULL)
		return false;
	t->slots[i] = entry;
	t->count++;
	return true;
}

/* Whether an entry at `at` whose home is `home` may move back to the hole: the hole lies between. */
static bool
may_move(const struct table *t, size_t home, size_t hole, size_t at)
{
	return ((hole - home) & (t->size - 1)) < ((at - home) & (t->size - 1));
}

void *
table_remove(struct table *t, uint64_t key)
{
	size_t hole, i;
	void *gone;

	if (t->size == 0)
		return NULL;
	hole = find(t, key);
	gone = t->slots[hole];
	if (gone == NULL)
		return NULL;
	/* What follows closes the gap, so that no search stops early. */
	for (i = (hole + 1) & (t->size - 1); t->slots[i] != NULL; i = (i + 1) & (t->size - 1))
		if (may_move(t, home_of(t, key_of(t, t->slots[i])), hole, i)) {
			t->slots[hole] = t->slots[i];
			hole = i;
		}
	t->slots[hole] = NULL;
	t->count--;
	return gone;
}

void *
table_next(const struct table *t, size_t *at)
{
	while (*at < t->size) {
		void *entry = t->slots[(*at)++];

		if (entry != NULL)
			return entry;
	}
	return NULL;
}

void
table_free(struct table *t)
{
	mem_free(t->slots);
	t->slots = NULL;
	t->size = t->count = 0;
}

#include "relay/spool/serials.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/spool/store.h"

enum { SERIALS_FIRST = 64 }; /* powers of two; at most three quarters are taken */

/* Fibonacci hashing: serials that follow each other go far apart. */
static size_t
slot_of(const struct serials *s, uint64_t serial)
{
	return (size_t)((serial * 0x9e3779b97f4a7c15ull) >> 20) & (s->size - 1);
}

static size_t
find(const struct serials *s, uint64_t serial)
{
	size_t i = slot_of(s, serial);

	while (s->slots[i] != NULL && s->slots[i]->serial != serial)
		i = (i + 1) & (s->size - 1);
	return i;
}

struct spool_message *
serials_get(const struct serials *s, uint64_t serial)
{
	return s->size > 0 ? s->slots[find(s, serial)] : NULL;
}

static void
grow(struct serials *s)
{
	struct serials larger = {.size = s->size > 0 ? s->size * 2 : SERIALS_FIRST};

	larger.slots = mem_array(larger.size, sizeof(struct spool_message *));
	larger.count = s->count;
	for (size_t i = 0; i < s->size; i++)
		if (s->slots[i] != NULL)
			larger.slots[find(&larger, s->slots[i]->serial)] = s->slots[i];
	mem_free(s->slots);
	*s = larger;
}

void
serials_put(struct serials *s, struct spool_message *m)
{
	size_t i;

	if (s->count >= s->size / 4 * 3)
		grow(s);
	i = find(s, m->serial);
	must(s->slots[i] == NULL || s->slots[i] == m);
	s->count += s->slots[i] == NULL;
	s->slots[i] = m;
}

/* What stood behind moves up, so that no search ends early and no slot is wasted. */
void
serials_remove(struct serials *s, uint64_t serial)
{
	size_t hole = find(s, serial), mask = s->size - 1;

	must(s->slots[hole] != NULL);
	for (size_t i = (hole + 1) & mask; s->slots[i] != NULL; i = (i + 1) & mask) {
		size_t home = slot_of(s, s->slots[i]->serial);

		if (((i - home) & mask) < ((i - hole) & mask))
			continue;
		s->slots[hole] = s->slots[i];
		hole = i;
	}
	s->slots[hole] = NULL;
	s->count--;
}

struct spool_message *
serials_next(const struct serials *s, size_t *at)
{
	while (*at < s->size) {
		struct spool_message *m = s->slots[(*at)++];

		if (m != NULL)
			return m;
	}
	return NULL;
}

void
serials_clear(struct serials *s)
{
	mem_free(s->slots);
	*s = (struct serials){0};
}

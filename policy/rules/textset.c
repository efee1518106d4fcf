#include "policy/rules/textset.h"
#include "relay/base/map.h"
#include "relay/base/mem.h"

enum { SLOTS_FIRST = 64, BYTES_FIRST = 1024, LENGTH_BYTES = 2 };

/* Lower case into `to`, which has room for TEXTSET_TEXT_MAX. */
static struct span
lowered(struct span text, char *to)
{
	for (size_t i = 0; i < text.n; i++)
		to[i] = char_lower(text.p[i]);
	return span_of(to, text.n);
}

static struct span
member(const struct textset *set, uint32_t slot)
{
	const unsigned char *p = (const unsigned char *)set->bytes + (slot - 1);

	return span_of(p + LENGTH_BYTES, (size_t)p[0] | (size_t)p[1] << 8);
}

/* The slot that holds the text, or the free one where it would stand. */
static uint32_t *
slot_for(const struct textset *set, struct span lower)
{
	for (size_t i = map_hash(lower) & (set->size - 1);; i = (i + 1) & (set->size - 1))
		if (set->slots[i] == 0 || span_eq(member(set, set->slots[i]), lower))
			return &set->slots[i];
}

static void
grow_slots(struct textset *set)
{
	uint32_t *old = set->slots;
	size_t old_size = set->size;

	set->size = old_size == 0 ? SLOTS_FIRST : old_size * 2;
	set->slots = mem_array(set->size, sizeof(*set->slots));
	for (size_t i = 0; i < old_size; i++)
		if (old[i] != 0)
			*slot_for(set, member(set, old[i])) = old[i];
	mem_free(old);
}

bool
textset_add(struct textset *set, struct span text)
{
	char room[TEXTSET_TEXT_MAX];
	struct span lower;
	uint32_t *slot;

	if (text.n > sizeof(room) || set->n > UINT32_MAX - LENGTH_BYTES - sizeof(room) - 1)
		return false;
	if ((set->count + 1) * 3 > set->size * 2)
		grow_slots(set);
	lower = lowered(text, room);
	slot = slot_for(set, lower);
	if (*slot != 0)
		return true;
	if (set->cap - set->n < LENGTH_BYTES + lower.n) {
		set->cap = set->cap == 0 ? BYTES_FIRST : set->cap * 2;
		set->bytes = mem_grow(set->bytes, set->cap);
	}
	*slot = (uint32_t)set->n + 1;
	set->bytes[set->n++] = (char)(lower.n & 0xff);
	set->bytes[set->n++] = (char)(lower.n >> 8);
	if (lower.n > 0)
		memcpy(set->bytes + set->n, lower.p, lower.n);
	set->n += lower.n;
	set->count++;
	if (set->count == 1 || lower.n < set->shortest)
		set->shortest = lower.n;
	if (lower.n > set->longest)
		set->longest = lower.n;
	return true;
}

bool
textset_has(const struct textset *set, struct span text)
{
	char room[TEXTSET_TEXT_MAX];

	if (set->count == 0 || text.n < set->shortest || text.n > set->longest)
		return false;
	return *slot_for(set, lowered(text, room)) != 0;
}

void
textset_free(struct textset *set)
{
	mem_free(set->bytes);
	mem_free(set->slots);
	*set = (struct textset){0};
}

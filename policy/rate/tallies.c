#include "policy/rate/tallies.h"
#include "relay/base/err.h"
#include "relay/base/map.h"
#include "relay/base/mem.h"
#include "relay/base/rng.h"

#include <stdatomic.h>

enum {
	V4_BITS = 32,
	V6_BITS = 64,
	WINDOW = 32, /* places in which one name may stand */
	HELD = 128 * 1024,
	RATES = 256 * 1024,
	GUESSES = 128 * 1024,
	PATIENT = 128 * 1024
};

/* A name is 0 while its place changes hands: who reads it before and after the value knows whose
 * the value is. */
struct place {
	_Atomic uint64_t name;
	_Atomic int64_t value;
};

struct page {
	struct place held[HELD], rates[RATES], guesses[GUESSES], patient[PATIENT];
};

_Static_assert(sizeof(struct page) == TALLIES_BYTES, "as the header says");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "no lock can stand in memory that is shared");

struct tallies {
	struct page *own;
	const struct page *others[TALLIES_PAGES_MAX];
	size_t n_others;
	uint64_t secret[2];
	void *memory; /* our own page, where it is nobody else's */
};

struct tallies *
tallies_over(void *own, const void *const *others, size_t n_others, const uint64_t secret[2])
{
	struct tallies *t = mem_alloc(sizeof(*t));

	must(n_others <= TALLIES_PAGES_MAX);
	t->own = own;
	for (size_t i = 0; i < n_others; i++)
		t->others[i] = others[i];
	t->n_others = n_others;
	memcpy(t->secret, secret, sizeof(t->secret));
	return t;
}

struct tallies *
tallies_new(void)
{
	void *page = mem_alloc(TALLIES_BYTES);
	struct tallies *t;
	uint64_t secret[2];

	rng_bytes(secret, sizeof(secret));
	t = tallies_over(page, NULL, 0, secret);
	t->memory = page;
	return t;
}

void
tallies_free(struct tallies **t)
{
	if (*t == NULL)
		return;
	mem_free((*t)->memory);
	mem_free(*t);
	*t = NULL;
}

uint64_t
tallies_name(const struct tallies *t, unsigned matter, const struct ip *client)
{
	struct ip network = ip_network(client, V4_BITS, V6_BITS);
	char key[sizeof(matter) + sizeof(network.bytes)];
	uint64_t name;

	memcpy(key, &matter, sizeof(matter));
	memcpy(key + sizeof(matter), network.bytes, sizeof(network.bytes));
	name = map_hash_keyed(t->secret, span_of(key, sizeof(key)));
	return name != 0 ? name : 1;
}

/* The places of one kind, and how many (a power of two). */
static const struct place *
places_of(const struct page *page, enum tally kind, size_t *n)
{
	switch (kind) {
	case TALLY_HELD:
		*n = HELD;
		return page->held;
	case TALLY_RATES:
		*n = RATES;
		return page->rates;
	case TALLY_GUESSES:
		*n = GUESSES;
		return page->guesses;
	case TALLY_PATIENT:
		break;
	}
	*n = PATIENT;
	return page->patient;
}

/* What stands in one page, which its owner may be writing; below 0 is 0. */
static int64_t
read_page(const struct page *page, enum tally kind, uint64_t name)
{
	size_t n;
	const struct place *places = places_of(page, kind, &n);

	for (size_t i = 0; i < WINDOW; i++) {
		const struct place *p = &places[(name + i) & (n - 1)];
		int64_t value;

		if (atomic_load(&p->name) != name)
			continue;
		value = atomic_load(&p->value);
		if (atomic_load(&p->name) == name)
			return value > 0 ? value : 0;
	}
	return 0;
}

int64_t
tallies_own(const struct tallies *t, enum tally kind, uint64_t name)
{
	return read_page(t->own, kind, name);
}

uint64_t
tallies_sum(const struct tallies *t, enum tally kind, uint64_t name)
{
	uint64_t sum = (uint64_t)read_page(t->own, kind, name);

	for (size_t i = 0; i < t->n_others; i++) {
		int64_t value = read_page(t->others[i], kind, name);

		sum += value < UINT32_MAX ? (uint64_t)value : UINT32_MAX; /* or it might overflow */
	}
	return sum;
}

int64_t
tallies_largest(const struct tallies *t, enum tally kind, uint64_t name, int64_t most)
{
	int64_t largest = read_page(t->own, kind, name);

	for (size_t i = 0; i < t->n_others; i++) {
		int64_t value = read_page(t->others[i], kind, name);

		largest = value > largest ? value : largest;
	}
	return largest < most ? largest : most;
}

/* Where it stands or could stand in our own page; NULL: nowhere. */
static struct place *
find_place(struct tallies *t, enum tally kind, uint64_t name, int64_t keep_from)
{
	size_t n;
	struct place *places = (struct place *)(uintptr_t)places_of(t->own, kind, &n);
	struct place *least = NULL;

	for (size_t i = 0; i < WINDOW; i++) {
		struct place *p = &places[(name + i) & (n - 1)];

		if (p->name == name)
			return p;
		if (p->value < keep_from && (least == NULL || p->value < least->value))
			least = p;
	}
	return least;
}

bool
tallies_set(struct tallies *t, enum tally kind, uint64_t name, int64_t value, int64_t keep_from)
{
	struct place *p = find_place(t, kind, name, keep_from);

	if (p == NULL)
		return false;
	if (p->name != name)
		atomic_store(&p->name, 0);
	atomic_store(&p->value, value);
	atomic_store(&p->name, name);
	return true;
}

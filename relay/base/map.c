#include "relay/base/map.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/base/rng.h"

enum { MAP_FIRST = 16, KEY_INLINE = 16 };

/* Open addressing; a removed slot keeps `hash` odd-marked as a tombstone until the next growth. */
struct slot {
	uint64_t hash;
	char *key; /* points to inline_key when it fits */
	size_t key_n;
	void *value; /* NULL: free or tombstone */
	bool is_tombstone;
	char inline_key[KEY_INLINE];
};

struct map {
	struct slot *slots;
	size_t size, count, filled; /* filled counts tombstones too */
};

static uint64_t hash_key[2];

static uint64_t
rotl(uint64_t x, int b)
{
	return (x << b) | (x >> (64 - b));
}

static void
sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[1] = rotl(v[1], 13) ^ v[0];
	v[0] = rotl(v[0], 32);
	v[2] += v[3];
	v[3] = rotl(v[3], 16) ^ v[2];
	v[0] += v[3];
	v[3] = rotl(v[3], 21) ^ v[0];
	v[2] += v[1];
	v[1] = rotl(v[1], 17) ^ v[2];
	v[2] = rotl(v[2], 32);
}

static uint64_t
load64(const char *p, size_t n)
{
	uint64_t w = 0;

	for (size_t i = 0; i < n; i++)
		w |= (uint64_t)(unsigned char)p[i] << (8 * i);
	return w;
}

/* SipHash-2-4, Aumasson and Bernstein 2012. */
uint64_t
map_hash_keyed(const uint64_t secret[2], struct span key)
{
	uint64_t v[4], w;
	size_t left = key.n;
	const char *p = key.p;

	v[0] = secret[0] ^ 0x736f6d6570736575ULL;
	v[1] = secret[1] ^ 0x646f72616e646f6dULL;
	v[2] = secret[0] ^ 0x6c7967656e657261ULL;
	v[3] = secret[1] ^ 0x7465646279746573ULL;
	for (; left >= 8; left -= 8, p += 8) {
		w = load64(p, 8);
		v[3] ^= w;
		sip_round(v);
		sip_round(v);
		v[0] ^= w;
	}
	w = load64(p, left) | (uint64_t)(key.n & 0xff) << 56;
	v[3] ^= w;
	sip_round(v);
	sip_round(v);
	v[0] ^= w;
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

uint64_t
map_hash(struct span key)
{
	if (hash_key[0] == 0) {
		rng_bytes(hash_key, sizeof(hash_key));
		hash_key[0] |= 1;
	}
	return map_hash_keyed(hash_key, key);
}

struct map *
map_new(void)
{
	return mem_alloc(sizeof(struct map));
}

static void
slot_clear(struct slot *s)
{
	if (s->key != NULL && s->key != s->inline_key)
		mem_free(s->key);
	s->key = NULL;
	s->value = NULL;
}

void
map_free(struct map **m)
{
	if (*m == NULL)
		return;
	for (size_t i = 0; i < (*m)->size; i++)
		slot_clear(&(*m)->slots[i]);
	mem_free((*m)->slots);
	mem_free(*m);
	*m = NULL;
}

static struct slot *
slot_find(const struct map *m, struct span key, uint64_t hash)
{
	if (m->size == 0)
		return NULL;
	for (size_t i = hash & (m->size - 1);; i = (i + 1) & (m->size - 1)) {
		struct slot *s = &m->slots[i];

		if (s->value == NULL && !s->is_tombstone)
			return NULL;
		if (s->value != NULL && s->hash == hash && span_eq(span_of(s->key, s->key_n), key))
			return s;
	}
}

static struct slot *
slot_free(struct map *m, uint64_t hash)
{
	size_t i = hash & (m->size - 1);

	while (m->slots[i].value != NULL)
		i = (i + 1) & (m->size - 1);
	return &m->slots[i];
}

static void
map_resize(struct map *m, size_t size)
{
	struct slot *old = m->slots;
	size_t old_size = m->size;

	m->slots = mem_array(size, sizeof(struct slot));
	m->size = size;
	m->filled = m->count;
	for (size_t i = 0; i < old_size; i++) {
		struct slot *to;

		if (old[i].value == NULL)
			continue;
		to = slot_free(m, old[i].hash);
		*to = old[i];
		if (old[i].key == old[i].inline_key)
			to->key = to->inline_key;
	}
	mem_free(old);
}

void *
map_get(const struct map *m, struct span key)
{
	struct slot *s = slot_find(m, key, map_hash(key));

	return s != NULL ? s->value : NULL;
}

void *
map_set(struct map *m, struct span key, void *value)
{
	uint64_t hash = map_hash(key);
	struct slot *s = slot_find(m, key, hash);

	must(value != NULL);
	if (s != NULL) {
		void *before = s->value;

		s->value = value;
		return before;
	}
	if ((m->filled + 1) * 4 > m->size * 3)
		map_resize(m, m->size == 0              ? MAP_FIRST
			      : m->count * 2 >= m->size ? m->size * 2
							: m->size);
	s = slot_free(m, hash);
	if (!s->is_tombstone)
		m->filled++;
	s->is_tombstone = false;
	s->hash = hash;
	s->key = key.n <= KEY_INLINE ? s->inline_key : mem_alloc(key.n);
	s->key_n = key.n;
	if (key.n > 0)
		memcpy(s->key, key.p, key.n);
	s->value = value;
	m->count++;
	return NULL;
}

void *
map_remove(struct map *m, struct span key)
{
	struct slot *s = slot_find(m, key, map_hash(key));
	void *value;

	if (s == NULL)
		return NULL;
	value = s->value;
	slot_clear(s);
	s->is_tombstone = true;
	m->count--;
	return value;
}

size_t
map_count(const struct map *m)
{
	return m->count;
}

bool
map_next(const struct map *m, size_t *at, struct span *key, void **value)
{
	for (; *at < m->size; (*at)++) {
		struct slot *s = &m->slots[*at];

		if (s->value == NULL)
			continue;
		if (key != NULL)
			*key = span_of(s->key, s->key_n);
		*value = s->value;
		(*at)++;
		return true;
	}
	return false;
}

static struct span
u64_key(const uint64_t *key)
{
	return span_of(key, sizeof(*key));
}

void *
map_get_u64(const struct map *m, uint64_t key)
{
	return map_get(m, u64_key(&key));
}

void *
map_set_u64(struct map *m, uint64_t key, void *value)
{
	return map_set(m, u64_key(&key), value);
}

void *
map_remove_u64(struct map *m, uint64_t key)
{
	return map_remove(m, u64_key(&key));
}

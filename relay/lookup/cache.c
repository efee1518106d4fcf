#include "relay/lookup/cache.h"
#include "relay/base/err.h"
#include "relay/base/list.h"
#include "relay/base/map.h"
#include "relay/base/mem.h"

enum {
	SWEEP_STEP = 4, /* entries looked at for each one put: expired ones go within a rotation */
	ANSWER_BYTES_MAX = 8192
};

struct entry {
	struct list age; /* oldest first */
	int64_t expires_ms;
	size_t key_n, answer_n;
	char bytes[]; /* the key, then a dns_answer_put */
};

struct cache {
	struct map *entries;
	struct list by_age;
	struct list *sweep; /* next to be looked at; the head: begin again */
	size_t max_entries;
	struct buf scratch;
};

struct cache *
cache_new(size_t max_entries)
{
	struct cache *c = mem_alloc(sizeof(*c));

	must(max_entries > 0);
	c->entries = map_new();
	list_init(&c->by_age);
	c->sweep = &c->by_age;
	c->max_entries = max_entries;
	c->scratch = BUF_INIT(ANSWER_BYTES_MAX);
	return c;
}

struct cache_key
cache_key(enum dns_type type, struct span name)
{
	struct cache_key key = {.n = name.n + 1};

	must(name.n <= LOOKUP_NAME_MAX);
	key.bytes[0] = (char)('0' + (int)type);
	for (size_t i = 0; i < name.n; i++)
		key.bytes[i + 1] = char_lower(name.p[i]);
	return key;
}

static struct span
key_span(const struct cache_key *key)
{
	return span_of(key->bytes, key->n);
}

static void
drop(struct cache *c, struct entry *e)
{
	if (c->sweep == &e->age)
		c->sweep = e->age.next;
	list_remove(&e->age);
	must(map_remove(c->entries, span_of(e->bytes, e->key_n)) == e);
	mem_free(e);
}

void
cache_free(struct cache **c)
{
	if (*c == NULL)
		return;
	LIST_FOR_SAFE (it, &(*c)->by_age)
		drop(*c, LIST_ENTRY(it, struct entry, age));
	map_free(&(*c)->entries);
	buf_free(&(*c)->scratch);
	mem_free(*c);
	*c = NULL;
}

bool
cache_get(struct cache *c, const struct cache_key *key, int64_t now_ms, struct dns_answer *out)
{
	struct entry *e = map_get(c->entries, key_span(key));

	if (e == NULL)
		return false;
	if (e->expires_ms <= now_ms) {
		drop(c, e);
		return false;
	}
	must(dns_answer_get(span_of(e->bytes + e->key_n, e->answer_n), out) == 0);
	out->ttl_s = (uint32_t)((e->expires_ms - now_ms + 999) / 1000);
	return true;
}

/* Looks at a few entries, each in its turn, and drops those that have expired. */
static void
sweep(struct cache *c, int64_t now_ms)
{
	for (int i = 0; i < SWEEP_STEP && !list_is_empty(&c->by_age); i++) {
		struct entry *e;

		if (c->sweep == &c->by_age)
			c->sweep = c->by_age.next;
		e = LIST_ENTRY(c->sweep, struct entry, age);
		c->sweep = c->sweep->next;
		if (e->expires_ms <= now_ms)
			drop(c, e);
	}
}

uint32_t
cache_ttl_s(const struct dns_answer *a)
{
	uint32_t most = a->status == DNS_NONE ? CACHE_NEGATIVE_MAX_S : CACHE_TTL_MAX_S;

	if (a->ttl_s < CACHE_TTL_MIN_S)
		return CACHE_TTL_MIN_S;
	return a->ttl_s < most ? a->ttl_s : most;
}

void
cache_put(struct cache *c, const struct cache_key *key, int64_t now_ms, const struct dns_answer *a)
{
	struct entry *e;

	if (a->status != DNS_FOUND && a->status != DNS_NONE)
		return;
	e = map_get(c->entries, key_span(key));
	if (e != NULL)
		drop(c, e);
	sweep(c, now_ms);
	if (map_count(c->entries) >= c->max_entries)
		drop(c, LIST_ENTRY(c->by_age.next, struct entry, age));
	buf_clear(&c->scratch);
	dns_answer_put(&c->scratch, a);
	must(!c->scratch.failed);
	e = mem_alloc(sizeof(*e) + key->n + c->scratch.n);
	e->expires_ms = now_ms + (int64_t)cache_ttl_s(a) * 1000;
	e->key_n = key->n;
	e->answer_n = c->scratch.n;
	memcpy(e->bytes, key->bytes, key->n);
	memcpy(e->bytes + key->n, c->scratch.p, c->scratch.n);
	list_append(&c->by_age, &e->age);
	(void)map_set(c->entries, key_span(key), e); /* dropped above: nothing stood there */
}

size_t
cache_count(const struct cache *c)
{
	return map_count(c->entries);
}

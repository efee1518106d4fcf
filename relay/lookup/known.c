#include "relay/lookup/known.h"
#include "relay/base/err.h"
#include "relay/base/list.h"
#include "relay/base/map.h"
#include "relay/base/mem.h"

enum { SWEEP_STEP = 2 /* of the oldest, looked at for each one put */ };

struct entry {
	struct list age; /* oldest first */
	enum recipient_state state;
	int64_t learned_ms, expires_ms, stale_until_ms;
	size_t key_n;
	char bytes[]; /* the key, then why with its NUL */
};

struct known {
	struct map *entries;
	struct list by_age;
	size_t max_entries;
};

struct key {
	char bytes[LOOKUP_ADDRESS_MAX];
	size_t n;
};

static struct span
key_of(struct span address, struct key *key)
{
	must(address.n <= LOOKUP_ADDRESS_MAX);
	for (size_t i = 0; i < address.n; i++)
		key->bytes[i] = char_lower(address.p[i]);
	return span_of(key->bytes, address.n);
}

struct known *
known_new(size_t max_entries)
{
	struct known *k = mem_alloc(sizeof(*k));

	must(max_entries > 0);
	k->entries = map_new();
	list_init(&k->by_age);
	k->max_entries = max_entries;
	return k;
}

static void
drop(struct known *k, struct entry *e)
{
	list_remove(&e->age);
	must(map_remove(k->entries, span_of(e->bytes, e->key_n)) == e);
	mem_free(e);
}

size_t
known_drop_all(struct known *k)
{
	size_t n = map_count(k->entries);

	LIST_FOR_SAFE (it, &k->by_age)
		drop(k, LIST_ENTRY(it, struct entry, age));
	return n;
}

void
known_free(struct known **k)
{
	if (*k == NULL)
		return;
	(void)known_drop_all(*k); /* all of them */
	map_free(&(*k)->entries);
	mem_free(*k);
	*k = NULL;
}

bool
known_get(struct known *k, struct span address, int64_t now_ms, struct known_answer *out)
{
	struct key key;
	struct entry *e = map_get(k->entries, key_of(address, &key));

	if (e == NULL)
		return false;
	if (e->stale_until_ms <= now_ms) {
		drop(k, e);
		return false;
	}
	*out = (struct known_answer){.state = e->state,
	    .learned_ms = e->learned_ms,
	    .expires_ms = e->expires_ms,
	    .stale_until_ms = e->stale_until_ms};
	(void)span_copy(span_str(e->bytes + e->key_n), out->why, sizeof(out->why)); /* as long */
	return true;
}

void
known_put(struct known *k, struct span address, int64_t now_ms, const struct conf_keep *keep,
    enum recipient_state state, const char *why)
{
	struct span text = span_take(span_str(why), LOOKUP_WHY_MAX);
	struct key key;
	struct span bytes = key_of(address, &key);
	struct entry *e = map_get(k->entries, bytes);

	must(state != RECIPIENT_UNKNOWN);
	if (e != NULL)
		drop(k, e);
	for (int i = 0; i < SWEEP_STEP && !list_is_empty(&k->by_age); i++) {
		e = LIST_ENTRY(k->by_age.next, struct entry, age);
		if (e->stale_until_ms > now_ms && map_count(k->entries) < k->max_entries)
			break;
		drop(k, e);
	}
	e = mem_alloc(sizeof(*e) + bytes.n + text.n + 1);
	e->state = state;
	e->learned_ms = now_ms;
	e->expires_ms =
	    now_ms + (state == RECIPIENT_EXISTS ? keep->positive_ms : keep->negative_ms);
	e->stale_until_ms = e->expires_ms + (state == RECIPIENT_EXISTS ? keep->stale_ms : 0);
	e->key_n = bytes.n;
	memcpy(e->bytes, bytes.p, bytes.n);
	memcpy(e->bytes + bytes.n, text.p, text.n); /* the NUL stands already */
	list_append(&k->by_age, &e->age);
	(void)map_set(k->entries, bytes, e); /* dropped above: nothing stood there */
}

bool
known_drop(struct known *k, struct span address)
{
	struct key key;
	struct entry *e = map_get(k->entries, key_of(address, &key));

	if (e != NULL)
		drop(k, e);
	return e != NULL;
}

size_t
known_count(const struct known *k)
{
	return map_count(k->entries);
}

/*
 * map.h - a hash table from bytes to a pointer (SipHash-2-4 with a key of this process's own,
 * since keys come from outside).  Keys are copied; values belong to the caller.
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H
#include "relay/base/span.h"

struct map;

struct map *map_new(void);
void map_free(struct map **m);                       /* the values are the caller's to free first */
void *map_get(const struct map *m, struct span key); /* NULL: not there */
/* Sets key to value (not NULL); returns the value that stood there before, or NULL. */
void *map_set(struct map *m, struct span key, void *value);
void *map_remove(struct map *m, struct span key); /* returns the value, NULL: was not there */
size_t map_count(const struct map *m);
/* Walks all entries: start with *at = 0; false at the end.  No change of the map meanwhile,
 * but map_remove of the entry just returned. */
bool map_next(const struct map *m, size_t *at, struct span *key, void **value);

/* Same, by a number. */
void *map_get_u64(const struct map *m, uint64_t key);
void *map_set_u64(struct map *m, uint64_t key, void *value);
void *map_remove_u64(struct map *m, uint64_t key);

uint64_t map_hash(struct span key); /* the keyed hash itself */
/* The same with a key of the caller's own, for what must mean the same after a restart. */
uint64_t map_hash_keyed(const uint64_t secret[2], struct span key);

#endif

/*
 * table.h - a hash table of structs by a 64-bit number that each of them holds: eight bytes a slot,
 * for the tables that have a million entries.  map.h is for keys of bytes and for small tables.
 *
 * The numbers must not be chosen by strangers: serials, or keyed hashes (map_hash).  No two entries
 * may have the same one.  The structs stay their owner's.
 */
#ifndef BASE_TABLE_H
#define BASE_TABLE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct table {
	size_t key_at; /* offset of the uint64_t in the structs; set by the owner, all else zero */
	void **slots;
	size_t size, count; /* size: a power of two, or 0 */
};

void *table_get(const struct table *t, uint64_t key); /* NULL: not there */
/* False: one with this number is there, and nothing has changed. */
bool table_add(struct table *t, void *entry);
void *table_remove(struct table *t, uint64_t key); /* the entry, NULL: was not there */
/* Walks all entries in no order: start with *at = 0; NULL at the end.  No change meanwhile. */
void *table_next(const struct table *t, size_t *at);
void table_free(struct table *t); /* not the entries */

#endif

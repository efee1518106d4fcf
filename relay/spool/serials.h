/*
 * serials.h - the index of live messages by serial: open addressing over pointers, since the general
 * map takes 112 bytes where this takes 16.  Serials are the spool's own, so no key is secret.
 */
#ifndef SPOOL_SERIALS_H
#define SPOOL_SERIALS_H
#include <stddef.h>
#include <stdint.h>

struct spool_message;

/* Zeroed: empty. The messages are the caller's. */
struct serials {
	struct spool_message **slots;
	size_t size, count;
};

struct spool_message *serials_get(const struct serials *s, uint64_t serial); /* NULL: not there */
/* Under m->serial; once more is harmless. */
void serials_put(struct serials *s, struct spool_message *m);
void serials_remove(struct serials *s, uint64_t serial); /* it is there */
/* Walks all: start with *at = 0; NULL at the end. No change meanwhile. */
struct spool_message *serials_next(const struct serials *s, size_t *at);
void serials_clear(struct serials *s);

#endif

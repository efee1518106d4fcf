/*
 * wire.h - the codec of everything binary: IPC messages and spool records, field by field.
 *
 * Little-endian integers, byte strings with a 32-bit length.  A reader has a sticky error:
 * after the first short or oversized field every get returns zero values, and wire_end tells.
 */
#ifndef BASE_WIRE_H
#define BASE_WIRE_H
#include "relay/base/buf.h"
#include "relay/base/ip.h"

/* Writers append to a buf, whose own `failed` is the sticky error. */
void put_u8(struct buf *b, uint8_t value);
void put_u16(struct buf *b, uint16_t value);
void put_u32(struct buf *b, uint32_t value);
void put_u64(struct buf *b, uint64_t value);
void put_i64(struct buf *b, int64_t value);
void put_span(struct buf *b, struct span s);
void put_ip(struct buf *b, const struct ip *ip);

struct wire {
	struct span rest;
	bool failed;
};

struct wire wire_over(struct span bytes);
uint8_t get_u8(struct wire *w);
uint16_t get_u16(struct wire *w);
uint32_t get_u32(struct wire *w);
uint64_t get_u64(struct wire *w);
int64_t get_i64(struct wire *w);
bool get_bool(struct wire *w); /* other than 0 and 1 fails */
struct ip get_ip(struct wire *w);
struct span get_span(struct wire *w, size_t max); /* longer than max fails; points into the bytes */
/* A count of things that follow; fails over max. */
uint32_t get_count(struct wire *w, uint32_t max);
/* A value of an enum 0..last; fails over last. */
unsigned get_enum(struct wire *w, unsigned last);
/* 0 when nothing failed and nothing is left over, else -E_CORRUPT. */
int wire_end(const struct wire *w);

#endif

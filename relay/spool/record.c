#include "relay/spool/record.h"
#include "relay/base/err.h"
#include "relay/base/wire.h"
#include "relay/spool/crc32c.h"
#include "relay/spool/spool.h"

/* Far above any record, far below an overflow of offsets. */
static const uint64_t record_length_max = 1ull << 41;

void
record_store_u64(unsigned char *to, uint64_t value)
{
	for (int i = 0; i < 8; i++)
		to[i] = (unsigned char)(value >> (8 * i));
}

void
record_store_u32(unsigned char *to, uint32_t value)
{
	for (int i = 0; i < 4; i++)
		to[i] = (unsigned char)(value >> (8 * i));
}

void
record_encode(const struct record *r, unsigned char to[RECORD_HEADER])
{
	record_store_u64(to, r->nonce);
	record_store_u64(to + 8, r->length);
	record_store_u64(to + 16, r->serial);
	record_store_u32(to + 24, (uint32_t)r->type);
	record_store_u32(to + RECORD_CRC_AT, r->crc);
}

static bool
length_is_possible(enum record_type type, uint64_t length)
{
	switch (type) {
	case RECORD_MSG:
		return length >= RECORD_LENGTHS && length <= record_length_max;
	case RECORD_NOTE:
		return length >= RECORD_HOMES && length <= RECORD_HOMES + SPOOL_NOTE_MAX;
	case RECORD_DONE:
		return length == RECORD_HOMES;
	case RECORD_SEAL:
		return length == RECORD_SEAL_LENGTH;
	case RECORD_VOID:
		return length <= record_length_max;
	}
	return false;
}

bool
record_decode(const unsigned char from[RECORD_HEADER], struct record *out)
{
	struct wire w = wire_over(span_of(from, RECORD_HEADER));
	uint32_t type;

	out->nonce = get_u64(&w);
	out->length = get_u64(&w);
	out->serial = get_u64(&w);
	type = get_u32(&w);
	out->crc = get_u32(&w);
	if (type < RECORD_MSG || type > RECORD_VOID)
		return false;
	out->type = (enum record_type)type;
	return length_is_possible(out->type, out->length);
}

uint32_t
record_crc_of_header(const unsigned char header[RECORD_HEADER])
{
	return crc32c(0, header, RECORD_CRC_AT);
}

void
record_set_crc(unsigned char header[RECORD_HEADER], uint32_t crc)
{
	record_store_u32(header + RECORD_CRC_AT, crc);
}

uint64_t
record_size(uint64_t length)
{
	return RECORD_HEADER + (length + RECORD_ALIGN - 1) / RECORD_ALIGN * RECORD_ALIGN;
}

uint64_t
record_message_head(const struct record_message *m)
{
	return (uint64_t)RECORD_LENGTHS + m->id_n + m->envelope_n;
}

uint64_t
record_message_length(const struct record_message *m)
{
	return record_message_head(m) + m->prefix_n + m->body_n;
}

void
record_encode_message(const struct record_message *m, unsigned char to[RECORD_LENGTHS])
{
	record_store_u32(to, m->id_n);
	record_store_u32(to + 4, m->envelope_n);
	record_store_u32(to + 8, m->prefix_n);
	record_store_u32(to + RECORD_BODY_CRC_AT, m->body_crc);
	record_store_u64(to + 16, m->body_n);
}

int
record_decode_message(struct span start, uint64_t length, struct record_message *out)
{
	struct wire w = wire_over(span_take(start, RECORD_LENGTHS));

	out->id_n = get_u32(&w);
	out->envelope_n = get_u32(&w);
	out->prefix_n = get_u32(&w);
	out->body_crc = get_u32(&w);
	out->body_n = get_u64(&w);
	if (wire_end(&w) != 0 || out->id_n > SPOOL_ID_MAX || out->envelope_n > SPOOL_ENVELOPE_MAX ||
	    out->prefix_n > SPOOL_PREFIX_MAX || out->body_n > SPOOL_BODY_MAX ||
	    record_message_length(out) != length)
		return -E_CORRUPT;
	return 0;
}

void
record_encode_homes(const struct record_homes *h, unsigned char to[RECORD_HOMES])
{
	record_store_u64(to, h->home);
	record_store_u64(to + 8, h->former);
}

int
record_decode_homes(struct span start, struct record_homes *out)
{
	struct wire w = wire_over(span_take(start, RECORD_HOMES));

	out->home = get_u64(&w);
	out->former = get_u64(&w);
	return wire_end(&w);
}

void
record_encode_seal(const struct record_seal *s, unsigned char to[RECORD_SEAL_LENGTH])
{
	record_store_u64(to, s->number);
	record_store_u64(to + 8, s->nonce);
	record_store_u64(to + 16, s->end);
	record_store_u64(to + 24, s->gaps);
}

int
record_decode_seal(struct span start, struct record_seal *out)
{
	struct wire w = wire_over(span_take(start, RECORD_SEAL_LENGTH));

	out->number = get_u64(&w);
	out->nonce = get_u64(&w);
	out->end = get_u64(&w);
	out->gaps = get_u64(&w);
	return wire_end(&w);
}

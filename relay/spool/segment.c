#include "relay/spool/segment.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/base/wire.h"
#include "relay/spool/crc32c.h"
#include "relay/spool/record.h"

#include <stdio.h>

enum { HEADER_BYTES = 44, HEADER_CRC_AT = 40, NAME_DIGITS_MAX = 16 };

static const char segment_magic[8] = {'p', 'o', 's', 't', 's', 'p', 'l', '1'};

void
segment_encode(const struct segment_header *h, unsigned char to[SEGMENT_HEADER])
{
	memset(to, 0, SEGMENT_HEADER);
	memcpy(to, segment_magic, sizeof(segment_magic));
	record_store_u32(to + 8, (uint32_t)h->kind);
	record_store_u64(to + 16, h->number);
	record_store_u64(to + 24, h->nonce);
	record_store_u64(to + 32, h->first_serial);
	record_store_u32(to + HEADER_CRC_AT, crc32c(0, to, HEADER_CRC_AT));
	memcpy(to + SEGMENT_COPY_AT, to, HEADER_BYTES);
}

static bool
decode_copy(const unsigned char *from, struct segment_header *out)
{
	struct wire w = wire_over(span_of(from, HEADER_BYTES));
	uint32_t kind, zero;

	if (memcmp(from, segment_magic, sizeof(segment_magic)) != 0)
		return false;
	(void)get_u64(&w); /* the magic */
	kind = get_u32(&w);
	zero = get_u32(&w);
	out->number = get_u64(&w);
	out->nonce = get_u64(&w);
	out->first_serial = get_u64(&w);
	if (get_u32(&w) != crc32c(0, from, HEADER_CRC_AT) || wire_end(&w) != 0)
		return false;
	if ((kind != SEGMENT_MESSAGES && kind != SEGMENT_NOTES) || zero != 0 || out->number == 0 ||
	    out->number > SEGMENT_NUMBER_MAX)
		return false;
	out->kind = (enum segment_kind)kind;
	return true;
}

int
segment_decode(const unsigned char from[SEGMENT_HEADER], struct segment_header *out)
{
	if (decode_copy(from, out) || decode_copy(from + SEGMENT_COPY_AT, out))
		return 0;
	for (size_t i = 0; i < SEGMENT_HEADER; i++)
		if (from[i] != 0)
			return -E_CORRUPT;
	return -E_NOT_FOUND;
}

struct segment *
segment_new(const char *name)
{
	struct segment *seg = mem_alloc(sizeof(*seg));

	list_init(&seg->node);
	list_init(&seg->live);
	seg->fd = -1;
	(void)span_copy(span_str(name), seg->name, sizeof(seg->name)); /* names of ours fit */
	return seg;
}

void
segment_free(struct segment **seg)
{
	if (*seg == NULL)
		return;
	list_remove(&(*seg)->node);
	mem_free((*seg)->refs);
	mem_free(*seg);
	*seg = NULL;
}

void
segment_refer(struct segment *seg, uint64_t number)
{
	/* Marks come in the order of messages: the last few numbers are nearly always it. */
	for (size_t i = seg->n_refs; i > 0; i--)
		if (seg->refs[i - 1] == number)
			return;
	if (seg->n_refs == seg->refs_size) {
		seg->refs_size = seg->refs_size ? seg->refs_size * 2 : 8;
		seg->refs = mem_grow(seg->refs, seg->refs_size * sizeof(*seg->refs));
	}
	seg->refs[seg->n_refs++] = number;
}

uint64_t
segment_room(const struct segment *seg)
{
	return seg->size > seg->end ? seg->size - seg->end : 0;
}

void
segment_name(uint64_t file, char to[SEGMENT_NAME_SIZE])
{
	(void)snprintf(to, SEGMENT_NAME_SIZE, "%08llu.seg", (unsigned long long)file); /* fits */
}

bool
segment_name_parse(const char *name, uint64_t *file)
{
	struct span rest = span_str(name), digits = span_cut(&rest, '.');

	return digits.n <= NAME_DIGITS_MAX && span_eq(rest, SPAN("seg")) &&
	       span_to_u64(digits, file);
}

void
segment_name_aside(const char *name, char to[SEGMENT_NAME_SIZE])
{
	struct span base = span_take(span_str(name), SEGMENT_NAME_SIZE - sizeof(".damaged"));

	(void)snprintf(to, SEGMENT_NAME_SIZE, "%.*s.damaged", SPAN_ARG(base)); /* fits */
}

void
segment_name_part(const char *name, uint64_t offset, char to[SEGMENT_NAME_SIZE])
{
	(void)snprintf(to, SEGMENT_NAME_SIZE, "%.24s.%llu.damaged", name,
	    (unsigned long long)offset); /* fits: offsets have 15 digits at most */
}

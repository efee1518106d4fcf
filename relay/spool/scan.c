#include "relay/spool/scan.h"
#include "relay/base/mem.h"
#include "relay/spool/crc32c.h"
#include "relay/spool/plant.h"

#include <string.h>

enum { SCAN_WINDOW = 1024 * 1024, SCAN_BLOCK = 4096 };

struct window {
	unsigned char *bytes;
	uint64_t at;
	size_t n, size;
};

/* Reads what can be read; blocks that cannot are zeros, and counted. */
static void
fill_window(struct scan *s, struct window *w, uint64_t at)
{
	uint64_t left = s->limit - at;

	w->at = at;
	w->n = left < w->size ? (size_t)left : w->size;
	if (io_read_all(s->io, s->fd, w->bytes, w->n, at) == 0)
		return;
	for (size_t i = 0; i < w->n; i += SCAN_BLOCK) {
		size_t n = w->n - i < SCAN_BLOCK ? w->n - i : SCAN_BLOCK;

		if (io_read_all(s->io, s->fd, w->bytes + i, n, at + i) != 0) {
			memset(w->bytes + i, 0, n);
			s->unreadable++;
		}
	}
}

/* The bytes from `at` on: at least min(want, what is left before the limit) of them. */
static struct span
look(struct scan *s, struct window *w, uint64_t at, size_t want)
{
	uint64_t left = s->limit - at;

	if (want > left)
		want = (size_t)left;
	if (at < w->at || at + want > w->at + w->n)
		fill_window(s, w, at);
	return span_of(w->bytes + (at - w->at), w->n - (size_t)(at - w->at));
}

static uint32_t
crc_of(struct scan *s, struct window *w, uint32_t crc, uint64_t at, uint64_t n)
{
	while (n > 0) {
		struct span bytes = look(s, w, at, n < SCAN_BLOCK ? (size_t)n : SCAN_BLOCK);

		if (bytes.n > n)
			bytes.n = (size_t)n;
		crc = crc32c(crc, bytes.p, bytes.n);
		at += bytes.n;
		n -= bytes.n;
	}
	return crc;
}

static bool
crcs_fit(struct scan *s, struct window *w, uint64_t offset, const struct record *r)
{
	struct span bytes = look(s, w, offset, RECORD_HEADER + RECORD_LENGTHS);
	uint64_t at = offset + RECORD_HEADER, head = r->type == RECORD_VOID ? 0 : r->length;
	uint32_t crc = record_crc_of_header((const unsigned char *)bytes.p);
	struct record_message m = {0};

	if (r->type == RECORD_MSG) {
		if (record_decode_message(span_skip(bytes, RECORD_HEADER), r->length, &m) != 0)
			return false;
		head = record_message_head(&m);
	}
	if (crc_of(s, w, crc, at, head) != r->crc && !PLANTED(PLANT_CRC_UNCHECKED))
		return false;
	return r->type != RECORD_MSG || !s->has_bodies || PLANTED(PLANT_CRC_UNCHECKED) ||
	       crc_of(s, w, 0, at + head, r->length - head) == m.body_crc;
}

static bool
good_record(struct scan *s, struct window *w, uint64_t offset, struct record *r)
{
	struct span bytes = look(s, w, offset, RECORD_HEADER);

	return bytes.n >= RECORD_HEADER && record_decode((const unsigned char *)bytes.p, r) &&
	       (r->nonce == s->nonce || PLANTED(PLANT_NONCE_UNCHECKED)) &&
	       r->length <= s->limit - offset - RECORD_HEADER && crcs_fit(s, w, offset, r);
}

/* The next place at or behind `offset` with the nonce; the limit: none. */
static uint64_t
find_nonce(struct scan *s, struct window *w, uint64_t offset)
{
	unsigned char nonce[8];

	record_store_u64(nonce, s->nonce);
	while (s->limit - offset >= RECORD_HEADER) {
		struct span bytes = look(s, w, offset, RECORD_HEADER);

		for (size_t i = 0; i + sizeof(nonce) <= bytes.n; i += RECORD_ALIGN)
			if (PLANTED(PLANT_NONCE_UNCHECKED) ||
			    memcmp(bytes.p + i, nonce, sizeof(nonce)) == 0)
				return offset + i;
		offset += bytes.n / RECORD_ALIGN * RECORD_ALIGN;
	}
	return s->limit;
}

void
scan_run(struct scan *s)
{
	uint64_t all = s->limit > s->start ? s->limit - s->start : RECORD_HEADER;
	struct window w = {.size = all < SCAN_WINDOW ? (size_t)all : SCAN_WINDOW};
	uint64_t at = s->start;
	struct record r;

	w.bytes = mem_alloc(w.size);
	s->end = s->start;
	s->gaps = s->unreadable = 0;
	while (at < s->limit && s->limit - at >= RECORD_HEADER) {
		if (!good_record(s, &w, at, &r)) {
			if (s->limit - at < RECORD_ALIGN + RECORD_HEADER)
				break;
			at = find_nonce(s, &w, at + RECORD_ALIGN);
			continue;
		}
		if (at > s->end && s->on_gap != NULL)
			s->on_gap(s->arg, s->end, at);
		s->gaps += at - s->end;
		s->on_record(s->arg, &r, at,
		    span_take(look(s, &w, at + RECORD_HEADER, RECORD_PEEK),
			r.length < RECORD_PEEK ? (size_t)r.length : RECORD_PEEK));
		at += record_size(r.length);
		s->end = at < s->limit ? at : s->limit;
	}
	mem_free(w.bytes);
}

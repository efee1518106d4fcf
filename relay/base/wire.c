#include "relay/base/wire.h"
#include "relay/base/err.h"

static void
put_le(struct buf *b, uint64_t value, size_t n)
{
	unsigned char bytes[8];

	for (size_t i = 0; i < n; i++)
		bytes[i] = (unsigned char)(value >> (8 * i));
	(void)buf_add(b, bytes, n); /* sticky: the owner tests b->failed */
}

void
put_u8(struct buf *b, uint8_t value)
{
	put_le(b, value, 1);
}

void
put_u16(struct buf *b, uint16_t value)
{
	put_le(b, value, 2);
}

void
put_u32(struct buf *b, uint32_t value)
{
	put_le(b, value, 4);
}

void
put_u64(struct buf *b, uint64_t value)
{
	put_le(b, value, 8);
}

void
put_i64(struct buf *b, int64_t value)
{
	put_le(b, (uint64_t)value, 8);
}

void
put_span(struct buf *b, struct span s)
{
	if (s.n > UINT32_MAX) {
		b->failed = true;
		return;
	}
	put_u32(b, (uint32_t)s.n);
	(void)buf_add_span(b, s); /* sticky */
}

void
put_ip(struct buf *b, const struct ip *ip)
{
	(void)buf_add(b, ip->bytes, sizeof(ip->bytes)); /* sticky */
}

struct wire
wire_over(struct span bytes)
{
	return (struct wire){.rest = bytes};
}

static uint64_t
get_le(struct wire *w, size_t n)
{
	uint64_t value = 0;

	if (w->failed || w->rest.n < n) {
		w->failed = true;
		return 0;
	}
	for (size_t i = 0; i < n; i++)
		value |= (uint64_t)(unsigned char)w->rest.p[i] << (8 * i);
	w->rest = span_skip(w->rest, n);
	return value;
}

uint8_t
get_u8(struct wire *w)
{
	return (uint8_t)get_le(w, 1);
}

uint16_t
get_u16(struct wire *w)
{
	return (uint16_t)get_le(w, 2);
}

uint32_t
get_u32(struct wire *w)
{
	return (uint32_t)get_le(w, 4);
}

uint64_t
get_u64(struct wire *w)
{
	return get_le(w, 8);
}

int64_t
get_i64(struct wire *w)
{
	return (int64_t)get_le(w, 8);
}

bool
get_bool(struct wire *w)
{
	return get_enum(w, 1) == 1;
}

struct span
get_span(struct wire *w, size_t max)
{
	uint32_t n = get_u32(w);
	struct span s;

	if (w->failed || n > max || n > w->rest.n) {
		w->failed = true;
		return (struct span){0};
	}
	s = span_take(w->rest, n);
	w->rest = span_skip(w->rest, n);
	return s;
}

struct ip
get_ip(struct wire *w)
{
	struct ip ip = {0};

	if (w->failed || w->rest.n < sizeof(ip.bytes)) {
		w->failed = true;
		return ip;
	}
	memcpy(ip.bytes, w->rest.p, sizeof(ip.bytes));
	w->rest = span_skip(w->rest, sizeof(ip.bytes));
	return ip;
}

uint32_t
get_count(struct wire *w, uint32_t max)
{
	uint32_t count = get_u32(w);

	if (w->failed || count > max) {
		w->failed = true;
		return 0;
	}
	return count;
}

unsigned
get_enum(struct wire *w, unsigned last)
{
	unsigned value = get_u8(w);

	if (w->failed || value > last) {
		w->failed = true;
		return 0;
	}
	return value;
}

int
wire_end(const struct wire *w)
{
	return w->failed || w->rest.n > 0 ? -E_CORRUPT : 0;
}

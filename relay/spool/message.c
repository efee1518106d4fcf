/* A live message: where it lies, and reading it. */
#include "relay/base/err.h"
#include "relay/spool/store.h"

static const uint64_t body_mask = SPOOL_BODY_MAX;
enum { MASK_24 = 0xffffff };

struct record_message
message_parts(const struct spool_message *m)
{
	return (struct record_message){.id_n = m->id_n,
	    .envelope_n = m->envelope_n,
	    .prefix_n = (uint32_t)m->prefix_n,
	    .body_n = m->body_n};
}

/* The lengths are within the limits of spool.h, which fit. */
void
message_set_parts(struct spool_message *m, const struct record_message *parts)
{
	m->id_n = (uint8_t)parts->id_n;
	m->envelope_n = parts->envelope_n & MASK_24;
	m->prefix_n = parts->prefix_n & MASK_24;
	m->body_n = parts->body_n & body_mask;
}

uint64_t
message_offset(const struct spool_message *m)
{
	return (uint64_t)m->at * RECORD_ALIGN;
}

uint64_t
message_note_offset(const struct spool_message *m)
{
	return (uint64_t)m->note_at * RECORD_ALIGN;
}

uint64_t
message_record_size(const struct spool_message *m)
{
	struct record_message parts = message_parts(m);

	return record_size(record_message_length(&parts));
}

void
message_enter(struct spool *s, struct spool_message *m, struct segment *home, uint64_t offset)
{
	m->home = home;
	m->at = (uint32_t)(offset / RECORD_ALIGN); /* spool_new bounds segments */
	m->is_verified = false;
	list_append(&home->live, &m->in_home);
	home->n_live++;
	home->live_bytes += message_record_size(m);
	(void)table_add(&s->by_serial, m); /* false: it was there before */
}

void
message_leave(struct spool_message *m)
{
	list_remove(&m->in_home);
	m->home->n_live--;
	m->home->live_bytes -= message_record_size(m);
	m->home = NULL;
}

void
message_set_note(struct spool_message *m, struct segment *home, uint64_t offset, size_t n)
{
	m->note_home = home;
	m->note_at = (uint32_t)(offset / RECORD_ALIGN);
	m->note_n = (uint32_t)n & MASK_24;
	list_append(&home->live, &m->in_notes);
	home->n_live++;
}

void
message_drop_note(struct spool_message *m)
{
	if (m->note_home == NULL)
		return;
	list_remove(&m->in_notes);
	m->note_home->n_live--;
	m->note_home = NULL;
}

uint64_t
spool_message_serial(const struct spool_message *m)
{
	return m->serial;
}

uint64_t
spool_message_size(const struct spool_message *m)
{
	return m->prefix_n + m->body_n;
}

uint32_t
spool_message_prefix(const struct spool_message *m)
{
	return (uint32_t)m->prefix_n;
}

int
spool_read(struct spool *s, const struct spool_message *m, uint64_t offset, void *to, size_t n)
{
	uint64_t size = spool_message_size(m), start;
	int fd = tidy_fd(s, m->home);

	if (offset > size || n > size - offset)
		return -E_CORRUPT;
	if (fd < 0)
		return -E_IO;
	start = message_offset(m) + RECORD_HEADER + RECORD_LENGTHS + m->id_n + m->envelope_n;
	return io_read_all(s->io, fd, to, n, start + offset) == 0 ? 0 : -E_IO;
}

/* The record's header, lengths and head: 0, -E_IO or -E_CORRUPT, and what the CRC of the rest has to be. */
static int
check_head(struct spool *s, int fd, const struct spool_message *m, uint32_t *want_crc)
{
	unsigned char start[RECORD_HEADER + RECORD_LENGTHS];
	struct record_message want = message_parts(m), parts;
	uint64_t at = message_offset(m) + RECORD_HEADER, head = record_message_head(&want);
	struct record r;
	uint32_t crc;

	if (io_read_all(s->io, fd, start, sizeof(start), message_offset(m)) != 0)
		return -E_IO;
	if (!record_decode(start, &r) || r.type != RECORD_MSG || r.serial != m->serial ||
	    r.nonce != m->home->header.nonce ||
	    record_decode_message(
		span_of(start + RECORD_HEADER, RECORD_LENGTHS), r.length, &parts) != 0 ||
	    record_message_head(&parts) != head || r.length != record_message_length(&want))
		return -E_CORRUPT;
	crc = record_crc_of_header(start);
	if (io_crc(s->io, fd, at, head, &crc) != 0)
		return -E_IO;
	*want_crc = parts.body_crc;
	return crc == r.crc ? 0 : -E_CORRUPT;
}

/* Of the message, or a free one; NULL: all are others'. */
static struct check *
check_of(struct spool *s, const struct spool_message *m)
{
	struct check *unused = NULL;

	for (size_t i = 0; i < SPOOL_CHECKS_MAX; i++) {
		struct check *c = &s->checks[i];

		if (c->serial == m->serial && c->home == m->home && c->at == m->at)
			return c;
		if (c->serial == m->serial || table_get(&s->by_serial, c->serial) == NULL)
			unused = c;
	}
	if (unused != NULL)
		*unused = (struct check){0};
	return unused;
}

/* 0, -E_IO, -E_CORRUPT or -E_AGAIN. */
static int
check_on(struct spool *s, int fd, const struct spool_message *m, struct check *c)
{
	struct record_message parts = message_parts(m);
	uint64_t left, start = message_offset(m) + RECORD_HEADER + record_message_head(&parts);
	bool is_last;
	int r;

	if (c->serial == 0) {
		r = check_head(s, fd, m, &c->want);
		if (r != 0)
			return r;
		c->serial = m->serial;
		c->home = m->home;
		c->at = m->at;
	}
	left = spool_message_size(m) - c->done;
	is_last = left <= SPOOL_VERIFY_BYTES;
	r = io_crc(s->io, fd, start + c->done, is_last ? left : SPOOL_VERIFY_BYTES, &c->crc);
	if (r != 0)
		return -E_IO;
	c->done += SPOOL_VERIFY_BYTES;
	if (!is_last)
		return -E_AGAIN;
	return c->crc == c->want ? 0 : -E_CORRUPT;
}

int
spool_verify(struct spool *s, const struct spool_message *m)
{
	/* The handle is const for callers; that it was checked is ours to remember. */
	struct spool_message *own = table_get(&s->by_serial, m->serial);
	bool is_small = spool_message_size(m) <= SPOOL_VERIFY_BYTES;
	struct check alone = {0}, *kept = NULL, *c;
	int fd, result;

	must(own == m);
	if (m->is_verified)
		return 0;
	fd = tidy_fd(s, m->home);
	if (fd < 0)
		return -E_IO;
	if (!is_small)
		kept = check_of(s, m);
	c = kept != NULL ? kept : &alone;
	do
		result = check_on(s, fd, m, c);
	while (result == -E_AGAIN && kept == NULL);
	if (result == -E_AGAIN)
		return result;
	*c = (struct check){0};
	own->is_verified = result == 0;
	return result;
}

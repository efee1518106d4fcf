/* A live message: where it lies, and reading it. */
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/spool/crc32c.h"
#include "relay/spool/store.h"

void
message_enter(struct spool *s, struct spool_message *m, struct segment *home, uint64_t offset)
{
	m->home = home;
	m->offset = offset;
	m->is_verified = false;
	list_append(&home->live, &m->in_home);
	home->n_live++;
	home->live_bytes += record_size(record_message_length(&m->parts));
	(void)map_set_u64(s->by_serial, m->serial, m); /* before: itself, or nothing */
}

void
message_leave(struct spool_message *m)
{
	list_remove(&m->in_home);
	m->home->n_live--;
	m->home->live_bytes -= record_size(record_message_length(&m->parts));
	m->home = NULL;
}

void
message_set_note(struct spool_message *m, struct segment *home, uint64_t offset, size_t n)
{
	m->note_home = home;
	m->note_offset = offset;
	m->note_n = n;
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

struct span
spool_message_id(const struct spool_message *m)
{
	return span_of(m->id, m->parts.id_n);
}

uint64_t
spool_message_size(const struct spool_message *m)
{
	return m->parts.prefix_n + m->parts.body_n;
}

uint32_t
spool_message_prefix(const struct spool_message *m)
{
	return m->parts.prefix_n;
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
	start = m->offset + RECORD_HEADER + RECORD_LENGTHS + m->parts.id_n + m->parts.envelope_n;
	return io_read_all(s->io, fd, to, n, start + offset) == 0 ? 0 : -E_IO;
}

static size_t
chunk_size(const struct spool_message *m)
{
	uint64_t size = record_size(record_message_length(&m->parts));

	return size < COMMIT_CHUNK ? (size_t)size : COMMIT_CHUNK;
}

/* 0, -E_IO or -E_CORRUPT. */
static int
check_record(struct spool *s, int fd, const struct spool_message *m, unsigned char *chunk)
{
	uint64_t left = record_message_length(&m->parts), at = m->offset + RECORD_HEADER;
	struct record r;
	uint32_t crc;

	if (io_read_all(s->io, fd, chunk, RECORD_HEADER, m->offset) != 0)
		return -E_IO;
	if (!record_decode(chunk, &r) || r.type != RECORD_MSG || r.serial != m->serial ||
	    r.nonce != m->home->header.nonce || r.length != left)
		return -E_CORRUPT;
	crc = record_crc_of_header(chunk);
	while (left > 0) {
		size_t n = left < chunk_size(m) ? (size_t)left : chunk_size(m);

		if (io_read_all(s->io, fd, chunk, n, at) != 0)
			return -E_IO;
		crc = crc32c(crc, chunk, n);
		at += n;
		left -= n;
	}
	return crc == r.crc ? 0 : -E_CORRUPT;
}

int
spool_verify(struct spool *s, const struct spool_message *m)
{
	/* The handle is const for callers; that it was checked is ours to remember. */
	struct spool_message *own = map_get_u64(s->by_serial, m->serial);
	unsigned char *chunk;
	int fd, result;

	must(own == m);
	if (m->is_verified)
		return 0;
	fd = tidy_fd(s, m->home);
	if (fd < 0)
		return -E_IO;
	chunk = mem_alloc(chunk_size(m));
	result = check_record(s, fd, m, chunk);
	mem_free(chunk);
	own->is_verified = result == 0;
	return result;
}

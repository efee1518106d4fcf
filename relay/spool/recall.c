/* What was written down about a live message, read back: its id and envelope, its newest note. */
#include "relay/base/err.h"
#include "relay/spool/crc32c.h"
#include "relay/spool/store.h"

bool
recall_bytes(struct spool *s, struct segment *seg, uint64_t offset, size_t n, struct buf *to)
{
	int fd = tidy_fd(s, seg);
	char *room;

	buf_clear(to);
	room = buf_room(to, n);
	if (fd < 0 || room == NULL || io_read_all(s->io, fd, room, n, offset) != 0)
		return false;
	to->n += n;
	return true;
}

/* Whether `bytes` begin with the header of this record, and its CRC covers exactly them. */
static bool
is_whole(const struct segment *seg, struct span bytes, enum record_type type, uint64_t serial)
{
	const unsigned char *header = (const unsigned char *)bytes.p;
	struct span covered = span_skip(bytes, RECORD_HEADER);
	struct record r;

	return record_decode(header, &r) && r.type == type && r.serial == serial &&
	       r.nonce == seg->header.nonce &&
	       crc32c(record_crc_of_header(header), covered.p, covered.n) == r.crc;
}

static int
recall_head(struct spool *s, const struct spool_message *m, struct buf *head)
{
	size_t n = RECORD_HEADER + RECORD_LENGTHS + (size_t)m->id_n + m->envelope_n;

	if (!recall_bytes(s, m->home, message_offset(m), n, head))
		return -E_IO;
	return is_whole(m->home, buf_span(head), RECORD_MSG, m->serial) ? 0 : -E_CORRUPT;
}

static int
recall_note(struct spool *s, const struct spool_message *m, struct buf *note)
{
	size_t n = RECORD_HEADER + RECORD_HOMES + (size_t)m->note_n;

	buf_clear(note);
	if (m->note_home == NULL)
		return 0;
	if (!recall_bytes(s, m->note_home, message_note_offset(m), n, note))
		return -E_IO;
	if (!is_whole(m->note_home, buf_span(note), RECORD_NOTE, m->serial))
		return -E_CORRUPT;
	buf_consume(note, RECORD_HEADER + RECORD_HOMES);
	return 0;
}

int
spool_recall(struct spool *s, const struct spool_message *m, struct buf *head, struct span *id,
    struct span *envelope, struct buf *note)
{
	int rc = recall_head(s, m, head);

	if (rc == 0)
		rc = recall_note(s, m, note);
	if (rc < 0)
		return rc;
	*id = span_take(span_skip(buf_span(head), RECORD_HEADER + RECORD_LENGTHS), m->id_n);
	*envelope = span_skip(buf_span(head), RECORD_HEADER + RECORD_LENGTHS + (size_t)m->id_n);
	return 0;
}

bool
spool_is_noted(const struct spool *s)
{
	/* Marks are written in order: when the last one is, all are. */
	return list_is_empty(&s->marks) || LIST_ENTRY(s->marks.prev, struct mark, node)->is_written;
}

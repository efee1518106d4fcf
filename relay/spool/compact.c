/*
 * Copies the few long-lived messages of an old segment into the newest, so that it can be recycled.
 * A copy is an item like any other: its source stays pinned until it is durable, and recovery keeps
 * the newest of two.
 */
#include "relay/base/mem.h"
#include "relay/spool/store.h"

static bool
is_worth_copying(const struct spool *s, const struct segment *seg)
{
	return seg->header.kind == SEGMENT_MESSAGES && seg->state == SEGMENT_CLOSED &&
	       !seg->is_own && !seg->is_compact && !seg->is_unreadable && seg->jobs == 0 &&
	       seg->n_live > 0 && seg->live_bytes < s->segment_bytes / SPOOL_COMPACT_SHARE;
}

static struct segment *
emptiest(struct spool *s)
{
	struct segment *best = NULL;
	size_t closed = 0;

	LIST_FOR (it, &s->segments) {
		struct segment *seg = LIST_ENTRY(it, struct segment, node);

		if (seg->header.kind == SEGMENT_MESSAGES && !seg->is_own)
			closed++;
		if (is_worth_copying(s, seg) &&
		    (best == NULL || seg->live_bytes < best->live_bytes))
			best = seg;
	}
	return closed > SPOOL_COMPACT_SEGMENTS ? best : NULL;
}

static void
copy_message(struct spool *s, struct spool_message *m, int fd)
{
	struct item *i = mem_alloc(sizeof(*i));
	struct record_message parts = message_parts(m);

	i->serial = m->serial;
	i->length = record_message_length(&parts);
	i->head_n = i->covered_n = RECORD_HEADER + (size_t)record_message_head(&parts);
	i->head = mem_alloc(i->head_n);
	i->fd = fd;
	i->from = message_offset(m) + i->covered_n;
	i->n = i->length + RECORD_HEADER - i->covered_n;
	i->source = m->home;
	m->home->jobs++;
	m->is_copying = true;
	s->pending_bytes += record_size(i->length);
	list_append(&s->pending, &i->node);
}

static void
compact_messages(struct spool *s)
{
	struct segment *seg = emptiest(s);
	uint64_t left = SPOOL_COMPACT_BYTES;
	int fd;

	if (seg == NULL)
		return;
	fd = tidy_fd(s, seg);
	if (fd < 0)
		return;
	LIST_FOR (it, &seg->live) {
		struct spool_message *m = LIST_ENTRY(it, struct spool_message, in_home);
		uint64_t size = message_record_size(m);

		/* One copy at a time: a mark names two homes, not three. */
		if (map_get_u64(s->by_number, m->former) != NULL)
			continue;
		if (size > left)
			break;
		left -= size;
		copy_message(s, m, fd);
	}
	if (seg->jobs == 0)
		seg->is_compact = true;
	plan_run(s);
}

static bool
has_refs(const struct spool *s, const struct segment *seg)
{
	for (size_t i = 0; i < seg->n_refs; i++)
		if (map_get_u64(s->by_number, seg->refs[i]) != NULL)
			return true;
	return false;
}

/* Writes a note again at the end of the log; false: it could not be read. */
static bool
renew_note(struct spool *s, struct spool_message *m, int fd)
{
	size_t n = m->note_n;
	char *bytes = mem_alloc(n);
	uint64_t at = message_note_offset(m) + RECORD_HEADER + RECORD_HOMES;
	bool is_read = io_read_all(s->io, fd, bytes, n, at) == 0;

	if (is_read)
		notes_put(s, m, span_of(bytes, n));
	mem_free(bytes);
	return is_read;
}

static void
compact_notes(struct spool *s)
{
	unsigned left = SPOOL_COMPACT_NOTES;

	LIST_FOR (seg_it, &s->segments) {
		struct segment *seg = LIST_ENTRY(seg_it, struct segment, node);
		int fd;

		if (seg->header.kind != SEGMENT_NOTES || seg->state != SEGMENT_CLOSED ||
		    seg->n_live == 0 || has_refs(s, seg))
			continue;
		fd = tidy_fd(s, seg);
		if (fd < 0)
			return;
		LIST_FOR_SAFE (it, &seg->live) {
			if (left == 0)
				return;
			left--;
			if (!renew_note(s, LIST_ENTRY(it, struct spool_message, in_notes), fd))
				return;
		}
		return; /* one a tick: the lists have changed */
	}
}

void
compact_run(struct spool *s)
{
	if (s->is_disk_bad || s->is_full)
		return;
	compact_messages(s);
	compact_notes(s);
}

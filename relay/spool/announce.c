/* The end of a recovery: what was found is made durable, and told. */
#include "relay/base/log.h"
#include "relay/base/mem.h"
#include "relay/spool/plant.h"
#include "relay/spool/recover.h"
#include "relay/spool/store.h"

/* The same bytes once more, and a sync: a sync that failed before the last end may have left pages
 * that look written, and a sync alone would not write them. */
static int
write_again(struct spool *s, struct segment *seg, struct err *err)
{
	uint64_t end = seg->end < seg->size ? seg->end : seg->size, at = 0;
	size_t size = end < COMMIT_CHUNK ? (size_t)end : COMMIT_CHUNK;
	unsigned char *chunk = mem_alloc(size);
	int failed = tidy_fd(s, seg) < 0 ? seg->fd : 0;

	while (at < end && failed == 0) {
		size_t n = end - at < size ? (size_t)(end - at) : size;
		struct iovec iov = {.iov_base = chunk, .iov_len = n};

		failed = io_read_all(s->io, seg->fd, chunk, n, at);
		if (failed == 0)
			failed = io_write_all(s->io, seg->fd, &iov, 1, at);
		at += n;
	}
	mem_free(chunk);
	if (failed == 0)
		failed = s->io->sync_data(s->io->arg, seg->fd);
	return failed == 0
		   ? 0
		   : err_set(err, E_IO,
			 "spool file %s cannot be synced; look at the disk (dmesg, smartctl)",
			 seg->name);
}

/*
 * After kill -9 what was found may be in the page cache only: the newest of two copies, or marks.
 * All of it is made durable before anything older may go.
 */
int
recover_make_durable(struct spool *s, struct err *err)
{
	int failed = 0;

	if (PLANTED(PLANT_RECOVERY_UNSYNCED))
		return 0;
	LIST_FOR (it, &s->segments) {
		struct segment *seg = LIST_ENTRY(it, struct segment, node);

		if (failed == 0 && !seg->is_unreadable && !seg->is_sealed)
			failed = write_again(s, seg, err);
	}
	/* Blank ones too: an erased header may still be on the disk, and the marks of that life gone. */
	LIST_FOR (it, &s->free) {
		struct segment *seg = LIST_ENTRY(it, struct segment, node);

		seg->end = SEGMENT_HEADER;
		if (failed == 0)
			failed = write_again(s, seg, err);
	}
	if (failed == 0 && s->io->sync_dir(s->io->arg, s->dir) != 0)
		failed = err_set(err, E_IO, "spool folder cannot be synced");
	return failed;
}

/* What on_recovered is given; used over and over. */
struct words {
	struct buf head, note; /* head: id and envelope */
};

static void
announce(struct spool *s, struct spool_message *m, struct words *w)
{
	size_t head_n = (size_t)m->id_n + m->envelope_n;
	uint64_t at = message_offset(m) + RECORD_HEADER + RECORD_LENGTHS;
	bool is_read = recall_bytes(s, m->home, at, head_n, &w->head);
	struct span head = buf_span(&w->head);

	buf_clear(&w->note);
	if (m->note_home != NULL)
		is_read = is_read && recall_bytes(s, m->note_home,
					 message_note_offset(m) + RECORD_HEADER + RECORD_HOMES,
					 m->note_n, &w->note);
	s->stats.messages++;
	s->stats.bytes += spool_message_size(m);
	if (is_read) {
		s->events.on_recovered(s->arg, m, span_take(head, m->id_n),
		    span_skip(head, m->id_n), buf_span(&w->note));
		return;
	}
	/* It stays where it is, for a start on which the disk can read it. */
	s->stats.set_aside++;
	log_event(LOG_ERROR, "spooled message cannot be read", KV_STR("file", m->home->name),
	    KV_INT("offset", message_offset(m)));
}

/* In the order of the log; a callback may settle any of them. */
static void
announce_segment(struct spool *s, struct segment *seg, struct words *w)
{
	uint64_t *serials = mem_array(seg->n_live, sizeof(*serials));
	size_t n = 0;

	LIST_FOR (it, &seg->live)
		serials[n++] = LIST_ENTRY(it, struct spool_message, in_home)->serial;
	for (size_t i = 0; i < n; i++) {
		struct spool_message *m = table_get(&s->by_serial, serials[i]);

		if (m != NULL)
			announce(s, m, w);
	}
	mem_free(serials);
}

void
recover_announce(struct spool *s)
{
	struct words words = {
	    BUF_INIT(SPOOL_ID_MAX + SPOOL_ENVELOPE_MAX), BUF_INIT(SPOOL_NOTE_MAX)};

	LIST_FOR (it, &s->segments) {
		struct segment *seg = LIST_ENTRY(it, struct segment, node);

		/* A blank file may be born while we are at it: those of this run are open.  Where
		 * one ends that the disk did not give is for a later start to see. */
		if (!seg->is_sealed && !seg->is_unreadable && seg->state == SEGMENT_CLOSED &&
		    seg->header.kind == SEGMENT_MESSAGES)
			notes_seal(s, seg);
	}
	s->open_seq = s->mark_seq;
	notes_sync(s);
	LIST_FOR (it, &s->segments) {
		struct segment *seg = LIST_ENTRY(it, struct segment, node);

		if (seg->header.kind == SEGMENT_MESSAGES)
			announce_segment(s, seg, &words);
	}
	buf_free(&words.head);
	buf_free(&words.note);
	LIST_FOR (it, &s->segments)
		tidy_consider(s, LIST_ENTRY(it, struct segment, node));
}

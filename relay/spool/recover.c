#include "relay/spool/recover.h"
#include "relay/base/log.h"
#include "relay/base/mem.h"
#include "relay/spool/plant.h"
#include "relay/spool/scan.h"
#include "relay/spool/store.h"

#include <errno.h>
#include <stdlib.h>

struct names {
	struct spool *s;
	uint64_t *files;
	size_t n, size;
};

struct pass {
	struct spool *s;
	struct segment *seg;
	struct record_seal *seals; /* in log order: the last of a segment counts */
	size_t n_seals, seals_size;
};

static void
on_name(void *arg, const char *name)
{
	struct names *names = arg;
	struct span digits = span_take(span_str(name), span_find(span_str(name), '.'));
	uint64_t file;

	/* Damaged ones count too: their numbers are not used again. */
	if (digits.n <= 16 && span_to_u64(digits, &file) && file >= names->s->next_file)
		names->s->next_file = file + 1;
	if (!segment_name_parse(name, &file))
		return;
	if (names->n == names->size) {
		names->size = names->size ? names->size * 2 : 64;
		names->files = mem_grow(names->files, names->size * sizeof(*names->files));
	}
	names->files[names->n++] = file;
}

static int
by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static void
insert_by_number(struct spool *s, struct segment *seg)
{
	struct list *at = s->segments.prev;

	while (at != &s->segments &&
	       LIST_ENTRY(at, struct segment, node)->header.number > seg->header.number)
		at = at->prev;
	list_prepend(at, &seg->node);                             /* behind `at` */
	(void)map_set_u64(s->by_number, seg->header.number, seg); /* was not there */
	seg->state = SEGMENT_CLOSED;
	if (seg->header.number >= s->next_number)
		s->next_number = seg->header.number + 1;
	if (seg->header.first_serial > s->next_serial)
		s->next_serial = seg->header.first_serial;
}

static void
set_aside(struct spool *s, struct segment **seg)
{
	char aside[SEGMENT_NAME_SIZE];

	segment_name_aside((*seg)->name, aside);
	s->stats.set_aside++;
	log_event(LOG_ERROR, "spool segment set aside", KV_STR("file", (*seg)->name));
	/* When it cannot be renamed it is found again, and set aside again, at the next start. */
	(void)s->io->rename_file(s->io->arg, s->dir, (*seg)->name, aside);
	tidy_close_fd(s, *seg);
	segment_free(seg);
}

static void
take_blank(struct spool *s, struct segment *seg)
{
	if (seg->size == s->segment_bytes && s->n_free < SPOOL_FREE_KEEP) {
		list_append(&s->free, &seg->node);
		s->n_free++;
		return;
	}
	tidy_close_fd(s, seg);
	/* Left behind it is found again at the next start. */
	(void)s->io->unlink_file(s->io->arg, s->dir, seg->name);
	segment_free(&seg);
}

/* Reads the header and puts the file where it belongs. */
static int
enter_file(struct spool *s, uint64_t file, struct err *err)
{
	unsigned char block[SEGMENT_HEADER] = {0};
	char name[SEGMENT_NAME_SIZE];
	struct segment *seg;
	int64_t size;
	int failed = 0, found;

	segment_name(file, name);
	seg = segment_new(name);
	if (tidy_fd(s, seg) < 0)
		goto unreadable;
	size = s->io->size_of(s->io->arg, seg->fd);
	if (size < 0)
		goto unreadable;
	seg->size = (uint64_t)size;
	if (seg->size >= SEGMENT_HEADER)
		failed = io_read_all(s->io, seg->fd, block, sizeof(block), 0);
	if (failed != 0)
		goto unreadable;
	found = segment_decode(block, &seg->header);
	if (found == -E_NOT_FOUND)
		take_blank(s, seg);
	else if (found != 0 || map_get_u64(s->by_number, seg->header.number) != NULL)
		set_aside(s, &seg);
	else
		insert_by_number(s, seg);
	return 0;
unreadable:
	tidy_close_fd(s, seg);
	segment_free(&seg);
	return err_set(
	    err, E_IO, "spool file %s cannot be read; move it away to start without it", name);
}

static int
scan_segment(struct pass *p, struct segment *seg, uint64_t limit, bool has_bodies,
    void (*on_record)(void *, const struct record *, uint64_t, struct span), struct scan *scan)
{
	int fd = tidy_fd(p->s, seg);

	p->seg = seg;
	*scan = (struct scan){.io = p->s->io,
	    .fd = fd,
	    .nonce = seg->header.nonce,
	    .start = SEGMENT_HEADER,
	    .limit = limit < seg->size ? limit : seg->size,
	    .has_bodies = has_bodies,
	    .on_record = on_record,
	    .arg = p};
	if (fd < 0)
		return -E_IO;
	scan_run(scan);
	return 0;
}

static void
on_seal(void *arg, const struct record *r, uint64_t offset, struct span peek)
{
	struct pass *p = arg;
	struct record_seal seal;

	(void)offset;
	if (r->serial >= p->s->next_serial)
		p->s->next_serial = r->serial + 1;
	if (r->type != RECORD_SEAL || record_decode_seal(peek, &seal) != 0)
		return;
	if (p->n_seals == p->seals_size) {
		p->seals_size = p->seals_size ? p->seals_size * 2 : 16;
		p->seals = mem_grow(p->seals, p->seals_size * sizeof(*p->seals));
	}
	p->seals[p->n_seals++] = seal;
	/* A seal binds its segment to it as long as that one is there. */
	segment_refer(p->seg, seal.number);
}

static const struct record_seal *
seal_of(const struct pass *p, const struct segment *seg)
{
	for (size_t i = p->n_seals; i > 0; i--)
		if (p->seals[i - 1].number == seg->header.number &&
		    p->seals[i - 1].nonce == seg->header.nonce)
			return &p->seals[i - 1];
	return NULL;
}

static void
on_message(void *arg, const struct record *r, uint64_t offset, struct span peek)
{
	struct pass *p = arg;
	struct spool *s = p->s;
	struct record_message parts;
	struct spool_message *m;

	if (r->serial >= s->next_serial)
		s->next_serial = r->serial + 1;
	if (r->type != RECORD_MSG)
		return;
	must(record_decode_message(peek, r->length, &parts) == 0); /* or the scan passes it by */
	m = table_get(&s->by_serial, r->serial);
	if (m != NULL) {
		m->former = (uint32_t)m->home->header.number; /* at most SEGMENT_NUMBER_MAX */
		message_leave(m);
	} else {
		m = mem_alloc(sizeof(*m));
		list_init(&m->in_home);
		list_init(&m->in_notes);
		m->serial = r->serial;
	}
	message_set_parts(m, &parts);
	message_enter(s, m, p->seg, offset);
}

static void
on_mark(void *arg, const struct record *r, uint64_t offset, struct span peek)
{
	struct pass *p = arg;
	struct spool *s = p->s;
	struct spool_message *m = table_get(&s->by_serial, r->serial);
	struct record_homes homes;

	if ((r->type != RECORD_NOTE && r->type != RECORD_DONE) ||
	    record_decode_homes(peek, &homes) != 0)
		return;
	if (r->type == RECORD_DONE) {
		segment_refer(p->seg, homes.home);
		if (homes.former != 0)
			segment_refer(p->seg, homes.former);
	}
	if (m == NULL)
		return;
	/* A copy that was durable before anybody heard of it: the mark does not name its home, and
	 * must outlive it all the same. */
	if (r->type == RECORD_DONE) {
		segment_refer(p->seg, m->home->header.number);
		if (m->former != 0)
			segment_refer(p->seg, m->former);
	}
	if (PLANTED(PLANT_OLDEST_NOTE) && r->type == RECORD_NOTE && m->note_home != NULL)
		return;
	message_drop_note(m);
	if (r->type == RECORD_NOTE) {
		message_set_note(m, p->seg, offset, (size_t)r->length - RECORD_HOMES);
		return;
	}
	message_leave(m);
	(void)table_remove(&s->by_serial, m->serial); /* it is there */
	mem_free(m);
}

static int
scan_notes(struct pass *p, void (*on_record)(void *, const struct record *, uint64_t, struct span),
    struct err *err)
{
	LIST_FOR (it, &p->s->segments) {
		struct segment *seg = LIST_ENTRY(it, struct segment, node);
		struct scan scan;

		if (seg->header.kind != SEGMENT_NOTES)
			continue;
		if (scan_segment(p, seg, UINT64_MAX, false, on_record, &scan) != 0 ||
		    scan.unreadable > 0)
			return err_set(err, E_IO,
			    "spool file %s cannot be read; move it away to start without it "
			    "(settled mail may be sent again)",
			    seg->name);
		seg->end = scan.end;
	}
	return 0;
}

static bool
is_newest(const struct spool *s, const struct segment *seg)
{
	LIST_FOR (it, &s->segments) {
		const struct segment *other = LIST_ENTRY(it, struct segment, node);

		if (other->header.kind == seg->header.kind && !other->is_own &&
		    other->header.number > seg->header.number)
			return false;
	}
	return true;
}

/* A segment that was closed must be whole up to the end that was written down.  The newest may
 * have a torn tail, and after a power loss gaps in it: nobody was told that these were kept. */
static bool
is_whole(struct pass *p, const struct segment *seg, const struct record_seal *seal,
    const struct scan *scan)
{
	if (scan->unreadable > 0)
		return false;
	if (PLANTED(PLANT_TAIL_IGNORED))
		return true;
	if (seal == NULL)
		return scan->gaps == 0 || is_newest(p->s, seg);
	return scan->gaps <= seal->gaps && scan->end == scan->limit &&
	       seal->end < seg->size + RECORD_ALIGN;
}

static void
scan_messages(struct pass *p, struct segment *seg)
{
	const struct record_seal *seal = seal_of(p, seg);
	uint64_t limit = seal != NULL && !PLANTED(PLANT_SEAL_IGNORED) ? seal->end : UINT64_MAX;
	struct scan scan;
	bool is_bad;

	/* Bodies are looked at where a write may have been torn: a good head proves nothing there. */
	if (scan_segment(p, seg, limit, seal == NULL || seal->gaps > 0, on_message, &scan) != 0) {
		seg->is_unreadable = true;
		return;
	}
	is_bad = seg->is_damaged || !is_whole(p, seg, seal, &scan);
	seg->end = seal != NULL ? seal->end : scan.end;
	seg->gaps = scan.gaps;
	seg->is_unreadable = scan.unreadable > 0;
	seg->is_damaged = is_bad;
	p->s->stats.set_aside += is_bad ? 1 : 0;
	if (is_bad || scan.gaps > 0)
		log_event(is_bad ? LOG_ERROR : LOG_WARN,
		    "spool segment has places without a record", KV_STR("file", seg->name),
		    KV_INT("gaps", scan.gaps), KV_INT("unreadable", scan.unreadable),
		    KV_INT("end", scan.end));
}

int
recover_run(struct spool *s, struct err *err)
{
	struct names names = {.s = s};
	struct pass pass = {.s = s};
	int failed = s->io->list_dir(s->io->arg, s->dir, on_name, &names), result = 0;

	if (failed != 0) {
		mem_free(names.files);
		errno = -failed;
		return err_set(err, E_IO, "spool folder cannot be read: %m");
	}
	if (names.n > 1)
		qsort(names.files, names.n, sizeof(*names.files), by_value);
	for (size_t i = 0; i < names.n && result == 0; i++)
		result = enter_file(s, names.files[i], err);
	mem_free(names.files);
	if (result == 0)
		result = scan_notes(&pass, on_seal, err);
	LIST_FOR (it, &s->segments) {
		struct segment *seg = LIST_ENTRY(it, struct segment, node);

		/* Files of one message are removed after it, whatever their size. */
		seg->is_own = seg->header.kind == SEGMENT_MESSAGES && seg->size != s->segment_bytes;
		if (result == 0 && seg->header.kind == SEGMENT_MESSAGES)
			scan_messages(&pass, seg);
	}
	if (result == 0)
		result = scan_notes(&pass, on_mark, err);
	/* Where the segments end is known for good once it is written down. */
	LIST_FOR (it, &s->segments) {
		struct segment *seg = LIST_ENTRY(it, struct segment, node);

		seg->is_sealed = seal_of(&pass, seg) != NULL;
	}
	mem_free(pass.seals);
	return result;
}

#include "relay/spool/fsck.h"
#include "relay/base/mem.h"
#include "relay/spool/scan.h"
#include "relay/spool/store.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* A serial with a record that a start would believe; the newest whole one is in `m`. */
struct known {
	struct spool_message m;
	bool is_good; /* of one record at least the body is whole too */
	bool is_settled;
};

/* Bytes that should be a record and are none, or a record whose body is bad. */
struct bad {
	struct segment *seg;
	uint64_t from, to;
	uint64_t serial; /* 0: no record */
};

struct fsck {
	const struct spool_io *io;
	int dir;
	bool is_repair;
	void (*on_finding)(void *arg, const struct fsck_finding *finding);
	void *arg;
	struct fsck_summary *sum;
	struct list segments; /* by number */
	struct table known;
	struct bad *bad;
	size_t n_bad, bad_size;
	struct record_seal *seals;
	size_t n_seals, seals_size;
	uint64_t *files;
	size_t n_files, files_size;
	/* of the segment being read */
	struct segment *seg;
	size_t first_bad; /* of its gaps */
	int failed;       /* a repair could not be written: a negative errno */
};

static void say(struct fsck *f, const struct fsck_finding *about, bool is_done, const char *fmt,
    ...) __attribute__((format(printf, 4, 5)));

static void
say(struct fsck *f, const struct fsck_finding *about, bool is_done, const char *fmt, ...)
{
	struct fsck_finding finding = *about;
	char text[320];
	va_list args;

	va_start(args, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, args); /* cut at the end, if ever */
	va_end(args);
	finding.text = text;
	finding.is_damage = finding.kind <= FSCK_UNREADABLE;
	f->sum->damaged += finding.is_damage;
	f->sum->set_aside += finding.is_damage && is_done;
	f->on_finding(f->arg, &finding);
}

static const char *
deed(bool is_done)
{
	return is_done ? "; set aside" : "";
}

/* --- files -------------------------------------------------------------------------------------- */

static void *
grown(void *p, size_t n, size_t *size, size_t one)
{
	if (n < *size)
		return p;
	*size = *size > 0 ? *size * 2 : 64;
	return mem_grow(p, *size * one);
}

static void
on_name(void *arg, const char *name)
{
	struct fsck *f = arg;
	struct fsck_finding about = {.kind = FSCK_ASIDE, .file = name};
	uint64_t file;

	if (segment_name_parse(name, &file)) {
		f->files = grown(f->files, f->n_files, &f->files_size, sizeof(*f->files));
		f->files[f->n_files++] = file;
	} else if (span_ends_nocase(span_str(name), SPAN(".damaged"))) {
		say(f, &about, false, "%s: set aside earlier; delete it when nobody wants it",
		    name);
	}
}

static int
by_value(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static bool
put_away(struct fsck *f, const char *name)
{
	char aside[SEGMENT_NAME_SIZE];
	int failed;

	if (!f->is_repair)
		return false;
	segment_name_aside(name, aside);
	failed = f->io->rename_file(f->io->arg, f->dir, name, aside);
	if (failed == 0)
		failed = f->io->sync_dir(f->io->arg, f->dir);
	f->failed = failed != 0 ? failed : f->failed;
	return failed == 0;
}

static struct segment *
segment_of(const struct fsck *f, uint64_t number)
{
	LIST_FOR (it, &f->segments)
		if (LIST_ENTRY(it, struct segment, node)->header.number == number)
			return LIST_ENTRY(it, struct segment, node);
	return NULL;
}

static void
insert(struct fsck *f, struct segment *seg)
{
	struct list *at = f->segments.prev;

	while (at != &f->segments &&
	       LIST_ENTRY(at, struct segment, node)->header.number > seg->header.number)
		at = at->prev;
	list_prepend(at, &seg->node); /* behind `at` */
}

static void
drop(struct fsck *f, struct segment *seg)
{
	if (seg->fd >= 0)
		f->io->close_fd(f->io->arg, seg->fd);
	segment_free(&seg);
}

static void
look_at_file(struct fsck *f, uint64_t file)
{
	unsigned char block[SEGMENT_HEADER] = {0};
	char name[SEGMENT_NAME_SIZE];
	struct segment *seg;
	struct fsck_finding about = {.file = name};
	int64_t size = -1;
	int found = 0;
	bool is_done;

	segment_name(file, name);
	f->sum->files++;
	seg = segment_new(name);
	seg->fd = f->io->open_file(f->io->arg, f->dir, name, false);
	if (seg->fd >= 0)
		size = f->io->size_of(f->io->arg, seg->fd);
	seg->size = size >= 0 ? (uint64_t)size : 0;
	if (size < 0 ||
	    (size >= SEGMENT_HEADER && io_read_all(f->io, seg->fd, block, sizeof(block), 0) != 0)) {
		about.kind = FSCK_UNREADABLE;
		say(f, &about, false, "%s: the disk does not give it; look at dmesg and smartctl",
		    name);
		drop(f, seg);
		return;
	}
	found = segment_decode(block, &seg->header);
	if (found == 0 && segment_of(f, seg->header.number) == NULL) {
		insert(f, seg);
		return;
	}
	if (found != -E_NOT_FOUND) { /* that one is blank: as it should be */
		about.kind = found != 0 ? FSCK_FILE_UNKNOWN : FSCK_FILE_TWICE;
		is_done = put_away(f, name);
		say(f, &about, is_done, "%s: %s%s", name,
		    found != 0 ? "its header makes no sense" : "another file has its number",
		    deed(is_done));
	}
	drop(f, seg);
}

/* --- records ------------------------------------------------------------------------------------ */

static void
add_bad(struct fsck *f, uint64_t from, uint64_t to, uint64_t serial)
{
	f->bad = grown(f->bad, f->n_bad, &f->bad_size, sizeof(*f->bad));
	f->bad[f->n_bad++] = (struct bad){.seg = f->seg, .from = from, .to = to, .serial = serial};
}

static void
on_gap(void *arg, uint64_t from, uint64_t to)
{
	add_bad(arg, from, to, 0);
}

static struct known *
known_of(const struct fsck *f, uint64_t serial)
{
	struct spool_message *m = table_get(&f->known, serial);

	return m != NULL ? LIST_ENTRY(m, struct known, m) : NULL;
}

static void
on_seal(void *arg, const struct record *r, uint64_t offset, struct span peek)
{
	struct fsck *f = arg;
	struct record_seal seal;

	(void)offset;
	f->sum->records++;
	if (r->type != RECORD_SEAL || record_decode_seal(peek, &seal) != 0)
		return;
	f->seals = grown(f->seals, f->n_seals, &f->seals_size, sizeof(*f->seals));
	f->seals[f->n_seals++] = seal;
}

static const struct record_seal *
seal_of(const struct fsck *f, const struct segment *seg)
{
	for (size_t i = f->n_seals; i > 0; i--)
		if (f->seals[i - 1].number == seg->header.number &&
		    f->seals[i - 1].nonce == seg->header.nonce)
			return &f->seals[i - 1];
	return NULL;
}

static void
on_message(void *arg, const struct record *r, uint64_t offset, struct span peek)
{
	struct fsck *f = arg;
	struct fsck_finding about = {.kind = FSCK_COPIES, .file = f->seg->name, .offset = offset};
	struct record_message parts;
	struct known *k = known_of(f, r->serial);
	uint64_t head;
	uint32_t crc = 0;
	int failed;

	f->sum->records++;
	if (r->type != RECORD_MSG)
		return;
	must(record_decode_message(peek, r->length, &parts) == 0); /* or the scan passes it by */
	about.id = span_take(span_skip(peek, RECORD_LENGTHS), parts.id_n);
	about.length = record_size(r->length);
	head = record_message_head(&parts);
	if (k == NULL) {
		k = mem_alloc(sizeof(*k));
		k->m.serial = r->serial;
		(void)table_add(&f->known, &k->m); /* it is new: looked for above */
	}
	failed = io_crc(f->io, f->seg->fd, offset + RECORD_HEADER + head, r->length - head, &crc);
	if (failed != 0) {
		struct fsck_finding unreadable = about;

		unreadable.kind = FSCK_UNREADABLE;
		say(f, &unreadable, false, "%s: the disk does not give message %.*s at %llu",
		    f->seg->name, SPAN_ARG(about.id), (unsigned long long)offset);
	} else if (crc != parts.body_crc) {
		add_bad(f, offset, offset + about.length, r->serial);
		return;
	}
	if (k->is_good)
		say(f, &about, false, "%s: message %.*s at %llu is a copy of one in %s",
		    f->seg->name, SPAN_ARG(about.id), (unsigned long long)offset, k->m.home->name);
	k->m.home = f->seg;
	message_set_parts(&k->m, &parts);
	k->is_good = true;
}

static void
on_mark(void *arg, const struct record *r, uint64_t offset, struct span peek)
{
	struct fsck *f = arg;
	struct fsck_finding about = {.kind = FSCK_NOTHING, .file = f->seg->name, .offset = offset};
	struct known *k = known_of(f, r->serial);
	struct record_homes homes;

	if ((r->type != RECORD_NOTE && r->type != RECORD_DONE) ||
	    record_decode_homes(peek, &homes) != 0)
		return;
	if (k == NULL) {
		if (r->type == RECORD_NOTE && segment_of(f, homes.home) != NULL)
			say(f, &about, false,
			    "%s: a note at %llu is about a message that is not there", f->seg->name,
			    (unsigned long long)offset);
		return;
	}
	k->is_settled = k->is_settled || r->type == RECORD_DONE;
	k->m.note_n = r->type == RECORD_NOTE && r->length > RECORD_HOMES;
}

static struct scan
read_segment(struct fsck *f, struct segment *seg, uint64_t limit, bool has_bodies,
    void (*on_record)(void *, const struct record *, uint64_t, struct span))
{
	struct scan scan = {.io = f->io,
	    .fd = seg->fd,
	    .nonce = seg->header.nonce,
	    .start = SEGMENT_HEADER,
	    .limit = limit < seg->size ? limit : seg->size,
	    .has_bodies = has_bodies,
	    .on_record = on_record,
	    .on_gap = on_record == on_mark ? NULL : on_gap,
	    .arg = f};

	f->seg = seg;
	f->first_bad = f->n_bad;
	scan_run(&scan);
	return scan;
}

/* --- repair ------------------------------------------------------------------------------------- */

static int
copy_part(const struct fsck *f, const struct bad *b, int to)
{
	uint64_t n = b->to - b->from, done = 0;
	size_t size = n < COMMIT_CHUNK ? (size_t)n : COMMIT_CHUNK;
	unsigned char *chunk = mem_alloc(size);
	int failed = 0;

	while (done < n && failed == 0) {
		size_t take = n - done < size ? (size_t)(n - done) : size;
		struct iovec iov = {.iov_base = chunk, .iov_len = take};

		failed = io_read_all(f->io, b->seg->fd, chunk, take, b->from + done);
		if (failed == 0)
			failed = io_write_all(f->io, to, &iov, 1, done);
		done += take;
	}
	mem_free(chunk);
	return failed != 0 ? failed : f->io->sync_data(f->io->arg, to);
}

/* A header over the place: nothing here, go on behind it. */
static int
write_void(const struct fsck *f, const struct bad *b)
{
	struct record r = {.nonce = b->seg->header.nonce,
	    .length = b->to - b->from - RECORD_HEADER,
	    .serial = b->serial,
	    .type = RECORD_VOID};
	unsigned char header[RECORD_HEADER];
	struct iovec iov = {.iov_base = header, .iov_len = sizeof(header)};
	int failed;

	record_encode(&r, header);
	record_set_crc(header, record_crc_of_header(header));
	failed = io_write_all(f->io, b->seg->fd, &iov, 1, b->from);
	return failed != 0 ? failed : f->io->sync_data(f->io->arg, b->seg->fd);
}

/* The bytes are safe under another name before their place is written over. */
static bool
set_part_aside(struct fsck *f, const struct bad *b)
{
	char name[SEGMENT_NAME_SIZE];
	int fd, failed;

	if (!f->is_repair || b->to - b->from < RECORD_HEADER || b->to > b->seg->size)
		return false;
	segment_name_part(b->seg->name, b->from, name);
	(void)f->io->unlink_file(f->io->arg, f->dir, name); /* of a repair that was cut short */
	fd = f->io->open_file(f->io->arg, f->dir, name, true);
	failed = fd < 0 ? fd : copy_part(f, b, fd);
	if (fd >= 0)
		f->io->close_fd(f->io->arg, fd);
	if (failed == 0)
		failed = f->io->sync_dir(f->io->arg, f->dir);
	if (failed == 0)
		failed = write_void(f, b);
	f->failed = failed != 0 ? failed : f->failed;
	return failed == 0;
}

/* --- what is said ------------------------------------------------------------------------------- */

static bool
is_newest(const struct fsck *f, const struct segment *seg)
{
	LIST_FOR (it, &f->segments) {
		const struct segment *other = LIST_ENTRY(it, struct segment, node);

		/* A message of its own has a file of its own size. */
		if (other->header.kind == seg->header.kind && other->size == seg->size &&
		    other->header.number > seg->header.number)
			return false;
	}
	return true;
}

/* Gaps are damage but where a crash may have left them. */
static void
tell_gaps(struct fsck *f, bool is_accepted, const char *what)
{
	for (size_t i = f->first_bad; i < f->n_bad; i++) {
		struct bad *b = &f->bad[i];
		struct fsck_finding about = {.kind = is_accepted ? FSCK_TORN : FSCK_NO_RECORD,
		    .file = b->seg->name,
		    .offset = b->from,
		    .length = b->to - b->from};
		bool is_done;

		if (b->serial != 0)
			continue;
		is_done = !is_accepted && set_part_aside(f, b);
		say(f, &about, is_done, "%s: %llu bytes at %llu %s%s", b->seg->name,
		    (unsigned long long)about.length, (unsigned long long)b->from, what,
		    deed(is_done));
	}
}

#define TORN                                                                                   \
	"were torn by a crash before they were answered; if there was no crash, the disk has " \
	"lost "                                                                                \
	"the newest mail"

/* A record was begun behind the last good one.  That an answered one looks the same once the disk has
 * spoilt it, nothing on the disk can tell apart. */
static void
tell_tail(struct fsck *f, const struct segment *seg, uint64_t end)
{
	struct fsck_finding about = {.kind = FSCK_TORN, .file = seg->name, .offset = end};
	unsigned char nonce[8], found[8];

	record_store_u64(nonce, seg->header.nonce);
	if (io_read_all(f->io, seg->fd, found, sizeof(found), end) == 0 &&
	    memcmp(found, nonce, sizeof(nonce)) == 0)
		say(f, &about, false, "%s: bytes from %llu on " TORN, seg->name,
		    (unsigned long long)end);
}

static void
check_messages(struct fsck *f, struct segment *seg)
{
	const struct record_seal *seal = seal_of(f, seg);
	struct fsck_finding about = {.kind = FSCK_UNREADABLE, .file = seg->name};
	/* As a start reads it: bodies count where a write may have been torn. */
	bool has_bodies = seal == NULL || seal->gaps > 0, is_accepted;
	struct scan scan =
	    read_segment(f, seg, seal != NULL ? seal->end : UINT64_MAX, has_bodies, on_message);

	if (scan.unreadable > 0) {
		say(f, &about, false,
		    "%s: the disk does not give all of it; look at dmesg and smartctl", seg->name);
		return;
	}
	is_accepted = seal == NULL ? is_newest(f, seg) : scan.gaps <= seal->gaps;
	/* The last record of a file of its own lacks the bytes up to a multiple of 8. */
	if (seal != NULL && (scan.end < scan.limit || seal->end >= seg->size + RECORD_ALIGN)) {
		add_bad(f, scan.end, scan.end < scan.limit ? scan.limit : seal->end, 0);
		is_accepted = false;
	}
	tell_gaps(f, is_accepted,
	    seal != NULL && is_accepted ? "were torn by a crash before they were answered"
	    : is_accepted               ? TORN
					: "hold no record, and should");
	if (seal == NULL && is_accepted)
		tell_tail(f, seg, scan.end);
}

static void
check_marks(struct fsck *f, struct segment *seg)
{
	struct fsck_finding about = {.kind = FSCK_MARKS_UNREADABLE, .file = seg->name};
	struct scan scan = read_segment(f, seg, UINT64_MAX, false, on_seal);
	bool is_done;

	if (scan.unreadable == 0) {
		tell_gaps(
		    f, true, "hold no mark: mail settled or deferred there may be sent again");
		return;
	}
	is_done = put_away(f, seg->name);
	say(f, &about, is_done,
	    "%s: the disk does not give it, and a start refuses; without it settled mail may be "
	    "sent "
	    "again%s",
	    seg->name, deed(is_done));
	if (is_done)
		drop(f, seg);
}

static void
tell_bodies(struct fsck *f)
{
	for (size_t i = 0; i < f->n_bad; i++) {
		struct bad *b = &f->bad[i];
		const struct known *k = known_of(f, b->serial);
		struct fsck_finding about = {.kind = FSCK_BODY_BAD,
		    .file = b->seg->name,
		    .offset = b->from,
		    .length = b->to - b->from};
		unsigned char start[RECORD_HEADER + RECORD_PEEK] = {0};
		bool is_done;

		if (b->serial == 0 || k->is_settled) /* every serial is known */
			continue;
		if (io_read_all(f->io, b->seg->fd, start, sizeof(start), b->from) == 0)
			about.id =
			    span_take(span_of(start + RECORD_HEADER + RECORD_LENGTHS, SPOOL_ID_MAX),
				start[RECORD_HEADER]);
		is_done = set_part_aside(f, b);
		say(f, &about, is_done, "%s: the body of message %.*s at %llu is damaged%s%s",
		    b->seg->name, SPAN_ARG(about.id), (unsigned long long)b->from,
		    k->is_good ? "; another copy is whole" : "", deed(is_done));
	}
}

static void
count(struct fsck *f)
{
	struct spool_message *m;
	size_t at = 0;

	while ((m = table_next(&f->known, &at)) != NULL) {
		const struct known *k = LIST_ENTRY(m, struct known, m);

		f->sum->settled += k->is_settled;
		if (k->is_settled || !k->is_good)
			continue;
		f->sum->messages++;
		f->sum->notes += m->note_n > 0;
		f->sum->bytes += spool_message_size(m);
	}
}

static void
check_all(struct fsck *f)
{
	if (f->n_files > 1)
		qsort(f->files, f->n_files, sizeof(*f->files), by_value);
	for (size_t i = 0; i < f->n_files; i++)
		look_at_file(f, f->files[i]);
	for (int pass = 0; pass < 3; pass++)
		LIST_FOR_SAFE (it, &f->segments) {
			struct segment *seg = LIST_ENTRY(it, struct segment, node);
			bool is_marks = seg->header.kind == SEGMENT_NOTES;

			if (pass == 0 && is_marks)
				check_marks(f, seg);
			else if (pass == 1 && !is_marks)
				check_messages(f, seg);
			else if (pass == 2 && is_marks)
				(void)read_segment(f, seg, UINT64_MAX, false, on_mark);
		}
	tell_bodies(f);
	count(f);
}

static void
free_fsck(struct fsck *f)
{
	struct spool_message *m;
	size_t at = 0;

	while ((m = table_next(&f->known, &at)) != NULL)
		mem_free(LIST_ENTRY(m, struct known, m));
	table_free(&f->known);
	LIST_FOR_SAFE (it, &f->segments)
		drop(f, LIST_ENTRY(it, struct segment, node));
	mem_free(f->bad);
	mem_free(f->seals);
	mem_free(f->files);
	f->io->close_fd(f->io->arg, f->dir);
}

int
fsck_run(const struct spool_io *io, const char *dir, bool is_repair,
    void (*on_finding)(void *arg, const struct fsck_finding *finding), void *arg,
    struct fsck_summary *summary, struct err *err)
{
	struct fsck f = {.io = io != NULL ? io : &spool_io_system,
	    .known = {.key_at = offsetof(struct spool_message, serial)},
	    .is_repair = is_repair,
	    .on_finding = on_finding,
	    .arg = arg,
	    .sum = summary};
	struct stat st;
	int failed;

	*summary = (struct fsck_summary){0};
	list_init(&f.segments);
	/* The system's open_dir would make it. */
	if (io == NULL && (stat(dir, &st) != 0 || !S_ISDIR(st.st_mode)))
		return err_set(err, E_NOT_FOUND, "%s: there is no such folder", dir);
	f.dir = f.io->open_dir(f.io->arg, dir);
	if (f.dir < 0) {
		errno = -f.dir;
		return f.dir == -EWOULDBLOCK
			   ? err_set(err, E_IO, "%s: a relay runs on it; stop it first", dir)
			   : err_set(err, E_IO, "%s: %m", dir);
	}
	failed = f.io->list_dir(f.io->arg, f.dir, on_name, &f);
	if (failed == 0)
		check_all(&f);
	failed = failed != 0 ? failed : f.failed;
	free_fsck(&f);
	errno = -failed;
	return failed == 0 ? 0 : err_set(err, E_IO, "%s: %m", dir);
}

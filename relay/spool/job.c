/* What the committer thread does: pure work on files, no look at the spool's index. */
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/spool/commit.h"
#include "relay/spool/crc32c.h"
#include "relay/spool/plant.h"
#include "relay/spool/record.h"

#include <errno.h>
#include <unistd.h>

enum { BATCH_VECTORS = 512 };

struct writer {
	const struct spool_io *io;
	int fd;
	struct iovec iov[BATCH_VECTORS];
	int n;
	uint64_t offset; /* of the first vector */
	uint64_t next;   /* behind the last */
};

void
item_free(struct item **i)
{
	if (*i == NULL)
		return;
	if ((*i)->fd >= 0 && (*i)->source == NULL)
		(void)close((*i)->fd); /* a memfd: nothing to lose */
	list_remove(&(*i)->node);
	mem_free((*i)->head);
	mem_free(*i);
	*i = NULL;
}

struct job *
job_new(enum job_kind kind, struct segment *seg)
{
	struct job *j = mem_alloc(sizeof(*j));

	list_init(&j->node);
	list_init(&j->items);
	j->kind = kind;
	j->seg = seg;
	j->fd = seg != NULL ? seg->fd : -1;
	if (seg != NULL)
		memcpy(j->name, seg->name, sizeof(j->name));
	return j;
}

void
job_free(struct job **j)
{
	if (*j == NULL)
		return;
	LIST_FOR_SAFE (it, &(*j)->items) {
		struct item *i = LIST_ENTRY(it, struct item, node);

		item_free(&i);
	}
	list_remove(&(*j)->node);
	mem_free(*j);
	*j = NULL;
}

static int
flush_writer(struct writer *w)
{
	int failed = w->n > 0 ? io_write_all(w->io, w->fd, w->iov, w->n, w->offset) : 0;

	w->n = 0;
	return failed;
}

static int
add_vector(struct writer *w, void *p, size_t n, uint64_t offset)
{
	if (w->n == BATCH_VECTORS || (w->n > 0 && w->next != offset)) {
		int failed = flush_writer(w);

		if (failed != 0)
			return failed;
	}
	if (w->n == 0)
		w->offset = offset;
	w->iov[w->n++] = (struct iovec){.iov_base = p, .iov_len = n};
	w->next = offset + n;
	return 0;
}

static int
write_one(struct writer *w, void *p, size_t n, uint64_t offset)
{
	struct iovec iov = {.iov_base = p, .iov_len = n};

	return io_write_all(w->io, w->fd, &iov, 1, offset);
}

static int
read_source(const struct writer *w, const struct item *i, void *to, size_t n, uint64_t offset)
{
	if (i->source != NULL)
		return io_read_all(w->io, i->fd, to, n, offset);
	for (char *at = to; n > 0;) {
		ssize_t got = pread(i->fd, at, n, (off_t)offset);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -EIO;
		at += got;
		offset += (uint64_t)got;
		n -= (size_t)got;
	}
	return 0;
}

/* The record's place is taken already, so it becomes bytes that never were a message. */
static int
write_void(struct writer *w, struct item *i)
{
	struct record r;

	i->err = -E_CORRUPT;
	(void)record_decode(i->head, &r); /* the loop encoded it */
	r.type = RECORD_VOID;
	record_encode(&r, i->head);
	record_set_crc(i->head, record_crc_of_header(i->head));
	return write_one(w, i->head, RECORD_HEADER, i->offset);
}

/* Sets both CRCs of a record whose bytes before the prefix are in `head`. */
static void
seal_head(struct item *i, uint32_t body_crc)
{
	uint32_t crc;

	record_store_u32(i->head + RECORD_HEADER + RECORD_BODY_CRC_AT, body_crc);
	crc = record_crc_of_header(i->head);
	crc = crc32c(crc, i->head + RECORD_HEADER, i->covered_n - RECORD_HEADER);
	record_set_crc(i->head, crc);
}

/* From the source to behind the head; `is_bad`: the source cannot be read. */
static int
stream(struct writer *w, const struct item *i, uint32_t *crc, bool *is_bad)
{
	size_t size = i->n < COMMIT_CHUNK ? (size_t)i->n : COMMIT_CHUNK;
	unsigned char *chunk = mem_alloc(size + 1);
	uint64_t done = 0;
	int failed = 0;

	while (done < i->n && failed == 0) {
		size_t n = i->n - done < size ? (size_t)(i->n - done) : size;

		*is_bad = read_source(w, i, chunk, n, i->from + done) != 0;
		if (*is_bad)
			break;
		*crc = crc32c(*crc, chunk, n);
		failed = write_one(w, chunk, n, i->offset + i->head_n + done);
		done += n;
	}
	mem_free(chunk);
	return failed;
}

/* The head of a copy is its source's, under another header; false: it is not what was written. */
static bool
read_head(const struct writer *w, struct item *i)
{
	unsigned char old[RECORD_HEADER];
	struct record was;
	size_t n = i->covered_n - RECORD_HEADER;
	uint32_t crc;

	if (read_source(w, i, old, sizeof(old), i->from - i->covered_n) != 0 ||
	    read_source(w, i, i->head + RECORD_HEADER, n, i->from - n) != 0)
		return false;
	crc = crc32c(record_crc_of_header(old), i->head + RECORD_HEADER, n);
	return record_decode(old, &was) && was.length == i->length && was.crc == crc;
}

/*
 * The body goes first and the head, whose CRCs are known only then, last.  A copy is checked against
 * the CRCs that its source has, so that damage is not given a new seal of health.
 */
static int
write_streamed(struct writer *w, struct item *i)
{
	struct record_message parts;
	uint32_t crc = crc32c(0, i->head + i->covered_n, i->body_n);
	bool is_bad = i->source != NULL && !read_head(w, i);
	int failed = is_bad ? 0 : stream(w, i, &crc, &is_bad);

	if (failed != 0)
		return failed;
	if (i->source != NULL && !is_bad)
		is_bad = record_decode_message(span_of(i->head + RECORD_HEADER, RECORD_LENGTHS),
			     i->length, &parts) != 0 ||
			 parts.body_crc != crc;
	if (is_bad)
		return write_void(w, i);
	seal_head(i, crc);
	return write_one(w, i->head, i->head_n, i->offset);
}

static int
write_item(struct writer *w, struct item *i)
{
	int failed;

	if (i->fd < 0) {
		seal_head(i, crc32c(0, i->head + i->covered_n, i->body_n));
		return add_vector(w, i->head, i->head_n, i->offset);
	}
	failed = flush_writer(w);
	return failed != 0 ? failed : write_streamed(w, i);
}

static int
write_batch(struct job *j, const struct spool_io *io)
{
	struct writer w = {.io = io, .fd = j->fd};
	int failed = 0;

	if (j->is_birth) {
		unsigned char block[SEGMENT_HEADER];

		segment_encode(&j->header, block);
		failed = write_one(&w, block, sizeof(block), 0);
	}
	LIST_FOR (it, &j->items) {
		if (failed != 0)
			return failed;
		failed = write_item(&w, LIST_ENTRY(it, struct item, node));
	}
	return failed != 0 ? failed : flush_writer(&w);
}

static bool
has_copies(const struct job *j)
{
	LIST_FOR (it, &j->items)
		if (LIST_ENTRY(it, struct item, node)->source != NULL)
			return true;
	return false;
}

static int
run_batch(struct job *j, const struct spool_io *io, int dir, uint64_t *n_syncs)
{
	int failed;

	if (j->is_create) {
		j->fd = io->open_file(io->arg, dir, j->name, true);
		if (j->fd < 0)
			return j->fd;
	}
	j->is_touched = true;
	failed = write_batch(j, io);
	if (failed == 0 && !PLANTED(PLANT_ACK_BEFORE_SYNC) &&
	    !(PLANTED(PLANT_COPY_NOT_SYNCED) && has_copies(j))) {
		(*n_syncs)++;
		failed = io->sync_data(io->arg, j->fd);
	}
	if (failed != 0 && PLANTED(PLANT_SYNC_RETRIED))
		failed = io->sync_data(io->arg, j->fd);
	if (failed == 0 && j->is_create && !PLANTED(PLANT_DIR_NOT_SYNCED))
		failed = io->sync_dir(io->arg, dir);
	return PLANTED(PLANT_SYNC_ERROR_IGNORED) ? 0 : failed;
}

static int
fill_step(struct job *j, const struct spool_io *io)
{
	uint64_t left = j->size - j->filled;
	size_t n = left < COMMIT_FILL_STEP ? (size_t)left : COMMIT_FILL_STEP;
	void *zeros = mem_alloc(n);
	struct iovec iov = {.iov_base = zeros, .iov_len = n};
	int failed = io_write_all(io, j->fd, &iov, 1, j->filled);

	mem_free(zeros);
	if (failed == 0)
		failed = io->sync_data(io->arg, j->fd);
	if (failed == 0)
		j->filled += n;
	return failed;
}

static int
run_fill(struct job *j, const struct spool_io *io, int dir)
{
	int failed;

	if (j->fd < 0) {
		j->fd = io->open_file(io->arg, dir, j->name, true);
		if (j->fd < 0)
			return j->fd;
	}
	failed = fill_step(j, io);
	if (failed == 0 && j->filled == j->size)
		failed = io->sync_dir(io->arg, dir);
	if (failed != 0) {
		io->close_fd(io->arg, j->fd);
		j->fd = -1;
		/* A file left over is blank or short: the next start removes it. */
		(void)io->unlink_file(io->arg, dir, j->name);
	}
	return failed;
}

static int
run_retire(struct job *j, const struct spool_io *io, int dir)
{
	char aside[SEGMENT_NAME_SIZE];
	unsigned char *block;
	struct iovec iov;
	int failed = 0;

	switch (j->how) {
	case RETIRE_ERASE:
		block = mem_alloc(SEGMENT_HEADER);
		iov = (struct iovec){.iov_base = block, .iov_len = SEGMENT_HEADER};
		failed = io_write_all(io, j->fd, &iov, 1, 0);
		mem_free(block);
		if (PLANTED(PLANT_ERASE_NOT_SYNCED))
			return failed;
		return failed != 0 ? failed : io->sync_data(io->arg, j->fd);
	case RETIRE_UNLINK:
		failed = io->unlink_file(io->arg, dir, j->name);
		break;
	case RETIRE_SET_ASIDE:
		segment_name_aside(j->name, aside);
		failed = io->rename_file(io->arg, dir, j->name, aside);
		break;
	}
	return failed != 0 ? failed : io->sync_dir(io->arg, dir);
}

void
job_run(struct job *j, const struct spool_io *io, int dir, uint64_t *n_syncs)
{
	switch (j->kind) {
	case JOB_BATCH:
		j->failed = run_batch(j, io, dir, n_syncs);
		return;
	case JOB_FILL:
		j->failed = run_fill(j, io, dir);
		return;
	case JOB_RETIRE:
		j->failed = run_retire(j, io, dir);
		return;
	case JOB_SYNC:
		for (int i = 0; i < j->n_fds && j->failed == 0; i++) {
			if (PLANTED(PLANT_MARKS_NOT_SYNCED))
				break;
			(*n_syncs)++;
			j->failed = io->sync_data(io->arg, j->fds[i]);
		}
		return;
	}
}

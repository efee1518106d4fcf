#include "relay/quarantine/shelf.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/spool/crc32c.h"
#include "relay/spool/plant.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define SUFFIX ".eml"

/* FNV-1a, folded: the same for ever, since it says where a file lies. */
static unsigned
folder_of(struct span id)
{
	uint32_t h = 2166136261u;

	for (size_t i = 0; i < id.n; i++)
		h = (h ^ (unsigned char)id.p[i]) * 16777619u;
	return (h ^ h >> 8 ^ h >> 16 ^ h >> 24) % SHELF_FOLDERS;
}

/* -E_FULL, -E_NOT_FOUND or -E_IO. */
static int
code_of(int negative_errno)
{
	return negative_errno == -ENOENT ? -E_NOT_FOUND : io_code(negative_errno);
}

static int
make_folder(const struct shelf *s, const char *path)
{
	return s->io->open_dir(s->io->arg, path);
}

static int
read_folder(const struct shelf *s, const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	(void)s;
	return fd >= 0 ? fd : -errno;
}

/* A descriptor or a negative errno. */
static int
open_folder(const struct shelf *s, unsigned folder)
{
	char path[SHELF_PATH_MAX];

	if (snprintf(path, sizeof(path), "%s/%02x", s->dir, folder) >= (int)sizeof(path))
		return -ENAMETOOLONG;
	return s->open_folder(s, path);
}

static void
close_fd(const struct shelf *s, int *fd)
{
	if (*fd >= 0)
		s->io->close_fd(s->io->arg, *fd);
	*fd = -1;
}

static void
name_of(const char *id, const char *suffix, char to[SHELF_NAME_SIZE])
{
	must(snprintf(to, SHELF_NAME_SIZE, "%s%s", id, suffix) < SHELF_NAME_SIZE);
}

int
shelf_open(struct shelf *s)
{
	int failed = 0;

	s->open_folder = make_folder;
	s->root = s->io->open_dir(s->io->arg, s->dir);
	if (s->root < 0)
		return io_code(s->root);
	for (unsigned i = 0; i < SHELF_FOLDERS && failed == 0; i++) {
		int fd = open_folder(s, i);

		failed = fd < 0 ? fd : 0;
		close_fd(s, &fd);
	}
	if (failed == 0)
		failed = s->io->sync_dir(s->io->arg, s->root);
	if (failed == 0)
		return 0;
	shelf_close(s);
	return io_code(failed);
}

void
shelf_open_reader(struct shelf *s, const char *dir)
{
	*s = (struct shelf){
	    .io = &spool_io_system, .dir = dir, .root = -1, .open_folder = read_folder};
}

void
shelf_close(struct shelf *s)
{
	close_fd(s, &s->root);
}

/* --- writing ----------------------------------------------------------------------------------- */

static bool
has_room(const struct shelf *s, int folder, uint64_t size)
{
	struct spool_space space;

	return s->io->space_of(s->io->arg, folder, &space) < 0 ||
	       (space.free_files > 0 && space.free_bytes >= s->min_free &&
		   space.free_bytes - s->min_free >= size);
}

/* The temporary file, in place of one that an earlier attempt has left. */
static int
create(const struct shelf *s, const struct draft *d, int folder)
{
	char name[SHELF_NAME_SIZE];
	int fd;

	name_of(d->name, ".tmp", name);
	fd = s->io->open_file(s->io->arg, folder, name, true);
	if (fd != -EEXIST)
		return fd;
	fd = s->io->unlink_file(s->io->arg, folder, name);
	return fd < 0 ? fd : s->io->open_file(s->io->arg, folder, name, true);
}

static int
write_at(const struct shelf *s, const struct draft *d, const void *bytes, size_t n, uint64_t offset)
{
	struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = n};

	return n > 0 ? io_write_all(s->io, d->fd, &iov, 1, offset) : 0;
}

int
draft_prepare(struct draft *d, const struct letter *l)
{
	*d = (struct draft){.fd = -1, .head = BUF_INIT(LETTER_HEAD_MAX), .size = l->size};
	must(letter_id_is_fine(l->id) && span_copy(l->id, d->name, sizeof(d->name)));
	letter_put(&d->head, l);
	if (!d->head.failed)
		return 0;
	draft_free(d);
	return -E_LIMIT;
}

void
draft_free(struct draft *d)
{
	buf_free(&d->head);
}

/* The folder does not stay open: it is locked, and others of the drafts may lie in it. */
int
shelf_begin(const struct shelf *s, struct draft *d)
{
	int folder = open_folder(s, folder_of(span_str(d->name)));
	bool is_full;

	if (folder < 0)
		return io_code(folder);
	is_full = !has_room(s, folder, d->head.n + d->size);
	if (!is_full)
		d->fd = create(s, d, folder);
	close_fd(s, &folder);
	if (is_full)
		return -E_FULL;
	d->crc = crc32c(0, d->head.p, d->head.n);
	return d->fd < 0 ? io_code(d->fd) : 0;
}

int
shelf_add(const struct shelf *s, struct draft *d, const void *bytes, size_t n)
{
	int failed = write_at(s, d, bytes, n, d->head.n + d->at);

	if (failed < 0)
		return io_code(failed);
	d->crc = crc32c(d->crc, bytes, n);
	d->at += n;
	return 0;
}

/* A few are not worth what all the others on their file system have written. */
static bool
shares_syncs(const struct shelf *s, size_t n)
{
	return n > 1 && n >= (s->share_min > 0 ? s->share_min : SHELF_SHARE_MIN);
}

static int
sync_bytes(const struct shelf *s, struct draft *const *drafts, size_t n)
{
	int fds[SHELF_GROUP_MAX];

	if (PLANTED(PLANT_LETTER_UNSYNCED))
		return 0;
	if (n == 1 || PLANTED(PLANT_LETTER_OTHERS_UNSYNCED))
		return s->io->sync_data(s->io->arg, drafts[0]->fd);
	for (size_t i = 0; i < n; i++)
		fds[i] = drafts[i]->fd;
	return s->io->sync_all(s->io->arg, s->root, fds, n);
}

static int
sync_names(const struct shelf *s, struct draft *const *drafts, size_t n)
{
	int folder, failed;

	if (PLANTED(PLANT_LETTER_DIR_UNSYNCED))
		return 0;
	if (n > 1 && !PLANTED(PLANT_LETTER_OTHERS_UNSYNCED))
		return s->io->sync_all(s->io->arg, s->root, NULL, 0);
	folder = open_folder(s, folder_of(span_str(drafts[0]->name)));
	failed = folder < 0 ? folder : s->io->sync_dir(s->io->arg, folder);
	close_fd(s, &folder);
	return failed;
}

static int
take_name(const struct shelf *s, const struct draft *d)
{
	int folder = open_folder(s, folder_of(span_str(d->name))), failed = folder;
	char temporary[SHELF_NAME_SIZE], name[SHELF_NAME_SIZE];

	name_of(d->name, ".tmp", temporary);
	name_of(d->name, SUFFIX, name);
	if (folder >= 0)
		failed = s->io->rename_file(s->io->arg, folder, temporary, name);
	close_fd(s, &folder);
	return failed;
}

int
shelf_fill(const struct shelf *s, struct draft *d)
{
	int failed;

	must(d->at == d->size);
	letter_set_crc(d->head.p, d->crc);
	failed = write_at(s, d, d->head.p, d->head.n, 0);
	return failed < 0 ? io_code(failed) : 0;
}

static void
settle(const struct shelf *s, struct draft *const *drafts, size_t n, int *results)
{
	int failed, of_names;

	failed = sync_bytes(s, drafts, n);
	for (size_t i = 0; i < n; i++)
		results[i] = failed == 0 ? take_name(s, drafts[i]) : failed;
	of_names = failed == 0 ? sync_names(s, drafts, n) : 0;
	for (size_t i = 0; i < n; i++) {
		if (results[i] == 0)
			results[i] = of_names;
		if (PLANTED(PLANT_LETTER_ERROR_IGNORED))
			results[i] = 0;
		if (results[i] < 0) {
			results[i] = io_code(results[i]);
			continue;
		}
		close_fd(s, &drafts[i]->fd);
		buf_free(&drafts[i]->head);
	}
}

void
shelf_settle(const struct shelf *s, struct draft *const *drafts, size_t n, int *results)
{
	size_t step = shares_syncs(s, n) ? n : 1;

	must(n > 0 && n <= SHELF_GROUP_MAX);
	for (size_t i = 0; i < n; i += step)
		settle(s, drafts + i, step, results + i);
}

int
shelf_finish(const struct shelf *s, struct draft *d)
{
	int result = shelf_fill(s, d);

	if (result == 0)
		shelf_settle(s, &d, 1, &result);
	return result;
}

void
shelf_abandon(const struct shelf *s, struct draft *d)
{
	int folder = d->fd >= 0 ? open_folder(s, folder_of(span_str(d->name))) : -1;
	char name[SHELF_NAME_SIZE];

	name_of(d->name, ".tmp", name);
	/* It may bear its true name by now; and a leftover goes at the next start. */
	if (folder >= 0)
		(void)s->io->unlink_file(s->io->arg, folder, name);
	close_fd(s, &folder);
	close_fd(s, &d->fd);
	buf_free(&d->head);
}

/* --- reading ----------------------------------------------------------------------------------- */

/* The file of an id: a descriptor or a negative errno. */
static int
open_letter(const struct shelf *s, struct span id)
{
	char name[SHELF_NAME_SIZE], text[LETTER_ID_MAX + 1];
	int folder, fd;

	if (!letter_id_is_fine(id))
		return -ENOENT;
	folder = open_folder(s, folder_of(id));
	if (folder < 0)
		return folder;
	(void)span_copy(id, text, sizeof(text)); /* it fits, being fine */
	name_of(text, SUFFIX, name);
	fd = s->open_folder == read_folder ? openat(folder, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW)
					   : s->io->open_file(s->io->arg, folder, name, false);
	if (fd < 0 && s->open_folder == read_folder)
		fd = -errno;
	close_fd(s, &folder);
	return fd;
}

bool
shelf_has(const struct shelf *s, struct span id)
{
	int fd = open_letter(s, id);
	bool is_there = fd != -ENOENT; /* or nobody can say */

	close_fd(s, &fd);
	return is_there;
}

static int
read_line(const struct shelf *s, int fd, struct letter_line *line)
{
	char bytes[LETTER_LINE];
	int64_t size = s->io->size_of(s->io->arg, fd);

	if (size < 0)
		return -E_IO;
	if (size < LETTER_LINE)
		return -E_CORRUPT;
	if (io_read_all(s->io, fd, bytes, sizeof(bytes), 0) < 0)
		return -E_IO;
	if (letter_line_get(span_of(bytes, sizeof(bytes)), line) < 0 ||
	    (uint64_t)size != line->head + line->size)
		return -E_CORRUPT;
	return 0;
}

/* The head of an open file, and the letter in it. */
static int
read_head(const struct shelf *s, int fd, struct span id, struct letter_line *line, struct letter *l)
{
	struct buf head = BUF_INIT(LETTER_HEAD_MAX);
	int r = read_line(s, fd, line);

	if (r == 0 && io_read_all(s->io, fd, buf_room(&head, line->head), line->head, 0) < 0)
		r = -E_IO;
	if (r == 0)
		r = letter_get(span_of(head.p, line->head), l);
	buf_free(&head);
	if (r == 0 && !span_eq(l->id, id)) { /* a file that somebody has given another name */
		letter_free(l);
		r = -E_CORRUPT;
	}
	return r;
}

int
shelf_read(const struct shelf *s, struct span id, struct letter *l)
{
	int fd = open_letter(s, id), r;
	struct letter_line line;

	if (fd < 0)
		return code_of(fd);
	r = read_head(s, fd, id, &line, l);
	close_fd(s, &fd);
	return r;
}

/* CRC of the whole file, with zeros where the CRC stands. */
static int
check(const struct shelf *s, int fd, const struct letter_line *line)
{
	uint64_t left = line->head + line->size, at = 0;
	char *chunk = mem_alloc(SHELF_CHUNK);
	uint32_t crc = 0;
	int failed = 0;

	while (left > 0 && failed == 0) {
		size_t n = left < SHELF_CHUNK ? (size_t)left : SHELF_CHUNK;

		failed = io_read_all(s->io, fd, chunk, n, at);
		if (at == 0 && failed == 0)
			letter_set_crc(chunk, 0);
		crc = failed == 0 ? crc32c(crc, chunk, n) : crc;
		at += n;
		left -= n;
	}
	mem_free(chunk);
	if (failed < 0)
		return -E_IO;
	return crc == line->crc ? 0 : -E_CORRUPT;
}

int
shelf_take(const struct shelf *s, struct span id, struct taken *t)
{
	int fd = open_letter(s, id), r;
	struct letter_line line;

	*t = (struct taken){.fd = -1, .section = BUF_INIT(COMMIT_HEADER_MAX)};
	if (fd < 0)
		return code_of(fd);
	t->fd = fd;
	r = read_head(s, fd, id, &line, &t->letter);
	if (r == 0)
		r = check(s, fd, &line);
	if (r == 0 && line.section > 0 &&
	    io_read_all(s->io, fd, buf_room(&t->section, line.section), line.section, line.head) <
		0)
		r = -E_IO;
	if (r < 0)
		shelf_taken_free(s, t);
	else
		t->section.n = line.section;
	return r;
}

void
shelf_taken_free(const struct shelf *s, struct taken *t)
{
	close_fd(s, &t->fd);
	buf_free(&t->section);
	letter_free(&t->letter);
}

ssize_t
shelf_read_at(const struct shelf *s, const struct taken *t, uint64_t offset, void *to, size_t n)
{
	uint64_t left = offset < t->letter.size ? t->letter.size - offset : 0;
	size_t want = n < left ? n : (size_t)left;

	if (io_read_all(s->io, t->fd, to, want, t->letter.head + offset) < 0)
		return -E_IO;
	return (ssize_t)want;
}

int
shelf_rewrite(const struct shelf *s, const struct taken *t, const struct letter *l)
{
	char *chunk = mem_alloc(SHELF_CHUNK);
	struct draft d;
	int r = draft_prepare(&d, l);

	if (r == 0)
		r = shelf_begin(s, &d);
	while (r == 0 && d.at < d.size) {
		ssize_t n = shelf_read_at(s, t, d.at, chunk, SHELF_CHUNK);

		r = n < 0 ? (int)n : shelf_add(s, &d, chunk, (size_t)n);
	}
	if (r == 0)
		r = shelf_finish(s, &d);
	if (r < 0)
		shelf_abandon(s, &d);
	mem_free(chunk);
	return r;
}

int
shelf_remove(const struct shelf *s, struct span id, bool is_durable)
{
	char name[SHELF_NAME_SIZE], text[LETTER_ID_MAX + 1];
	int folder, failed;

	if (!letter_id_is_fine(id))
		return -E_NOT_FOUND;
	folder = open_folder(s, folder_of(id));
	if (folder < 0)
		return code_of(folder);
	(void)span_copy(id, text, sizeof(text)); /* it fits, being fine */
	name_of(text, SUFFIX, name);
	failed = s->io->unlink_file(s->io->arg, folder, name);
	if (failed == 0 && is_durable)
		failed = s->io->sync_dir(s->io->arg, folder);
	close_fd(s, &folder);
	return failed < 0 ? code_of(failed) : 0;
}

/* --- what is there ----------------------------------------------------------------------------- */

struct listing {
	const struct shelf *s;
	unsigned folder;
	struct buf leftovers; /* names, each with its NUL */
	void (*on_id)(void *arg, struct span id);
	void *arg;
};

static void
on_name(void *ctx, const char *name)
{
	struct listing *l = ctx;
	struct span text = span_str(name), id = span_take(text, span_rfind(text, '.'));
	struct span suffix = span_skip(text, id.n);

	/* What lies in a folder that is not its own is none of ours. */
	if (!letter_id_is_fine(id) || folder_of(id) != l->folder)
		return;
	if (span_eq(suffix, SPAN(SUFFIX)))
		l->on_id(l->arg, id);
	else if (span_eq(suffix, SPAN(".tmp")))
		(void)buf_add(&l->leftovers, name, text.n + 1); /* past the maximum: next time */
}

int
shelf_names(const struct shelf *s, unsigned folder, bool clears,
    void (*on_id)(void *arg, struct span id), void *arg)
{
	struct listing l = {
	    .s = s, .folder = folder, .leftovers = BUF_INIT(65536), .on_id = on_id, .arg = arg};
	int fd = open_folder(s, folder), failed;

	if (fd < 0)
		return fd == -ENOENT ? 0 : -E_IO;
	failed = s->io->list_dir(s->io->arg, fd, on_name, &l);
	for (struct span rest = buf_span(&l.leftovers); clears && rest.n > 0;)
		(void)s->io->unlink_file(
		    s->io->arg, fd, span_cut(&rest, '\0').p); /* or at the next start */
	buf_free(&l.leftovers);
	close_fd(s, &fd);
	return failed < 0 ? -E_IO : 0;
}

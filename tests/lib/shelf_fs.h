/*
 * shelf_fs.h - folders in memory behind struct spool_io, for tests of what renames files into
 * place: they fail calls on demand, and give what a power loss could leave behind.
 *
 * Changes of names take effect in order within a folder; a power loss keeps the first so many of
 * those since that folder's last sync.  Bytes that were not synced are any mixture of old and new; a
 * sync that fails is the last that does anything for its file.
 */
#ifndef TESTS_SHELF_FS_H
#define TESTS_SHELF_FS_H
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/base/rng.h"
#include "relay/spool/io.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
	FS_FILES = 192,
	FS_NAMES = 160,
	FS_BYTES = 16384,
	FS_NAME = 56,
	FS_CHANGES = 64,
	FS_FOLDER = 100000, /* descriptors: the n-th folder; one that has no number */
	FS_ROOT = FS_FOLDER + 256,
	FS_FILE = 200000
};

struct fs_file {
	bool is_used, is_lost; /* a sync of it has failed */
	unsigned char now[FS_BYTES], kept[FS_BYTES];
	size_t size, kept_size;
	int opens;
};

struct fs_name {
	char name[FS_NAME]; /* empty: free */
	int folder, file;
};

struct fs_names {
	struct fs_name items[FS_NAMES];
};

/* `from` becomes `to`: one is empty where a name is made or removed. */
struct fs_change {
	int folder, file;
	char from[FS_NAME], to[FS_NAME];
};

struct shelf_fs {
	struct spool_io io;
	struct fs_file files[FS_FILES];
	struct fs_names now, kept;
	struct fs_change changes[FS_CHANGES]; /* what `kept` has not yet */
	size_t n_changes;
	uint64_t calls, fail_at,
	    fails; /* the call that fails, 0: none; and how many from there on */
	int fail_with;
	uint64_t n_failed, n_syncs;
	uint64_t free_bytes;
	int n_open;
	bool gives_memfds; /* for a file that is not made: others than we read from it */
	/* Before each call; changes: it may change something. */
	void (*on_call)(void *arg, bool changes);
	void *on_call_arg;
};

static inline bool
fs_fails(struct shelf_fs *fs, bool changes)
{
	bool fails;

	if (fs->on_call != NULL)
		fs->on_call(fs->on_call_arg, changes);
	fs->calls++;
	fails = fs->fail_at != 0 && fs->calls >= fs->fail_at && fs->calls - fs->fail_at < fs->fails;
	fs->n_failed += fails;
	return fails;
}

/* An empty name: a free place. */
static inline struct fs_name *
fs_find(struct fs_names *names, int folder, const char *name)
{
	for (int i = 0; i < FS_NAMES; i++)
		if (strcmp(names->items[i].name, name) == 0 &&
		    (name[0] == '\0' || names->items[i].folder == folder))
			return &names->items[i];
	return NULL;
}

static inline void
fs_apply(struct fs_names *names, const struct fs_change *c)
{
	struct fs_name *from = c->from[0] != '\0' ? fs_find(names, c->folder, c->from) : NULL,
		       *to = c->to[0] != '\0' ? fs_find(names, c->folder, c->to) : NULL;

	if (from != NULL)
		from->name[0] = '\0';
	if (c->to[0] == '\0')
		return;
	if (to == NULL)
		to = fs_find(names, 0, "");
	must(to != NULL);
	to->folder = c->folder;
	to->file = c->file;
	memcpy(to->name, c->to, sizeof(to->name));
}

/* Makes the first of those changes durable that are in the folder (-1: in any); false: none. */
static inline bool
fs_keep_one(struct shelf_fs *fs, int folder)
{
	for (size_t i = 0; i < fs->n_changes; i++) {
		if (folder >= 0 && fs->changes[i].folder != folder)
			continue;
		fs_apply(&fs->kept, &fs->changes[i]);
		fs->n_changes--;
		memmove(&fs->changes[i], &fs->changes[i + 1],
		    (fs->n_changes - i) * sizeof(fs->changes[0]));
		return true;
	}
	return false;
}

static inline void
fs_change(struct shelf_fs *fs, int folder, const char *from, const char *to, int file)
{
	struct fs_change c = {.folder = folder, .file = file};

	must(span_copy(span_str(from), c.from, sizeof(c.from)));
	must(span_copy(span_str(to), c.to, sizeof(c.to)));
	fs_apply(&fs->now, &c);
	if (fs->n_changes == FS_CHANGES) /* the kernel writes by itself, some time */
		(void)fs_keep_one(fs, -1);
	fs->changes[fs->n_changes++] = c;
}

static inline bool
fs_is_named(const struct shelf_fs *fs, int file)
{
	for (int i = 0; i < FS_NAMES; i++)
		if ((fs->now.items[i].name[0] != '\0' && fs->now.items[i].file == file) ||
		    (fs->kept.items[i].name[0] != '\0' && fs->kept.items[i].file == file))
			return true;
	for (size_t i = 0; i < fs->n_changes; i++)
		if (fs->changes[i].file == file)
			return true;
	return false;
}

static inline int
fs_new_file(struct shelf_fs *fs)
{
	for (int i = 0; i < FS_FILES; i++) {
		struct fs_file *f = &fs->files[i];

		if (f->is_used && (f->opens > 0 || fs_is_named(fs, i)))
			continue;
		*f = (struct fs_file){.is_used = true};
		return i;
	}
	must(false); /* FS_FILES is too small */
	return -1;
}

static inline int
fs_open_dir(void *arg, const char *path)
{
	struct shelf_fs *fs = arg;
	const char *slash = strrchr(path, '/');
	char *end = NULL;
	long n = slash != NULL ? strtol(slash + 1, &end, 16) : 0;

	if (fs_fails(fs, false))
		return -fs->fail_with;
	fs->n_open++;
	return slash != NULL && end == slash + 3 && n < 256 ? FS_FOLDER + (int)n : FS_ROOT;
}

/* The bytes of a file that will not change any more, for those who do not know of this folder. */
static inline int
fs_memfd(const struct fs_file *f)
{
	int fd = memfd_create("letter", MFD_CLOEXEC);

	must(fd >= 0 && write(fd, f->now, f->size) == (ssize_t)f->size);
	return fd;
}

static inline int
fs_open_file(void *arg, int dir, const char *name, bool create)
{
	struct shelf_fs *fs = arg;
	struct fs_name *n;
	int file;

	must(dir >= FS_FOLDER && dir < FS_ROOT);
	if (fs_fails(fs, create))
		return -fs->fail_with;
	n = fs_find(&fs->now, dir, name);
	if ((n != NULL) == create)
		return create ? -EEXIST : -ENOENT;
	fs->n_open++;
	if (!create && fs->gives_memfds)
		return fs_memfd(&fs->files[n->file]);
	file = create ? fs_new_file(fs) : n->file;
	if (create)
		fs_change(fs, dir, "", name, file);
	fs->files[file].opens++;
	return FS_FILE + file;
}

static inline void
fs_close_fd(void *arg, int fd)
{
	struct shelf_fs *fs = arg;

	fs->n_open--;
	if (fd < FS_FOLDER)
		must(close(fd) == 0);
	else if (fd >= FS_FILE)
		must(fs->files[fd - FS_FILE].opens-- > 0);
}

static inline int64_t
fs_size_of(void *arg, int fd)
{
	struct shelf_fs *fs = arg;
	struct stat st;

	if (fs_fails(fs, false))
		return -fs->fail_with;
	if (fd >= FS_FILE)
		return (int64_t)fs->files[fd - FS_FILE].size;
	must(fstat(fd, &st) == 0);
	return st.st_size;
}

static inline ssize_t
fs_read_at(void *arg, int fd, void *to, size_t n, uint64_t offset)
{
	struct shelf_fs *fs = arg;
	const struct fs_file *f = fd >= FS_FILE ? &fs->files[fd - FS_FILE] : NULL;

	if (fs_fails(fs, false))
		return -fs->fail_with;
	n = n > 100 ? n - rng_below(50) : n; /* may be short */
	if (f == NULL)
		return pread(fd, to, n, (off_t)offset);
	if (offset >= f->size)
		return 0;
	n = n < f->size - offset ? n : f->size - (size_t)offset;
	memcpy(to, f->now + offset, n);
	return (ssize_t)n;
}

static inline ssize_t
fs_write_at(void *arg, int fd, const struct iovec *iov, int n, uint64_t offset)
{
	struct shelf_fs *fs = arg;
	struct fs_file *f = &fs->files[fd - FS_FILE];
	size_t take = iov->iov_len > 100 ? iov->iov_len - rng_below(50) : iov->iov_len;
	bool has_failed = fs_fails(fs, true);

	must(n == 1 && offset + take <= FS_BYTES);
	take = has_failed ? rng_below((uint32_t)take + 1) : take; /* a part may be there */
	memcpy(f->now + offset, iov->iov_base, take);
	if (take > 0 && offset + take > f->size)
		f->size = (size_t)offset + take;
	return has_failed ? -fs->fail_with : (ssize_t)take;
}

static inline int
fs_sync_data(void *arg, int fd)
{
	struct shelf_fs *fs = arg;
	struct fs_file *f = &fs->files[fd - FS_FILE];

	if (fs_fails(fs, true)) {
		f->is_lost = true; /* what the kernel has forgotten, no later sync brings back */
		return -fs->fail_with;
	}
	fs->n_syncs++;
	if (f->is_lost)
		return 0;
	memcpy(f->kept, f->now, sizeof(f->now));
	f->kept_size = f->size;
	return 0;
}

static inline int
fs_sync_dir(void *arg, int dir)
{
	struct shelf_fs *fs = arg;

	if (fs_fails(fs, true))
		return -fs->fail_with;
	fs->n_syncs++;
	while (fs_keep_one(fs, dir))
		continue;
	return 0;
}

/* As syncfs: what it writes beside these files is not promised to anybody. */
static inline int
fs_sync_all(void *arg, int dir, const int *fds, size_t n)
{
	struct shelf_fs *fs = arg;
	int failed = 0;

	must(dir == FS_ROOT);
	if (fs_fails(fs, true))
		failed = -fs->fail_with;
	/* A part of all that may be written when it fails, and the kernel forgets the rest. */
	for (int i = 0; i < FS_FILES; i++) {
		struct fs_file *f = &fs->files[i];

		if (!f->is_used || f->is_lost)
			continue;
		if (failed != 0 && rng_below(2) == 0) {
			f->is_lost = f->kept_size != f->size || memcmp(f->kept, f->now, FS_BYTES);
			continue;
		}
		memcpy(f->kept, f->now, sizeof(f->now));
		f->kept_size = f->size;
	}
	for (size_t i = 0; i < n; i++)
		failed = failed == 0 && fs->files[fds[i] - FS_FILE].is_lost ? -EIO : failed;
	while ((failed == 0 || rng_below(2) == 0) && fs_keep_one(fs, -1))
		continue;
	fs->n_syncs += failed == 0;
	return failed;
}

static inline int
fs_rename_file(void *arg, int dir, const char *from, const char *to)
{
	struct shelf_fs *fs = arg;
	struct fs_name *n;

	if (fs_fails(fs, true))
		return -fs->fail_with;
	n = fs_find(&fs->now, dir, from);
	if (n == NULL)
		return -ENOENT;
	fs_change(fs, dir, from, to, n->file);
	return 0;
}

static inline int
fs_unlink_file(void *arg, int dir, const char *name)
{
	struct shelf_fs *fs = arg;
	struct fs_name *n;

	if (fs_fails(fs, true))
		return -fs->fail_with;
	n = fs_find(&fs->now, dir, name);
	if (n == NULL)
		return -ENOENT;
	fs_change(fs, dir, name, "", n->file);
	return 0;
}

static inline int
fs_list_dir(void *arg, int dir, void (*on_name)(void *ctx, const char *name), void *ctx)
{
	struct shelf_fs *fs = arg;

	if (fs_fails(fs, false))
		return -fs->fail_with;
	for (int i = 0; i < FS_NAMES; i++)
		if (fs->now.items[i].name[0] != '\0' && fs->now.items[i].folder == dir)
			on_name(ctx, fs->now.items[i].name);
	return 0;
}

static inline int
fs_space_of(void *arg, int dir, struct spool_space *out)
{
	struct shelf_fs *fs = arg;

	(void)dir;
	if (fs_fails(fs, false))
		return -fs->fail_with;
	*out = (struct spool_space){.free_bytes = fs->free_bytes, .free_files = 1000};
	return 0;
}

static inline void
fs_set_io(struct shelf_fs *fs)
{
	fs->io = (struct spool_io){.arg = fs,
	    .open_dir = fs_open_dir,
	    .open_file = fs_open_file,
	    .close_fd = fs_close_fd,
	    .size_of = fs_size_of,
	    .read_at = fs_read_at,
	    .write_at = fs_write_at,
	    .sync_data = fs_sync_data,
	    .sync_dir = fs_sync_dir,
	    .sync_all = fs_sync_all,
	    .rename_file = fs_rename_file,
	    .unlink_file = fs_unlink_file,
	    .list_dir = fs_list_dir,
	    .space_of = fs_space_of};
}

static inline struct shelf_fs *
shelf_fs_new(void)
{
	struct shelf_fs *fs = mem_alloc(sizeof(*fs));

	fs->fail_with = EIO;
	fs->fails = 1;
	fs->free_bytes = UINT64_C(1) << 40;
	fs_set_io(fs);
	return fs;
}

/* As it stands, for another try on a sound disk. */
static inline struct shelf_fs *
shelf_fs_copy(const struct shelf_fs *fs)
{
	struct shelf_fs *copy = shelf_fs_new();

	copy->now = fs->now;
	copy->kept = fs->kept;
	memcpy(copy->changes, fs->changes, fs->n_changes * sizeof(fs->changes[0]));
	copy->n_changes = fs->n_changes;
	copy->free_bytes = fs->free_bytes;
	copy->gives_memfds = fs->gives_memfds;
	for (int i = 0; i < FS_FILES; i++) {
		const struct fs_file *from = &fs->files[i];
		struct fs_file *to = &copy->files[i];

		if (!from->is_used || !fs_is_named(fs, i))
			continue; /* the rest is zeros already */
		to->is_used = true;
		to->size = from->size;
		to->kept_size = from->kept_size;
		memcpy(to->now, from->now, from->size);
		memcpy(to->kept, from->kept, from->kept_size);
	}
	return copy;
}

/* As the kernel does after some seconds, by itself. */
static inline void
shelf_fs_write_back(struct shelf_fs *fs)
{
	while (fs_keep_one(fs, -1))
		continue;
	for (int i = 0; i < FS_FILES; i++) {
		struct fs_file *f = &fs->files[i];

		if (!f->is_used || f->is_lost)
			continue;
		memcpy(f->kept, f->now, sizeof(f->now));
		f->kept_size = f->size;
	}
}

static inline void
fs_file_lose_power(struct fs_file *f)
{
	for (size_t at = 0; at < FS_BYTES; at += 512)
		if (rng_below(2) == 0)
			memcpy(f->now + at, f->kept + at, 512);
	f->size = rng_below(2) == 0 ? f->size : f->kept_size;
	memset(f->now + f->size, 0, FS_BYTES - f->size);
	memcpy(f->kept, f->now, sizeof(f->now));
	f->kept_size = f->size;
}

static inline void
shelf_fs_lose_power(struct shelf_fs *fs)
{
	bool is_lost[256] = {false};

	/* Of each folder's changes, those before the first that is lost. */
	for (size_t i = 0; i < fs->n_changes; i++) {
		const struct fs_change *c = &fs->changes[i];
		bool *lost = &is_lost[c->folder - FS_FOLDER];

		*lost = *lost || rng_below(2) == 0;
		if (!*lost)
			fs_apply(&fs->kept, c);
	}
	fs->n_changes = 0;
	fs->now = fs->kept;
	for (int i = 0; i < FS_FILES; i++)
		if (fs->files[i].is_used)
			fs_file_lose_power(&fs->files[i]);
}

#endif

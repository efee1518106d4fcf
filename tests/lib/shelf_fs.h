/*
 * shelf_fs.h - a folder in memory behind struct spool_io, for tests of what renames files into
 * place: it fails calls on demand, and gives what a power loss could leave behind.
 *
 * All folders are one.  Changes of names take effect in order; a power loss keeps the first so many
 * of those since the last sync.  Bytes that were not synced are any mixture of old and new.
 */
#ifndef TESTS_SHELF_FS_H
#define TESTS_SHELF_FS_H
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/base/rng.h"
#include "relay/spool/io.h"

#include <errno.h>
#include <string.h>

enum {
	FS_FILES = 64,
	FS_NAMES = 32,
	FS_BYTES = 16384,
	FS_NAME = 56,
	FS_FOLDER = 9000,
	FS_CHANGES = 64
};

struct fs_file {
	unsigned char now[FS_BYTES], kept[FS_BYTES];
	size_t size, kept_size;
	int opens;
};

struct fs_name {
	char name[FS_NAME]; /* empty: free */
	int file;
};

struct fs_names {
	struct fs_name items[FS_NAMES];
};

struct shelf_fs {
	struct spool_io io;
	struct fs_file files[FS_FILES];
	int n_files;
	struct fs_names now;
	struct fs_names history[FS_CHANGES]; /* [0]: what is durable; then after each change */
	size_t n_history;
	uint64_t calls, fail_at,
	    fails; /* the call that fails, 0: none; and how many from there on */
	int fail_with;
	uint64_t free_bytes;
	int n_open;
};

static inline bool
fs_fails(struct shelf_fs *fs)
{
	fs->calls++;
	return fs->fail_at != 0 && fs->calls >= fs->fail_at && fs->calls - fs->fail_at < fs->fails;
}

static inline struct fs_name *
fs_find(struct shelf_fs *fs, const char *name)
{
	for (int i = 0; i < FS_NAMES; i++)
		if (strcmp(fs->now.items[i].name, name) == 0)
			return &fs->now.items[i];
	return NULL;
}

static inline void
fs_changed(struct shelf_fs *fs)
{
	must(fs->n_history < FS_CHANGES);
	fs->history[fs->n_history++] = fs->now;
}

static inline int
fs_open_dir(void *arg, const char *path)
{
	struct shelf_fs *fs = arg;

	(void)path;
	if (fs_fails(fs))
		return -fs->fail_with;
	fs->n_open++;
	return FS_FOLDER;
}

static inline int
fs_open_file(void *arg, int dir, const char *name, bool create)
{
	struct shelf_fs *fs = arg;
	struct fs_name *n = fs_find(fs, name);

	must(dir == FS_FOLDER);
	if (fs_fails(fs))
		return -fs->fail_with;
	if ((n != NULL) == create)
		return create ? -EEXIST : -ENOENT;
	if (create) {
		n = fs_find(fs, "");
		must(n != NULL && fs->n_files < FS_FILES);
		must(span_copy(span_str(name), n->name, sizeof(n->name)));
		n->file = fs->n_files++;
		fs_changed(fs);
	}
	fs->n_open++;
	fs->files[n->file].opens++;
	return n->file;
}

static inline void
fs_close_fd(void *arg, int fd)
{
	struct shelf_fs *fs = arg;

	fs->n_open--;
	if (fd != FS_FOLDER)
		must(fs->files[fd].opens-- > 0);
}

static inline int64_t
fs_size_of(void *arg, int fd)
{
	struct shelf_fs *fs = arg;

	return fs_fails(fs) ? -fs->fail_with : (int64_t)fs->files[fd].size;
}

static inline ssize_t
fs_read_at(void *arg, int fd, void *to, size_t n, uint64_t offset)
{
	struct shelf_fs *fs = arg;
	const struct fs_file *f = &fs->files[fd];

	if (fs_fails(fs))
		return -fs->fail_with;
	if (offset >= f->size)
		return 0;
	n = n < f->size - offset ? n : f->size - (size_t)offset;
	n = n > 100 ? n - rng_below(50) : n; /* may be short */
	memcpy(to, f->now + offset, n);
	return (ssize_t)n;
}

static inline ssize_t
fs_write_at(void *arg, int fd, const struct iovec *iov, int n, uint64_t offset)
{
	struct shelf_fs *fs = arg;
	struct fs_file *f = &fs->files[fd];
	size_t take = iov->iov_len > 100 ? iov->iov_len - rng_below(50) : iov->iov_len;
	bool has_failed = fs_fails(fs);

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
	struct fs_file *f = &fs->files[fd];

	if (fs_fails(fs))
		return -fs->fail_with;
	memcpy(f->kept, f->now, sizeof(f->now));
	f->kept_size = f->size;
	return 0;
}

static inline int
fs_sync_dir(void *arg, int dir)
{
	struct shelf_fs *fs = arg;

	(void)dir;
	if (fs_fails(fs))
		return -fs->fail_with;
	fs->history[0] = fs->now;
	fs->n_history = 1;
	return 0;
}

static inline int
fs_rename_file(void *arg, int dir, const char *from, const char *to)
{
	struct shelf_fs *fs = arg;
	struct fs_name *n = fs_find(fs, from), *old = fs_find(fs, to);

	(void)dir;
	if (fs_fails(fs))
		return -fs->fail_with;
	if (n == NULL)
		return -ENOENT;
	if (old != NULL)
		old->name[0] = '\0';
	must(span_copy(span_str(to), n->name, sizeof(n->name)));
	fs_changed(fs);
	return 0;
}

static inline int
fs_unlink_file(void *arg, int dir, const char *name)
{
	struct shelf_fs *fs = arg;
	struct fs_name *n = fs_find(fs, name);

	(void)dir;
	if (fs_fails(fs))
		return -fs->fail_with;
	if (n == NULL)
		return -ENOENT;
	n->name[0] = '\0';
	fs_changed(fs);
	return 0;
}

static inline int
fs_list_dir(void *arg, int dir, void (*on_name)(void *ctx, const char *name), void *ctx)
{
	struct shelf_fs *fs = arg;

	(void)dir;
	if (fs_fails(fs))
		return -fs->fail_with;
	for (int i = 0; i < FS_NAMES; i++)
		if (fs->now.items[i].name[0] != '\0')
			on_name(ctx, fs->now.items[i].name);
	return 0;
}

static inline int
fs_space_of(void *arg, int dir, struct spool_space *out)
{
	struct shelf_fs *fs = arg;

	(void)dir;
	if (fs_fails(fs))
		return -fs->fail_with;
	*out = (struct spool_space){.free_bytes = fs->free_bytes, .free_files = 1000};
	return 0;
}

static inline struct shelf_fs *
shelf_fs_new(void)
{
	struct shelf_fs *fs = mem_alloc(sizeof(*fs));

	fs->fail_with = EIO;
	fs->fails = 1;
	fs->free_bytes = UINT64_C(1) << 40;
	fs->n_history = 1;
	fs->io = (struct spool_io){.arg = fs,
	    .open_dir = fs_open_dir,
	    .open_file = fs_open_file,
	    .close_fd = fs_close_fd,
	    .size_of = fs_size_of,
	    .read_at = fs_read_at,
	    .write_at = fs_write_at,
	    .sync_data = fs_sync_data,
	    .sync_dir = fs_sync_dir,
	    .rename_file = fs_rename_file,
	    .unlink_file = fs_unlink_file,
	    .list_dir = fs_list_dir,
	    .space_of = fs_space_of};
	return fs;
}

/* As it stands, for another try on a sound disk. */
static inline struct shelf_fs *
shelf_fs_copy(const struct shelf_fs *fs)
{
	struct shelf_fs *copy = mem_alloc(sizeof(*copy));

	*copy = *fs;
	copy->io.arg = copy;
	copy->fail_at = copy->calls = 0;
	copy->n_open = 0;
	for (int i = 0; i < FS_FILES; i++)
		copy->files[i].opens = 0;
	return copy;
}

static inline void
shelf_fs_lose_power(struct shelf_fs *fs)
{
	fs->now = fs->history[rng_below((uint32_t)fs->n_history)];
	for (int i = 0; i < fs->n_files; i++) {
		struct fs_file *f = &fs->files[i];

		for (size_t at = 0; at < FS_BYTES; at += 512)
			if (rng_below(2) == 0)
				memcpy(f->now + at, f->kept + at, 512);
		f->size = rng_below(2) == 0 ? f->size : f->kept_size;
		memcpy(f->kept, f->now, sizeof(f->now));
		f->kept_size = f->size;
	}
	fs->history[0] = fs->now;
	fs->n_history = 1;
}

#endif

/*
 * memfs.h - a file system in memory behind struct spool_io, for tests: it knows what is durable and
 * what is not, fails calls on demand, and gives the images a power loss could leave behind.
 *
 * Data is durable by sectors.  A sync that fails keeps any part of the dirty sectors and forgets
 * that they were dirty, as kernels do.  Names are durable after sync_dir.
 */
#ifndef TESTS_MEMFS_H
#define TESTS_MEMFS_H
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/base/rng.h"
#include "relay/spool/io.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { MEMFS_FILES = 512, MEMFS_SECTOR = 512, MEMFS_DIR = 100000, MEMFS_NAME = 48 };

struct memfs_file {
	bool is_used, is_named, is_kept_named;
	char name[MEMFS_NAME], kept_name[MEMFS_NAME];
	unsigned char *now, *kept, *dirty; /* dirty: a byte for each sector */
	size_t size, kept_size, room;
	int opens;
};

struct memfs {
	pthread_mutex_t lock;
	struct memfs_file files[MEMFS_FILES];
	struct spool_io io;
	uint64_t calls, fail_at; /* the call that fails; 0: none */
	int fail_with, fails;    /* how many from fail_at on; errno */
	uint64_t noise;          /* of a repeatable sequence of its own, under the lock */
	struct spool_space space;
	uint64_t used_limit; /* bytes all files may have; over it: ENOSPC */
	/* Under the lock, before each call that changes something. */
	void (*on_call)(void *arg);
	void *on_call_arg;
};

static inline uint64_t
memfs_noise(struct memfs *fs)
{
	fs->noise = fs->noise * 6364136223846793005ull + 1442695040888963407ull;
	return fs->noise >> 33;
}

static inline int
memfs_begin(struct memfs *fs, bool is_change)
{
	(void)pthread_mutex_lock(&fs->lock);
	fs->calls++;
	if (is_change && fs->on_call != NULL)
		fs->on_call(fs->on_call_arg);
	if (fs->fail_at != 0 && fs->calls >= fs->fail_at &&
	    fs->calls < fs->fail_at + (uint64_t)fs->fails)
		return -fs->fail_with;
	return 0;
}

static inline int
memfs_end(struct memfs *fs, int result)
{
	(void)pthread_mutex_unlock(&fs->lock);
	return result;
}

static inline void
memfs_reserve(struct memfs_file *f, size_t size)
{
	size_t room = f->room ? f->room : 65536;

	if (size <= f->room)
		return;
	while (room < size)
		room *= 2;
	f->now = mem_grow(f->now, room);
	f->kept = mem_grow(f->kept, room);
	f->dirty = mem_grow(f->dirty, room / MEMFS_SECTOR);
	memset(f->now + f->room, 0, room - f->room);
	memset(f->kept + f->room, 0, room - f->room);
	memset(f->dirty + f->room / MEMFS_SECTOR, 0, (room - f->room) / MEMFS_SECTOR);
	f->room = room;
}

static inline struct memfs_file *
memfs_find(struct memfs *fs, const char *name)
{
	for (int i = 0; i < MEMFS_FILES; i++)
		if (fs->files[i].is_named && strcmp(fs->files[i].name, name) == 0)
			return &fs->files[i];
	return NULL;
}

static inline bool
memfs_is_gone(const struct memfs_file *f)
{
	return !f->is_named && !f->is_kept_named && f->opens == 0;
}

static inline int
memfs_open_dir(void *arg, const char *path)
{
	struct memfs *fs = arg;
	int failed = memfs_begin(fs, false);

	(void)path;
	return memfs_end(fs, failed != 0 ? failed : MEMFS_DIR);
}

static inline int
memfs_open_file(void *arg, int dir, const char *name, bool create)
{
	struct memfs *fs = arg;
	int failed = memfs_begin(fs, create);
	struct memfs_file *f = memfs_find(fs, name);

	must(dir == MEMFS_DIR);
	if (failed != 0)
		return memfs_end(fs, failed);
	if ((f != NULL) == create)
		return memfs_end(fs, create ? -EEXIST : -ENOENT);
	for (int i = 0; create && f == NULL && i < MEMFS_FILES; i++)
		if (!fs->files[i].is_used || memfs_is_gone(&fs->files[i]))
			f = &fs->files[i];
	must(f != NULL);
	if (create) {
		memfs_reserve(f, 1);
		memset(f->now, 0, f->room);
		memset(f->kept, 0, f->room);
		memset(f->dirty, 0, f->room / MEMFS_SECTOR);
		f->size = f->kept_size = 0;
		f->is_used = f->is_named = true;
		f->is_kept_named = false;
		must(span_copy(span_str(name), f->name, sizeof(f->name)));
	}
	f->opens++;
	return memfs_end(fs, (int)(f - fs->files));
}

static inline void
memfs_close_fd(void *arg, int fd)
{
	struct memfs *fs = arg;

	if (fd == MEMFS_DIR)
		return;
	(void)pthread_mutex_lock(&fs->lock);
	fs->files[fd].opens--;
	(void)pthread_mutex_unlock(&fs->lock);
}

static inline int64_t
memfs_size_of(void *arg, int fd)
{
	struct memfs *fs = arg;
	int failed = memfs_begin(fs, false);
	int64_t size = failed != 0 ? failed : (int64_t)fs->files[fd].size;

	(void)memfs_end(fs, 0);
	return size;
}

static inline ssize_t
memfs_read_at(void *arg, int fd, void *to, size_t n, uint64_t offset)
{
	struct memfs *fs = arg;
	int failed = memfs_begin(fs, false);
	struct memfs_file *f = &fs->files[fd];

	if (failed != 0)
		return memfs_end(fs, failed);
	if (offset >= f->size)
		return memfs_end(fs, 0);
	if (n > f->size - offset)
		n = f->size - offset;
	memcpy(to, f->now + offset, n);
	(void)memfs_end(fs, 0);
	return (ssize_t)n;
}

static inline void
memfs_put(struct memfs_file *f, const void *bytes, size_t n, uint64_t offset)
{
	if (n == 0)
		return;
	memfs_reserve(f, offset + n);
	memcpy(f->now + offset, bytes, n);
	for (uint64_t s = offset / MEMFS_SECTOR; s <= (offset + n - 1) / MEMFS_SECTOR; s++)
		f->dirty[s] = 1;
	if (offset + n > f->size)
		f->size = offset + n;
}

static inline uint64_t
memfs_used(const struct memfs *fs)
{
	uint64_t used = 0;

	for (int i = 0; i < MEMFS_FILES; i++)
		used += fs->files[i].is_named ? fs->files[i].size : 0;
	return used;
}

static inline ssize_t
memfs_write_at(void *arg, int fd, const struct iovec *iov, int n, uint64_t offset)
{
	struct memfs *fs = arg;
	int failed = memfs_begin(fs, true);
	struct memfs_file *f = &fs->files[fd];
	size_t all = 0, left;

	for (int i = 0; i < n; i++)
		all += iov[i].iov_len;
	if (failed == 0 && offset + all > f->size && fs->used_limit != 0 &&
	    memfs_used(fs) + offset + all - f->size > fs->used_limit)
		failed = -ENOSPC;
	/* A failing write may have written a part. */
	left = failed != 0 ? (size_t)(memfs_noise(fs) % (all + 1)) : all;
	for (int i = 0; i < n && left > 0; i++) {
		size_t take = iov[i].iov_len < left ? iov[i].iov_len : left;

		memfs_put(f, iov[i].iov_base, take, offset);
		offset += take;
		left -= take;
	}
	(void)memfs_end(fs, 0);
	return failed != 0 ? failed : (ssize_t)all;
}

static inline int
memfs_sync_data(void *arg, int fd)
{
	struct memfs *fs = arg;
	int failed = memfs_begin(fs, true);
	struct memfs_file *f = &fs->files[fd];

	for (size_t s = 0; s < (f->size + MEMFS_SECTOR - 1) / MEMFS_SECTOR; s++) {
		if (f->dirty[s] && (failed == 0 || memfs_noise(fs) % 2 == 0))
			memcpy(f->kept + s * MEMFS_SECTOR, f->now + s * MEMFS_SECTOR, MEMFS_SECTOR);
		f->dirty[s] = 0;
	}
	if (failed == 0 || memfs_noise(fs) % 2 == 0)
		f->kept_size = f->size;
	return memfs_end(fs, failed);
}

static inline int
memfs_sync_dir(void *arg, int dir)
{
	struct memfs *fs = arg;
	int failed = memfs_begin(fs, true);

	(void)dir;
	for (int i = 0; i < MEMFS_FILES && failed == 0; i++) {
		struct memfs_file *f = &fs->files[i];

		f->is_kept_named = f->is_named;
		memcpy(f->kept_name, f->name, sizeof(f->name));
	}
	return memfs_end(fs, failed);
}

static inline int
memfs_rename_file(void *arg, int dir, const char *from, const char *to)
{
	struct memfs *fs = arg;
	int failed = memfs_begin(fs, true);
	struct memfs_file *f = memfs_find(fs, from);

	(void)dir;
	if (failed == 0 && f == NULL)
		failed = -ENOENT;
	if (failed == 0)
		must(span_copy(span_str(to), f->name, sizeof(f->name)));
	return memfs_end(fs, failed);
}

static inline int
memfs_unlink_file(void *arg, int dir, const char *name)
{
	struct memfs *fs = arg;
	int failed = memfs_begin(fs, true);
	struct memfs_file *f = memfs_find(fs, name);

	(void)dir;
	if (failed == 0 && f == NULL)
		failed = -ENOENT;
	if (failed == 0)
		f->is_named = false;
	return memfs_end(fs, failed);
}

static inline int
memfs_list_dir(void *arg, int dir, void (*on_name)(void *ctx, const char *name), void *ctx)
{
	struct memfs *fs = arg;
	int failed = memfs_begin(fs, false);

	(void)dir;
	for (int i = 0; i < MEMFS_FILES && failed == 0; i++)
		if (fs->files[i].is_named)
			on_name(ctx, fs->files[i].name);
	return memfs_end(fs, failed);
}

static inline int
memfs_space_of(void *arg, int dir, struct spool_space *out)
{
	struct memfs *fs = arg;
	int failed = memfs_begin(fs, false);
	uint64_t used = memfs_used(fs);

	(void)dir;
	*out = fs->space;
	if (fs->used_limit != 0)
		out->free_bytes = fs->used_limit > used ? fs->used_limit - used : 0;
	return memfs_end(fs, failed);
}

static inline struct memfs *
memfs_new(uint64_t seed)
{
	struct memfs *fs = mem_alloc(sizeof(*fs));

	must(pthread_mutex_init(&fs->lock, NULL) == 0);
	fs->noise = seed;
	fs->fail_with = EIO;
	fs->fails = 1;
	fs->space = (struct spool_space){.free_bytes = 1ull << 40, .free_files = 1 << 20};
	fs->io = (struct spool_io){.arg = fs,
	    .open_dir = memfs_open_dir,
	    .open_file = memfs_open_file,
	    .close_fd = memfs_close_fd,
	    .size_of = memfs_size_of,
	    .read_at = memfs_read_at,
	    .write_at = memfs_write_at,
	    .sync_data = memfs_sync_data,
	    .sync_dir = memfs_sync_dir,
	    .rename_file = memfs_rename_file,
	    .unlink_file = memfs_unlink_file,
	    .list_dir = memfs_list_dir,
	    .space_of = memfs_space_of};
	return fs;
}

static inline void
memfs_free(struct memfs **fs)
{
	if (*fs == NULL)
		return;
	for (int i = 0; i < MEMFS_FILES; i++) {
		mem_free((*fs)->files[i].now);
		mem_free((*fs)->files[i].kept);
		mem_free((*fs)->files[i].dirty);
	}
	must(pthread_mutex_destroy(&(*fs)->lock) == 0);
	mem_free(*fs);
	*fs = NULL;
}

static inline void
memfs_copy_file(struct memfs_file *to, const struct memfs_file *from)
{
	*to = *from;
	to->opens = 0;
	to->now = mem_alloc(from->room);
	to->kept = mem_alloc(from->room);
	to->dirty = mem_alloc(from->room / MEMFS_SECTOR + 1);
	if (from->room > 0) {
		memcpy(to->now, from->now, from->room);
		memcpy(to->kept, from->kept, from->room);
		memcpy(to->dirty, from->dirty, from->room / MEMFS_SECTOR);
	}
}

/* As it is, volatile state and all. Under the lock of `fs`. */
static inline struct memfs *
memfs_clone(const struct memfs *fs, uint64_t seed)
{
	struct memfs *copy = memfs_new(seed);

	copy->space = fs->space;
	copy->used_limit = fs->used_limit;
	for (int i = 0; i < MEMFS_FILES; i++)
		if (fs->files[i].is_used && !memfs_is_gone(&fs->files[i]))
			memfs_copy_file(&copy->files[i], &fs->files[i]);
	return copy;
}

static inline struct memfs *
memfs_clone_live(struct memfs *fs, uint64_t seed)
{
	struct memfs *copy;

	(void)pthread_mutex_lock(&fs->lock);
	copy = memfs_clone(fs, seed);
	(void)pthread_mutex_unlock(&fs->lock);
	return copy;
}

/*
 * The power fails: of 256 unsynced sectors and names, about `odds` happen to be on disk.
 * 0: exactly what was synced.
 */
static inline void
memfs_lose_power(struct memfs *fs, unsigned odds)
{
	for (int i = 0; i < MEMFS_FILES; i++) {
		struct memfs_file *f = &fs->files[i];

		if (!f->is_used)
			continue;
		for (size_t s = 0; s < f->room / MEMFS_SECTOR; s++) {
			if (f->dirty[s] && memfs_noise(fs) % 256 < odds)
				memcpy(f->kept + s * MEMFS_SECTOR, f->now + s * MEMFS_SECTOR,
				    MEMFS_SECTOR);
			f->dirty[s] = 0;
		}
		if (memfs_noise(fs) % 256 < odds)
			f->kept_size = f->size;
		memcpy(f->now, f->kept, f->room);
		f->size = f->kept_size;
		if (memfs_noise(fs) % 256 >= odds) {
			f->is_named = f->is_kept_named;
			memcpy(f->name, f->kept_name, sizeof(f->name));
		}
		f->is_kept_named = f->is_named;
		memcpy(f->kept_name, f->name, sizeof(f->name));
		f->is_used = f->is_named;
	}
}

#endif

/*
 * memfs.h - a file system in memory behind struct spool_io, for tests: it knows what is durable and
 * what is not, fails calls on demand, and gives the images a power loss could leave behind.
 *
 * A file is an array of cells, one a sector; a cell refers to what a reader sees, what is on disk,
 * and a state between the two.  Sectors are shared and copied on write, so an image of the whole
 * file system costs a few references.  A sync that fails keeps any part of the dirty sectors and
 * forgets that they were dirty, as kernels do: the next sync returns 0 and writes nothing; what was
 * not kept may be read back from the disk as it was before.  Names are durable after sync_dir.
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

enum { MEMFS_FILES = 256, MEMFS_SECTOR = 512, MEMFS_DIR = 100000, MEMFS_NAME = 48 };

struct memfs_sector {
	unsigned refs;
	unsigned char bytes[MEMFS_SECTOR];
};

/* NULL: zeros. */
struct memfs_cell {
	struct memfs_sector *now, *between, *kept;
	bool is_dirty;
};

struct memfs_file {
	bool is_used, is_named, is_kept_named;
	bool is_name_dirty; /* the next sync_dir makes the name of now durable */
	char name[MEMFS_NAME], kept_name[MEMFS_NAME];
	struct memfs_cell *cells;
	size_t size, kept_size, n_cells;
	int opens;
};

enum memfs_call {
	MEMFS_CREATE,
	MEMFS_WRITE,
	MEMFS_SYNC,
	MEMFS_SYNC_DIR,
	MEMFS_RENAME,
	MEMFS_UNLINK,
	MEMFS_LOOK /* changes nothing */
};

struct memfs {
	pthread_mutex_t lock;
	struct memfs_file files[MEMFS_FILES];
	int n_files; /* those behind were never used */
	struct spool_io io;
	uint64_t calls, fail_at; /* the call that fails; 0: none */
	int fail_with, fails;    /* how many from fail_at on; errno */
	uint64_t n_failed, n_failed_syncs;
	uint64_t noise; /* of a repeatable sequence of its own, under the lock */
	struct spool_space space;
	uint64_t used_limit; /* bytes all files may have; over it: ENOSPC */
	/* Without the lock, before each call. */
	void (*on_call)(void *arg, enum memfs_call call);
	void *on_call_arg;
};

/* What of the unsynced is on disk when the power fails. */
enum memfs_loss {
	MEMFS_LOSE_ALL,   /* exactly what was synced */
	MEMFS_KEEP_FEW,   /* of the sectors and names, any */
	MEMFS_KEEP_HALF,  /* */
	MEMFS_KEEP_MOST,  /* */
	MEMFS_KEEP_FIRST, /* of each file the sectors up to a place: torn */
	MEMFS_KEEP_LAST,  /* those behind a place: the later went first */
	MEMFS_KEEP_FILES, /* some files whole, others not at all */
	MEMFS_LOSSES
};

static inline uint64_t
memfs_noise(struct memfs *fs)
{
	fs->noise = fs->noise * 6364136223846793005ull + 1442695040888963407ull;
	return fs->noise >> 33;
}

static inline bool
memfs_chance(struct memfs *fs, unsigned of_256)
{
	return memfs_noise(fs) % 256 < of_256;
}

/* --- sectors ------------------------------------------------------------------------------------ */

/* Images are shared between threads, each under a lock of its own. */
static inline struct memfs_sector *
memfs_hold(struct memfs_sector *s)
{
	if (s != NULL)
		(void)__atomic_add_fetch(&s->refs, 1, __ATOMIC_RELAXED);
	return s;
}

static inline void
memfs_drop(struct memfs_sector *s)
{
	if (s != NULL && __atomic_sub_fetch(&s->refs, 1, __ATOMIC_ACQ_REL) == 0)
		mem_free(s);
}

static inline void
memfs_assign(struct memfs_sector **to, struct memfs_sector *s)
{
	struct memfs_sector *before = *to;

	*to = memfs_hold(s);
	memfs_drop(before);
}

static inline bool
memfs_is_zero(const unsigned char *bytes, size_t n)
{
	return n == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, n - 1) == 0);
}

static inline void
memfs_put_sector(struct memfs_cell *c, const unsigned char *bytes, size_t at, size_t n)
{
	struct memfs_sector *s = NULL;

	if (c->now != NULL || !memfs_is_zero(bytes, n)) {
		s = malloc(sizeof(*s));
		must(s != NULL);
		s->refs = 0;
		if (n < MEMFS_SECTOR && c->now != NULL)
			memcpy(s->bytes, c->now->bytes, MEMFS_SECTOR);
		else if (n < MEMFS_SECTOR)
			memset(s->bytes, 0, MEMFS_SECTOR);
		memcpy(s->bytes + at, bytes, n);
	}
	memfs_assign(&c->between, c->is_dirty ? c->now : c->kept);
	memfs_assign(&c->now, s);
	c->is_dirty = true;
}

static inline void
memfs_cell_sync(struct memfs_cell *c)
{
	memfs_assign(&c->kept, c->now);
	memfs_assign(&c->between, NULL);
	c->is_dirty = false;
}

/* --- files -------------------------------------------------------------------------------------- */

static inline void
memfs_reserve(struct memfs_file *f, size_t size)
{
	size_t n = (size + MEMFS_SECTOR - 1) / MEMFS_SECTOR;

	if (n <= f->n_cells)
		return;
	f->cells = mem_grow(f->cells, n * sizeof(*f->cells));
	memset(f->cells + f->n_cells, 0, (n - f->n_cells) * sizeof(*f->cells));
	f->n_cells = n;
}

static inline void
memfs_clear(struct memfs_file *f)
{
	for (size_t i = 0; i < f->n_cells; i++) {
		memfs_drop(f->cells[i].now);
		memfs_drop(f->cells[i].between);
		memfs_drop(f->cells[i].kept);
	}
	mem_free(f->cells);
	memset(f, 0, sizeof(*f));
}

static inline void
memfs_put(struct memfs_file *f, const void *bytes, size_t n, uint64_t offset)
{
	const unsigned char *from = bytes;

	memfs_reserve(f, offset + n);
	if (offset + n > f->size)
		f->size = offset + n;
	while (n > 0) {
		size_t at = offset % MEMFS_SECTOR;
		size_t take = MEMFS_SECTOR - at < n ? MEMFS_SECTOR - at : n;

		memfs_put_sector(&f->cells[offset / MEMFS_SECTOR], from, at, take);
		from += take;
		offset += take;
		n -= take;
	}
}

/* What a reader sees. */
static inline size_t
memfs_get(const struct memfs_file *f, void *to, size_t n, uint64_t offset)
{
	unsigned char *at = to;
	size_t left;

	if (offset >= f->size)
		return 0;
	if (n > f->size - offset)
		n = (size_t)(f->size - offset);
	for (left = n; left > 0;) {
		size_t skip = offset % MEMFS_SECTOR;
		size_t take = MEMFS_SECTOR - skip < left ? MEMFS_SECTOR - skip : left;
		const struct memfs_sector *s = f->cells[offset / MEMFS_SECTOR].now;

		if (s != NULL)
			memcpy(at, s->bytes + skip, take);
		else
			memset(at, 0, take);
		at += take;
		offset += take;
		left -= take;
	}
	return n;
}

/* The disk itself goes bad: bytes change without a call. */
static inline void
memfs_damage(struct memfs_file *f, const void *bytes, size_t n, uint64_t offset)
{
	memfs_put(f, bytes, n, offset);
	for (uint64_t s = offset / MEMFS_SECTOR; s <= (offset + n - 1) / MEMFS_SECTOR; s++)
		memfs_cell_sync(&f->cells[s]);
}

static inline struct memfs_file *
memfs_find(struct memfs *fs, const char *name)
{
	for (int i = 0; i < fs->n_files; i++)
		if (fs->files[i].is_named && strcmp(fs->files[i].name, name) == 0)
			return &fs->files[i];
	return NULL;
}

/* The file, and where in it, these bytes stand; NULL: nowhere. */
static inline struct memfs_file *
memfs_search(struct memfs *fs, const void *needle, size_t n, uint64_t *offset)
{
	struct memfs_file *found = NULL;

	for (int i = 0; i < fs->n_files && found == NULL; i++) {
		struct memfs_file *f = &fs->files[i];
		unsigned char *all = mem_alloc(f->size + 1), *at;

		(void)memfs_get(f, all, f->size, 0);
		at = f->is_named ? memmem(all, f->size, needle, n) : NULL;
		if (at != NULL) {
			*offset = (uint64_t)(at - all);
			found = f;
		}
		mem_free(all);
	}
	return found;
}

static inline bool
memfs_is_gone(const struct memfs_file *f)
{
	return !f->is_named && !f->is_kept_named && f->opens == 0;
}

/* --- calls -------------------------------------------------------------------------------------- */

static inline int
memfs_begin(struct memfs *fs, enum memfs_call call)
{
	if (fs->on_call != NULL)
		fs->on_call(fs->on_call_arg, call);
	(void)pthread_mutex_lock(&fs->lock);
	fs->calls++;
	if (fs->fail_at == 0 || fs->calls < fs->fail_at ||
	    fs->calls - fs->fail_at >= (uint64_t)fs->fails)
		return 0;
	fs->n_failed++;
	return -fs->fail_with;
}

static inline int
memfs_end(struct memfs *fs, int result)
{
	(void)pthread_mutex_unlock(&fs->lock);
	return result;
}

static inline int
memfs_open_dir(void *arg, const char *path)
{
	struct memfs *fs = arg;
	int failed = memfs_begin(fs, MEMFS_LOOK);

	(void)path;
	return memfs_end(fs, failed != 0 ? failed : MEMFS_DIR);
}

static inline struct memfs_file *
memfs_create(struct memfs *fs, const char *name)
{
	struct memfs_file *f = NULL;

	for (int i = 0; i < MEMFS_FILES && f == NULL; i++)
		if (!fs->files[i].is_used || memfs_is_gone(&fs->files[i]))
			f = &fs->files[i];
	must(f != NULL);
	if (f - fs->files >= fs->n_files)
		fs->n_files = (int)(f - fs->files) + 1;
	memfs_clear(f);
	f->is_used = f->is_named = f->is_name_dirty = true;
	must(span_copy(span_str(name), f->name, sizeof(f->name)));
	return f;
}

static inline int
memfs_open_file(void *arg, int dir, const char *name, bool create)
{
	struct memfs *fs = arg;
	int failed = memfs_begin(fs, create ? MEMFS_CREATE : MEMFS_LOOK);
	struct memfs_file *f = memfs_find(fs, name);

	must(dir == MEMFS_DIR);
	if (failed != 0)
		return memfs_end(fs, failed);
	if ((f != NULL) == create)
		return memfs_end(fs, create ? -EEXIST : -ENOENT);
	if (create)
		f = memfs_create(fs, name);
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
	int failed = memfs_begin(fs, MEMFS_LOOK);
	int64_t size = failed != 0 ? failed : (int64_t)fs->files[fd].size;

	(void)memfs_end(fs, 0);
	return size;
}

static inline ssize_t
memfs_read_at(void *arg, int fd, void *to, size_t n, uint64_t offset)
{
	struct memfs *fs = arg;
	int failed = memfs_begin(fs, MEMFS_LOOK);

	if (failed != 0)
		return memfs_end(fs, failed);
	n = memfs_get(&fs->files[fd], to, n, offset);
	(void)memfs_end(fs, 0);
	return (ssize_t)n;
}

static inline uint64_t
memfs_used(const struct memfs *fs)
{
	uint64_t used = 0;

	for (int i = 0; i < fs->n_files; i++)
		used += fs->files[i].is_named ? fs->files[i].size : 0;
	return used;
}

static inline ssize_t
memfs_write_at(void *arg, int fd, const struct iovec *iov, int n, uint64_t offset)
{
	struct memfs *fs = arg;
	int failed = memfs_begin(fs, MEMFS_WRITE);
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

/* Some of it is on disk, some not, and nobody will try again; the page may be dropped as well. */
static inline void
memfs_cell_lose(struct memfs *fs, struct memfs_cell *c)
{
	if (memfs_chance(fs, 128)) {
		memfs_cell_sync(c);
		return;
	}
	if (memfs_chance(fs, 64))
		memfs_assign(&c->now, c->kept);
	memfs_assign(&c->between, NULL);
	c->is_dirty = false;
}

static inline int
memfs_sync_data(void *arg, int fd)
{
	struct memfs *fs = arg;
	int failed = memfs_begin(fs, MEMFS_SYNC);
	struct memfs_file *f = &fs->files[fd];

	fs->n_failed_syncs += failed != 0;
	for (size_t s = 0; s < f->n_cells; s++) {
		if (!f->cells[s].is_dirty)
			continue;
		if (failed == 0)
			memfs_cell_sync(&f->cells[s]);
		else
			memfs_cell_lose(fs, &f->cells[s]);
	}
	if (failed == 0 || memfs_chance(fs, 128))
		f->kept_size = f->size;
	return memfs_end(fs, failed);
}

static inline int
memfs_sync_dir(void *arg, int dir)
{
	struct memfs *fs = arg;
	int failed = memfs_begin(fs, MEMFS_SYNC_DIR);

	(void)dir;
	for (int i = 0; i < fs->n_files; i++) {
		struct memfs_file *f = &fs->files[i];

		if (!f->is_name_dirty)
			continue;
		/* A journal that fails stays failed: there is no later success that hides it. */
		if (failed != 0 && memfs_chance(fs, 128))
			continue;
		f->is_name_dirty = false;
		f->is_kept_named = f->is_named;
		memcpy(f->kept_name, f->name, sizeof(f->name));
	}
	return memfs_end(fs, failed);
}

static inline int
memfs_rename_file(void *arg, int dir, const char *from, const char *to)
{
	struct memfs *fs = arg;
	int failed = memfs_begin(fs, MEMFS_RENAME);
	struct memfs_file *f = memfs_find(fs, from);

	(void)dir;
	if (failed == 0 && f == NULL)
		failed = -ENOENT;
	if (failed == 0) {
		must(span_copy(span_str(to), f->name, sizeof(f->name)));
		f->is_name_dirty = true;
	}
	return memfs_end(fs, failed);
}

static inline int
memfs_unlink_file(void *arg, int dir, const char *name)
{
	struct memfs *fs = arg;
	int failed = memfs_begin(fs, MEMFS_UNLINK);
	struct memfs_file *f = memfs_find(fs, name);

	(void)dir;
	if (failed == 0 && f == NULL)
		failed = -ENOENT;
	if (failed == 0) {
		f->is_named = false;
		f->is_name_dirty = true;
	}
	return memfs_end(fs, failed);
}

static inline int
memfs_list_dir(void *arg, int dir, void (*on_name)(void *ctx, const char *name), void *ctx)
{
	struct memfs *fs = arg;
	int failed = memfs_begin(fs, MEMFS_LOOK);

	(void)dir;
	for (int i = 0; i < fs->n_files && failed == 0; i++)
		if (fs->files[i].is_named)
			on_name(ctx, fs->files[i].name);
	return memfs_end(fs, failed);
}

static inline int
memfs_space_of(void *arg, int dir, struct spool_space *out)
{
	struct memfs *fs = arg;
	int failed = memfs_begin(fs, MEMFS_LOOK);
	uint64_t used = memfs_used(fs);

	(void)dir;
	*out = fs->space;
	if (fs->used_limit != 0)
		out->free_bytes = fs->used_limit > used ? fs->used_limit - used : 0;
	return memfs_end(fs, failed);
}

/* --- file systems ------------------------------------------------------------------------------- */

static inline struct memfs *
memfs_new(uint64_t seed)
{
	struct memfs *fs = mem_alloc(sizeof(*fs));

	must(pthread_mutex_init(&fs->lock, NULL) == 0);
	fs->noise = seed * 0x9e3779b97f4a7c15ull;
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
	for (int i = 0; i < (*fs)->n_files; i++)
		memfs_clear(&(*fs)->files[i]);
	must(pthread_mutex_destroy(&(*fs)->lock) == 0);
	mem_free(*fs);
	*fs = NULL;
}

static inline void
memfs_copy_file(struct memfs_file *to, const struct memfs_file *from)
{
	*to = *from;
	to->opens = 0;
	to->cells = mem_array(from->n_cells, sizeof(*to->cells));
	for (size_t i = 0; i < from->n_cells; i++) {
		const struct memfs_cell *c = &from->cells[i];

		to->cells[i] = (struct memfs_cell){.now = memfs_hold(c->now),
		    .between = memfs_hold(c->between),
		    .kept = memfs_hold(c->kept),
		    .is_dirty = c->is_dirty};
	}
}

/* As it is, volatile state and all: what kill -9 leaves. */
static inline struct memfs *
memfs_clone(struct memfs *fs, uint64_t seed)
{
	struct memfs *copy = memfs_new(seed);

	(void)pthread_mutex_lock(&fs->lock);
	copy->space = fs->space;
	copy->used_limit = fs->used_limit;
	copy->n_files = fs->n_files;
	for (int i = 0; i < fs->n_files; i++)
		if (fs->files[i].is_used && !memfs_is_gone(&fs->files[i]))
			memfs_copy_file(&copy->files[i], &fs->files[i]);
	(void)pthread_mutex_unlock(&fs->lock);
	return copy;
}

/* Of a dirty sector the disk has the old, the new, or a state between. */
static inline void
memfs_cell_reach_disk(struct memfs *fs, struct memfs_cell *c)
{
	bool is_between = c->between != NULL && memfs_chance(fs, 64);

	memfs_assign(&c->kept, is_between ? c->between : c->now);
}

static inline void
memfs_file_lose_power(struct memfs *fs, struct memfs_file *f, enum memfs_loss loss)
{
	static const unsigned odds[MEMFS_LOSSES] = {0, 40, 128, 230, 256, 256, 256};
	uint64_t cut = memfs_noise(fs) % (f->n_cells + 1);
	bool is_whole = memfs_chance(fs, 128);

	for (size_t s = 0; s < f->n_cells; s++) {
		struct memfs_cell *c = &f->cells[s];
		bool is_lost = (loss == MEMFS_KEEP_FIRST && s >= cut) ||
			       (loss == MEMFS_KEEP_LAST && s < cut) ||
			       (loss == MEMFS_KEEP_FILES && !is_whole);

		if (c->is_dirty && !is_lost && memfs_chance(fs, odds[loss]))
			memfs_cell_reach_disk(fs, c);
		memfs_assign(&c->now, c->kept);
		memfs_assign(&c->between, NULL);
		c->is_dirty = false;
	}
	/* A size is metadata: it may be there without the bytes, or a part of the way. */
	if (f->size != f->kept_size && memfs_chance(fs, odds[loss]))
		f->kept_size = memfs_chance(fs, 128) || f->size < f->kept_size
				   ? f->size
				   : f->kept_size + memfs_noise(fs) % (f->size - f->kept_size);
	f->size = f->kept_size;
	memfs_reserve(f, f->size);
	if (f->is_name_dirty && memfs_chance(fs, odds[loss])) {
		f->is_kept_named = f->is_named;
		memcpy(f->kept_name, f->name, sizeof(f->name));
	}
	f->is_named = f->is_kept_named;
	memcpy(f->name, f->kept_name, sizeof(f->name));
	f->is_name_dirty = false;
}

/* The power fails. */
static inline void
memfs_lose_power(struct memfs *fs, enum memfs_loss loss)
{
	for (int i = 0; i < fs->n_files; i++) {
		struct memfs_file *f = &fs->files[i];

		if (!f->is_used)
			continue;
		memfs_file_lose_power(fs, f, loss);
		/* A name made anew over one whose end was not synced yet: one of the two has it. */
		for (int j = 0; j < i && f->is_named; j++)
			if (fs->files[j].is_named && strcmp(fs->files[j].name, f->name) == 0)
				fs->files[j].is_named = fs->files[j].is_kept_named = false;
		if (!f->is_named)
			memfs_clear(f);
	}
}

#endif

#include "relay/spool/io.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/spool/crc32c.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

enum { IO_CRC_CHUNK = 256 * 1024 };

static int
system_open_dir(void *arg, const char *path)
{
	int fd;

	(void)arg;
	if (mkdir(path, 0700) != 0 && errno != EEXIST)
		return -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	if (faccessat(fd, ".", R_OK | W_OK | X_OK, AT_EACCESS) != 0 ||
	    flock(fd, LOCK_EX | LOCK_NB) != 0) {
		int failed = -errno;

		(void)close(fd); /* nothing was written */
		return failed;
	}
	return fd;
}

static int
system_open_file(void *arg, int dir, const char *name, bool create)
{
	int flags = O_RDWR | O_CLOEXEC | O_NOFOLLOW | (create ? O_CREAT | O_EXCL : 0);
	int fd = openat(dir, name, flags, 0600);

	(void)arg;
	return fd >= 0 ? fd : -errno;
}

static void
system_close_fd(void *arg, int fd)
{
	(void)arg;
	(void)close(fd); /* what had to be durable was synced before */
}

static int64_t
system_size_of(void *arg, int fd)
{
	struct stat st;

	(void)arg;
	return fstat(fd, &st) == 0 ? (int64_t)st.st_size : -errno;
}

static ssize_t
system_read_at(void *arg, int fd, void *to, size_t n, uint64_t offset)
{
	ssize_t got;

	(void)arg;
	do
		got = pread(fd, to, n, (off_t)offset);
	while (got < 0 && errno == EINTR);
	return got >= 0 ? got : -errno;
}

static ssize_t
system_write_at(void *arg, int fd, const struct iovec *iov, int n, uint64_t offset)
{
	ssize_t put;

	(void)arg;
	do
		put = pwritev(fd, iov, n, (off_t)offset);
	while (put < 0 && errno == EINTR);
	return put >= 0 ? put : -errno;
}

static int
system_sync_data(void *arg, int fd)
{
	(void)arg;
	return fdatasync(fd) == 0 ? 0 : -errno;
}

static int
system_sync_dir(void *arg, int dir)
{
	(void)arg;
	return fsync(dir) == 0 ? 0 : -errno;
}

/* syncfs is not enough: it answers 0 on a file system that an error has made read-only (the fsync then does not), and
 * below an overlay it may know of no error that one of the files has met (the wait, for nothing, tells). */
static int
system_sync_all(void *arg, int dir, const int *fds, size_t n)
{
	int failed = syncfs(dir) == 0 ? 0 : -errno;

	(void)arg;
	for (size_t i = 0; i < n; i++)
		if (sync_file_range(fds[i], 0, 0, SYNC_FILE_RANGE_WAIT_BEFORE) != 0 && failed == 0)
			failed = -errno;
	if (fsync(dir) != 0 && failed == 0)
		failed = -errno;
	return failed;
}

static int
system_rename_file(void *arg, int dir, const char *from, const char *to)
{
	(void)arg;
	return renameat(dir, from, dir, to) == 0 ? 0 : -errno;
}

static int
system_unlink_file(void *arg, int dir, const char *name)
{
	(void)arg;
	return unlinkat(dir, name, 0) == 0 ? 0 : -errno;
}

static int
system_list_dir(void *arg, int dir, void (*on_name)(void *ctx, const char *name), void *ctx)
{
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *walk = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *entry;
	int failed;

	(void)arg;
	if (walk == NULL) {
		failed = -errno;
		if (fd >= 0)
			(void)close(fd); /* only read from */
		return failed;
	}
	errno = 0;
	while ((entry = readdir(walk)) != NULL) {
		on_name(ctx, entry->d_name);
		errno = 0;
	}
	failed = -errno;
	(void)closedir(walk); /* only read from */
	return failed;
}

static int
system_space_of(void *arg, int dir, struct spool_space *out)
{
	struct statvfs vfs;

	(void)arg;
	if (fstatvfs(dir, &vfs) != 0)
		return -errno;
	out->free_bytes = (uint64_t)vfs.f_bavail * vfs.f_frsize;
	/* File systems without a fixed number of inodes say 0 of 0. */
	out->free_files = vfs.f_files == 0 ? UINT64_MAX : vfs.f_favail;
	return 0;
}

const struct spool_io spool_io_system = {
    .open_dir = system_open_dir,
    .open_file = system_open_file,
    .close_fd = system_close_fd,
    .size_of = system_size_of,
    .read_at = system_read_at,
    .write_at = system_write_at,
    .sync_data = system_sync_data,
    .sync_dir = system_sync_dir,
    .sync_all = system_sync_all,
    .rename_file = system_rename_file,
    .unlink_file = system_unlink_file,
    .list_dir = system_list_dir,
    .space_of = system_space_of,
};

int
io_read_all(const struct spool_io *io, int fd, void *to, size_t n, uint64_t offset)
{
	char *at = to;

	while (n > 0) {
		ssize_t got = io->read_at(io->arg, fd, at, n, offset);

		if (got <= 0)
			return got < 0 ? (int)got : -EIO;
		at += got;
		n -= (size_t)got;
		offset += (uint64_t)got;
	}
	return 0;
}

int
io_write_all(const struct spool_io *io, int fd, struct iovec *iov, int n, uint64_t offset)
{
	while (n > 0) {
		ssize_t put = io->write_at(io->arg, fd, iov, n, offset);

		if (put <= 0)
			return put < 0 ? (int)put : -EIO;
		offset += (uint64_t)put;
		for (; n > 0 && (size_t)put >= iov->iov_len; iov++, n--)
			put -= (ssize_t)iov->iov_len;
		if (n > 0) {
			iov->iov_base = (char *)iov->iov_base + put;
			iov->iov_len -= (size_t)put;
		}
	}
	return 0;
}

int
io_crc(const struct spool_io *io, int fd, uint64_t offset, uint64_t n, uint32_t *crc)
{
	size_t size = n < IO_CRC_CHUNK ? (size_t)n : IO_CRC_CHUNK;
	unsigned char *chunk = mem_alloc(size + 1);
	int failed = 0;

	while (n > 0 && failed == 0) {
		size_t take = n < size ? (size_t)n : size;

		failed = io_read_all(io, fd, chunk, take, offset);
		*crc = crc32c(*crc, chunk, take);
		offset += take;
		n -= take;
	}
	mem_free(chunk);
	return failed;
}

int
io_code(int negative_errno)
{
	bool is_full = negative_errno == -ENOSPC || negative_errno == -EDQUOT;

	return is_full ? -E_FULL : -E_IO;
}

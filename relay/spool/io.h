/*
 * io.h - every file call of the spool, so that tests can inject faults and simulate power loss.
 *
 * All return a negative errno on failure.  Called from the loop and from the committer thread, on
 * different files or different parts of one; an implementation must bear that.
 */
#ifndef SPOOL_IO_H
#define SPOOL_IO_H
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

struct spool_space {
	uint64_t free_bytes, free_files; /* for an unprivileged writer */
};

struct spool_io {
	void *arg; /* first argument of every call */
	/* The folder, made if its parent is there, locked against a second spool. */
	int (*open_dir)(void *arg, const char *path);
	/* One of the folder's files, for reading and writing; `create`: it must not be there yet. */
	int (*open_file)(void *arg, int dir, const char *name, bool create);
	void (*close_fd)(void *arg, int fd);
	int64_t (*size_of)(void *arg, int fd);
	/* May be short; 0 at the end of the file. */
	ssize_t (*read_at)(void *arg, int fd, void *to, size_t n, uint64_t offset);
	/* May be short. */
	ssize_t (*write_at)(void *arg, int fd, const struct iovec *iov, int n, uint64_t offset);
	int (*sync_data)(void *arg, int fd); /* fdatasync */
	int (*sync_dir)(void *arg, int dir); /* names made, changed and removed are durable */
	/* All that was written to these files, and every name changed so far, wherever on the file
	 * system of `dir`: at the price of a few syncs, however many files there are. */
	int (*sync_all)(void *arg, int dir, const int *fds, size_t n);
	int (*rename_file)(void *arg, int dir, const char *from, const char *to);
	int (*unlink_file)(void *arg, int dir, const char *name);
	/* Calls on_name for each name in the folder. */
	int (*list_dir)(
	    void *arg, int dir, void (*on_name)(void *ctx, const char *name), void *ctx);
	int (*space_of)(void *arg, int dir, struct spool_space *out);
};

/* The system's own calls. */
extern const struct spool_io spool_io_system;

/* All `n` bytes or an error: -EIO when the file ends before. */
int io_read_all(const struct spool_io *io, int fd, void *to, size_t n, uint64_t offset);
/* All of the vectors (which it changes) or an error. */
int io_write_all(const struct spool_io *io, int fd, struct iovec *iov, int n, uint64_t offset);
/* Goes on with the CRC-32C over `n` bytes of a file; 0 or a negative errno. */
int io_crc(const struct spool_io *io, int fd, uint64_t offset, uint64_t n, uint32_t *crc);
/* -E_FULL for the errors of a full disk or quota, else -E_IO. */
int io_code(int negative_errno);

#endif

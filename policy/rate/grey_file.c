#include "policy/rate/grey_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME     "greylist"
#define NAME_NEW "greylist.new"

static const char head[] = "Postern greylist 1\n";
enum { HEAD = sizeof(head) - 1 };

struct grey_file {
	int dir_fd, fd;
	size_t size; /* of head and whole entries */
};

static int
fail(struct err *err, const char *what)
{
	return err_set(err, E_IO, "cannot %s the greylist: %m", what);
}

static bool
write_all(int fd, struct span s, size_t at)
{
	while (s.n > 0) {
		ssize_t n = pwrite(fd, s.p, s.n, (off_t)at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return false;
		s = span_skip(s, (size_t)n);
		at += (size_t)n;
	}
	return true;
}

static bool
read_all(int fd, char *to, size_t n, size_t at)
{
	while (n > 0) {
		ssize_t got = pread(fd, to, n, (off_t)at);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return false;
		to += got;
		at += (size_t)got;
		n -= (size_t)got;
	}
	return true;
}

/* What is there of head and whole entries; 0: begin anew. */
static size_t
good_size(int fd)
{
	char start[HEAD];
	struct stat st;

	if (fstat(fd, &st) < 0 || st.st_size < HEAD || st.st_size > GREY_FILE_MAX ||
	    !read_all(fd, start, HEAD, 0) || !span_eq(span_of(start, HEAD), span_of(head, HEAD)))
		return 0;
	return (size_t)st.st_size - ((size_t)st.st_size - HEAD) % GREYLIST_ENTRY;
}

static int
begin(struct grey_file *f, struct err *err)
{
	f->size = good_size(f->fd);
	if (f->size > 0)
		return ftruncate(f->fd, (off_t)f->size) < 0 ? fail(err, "read") : 0;
	if (ftruncate(f->fd, 0) < 0 || !write_all(f->fd, span_of(head, HEAD), 0))
		return fail(err, "begin");
	f->size = HEAD;
	return 0;
}

struct grey_file *
grey_file_open(int dir_fd, struct err *err)
{
	struct grey_file *f = mem_alloc(sizeof(*f));

	f->dir_fd = dir_fd;
	f->fd = openat(dir_fd, NAME, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (f->fd < 0)
		(void)fail(err, "open"); /* NULL says it */
	if (f->fd < 0 || begin(f, err) < 0)
		grey_file_close(&f);
	return f;
}

void
grey_file_close(struct grey_file **f)
{
	if (*f == NULL)
		return;
	if ((*f)->fd >= 0)
		(void)close((*f)->fd); /* what was written was written by pwrite */
	mem_free(*f);
	*f = NULL;
}

int
grey_file_read(struct grey_file *f, struct buf *entries, struct err *err)
{
	size_t n = f->size - HEAD;
	char *to;

	if (n == 0)
		return 0;
	to = buf_room(entries, n);
	if (to == NULL)
		return err_set(err, E_LIMIT, "the greylist is larger than %zu bytes", entries->max);
	if (!read_all(f->fd, to, n, HEAD))
		return fail(err, "read");
	entries->n += n;
	return 0;
}

static int
check(struct span entries, size_t room, struct err *err)
{
	if (entries.n % GREYLIST_ENTRY != 0)
		return err_set(err, E_SYNTAX, "not entries of a greylist");
	if (entries.n > room)
		return err_set(err, E_FULL, "the greylist's file is full");
	return 0;
}

int
grey_file_add(struct grey_file *f, struct span entries, struct err *err)
{
	int rc = check(entries, GREY_FILE_MAX - f->size, err);

	if (rc < 0)
		return rc;
	if (!write_all(f->fd, entries, f->size))
		return fail(err, "write"); /* the next one overwrites what is there of it */
	f->size += entries.n;
	return 0;
}

/* Takes the file that now has the name, or leaves the old one in place. */
static int
switch_to(struct grey_file *f, int fd, struct span entries, struct err *err)
{
	if (!write_all(fd, span_of(head, HEAD), 0) || !write_all(fd, entries, HEAD) ||
	    fdatasync(fd) < 0 || renameat(f->dir_fd, NAME_NEW, f->dir_fd, NAME) < 0)
		return fail(err, "write");
	(void)close(f->fd); /* it has no name any more */
	f->fd = fd;
	f->size = HEAD + entries.n;
	return 0;
}

int
grey_file_replace(struct grey_file *f, struct span entries, struct err *err)
{
	int rc = check(entries, GREY_FILE_MAX - HEAD, err), fd;

	if (rc < 0)
		return rc;
	fd = openat(f->dir_fd, NAME_NEW, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0640);
	if (fd < 0)
		return fail(err, "write");
	rc = switch_to(f, fd, entries, err);
	if (rc < 0)
		(void)close(fd); /* and is overwritten next time */
	return rc;
}

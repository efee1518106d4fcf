/* The fortified headers would turn these definitions into others. */
#undef _FORTIFY_SOURCE
#include "filters/worker/interpose.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#undef putc
#undef fputc

static unsigned long failures;

unsigned long
interpose_failures(void)
{
	return failures;
}

static void
count_errno(void)
{
	/* A file that is looked for and not there is no failure; interrupted calls are repeated. */
	if (errno != ENOENT && errno != EINTR && errno != EAGAIN)
		failures++;
}

/* A write or a new file that failed, whatever the reason. */
static void
count_always(void)
{
	if (errno != EINTR && errno != EAGAIN)
		failures++;
}

/* The next definition of the function this stands in, libc's. */
#define REAL(name)                                                             \
	static __typeof__(name) *real;                                         \
	if (real == NULL)                                                      \
		real = (__typeof__(name) *)(uintptr_t)dlsym(RTLD_NEXT, #name); \
	if (real == NULL)                                                      \
	abort()

int
fclose(FILE *f)
{
	int r;

	REAL(fclose);
	r = real(f);
	if (r != 0)
		count_always();
	return r;
}

int
fflush(FILE *f)
{
	int r;

	REAL(fflush);
	r = real(f);
	if (r != 0)
		count_always();
	return r;
}

size_t
fwrite(const void *p, size_t size, size_t n, FILE *f)
{
	size_t r;

	REAL(fwrite);
	r = real(p, size, n, f);
	if (r != n && size > 0)
		count_always();
	return r;
}

int
fputs(const char *s, FILE *f)
{
	int r;

	REAL(fputs);
	r = real(s, f);
	if (r == EOF)
		count_always();
	return r;
}

int
fputc(int c, FILE *f)
{
	int r;

	REAL(fputc);
	r = real(c, f);
	if (r == EOF)
		count_always();
	return r;
}

int
putc(int c, FILE *f)
{
	return fputc(c, f);
}

/* What the fortified fprintf of libclamav calls. */
int __fprintf_chk(FILE *f, int flag, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

int
__fprintf_chk(FILE *f, int flag, const char *fmt, ...)
{
	va_list ap;
	int r;

	(void)flag; /* stricter %n only: the formats are libclamav's constants */
	va_start(ap, fmt);
	r = vfprintf(f, fmt, ap);
	va_end(ap);
	if (r < 0)
		count_always();
	return r;
}

ssize_t
write(int fd, const void *p, size_t n)
{
	ssize_t r;

	REAL(write);
	r = real(fd, p, n);
	if (r < 0)
		count_always();
	else if ((size_t)r < n)
		failures++; /* a short write to a file: it is full */
	return r;
}

ssize_t
writev(int fd, const struct iovec *v, int n)
{
	ssize_t r;

	REAL(writev);
	r = real(fd, v, n);
	if (r < 0)
		count_always();
	return r;
}

ssize_t
pwrite64(int fd, const void *p, size_t n, off64_t at)
{
	ssize_t r;

	REAL(pwrite64);
	r = real(fd, p, n, at);
	if (r < 0 || (size_t)r < n)
		failures++;
	return r;
}

int
ftruncate64(int fd, off64_t n)
{
	int r;

	REAL(ftruncate64);
	r = real(fd, n);
	if (r < 0)
		count_always();
	return r;
}

int
mkdir(const char *path, mode_t mode)
{
	int r;

	REAL(mkdir);
	r = real(path, mode);
	if (r < 0)
		count_always();
	return r;
}

int
unlink(const char *path)
{
	int r;

	REAL(unlink);
	r = real(path);
	if (r < 0)
		count_errno();
	return r;
}

int
rename(const char *from, const char *to)
{
	int r;

	REAL(rename);
	r = real(from, to);
	if (r < 0)
		count_always();
	return r;
}

int
dup(int fd)
{
	int r;

	REAL(dup);
	r = real(fd);
	if (r < 0)
		count_always();
	return r;
}

static void
count_open(int fd, int flags)
{
	if (fd >= 0)
		return;
	if (flags & O_CREAT)
		count_always();
	else
		count_errno();
}

static mode_t
mode_of(int flags, va_list ap)
{
	return (flags & (O_CREAT | O_TMPFILE)) ? (mode_t)va_arg(ap, int) : 0;
}

#define DEFINE_OPEN(name)                          \
	int name(const char *path, int flags, ...) \
	{                                          \
		va_list ap;                        \
		mode_t mode;                       \
		int r;                             \
                                                   \
		REAL(name);                        \
		va_start(ap, flags);               \
		mode = mode_of(flags, ap);         \
		va_end(ap);                        \
		r = real(path, flags, mode);       \
		count_open(r, flags);              \
		return r;                          \
	}

#define DEFINE_OPENAT(name)                                 \
	int name(int dir, const char *path, int flags, ...) \
	{                                                   \
		va_list ap;                                 \
		mode_t mode;                                \
		int r;                                      \
                                                            \
		REAL(name);                                 \
		va_start(ap, flags);                        \
		mode = mode_of(flags, ap);                  \
		va_end(ap);                                 \
		r = real(dir, path, flags, mode);           \
		count_open(r, flags);                       \
		return r;                                   \
	}

DEFINE_OPEN(open)
DEFINE_OPEN(open64)
DEFINE_OPENAT(openat)
DEFINE_OPENAT(openat64)

static void
count_fopen(const FILE *f, const char *mode)
{
	if (f == NULL)
		count_open(-1, mode[0] == 'r' ? 0 : O_CREAT);
}

FILE *
fopen(const char *path, const char *mode)
{
	FILE *f;

	REAL(fopen);
	f = real(path, mode);
	count_fopen(f, mode);
	return f;
}

FILE *
fopen64(const char *path, const char *mode)
{
	FILE *f;

	REAL(fopen64);
	f = real(path, mode);
	count_fopen(f, mode);
	return f;
}

FILE *
fdopen(int fd, const char *mode)
{
	FILE *f;

	REAL(fdopen);
	f = real(fd, mode);
	if (f == NULL)
		count_always();
	return f;
}

int
mkstemp(char *name)
{
	int r;

	REAL(mkstemp);
	r = real(name);
	if (r < 0)
		count_always();
	return r;
}

DIR *
opendir(const char *path)
{
	DIR *d;

	REAL(opendir);
	d = real(path);
	if (d == NULL)
		count_errno();
	return d;
}

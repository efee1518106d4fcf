#include "filters/worker/limits.h"

#include "relay/base/span.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static int
limit_set(__rlimit_resource_t what, uint64_t value)
{
	const struct rlimit limit = {value, value};

	return setrlimit(what, &limit);
}

int
limits_memory_open(void)
{
	return open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
}

uint64_t
limits_memory(int fd)
{
	enum { DATA_FIELD = 5 }; /* proc_pid_statm(5): data and stack, in pages */
	char text[256];
	ssize_t n = fd >= 0 ? pread(fd, text, sizeof(text), 0) : -1;
	struct span rest = span_of(text, n > 0 ? (size_t)n : 0);
	uint64_t pages;

	for (int i = 0; i < DATA_FIELD; i++)
		(void)span_cut(&rest, ' ');
	if (!span_to_u64(span_cut(&rest, ' '), &pages))
		return 0;
	return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

int
limits_set(int keep, int parent, uint64_t file_max, uint64_t memory_max, struct err *err)
{
	sigset_t none;

	if ((keep > 3 && close_range(3, (unsigned)keep - 1, 0) < 0) ||
	    close_range((unsigned)keep + 1, ~0u, 0) < 0)
		return err_set(err, E_IO, "closing what the zygote had open: %m");
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
		return err_set(err, E_IO, "asking to die with the zygote: %m");
	if (getppid() != parent)
		return err_set(err, E_CLOSED, "the zygote has gone already");
	if (signal(SIGXFSZ, SIG_IGN) == SIG_ERR || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return err_set(err, E_IO, "signals: %m");
	sigemptyset(&none);
	if (sigprocmask(SIG_SETMASK, &none, NULL) < 0)
		return err_set(err, E_IO, "signals: %m");
	if (limit_set(RLIMIT_CORE, 0) < 0 || limit_set(RLIMIT_NOFILE, LIMITS_FDS) < 0 ||
	    limit_set(RLIMIT_FSIZE, file_max) < 0 ||
	    (memory_max > 0 && limit_set(RLIMIT_DATA, memory_max) < 0))
		return err_set(err, E_IO, "limits: %m");
	/* libclamav allocates and frees large match tables for every layer: keep their pages. */
	(void)mallopt(M_MMAP_THRESHOLD, 1 << 30); /* speed only */
	(void)mallopt(M_TRIM_THRESHOLD, 1 << 30);
	return 0;
}

/* 0, or -1 with errno: ENOTEMPTY for a folder that holds something. */
static int
remove_entry(int dir, const char *name)
{
	if (unlinkat(dir, name, 0) == 0)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -1;
	return unlinkat(dir, name, AT_REMOVEDIR);
}

/* Up to the first folder that holds something, whose name is then in `deeper`; empty: nothing is left. */
static int
empty_level(int fd, char deeper[NAME_MAX + 1])
{
	int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
	DIR *dir = own >= 0 ? fdopendir(own) : NULL;
	struct dirent *e;

	deeper[0] = '\0';
	if (dir == NULL) {
		if (own >= 0)
			(void)close(own); /* read only */
		return -1;
	}
	while (r == 0 && deeper[0] == '\0' && (e = readdir(dir)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		r = remove_entry(fd, e->d_name);
		if (r < 0 && (errno == ENOTEMPTY || errno == EEXIST))
			r = span_copy(span_str(e->d_name), deeper, NAME_MAX + 1) ? 0 : -1;
	}
	(void)closedir(dir); /* read only */
	return r;
}

/* A worker that was taken over may leave folders deeper than any path is long: one step at a time, down and up.  All
 * can be entered: what a worker makes without rights stays empty, since it sets none later (sandbox.c). */
static int
empty_all(int fd)
{
	size_t depth = 0;

	while (fd >= 0) {
		char deeper[NAME_MAX + 1];
		int next = -1, r = empty_level(fd, deeper);

		if (r == 0 && deeper[0] == '\0' && depth == 0)
			return close(fd); /* read only */
		if (r == 0 && deeper[0] == '\0') {
			next = openat(fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
			depth--;
		} else if (r == 0) {
			next = openat(fd, deeper, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
			depth++;
		}
		(void)close(fd); /* read only */
		fd = next;
	}
	return -1;
}

int
limits_empty_folder(const char *path, struct err *err)
{
	if (mkdir(path, 0700) < 0 && errno != EEXIST)
		return err_set(err, E_IO, "making %s: %m", path);
	if (empty_all(open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) < 0)
		return err_set(err, E_IO, "emptying %s: %m", path);
	return 0;
}

/* sandbox_attempts.h - the things that a sandboxed child tries: each 0 or -1. */
#ifndef UNIT_SANDBOX_ATTEMPTS_H
#define UNIT_SANDBOX_ATTEMPTS_H
#include "relay/process/sandbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATH_BYTES = 128 };

static char folder[PATH_BYTES], readable[PATH_BYTES], writable[PATH_BYTES], outside[PATH_BYTES];
static int stale_fd; /* opened before the sandbox */

static inline void
path_in(char to[PATH_BYTES * 2], const char *dir, const char *name)
{
	int n = snprintf(to, PATH_BYTES * 2, "%s/%s", dir, name);

	must(n > 0 && n < PATH_BYTES * 2);
}

static inline int
open_and_close(const char *dir, const char *name, int flags)
{
	char path[PATH_BYTES * 2];
	int fd;

	path_in(path, dir, name);
	fd = open(path, flags | O_CLOEXEC, 0600);
	return fd < 0 ? -1 : close(fd);
}

static inline int
open_passwd(void)
{
	return open_and_close("/etc", "passwd", O_RDONLY);
}

static inline int
list_root(void)
{
	return open_and_close("/", ".", O_RDONLY | O_DIRECTORY);
}

static inline int
create_outside(void)
{
	return open_and_close(outside, "new", O_WRONLY | O_CREAT | O_EXCL);
}

static inline int
read_outside(void)
{
	return open_and_close(outside, "there", O_RDONLY);
}

static inline int
climb_out(void)
{
	return open_and_close(writable, "../outside/there", O_RDONLY);
}

static inline int
unlink_outside(void)
{
	char path[PATH_BYTES * 2];

	path_in(path, outside, "there");
	return unlink(path);
}

static inline int
rename_outside(void)
{
	char from[PATH_BYTES * 2], to[PATH_BYTES * 2];

	path_in(from, writable, "old");
	path_in(to, outside, "moved");
	return rename(from, to);
}

static inline int
create_in_readable(void)
{
	return open_and_close(readable, "new", O_WRONLY | O_CREAT);
}

static inline int
write_in_readable(void)
{
	return open_and_close(readable, "there", O_WRONLY);
}

static inline int
read_in_readable(void)
{
	return open_and_close(readable, "there", O_RDONLY);
}

/* A whole life of a file: made, written, synced, renamed, read, removed. */
static inline int
live_in_writable(void)
{
	char path[PATH_BYTES * 2], other[PATH_BYTES * 2], text[4];
	int fd;

	path_in(path, writable, "file");
	path_in(other, writable, "other");
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, "abc", 3) != 3 || fdatasync(fd) < 0 || pread(fd, text, 3, 0) != 3 ||
	    ftruncate(fd, 1) < 0 || close(fd) < 0 || rename(path, other) < 0 || unlink(other) < 0)
		return -1;
	path_in(path, writable, "folder");
	return mkdir(path, 0700) < 0 || rmdir(path) < 0 ? -1 : 0;
}

static inline int
link_in_writable(void)
{
	char path[PATH_BYTES * 2];

	path_in(path, writable, "link");
	return symlink("/etc/passwd", path);
}

static inline int
make_device(void)
{
	char path[PATH_BYTES * 2];

	path_in(path, writable, "pipe");
	return mknod(path, S_IFIFO | 0600, 0);
}

static inline int
chmod_setuid_root(void)
{
	return chown(writable, 1, 1);
}

static inline int
try_socket(int family, int kind)
{
	int fd = socket(family, kind | SOCK_CLOEXEC, 0);

	return fd < 0 ? -1 : close(fd);
}

static inline int
socket_inet(void)
{
	return try_socket(AF_INET, SOCK_STREAM);
}

static inline int
socket_inet6(void)
{
	return try_socket(AF_INET6, SOCK_DGRAM);
}

static inline int
socket_unix(void)
{
	return try_socket(AF_UNIX, SOCK_STREAM);
}

static inline int
socket_netlink(void)
{
	return try_socket(AF_NETLINK, SOCK_RAW);
}

static inline int
socket_packet(void)
{
	return try_socket(AF_PACKET, SOCK_RAW);
}

/* The peer does not matter: the call itself must not be possible. */
static inline int
try_connect(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(1)};

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(stale_fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
		return 0;
	return errno == ECONNREFUSED || errno == ENOTSOCK ? 0 : -1;
}

static inline int
try_listen(void)
{
	return listen(stale_fd, 1);
}

static inline int
try_execve(void)
{
	char *const argv[] = {(char *)(uintptr_t) "true", NULL};

	return execve("/bin/true", argv, NULL);
}

static inline int
try_execveat(void)
{
	char *const argv[] = {(char *)(uintptr_t) "true", NULL};

	return (int)syscall(SYS_execveat, AT_FDCWD, "/bin/true", argv, NULL, 0);
}

static inline int
try_ptrace(void)
{
	return (int)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static inline int
try_vm_read(void)
{
	return (int)syscall(SYS_process_vm_readv, getpid(), NULL, 0UL, NULL, 0UL, 0UL);
}

static inline int
try_fork(void)
{
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

	if (pid == 0)
		_exit(0);
	return pid < 0 ? -1 : 0;
}

static inline int
try_clone3(void)
{
	return (int)syscall(SYS_clone3, NULL, 0UL);
}

static inline void *
run(void *arg)
{
	return arg;
}

static inline int
try_thread(void)
{
	pthread_t thread;

	return pthread_create(&thread, NULL, run, NULL) == 0 ? pthread_join(thread, NULL) : -1;
}

static inline int
try_kill(void)
{
	return kill(getppid(), 0);
}

static inline int
try_mmap(int prot)
{
	void *p = mmap(NULL, 4096, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? -1 : munmap(p, 4096);
}

static inline int
mmap_exec(void)
{
	return try_mmap(PROT_READ | PROT_EXEC);
}

static inline int
mmap_write_exec(void)
{
	return try_mmap(PROT_READ | PROT_WRITE | PROT_EXEC);
}

static inline int
mmap_plain(void)
{
	return try_mmap(PROT_READ | PROT_WRITE);
}

static inline int
try_mprotect(int prot)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? -1 : mprotect(p, 4096, prot);
}

static inline int
mprotect_exec(void)
{
	return try_mprotect(PROT_READ | PROT_EXEC);
}

static inline int
mprotect_plain(void)
{
	return try_mprotect(PROT_READ);
}

static inline int
pkey_mprotect_exec(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return (int)syscall(SYS_pkey_mprotect, p, 4096UL, PROT_READ | PROT_EXEC, -1);
}

static inline int
try_shm(void)
{
	return (int)syscall(SYS_shmget, 0, 4096UL, 0600);
}

static inline int
try_memfd(void)
{
	int fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	return fd < 0 ? -1 : close(fd);
}

static inline int
try_epoll(void)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);

	return fd < 0 ? -1 : close(fd);
}

static inline int
try_io_uring(void)
{
	return (int)syscall(SYS_io_uring_setup, 1U, NULL);
}

static inline int
try_bpf(void)
{
	return (int)syscall(SYS_bpf, 0, NULL, 0U);
}

static inline int
try_mount(void)
{
	return (int)syscall(SYS_mount, "none", "/mnt", "tmpfs", 0UL, NULL);
}

static inline int
try_setuid(void)
{
	return (int)syscall(SYS_setuid, 0);
}

static inline int
try_unshare(void)
{
	return (int)syscall(SYS_unshare, 0);
}

static inline int
try_chroot(void)
{
	return (int)syscall(SYS_chroot, "/");
}

static inline int
try_prctl(void)
{
	return (int)syscall(SYS_prctl, 4 /* PR_SET_DUMPABLE */, 1UL, 0UL, 0UL, 0UL);
}

static inline int
set_limit(void)
{
	struct rlimit64 none = {RLIM64_INFINITY, RLIM64_INFINITY};

	return (int)syscall(SYS_prlimit64, 0, RLIMIT_CORE, &none, NULL);
}

/* On what it already has, and without more. */
static inline int
use_its_channels(void)
{
	struct timespec now;
	char c = 'x';
	int flags = fcntl(stale_fd, F_GETFL);

	if (flags < 0 || clock_gettime(CLOCK_MONOTONIC, &now) < 0)
		return -1;
	(void)recv(stale_fd, &c, 1, MSG_DONTWAIT); /* it is not connected: an answer is enough */
	(void)send(stale_fd, &c, 1, MSG_DONTWAIT | MSG_NOSIGNAL); /* the same */
	return 0;
}

#endif

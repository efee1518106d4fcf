/*
 * Every kind of sandbox is entered by a child of its own, which then tries one thing: what is
 * forbidden must end the child or fail, what is allowed must work.
 */
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

#ifdef __SANITIZE_ADDRESS__
#define IS_SANITIZED 1 /* its run-time needs some more calls: those rows are left out */
#else
#define IS_SANITIZED 0
#endif

enum { WORKED = 0, REFUSED = 1, NOT_ENTERED = 99, PATH_BYTES = 128 };

/* Bits of sandbox kinds. */
#define BIT(kind) (1U << (kind))
enum {
	SUPERVISOR = BIT(SANDBOX_SUPERVISOR),
	FRONT = BIT(SANDBOX_FRONT),
	LOOKUP = BIT(SANDBOX_LOOKUP),
	ZYGOTE = BIT(SANDBOX_ZYGOTE),
	WORKER = BIT(SANDBOX_WORKER),
	SPOOL = BIT(SANDBOX_SPOOL),
	JOURNAL = BIT(SANDBOX_JOURNAL),
	WEB = BIT(SANDBOX_WEB),
	ROLES = FRONT | LOOKUP | ZYGOTE | WORKER | SPOOL | JOURNAL | WEB,
	FILES = ZYGOTE | WORKER | SPOOL | JOURNAL, /* may open files below their folders */
	SOCKETS = LOOKUP | SPOOL
};

static const char *const names[] = {
    "supervisor", "front", "lookup", "zygote", "worker", "spool", "journal", "web"};

static char folder[PATH_BYTES], readable[PATH_BYTES], writable[PATH_BYTES], outside[PATH_BYTES];
static int stale_fd; /* opened before the sandbox */

static void
path_in(char to[PATH_BYTES * 2], const char *dir, const char *name)
{
	int n = snprintf(to, PATH_BYTES * 2, "%s/%s", dir, name);

	must(n > 0 && n < PATH_BYTES * 2);
}

/* --- the things to try: each 0 or -1, run inside the sandbox ------------------------------- */

static int
open_and_close(const char *dir, const char *name, int flags)
{
	char path[PATH_BYTES * 2];
	int fd;

	path_in(path, dir, name);
	fd = open(path, flags | O_CLOEXEC, 0600);
	return fd < 0 ? -1 : close(fd);
}

static int
open_passwd(void)
{
	return open_and_close("/etc", "passwd", O_RDONLY);
}

static int
list_root(void)
{
	return open_and_close("/", ".", O_RDONLY | O_DIRECTORY);
}

static int
create_outside(void)
{
	return open_and_close(outside, "new", O_WRONLY | O_CREAT | O_EXCL);
}

static int
read_outside(void)
{
	return open_and_close(outside, "there", O_RDONLY);
}

static int
climb_out(void)
{
	return open_and_close(writable, "../outside/there", O_RDONLY);
}

static int
unlink_outside(void)
{
	char path[PATH_BYTES * 2];

	path_in(path, outside, "there");
	return unlink(path);
}

static int
rename_outside(void)
{
	char from[PATH_BYTES * 2], to[PATH_BYTES * 2];

	path_in(from, writable, "old");
	path_in(to, outside, "moved");
	return rename(from, to);
}

static int
create_in_readable(void)
{
	return open_and_close(readable, "new", O_WRONLY | O_CREAT);
}

static int
write_in_readable(void)
{
	return open_and_close(readable, "there", O_WRONLY);
}

static int
read_in_readable(void)
{
	return open_and_close(readable, "there", O_RDONLY);
}

/* A whole life of a file: made, written, synced, renamed, read, removed. */
static int
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

static int
link_in_writable(void)
{
	char path[PATH_BYTES * 2];

	path_in(path, writable, "link");
	return symlink("/etc/passwd", path);
}

static int
make_device(void)
{
	char path[PATH_BYTES * 2];

	path_in(path, writable, "pipe");
	return mknod(path, S_IFIFO | 0600, 0);
}

static int
chmod_setuid_root(void)
{
	return chown(writable, 1, 1);
}

static int
try_socket(int family, int kind)
{
	int fd = socket(family, kind | SOCK_CLOEXEC, 0);

	return fd < 0 ? -1 : close(fd);
}

static int
socket_inet(void)
{
	return try_socket(AF_INET, SOCK_STREAM);
}

static int
socket_inet6(void)
{
	return try_socket(AF_INET6, SOCK_DGRAM);
}

static int
socket_unix(void)
{
	return try_socket(AF_UNIX, SOCK_STREAM);
}

static int
socket_netlink(void)
{
	return try_socket(AF_NETLINK, SOCK_RAW);
}

static int
socket_packet(void)
{
	return try_socket(AF_PACKET, SOCK_RAW);
}

/* The peer does not matter: the call itself must not be possible. */
static int
try_connect(void)
{
	struct sockaddr_in sa = {.sin_family = AF_INET, .sin_port = htons(1)};

	sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (connect(stale_fd, (struct sockaddr *)&sa, sizeof(sa)) == 0)
		return 0;
	return errno == ECONNREFUSED || errno == ENOTSOCK ? 0 : -1;
}

static int
try_listen(void)
{
	return listen(stale_fd, 1);
}

static int
try_execve(void)
{
	char *const argv[] = {(char *)(uintptr_t) "true", NULL};

	return execve("/bin/true", argv, NULL);
}

static int
try_execveat(void)
{
	char *const argv[] = {(char *)(uintptr_t) "true", NULL};

	return (int)syscall(SYS_execveat, AT_FDCWD, "/bin/true", argv, NULL, 0);
}

static int
try_ptrace(void)
{
	return (int)ptrace(PTRACE_TRACEME, 0, NULL, NULL);
}

static int
try_vm_read(void)
{
	return (int)syscall(SYS_process_vm_readv, getpid(), NULL, 0UL, NULL, 0UL, 0UL);
}

static int
try_fork(void)
{
	pid_t pid = (pid_t)syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);

	if (pid == 0)
		_exit(0);
	return pid < 0 ? -1 : 0;
}

static int
try_clone3(void)
{
	return (int)syscall(SYS_clone3, NULL, 0UL);
}

static void *
run(void *arg)
{
	return arg;
}

static int
try_thread(void)
{
	pthread_t thread;

	return pthread_create(&thread, NULL, run, NULL) == 0 ? pthread_join(thread, NULL) : -1;
}

static int
try_kill(void)
{
	return kill(getppid(), 0);
}

static int
try_mmap(int prot)
{
	void *p = mmap(NULL, 4096, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? -1 : munmap(p, 4096);
}

static int
mmap_exec(void)
{
	return try_mmap(PROT_READ | PROT_EXEC);
}

static int
mmap_write_exec(void)
{
	return try_mmap(PROT_READ | PROT_WRITE | PROT_EXEC);
}

static int
mmap_plain(void)
{
	return try_mmap(PROT_READ | PROT_WRITE);
}

static int
try_mprotect(int prot)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return p == MAP_FAILED ? -1 : mprotect(p, 4096, prot);
}

static int
mprotect_exec(void)
{
	return try_mprotect(PROT_READ | PROT_EXEC);
}

static int
mprotect_plain(void)
{
	return try_mprotect(PROT_READ);
}

static int
pkey_mprotect_exec(void)
{
	void *p = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return (int)syscall(SYS_pkey_mprotect, p, 4096UL, PROT_READ | PROT_EXEC, -1);
}

static int
try_shm(void)
{
	return (int)syscall(SYS_shmget, 0, 4096UL, 0600);
}

static int
try_memfd(void)
{
	int fd = memfd_create("x", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	return fd < 0 ? -1 : close(fd);
}

static int
try_epoll(void)
{
	int fd = epoll_create1(EPOLL_CLOEXEC);

	return fd < 0 ? -1 : close(fd);
}

static int
try_io_uring(void)
{
	return (int)syscall(SYS_io_uring_setup, 1U, NULL);
}

static int
try_bpf(void)
{
	return (int)syscall(SYS_bpf, 0, NULL, 0U);
}

static int
try_mount(void)
{
	return (int)syscall(SYS_mount, "none", "/mnt", "tmpfs", 0UL, NULL);
}

static int
try_setuid(void)
{
	return (int)syscall(SYS_setuid, 0);
}

static int
try_unshare(void)
{
	return (int)syscall(SYS_unshare, 0);
}

static int
try_chroot(void)
{
	return (int)syscall(SYS_chroot, "/");
}

static int
try_prctl(void)
{
	return (int)syscall(SYS_prctl, 4 /* PR_SET_DUMPABLE */, 1UL, 0UL, 0UL, 0UL);
}

static int
set_limit(void)
{
	struct rlimit64 none = {RLIM64_INFINITY, RLIM64_INFINITY};

	return (int)syscall(SYS_prlimit64, 0, RLIMIT_CORE, &none, NULL);
}

/* On what it already has, and without more. */
static int
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

/* --- the table --------------------------------------------------------------------------------- */

enum {
	NOT_SANITIZED = 1, /* a sanitizer's run-time may do this */
	NEEDS_LANDLOCK = 2 /* where the kernel has none, sandbox_enter only warns */
};

struct attempt {
	const char *what;
	int (*try)(void);
	unsigned forbidden, allowed; /* bits of kinds; in neither: not held to anything */
	unsigned flags;
};

static const struct attempt attempts[] = {
    {"open /etc/passwd", open_passwd, ROLES, 0, NEEDS_LANDLOCK},
    {"open /", list_root, ROLES, 0, NEEDS_LANDLOCK},
    {"create a file outside", create_outside, ROLES, 0, NEEDS_LANDLOCK},
    {"read a file outside", read_outside, ROLES, 0, NEEDS_LANDLOCK},
    {"climb out with ..", climb_out, ROLES, 0, NEEDS_LANDLOCK},
    {"remove a file outside", unlink_outside, ROLES, 0, NEEDS_LANDLOCK},
    {"move a file outside", rename_outside, ROLES, 0, NEEDS_LANDLOCK},
    {"create where it may read", create_in_readable, ROLES, 0, NEEDS_LANDLOCK},
    {"write where it may read", write_in_readable, ROLES, 0, NEEDS_LANDLOCK},
    {"read where it may read", read_in_readable, ROLES & ~FILES, FILES, NOT_SANITIZED},
    {"write where it may write", live_in_writable, ROLES & ~FILES, FILES, NOT_SANITIZED},
    {"make a link", link_in_writable, ROLES, 0, 0},
    {"make a pipe", make_device, ROLES, 0, 0},
    {"change an owner", chmod_setuid_root, ROLES, 0, 0},
    {"socket INET", socket_inet, ROLES & ~SOCKETS, SOCKETS | SUPERVISOR, 0},
    {"socket INET6", socket_inet6, ROLES & ~SOCKETS, SOCKETS | SUPERVISOR, 0},
    {"socket UNIX", socket_unix, ROLES, SUPERVISOR, 0},
    {"socket NETLINK", socket_netlink, ROLES, 0, 0},
    {"socket PACKET", socket_packet, ROLES, 0, 0},
    {"connect", try_connect, ROLES & ~SOCKETS, SOCKETS | SUPERVISOR, 0},
    {"listen", try_listen, ROLES, 0, 0},
    {"execve", try_execve, ROLES, 0, 0},
    {"execveat", try_execveat, ROLES, 0, 0},
    {"ptrace", try_ptrace, ROLES | SUPERVISOR, 0, 0},
    {"process_vm_readv", try_vm_read, ROLES | SUPERVISOR, 0, 0},
    {"fork", try_fork, ROLES & ~ZYGOTE, ZYGOTE | SUPERVISOR, 0},
    {"clone3", try_clone3, ROLES, 0, 0},
    {"thread", try_thread, FRONT | LOOKUP | WORKER | JOURNAL | WEB, SPOOL, NOT_SANITIZED},
    {"kill", try_kill, ROLES & ~ZYGOTE, 0, 0},
    {"mmap PROT_EXEC", mmap_exec, ROLES, 0, 0},
    {"mmap PROT_WRITE PROT_EXEC", mmap_write_exec, ROLES, 0, 0},
    {"mmap", mmap_plain, 0, ROLES | SUPERVISOR, 0},
    {"mprotect PROT_EXEC", mprotect_exec, ROLES, 0, NOT_SANITIZED},
    {"mprotect", mprotect_plain, 0, ROLES | SUPERVISOR, 0},
    {"pkey_mprotect PROT_EXEC", pkey_mprotect_exec, ROLES, 0, 0},
    {"shared memory", try_shm, ROLES, 0, 0},
    {"memory file", try_memfd, WORKER, (ROLES | SUPERVISOR) & ~WORKER, 0},
    {"epoll", try_epoll, WORKER, (ROLES | SUPERVISOR) & ~WORKER, 0},
    {"io_uring", try_io_uring, ROLES | SUPERVISOR, 0, 0},
    {"bpf", try_bpf, ROLES | SUPERVISOR, 0, 0},
    {"mount", try_mount, ROLES | SUPERVISOR, 0, 0},
    {"setuid", try_setuid, ROLES, 0, 0},
    {"unshare", try_unshare, ROLES, 0, 0},
    {"chroot", try_chroot, ROLES, 0, 0},
    {"prctl", try_prctl, ROLES & ~ZYGOTE, 0, 0},
    {"raise a limit", set_limit, ROLES & ~ZYGOTE, 0, NOT_SANITIZED},
    {"its channels", use_its_channels, 0, ROLES | SUPERVISOR, 0},
};

static void __attribute__((noreturn)) be_child(enum sandbox_kind kind, const struct attempt *a)
{
	const struct sandbox_path paths[] = {
	    {readable, SANDBOX_READ}, {writable, SANDBOX_WRITE}, {NULL, SANDBOX_READ}};
	const struct rlimit no_core = {0, 0};
	struct err err = {0};

	(void)setrlimit(RLIMIT_CORE, &no_core); /* these deaths are meant */
	if (sandbox_enter(kind, paths, &err) < 0)
		_exit(NOT_ENTERED);
	_exit(a->try() == 0 ? WORKED : REFUSED);
}

/* WORKED, REFUSED with an errno, or killed (REFUSED as well) for the call. */
static int
outcome_of(enum sandbox_kind kind, const struct attempt *a)
{
	pid_t pid;
	int status;

	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		be_child(kind, a);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status)) {
		if (WTERMSIG(status) != SIGSYS)
			fail_msg("%s: %s: signal %d", names[kind], a->what, WTERMSIG(status));
		return REFUSED;
	}
	return WEXITSTATUS(status);
}

static bool
has_landlock(void)
{
	return syscall(SYS_landlock_create_ruleset, NULL, 0UL, 1U /* its version */) > 0;
}

static void
check(enum sandbox_kind kind)
{
	unsigned leave_out =
	    (IS_SANITIZED ? NOT_SANITIZED : 0U) | (has_landlock() ? 0U : NEEDS_LANDLOCK);
	unsigned wrong = 0;

	for (size_t i = 0; i < sizeof(attempts) / sizeof(attempts[0]); i++) {
		const struct attempt *a = &attempts[i];
		bool is_forbidden = a->forbidden & BIT(kind), is_allowed = a->allowed & BIT(kind);
		int outcome;

		if ((!is_forbidden && !is_allowed) || (a->flags & leave_out))
			continue;
		outcome = outcome_of(kind, a);
		if (outcome == NOT_ENTERED)
			fail_msg("%s cannot be entered", names[kind]);
		if (outcome != (is_forbidden ? REFUSED : WORKED)) {
			print_error("%s: %s: %s\n", names[kind], a->what,
			    is_forbidden ? "is possible" : "is refused");
			wrong++;
		}
	}
	assert_int_equal(wrong, 0);
}

/* The kind is the test's initial state, as a pointer to it. */
static void
test_kind(void **state)
{
	const enum sandbox_kind *kind = *state;

	check(*kind);
}

static void
test_a_missing_folder_is_no_error(void **state)
{
	const struct sandbox_path paths[] = {
	    {"/nowhere/at/all", SANDBOX_WRITE}, {NULL, SANDBOX_READ}};
	struct err err = {0};
	pid_t pid = fork();
	int status;

	if (pid == 0)
		_exit(sandbox_enter(SANDBOX_JOURNAL, paths, &err) == 0 ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	(void)state;
}

static void
test_users_are_different(void **state)
{
	for (int a = SANDBOX_FRONT; a <= SANDBOX_WEB; a++) {
		assert_true(sandbox_uid((enum sandbox_kind)a) > 0);
		for (int b = SANDBOX_FRONT; b < a; b++)
			if (a == SANDBOX_WORKER && b == SANDBOX_ZYGOTE)
				assert_int_equal(
				    sandbox_uid(SANDBOX_WORKER), sandbox_uid(SANDBOX_ZYGOTE));
			else
				assert_int_not_equal(sandbox_uid((enum sandbox_kind)a),
				    sandbox_uid((enum sandbox_kind)b));
	}
	assert_int_equal(sandbox_uid(SANDBOX_SUPERVISOR), 0);
	(void)state;
}

static bool
has_become(enum sandbox_kind kind)
{
	uid_t r, e, s;
	gid_t rg, eg, sg;
	struct err err;

	if (sandbox_drop_user(kind, &err) < 0 || getresuid(&r, &e, &s) < 0 ||
	    getresgid(&rg, &eg, &sg) < 0)
		return false;
	if (getgroups(0, NULL) != 0 || setuid(0) == 0 || seteuid(0) == 0)
		return false;
	return r == sandbox_uid(kind) && e == r && s == r && rg == r && eg == r && sg == r;
}

static void
test_drop_user(void **state)
{
	if (geteuid() != 0)
		skip();
	for (int kind = SANDBOX_FRONT; kind <= SANDBOX_WEB; kind++) {
		pid_t pid = fork();
		int status;

		if (pid == 0)
			_exit(has_become((enum sandbox_kind)kind) ? 0 : 1);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(status, 0);
	}
	(void)state;
}

/* --- folders ------------------------------------------------------------------------------------ */

static void
make_file(const char *dir, const char *name)
{
	assert_int_equal(open_and_close(dir, name, O_WRONLY | O_CREAT), 0);
}

static int
group_setup(void **state)
{
	(void)snprintf(folder, sizeof(folder), "/tmp/postern-box-XXXXXX"); /* fits */
	assert_non_null(mkdtemp(folder));
	(void)snprintf(readable, sizeof(readable), "%.90s/readable", folder);
	(void)snprintf(writable, sizeof(writable), "%.90s/writable", folder);
	(void)snprintf(outside, sizeof(outside), "%.90s/outside", folder);
	assert_int_equal(mkdir(readable, 0700), 0);
	assert_int_equal(mkdir(writable, 0700), 0);
	assert_int_equal(mkdir(outside, 0700), 0);
	make_file(readable, "there");
	make_file(outside, "there");
	make_file(writable, "old");
	stale_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(stale_fd >= 0);
	(void)state;
	return 0;
}

static int
group_teardown(void **state)
{
	static const char *const left[] = {
	    "readable/there", "outside/there", "writable/old", "readable", "writable", "outside"};
	char path[PATH_BYTES * 2];

	for (size_t i = 0; i < sizeof(left) / sizeof(left[0]); i++) {
		path_in(path, folder, left[i]);
		if (remove(path) < 0)
			return -1; /* something was removed or is left that should not be */
	}
	(void)close(stale_fd);
	(void)state;
	return remove(folder);
}

int
main(void)
{
	static enum sandbox_kind kinds[] = {SANDBOX_SUPERVISOR, SANDBOX_FRONT, SANDBOX_LOOKUP,
	    SANDBOX_ZYGOTE, SANDBOX_WORKER, SANDBOX_SPOOL, SANDBOX_JOURNAL, SANDBOX_WEB};
	const struct CMUnitTest tests[] = {
	    {"supervisor", test_kind, NULL, NULL, &kinds[0]},
	    {"front", test_kind, NULL, NULL, &kinds[1]},
	    {"lookup", test_kind, NULL, NULL, &kinds[2]},
	    {"zygote", test_kind, NULL, NULL, &kinds[3]},
	    {"worker", test_kind, NULL, NULL, &kinds[4]},
	    {"spool", test_kind, NULL, NULL, &kinds[5]},
	    {"journal", test_kind, NULL, NULL, &kinds[6]},
	    {"web", test_kind, NULL, NULL, &kinds[7]},
	    cmocka_unit_test(test_a_missing_folder_is_no_error),
	    cmocka_unit_test(test_users_are_different),
	    cmocka_unit_test(test_drop_user),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}

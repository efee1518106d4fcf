#include "relay/process/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/landlock.h>
#include <linux/sockios.h>
#include <pwd.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define IS_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define IS_SANITIZED 1
#endif
#endif
#ifndef IS_SANITIZED
#define IS_SANITIZED 0
#endif

enum { SET_END = -100000 };

/* What every role does: memory, waiting, its channels, time, its end. */
static const int calls_common[] = {SCMP_SYS(read), SCMP_SYS(write), SCMP_SYS(readv),
    SCMP_SYS(writev), SCMP_SYS(close), SCMP_SYS(fstat), SCMP_SYS(newfstatat), SCMP_SYS(lseek),
    SCMP_SYS(munmap), SCMP_SYS(brk), SCMP_SYS(mremap), SCMP_SYS(madvise), SCMP_SYS(futex),
    SCMP_SYS(rt_sigreturn), SCMP_SYS(rt_sigaction), SCMP_SYS(rt_sigprocmask), SCMP_SYS(sigaltstack),
    SCMP_SYS(exit), SCMP_SYS(exit_group), SCMP_SYS(clock_gettime), SCMP_SYS(clock_nanosleep),
    SCMP_SYS(gettimeofday), SCMP_SYS(getrandom), SCMP_SYS(getpid), SCMP_SYS(gettid),
    SCMP_SYS(sched_yield), SCMP_SYS(restart_syscall), SCMP_SYS(poll), SCMP_SYS(ppoll),
    SCMP_SYS(recvmsg), SCMP_SYS(recvmmsg), SCMP_SYS(recvfrom), SCMP_SYS(rseq),
    SCMP_SYS(set_robust_list), SCMP_SYS(sysinfo) /* glibc's qsort */, SET_END};

/* The event loop, and memory files for large payloads: every role but the worker. */
static const int calls_loop[] = {SCMP_SYS(epoll_create1), SCMP_SYS(epoll_ctl), SCMP_SYS(epoll_wait),
    SCMP_SYS(epoll_pwait), SCMP_SYS(memfd_create), SCMP_SYS(ftruncate), SCMP_SYS(eventfd2),
    SET_END};

/* Sockets that others have opened: accepted clients, listeners. */
static const int calls_accept[] = {SCMP_SYS(accept4), SCMP_SYS(getsockname), SCMP_SYS(getpeername),
    SCMP_SYS(setsockopt), SCMP_SYS(getsockopt), SCMP_SYS(shutdown), SET_END};

/* Connections of its own: lookup to resolvers, spool to gateways (families are checked below). */
static const int calls_connect[] = {SCMP_SYS(connect), SCMP_SYS(bind), SCMP_SYS(getsockname),
    SCMP_SYS(getpeername), SCMP_SYS(setsockopt), SCMP_SYS(getsockopt), SCMP_SYS(shutdown), SET_END};

/* Files below the folders that Landlock leaves. */
static const int calls_read_files[] = {SCMP_SYS(openat), SCMP_SYS(pread64), SCMP_SYS(getdents64),
    SCMP_SYS(statfs), SCMP_SYS(fstatfs), SCMP_SYS(access), SCMP_SYS(faccessat2), SCMP_SYS(readlink),
    SET_END};
static const int calls_write_files[] = {SCMP_SYS(pwrite64), SCMP_SYS(pwritev), SCMP_SYS(fdatasync),
    SCMP_SYS(fsync), SCMP_SYS(fallocate), SCMP_SYS(ftruncate), SCMP_SYS(rename), SCMP_SYS(renameat),
    SCMP_SYS(renameat2), SCMP_SYS(unlink), SCMP_SYS(unlinkat), SCMP_SYS(mkdir), SCMP_SYS(mkdirat),
    SCMP_SYS(rmdir), SCMP_SYS(chmod), SCMP_SYS(fchmod), SCMP_SYS(flock), SCMP_SYS(sync_file_range),
    SCMP_SYS(syncfs), SCMP_SYS(fadvise64), SET_END};

/* The zygote makes workers, ends them, and its children enter their own, smaller sandbox. */
static const int calls_zygote[] = {SCMP_SYS(clone), SCMP_SYS(wait4), SCMP_SYS(kill),
    SCMP_SYS(socketpair), SCMP_SYS(setsockopt), SCMP_SYS(signalfd4), SCMP_SYS(prctl),
    SCMP_SYS(seccomp), SCMP_SYS(landlock_create_ruleset), SCMP_SYS(landlock_add_rule),
    SCMP_SYS(landlock_restrict_self), SCMP_SYS(prlimit64), SCMP_SYS(setrlimit), SCMP_SYS(getuid),
    SCMP_SYS(geteuid), SCMP_SYS(getppid), SCMP_SYS(close_range), SCMP_SYS(dup2), SCMP_SYS(pipe2),
    SCMP_SYS(sched_getaffinity), SCMP_SYS(sysinfo), SCMP_SYS(setpriority), SCMP_SYS(uname),
    SET_END};

/* A sanitizer's run-time asks for more: stacks, limits, the memory map, leaks at the end. */
static const int calls_sanitizer[] = {SCMP_SYS(prlimit64), SCMP_SYS(getrlimit), SCMP_SYS(readlink),
    SCMP_SYS(sched_getaffinity), SCMP_SYS(mincore), SCMP_SYS(openat), SCMP_SYS(pipe2),
    SCMP_SYS(getdents64), SCMP_SYS(uname), SCMP_SYS(personality), SCMP_SYS(sysinfo),
    SCMP_SYS(mprotect), SET_END};

/* What even the supervisor may not do, nor anything it starts: the filter is inherited. */
static const int calls_never[] = {SCMP_SYS(ptrace), SCMP_SYS(process_vm_readv),
    SCMP_SYS(process_vm_writev), SCMP_SYS(kexec_load), SCMP_SYS(kexec_file_load),
    SCMP_SYS(init_module), SCMP_SYS(finit_module), SCMP_SYS(delete_module), SCMP_SYS(bpf),
    SCMP_SYS(perf_event_open), SCMP_SYS(userfaultfd), SCMP_SYS(io_uring_setup),
    SCMP_SYS(io_uring_enter), SCMP_SYS(io_uring_register), SCMP_SYS(mount), SCMP_SYS(umount2),
    SCMP_SYS(pivot_root), SCMP_SYS(reboot), SCMP_SYS(swapon), SCMP_SYS(swapoff), SCMP_SYS(add_key),
    SCMP_SYS(request_key), SCMP_SYS(keyctl), SCMP_SYS(setns), SCMP_SYS(open_by_handle_at),
    SCMP_SYS(acct), SCMP_SYS(settimeofday), SCMP_SYS(clock_settime), SCMP_SYS(sethostname),
    SET_END};

enum {
	HAS_THREADS = 1,
	HAS_SOCKETS = 2,
	IS_DENY_LIST = 4,
	HAS_WORKERS = 8,
	LOADS_CODE = 16,
	IS_GUARDED = 32
};

struct sandbox {
	const char *name, *user;
	const int *sets[8]; /* NULL ends */
	unsigned flags;
};

static const struct sandbox sandboxes[] = {
    [SANDBOX_SUPERVISOR] = {"supervisor", "root", {calls_never}, IS_DENY_LIST},
    [SANDBOX_FRONT] = {"front", "postern-front", {calls_common, calls_loop, calls_accept},
	HAS_THREADS},
    [SANDBOX_LOOKUP] = {"lookup", "postern-lookup", {calls_common, calls_loop, calls_connect},
	HAS_SOCKETS},
    [SANDBOX_ZYGOTE] = {"filter", "postern-filter",
	{calls_common, calls_loop, calls_read_files, calls_write_files, calls_zygote}, HAS_WORKERS},
    [SANDBOX_WORKER] = {"worker", "postern-filter",
	{calls_common, calls_read_files, calls_write_files}, IS_GUARDED},
    [SANDBOX_SPOOL] = {"spool", "postern-spool",
	{calls_common, calls_loop, calls_connect, calls_read_files, calls_write_files},
	HAS_SOCKETS | HAS_THREADS},
    [SANDBOX_JOURNAL] = {"journal", "postern-journal",
	{calls_common, calls_loop, calls_read_files, calls_write_files}, 0},
    [SANDBOX_WEB] = {"web", "postern-web", {calls_common, calls_loop, calls_accept}, 0},
    [SANDBOX_KEY] = {"key", "postern-key", {calls_common, calls_loop}, HAS_THREADS},
    [SANDBOX_ABOUT] = {"about", "postern-filter", {calls_common, calls_read_files}, LOADS_CODE},
};

unsigned
sandbox_uid(enum sandbox_kind kind)
{
	const struct passwd *pw = getpwnam(sandboxes[kind].user);

	/* A worker shares its zygote's id: they share memory and a folder.  The helper runs what the
	 * zygote runs. */
	if (kind == SANDBOX_WORKER || kind == SANDBOX_ABOUT)
		kind = SANDBOX_ZYGOTE;
	return pw != NULL ? pw->pw_uid : SANDBOX_FIRST_ID + (unsigned)kind;
}

int
sandbox_drop_user(enum sandbox_kind kind, struct err *err)
{
	unsigned id = sandbox_uid(kind);
	gid_t group = id;

	if (geteuid() != 0 || kind == SANDBOX_SUPERVISOR)
		return 0;
	if (setgroups(0, NULL) < 0 || setresgid(group, group, group) < 0 ||
	    setresuid(id, id, id) < 0)
		return err_set(err, E_DENIED, "cannot become user %u: %m", id);
	if (setresuid(0, 0, 0) == 0)
		return err_set(err, E_DENIED, "user %u could become root again", id);
	return 0;
}

static int
landlock_path(int ruleset, const struct sandbox_path *path, struct err *err)
{
	const uint64_t reads = LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;
	const uint64_t writes = LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_REMOVE_DIR |
				LANDLOCK_ACCESS_FS_REMOVE_FILE | LANDLOCK_ACCESS_FS_MAKE_DIR |
				LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SOCK;
	const uint64_t rights[] = {
	    [SANDBOX_READ] = reads,
	    [SANDBOX_READ_EXEC] = reads | LANDLOCK_ACCESS_FS_EXECUTE,
	    [SANDBOX_WRITE] = reads | writes,
	};
	struct landlock_path_beneath_attr rule = {.allowed_access = rights[path->access]};
	int r = 0;

	rule.parent_fd = open(path->path, O_PATH | O_CLOEXEC | O_DIRECTORY);
	if (rule.parent_fd < 0) {
		/* A folder that is not there cannot be reached either: what needs it will say so. */
		if (errno == ENOENT)
			return 0;
		return err_set(err, E_DENIED, "cannot open %s: %m", path->path);
	}
	if (syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		r = err_set(err, E_IO, "Landlock refuses %s: %m", path->path);
	(void)close(rule.parent_fd); /* O_PATH: nothing to lose */
	return r;
}

/* 0, SANDBOX_NO_LANDLOCK or an error. */
static int
enter_landlock(const struct sandbox_path *paths, struct err *err)
{
	/* The 13 rights of Landlock's first version, which Debian 12's kernel has. */
	struct landlock_ruleset_attr attr = {.handled_access_fs = (1ULL << 13) - 1};
	int ruleset = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0), r = 0;

	if (ruleset < 0)
		return SANDBOX_NO_LANDLOCK;
	for (; r == 0 && paths != NULL && paths->path != NULL; paths++)
		r = landlock_path(ruleset, paths, err);
	if (r == 0 && syscall(SYS_landlock_restrict_self, ruleset, 0) < 0)
		r = err_set(err, E_IO, "Landlock: %m");
	(void)close(ruleset); /* in force or of no use */
	return r;
}

static int
allow_set(scmp_filter_ctx filter, const int *calls)
{
	int r = 0;

	for (; r == 0 && *calls != SET_END; calls++)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, *calls, 0);
	return r;
}

/* No memory is ever both written and executed, and none becomes executable; a file can be mapped as
 * code where libraries are loaded. */
static int
allow_memory(scmp_filter_ctx filter, const struct sandbox *box)
{
	int r = 0;

	if (box->flags & LOADS_CODE)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 2,
		    SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC | PROT_WRITE, PROT_EXEC),
		    SCMP_A3(SCMP_CMP_MASKED_EQ, MAP_ANONYMOUS, 0));
	if (r < 0)
		return r;
	r = seccomp_rule_add(
	    filter, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));

	if (r == 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1,
		    SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0));
	return r;
}

static int
allow_threads(scmp_filter_ctx filter)
{
	/* clone3's flags cannot be looked at; with ENOSYS glibc falls back to clone. */
	int r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);

	if (r == 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clone), 1,
		    SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD));
	return r;
}

static int
allow_sockets(scmp_filter_ctx filter)
{
	static const struct {
		uint32_t action;
		unsigned family;
	} rules[] = {{SCMP_ACT_ALLOW, AF_INET}, {SCMP_ACT_ALLOW, AF_INET6},
	    /* Resolver libraries try these: they get an answer, not a death. */
	    {SCMP_ACT_ERRNO(EAFNOSUPPORT), AF_UNIX}, {SCMP_ACT_ERRNO(EAFNOSUPPORT), AF_NETLINK}};
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(rules) / sizeof(rules[0]); i++)
		r = seccomp_rule_add(filter, rules[i].action, SCMP_SYS(socket), 1,
		    SCMP_A0(SCMP_CMP_EQ, rules[i].family, 0 /* unused */));
	return r;
}

/*
 * A message goes where its socket is connected to: MSG_FASTOPEN would connect (even what was a
 * listener, once shut down), an address would send elsewhere.  The one in sendmsg's structure
 * cannot be seen from here; without MSG_FASTOPEN no stream socket goes by it.
 */
static int
allow_sending(scmp_filter_ctx filter, const struct sandbox *box)
{
	const struct scmp_arg_cmp to_no_address = SCMP_A5(SCMP_CMP_EQ, 0, 0 /* unused */);
	bool has_sockets = box->flags & HAS_SOCKETS;
	int r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(sendmsg), 1,
	    SCMP_A2(SCMP_CMP_MASKED_EQ, MSG_FASTOPEN, 0));

	if (r == 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(sendmmsg), 1,
		    SCMP_A3(SCMP_CMP_MASKED_EQ, MSG_FASTOPEN, 0));
	if (r == 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(sendto), has_sockets ? 1 : 2,
		    SCMP_A3(SCMP_CMP_MASKED_EQ, MSG_FASTOPEN, 0), to_no_address);
	return r;
}

/* abort() and raise() reach the process itself; of the others it knows nothing. */
static int
allow_own_signals(scmp_filter_ctx filter, const struct sandbox *box)
{
	/* A worker inherits its zygote's filter, under an id of its own. */
	if (box->flags & HAS_WORKERS)
		return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 0);
	return seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(tgkill), 1,
	    SCMP_A0(SCMP_CMP_EQ, (scmp_datum_t)getpid(), 0 /* unused */));
}

/* Not among these: what makes the kernel send signals to whomever one names. */
static int
allow_descriptor_commands(scmp_filter_ctx filter)
{
	static const struct {
		int call;
		unsigned command;
	} rules[] = {{SCMP_SYS(fcntl), F_GETFD}, {SCMP_SYS(fcntl), F_SETFD},
	    {SCMP_SYS(fcntl), F_GETFL}, {SCMP_SYS(fcntl), F_SETFL},
	    {SCMP_SYS(fcntl), F_DUPFD_CLOEXEC}, {SCMP_SYS(fcntl), F_GET_SEALS},
	    {SCMP_SYS(fcntl), F_ADD_SEALS}, {SCMP_SYS(fcntl), F_GETLK}, {SCMP_SYS(fcntl), F_SETLK},
	    {SCMP_SYS(fcntl), F_SETLKW}, {SCMP_SYS(fcntl), F_OFD_GETLK},
	    {SCMP_SYS(fcntl), F_OFD_SETLK}, {SCMP_SYS(fcntl), F_OFD_SETLKW},
	    {SCMP_SYS(ioctl), SIOCOUTQ}, {SCMP_SYS(ioctl), FIONREAD}, {SCMP_SYS(ioctl), FIONBIO},
	    {SCMP_SYS(ioctl), TCGETS}};
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(rules) / sizeof(rules[0]); i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ALLOW, rules[i].call, 1,
		    SCMP_A1(SCMP_CMP_EQ, rules[i].command, 0 /* unused */));
	return r;
}

static int
fill_allow_list(scmp_filter_ctx filter, const struct sandbox *box)
{
	int r = allow_memory(filter, box);

	for (size_t i = 0; r == 0 && box->sets[i] != NULL; i++)
		r = allow_set(filter, box->sets[i]);
	if (r == 0)
		r = allow_sending(filter, box);
	if (r == 0)
		r = allow_own_signals(filter, box);
	if (r == 0)
		r = allow_descriptor_commands(filter);
	if (r == 0 && (box->flags & HAS_THREADS))
		r = allow_threads(filter);
	if (r == 0 && (box->flags & HAS_SOCKETS))
		r = allow_sockets(filter);
	if (r == 0 && IS_SANITIZED)
		r = allow_set(filter, calls_sanitizer);
	return r;
}

static int
fill_deny_list(scmp_filter_ctx filter, const struct sandbox *box)
{
	int r = 0;

	for (const int *call = box->sets[0]; r == 0 && *call != SET_END; call++)
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), *call, 0);
	return r;
}

/*
 * What code that was taken over could do to others with calls that a worker needs:
 * - rights are nothing that Landlock's first version knows of: all workers' folders are their common user's, and
 *   one without rights would keep a worker from starting (libclamav sets its own files' and does without);
 * - the log is one open file for all roles, which must not be cut off, overwritten or made not to wait;
 * - memory that is shared and has no file is not in RLIMIT_DATA.
 * A filter of its own, since the stricter of two is what holds.
 */
static int
fill_guard(scmp_filter_ctx filter)
{
	static const int modes[] = {SCMP_SYS(chmod), SCMP_SYS(fchmod)};
	static const int positions[] = {SCMP_SYS(lseek), SCMP_SYS(ftruncate), SCMP_SYS(fallocate),
	    SCMP_SYS(pwrite64), SCMP_SYS(pwritev)};
	const struct scmp_arg_cmp is_log = SCMP_A0(SCMP_CMP_LE, STDERR_FILENO, 0 /* unused */);
	int r = 0;

	for (size_t i = 0; r == 0 && i < sizeof(modes) / sizeof(modes[0]); i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), modes[i], 0);
	for (size_t i = 0; r == 0 && i < sizeof(positions) / sizeof(positions[0]); i++)
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ESPIPE), positions[i], 1, is_log);
	if (r == 0)
		r = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(fcntl), 2, is_log,
		    SCMP_A1(SCMP_CMP_EQ, F_SETFL, 0 /* unused */));
	if (r == 0)
		r = seccomp_rule_add(filter, SCMP_ACT_KILL_PROCESS, SCMP_SYS(mmap), 1,
		    SCMP_A3(
			SCMP_CMP_MASKED_EQ, MAP_TYPE | MAP_ANONYMOUS, MAP_SHARED | MAP_ANONYMOUS));
	return r;
}

/* Before the filter that no longer allows another one. */
static int
enter_guard(struct err *err)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
	int r;

	if (filter == NULL)
		return err_set(err, E_IO, "no seccomp filter can be made");
	r = fill_guard(filter);
	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	return r < 0 ? err_set(err, E_IO, "seccomp, guard: %s", strerror(-r)) : 0;
}

static int
enter_seccomp(const struct sandbox *box, struct err *err)
{
	bool is_deny_list = box->flags & IS_DENY_LIST;
	scmp_filter_ctx filter =
	    seccomp_init(is_deny_list ? SCMP_ACT_ALLOW : SCMP_ACT_KILL_PROCESS);
	int r;

	if (filter == NULL)
		return err_set(err, E_IO, "no seccomp filter can be made");
	r = is_deny_list ? fill_deny_list(filter, box) : fill_allow_list(filter, box);
	if (r == 0)
		r = seccomp_load(filter);
	seccomp_release(filter);
	if (r < 0)
		return err_set(err, E_IO, "seccomp for %s: %s", box->name, strerror(-r));
	return 0;
}

int
sandbox_enter(enum sandbox_kind kind, const struct sandbox_path *paths, struct err *err)
{
	const struct sandbox *box = &sandboxes[kind];
	int landlock;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_set(err, E_IO, "no_new_privs: %m");
	landlock = enter_landlock(paths, err);
	if (landlock < 0 || ((box->flags & IS_GUARDED) && enter_guard(err) < 0) ||
	    enter_seccomp(box, err) < 0)
		return -err->code;
	return landlock;
}

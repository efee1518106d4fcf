/*
 * Every kind of sandbox is entered by a child of its own, which then tries one thing: what is
 * forbidden must end the child or fail, what is allowed must work.
 */
#include "tests/unit/sandbox_attempts.h"

#ifdef __SANITIZE_ADDRESS__
#define IS_SANITIZED 1 /* its run-time needs some more calls: those rows are left out */
#else
#define IS_SANITIZED 0
#endif

enum { WORKED = 0, REFUSED = 1, NOT_ENTERED = 99 };

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
	KEY = BIT(SANDBOX_KEY),
	ROLES = FRONT | LOOKUP | ZYGOTE | WORKER | SPOOL | JOURNAL | WEB | KEY,
	FILES = ZYGOTE | WORKER | SPOOL | JOURNAL, /* may open files below their folders */
	SOCKETS = LOOKUP | SPOOL
};

static const char *const names[] = {
    "supervisor", "front", "lookup", "zygote", "worker", "spool", "journal", "web", "key"};

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
    {"thread", try_thread, LOOKUP | WORKER | JOURNAL | WEB, FRONT | SPOOL | KEY, NOT_SANITIZED},
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
	for (int a = SANDBOX_FRONT; a <= SANDBOX_KEY; a++) {
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
	for (int kind = SANDBOX_FRONT; kind <= SANDBOX_KEY; kind++) {
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
	    SANDBOX_ZYGOTE, SANDBOX_WORKER, SANDBOX_SPOOL, SANDBOX_JOURNAL, SANDBOX_WEB,
	    SANDBOX_KEY};
	const struct CMUnitTest tests[] = {
	    {"supervisor", test_kind, NULL, NULL, &kinds[0]},
	    {"front", test_kind, NULL, NULL, &kinds[1]},
	    {"lookup", test_kind, NULL, NULL, &kinds[2]},
	    {"zygote", test_kind, NULL, NULL, &kinds[3]},
	    {"worker", test_kind, NULL, NULL, &kinds[4]},
	    {"spool", test_kind, NULL, NULL, &kinds[5]},
	    {"journal", test_kind, NULL, NULL, &kinds[6]},
	    {"web", test_kind, NULL, NULL, &kinds[7]},
	    {"key", test_kind, NULL, NULL, &kinds[8]},
	    cmocka_unit_test(test_a_missing_folder_is_no_error),
	    cmocka_unit_test(test_users_are_different),
	    cmocka_unit_test(test_drop_user),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}

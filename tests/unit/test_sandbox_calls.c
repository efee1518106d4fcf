/*
 * Calls that a sandbox judges by their arguments, each in a process of its own inside the real
 * sandbox: what is refused ends that process with SIGSYS.  The descriptor is always -1, so that
 * what is allowed fails and does nothing.
 */
#include "relay/process/sandbox.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <linux/sockios.h>
#include <seccomp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MADE_CALL = 0, NO_SANDBOX = 100 };

/* Sends: `flags` and `n` stand at the places of this call's flags and length of address. */
static void
call_send(long call, long flags, long n)
{
	(void)syscall(call, -1, NULL, call == SYS_sendmsg ? flags : 0, flags, NULL, n);
}

static int
run(enum sandbox_kind kind, void (*make)(long, long, long), long a, long b, long c)
{
	struct err err = {0};
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		(void)signal(SIGSYS, SIG_DFL); /* cmocka's handlers are for the tests */
		(void)signal(SIGABRT, SIG_DFL);
		if (sandbox_enter(kind, NULL, &err) < 0)
			_exit(NO_SANDBOX);
		make(a, b, c);
		_exit(MADE_CALL);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFSIGNALED(status))
		return WTERMSIG(status);
	assert_int_equal(WEXITSTATUS(status), MADE_CALL);
	return 0;
}

/* Front has no connect(); MSG_FASTOPEN and addresses must not make up for it. */
static void
test_sending_does_not_connect(void **state)
{
	static const struct {
		enum sandbox_kind kind;
		long call, flags, n;
		int expected;
	} rows[] = {
	    {SANDBOX_FRONT, SYS_sendto, MSG_NOSIGNAL | MSG_DONTWAIT, 0, 0},
	    {SANDBOX_FRONT, SYS_sendto, MSG_FASTOPEN, 0, SIGSYS},
	    {SANDBOX_FRONT, SYS_sendto, MSG_NOSIGNAL, 16, SIGSYS},
	    {SANDBOX_FRONT, SYS_sendto, MSG_FASTOPEN | MSG_NOSIGNAL, 16, SIGSYS},
	    {SANDBOX_FRONT, SYS_sendmsg, MSG_NOSIGNAL, 0, 0},
	    {SANDBOX_FRONT, SYS_sendmsg, MSG_FASTOPEN | MSG_NOSIGNAL, 0, SIGSYS},
	    {SANDBOX_FRONT, SYS_sendmmsg, MSG_NOSIGNAL | MSG_DONTWAIT, 0, 0},
	    {SANDBOX_FRONT, SYS_sendmmsg, MSG_FASTOPEN, 0, SIGSYS},
	    {SANDBOX_WEB, SYS_sendto, MSG_FASTOPEN, 0, SIGSYS},
	    {SANDBOX_WEB, SYS_sendto, MSG_NOSIGNAL, 16, SIGSYS},
	    {SANDBOX_KEY, SYS_sendto, MSG_FASTOPEN, 0, SIGSYS},
	    {SANDBOX_KEY, SYS_sendto, MSG_NOSIGNAL, 16, SIGSYS},
	    {SANDBOX_ZYGOTE, SYS_sendmmsg, MSG_FASTOPEN, 0, SIGSYS},
	    {SANDBOX_WORKER, SYS_sendmsg, MSG_FASTOPEN, 0, SIGSYS},
	    {SANDBOX_WORKER, SYS_sendmsg, MSG_NOSIGNAL, 0, 0},
	    {SANDBOX_JOURNAL, SYS_sendto, 0, 16, SIGSYS},
	    {SANDBOX_LOOKUP, SYS_sendto, MSG_NOSIGNAL, 16, 0},
	    {SANDBOX_LOOKUP, SYS_sendto, MSG_FASTOPEN, 16, SIGSYS},
	    {SANDBOX_SPOOL, SYS_sendto, MSG_NOSIGNAL, 0, 0},
	    {SANDBOX_SPOOL, SYS_sendmsg, MSG_FASTOPEN, 0, SIGSYS},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int got = run(rows[i].kind, call_send, rows[i].call, rows[i].flags, rows[i].n);

		if (got != rows[i].expected)
			fail_msg("row %zu: signal %d", i, got);
	}
}

/* `pid` 0: of this process itself. */
static void
call_tgkill(long pid, long number, long unused)
{
	(void)unused;
	if (pid == 0)
		pid = getpid();
	(void)syscall(SYS_tgkill, pid, pid, number);
}

/* No role but the zygote signals another process; their own abort() works everywhere. */
static void
test_signals(void **state)
{
	static const struct {
		enum sandbox_kind kind;
		bool is_own;
		int number, expected;
	} rows[] = {
	    {SANDBOX_FRONT, true, SIGABRT, SIGABRT},
	    {SANDBOX_FRONT, false, 0, SIGSYS},
	    {SANDBOX_LOOKUP, false, 0, SIGSYS},
	    {SANDBOX_SPOOL, true, SIGABRT, SIGABRT},
	    {SANDBOX_SPOOL, false, 0, SIGSYS},
	    {SANDBOX_JOURNAL, false, 0, SIGSYS},
	    {SANDBOX_WEB, false, 0, SIGSYS},
	    {SANDBOX_KEY, false, 0, SIGSYS},
	    {SANDBOX_ZYGOTE, true, SIGABRT, SIGABRT},
	    {SANDBOX_ZYGOTE, false, 0, 0},
	    {SANDBOX_WORKER, true, SIGABRT, SIGABRT},
	    {SANDBOX_WORKER, false, 0, SIGSYS},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int got = run(
		    rows[i].kind, call_tgkill, rows[i].is_own ? 0 : getpid(), rows[i].number, 0);

		if (got != rows[i].expected)
			fail_msg("row %zu: signal %d", i, got);
	}
}

/* A worker's filter comes on top of its zygote's, which must leave it its abort(). */
static void
call_as_worker(long is_own, long number, long unused)
{
	struct err err = {0};
	pid_t zygote = getpid(), pid = fork();
	int status;

	(void)unused;
	if (pid == 0) {
		if (sandbox_enter(SANDBOX_WORKER, NULL, &err) < 0)
			_exit(NO_SANDBOX);
		call_tgkill(is_own ? 0 : zygote, number, 0);
		_exit(MADE_CALL);
	}
	if (waitpid(pid, &status, 0) != pid)
		_exit(NO_SANDBOX);
	if (WIFSIGNALED(status))
		(void)syscall(SYS_tgkill, zygote, zygote, WTERMSIG(status));
}

static void
test_signals_of_a_worker_below_its_zygote(void **state)
{
	(void)state;
	assert_int_equal(run(SANDBOX_ZYGOTE, call_as_worker, true, SIGABRT, 0), SIGABRT);
	assert_int_equal(run(SANDBOX_ZYGOTE, call_as_worker, false, 0, 0), SIGSYS);
}

static void
call_command(long call, long command, long value)
{
	(void)syscall(call, -1, command, value);
}

/* A descriptor's owner gets signals from the kernel: nobody may choose one. */
static void
test_descriptor_commands(void **state)
{
	static const enum sandbox_kind kinds[] = {SANDBOX_FRONT, SANDBOX_LOOKUP, SANDBOX_ZYGOTE,
	    SANDBOX_WORKER, SANDBOX_SPOOL, SANDBOX_JOURNAL, SANDBOX_WEB, SANDBOX_KEY};
	static const struct {
		long call, command;
		int expected;
	} rows[] = {
	    {SYS_fcntl, F_GETFD, 0},
	    {SYS_fcntl, F_SETFL, 0},
	    {SYS_fcntl, F_DUPFD_CLOEXEC, 0},
	    {SYS_fcntl, F_ADD_SEALS, 0},
	    {SYS_fcntl, F_SETLK, 0},
	    {SYS_fcntl, F_OFD_SETLKW, 0},
	    {SYS_fcntl, F_SETOWN, SIGSYS},
	    {SYS_fcntl, F_SETOWN_EX, SIGSYS},
	    {SYS_fcntl, F_SETSIG, SIGSYS},
	    {SYS_fcntl, F_NOTIFY, SIGSYS},
	    {SYS_ioctl, SIOCOUTQ, 0},
	    {SYS_ioctl, FIOSETOWN, SIGSYS},
	    {SYS_ioctl, SIOCSPGRP, SIGSYS},
	};

	(void)state;
	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++)
		for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			int got = run(kinds[k], call_command, rows[i].call, rows[i].command, 0);

			if (got != rows[i].expected)
				fail_msg("kind %zu, row %zu: signal %d", k, i, got);
		}
}

/* Dies of SIGABRT unless this fails with `error`; 0: it may do that. */
static void
call_guarded(long call, long fd, long error)
{
	/* F_SETFL and MAP_SHARED stand where the others have an offset or a length of nothing. */
	long r = call == SYS_fcntl   ? syscall(call, fd, F_SETFL, O_NONBLOCK)
		 : call == SYS_mmap  ? syscall(call, NULL, 4096, PROT_READ | PROT_WRITE, fd, -1, 0)
		 : call == SYS_chmod ? syscall(call, "/", 0)
				     : syscall(call, fd, 0, 0, 0);

	if (error != 0 ? r != -1 || errno != error : r < 0)
		abort();
}

/* A worker that was taken over leaves the others their folders, the log and the memory. */
static void
test_guard_of_a_worker(void **state)
{
	static const struct {
		long call, fd, error;
		int expected;
	} rows[] = {
	    {SYS_chmod, 0, EPERM, 0},
	    {SYS_fchmod, STDIN_FILENO, EPERM, 0},
	    {SYS_fchmod, 77, EPERM, 0},
	    {SYS_lseek, STDERR_FILENO, ESPIPE, 0},
	    {SYS_lseek, 77, EBADF, 0},
	    {SYS_ftruncate, STDERR_FILENO, ESPIPE, 0},
	    {SYS_ftruncate, STDOUT_FILENO, ESPIPE, 0},
	    {SYS_fallocate, STDERR_FILENO, ESPIPE, 0},
	    {SYS_pwrite64, STDERR_FILENO, ESPIPE, 0},
	    {SYS_pwrite64, 77, EBADF, 0},
	    {SYS_pwritev, STDERR_FILENO, ESPIPE, 0},
	    {SYS_fcntl, STDERR_FILENO, EPERM, 0},
	    {SYS_fcntl, 77, EBADF, 0},
	    {SYS_mmap, MAP_PRIVATE | MAP_ANONYMOUS, 0, 0},
	    {SYS_mmap, MAP_SHARED, EBADF, 0},
	    {SYS_mmap, MAP_SHARED | MAP_ANONYMOUS, 0, SIGSYS},
	    {SYS_mmap, MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, 0, SIGSYS},
	    {SYS_mmap, MAP_SHARED_VALIDATE | MAP_ANONYMOUS, EINVAL, 0},
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int got =
		    run(SANDBOX_WORKER, call_guarded, rows[i].call, rows[i].fd, rows[i].error);

		if (got != rows[i].expected)
			fail_msg("row %zu: signal %d", i, got);
	}
}

/* As on a kernel without it. */
static void
take_landlock_away(void)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

	if (filter == NULL ||
	    seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(landlock_create_ruleset), 0) <
		0 ||
	    seccomp_load(filter) < 0)
		_exit(NO_SANDBOX);
	seccomp_release(filter);
}

static int
enter_without_landlock(enum sandbox_kind kind, bool is_missing)
{
	struct err err = {0};
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		if (is_missing)
			take_landlock_away();
		_exit(sandbox_enter(kind, NULL, &err));
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

/* The rest of the sandbox stands, and the caller knows what is missing. */
static void
test_no_landlock_is_told(void **state)
{
	bool is_here =
	    syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) >= 1;

	(void)state;
	assert_int_equal(enter_without_landlock(SANDBOX_SPOOL, true), SANDBOX_NO_LANDLOCK);
	assert_int_equal(enter_without_landlock(SANDBOX_SUPERVISOR, true), SANDBOX_NO_LANDLOCK);
	assert_int_equal(
	    enter_without_landlock(SANDBOX_SPOOL, false), is_here ? 0 : SANDBOX_NO_LANDLOCK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_sending_does_not_connect),
	    cmocka_unit_test(test_signals),
	    cmocka_unit_test(test_signals_of_a_worker_below_its_zygote),
	    cmocka_unit_test(test_descriptor_commands),
	    cmocka_unit_test(test_guard_of_a_worker),
	    cmocka_unit_test(test_no_landlock_is_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

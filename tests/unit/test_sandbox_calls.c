/*
 * Calls that a sandbox judges by their arguments, each in a process of its own inside the real
 * sandbox: what is refused ends that process with SIGSYS.  The descriptor is always -1, so that
 * what is allowed fails and does nothing.
 */
#include "relay/process/sandbox.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <signal.h>
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_sending_does_not_connect),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

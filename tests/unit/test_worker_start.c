/* A worker's start: what is said when it cannot, and that nothing is when nobody waits for it. */
#include "filters/worker/page.h"
#include "filters/worker/worker.h"
#include "relay/base/buf.h"
#include "relay/base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <sys/wait.h>
#include <unistd.h>

/* What a worker with this parent and folder leaves on standard error; *status: of its end. */
static struct span
start(int parent, const char *folder, char *room, size_t size, int *status)
{
	static struct worker_page page;
	int ends[2];
	ssize_t n;
	size_t had = 0;
	pid_t pid;

	assert_int_equal(pipe(ends), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		struct worker w = {.fd = 3, .parent = parent, .tmpdir = folder, .page = &page};

		(void)dup2(ends[1], STDERR_FILENO); /* what fails is seen by the test */
		log_setup("filter", false, LOG_INFO);
		worker_run(&w);
	}
	(void)close(ends[1]);
	while ((n = read(ends[0], room + had, size - had)) > 0)
		had += (size_t)n;
	(void)close(ends[0]);
	assert_int_equal(waitpid(pid, status, 0), pid);
	return span_of(room, had);
}

static void
test_without_zygote(void **state)
{
	char room[4096];
	int status;

	(void)state;
	assert_int_equal(start(1, "/", room, sizeof(room), &status).n, 0);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == WORKER_DONE);
}

static void
test_without_folder(void **state)
{
	char room[4096];
	struct span said;
	int status;

	(void)state;
	said = start(getpid(), "/nonexistent/folder", room, sizeof(room), &status);
	assert_true(span_find(said, '\n') == said.n - 1); /* one line */
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == WORKER_NO_LIMITS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_without_zygote),
	    cmocka_unit_test(test_without_folder),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

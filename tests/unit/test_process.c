/* Small parts of the supervisor: the console's tokens, the problems, the listeners, the folders. */
#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/process/console.h"
#include "relay/process/folders.h"
#include "relay/process/listener.h"
#include "relay/process/problem.h"
#include "relay/process/supervisor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static void
test_console(void **state)
{
	struct console *c = mem_alloc(sizeof(*c));
	char token[CONSOLE_TOKEN_TEXT + 1], first[CONSOLE_TOKEN_TEXT + 1];
	struct span session;

	clock_fake(1000, 1);
	assert_int_equal(console_sign_in(c, SPAN("")).n, 0); /* nothing was offered */
	assert_false(console_is_signed_in(c, SPAN("")));
	assert_true(span_copy(console_offer(c), token, sizeof(token)));
	assert_int_equal(strlen(token), CONSOLE_TOKEN_TEXT);
	assert_int_equal(console_sign_in(c, span_of(token, CONSOLE_TOKEN_TEXT - 1)).n, 0);
	token[0] ^= 1;
	assert_int_equal(console_sign_in(c, span_str(token)).n, 0);
	token[0] ^= 1;
	session = console_sign_in(c, span_str(token));
	assert_true(span_copy(session, first, sizeof(first)));
	assert_string_not_equal(first, token);
	assert_true(console_is_signed_in(c, span_str(first)));
	assert_false(console_is_signed_in(c, span_str(token)));
	assert_int_equal(console_sign_in(c, span_str(token)).n, 0); /* once */
	clock_fake(1000 + CONSOLE_SESSION_MS - 1, 1);
	assert_true(console_is_signed_in(c, span_str(first)));
	clock_fake(1000 + CONSOLE_SESSION_MS, 1);
	assert_false(console_is_signed_in(c, span_str(first)));
	clock_fake(0, -1);
	mem_free(c);
	(void)state;
}

/* One session more than there is room for ends the oldest, and only that. */
static void
test_console_is_full(void **state)
{
	struct console *c = mem_alloc(sizeof(*c));
	char tokens[CONSOLE_SESSIONS_MAX + 1][CONSOLE_TOKEN_TEXT + 1];

	for (int i = 0; i <= CONSOLE_SESSIONS_MAX; i++) {
		clock_fake(1000 + i, 1);
		assert_true(
		    span_copy(console_sign_in(c, console_offer(c)), tokens[i], sizeof(tokens[i])));
	}
	for (int i = 0; i <= CONSOLE_SESSIONS_MAX; i++)
		assert_int_equal(console_is_signed_in(c, span_str(tokens[i])), i > 0);
	clock_fake(0, -1);
	mem_free(c);
	(void)state;
}

static void
test_problems(void **state)
{
	struct problem_set *set = mem_alloc(sizeof(*set));
	char name[16];

	problem_report(set, 1, SPAN("disk"), SPAN("is full"), SPAN("make room"));
	problem_report(set, 1, SPAN("disk"), SPAN("is fuller"), SPAN("buy one"));
	assert_int_equal(set->n, 1);
	assert_string_equal(set->items[0].what, "is fuller");
	problem_report(set, 1, SPAN("dis"), SPAN(""), SPAN("")); /* not there */
	problem_report(set, 1, SPAN("disk"), SPAN(""), SPAN(""));
	assert_int_equal(set->n, 0);
	for (int i = 0; i < PROBLEMS_MAX + 3; i++) {
		(void)snprintf(name, sizeof(name), "p%d", i); /* fits */
		problem_report(set, 1, span_str(name), SPAN("x"), SPAN("y"));
	}
	assert_int_equal(set->n, PROBLEMS_MAX);
	problem_report(
	    set, 1, SPAN("p5"), SPAN("again"), SPAN("y")); /* one that is there, though full */
	assert_int_equal(set->n, PROBLEMS_MAX);
	for (int i = 0; i < PROBLEMS_MAX; i++) {
		(void)snprintf(name, sizeof(name), "p%d", i); /* fits */
		problem_report(set, 1, span_str(name), SPAN(""), SPAN(""));
	}
	assert_int_equal(set->n, 0);
	mem_free(set);
	(void)state;
}

/* A process that has ended has no problems: what is still so, its next one says. */
static void
test_problems_of_the_dead(void **state)
{
	struct problem_set *set = mem_alloc(sizeof(*set));

	problem_forget(set, 1); /* it had none */
	problem_report(set, 1, SPAN("a"), SPAN("x"), SPAN("y"));
	problem_report(set, 2, SPAN("b"), SPAN("x"), SPAN("y"));
	problem_report(set, 1, SPAN("both"), SPAN("x"), SPAN("y"));
	problem_report(set, 2, SPAN("both"), SPAN("x"), SPAN("y"));
	problem_report(set, 1, SPAN("c"), SPAN("x"), SPAN("y"));
	problem_forget(set, 1);
	assert_int_equal(set->n, 2);
	problem_report(set, 2, SPAN("both"), SPAN(""), SPAN(""));
	assert_int_equal(set->n, 1);
	assert_string_equal(set->items[0].name, "b");
	problem_forget(set, 2);
	assert_int_equal(set->n, 0);
	mem_free(set);
	(void)state;
}

/* What two have is over when both say so. */
static void
test_problem_of_two(void **state)
{
	struct problem_set *set = mem_alloc(sizeof(*set));

	problem_report(set, 1, SPAN("list"), SPAN("is off"), SPAN("wait"));
	problem_report(set, 9, SPAN("list"), SPAN("is off"), SPAN("wait"));
	assert_int_equal(set->n, 1);
	problem_report(set, 1, SPAN("list"), SPAN(""), SPAN(""));
	assert_int_equal(set->n, 1);
	problem_report(
	    set, 1, SPAN("list"), SPAN(""), SPAN("")); /* said again: still the other's */
	assert_int_equal(set->n, 1);
	problem_report(set, 9, SPAN("list"), SPAN(""), SPAN(""));
	assert_int_equal(set->n, 0);
	mem_free(set);
	(void)state;
}

static void
test_counts_of_fronts(void **state)
{
	static const struct {
		const char *objects[2], *sum;
	} rows[] = {
	    {{"{\"front\":{\"a\":1,\"b_c\":20}}", "{\"front\":{\"a\":3,\"b_c\":4}}"},
		",\"front\":{\"a\":4,\"b_c\":24}"},
	    {{"{\"front\":{\"a\":1}}", "{\"front\":{\"d\":4}}"}, ",\"front\":{\"a\":1,\"d\":4}"},
	    {{"", "{}"}, ""},
	    {{"{\"front\":{}}", "{\"front\":{\"a\":-1,\"\":2,\"B\":3,\"b\":\"x\",:,\"c\"}}"}, ""},
	    {{"{\"front\":{\"a\":1", "}"}, ",\"front\":{\"a\":1}"},
	    {{"{\"front\":{\"a\":99999999999999999999}}", ""}, ""},
	    {{"{\"front\":{\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\":1}}", ""}, ""},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct status_counts counts = {0};
		struct buf out = BUF_INIT(1024);

		for (int k = 0; k < 2; k++)
			status_add_counts(&counts, span_str(rows[i].objects[k]));
		status_put_counts(&counts, &out);
		if (!span_eq(buf_span(&out), span_str(rows[i].sum)))
			fail_msg("row %zu: %.*s", i, (int)out.n, out.p);
		buf_free(&out);
	}
	(void)state;
}

/* A listener on a port that the kernel chooses, to be found out afterwards. */
static struct endpoint
at_port(uint16_t port, const char *text)
{
	struct endpoint e = {.port = port, .text = text};

	assert_true(ip_parse(SPAN("127.0.0.1"), &e.ip));
	return e;
}

static uint16_t
port_of(int fd)
{
	struct sockaddr_storage sa;
	socklen_t n = sizeof(sa);
	uint16_t port;
	struct ip ip;

	assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &n), 0);
	assert_true(ip_from_sockaddr(&sa, &ip, &port));
	return port;
}

static void
test_listeners(void **state)
{
	struct listener_set *set = mem_alloc(sizeof(*set)), *other = mem_alloc(sizeof(*other));
	struct endpoint addresses[2] = {at_port(0, "a"), at_port(0, "b")};
	struct conf_listen listen = {.addresses = addresses, .n_addresses = 2};
	struct config config = {.listens = &listen, .n_listens = 1, .fronts = 1};
	struct err err = {0};
	uint16_t first, second;

	assert_int_equal(listener_open_all(set, &config, &err), 0);
	assert_int_equal(set->n, 2);
	first = port_of(set->items[0].fd);
	second = port_of(set->items[1].fd);
	assert_int_not_equal(first, second);
	assert_true(fcntl(set->items[0].fd, F_GETFL) & O_NONBLOCK);
	set->items[0].address.port = addresses[0].port = first;
	set->items[1].address.port = addresses[1].port = second;
	/* The same again: kept, not opened anew, which would say that it is taken. */
	assert_int_equal(listener_open_all(set, &config, &err), 0);
	assert_int_equal(port_of(set->items[0].fd), first);
	/* Another set cannot have it, and is left as it was. */
	assert_int_equal(listener_open_all(other, &config, &err), -E_EXISTS);
	assert_non_null(strstr(err.text, "a is taken"));
	assert_int_equal(other->n, 0);
	/* One less, and the web in its place. */
	listen.n_addresses = 1;
	config.web.is_on = true;
	config.web.address = addresses[1];
	assert_int_equal(listener_open_all(set, &config, &err), 0);
	assert_int_equal(set->n, 2);
	assert_true(set->items[1].is_web && !set->items[0].is_web);
	assert_int_equal(port_of(set->items[1].fd), second);
	/* An address that is not ours: nothing changes. */
	assert_true(ip_parse(SPAN("192.0.2.1"), &config.web.address.ip));
	assert_int_equal(listener_open_all(set, &config, &err), -E_NOT_FOUND);
	assert_int_equal(set->n, 2);
	assert_int_equal(port_of(set->items[0].fd), first);
	config = (struct config){0};
	assert_int_equal(listener_open_all(set, &config, &err), 0);
	assert_int_equal(set->n, 0);
	mem_free(set);
	mem_free(other);
	(void)state;
}

static void
test_folders(void **state)
{
	static const char *const made[] = {
	    "s/spool", "s/quarantine", "s/journal", "s/lists", "s/lock", "s", "r/filter", "r"};
	char base[] = "/tmp/postern-dirs-XXXXXX", state_dir[64], run_dir[64], path[128];
	struct config config = {.state_dir = state_dir, .run_dir = run_dir};
	struct err err = {0};
	struct stat st;
	int status;
	pid_t pid;

	assert_non_null(mkdtemp(base));
	(void)snprintf(state_dir, sizeof(state_dir), "%s/s", base); /* fits */
	(void)snprintf(run_dir, sizeof(run_dir), "%s/r", base);     /* fits */
	assert_int_equal(folders_make(&config, &err), 0);
	assert_int_equal(folders_make(&config, &err), 0);          /* there already */
	(void)snprintf(path, sizeof(path), "%s/spool", state_dir); /* fits */
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0700);
	pid = fork(); /* a lock lives as long as its process: the first relay is a child */
	if (pid == 0)
		_exit(folders_lock(&config, &err) == 0 ? 0 : 1);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(folders_lock(&config, &err), 0);
	assert_int_equal(folders_lock(&config, &err), -E_EXISTS);
	assert_non_null(strstr(err.text, "another relay"));
	for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++) {
		(void)snprintf(path, sizeof(path), "%s/%s", base, made[i]); /* fits */
		assert_int_equal(remove(path), 0);
	}
	assert_int_equal(remove(base), 0);
	assert_int_equal(folders_make(&config, &err), -E_DENIED);
	assert_int_equal(folders_lock(&config, &err), -E_DENIED);
	(void)state;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test(test_console),
	    cmocka_unit_test(test_console_is_full),
	    cmocka_unit_test(test_problems),
	    cmocka_unit_test(test_problems_of_the_dead),
	    cmocka_unit_test(test_problem_of_two),
	    cmocka_unit_test(test_counts_of_fronts),
	    cmocka_unit_test(test_listeners),
	    cmocka_unit_test(test_folders),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The zygote and its workers: answers, deaths and what is told of them, fronts. */
#include "tests/unit/worker_world.h"

#include <sys/wait.h>

static void
test_policies_in_bundles_and_versions(void **state)
{
	struct buf bundle = BUF_INIT(4096);
	struct state *s = *state;
	struct arrival w;

	start(s, 1);
	w = expect(s, FILTER_WORKER);
	bundle_add(&bundle, BUNDLE_POLICY, SPAN("1"), span_str(policy));
	assert_int_equal(channel_send_now(w.fd, WORKER_POLICY, 1, buf_span(&bundle), NULL), 0);
	for (uint64_t version = 2; version <= WORKER_POLICIES; version++)
		send_policy(w.fd, version);
	send_scan(w.fd, 1, fine, true); /* by version 1, still kept */
	assert_result(s, w.fd, 1, 0);
	send_policy(w.fd, WORKER_POLICIES + 1); /* now it is the oldest of too many */
	send_scan(w.fd, 2, fine, true);
	assert_int_equal(expect(s, FILTER_DIED).death.exit_status, WORKER_BAD_PEER);
	buf_free(&bundle);
	(void)close(w.fd);
}

static void
test_crash_is_laid_at_its_filters_door(void **state)
{
	struct state *s = *state;
	struct arrival w, died;

	w = begin(s);
	send_scan(w.fd, 42, "Subject: x\r\n\r\ncrash", true);
	died = expect(s, FILTER_DIED);
	assert_int_equal(died.id, w.id);
	assert_int_equal(died.death.signal, SIGKILL);
	assert_int_equal(died.death.filter, 1);
	assert_int_equal(died.death.scan, 42);
	assert_false(died.death.was_deadline);
	(void)close(w.fd);
	assert_next_works(s, 43);
}

static void
test_deadline(void **state)
{
	struct state *s = *state;
	struct arrival w, died;

	w = begin(s);
	send_scan(w.fd, 42, "Subject: x\r\n\r\nhang", true);
	died = expect(s, FILTER_DIED);
	assert_int_equal(died.death.signal, SIGKILL);
	assert_int_equal(died.death.filter, 1);
	assert_int_equal(died.death.scan, 42);
	assert_true(died.death.was_deadline);
	(void)close(w.fd);
}

/* A worker that dies while it writes its page leaves the next one a deadline. */
static void
test_deadline_after_a_torn_page(void **state)
{
	struct state *s = *state;
	struct arrival w, died;

	w = begin(s);
	send_scan(w.fd, 41, "Subject: x\r\n\r\ntorn", true);
	died = expect(s, FILTER_DIED);
	assert_int_equal(died.death.scan, 0); /* nobody can tell */
	assert_int_equal(died.death.filter, -1);
	(void)close(w.fd);
	w = expect(s, FILTER_WORKER);
	send_policy(w.fd, 1);
	send_scan(w.fd, 42, "Subject: x\r\n\r\nhang", true);
	died = expect(s, FILTER_DIED);
	assert_true(died.death.was_deadline);
	assert_int_equal(died.death.filter, 1);
	assert_int_equal(died.death.scan, 42);
	(void)close(w.fd);
}

static void
test_a_worker_has_its_own_page_only(void **state)
{
	struct state *s = *state;
	struct arrival w[3];

	start(s, 3);
	for (size_t i = 0; i < 3; i++)
		w[i] = expect(s, FILTER_WORKER);
	for (size_t i = 0; i < 3; i++) {
		send_policy(w[i].fd, 1);
		send_scan(w[i].fd, i + 1, "Subject: x\r\n\r\nalone", true);
		assert_result(s, w[i].fd, i + 1, 0);
		(void)close(w[i].fd);
	}
}

static void
test_front_may_kill(void **state)
{
	struct state *s = *state;
	struct arrival a, b, died;

	start(s, 2);
	a = expect(s, FILTER_WORKER);
	b = expect(s, FILTER_WORKER);
	assert_int_equal(channel_send_now(s->front, FILTER_KILL, b.id, (struct span){0}, NULL), 0);
	died = expect(s, FILTER_DIED);
	assert_int_equal(died.id, b.id);
	assert_int_equal(died.death.filter, -1);
	assert_int_equal(died.death.scan, 0);
	send_policy(a.fd, 1);
	send_scan(a.fd, 1, fine, true);
	assert_result(s, a.fd, 1, 0);
	(void)close(a.fd);
	(void)close(b.fd);
}

static void
test_workers_end_with_their_front(void **state)
{
	struct state *s = *state;
	struct arrival w, next;
	int ends[2];

	start(s, 1);
	w = expect(s, FILTER_WORKER);
	(void)close(s->front);
	while (!is_readable(w.fd)) /* end of file: its only other end is gone */
		loop_turn(s->loop, 20);
	(void)close(w.fd);
	channel_pair(ends);
	s->front = ends[0];
	zygote_serve(s->zygote, 0, ends[1]);
	next = expect(s, FILTER_WORKER);
	assert_true(next.id > w.id);
	(void)close(next.fd);
}

/* Each front its own: one that ends or orders killed leaves the other's alone. */
static void
test_workers_of_two_fronts(void **state)
{
	struct state *s = *state;
	const struct zygote_settings settings = {
	    .n_workers = 2, .n_fronts = 2, .folder = s->f->folder, .messages_max = MESSAGES_MAX};
	struct arrival first[2], second[2];
	int ends[2], other;

	s->zygote = zygote_new(s->loop, s->f->chain, &settings);
	channel_pair(ends);
	other = s->front = ends[0];
	zygote_serve(s->zygote, 1, ends[1]);
	for (int i = 0; i < 2; i++)
		second[i] = expect(s, FILTER_WORKER);
	channel_pair(ends);
	s->front = ends[0];
	zygote_serve(s->zygote, 0, ends[1]);
	for (int i = 0; i < 2; i++)
		first[i] = expect(s, FILTER_WORKER);
	assert_true(first[0].id != second[0].id && first[0].id != second[1].id);
	/* Another's number: an order for nobody. */
	assert_int_equal(
	    channel_send_now(other, FILTER_KILL, first[0].id, (struct span){0}, NULL), 0);
	(void)close(other);
	for (int i = 0; i < 2; i++) {
		while (!is_readable(second[i].fd))
			loop_turn(s->loop, 20);
		(void)close(second[i].fd);
	}
	for (int i = 0; i < 2; i++) {
		assert_false(is_readable(first[i].fd));
		(void)close(first[i].fd);
	}
	channel_pair(ends);
	zygote_serve(s->zygote, 2, ends[1]); /* a front that the configuration has not */
	assert_true(is_readable(ends[0]));
	(void)close(ends[0]);
}

static void
test_page(void **state)
{
	const struct worker_doing in = {.scan = 5, .flow = 2, .filter = 3, .since_mono_ms = 99};
	struct worker_page page = {0};
	struct worker_doing out;

	(void)state;
	page_write(&page, &in);
	assert_int_equal(page_read(&page, &out), 0);
	assert_int_equal(out.scan, 5);
	assert_int_equal(out.flow, 2);
	assert_int_equal(out.filter, 3);
	assert_int_equal(out.since_mono_ms, 99);
	atomic_fetch_add(&page.turn, 1);
	assert_int_equal(page_read(&page, &out), -1);
	page_reset(&page);
	assert_int_equal(page_read(&page, &out), 0);
	assert_int_equal(out.scan, 0);
	assert_int_equal(out.filter, -1);
	assert_int_equal(out.since_mono_ms, 0);
}

static void
test_folder_is_emptied(void **state)
{
	char folder[] = "/tmp/postern-test-XXXXXX", path[128];
	struct err err = {0};

	(void)state;
	assert_non_null(mkdtemp(folder));
	(void)snprintf(path, sizeof(path), "%s/a", folder);
	assert_int_equal(mkdir(path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/a/b", folder);
	assert_true(close(open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600)) == 0);
	(void)snprintf(path, sizeof(path), "%s/link", folder);
	assert_int_equal(symlink("/etc", path), 0);
	assert_int_equal(limits_empty_folder(folder, &err), 0);
	assert_int_equal(rmdir(folder), 0); /* it was empty */
	assert_int_equal(access("/etc", F_OK), 0);
	assert_int_equal(limits_empty_folder("/dev/null/x", &err), -E_IO);
}

/* Folders in folders, some without rights; the path to the last is longer than any may be. */
static void
make_labyrinth(const char *folder, int depth)
{
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC), next;

	for (int i = 0; i < depth; i++) {
		must(mkdirat(fd, "x", 0700) == 0 && mkdirat(fd, "closed", 0) == 0);
		must(mkdirat(fd, "y", 0700) == 0 && mkdirat(fd, "y/z", 0) == 0);
		next = openat(fd, "x", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		must(next >= 0);
		(void)close(fd);
		fd = next;
	}
	(void)close(fd);
}

/* What a worker leaves on purpose does not keep the next one from starting.  Not as root, whom no rights stop. */
static void
test_labyrinth_is_emptied(void **state)
{
	enum { SOMEBODY = 64999, DEPTH = 3000 };
	char folder[] = "/tmp/postern-test-XXXXXX";
	int status;
	pid_t pid;

	(void)state;
	assert_non_null(mkdtemp(folder));
	if (geteuid() == 0)
		assert_int_equal(chown(folder, SOMEBODY, SOMEBODY), 0);
	pid = fork();
	if (pid == 0) {
		struct err err = {0};

		must(geteuid() != 0 || setresuid(SOMEBODY, SOMEBODY, SOMEBODY) == 0);
		make_labyrinth(folder, DEPTH);
		_exit(limits_empty_folder(folder, &err) < 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	assert_int_equal(rmdir(folder), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_policies_in_bundles_and_versions, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		test_crash_is_laid_at_its_filters_door, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_deadline, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_deadline_after_a_torn_page, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_a_worker_has_its_own_page_only, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_front_may_kill, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_workers_end_with_their_front, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_workers_of_two_fronts, setup, teardown),
	    cmocka_unit_test(test_page),
	    cmocka_unit_test(test_folder_is_emptied),
	    cmocka_unit_test(test_labyrinth_is_emptied),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* How workers end in good order: after so many messages, after a suspicious one, with their zygote. */
#include "tests/unit/worker_world.h"

static void
test_answers_then_leaves(void **state)
{
	struct state *s = *state;
	struct arrival w, died, next;

	w = begin(s);
	for (uint64_t id = 1; id <= MESSAGES_MAX; id++) {
		send_scan(w.fd, id, fine, id % 2 == 0);
		if (id == MESSAGES_MAX) /* told before front could send it another */
			assert_int_equal(read_one(s, w.fd).type, WORKER_LEAVING);
		assert_result(s, w.fd, id, 0);
	}
	died = expect(s, FILTER_DIED);
	assert_int_equal(died.id, w.id);
	assert_int_equal(died.death.signal, 0);
	assert_int_equal(died.death.exit_status, 0);
	assert_int_equal(died.death.scan, 0);
	next = expect(s, FILTER_WORKER);
	assert_true(next.id > w.id);
	(void)close(w.fd);
	(void)close(next.fd);
}

/* Its time is over with its first message: no count of them is waited for. */
static void
test_old_worker_leaves(void **state)
{
	struct state *s = *state;
	const struct zygote_settings settings = {
	    .memory_fd = -1, .n_workers = 1, .folder = s->f->folder, .age_max_ms = -1};
	struct arrival w;
	int ends[2];

	s->zygote = zygote_new(s->loop, s->f->chain, &settings);
	channel_pair(ends);
	s->front = ends[0];
	zygote_serve(s->zygote, 0, ends[1]);
	w = expect(s, FILTER_WORKER);
	send_policy(w.fd, 1);
	send_scan(w.fd, 1, fine, true);
	assert_int_equal(read_one(s, w.fd).type, WORKER_LEAVING);
	assert_result(s, w.fd, 1, 0);
	assert_int_equal(expect(s, FILTER_DIED).death.exit_status, 0);
	(void)close(w.fd);
}

/* A message that is not to be trusted, or a worker that is not: a fresh one takes the next. */
static void
test_suspicious_messages_end_a_worker(void **state)
{
	static const struct {
		const char *mail;
		int outcome;
	} rows[] = {{"Subject: x\r\n\r\nfail", -1}, {"Subject: x\r\n\r\nunscannable", UNSCANNABLE},
	    {"Subject: x\r\n\r\nmalformed", MALFORMED}};
	struct state *s = *state;

	start(s, 1);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct arrival w = expect(s, FILTER_WORKER);

		send_policy(w.fd, 1);
		send_scan(w.fd, 6, fine, true); /* it would go on after this one */
		assert_result(s, w.fd, 6, SEEN);
		send_scan(w.fd, 7, rows[i].mail, true);
		assert_int_equal(read_one(s, w.fd).type, WORKER_LEAVING);
		assert_result(s, w.fd, 7, rows[i].outcome);
		assert_int_equal(expect(s, FILTER_DIED).death.exit_status, 0);
		(void)close(w.fd);
	}
}

/* What the zygote has does not count: a large engine leaves a message as much as a small one. */
static void
test_memory_limit(void **state)
{
	struct state *s = *state;
	const struct zygote_settings settings = {.memory_fd = limits_memory_open(),
	    .n_workers = 1,
	    .folder = s->f->folder,
	    .messages_max = MESSAGES_MAX};
	struct arrival w;
	int ends[2];

	assert_true(settings.memory_fd >= 0);
	assert_true(has_memory(MORE_MEMORY)); /* here there is no such limit */
	s->zygote = zygote_new(s->loop, s->f->chain, &settings);
	channel_pair(ends);
	s->front = ends[0];
	zygote_serve(s->zygote, 0, ends[1]);
	w = expect(s, FILTER_WORKER);
	send_policy(w.fd, 1);
	send_scan(w.fd, 1, "Subject: x\r\n\r\ngreedy", true);
	assert_result(s, w.fd, 1, SEEN);
	(void)close(w.fd);
	(void)close(settings.memory_fd);
}

static void
count_call(void *arg)
{
	++*(int *)arg;
}

/* No birth any more, neither for one that ends nor for one that was late; the busy one finishes. */
static void
test_drain(void **state)
{
	struct state *s = *state;
	struct arrival a, b;
	int n_drained = 0;

	start(s, 2);
	a = expect(s, FILTER_WORKER);
	b = expect(s, FILTER_WORKER);
	zygote_drain(s->zygote, count_call, &n_drained);
	assert_int_equal(n_drained, 0);
	(void)close(b.fd); /* front has no more work for it */
	assert_int_equal(expect(s, FILTER_DIED).id, b.id);
	assert_int_equal(n_drained, 0);
	send_policy(a.fd, 1);
	send_scan(a.fd, 1, fine, true);
	assert_result(s, a.fd, 1, 0);
	(void)close(a.fd);
	assert_int_equal(expect(s, FILTER_DIED).id, a.id);
	assert_int_equal(n_drained, 1);
	assert_false(is_readable(s->front));
}

/* What was not loaded is there now: who was at work is replaced, too, and is told of as one that has left. */
static void
test_refresh_blames_nobody(void **state)
{
	struct state *s = *state;
	struct arrival a, died;

	a = begin(s);
	send_scan(a.fd, 1, "Subject: x\r\n\r\nhang", true);
	zygote_refresh(s->zygote);
	died = expect(s, FILTER_DIED);
	assert_int_equal(died.id, a.id);
	assert_int_equal(died.death.signal, 0);
	assert_int_equal(died.death.exit_status, 0);
	assert_int_equal(died.death.filter, -1);
	assert_int_equal(died.death.scan, 0);
	(void)close(a.fd);
	a = expect(s, FILTER_WORKER);
	send_policy(a.fd, 1);
	send_scan(a.fd, 1, fine, true);
	assert_result(s, a.fd, 1, 0);
	(void)close(a.fd);
}

static void
test_drain_of_nothing(void **state)
{
	struct state *s = *state;
	int n_drained = 0;

	start(s, 1);
	(void)close(expect(s, FILTER_WORKER).fd);
	(void)close(s->front); /* the relay ends: its worker is killed with it */
	s->front = -1;
	zygote_drain(s->zygote, count_call, &n_drained);
	for (int64_t end = clock_mono_ms() + PATIENCE_MS; n_drained == 0 && clock_mono_ms() < end;)
		loop_turn(s->loop, 20);
	assert_int_equal(n_drained, 1);
	zygote_drain(s->zygote, count_call, &n_drained); /* there is none: at once */
	assert_int_equal(n_drained, 2);
}

/* Two zygotes at one folder, as when one follows the other: neither empties what the other's work in. */
static void
test_folders_of_two_zygotes(void **state)
{
	struct state *s = *state;
	char path[128];
	struct stat st;
	const struct zygote_settings settings = {.memory_fd = -1,
	    .n_workers = 1,
	    .folder = s->f->folder,
	    .first_folder = ZYGOTE_WORKERS_MAX};
	int ends[2];

	(void)snprintf(path, sizeof(path), "%s/0", s->f->folder);
	assert_int_equal(mkdir(path, 0700), 0);
	(void)snprintf(path, sizeof(path), "%s/0/in-use", s->f->folder);
	assert_int_equal(mkdir(path, 0700), 0);
	s->zygote = zygote_new(s->loop, s->f->chain, &settings);
	channel_pair(ends);
	s->front = ends[0];
	zygote_serve(s->zygote, 0, ends[1]);
	(void)close(expect(s, FILTER_WORKER).fd);
	assert_int_equal(stat(path, &st), 0);
	(void)snprintf(path, sizeof(path), "%s/%d", s->f->folder, ZYGOTE_WORKERS_MAX);
	assert_int_equal(stat(path, &st), 0);
}

struct trial {
	int n_told;
	bool is_fine;
};

static void
on_tried(void *arg, bool is_fine)
{
	struct trial *t = arg;

	t->n_told++;
	t->is_fine = is_fine;
}

static int
no_sandbox(const char *tmpdir, struct err *err)
{
	(void)tmpdir;
	return err_set(err, E_IO, "no sandbox today");
}

static struct trial
try_one(struct state *s, worker_sandbox *sandbox)
{
	const struct zygote_settings settings = {
	    .memory_fd = -1, .n_workers = 1, .folder = s->f->folder, .sandbox = sandbox};
	struct trial t = {0};

	s->zygote = zygote_new(s->loop, s->f->chain, &settings);
	zygote_try(s->zygote, on_tried, &t);
	for (int64_t end = clock_mono_ms() + PATIENCE_MS; t.n_told == 0 && clock_mono_ms() < end;)
		loop_turn(s->loop, 20);
	assert_int_equal(t.n_told, 1);
	return t;
}

static void
test_trial(void **state)
{
	struct state *s = *state;
	struct arrival w;
	int ends[2];

	assert_true(try_one(s, NULL).is_fine);
	channel_pair(ends);
	s->front = ends[0];
	zygote_serve(s->zygote, 0, ends[1]);
	w = expect(s, FILTER_WORKER); /* as if there had been none before */
	send_policy(w.fd, 1);
	send_scan(w.fd, 1, fine, true);
	assert_result(s, w.fd, 1, SEEN);
	(void)close(w.fd);
}

static void
test_trial_of_a_worker_that_cannot_start(void **state)
{
	struct state *s = *state;
	char path[128];
	FILE *in_the_way;

	assert_false(try_one(s, no_sandbox).is_fine);
	zygote_free(&s->zygote);
	(void)snprintf(path, sizeof(path), "%s/0", s->f->folder);
	assert_int_equal(rmdir(path), 0);
	in_the_way = fopen(path, "we");
	assert_non_null(in_the_way);
	assert_int_equal(fclose(in_the_way), 0);
	assert_false(try_one(s, NULL).is_fine);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_answers_then_leaves),
	    TEST(test_old_worker_leaves),
	    TEST(test_suspicious_messages_end_a_worker),
	    TEST(test_memory_limit),
	    TEST(test_drain),
	    TEST(test_refresh_blames_nobody),
	    TEST(test_drain_of_nothing),
	    TEST(test_folders_of_two_zygotes),
	    TEST(test_trial),
	    TEST(test_trial_of_a_worker_that_cannot_start),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Orders and listings over a long queue: slices, pages, and what comes and goes meanwhile. */
#include "relay/process/queue_jobs.h"
#include "relay/base/clock.h"
#include "relay/base/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>
#include <unistd.h>

enum { MESSAGES = 6000, TURNS_MAX = 2000, DUE_MS = 1000000 };
#define WALL_MS 1700000000000LL

struct world {
	struct loop *loop;
	struct role role;
	struct delivery d;
	struct queue_jobs *jobs;
	int client;
	struct buf packet, answer;
	struct control_end end;
	char more[64];
	int n_turns;
	int64_t now_ms;
};

static const struct channel_events no_events;

static void
add(struct world *w, int number)
{
	static const struct commit_rcpt rcpts[] = {
	    {.address = {"bob@one.example", 15}, .gateway = {"inside", 6}}};
	static const struct commit_copy copy = {.fate = COPY_DELIVER};
	struct envelope envelope = {.flow = SPAN("inbound"),
	    .from = number % 2 ? SPAN("odd@example.org") : SPAN("even@example.org"),
	    .received_ms = WALL_MS - 5000,
	    .copies = &copy,
	    .n_copies = 1,
	    .rcpts = rcpts,
	    .n_rcpts = 1};
	struct buf bytes = BUF_INIT(4096);
	struct queue_entry *e;
	char id[16];

	(void)snprintf(id, sizeof(id), "ID%05d", number);
	envelope_put(&bytes, &envelope);
	e = entry_new(span_str(id), buf_span(&bytes));
	assert_non_null(e);
	buf_free(&bytes);
	assert_int_equal(queue_add(w->d.queue, e), 0);
	queue_defer(w->d.queue, &e->legs[0], DUE_MS);
}

static int
set_up(void **state)
{
	struct world *w = mem_alloc(sizeof(*w));
	int ends[2];

	w->now_ms = 1000;
	clock_fake(w->now_ms, WALL_MS);
	channel_pair(ends);
	w->loop = loop_new();
	w->role.loop = w->loop;
	w->role.control = channel_new(w->loop, ends[0], &no_events, w);
	w->client = ends[1];
	w->d.queue = queue_new();
	w->d.loop = w->loop;
	w->jobs = queue_jobs_new(&w->role, &w->d);
	w->answer.max = 64 * 1024 * 1024;
	for (int i = 0; i < MESSAGES; i++)
		add(w, i);
	*state = w;
	return 0;
}

static int
tear_down(void **state)
{
	struct world *w = *state;

	queue_jobs_free(&w->jobs);
	queue_jobs_free(&w->jobs); /* twice is harmless */
	queue_free(&w->d.queue);
	channel_free(&w->role.control);
	loop_free(&w->loop);
	(void)close(w->client);
	buf_free(&w->packet);
	buf_free(&w->answer);
	clock_fake(0, -1);
	mem_free(w);
	return 0;
}

static struct selection
parse(const char *words)
{
	struct span list[8], rest = span_str(words);
	struct selection s;
	struct err err = {0};
	size_t n = 0;

	while (rest.n > 0)
		list[n++] = span_cut(&rest, '|');
	assert_int_equal(selection_parse(list, n, SPAN("joe"), clock_wall_ms(), &s, &err), 0);
	return s;
}

/* Until the end of the page of request `id`; its text is added to w->answer. */
static int
take_page(struct world *w, uint64_t id)
{
	struct message m;

	w->n_turns = 0;
	for (int i = 0; i < TURNS_MAX; i++) {
		clock_fake(++w->now_ms, WALL_MS);
		loop_turn(w->loop, 0);
		w->n_turns++;
		while (channel_receive(w->client, &m, &w->packet, 0) == 0) {
			assert_int_equal(m.id, id);
			if (m.type == CONTROL_CHUNK) {
				assert_int_equal(buf_add_span(&w->answer, m.payload), 0);
				continue;
			}
			assert_int_equal(control_end_get(m.payload, &w->end), 0);
			w->more[0] = '\0';
			if (w->end.status == EXIT_OK)
				assert_true(span_copy(w->end.text, w->more, sizeof(w->more)));
			return w->end.status;
		}
	}
	fail_msg("no end");
	return -1;
}

static struct span
token(const struct world *w)
{
	assert_true(span_starts(span_str(w->more), SPAN("more ")));
	return span_skip(span_str(w->more), 5);
}

static size_t
lines(const struct world *w)
{
	size_t n = 0;

	for (size_t i = 0; i < w->answer.n; i++)
		n += w->answer.p[i] == '\n';
	return n;
}

static bool
has(const struct world *w, const char *text)
{
	return w->answer.n > 0 && memmem(w->answer.p, w->answer.n, text, strlen(text)) != NULL;
}

static void
remove_entry(struct world *w, const char *id)
{
	struct queue_entry *e = queue_find(w->d.queue, span_str(id));

	assert_non_null(e);
	queue_remove(w->d.queue, &e);
}

/* All of it, oldest first, each once, in pages; a turn does no more than a slice. */
static void
test_list_in_pages(void **state)
{
	struct world *w = *state;
	struct selection s = parse("");
	uint64_t id = 1;
	char last[16] = "", want[16];
	struct span rest;
	int n_pages = 1, number = 0;

	queue_jobs_list(w->jobs, id, &s);
	assert_null(s.text); /* taken */
	assert_int_equal(take_page(w, id), EXIT_OK);
	assert_true(w->n_turns >= QUEUE_PAGE_BYTES / 600 / QUEUE_SLICE_MESSAGES);
	while (w->more[0] != '\0') {
		queue_jobs_more(w->jobs, ++id, token(w));
		assert_int_equal(take_page(w, id), EXIT_OK);
		n_pages++;
	}
	assert_true(n_pages >= 2);
	assert_int_equal(lines(w), MESSAGES);
	rest = buf_span(&w->answer);
	while (rest.n > 0) {
		struct span line = span_cut(&rest, '\n');

		(void)snprintf(want, sizeof(want), "ID%05d", number++);
		assert_true(span_copy(span_take(span_skip(line, 7), 7), last, sizeof(last)));
		assert_string_equal(last, want);
	}
	queue_jobs_more(w->jobs, ++id, SPAN("1"));
	assert_int_equal(take_page(w, id), EXIT_TEMPFAIL); /* it is over */
}

/* Messages come and go while somebody reads slowly, the next one among them. */
static void
test_list_of_a_queue_that_changes(void **state)
{
	struct world *w = *state;
	struct selection s = parse("--from|even@example.org");
	size_t n_first;
	char next[16];

	queue_jobs_list(w->jobs, 1, &s);
	assert_int_equal(take_page(w, 1), EXIT_OK);
	n_first = lines(w);
	assert_true(n_first > 0 && n_first < MESSAGES / 2);
	/* Between the last that was shown and the next even one. */
	(void)snprintf(next, sizeof(next), "ID%05zu", 2 * n_first);
	remove_entry(w, next);
	(void)snprintf(next, sizeof(next), "ID%05zu", 2 * n_first - 1);
	remove_entry(w, next);
	(void)snprintf(next, sizeof(next), "ID%05zu", 2 * n_first + 1);
	remove_entry(w, next);
	remove_entry(w, "ID05999");
	queue_jobs_more(w->jobs, 2, token(w));
	assert_int_equal(take_page(w, 2), EXIT_OK);
	while (w->more[0] != '\0') {
		queue_jobs_more(w->jobs, 2, token(w));
		assert_int_equal(take_page(w, 2), EXIT_OK);
	}
	assert_int_equal(lines(w), MESSAGES / 2 - 1);
}

/* They become due in batches, so that they do not come all at once. */
static void
test_retry_all_in_batches(void **state)
{
	struct world *w = *state;
	struct selection s = parse("all");
	struct queue_leg *leg;
	int n = 0;

	queue_jobs_order(w->jobs, 1, ADMIN_RETRY, &s);
	assert_int_equal(take_page(w, 1), EXIT_OK);
	assert_true(w->n_turns >= MESSAGES / QUEUE_SLICE_MESSAGES);
	assert_true(has(w, "\"messages\":6000,\"done\":6000,"));
	assert_string_equal(w->more, "");
	for (int step = 0; step < MESSAGES / QUEUE_RETRY_BATCH; step++) {
		while ((leg = queue_take_due(w->d.queue, w->now_ms + step * QUEUE_RETRY_STEP_MS)) !=
		       NULL)
			n++;
		assert_int_equal(n, (step + 1) * QUEUE_RETRY_BATCH);
	}
}

static void
test_ids_and_what_is_not_there(void **state)
{
	struct world *w = *state;
	struct selection s = parse("ID00001 ID99999|id00002");

	queue_jobs_order(w->jobs, 1, ADMIN_RETRY, &s);
	assert_int_equal(take_page(w, 1), EXIT_OK);
	assert_true(has(w, "\"messages\":3,\"done\":2,"));
	assert_true(has(w, "\"not_found\":1,"));
	assert_true(has(w, "{\"id\":\"ID99999\",\"why\":\"there is no such message"));
}

static void
test_limit(void **state)
{
	struct world *w = *state;
	struct selection s = parse("--from|odd@example.org|--limit|3");

	queue_jobs_list(w->jobs, 1, &s);
	assert_int_equal(take_page(w, 1), EXIT_OK);
	assert_int_equal(lines(w), 3);
	s = parse("all|--limit|7");
	queue_jobs_order(w->jobs, 2, ADMIN_RETRY, &s);
	assert_int_equal(take_page(w, 2), EXIT_OK);
	assert_true(has(w, "\"done\":7,"));
}

/* Who reads no further is forgotten when others need the place, the longest first. */
static void
test_places(void **state)
{
	struct world *w = *state;
	char first[64], second[64];

	for (uint64_t i = 0; i < QUEUE_JOBS_MAX + 1; i++) {
		struct selection s = parse("");

		queue_jobs_list(w->jobs, i, &s);
		assert_int_equal(take_page(w, i), EXIT_OK);
		if (i < 2)
			assert_true(span_copy(token(w), i == 0 ? first : second, 64));
	}
	queue_jobs_more(w->jobs, 100, span_str(first));
	assert_int_equal(take_page(w, 100), EXIT_TEMPFAIL);
	queue_jobs_more(w->jobs, 101, span_str(second));
	assert_int_equal(take_page(w, 101), EXIT_OK);
	queue_jobs_more(w->jobs, 102, SPAN("nonsense"));
	assert_int_equal(take_page(w, 102), EXIT_TEMPFAIL);
}

static void
test_no_place(void **state)
{
	struct world *w = *state;
	struct message m;
	struct control_end end;
	bool is_refused = false;

	for (uint64_t i = 0; i <= QUEUE_JOBS_MAX; i++) {
		struct selection s = parse("");

		queue_jobs_list(w->jobs, i, &s); /* all at work */
	}
	loop_turn(w->loop, 0);
	while (channel_receive(w->client, &m, &w->packet, 0) == 0)
		if (m.type == CONTROL_END && m.id == QUEUE_JOBS_MAX) {
			assert_int_equal(control_end_get(m.payload, &end), 0);
			is_refused = end.status == EXIT_TEMPFAIL;
		}
	assert_true(is_refused);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    TEST(test_list_in_pages),
	    TEST(test_list_of_a_queue_that_changes),
	    TEST(test_retry_all_in_batches),
	    TEST(test_ids_and_what_is_not_there),
	    TEST(test_limit),
	    TEST(test_places),
	    TEST(test_no_place),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

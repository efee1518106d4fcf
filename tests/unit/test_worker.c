/*
 * The zygote and its workers with a filter that does what the mail says: answers, hangs, crashes,
 * says failure.  The test is the front at the other end of the channel.
 */
#include "tests/unit/filter_fixture.h"
#include "filters/worker/limits.h"
#include "filters/worker/zygote.h"
#include "relay/base/clock.h"
#include "relay/ipc/policy_bundle.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>

enum { PATIENCE_MS = 20000, MESSAGES_MAX = 3, EVENTS_MAX = 64 };

static const struct pnf_host *host;

static int
fake_load(const struct pnf_host *h, const struct pnf_config *c, void **self, char *why, size_t n)
{
	(void)c;
	(void)self;
	(void)why;
	(void)n;
	host = h;
	return PNF_LOADED;
}

/* The pages of workers that this process can write; the last of them. */
static int
count_pages(struct worker_page **page)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	int n = 0;

	while (maps != NULL && fgets(line, sizeof(line), maps) != NULL)
		if (strstr(line, " rw-s ") != NULL && strstr(line, "/dev/zero") != NULL) {
			*page = (struct worker_page *)(uintptr_t)strtoull(line, NULL, 16);
			n++;
		}
	if (maps != NULL)
		(void)fclose(maps);
	return n;
}

/* Dies inside of page_write(). */
static void
die_writing(void)
{
	struct worker_page *page = NULL;

	if (count_pages(&page) == 1)
		atomic_fetch_add(&page->turn, 1);
	(void)raise(SIGKILL);
}

/* Whether this process gets so much more memory; nothing is written to it. */
static bool
has_memory(uint64_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p != MAP_FAILED && munmap(p, bytes) == 0;
}

static void
fake_eom(void *self, struct pnf_msg *m, struct pnf_span raw)
{
	struct span body = span_of(raw.p, raw.n);

	(void)self;
	if (span_ends_nocase(body, SPAN("hang")))
		for (;;)
			(void)pause();
	if (span_ends_nocase(body, SPAN("crash")))
		(void)raise(SIGKILL); /* as a sandbox's kill or a bug: no handler runs */
	if (span_ends_nocase(body, SPAN("torn")))
		die_writing();
	if (span_ends_nocase(body, SPAN("greedy")) &&
	    (!has_memory(WORKER_MEMORY_MAX / 2) || has_memory(WORKER_MEMORY_MAX)))
		(void)host->outcome(m, "unscannable", (struct pnf_span){"limit", 5});
	else if (span_ends_nocase(body, SPAN("unscannable")))
		(void)host->outcome(m, "unscannable", (struct pnf_span){"limit", 5});
	else if (span_ends_nocase(body, SPAN("malformed")))
		(void)host->outcome(m, "malformed", (struct pnf_span){"odd", 3});
	else if (span_ends_nocase(body, SPAN("fail")) ||
		 (span_ends_nocase(body, SPAN("alone")) &&
		     count_pages(&(struct worker_page *){0}) != 1))
		(void)host->outcome(m, "failure", (struct pnf_span){"said so", 7});
	else
		(void)host->outcome(m, "seen", (struct pnf_span){"ok", 2});
}

enum { SEEN, UNSCANNABLE, MALFORMED };
static const struct pnf_outcome outcomes[] = {[SEEN] = {"seen", "tag", "seen"},
    [UNSCANNABLE] = {"unscannable", "tag", "not all of it"},
    [MALFORMED] = {"malformed", "tag", "odd"},
    {.name = NULL}};
static const struct pnf_option options[] = {{.name = NULL}};
static const struct pnf_about calm_about = {.name = "calm",
    .version = "1",
    .summary = "does nothing",
    .outcomes = outcomes,
    .options = options};
static const struct pnf_about about = {.name = "obeys",
    .version = "1",
    .summary = "obeys the mail",
    .outcomes = outcomes,
    .options = options};
static const struct pnf_about *const abouts[] = {&about, &calm_about, NULL};
static PNF_FILTER(obeys, .about = &about, .load = fake_load, .eom = fake_eom);
static PNF_FILTER(calm, .about = &calm_about);

static const struct pnf_filter *
plugins(const struct pnf_about *wanted)
{
	return wanted == &about ? &obeys : &calm;
}

struct arrival {
	uint16_t type;
	uint64_t id;
	int fd;
	struct worker_death death;
};

struct state {
	struct fixture *f;
	struct loop *loop;
	struct zygote *zygote;
	int front; /* our end */
	struct buf buf;
	struct arrival early[EVENTS_MAX]; /* of another kind than was waited for */
	size_t n_early;
};

static void
start(struct state *s, unsigned n_workers)
{
	const struct zygote_settings settings = {.memory_fd = -1,
	    .n_workers = n_workers,
	    .folder = s->f->folder,
	    .messages_max = MESSAGES_MAX};
	int ends[2];

	s->zygote = zygote_new(s->loop, s->f->chain, &settings);
	channel_pair(ends);
	s->front = ends[0];
	zygote_serve(s->zygote, 0, ends[1]);
}

static int
setup(void **state)
{
	struct state *s = mem_alloc(sizeof(*s));

	s->f = fixture_new("\"calm\", \"obeys\"",
	    "filter \"obeys\" { deadline = 1s }\nfilter \"calm\" { deadline = 60s }", abouts,
	    plugins);
	assert_int_equal(chain_load(s->f->chain, &s->f->err), 0);
	s->loop = loop_new();
	s->buf = BUF_INIT(CHANNEL_PAYLOAD_MAX);
	s->front = -1;
	*state = s;
	return 0;
}

static int
teardown(void **state)
{
	struct state *s = *state;

	zygote_free(&s->zygote);
	if (s->front >= 0)
		(void)close(s->front);
	loop_free(&s->loop);
	buf_free(&s->buf);
	fixture_free(s->f);
	mem_free(s);
	return 0;
}

static struct arrival
read_one(struct state *s, int fd)
{
	struct message m;
	struct arrival a;

	assert_int_equal(channel_receive(fd, &m, &s->buf, PATIENCE_MS), 0);
	a = (struct arrival){.type = m.type, .id = m.id, .fd = m.fds[0]};
	if (fd == s->front && m.type == FILTER_DIED)
		assert_int_equal(worker_death_get(m.payload, &a.death), 0);
	return a;
}

static bool
is_readable(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	return n >= 0 || errno != EAGAIN;
}

/* The next message of this type from the zygote, whose loop runs here meanwhile. */
static struct arrival
next_from_zygote(struct state *s, uint16_t type)
{
	int64_t end = clock_mono_ms() + PATIENCE_MS;

	for (size_t i = 0; i < s->n_early; i++)
		if (s->early[i].type == type) {
			struct arrival a = s->early[i];

			memmove(&s->early[i], &s->early[i + 1],
			    (--s->n_early - i) * sizeof(s->early[0]));
			return a;
		}
	while (clock_mono_ms() < end) {
		struct arrival a;

		loop_turn(s->loop, 20);
		if (!is_readable(s->front))
			continue;
		a = read_one(s, s->front);
		if (a.type == type)
			return a;
		assert_true(s->n_early < EVENTS_MAX);
		s->early[s->n_early++] = a;
	}
	fail_msg("no message %u from the zygote", type);
	return (struct arrival){0};
}

/* The same; a worker has started when it is returned. */
static struct arrival
expect(struct state *s, uint16_t type)
{
	struct arrival a = next_from_zygote(s, type);

	if (type == FILTER_WORKER)
		assert_int_equal(read_one(s, a.fd).type, WORKER_READY);
	return a;
}

static const char policy[] = "tag a subject /x/\n";

static void
send_policy(int worker, uint64_t version)
{
	int fds[CHANNEL_FDS];

	for (int i = 0; i < CHANNEL_FDS; i++)
		fds[i] = -1;
	fds[0] = channel_seal(span_str(policy), "policy");
	assert_true(fds[0] >= 0);
	assert_int_equal(
	    channel_send_now(worker, WORKER_POLICY, version, (struct span){0}, fds), 0);
	(void)close(fds[0]);
}

static void
send_scan(int worker, uint64_t id, const char *mail, bool is_inline)
{
	struct scan_request r = {.id = SPAN("01ARZ3NDEKTSV4RRFFQ69G5FAV"),
	    .policy = 1,
	    .is_inline = is_inline,
	    .body = span_str(mail)};
	struct buf b = BUF_INIT(65536);
	int fds[CHANNEL_FDS];

	for (int i = 0; i < CHANNEL_FDS; i++)
		fds[i] = -1;
	if (!is_inline)
		fds[0] = channel_seal(span_str(mail), "mail");
	scan_request_put(&b, &r);
	assert_int_equal(channel_send_now(worker, WORKER_SCAN, id, buf_span(&b), fds), 0);
	if (!is_inline)
		(void)close(fds[0]);
	buf_free(&b);
}

static void
assert_result(struct state *s, int worker, uint64_t id, int outcome)
{
	struct scan_result *r = mem_alloc(sizeof(*r));
	struct message m;

	assert_int_equal(channel_receive(worker, &m, &s->buf, PATIENCE_MS), 0);
	assert_int_equal(m.type, WORKER_RESULT);
	assert_int_equal(m.id, id);
	assert_int_equal(scan_result_get(m.payload, &s->f->config->flows[0], r), 0);
	assert_int_equal(r->n_outcomes, 1);
	assert_int_equal(r->outcomes[0].filter, 1);
	assert_int_equal(r->outcomes[0].outcome, outcome);
	assert_int_equal(r->truths.n, 1);
	assert_int_equal(r->truths.p[0], TRUTH_TRUE);
	mem_free(r);
}

static const char fine[] = "Subject: x\r\n\r\nfine";

static void
test_answers_then_leaves(void **state)
{
	struct state *s = *state;
	struct arrival w, died, next;

	start(s, 1);
	w = expect(s, FILTER_WORKER);
	send_policy(w.fd, 1);
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
	assert_true(has_memory(WORKER_MEMORY_MAX)); /* here there is no such limit */
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

	start(s, 1);
	w = expect(s, FILTER_WORKER);
	send_policy(w.fd, 1);
	send_scan(w.fd, 42, "Subject: x\r\n\r\ncrash", true);
	died = expect(s, FILTER_DIED);
	assert_int_equal(died.id, w.id);
	assert_int_equal(died.death.signal, SIGKILL);
	assert_int_equal(died.death.filter, 1);
	assert_int_equal(died.death.scan, 42);
	assert_false(died.death.was_deadline);
	(void)close(w.fd);
	w = expect(s, FILTER_WORKER); /* and the next one works */
	send_policy(w.fd, 1);
	send_scan(w.fd, 43, fine, true);
	assert_result(s, w.fd, 43, 0);
	(void)close(w.fd);
}

static void
test_deadline(void **state)
{
	struct state *s = *state;
	struct arrival w, died;

	start(s, 1);
	w = expect(s, FILTER_WORKER);
	send_policy(w.fd, 1);
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

	start(s, 1);
	w = expect(s, FILTER_WORKER);
	send_policy(w.fd, 1);
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

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    cmocka_unit_test_setup_teardown(test_answers_then_leaves, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_suspicious_messages_end_a_worker, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_memory_limit, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_policies_in_bundles_and_versions, setup, teardown),
	    cmocka_unit_test_setup_teardown(
		test_crash_is_laid_at_its_filters_door, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_deadline, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_deadline_after_a_torn_page, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_a_worker_has_its_own_page_only, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_front_may_kill, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_workers_end_with_their_front, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_workers_of_two_fronts, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_drain, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_drain_of_nothing, setup, teardown),
	    cmocka_unit_test_setup_teardown(test_folders_of_two_zygotes, setup, teardown),
	    cmocka_unit_test(test_page),
	    cmocka_unit_test(test_folder_is_emptied),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

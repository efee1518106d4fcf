/*
 * worker_world.h - a zygote and its workers with a filter that does what the mail says: answers, hangs,
 * crashes, says failure.  The test is the front at the other end of the channel.
 */
#ifndef UNIT_WORKER_WORLD_H
#define UNIT_WORKER_WORLD_H
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
/* Over a worker's limit, however much of its heap was free when it was forked. */
#define MORE_MEMORY (WORKER_MEMORY_MAX + WORKER_MEMORY_MAX / 2)

/* The pages of workers that this process can write; the last of them. */
static inline int
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
static inline void
die_writing(void)
{
	struct worker_page *page = NULL;

	if (count_pages(&page) == 1)
		atomic_fetch_add(&page->turn, 1);
	(void)raise(SIGKILL);
}

/* Whether this process gets so much more memory; nothing is written to it. */
static inline bool
has_memory(uint64_t bytes)
{
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return p != MAP_FAILED && munmap(p, bytes) == 0;
}

static inline void
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
	    (!has_memory(WORKER_MEMORY_MAX / 2) || has_memory(MORE_MEMORY)))
		(void)fixture_host->outcome(m, "unscannable", (struct pnf_span){"limit", 5});
	else if (span_ends_nocase(body, SPAN("unscannable")))
		(void)fixture_host->outcome(m, "unscannable", (struct pnf_span){"limit", 5});
	else if (span_ends_nocase(body, SPAN("malformed")))
		(void)fixture_host->outcome(m, "malformed", (struct pnf_span){"odd", 3});
	else if (span_ends_nocase(body, SPAN("fail")) ||
		 (span_ends_nocase(body, SPAN("alone")) &&
		     count_pages(&(struct worker_page *){0}) != 1))
		(void)fixture_host->outcome(m, "failure", (struct pnf_span){"said so", 7});
	else
		(void)fixture_host->outcome(m, "seen", (struct pnf_span){"ok", 2});
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
static PNF_FILTER(obeys, .about = &about, .load = fixture_keep_host, .eom = fake_eom);
static PNF_FILTER(calm, .about = &calm_about);

static inline const struct pnf_filter *
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

static inline void
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

static inline int
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

static inline int
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

static inline struct arrival
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

static inline bool
is_readable(int fd)
{
	char byte;
	ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

	return n >= 0 || errno != EAGAIN;
}

/* The next message of this type from the zygote, whose loop runs here meanwhile. */
static inline struct arrival
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
static inline struct arrival
expect(struct state *s, uint16_t type)
{
	struct arrival a = next_from_zygote(s, type);

	if (type == FILTER_WORKER)
		assert_int_equal(read_one(s, a.fd).type, WORKER_READY);
	return a;
}

static const char fine[] = "Subject: x\r\n\r\nfine";
static const char policy[] = "tag a subject /x/\n";

static inline void
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

static inline void
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

/* One worker, ready, with the policy that scans ask for. */
static inline struct arrival
begin(struct state *s)
{
	struct arrival w;

	start(s, 1);
	w = expect(s, FILTER_WORKER);
	send_policy(w.fd, 1);
	return w;
}

static inline void
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

/* The next one, which works. */
static inline void
assert_next_works(struct state *s, uint64_t id)
{
	struct arrival w = expect(s, FILTER_WORKER);

	send_policy(w.fd, 1);
	send_scan(w.fd, id, fine, true);
	assert_result(s, w.fd, id, 0);
	(void)close(w.fd);
}

#endif

/* journal: writes down every event, and reads them back for `trace`. */
#include "policy/journal/read.h"
#include "policy/journal/write.h"
#include "policy/rate/grey_file.h"
#include "relay/base/clock.h"
#include "relay/base/json.h"
#include "relay/base/list.h"
#include "relay/base/log.h"
#include "relay/process/role.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

enum {
	PATH_SIZE = 4096,
	STATUS_BYTES_MAX = 4096,
	TRACES_MAX = 8,                /* running at once */
	TRACE_QUEUE_MAX = 1024 * 1024, /* bytes not yet taken by the supervisor before we pause */
	TRACE_PAUSE_MS = 20,
	WORDS_BYTES_MAX = CONTROL_WORDS_MAX * CONTROL_WORD_MAX,
	REPLY_BYTES_MAX = JOURNAL_SLICE + 2 * JOURNAL_EVENT_MAX
};

struct self {
	struct role *role;
	int dir_fd;
	struct journal *journal;
	struct grey_file *grey; /* NULL: it cannot be kept */
	struct list peers, traces;
	size_t n_traces;
	bool has_problem, has_grey_problem;
};

struct peer {
	struct list node;
	struct self *self;
	unsigned place;
	struct channel *channel;
	bool has_complained;
};

/* A `trace` being answered, one slice a turn. */
struct trace {
	struct list node;
	struct self *self;
	uint64_t id;
	struct buf words; /* what the filter points into */
	struct journal_filter filter;
	struct journal_reader *reader;
	struct timer *next;
	struct buf reply;
};

/* --- events ------------------------------------------------------------------------------------ */

static void
peer_free(struct peer *p)
{
	channel_free(&p->channel);
	list_remove(&p->node);
	mem_free(p);
}

/* --- the greylist: kept for front, never looked into ------------------------------------------------ */

static void
tell_grey_problem(struct self *self, const char *why)
{
	if ((why != NULL) == self->has_grey_problem)
		return;
	self->has_grey_problem = why != NULL;
	if (why != NULL)
		log_event(LOG_ERROR, "greylist not kept", KV_STR("why", why));
	role_problem(self->role, "greylist",
	    "changes of the greylist are not kept; after a restart some senders wait once more",
	    why != NULL ? "make room on the disk of state_dir, or see the owner of its folder "
			  "journal"
			: NULL);
}

/* Always answered: front refuses nobody before it has heard what was kept, be it nothing. */
static void
send_greylist(struct peer *p)
{
	struct buf entries = BUF_INIT(GREY_FILE_MAX);
	struct err err = {0};

	if (p->self->grey != NULL && grey_file_read(p->self->grey, &entries, &err) < 0) {
		tell_grey_problem(p->self, err.text);
		buf_clear(&entries);
	}
	channel_send(p->channel, JOURNAL_GREY_ENTRIES, 0, buf_span(&entries), NULL);
	buf_free(&entries);
}

/* What one front has learnt the others know, too. */
static void
tell_other_fronts(const struct peer *from, const struct message *m)
{
	LIST_FOR (it, &from->self->peers) {
		struct peer *p = LIST_ENTRY(it, struct peer, node);

		if (p != from && place_role(p->place) == ROLE_FRONT && channel_has_room(p->channel))
			channel_send(p->channel, JOURNAL_GREY_ENTRY, 0, m->payload, NULL);
	}
}

/* 0, or -E_SYNTAX: no message of a greylist. */
static int
take_grey(struct peer *p, const struct message *m)
{
	struct self *self = p->self;
	struct err err = {0};
	int rc = 0;

	if (place_role(p->place) != ROLE_FRONT || m->type < JOURNAL_GREY_READ ||
	    m->type > JOURNAL_GREY_ALL || m->type == JOURNAL_GREY_ENTRIES)
		return -E_SYNTAX;
	if (m->type == JOURNAL_GREY_READ)
		send_greylist(p);
	else if (self->grey != NULL)
		rc = m->type == JOURNAL_GREY_ENTRY
			 ? grey_file_add(self->grey, m->payload, &err)
			 : grey_file_replace(self->grey, m->payload, &err);
	if (rc == -E_SYNTAX)
		return rc;
	if (m->type == JOURNAL_GREY_ENTRY)
		tell_other_fronts(p, m);
	if (m->type != JOURNAL_GREY_READ && self->grey != NULL)
		tell_grey_problem(self, rc < 0 ? err.text : NULL);
	return 0;
}

static void
on_event(void *arg, struct message *m)
{
	struct peer *p = arg;
	int rc =
	    m->type == JOURNAL_EVENT ? journal_add(p->self->journal, m->payload) : take_grey(p, m);

	/* Once a peer: a role that writes nonsense would fill the log too. */
	if ((rc == -E_SYNTAX || rc == -E_LIMIT) && !p->has_complained) {
		p->has_complained = true;
		log_event(LOG_ERROR, "event refused", KV_STR("from", place_name(p->place)),
		    KV_STR("why", err_name(-rc)));
	}
}

static void
on_peer_close(void *arg)
{
	peer_free(arg);
}

static void
journal_peer(struct role *role, unsigned place, int fd)
{
	static const struct channel_events events = {
	    .on_message = on_event, .on_close = on_peer_close};
	struct self *self = role->self;
	struct peer *p = mem_alloc(sizeof(*p));

	p->self = self;
	p->place = place;
	p->channel = channel_new(role->loop, fd, &events, p);
	list_append(&self->peers, &p->node);
}

/* At each turn's end, after the writing. */
static void
tell_problem(void *arg)
{
	struct self *self = arg;
	bool is_failing = journal_stats(self->journal).is_failing;

	if (is_failing == self->has_problem)
		return;
	self->has_problem = is_failing;
	role_problem(self->role, "journal", "the journal cannot be written; events wait in memory",
	    is_failing ? "make room on the disk of state_dir, or see the owner of its folder "
			 "journal"
		       : NULL);
}

/* --- trace ------------------------------------------------------------------------------------- */

static void
trace_end(struct trace *t, int status, struct span text)
{
	role_reply_end(t->self->role, t->id, status, text);
	timer_cancel(&t->next);
	journal_reader_free(&t->reader);
	buf_free(&t->words);
	buf_free(&t->reply);
	list_remove(&t->node);
	t->self->n_traces--;
	mem_free(t);
}

static void
on_line(void *arg, struct span line)
{
	struct trace *t = arg;

	(void)buf_add_span(&t->reply, line); /* a slice and what was pending always fit */
	(void)buf_add_char(&t->reply, '\n');
}

static void
on_slice(void *arg)
{
	struct trace *t = arg;
	struct role *role = t->self->role;
	struct err err = {0};
	int more;

	if (channel_queued(role->control) > TRACE_QUEUE_MAX) {
		loop_timer(role->loop, &t->next, TRACE_PAUSE_MS, on_slice, t);
		return;
	}
	more = journal_reader_step(t->reader, on_line, t, &err);
	must(!t->reply.failed);
	if (t->reply.n > 0)
		role_reply(role, t->id, buf_span(&t->reply));
	buf_clear(&t->reply);
	if (more == 1)
		loop_timer(role->loop, &t->next, 0, on_slice, t);
	else
		trace_end(t, more < 0 ? EXIT_TEMPFAIL : EXIT_OK, span_str(err.text));
}

/* The request's words live during its call only; the trace's own copy lives as long as it. */
static size_t
copy_words(struct trace *t, const struct control_request *r, struct span *to)
{
	size_t at = 0;

	t->words = BUF_INIT(WORDS_BYTES_MAX);
	for (size_t i = 1; i < r->n_words; i++)
		(void)buf_add_span(&t->words, r->words[i]); /* each is bounded by its codec */
	must(!t->words.failed);
	for (size_t i = 1; i < r->n_words; i++) {
		to[i - 1] = span_of(t->words.p + at, r->words[i].n);
		at += r->words[i].n;
	}
	return r->n_words - 1;
}

static void
trace_start(struct self *self, uint64_t id, const struct control_request *r)
{
	struct span words[CONTROL_WORDS_MAX];
	struct trace *t = mem_alloc(sizeof(*t));
	struct err err = {0};
	size_t n;

	t->self = self;
	t->id = id;
	t->reply = BUF_INIT(REPLY_BYTES_MAX);
	list_append(&self->traces, &t->node);
	self->n_traces++;
	if (self->n_traces > TRACES_MAX) {
		trace_end(t, EXIT_TEMPFAIL, SPAN("too many traces at once; try again"));
		return;
	}
	journal_flush(self->journal);
	n = copy_words(t, r, words);
	if (journal_filter_parse(words, n, clock_wall_ms(), &t->filter, &err) < 0) {
		trace_end(t, EXIT_USAGE, span_str(err.text));
		return;
	}
	t->reader = journal_reader_new(self->dir_fd, &t->filter, &err);
	if (t->reader == NULL)
		trace_end(t, EXIT_TEMPFAIL, span_str(err.text));
	else
		on_slice(t);
}

/* --- the role ---------------------------------------------------------------------------------- */

static void
reply_status(struct role *role, uint64_t id)
{
	struct journal_stats stats = journal_stats(((struct self *)role->self)->journal);
	struct buf out = BUF_INIT(STATUS_BYTES_MAX);
	struct json j = {.to = &out};

	json_open(&j, NULL, '{');
	json_open(&j, "journal", '{');
	json_int(&j, "events", (int64_t)stats.events);
	json_int(&j, "refused", (int64_t)stats.refused);
	json_int(&j, "lost", (int64_t)stats.lost);
	json_int(&j, "bytes", (int64_t)stats.bytes);
	json_close(&j, '}');
	json_close(&j, '}');
	role_reply(role, id, buf_span(&out));
	role_reply_end(role, id, EXIT_OK, (struct span){0});
	buf_free(&out);
}

static void
journal_request(struct role *role, uint64_t id, const struct control_request *r)
{
	struct span verb = r->n_words > 0 ? r->words[0] : (struct span){0};

	if (span_eq(verb, SPAN("trace")))
		trace_start(role->self, id, r);
	else if (span_eq(verb, SPAN("status")))
		reply_status(role, id);
	else
		role_reply_end(role, id, EXIT_USAGE, SPAN("journal knows only: trace, status"));
}

static int
open_folder(const struct config *config, struct err *err)
{
	char path[PATH_SIZE];
	int n = snprintf(path, sizeof(path), "%s/journal", config->state_dir);
	int fd;

	if (n < 0 || n >= PATH_SIZE)
		return err_set(err, E_LIMIT, "state_dir is too long a path");
	if (mkdir(path, 0750) < 0 && errno != EEXIST)
		return err_set(err, E_IO,
		    "cannot make %s: %m; make it, or give state_dir to the "
		    "relay's user",
		    path);
	fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return err_set(err, E_IO, "cannot open %s: %m; see its owner", path);
	return fd;
}

static int
journal_prepare(struct role *role, struct err *err)
{
	struct self *self = mem_alloc(sizeof(*self));

	self->role = role;
	list_init(&self->peers);
	list_init(&self->traces);
	role->self = self;
	journal_read_prepare();
	self->dir_fd = open_folder(role->config, err);
	if (self->dir_fd < 0)
		return self->dir_fd;
	self->journal = journal_open(role->loop, self->dir_fd, JOURNAL_FILE_BYTES, err);
	if (self->journal == NULL)
		return -err->code;
	self->grey = grey_file_open(self->dir_fd, err);
	if (self->grey == NULL)
		tell_grey_problem(self, err->text); /* no reason to have no journal */
	loop_at_turn_end(role->loop, tell_problem, self);
	return 0;
}

static void
journal_stop(struct role *role)
{
	struct self *self = role->self;

	loop_forget_turn_end(role->loop, tell_problem, self);
	journal_close(&self->journal);
	grey_file_close(&self->grey);
	loop_stop(role->loop);
}

static const struct role_ops ops = {.id = ROLE_JOURNAL,
    .prepare = journal_prepare,
    .peer = journal_peer,
    .request = journal_request,
    .stop = journal_stop};

int
main(int argc, char **argv)
{
	return role_main(&ops, argc, argv);
}

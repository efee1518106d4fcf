#include "relay/spool/spool.h"
#include "relay/base/mem.h"
#include "relay/spool/recover.h"
#include "relay/spool/store.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

void
spool_problem(struct spool *s, bool *state, bool is_on, const char *name, const char *what,
    const char *do_this)
{
	if (*state == is_on)
		return;
	*state = is_on;
	if (s->events.on_problem != NULL)
		s->events.on_problem(s->arg, name, is_on ? what : "over", is_on ? do_this : NULL);
}

static const char *
refusal_text(int code)
{
	switch (-code) {
	case E_FULL:
		return "the spool has no room";
	case E_CORRUPT:
		return "the body could not be read";
	case E_LIMIT:
		return "the message passes a limit of the spool";
	case E_CLOSED:
		return "the spool is closing";
	default:
		return "the spool could not be written";
	}
}

/* The item is gone afterwards, and so is its message when it was not kept. */
void
spool_answer(struct spool *s, struct item *i, struct spool_message *m, int code)
{
	struct err err = {0};
	uint64_t cookie = i->cookie;

	if (i->m == NULL) { /* a copy: nobody waits for it */
		struct spool_message *own = table_get(&s->by_serial, i->serial);

		if (own != NULL)
			own->is_copying = false;
		i->source->jobs--;
		tidy_consider(s, i->source); /* its last message may have been settled meanwhile */
		item_free(&i);
		return;
	}
	if (m == NULL)
		mem_free(i->m);
	item_free(&i);
	if (m != NULL) {
		s->stats.committed++;
		s->stats.messages++;
		s->stats.bytes += spool_message_size(m);
		s->events.on_committed(s->arg, cookie, m, NULL);
		return;
	}
	(void)err_set(&err, -code, "%s", refusal_text(code)); /* the text is for the callback */
	s->events.on_committed(s->arg, cookie, NULL, &err);
}

void
spool_refuse_soon(struct spool *s, struct item *i, int code)
{
	i->err = code;
	list_append(&s->refused, &i->node);
	plan_kick(s);
}

static void
answer_refused(struct spool *s)
{
	struct list now;

	/* Only those of now: a callback may ask, and be refused, again. */
	list_init(&now);
	LIST_FOR_SAFE (it, &s->refused) {
		list_remove(it);
		list_append(&now, it);
	}
	while (!list_is_empty(&now)) {
		struct item *i = LIST_ENTRY(now.next, struct item, node);

		list_remove(&i->node);
		spool_answer(s, i, NULL, i->err);
	}
}

static void
on_kick(void *arg)
{
	struct spool *s = arg;

	answer_refused(s);
	plan_run(s);
}

void
plan_kick(struct spool *s)
{
	/* A timer of no time runs after the events of this turn: their messages are one batch. */
	if (s->kick == NULL && !s->is_closing)
		loop_timer(s->loop, &s->kick, 0, on_kick, s);
}

void
spool_collect(struct spool *s)
{
	struct list done;

	list_init(&done);
	commit_finished(s->committer, &done);
	while (!list_is_empty(&done)) {
		struct job *j = LIST_ENTRY(done.next, struct job, node);

		list_remove(&j->node);
		switch (j->kind) {
		case JOB_BATCH:
			plan_batch_done(s, j);
			break;
		case JOB_FILL:
			tidy_fill_done(s, j);
			break;
		case JOB_RETIRE:
			tidy_retired(s, j);
			break;
		case JOB_SYNC:
			notes_sync_done(s, j);
			job_free(&j);
			break;
		}
	}
}

static void
on_done(void *arg, unsigned events)
{
	(void)events;
	spool_collect(arg);
}

static void
on_tick(void *arg)
{
	struct spool *s = arg;

	loop_timer(s->loop, &s->tick, SPOOL_TICK_MS, on_tick, s);
	tidy_space(s);
	s->is_fill_failed = false;
	notes_write(s);
	notes_sync(s);
	tidy_fill(s);
	plan_give_back(s);
	plan_run(s);
	compact_run(s);
	spool_problem(s, &s->is_full, !spool_has_room(s, 0), "spool-full",
	    "the spool has no room; mail is answered with 452",
	    "free space or inodes on the file system of state_dir, or lower min_free");
}

static struct spool *
spool_new(const struct spool_options *options, struct loop *loop, const struct spool_events *events,
    void *arg)
{
	struct spool *s = mem_alloc(sizeof(*s));

	s->io = options->io != NULL ? options->io : &spool_io_system;
	s->dir = -1;
	s->loop = loop;
	s->events = *events;
	s->arg = arg;
	s->min_free = options->min_free;
	s->segment_bytes =
	    options->segment_bytes != 0 ? options->segment_bytes : SPOOL_SEGMENT_BYTES;
	must(s->segment_bytes >= SPOOL_SEGMENT_MIN && s->segment_bytes % RECORD_ALIGN == 0 &&
	     s->segment_bytes / RECORD_ALIGN <= UINT32_MAX);
	s->by_number = map_new();
	s->by_serial.key_at = offsetof(struct spool_message, serial);
	s->next_file = s->next_number = s->next_serial = 1;
	list_init(&s->segments);
	list_init(&s->free);
	list_init(&s->pending);
	list_init(&s->refused);
	list_init(&s->doomed);
	list_init(&s->marks);
	return s;
}

static void
free_items(struct list *items)
{
	LIST_FOR_SAFE (it, items) {
		struct item *i = LIST_ENTRY(it, struct item, node);

		mem_free(i->m);
		item_free(&i);
	}
}

static void
free_segments(struct spool *s, struct list *segments)
{
	LIST_FOR_SAFE (it, segments) {
		struct segment *seg = LIST_ENTRY(it, struct segment, node);

		tidy_close_fd(s, seg);
		segment_free(&seg);
	}
}

static void
free_spool(struct spool *s)
{
	size_t at = 0;
	struct spool_message *m;

	timer_cancel(&s->tick);
	timer_cancel(&s->kick);
	watch_remove(&s->watch);
	commit_stop(&s->committer);
	while ((m = table_next(&s->by_serial, &at)) != NULL)
		mem_free(m);
	table_free(&s->by_serial);
	map_free(&s->by_number);
	free_items(&s->pending);
	free_items(&s->refused);
	LIST_FOR_SAFE (it, &s->doomed) {
		struct doomed *d = LIST_ENTRY(it, struct doomed, node);

		free_items(&d->items);
		mem_free(d);
	}
	LIST_FOR_SAFE (it, &s->marks)
		mem_free(LIST_ENTRY(it, struct mark, node));
	free_segments(s, &s->segments);
	free_segments(s, &s->free);
	if (s->dir >= 0)
		s->io->close_fd(s->io->arg, s->dir);
	mem_free(s);
}

/* Until there are blank files and the ends of the last run's segments are written down. */
static void
settle_start(struct spool *s)
{
	while (s->fill != NULL || s->is_syncing) {
		commit_wait(s->committer);
		spool_collect(s);
	}
}

struct spool *
spool_open(const struct spool_options *options, struct loop *loop,
    const struct spool_events *events, void *arg, struct err *err)
{
	struct spool *s = spool_new(options, loop, events, arg);

	s->dir = s->io->open_dir(s->io->arg, options->dir);
	if (s->dir < 0) {
		errno = -s->dir;
		(void)err_set(err, E_IO, "spool folder %s: %m", options->dir);
		free_spool(s);
		return NULL;
	}
	if (recover_run(s, err) != 0 || recover_make_durable(s, err) != 0) {
		(void)err_add(err, "%s", options->dir);
		free_spool(s);
		return NULL;
	}
	s->committer = commit_start(s->io, s->dir);
	s->watch = loop_watch(loop, commit_fd(s->committer), LOOP_READ, on_done, s);
	tidy_space(s);
	tidy_fill(s);
	settle_start(s);
	recover_announce(s);
	settle_start(s);
	loop_timer(loop, &s->tick, SPOOL_TICK_MS, on_tick, s);
	if (s->stats.set_aside > 0 && events->on_problem != NULL)
		events->on_problem(arg, "spool-damaged", "the spool holds damaged records",
		    "look at the log and at the *.damaged files in the spool folder");
	return s;
}

void
spool_close(struct spool **spool)
{
	struct spool *s = *spool;

	if (s == NULL)
		return;
	/* What has a place is finished; what has none was never written and is refused. */
	s->is_closing = true;
	commit_wait(s->committer);
	spool_collect(s);
	answer_refused(s);
	while (!list_is_empty(&s->pending)) {
		struct item *i = LIST_ENTRY(s->pending.next, struct item, node);

		list_remove(&i->node);
		spool_answer(s, i, NULL, -E_CLOSED);
	}
	notes_sync(s);
	/* Each round ends with an answer; failing ones use up the blank files. */
	while (s->is_syncing) {
		commit_wait(s->committer);
		spool_collect(s);
	}
	commit_wait(s->committer);
	spool_collect(s);
	free_spool(s);
	*spool = NULL;
}

/* Bytes of the body, or -E_…: a limit, or a memfd shorter than promised. */
static int64_t
body_length(struct span body, int fd, uint64_t skip, uint64_t size)
{
	struct stat st;

	if (fd < 0)
		return (int64_t)body.n;
	if (skip > size || size - skip > SPOOL_BODY_MAX)
		return -E_LIMIT;
	if (fstat(fd, &st) != 0 || st.st_size < 0 || (uint64_t)st.st_size < size)
		return -E_CORRUPT;
	return (int64_t)(size - skip);
}

static unsigned char *
add_bytes(unsigned char *to, struct span bytes)
{
	if (bytes.n > 0)
		memcpy(to, bytes.p, bytes.n);
	return to + bytes.n;
}

static void
fill_head(struct item *i, const struct record_message *parts, struct span id, struct span envelope,
    struct span prefix, struct span body)
{
	unsigned char *at;

	i->covered_n = RECORD_HEADER + (size_t)record_message_head(parts);
	i->body_n = prefix.n + body.n;
	/* A body that follows from a file follows at once; else the next record begins aligned. */
	i->head_n = i->n > 0 ? i->covered_n + i->body_n : (size_t)record_size(i->length);
	i->head = mem_alloc(i->head_n);
	record_encode_message(parts, i->head + RECORD_HEADER);
	at = add_bytes(i->head + RECORD_HEADER + RECORD_LENGTHS, id);
	at = add_bytes(at, envelope);
	at = add_bytes(at, prefix);
	(void)add_bytes(at, body); /* the last */
}

void
spool_put(struct spool *s, uint64_t cookie, struct span id, struct span envelope,
    struct span prefix, struct span body, int body_fd, uint64_t body_skip, uint64_t body_size)
{
	int64_t length = body_length(body, body_fd, body_skip, body_size);
	struct item *i = mem_alloc(sizeof(*i));
	struct spool_message *m = mem_alloc(sizeof(*m));
	struct record_message parts;

	i->m = m;
	i->cookie = cookie;
	i->fd = body_fd;
	list_init(&i->node);
	list_init(&m->in_home);
	list_init(&m->in_notes);
	if (id.n > SPOOL_ID_MAX || envelope.n > SPOOL_ENVELOPE_MAX || prefix.n > SPOOL_PREFIX_MAX ||
	    length < 0) {
		spool_refuse_soon(s, i, length < 0 ? (int)length : -E_LIMIT);
		return;
	}
	m->serial = i->serial = s->next_serial++;
	parts = (struct record_message){.id_n = (uint32_t)id.n,
	    .envelope_n = (uint32_t)envelope.n,
	    .prefix_n = (uint32_t)prefix.n,
	    .body_n = (uint64_t)length};
	message_set_parts(m, &parts);
	i->length = record_message_length(&parts);
	i->from = body_skip;
	i->n = body_fd >= 0 ? (uint64_t)length : 0;
	fill_head(i, &parts, id, envelope, prefix, body_fd >= 0 ? SPAN("") : body);
	if (i->n == 0 && i->fd >= 0) {
		(void)close(i->fd); /* an empty body: nothing to read */
		i->fd = -1;
	}
	s->pending_bytes += record_size(i->length);
	list_append(&s->pending, &i->node);
	plan_kick(s);
}

bool
spool_has_room(const struct spool *s, uint64_t size)
{
	uint64_t need = size + SPOOL_SLACK, usable = tidy_usable(s);

	if (s->is_closing || size > INT64_MAX)
		return false;
	if (size > s->segment_bytes / SPOOL_OWN_SHARE)
		return usable >= need + s->pending_bytes;
	need += s->pending_bytes;
	if (s->active != NULL && segment_room(s->active) >= need)
		return true;
	/* One blank file is kept back for notes. */
	if (s->n_free > 1 && (s->n_free - 1) * s->segment_bytes >= need)
		return true;
	return tidy_may_fill(s) && usable >= need + s->segment_bytes;
}

void
spool_note(struct spool *s, struct spool_message *m, struct span note)
{
	must(note.n <= SPOOL_NOTE_MAX &&
	     record_size(RECORD_HOMES + note.n) <= s->segment_bytes - SEGMENT_HEADER);
	notes_put(s, m, note);
}

void
spool_forget(struct spool *s, struct spool_message **message)
{
	struct spool_message *m = *message;
	struct segment *home = m->home, *note_home = m->note_home;
	struct record_homes homes = {.home = home->header.number, .former = m->former};

	*message = NULL;
	message_drop_note(m);
	message_leave(m);
	(void)table_remove(&s->by_serial, m->serial); /* it is there */
	s->stats.messages--;
	s->stats.bytes -= spool_message_size(m);
	notes_done(s, m->serial, &homes);
	mem_free(m);
	tidy_consider(s, home);
	if (note_home != NULL)
		tidy_consider(s, note_home);
}

struct spool_stats
spool_stats(const struct spool *s)
{
	struct spool_stats stats = s->stats;

	stats.segments = map_count(s->by_number) + s->n_free;
	stats.syncs = commit_syncs(s->committer);
	return stats;
}

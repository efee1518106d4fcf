/*
 * again.c - one message that was held is filtered again.
 *
 * Its bytes go to a front in a sealed file.  What front answers is done in one order: the part that
 * may go on is durable as a message of its own, then the recipients it has are done with in the held
 * one, then it is delivered.  A crash in between leaves the held one alone, or both; the part names
 * the other, so that the next start knows (hold_recovered).
 */
#include "relay/base/clock.h"
#include "relay/base/id.h"
#include "relay/base/log.h"
#include "relay/base/mem.h"
#include "relay/walk/hold.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

enum { CHUNK = 256 * 1024, GIVEN_UP_MAX = 640 };

struct hold_job {
	struct delivery *d;
	uint64_t number, life; /* life: of the front's channel; 0: it is not asked yet */
	char about[SPOOL_ID_MAX + 1];
	uint64_t serial;
	int fd;
	bool is_checked;               /* its bytes are as they were written */
	const struct queue_copy *copy; /* whose header section it is; the entry's */
	uint64_t size, section, n_read;
	uint32_t *asked; /* indexes of recipients */
	size_t n_asked;
	uint32_t next;               /* who is asked about after them; 0: nobody */
	char part[SPOOL_ID_MAX + 1]; /* as in struct held */
	bool is_last;
	struct timer *timer;
	/* Of what front has answered, while the part is being stored: */
	bool *is_moved, *is_discarded; /* for each of `asked`; who is discarded is moved, too */
};

static void
job_free(struct hold_job *j)
{
	j->d->hold->job = NULL;
	timer_cancel(&j->timer);
	if (j->fd >= 0)
		(void)close(j->fd); /* memory only */
	mem_free(j->asked);
	mem_free(j->is_moved);
	mem_free(j->is_discarded);
	mem_free(j);
}

void
again_free(struct delivery *d)
{
	if (d->hold->job != NULL)
		job_free(d->hold->job);
}

/* NULL: it has been deleted meanwhile, or knows nothing of the job. */
static struct queue_entry *
entry_of(const struct hold_job *j)
{
	struct queue_entry *e = queue_find(j->d->queue, span_str(j->about));

	if (e == NULL || e->msg == NULL || spool_message_serial(e->msg) != j->serial ||
	    (e->hold.state != HOLD_BUSY && e->hold.state != HOLD_STORING))
		return NULL;
	return e;
}

/* The job is over without an answer. */
static void
wait_again(struct hold_job *j, int64_t wait_ms)
{
	struct delivery *d = j->d;
	struct queue_entry *e = entry_of(j);

	job_free(j);
	if (e == NULL)
		return;
	hold_wait_for(d, e, wait_ms);
	settle_entry(d, e);
}

static void
count_try(struct queue_entry *e)
{
	e->hold.tries++;
	e->hold.tried_wall_ms = clock_wall_ms();
}

/* Nobody has looked at it; each time it waits longer. */
static void
put_off(struct hold_job *j, struct queue_entry *e)
{
	count_try(e);
	wait_again(j, settle_retry_after(j->d, e->hold.tries));
}

/* --- its bytes ---------------------------------------------------------------------------------- */

static void
hold_damaged(struct delivery *d, struct queue_entry *e)
{
	d->on_problem(d->arg, "spool-read",
	    "a spooled message cannot be read back as it was written",
	    "it is held: see `postern queue list`; check the disk");
	for (size_t i = 0; i < e->n_rcpts; i++)
		if (rcpt_awaits_filter(e, &e->rcpts[i]))
			rcpt_set(
			    &e->rcpts[i], RCPT_HELD, SPAN("its bytes in the spool are damaged"));
	e->hold.is_damaged = true;
	list_remove(&e->hold.node);
	e->hold.state = HOLD_WAITING;
	settle_entry(d, e);
}

static int
write_all(int fd, const char *bytes, size_t n)
{
	while (n > 0) {
		ssize_t done = write(fd, bytes, n);

		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return -E_IO;
		bytes += done;
		n -= (size_t)done;
	}
	return 0;
}

/* The header section without our Received, then the body: where the message's byte `at` lies. */
static uint64_t
place_of(const struct hold_job *j, const struct queue_entry *e, uint64_t at, size_t *n)
{
	if (at >= j->section)
		return e->prefixes + (at - j->section);
	if (*n > j->section - at)
		*n = (size_t)(j->section - at);
	return j->copy->prefix + e->received + at;
}

static int
read_some(struct hold_job *j, const struct queue_entry *e)
{
	static char chunk[CHUNK];
	uint64_t until = j->n_read + HOLD_STEP_BYTES;
	int r = 0;

	while (r == 0 && j->n_read < j->size && j->n_read < until) {
		uint64_t left = j->size - j->n_read;
		size_t n = left < CHUNK ? (size_t)left : CHUNK;
		uint64_t place = place_of(j, e, j->n_read, &n);

		r = spool_read(j->d->spool, e->msg, place, chunk, n);
		if (r == 0)
			r = write_all(j->fd, chunk, n);
		j->n_read += n;
	}
	return r;
}

static void
put_request(
    const struct hold_job *j, const struct queue_entry *e, struct span received, struct buf *to)
{
	struct commit_rcpt *rcpts = mem_array(j->n_asked, sizeof(*rcpts));
	struct held held = {.id = span_str(e->id),
	    .part = span_str(j->part),
	    .is_last = j->is_last,
	    .flow = e->flow,
	    .from = e->from,
	    .is_8bit = e->is_8bit,
	    .is_utf8 = e->is_utf8,
	    .received = received,
	    .section = j->section,
	    .size = j->size,
	    .rcpts = rcpts,
	    .n_rcpts = j->n_asked};

	for (size_t i = 0; i < j->n_asked; i++) {
		const struct queue_rcpt *r = &e->rcpts[j->asked[i]];

		rcpts[i] = (struct commit_rcpt){.address = r->address,
		    .gateway = e->legs[r->leg].gateway,
		    .notify = r->notify,
		    .orcpt = r->orcpt};
	}
	held_put(to, &held, e->facts);
	mem_free(rcpts);
}

/* How long a front may take for it: as long as its filters may, twice. */
static int64_t
patience_ms(const struct delivery *d)
{
	int64_t ms = 0;

	for (size_t i = 0; i < d->config->n_flows; i++) {
		int64_t sum_ms = 0;

		for (size_t k = 0; k < d->config->flows[i].n_filters; k++)
			sum_ms += 2 * d->config->flows[i].filters[k].filter->deadline_ms;
		ms = sum_ms > ms ? sum_ms : ms;
	}
	return HOLD_JOB_MS + ms;
}

static void
on_no_answer(void *arg)
{
	struct hold_job *j = arg;
	struct queue_entry *e = entry_of(j);

	log_event(
	    LOG_ERROR, "front does not say what becomes of a held message", KV_STR("id", j->about));
	if (e != NULL)
		put_off(j, e); /* nobody has died */
	else
		job_free(j);
}

static void
ask_front(struct hold_job *j, struct queue_entry *e)
{
	struct delivery *d = j->d;
	const int seals = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL;
	char received[HELD_RECEIVED_MAX];
	struct buf b = BUF_INIT(CHANNEL_PAYLOAD_MAX);
	int fd = -1;

	if (spool_read(d->spool, e->msg, j->copy->prefix, received, e->received) == 0 &&
	    fcntl(j->fd, F_ADD_SEALS, seals) == 0)
		fd = fcntl(j->fd, F_DUPFD_CLOEXEC, 0);
	put_request(j, e, span_of(received, e->received), &b);
	if (fd >= 0 && !b.failed && d->on_refilter != NULL)
		j->life = d->on_refilter(d->arg, j->number, buf_span(&b), fd);
	else if (fd >= 0)
		(void)close(fd); /* memory only */
	buf_free(&b);
	if (j->life == 0) {
		wait_again(j, HOLD_AGAIN_MS);
		return;
	}
	log_event(LOG_INFO, "filtering again", KV_STR("id", e->id), KV_INT("tries", e->hold.tries));
	loop_timer(d->loop, &j->timer, patience_ms(d), on_no_answer, j);
}

static void on_step(void *arg);

/* Before anybody sees a byte of it.  False: another turn goes on, or it is over. */
static bool
is_sound(struct hold_job *j, struct queue_entry *e)
{
	struct delivery *d = j->d;
	int r = j->is_checked ? 0 : spool_verify(d->spool, e->msg);

	j->is_checked = r == 0;
	if (r == -E_AGAIN) {
		loop_timer(d->loop, &j->timer, 0, on_step, j);
	} else if (r < 0) {
		job_free(j);
		hold_damaged(d, e);
	}
	return r == 0;
}

static void
on_step(void *arg)
{
	struct hold_job *j = arg;
	struct queue_entry *e = entry_of(j);

	if (e == NULL)
		job_free(j);
	else if (!is_sound(j, e))
		return;
	else if (read_some(j, e) < 0)
		wait_again(j, HOLD_AGAIN_MS); /* the disk, or no memory */
	else if (j->n_read < j->size)
		loop_timer(j->d->loop, &j->timer, 0, on_step, j);
	else
		ask_front(j, e);
}

static void
list_asked(struct hold_job *j, const struct queue_entry *e)
{
	j->asked = mem_array(e->n_rcpts, sizeof(*j->asked));
	for (size_t i = e->hold.next; i < e->n_rcpts && j->next == 0; i++) {
		if (!rcpt_awaits_filter(e, &e->rcpts[i]))
			continue;
		if (e->hold.most > 0 && j->n_asked == e->hold.most) {
			j->next = (uint32_t)i;
			continue;
		}
		if (j->n_asked == 0)
			j->copy = rcpt_copy(e, &e->rcpts[i]); /* of all of them it is the same */
		j->asked[j->n_asked++] = (uint32_t)i;
	}
	if (j->n_asked > 0) {
		j->section = j->copy->prefix_n - e->received;
		j->size = j->section + spool_message_size(e->msg) - e->prefixes;
	}
}

/* What goes on has its message's id when nothing of that is left and no letter has this name, else ID-HN:
 * N grows with the recipients that have left it.  Front writes the name into its notices, so it is settled
 * before; what an admin does meanwhile does not change it. */
static void
name_part(struct hold_job *j, const struct queue_entry *e)
{
	size_t n_left = 0;
	unsigned n = 1;

	j->is_last = true;
	for (size_t i = 0; i < e->n_rcpts; i++) {
		const struct queue_rcpt *r = &e->rcpts[i];

		n += r->state == RCPT_MOVED;
		n_left += rcpt_is_open(r);
		if (r->state == RCPT_QUARANTINED || r->state == RCPT_RELAYED)
			j->is_last = false;
	}
	if (n_left > j->n_asked)
		j->is_last = false;
	(void)snprintf(j->part, sizeof(j->part), "%.*s-H%u", (int)SPOOL_ID_MAX - 12, e->id,
	    n); /* ids of our own making are far shorter than the maximum */
}

/* No front could say what becomes of it. */
static void
miss_flow(struct hold_job *j, struct queue_entry *e)
{
	for (size_t i = 0; i < j->n_asked; i++) {
		struct queue_rcpt *r = &e->rcpts[j->asked[i]];

		rcpt_set(r, RCPT_HELD,
		    SPAN("its flow is not in the configuration any more; add it, reload, and "
			 "retry the message"));
		settle_tell(j->d, e, r, "held");
	}
	put_off(j, e);
}

void
again_begin(struct delivery *d, struct queue_entry *e)
{
	struct hold_job *j = mem_alloc(sizeof(*j));

	list_remove(&e->hold.node);
	e->hold.state = HOLD_BUSY;
	d->hold->job = j;
	*j = (struct hold_job){.d = d,
	    .number = ++d->hold->last_job,
	    .serial = spool_message_serial(e->msg),
	    .fd = -1};
	(void)span_copy(span_str(e->id), j->about, sizeof(j->about)); /* as long as an id */
	list_asked(j, e);
	name_part(j, e);
	if (j->n_asked == 0 || e->received > HELD_RECEIVED_MAX) { /* all were deleted */
		wait_again(j, HOLD_AGAIN_MS);
		return;
	}
	if (config_flow(d->config, e->flow) == NULL) {
		miss_flow(j, e);
		return;
	}
	if (!spool_has_room(d->spool, j->size + COMMIT_HEADER_MAX)) {
		put_off(j, e); /* its filters would run for nothing */
		return;
	}
	j->fd = memfd_create("held", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (j->fd < 0)
		wait_again(j, HOLD_AGAIN_MS);
	else
		on_step(j);
}

/* --- the answer --------------------------------------------------------------------------------- */

/* It stays held: why it does now, and for which filter. */
static void
keep(struct hold_job *j, struct queue_entry *e, const struct replacement *r)
{
	const struct commit *c = &r->commit;
	/* What earlier rounds have kept goes on to wait for theirs. */
	char *before = e->hold.waits_for;
	struct span waits_for = e->hold.next > 0 ? span_str(before) : (struct span){0};
	bool is_any = false;

	for (size_t i = 0; i < c->n_rcpts; i++) {
		struct queue_rcpt *rcpt = &e->rcpts[j->asked[r->asked[i]]];
		const struct commit_copy *copy = &c->copies[c->rcpts[i].copy];

		if (copy->fate != COPY_HOLD || !rcpt_awaits_filter(e, rcpt))
			continue;
		is_any = is_any || (waits_for.n > 0 && copy->waits_for.n > 0 &&
				       !span_eq(waits_for, copy->waits_for));
		if (copy->waits_for.n > 0)
			waits_for = copy->waits_for;
		rcpt_set(rcpt, RCPT_HELD, copy->why);
		settle_tell(j->d, e, rcpt, "held");
	}
	e->hold.waits_for = mem_dup(is_any ? SPAN("*") : waits_for);
	mem_free(before);
	hold_await(j->d, e);
}

/* Workers or a front have died of it. */
static void
count_death(struct queue_entry *e)
{
	char why[GIVEN_UP_MAX];

	if (++e->hold.deaths != HOLD_DEATHS_MAX)
		return;
	log_event(LOG_WARN, "held message not filtered again by itself", KV_STR("id", e->id),
	    KV_INT("deaths", e->hold.deaths));
	for (size_t i = 0; i < e->n_rcpts; i++) {
		struct queue_rcpt *r = &e->rcpts[i];

		if (!rcpt_awaits_filter(e, r))
			continue;
		(void)snprintf(why, sizeof(why),
		    "%.*s; it has cost %u processes and is not tried again by itself",
		    SPAN_ARG(span_take(rcpt_reply(e, r), 400)), e->hold.deaths); /* fits */
		rcpt_set(r, RCPT_HELD, span_str(why));
	}
}

static size_t
count_held(const struct commit *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->n_rcpts; i++)
		n += c->copies[c->rcpts[i].copy].fate == COPY_HOLD;
	return n;
}

struct part {
	struct commit_copy *copies;
	struct commit_rcpt *rcpts;
	uint32_t *moved,
	    *copy_at; /* copy_at: its index in the part + 1, of each that front has sent */
	struct envelope envelope;
};

static void
add_to_part(struct part *p, const struct queue_entry *e, uint32_t index, const struct commit *c,
    uint32_t copy)
{
	const struct queue_rcpt *from = &e->rcpts[index];
	struct envelope *v = &p->envelope;

	if (p->copy_at[copy] == 0) {
		p->copies[v->n_copies++] = c->copies[copy];
		p->copy_at[copy] = (uint32_t)v->n_copies;
	}
	p->moved[v->n_moved++] = index;
	p->rcpts[v->n_rcpts++] = (struct commit_rcpt){.address = from->address,
	    .gateway = e->legs[from->leg].gateway,
	    .copy = p->copy_at[copy] - 1,
	    .notify = from->notify,
	    .orcpt = from->orcpt};
}

/* Who goes on, as front says; who is discarded is marked, too. */
static void
fill_part(struct part *p, struct hold_job *j, struct queue_entry *e, const struct replacement *r)
{
	const struct commit *c = &r->commit;

	for (size_t i = 0; i < c->n_rcpts; i++) {
		uint32_t k = r->asked[i];
		struct queue_rcpt *rcpt = &e->rcpts[j->asked[k]];
		enum copy_fate fate = c->copies[c->rcpts[i].copy].fate;

		if (fate == COPY_HOLD || !rcpt_awaits_filter(e, rcpt))
			continue;
		j->is_moved[k] = true;
		j->is_discarded[k] = fate == COPY_DISCARD;
		if (fate != COPY_DISCARD)
			add_to_part(p, e, j->asked[k], c, c->rcpts[i].copy);
	}
}

/* What front has answered is done: as far as it goes without the disk, or the part is durable. */
static void
finish(struct hold_job *j, struct queue_entry *e)
{
	struct delivery *d = j->d;
	int64_t wait_ms = settle_retry_after(d, e->hold.tries);
	uint32_t next = e->hold.deaths < HOLD_DEATHS_MAX ? j->next : 0;

	for (size_t i = 0; i < j->n_asked; i++) {
		if (j->is_discarded[i])
			settle_tell(d, e, &e->rcpts[j->asked[i]], "discarded");
		if (j->is_moved[i])
			rcpt_set(&e->rcpts[j->asked[i]], RCPT_MOVED, (struct span){0});
	}
	job_free(j);
	if (next > 0)
		hold_go_on(d, e, next, e->hold.most);
	else
		hold_wait_for(d, e, wait_ms);
	settle_entry(d, e); /* its note, or its end, before anything else happens */
}

static void
store_part(struct hold_job *j, struct queue_entry *e, struct part *p, bool is_all)
{
	struct delivery *d = j->d;
	const struct commit made = {.copies = p->copies, .n_copies = p->envelope.n_copies};
	struct arrival a = {.is_refiltered = true};
	struct intake_body body = {.fd = j->fd, .skip = j->section, .size = j->size};
	int r = -E_FULL;

	e->hold.state = HOLD_STORING;
	if (spool_has_room(d->spool, j->size + commit_prefixes(&made)) && !d->is_stopping) {
		j->fd = -1;
		r = intake_put(d->intake, d->spool, &a,
		    span_str(j->is_last && is_all ? e->id : j->part), &p->envelope, &body);
	}
	if (r < 0)
		wait_again(j, settle_retry_after(d, e->hold.tries));
}

static void
apply(struct hold_job *j, struct queue_entry *e, const struct replacement *r)
{
	const struct commit *c = &r->commit;
	struct part p = {.copies = mem_array(c->n_copies, sizeof(*p.copies)),
	    .rcpts = mem_array(c->n_rcpts, sizeof(*p.rcpts)),
	    .moved = mem_array(c->n_rcpts, sizeof(*p.moved)),
	    .copy_at = mem_array(c->n_copies, sizeof(*p.copy_at))};

	p.envelope = (struct envelope){.kind = e->kind,
	    .flow = e->flow,
	    .from = e->from,
	    .is_8bit = e->is_8bit,
	    .is_utf8 = e->is_utf8,
	    .ret = e->ret,
	    .envid = e->envid,
	    .received_ms = e->received_ms,
	    .copies = p.copies,
	    .rcpts = p.rcpts,
	    .replaces = j->serial,
	    .moved = p.moved};
	fill_part(&p, j, e, r);
	if (p.envelope.n_rcpts > 0)
		store_part(j, e, &p, count_held(c) == 0);
	else
		finish(j, e);
	mem_free(p.copies);
	mem_free(p.rcpts);
	mem_free(p.moved);
	mem_free(p.copy_at);
}

static struct hold_job *
job_of(struct delivery *d, uint64_t life, uint64_t number)
{
	struct hold_job *j = d->hold->job;
	struct queue_entry *e = j != NULL ? entry_of(j) : NULL;

	if (j == NULL || j->number != number || j->life != life || life == 0)
		return NULL;
	if (e == NULL || e->hold.state != HOLD_BUSY) {
		if (e == NULL)
			job_free(j);
		return NULL;
	}
	return j;
}

void
again_answer(struct delivery *d, uint64_t life, uint64_t job, struct span payload)
{
	static struct replacement_room room; /* large; used during this call */
	struct hold_job *j = job_of(d, life, job);
	struct queue_entry *e = j != NULL ? entry_of(j) : NULL;
	struct replacement r;
	char filter[COMMIT_FILTER_MAX + 1];

	if (e == NULL)
		return;
	if (replacement_get(payload, j->n_asked, &r, &room) < 0 ||
	    !replacement_is_of(&r, j->section, j->size)) {
		log_event(LOG_ERROR, "answer refused", KV_STR("why", "front sent a malformed one"));
		again_front_lost(d, life);
		return;
	}
	timer_cancel(&j->timer);
	(void)span_copy(entry_waits_for(e), filter, sizeof(filter)); /* as long as it may be */
	if (e->hold.next == 0)
		count_try(e); /* all rounds of it are one */
	keep(j, e, &r);
	if (r.is_deadly)
		count_death(e);
	if (filter[0] != '\0' && count_held(&r.commit) < r.commit.n_rcpts)
		hold_signal(d,
		    span_eq(span_str(filter), SPAN("*")) ? (struct span){0} : span_str(filter),
		    false);
	j->is_moved = mem_array(j->n_asked, sizeof(*j->is_moved));
	j->is_discarded = mem_array(j->n_asked, sizeof(*j->is_discarded));
	apply(j, e, &r);
}

void
again_put_back(struct delivery *d, uint64_t life, uint64_t job)
{
	struct hold_job *j = job_of(d, life, job);

	if (j != NULL)
		put_off(j, entry_of(j));
}

void
again_split(struct delivery *d, uint64_t life, uint64_t job)
{
	struct hold_job *j = job_of(d, life, job);
	struct queue_entry *e = j != NULL ? entry_of(j) : NULL;
	uint32_t half;

	if (e == NULL)
		return;
	half = (uint32_t)j->n_asked / 2;
	if (half == 0) {
		put_off(j, e); /* one always fits; that front knows no better */
		return;
	}
	job_free(j);
	hold_go_on(d, e, e->hold.next, half);
}

void
again_front_lost(struct delivery *d, uint64_t life)
{
	struct hold_job *j = d->hold->job;
	struct queue_entry *e;

	if (j == NULL || j->life != life || life == 0)
		return;
	e = entry_of(j);
	if (e == NULL) {
		job_free(j);
		return;
	}
	if (e->hold.state != HOLD_BUSY)
		return; /* it has answered */
	count_try(e);
	count_death(e);
	wait_again(j, hold_calm_ms(e->hold.tries));
}

/* An id that is in use: neither message is given up. */
static void
rename_if_taken(struct delivery *d, struct queue_entry *e)
{
	struct id other;

	if (!queue_has(d->queue, span_str(e->id)))
		return;
	other = id_new();
	(void)span_copy(id_span(&other), e->id, sizeof(e->id)); /* fits */
	e->is_renamed = true;
}

void
again_arrived(struct delivery *d, struct arrival *a, const struct err *err)
{
	struct hold_job *j = d->hold->job;
	struct queue_entry *e = entry_of(j); /* nobody can delete it meanwhile */

	must(e != NULL);
	if (err != NULL) {
		wait_again(j, settle_retry_after(d, e->hold.tries));
		return;
	}
	/* It was not the gateway that it was late for: if it goes now, nobody need be told. */
	a->entry->is_warned =
	    e->is_warned || clock_wall_ms() - e->received_ms >= d->config->queue.warn_after_ms;
	finish(j, e);
	rename_if_taken(d, a->entry);
	deliver_start(d, a->entry);
}

#include "relay/process/queue_jobs.h"
#include "relay/base/clock.h"
#include "relay/base/json.h"
#include "relay/base/mem.h"
#include "relay/deliver/show.h"

enum {
	LINE_MAX_BYTES = 8 * 1024 * 1024, /* 10,000 recipients */
	REASONS_MAX = 20,                 /* messages of a page whose refusal is explained */
	SUMMARY_MAX = 64 * 1024,
	CONGESTED_BYTES = 4 * 1024 * 1024, /* in our channel: the supervisor is busy */
	CONGESTED_WAIT_MS = 10,
	NEXT_SLICE_MS = 1 /* not 0: that could be the same turn */
};

struct job {
	struct list node; /* in jobs->running or jobs->parked */
	struct selection selection;
	bool is_order; /* else it lists */
	enum admin_verb verb;
	uint64_t id;    /* of the request that is answered now */
	uint64_t token; /* of the page after it */
	struct queue_cursor cursor;
	size_t next_id;  /* of selection.ids */
	uint64_t n_due;  /* messages whose retry was set */
	uint64_t n_told; /* messages listed */
	/* of this page: */
	int64_t began_ms;
	uint64_t n_bytes, n_messages, n_missing, results[ADMIN_RESULTS];
	struct buf reasons; /* JSON objects, with commas */
	size_t n_reasons;
};

struct queue_jobs {
	struct role *role;
	struct delivery *d;
	struct list running, parked; /* each in turn; the longest parked first */
	size_t n;
	uint64_t next_token;
	struct timer *timer;
};

static void on_slice(void *arg);

struct queue_jobs *
queue_jobs_new(struct role *role, struct delivery *d)
{
	struct queue_jobs *j = mem_alloc(sizeof(*j));

	j->role = role;
	j->d = d;
	j->next_token = 1;
	list_init(&j->running);
	list_init(&j->parked);
	return j;
}

static void
end_job(struct queue_jobs *j, struct job *job)
{
	queue_cursor_end(&job->cursor);
	list_remove(&job->node);
	selection_free(&job->selection);
	buf_free(&job->reasons);
	mem_free(job);
	j->n--;
}

void
queue_jobs_free(struct queue_jobs **jobs)
{
	struct queue_jobs *j = *jobs;

	if (j == NULL)
		return;
	timer_cancel(&j->timer);
	LIST_FOR_SAFE (it, &j->running)
		end_job(j, LIST_ENTRY(it, struct job, node));
	LIST_FOR_SAFE (other, &j->parked)
		end_job(j, LIST_ENTRY(other, struct job, node));
	mem_free(j);
	*jobs = NULL;
}

/* --- a page ------------------------------------------------------------------------------------ */

static void
begin_page(struct queue_jobs *j, struct job *job, uint64_t id)
{
	job->id = id;
	job->began_ms = clock_mono_ms();
	job->n_bytes = job->n_messages = job->n_missing = 0;
	memset(job->results, 0, sizeof(job->results));
	buf_clear(&job->reasons);
	job->n_reasons = 0;
	list_append(&j->running, &job->node);
	if (j->timer == NULL)
		loop_timer(j->role->loop, &j->timer, 0, on_slice, j);
}

static bool
page_is_full(const struct job *job)
{
	return job->n_bytes >= QUEUE_PAGE_BYTES || job->n_messages >= QUEUE_PAGE_MESSAGES ||
	       clock_mono_ms() - job->began_ms >= QUEUE_PAGE_MS;
}

/* What an order has come to, on this page. */
static void
tell_results(struct queue_jobs *j, const struct job *job)
{
	static const char *const names[ADMIN_RESULTS] = {[ADMIN_DONE] = "done",
	    [ADMIN_UNCHANGED] = "unchanged",
	    [ADMIN_ACTIVE] = "active",
	    [ADMIN_REFUSED] = "refused"};
	struct buf line = BUF_INIT(SUMMARY_MAX);
	struct json out = {.to = &line};

	json_open(&out, NULL, '{');
	json_int(&out, "messages", (int64_t)(job->n_messages + job->n_missing));
	for (size_t i = 0; i < ADMIN_RESULTS; i++)
		json_int(&out, names[i], (int64_t)job->results[i]);
	json_int(&out, "not_found", (int64_t)job->n_missing);
	(void)buf_addf(&line, ",\"reasons\":[%.*s]}\n", (int)job->reasons.n,
	    job->reasons.n > 0 ? job->reasons.p : ""); /* a page's reasons always fit */
	role_reply(j->role, job->id, buf_span(&line));
	buf_free(&line);
}

static void
end_page(struct queue_jobs *j, struct job *job, bool is_over)
{
	struct buf more = BUF_INIT(64);

	if (job->is_order)
		tell_results(j, job);
	if (is_over) {
		role_reply_end(j->role, job->id, EXIT_OK, (struct span){0});
		end_job(j, job);
		return;
	}
	job->token = j->next_token++;
	(void)buf_addf(&more, "more %llu", (unsigned long long)job->token); /* fits */
	role_reply_end(j->role, job->id, EXIT_OK, buf_span(&more));
	buf_free(&more);
	list_remove(&job->node);
	list_append(&j->parked, &job->node);
}

/* --- the work ---------------------------------------------------------------------------------- */

static void
list_entry(struct queue_jobs *j, struct job *job, struct queue_entry *e)
{
	struct buf line = BUF_INIT(LINE_MAX_BYTES);

	show_entry(&line, e, false, (struct span){0});
	if (!line.failed)
		role_reply(j->role, job->id, buf_span(&line));
	job->n_bytes += line.n;
	job->n_told++;
	deliver_rest(j->d, e);
	buf_free(&line);
}

static void
add_reason(struct job *job, struct span id, const char *why)
{
	struct json out = {.to = &job->reasons, .needs_comma = job->n_reasons > 0};

	if (job->n_reasons == REASONS_MAX)
		return;
	job->n_reasons++;
	json_open(&out, NULL, '{');
	json_text(&out, "id", id);
	json_str(&out, "why", why);
	json_close(&out, '}');
}

static void
order_entry(struct queue_jobs *j, struct job *job, struct queue_entry *e)
{
	char id[SPOOL_ID_MAX + 1];
	const char *why = NULL;
	int64_t after_ms = (int64_t)(job->n_due / QUEUE_RETRY_BATCH) * QUEUE_RETRY_STEP_MS;
	enum admin_result result;

	memcpy(id, e->id, sizeof(id)); /* the entry may be gone afterwards */
	result = admin_do(j->d, e, job->verb, &job->selection, after_ms, &why);
	job->results[result]++;
	job->n_messages++;
	job->n_due += result == ADMIN_DONE;
	if (result == ADMIN_ACTIVE)
		why = "it is being delivered now; try again in a moment";
	if (why != NULL)
		add_reason(job, span_str(id), why);
}

/* The next message that it is about; false: there is none.  *e is NULL for an id that is not there, and
 * for a message that the selection does not have. */
static bool
next_entry(struct queue_jobs *j, struct job *job, struct queue_entry **e)
{
	if (job->selection.n_ids > 0) {
		struct span id;

		if (job->next_id == job->selection.n_ids)
			return false;
		id = job->selection.ids[job->next_id++];
		*e = queue_find(j->d->queue, id);
		if (*e == NULL) {
			job->n_missing++;
			add_reason(job, id, "there is no such message in the queue");
		}
		return true;
	}
	if (job->selection.limit > 0 &&
	    (job->is_order ? job->n_due : job->n_told) >= job->selection.limit)
		return false;
	*e = queue_cursor_next(j->d->queue, &job->cursor);
	if (*e == NULL)
		return false;
	if (!selection_has(&job->selection, *e)) {
		deliver_rest(j->d, *e);
		*e = NULL;
	}
	return true;
}

/* Returns whether the job is over. */
static bool
work(struct queue_jobs *j, struct job *job)
{
	int64_t until_ms = clock_mono_ms() + QUEUE_SLICE_MS;

	for (size_t i = 0; i < QUEUE_SLICE_MESSAGES && !page_is_full(job); i++) {
		struct queue_entry *e;

		if (!next_entry(j, job, &e))
			return true;
		if (e != NULL && job->is_order)
			order_entry(j, job, e);
		else if (e != NULL)
			list_entry(j, job, e);
		if (clock_mono_ms() >= until_ms)
			break;
	}
	return false;
}

/* One job a turn, each in its turn. */
static void
on_slice(void *arg)
{
	struct queue_jobs *j = arg;
	bool is_congested = channel_queued(j->role->control) > CONGESTED_BYTES;

	if (!is_congested && !list_is_empty(&j->running)) {
		struct job *job = LIST_ENTRY(j->running.next, struct job, node);
		bool is_over = work(j, job);

		list_remove(&job->node);
		list_append(&j->running, &job->node);
		if (is_over || page_is_full(job))
			end_page(j, job, is_over);
	}
	if (!list_is_empty(&j->running))
		loop_timer(j->role->loop, &j->timer,
		    is_congested ? CONGESTED_WAIT_MS : NEXT_SLICE_MS, on_slice, j);
}

/* --- asked for --------------------------------------------------------------------------------- */

/* NULL after an answer.  Who has not asked for more for the longest time makes room. */
static struct job *
new_job(struct queue_jobs *j, uint64_t id, struct selection *s)
{
	struct job *job;

	if (j->n == QUEUE_JOBS_MAX && !list_is_empty(&j->parked))
		end_job(j, LIST_ENTRY(j->parked.next, struct job, node));
	if (j->n == QUEUE_JOBS_MAX) {
		selection_free(s);
		role_reply_end(j->role, id, EXIT_TEMPFAIL,
		    SPAN("too many are asking about the queue at this moment; try again"));
		return NULL;
	}
	job = mem_alloc(sizeof(*job));
	job->selection = *s;
	*s = (struct selection){0};
	job->reasons.max = SUMMARY_MAX / 2;
	queue_cursor_start(j->d->queue, &job->cursor);
	list_init(&job->node);
	j->n++;
	return job;
}

void
queue_jobs_list(struct queue_jobs *j, uint64_t id, struct selection *s)
{
	struct job *job = new_job(j, id, s);

	if (job != NULL)
		begin_page(j, job, id);
}

void
queue_jobs_order(struct queue_jobs *j, uint64_t id, enum admin_verb verb, struct selection *s)
{
	struct job *job = new_job(j, id, s);

	if (job == NULL)
		return;
	job->is_order = true;
	job->verb = verb;
	begin_page(j, job, id);
}

void
queue_jobs_more(struct queue_jobs *j, uint64_t id, struct span token)
{
	uint64_t number;

	LIST_FOR (it, &j->parked) {
		struct job *job = LIST_ENTRY(it, struct job, node);

		if (!span_to_u64(token, &number) || job->token != number)
			continue;
		list_remove(&job->node);
		begin_page(j, job, id);
		return;
	}
	role_reply_end(j->role, id, EXIT_TEMPFAIL,
	    SPAN("others have asked in the meantime, and the rest of this answer is lost; ask "
		 "again"));
}

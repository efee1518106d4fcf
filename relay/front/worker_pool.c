#include "relay/front/worker_pool.h"
#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/log.h"
#include "relay/base/mem.h"
#include "relay/front/pool_policies.h"
#include "relay/front/trial.h"

#include <fcntl.h>
#include <unistd.h>

enum { REQUEST_MAX = 16 * 1024 * 1024 };

struct zygote_link {
	struct worker_pool *pool;
	struct channel *channel; /* NULL: there is none */
	bool is_new;             /* no worker of it has come yet */
};

struct pool_worker {
	struct list node;
	struct worker_pool *pool;
	struct zygote_link *zygote;
	struct channel *channel; /* NULL: it has closed, its death is awaited */
	uint64_t number;
	struct scan *scan; /* NULL: idle, or its asker has gone (then is_busy) */
	uint64_t scan_id;
	bool is_busy, is_leaving, is_ready;
	bool has_left; /* it has said that it leaves */
	unsigned n_results;
	int64_t first_mono_ms; /* when it got its first message */
	bool is_retired;       /* it is to end as soon as it has nothing in hand */
	struct timer *pickup;
	uint64_t known[WORKER_POLICIES]; /* versions it has, as it keeps them itself */
	unsigned next_known;
	struct buf rewrite; /* what has come of the message in hand, rewritten: SCAN_REWRITE_MAX */
};

struct worker_pool {
	struct loop *loop;
	struct zygote_link zygotes[2], *zygote; /* the one connected last, and the one before */
	struct list workers, waiting;
	size_t n_workers;
	struct pool_policies policies;
	uint64_t next_scan;
	struct breakers *breakers;
	struct trials *trials;
	struct breakers_events events;
	void (*on_lost)(void *arg);
	void *lost_arg;
};

static void give_work(struct worker_pool *p);

static void
worker_free(struct pool_worker *w)
{
	list_remove(&w->node);
	w->pool->n_workers--;
	if (w->scan != NULL)
		w->scan->worker = NULL;
	timer_cancel(&w->pickup);
	channel_free(&w->channel);
	buf_free(&w->rewrite);
	mem_free(w);
}

static void
scan_detach(struct scan *s)
{
	list_remove(&s->node);
	timer_cancel(&s->deadline);
	if (s->worker != NULL)
		s->worker->scan = NULL;
	s->worker = NULL;
	s->pool = NULL;
}

static void
scan_end(struct scan *s, const struct scan_result *result, uint32_t failed)
{
	scan_detach(s);
	s->on_done(s, result, failed);
}

static void
scan_wait_again(struct worker_pool *p, struct scan *s)
{
	s->worker = NULL;
	list_remove(&s->node);
	list_prepend(&p->waiting, &s->node);
	give_work(p);
}

/* Not of a trial, which has its own say (trial.h). */
static void
filter_failed(struct worker_pool *p, const struct scan *s, size_t i)
{
	if (breakers_failed(p->breakers, s->flow->filters[i].filter))
		trials_begin(p->trials, s, i);
}

/* A worker ended while it had this message: a fresh one, or without the filter, or not at all. */
static void
scan_lost(struct worker_pool *p, struct scan *s, int filter)
{
	bool is_known = filter >= 0 && (size_t)filter < s->flow->n_filters;

	if (s->only != 0) {
		scan_end(s, NULL, is_known && s->only == 1U << filter ? s->only : UINT32_MAX);
		return;
	}
	if (is_known)
		filter_failed(p, s, (size_t)filter);
	if (++s->n_deaths >= POOL_DEATHS_MAX) {
		scan_end(s, NULL, UINT32_MAX);
		return;
	}
	if (is_known) {
		uint32_t bit = 1U << filter;

		if (s->deaths & bit)
			s->given_up |= bit;
		s->deaths |= bit;
	} else if (++s->lost > 1) {
		scan_end(s, NULL, UINT32_MAX);
		return;
	}
	scan_wait_again(p, s);
}

static void
kill_worker(struct pool_worker *w)
{
	if (w->zygote->channel != NULL)
		channel_send(w->zygote->channel, FILTER_KILL, w->number, (struct span){0}, NULL);
}

/* It is heard no more until it is dead. */
static void
shut_up(struct pool_worker *w)
{
	channel_free(&w->channel);
	kill_worker(w);
}

static void
on_pickup(void *arg)
{
	struct pool_worker *w = arg;

	if (!w->is_busy || w->channel == NULL || !channel_is_unread(w->channel))
		return;
	log_event(LOG_WARN, "worker hangs", KV_INT("worker", w->number));
	kill_worker(w);
}

/* What the filters that were run in this message are worth. */
static void
tell_breakers(struct worker_pool *p, const struct scan *s, const struct scan_result *r)
{
	uint32_t failed = 0;

	for (size_t i = 0; i < r->n_outcomes; i++)
		if (r->outcomes[i].outcome < 0)
			failed |= 1U << r->outcomes[i].filter;
	for (size_t i = 0; i < s->flow->n_filters; i++) {
		if ((s->request.skip | r->not_run) >> i & 1)
			continue;
		if (failed >> i & 1)
			filter_failed(p, s, i);
		else
			breakers_worked(p->breakers, s->flow->filters[i].filter);
	}
}

/* Each leaves by itself after so many, or so long: one that does not is another's by now. */
static void
count_result(struct pool_worker *w)
{
	bool is_old = clock_mono_ms() - w->first_mono_ms >= POOL_AGE_MAX_MS;

	if ((++w->n_results < WORKER_MESSAGES && !is_old) || w->is_leaving)
		return;
	log_event(LOG_ERROR, "worker stays too long", KV_INT("worker", w->number));
	w->is_leaving = true;
	kill_worker(w);
}

static void
on_result(struct pool_worker *w, struct message *m)
{
	static struct scan_result result; /* large; used within this call only */
	struct scan *s = w->scan;

	if (s == NULL) {
		buf_free(&w->rewrite);
		w->is_busy = false;
		count_result(w);
		return;
	}
	if (w->rewrite.failed || scan_result_get(m->payload, s->flow, &result) < 0) {
		log_event(LOG_ERROR, "worker speaks nonsense", KV_INT("worker", w->number),
		    KV("id", s->request.id));
		w->scan = NULL;
		shut_up(w);
		scan_lost(w->pool, s, -1);
		return;
	}
	result.rewrite = buf_span(&w->rewrite);
	/* While it is busy: it is not yet to be given the trial that this may begin. */
	if (s->only == 0)
		tell_breakers(w->pool, s, &result);
	w->is_busy = false;
	count_result(w);
	scan_end(s, &result, s->request.skip);
	buf_free(&w->rewrite);
}

/*
 * As many workers of the zygote before are kept as the new one's are on their way.  Before one of those
 * is ready, all: it may still fail to start any.
 */
static void
retire_old(struct worker_pool *p)
{
	size_t n_ready = 0, n_starting = 0;

	LIST_FOR (it, &p->workers) {
		const struct pool_worker *w = LIST_ENTRY(it, struct pool_worker, node);

		n_ready += w->zygote == p->zygote && w->is_ready;
		n_starting += w->zygote == p->zygote && !w->is_ready;
	}
	LIST_FOR (it, &p->workers) {
		struct pool_worker *w = LIST_ENTRY(it, struct pool_worker, node);

		if (n_ready == 0 || w->zygote == p->zygote || w->is_leaving)
			continue;
		if (n_starting > 0) {
			n_starting--;
			continue;
		}
		w->is_retired = w->is_leaving = true;
		if (!w->is_busy)
			channel_free(&w->channel);
	}
}

/* What a worker says in its life: ready once, pieces of a rewrite (whole ones, then at most one that is shorter) and a
 * result for what it has been given, that it leaves.  More of it, or anything else, would only keep front busy. */
static bool
is_in_turn(const struct pool_worker *w, const struct message *m)
{
	bool is_its_message = w->is_busy && m->id == w->scan_id;

	switch (m->type) {
	case WORKER_RESULT:
		return is_its_message;
	case WORKER_REWRITE:
		return is_its_message && m->payload.n > 0 && !w->rewrite.failed &&
		       w->rewrite.n % SCAN_REWRITE_PIECE == 0;
	case WORKER_LEAVING:
		return !w->has_left;
	case WORKER_READY:
		return !w->is_ready;
	default:
		return false;
	}
}

static void
on_worker_message(void *arg, struct message *m)
{
	struct pool_worker *w = arg;
	struct worker_pool *p = w->pool;

	if (!is_in_turn(w, m)) {
		log_event(LOG_ERROR, "worker out of turn", KV_INT("worker", w->number));
		shut_up(w);
	} else if (m->type == WORKER_RESULT)
		on_result(w, m);
	else if (m->type == WORKER_REWRITE)
		(void)buf_add_span(&w->rewrite, m->payload); /* sticky: on_result tests */
	else if (m->type == WORKER_LEAVING)
		w->is_leaving = w->has_left = true;
	else
		w->is_ready = true;
	if (w->is_retired && !w->is_busy)
		channel_free(&w->channel);
	retire_old(p);
	give_work(p);
}

/*
 * Its death, with the filter it died in, is told by the zygote; without a zygote nobody tells.  One
 * that has closed or broken its channel and lives on would hold its place for ever: it is killed.
 */
static void
on_worker_close(void *arg)
{
	struct pool_worker *w = arg;
	struct worker_pool *p = w->pool;
	struct scan *s = w->scan;

	channel_free(&w->channel);
	if (w->zygote->channel != NULL) {
		kill_worker(w);
		return;
	}
	worker_free(w);
	if (s != NULL)
		scan_wait_again(p, s); /* which forgets the worker */
}

static const struct channel_events worker_events = {on_worker_message, on_worker_close};

static bool
knows_policy(const struct pool_worker *w, uint64_t version)
{
	for (size_t i = 0; i < WORKER_POLICIES; i++)
		if (w->known[i] == version)
			return true;
	return false;
}

static void
send_policy(struct pool_worker *w, const struct pool_policy *v)
{
	int fds[CHANNEL_FDS] = {-1, -1};

	if (knows_policy(w, v->version))
		return;
	fds[0] = fcntl(v->fd, F_DUPFD_CLOEXEC, 0);
	/* Without the descriptor the worker ends at the scan that needs it, and the scan goes on. */
	if (fds[0] < 0)
		return;
	channel_send(w->channel, WORKER_POLICY, v->version, (struct span){0}, fds);
	w->known[w->next_known++ % WORKER_POLICIES] = v->version;
}

static void
add_worker(struct zygote_link *from, struct message *m)
{
	struct worker_pool *p = from->pool;
	struct pool_worker *w;

	if (m->fds[0] < 0 || p->n_workers >= POOL_WORKERS_MAX)
		return;
	w = mem_alloc(sizeof(*w));
	w->pool = p;
	w->zygote = from;
	w->number = m->id;
	w->rewrite.max = SCAN_REWRITE_MAX;
	w->channel = channel_new(p->loop, m->fds[0], &worker_events, w);
	m->fds[0] = -1;
	list_append(&p->workers, &w->node);
	p->n_workers++;
	if (policies_current(&p->policies) != NULL)
		send_policy(w, policies_current(&p->policies));
}

/* What failed for want of signatures may work now. */
static void
tell_new(struct zygote_link *from)
{
	struct worker_pool *p = from->pool;

	if (from->is_new && p->events.on_works != NULL)
		p->events.on_works(p->events.arg, NULL);
	from->is_new = false;
}

static struct pool_worker *
find_worker(const struct zygote_link *from, uint64_t number)
{
	LIST_FOR (it, &from->pool->workers) {
		struct pool_worker *w = LIST_ENTRY(it, struct pool_worker, node);

		if (w->number == number && w->zygote == from)
			return w;
	}
	return NULL;
}

static void
worker_died(const struct zygote_link *from, struct message *m)
{
	struct worker_pool *p = from->pool;
	struct worker_death death;
	struct pool_worker *w;
	struct scan *s;

	if (worker_death_get(m->payload, &death) < 0)
		return;
	w = find_worker(from, m->id);
	if (w == NULL)
		return;
	/* The zygote may be heard before what the worker itself has said last: its result is not lost. */
	w->is_leaving = true;
	if (w->channel != NULL)
		channel_drain(w->channel);
	s = w->scan;
	if (w->is_busy || death.signal != 0 || death.exit_status != 0)
		log_event(LOG_WARN, "worker died", KV_INT("worker", w->number),
		    KV_INT("signal", death.signal), KV_INT("status", death.exit_status),
		    KV_INT("filter", death.filter),
		    KV_STR("deadline", death.was_deadline ? "yes" : "no"),
		    KV("id", s != NULL ? s->request.id : SPAN("-")));
	worker_free(w);
	if (s == NULL)
		return;
	s->worker = NULL;
	/* It went as workers go, and had not begun with this message: no fault of either. */
	if (death.scan == 0 && death.signal == 0 && death.exit_status == 0 &&
	    ++s->n_deaths < POOL_DEATHS_MAX)
		scan_wait_again(p, s);
	else
		scan_lost(p, s, death.scan == s->id ? death.filter : -1);
}

static void
on_zygote_message(void *arg, struct message *m)
{
	struct zygote_link *from = arg;

	if (m->type == FILTER_WORKER) {
		add_worker(from, m);
		tell_new(from);
	} else if (m->type == FILTER_DIED)
		worker_died(from, m);
	retire_old(from->pool);
	give_work(from->pool);
}

/* A zygote has died and its workers with it: what they had waits for others. */
static void
forget_workers(struct zygote_link *z)
{
	struct worker_pool *p = z->pool;

	channel_free(&z->channel);
	LIST_FOR_SAFE (it, &p->workers) {
		struct pool_worker *w = LIST_ENTRY(it, struct pool_worker, node);
		struct scan *s = w->scan;

		if (w->zygote != z)
			continue;
		worker_free(w);
		if (s != NULL)
			scan_wait_again(p, s);
	}
}

static void
on_zygote_close(void *arg)
{
	struct zygote_link *from = arg;
	struct worker_pool *p = from->pool;

	forget_workers(from);
	if (from == p->zygote && p->on_lost != NULL)
		p->on_lost(p->lost_arg);
}

static const struct channel_events zygote_events = {on_zygote_message, on_zygote_close};

struct worker_pool *
pool_new(struct loop *loop)
{
	struct worker_pool *p = mem_alloc(sizeof(*p));

	p->loop = loop;
	list_init(&p->workers);
	list_init(&p->waiting);
	policies_init(&p->policies);
	p->next_scan = 1;
	p->breakers = breakers_new();
	p->trials = trials_new(loop, p, p->breakers);
	p->zygotes[0].pool = p->zygotes[1].pool = p;
	p->zygote = &p->zygotes[0];
	return p;
}

void
pool_free(struct worker_pool **pool)
{
	struct worker_pool *p = *pool;

	if (p == NULL)
		return;
	forget_workers(&p->zygotes[0]);
	forget_workers(&p->zygotes[1]);
	trials_free(&p->trials);
	must(list_is_empty(&p->waiting));
	policies_free(&p->policies);
	breakers_free(&p->breakers);
	mem_free(p);
	*pool = NULL;
}

void
pool_on_lost(struct worker_pool *p, void (*on_lost)(void *arg), void *arg)
{
	p->on_lost = on_lost;
	p->lost_arg = arg;
}

void
pool_on_breaker(struct worker_pool *p, const struct breakers_events *events)
{
	p->events = *events;
	breakers_set_events(p->breakers, events);
}

void
pool_watch(struct worker_pool *p, const struct conf_filter *filter)
{
	breakers_watch(p->breakers, filter);
}

void
pool_connect(struct worker_pool *p, int zygote_fd)
{
	if (p->zygote->channel != NULL)
		p->zygote = &p->zygotes[p->zygote == &p->zygotes[0]];
	forget_workers(p->zygote);
	p->zygote->channel = channel_new(p->loop, zygote_fd, &zygote_events, p->zygote);
	p->zygote->is_new = true;
}

void
pool_set_policy(struct worker_pool *p, uint64_t version, struct span bundle)
{
	const struct pool_policy *v = policies_add(&p->policies, version, bundle);

	LIST_FOR (it, &p->workers) {
		struct pool_worker *w = LIST_ENTRY(it, struct pool_worker, node);

		if (w->channel != NULL)
			send_policy(w, v);
	}
}

void
pool_hold_policy(struct worker_pool *p, uint64_t version)
{
	policies_hold(&p->policies, version);
}

uint64_t
pool_hold_current(struct worker_pool *p)
{
	const struct pool_policy *v = policies_current(&p->policies);

	if (v == NULL)
		return 0;
	policies_hold(&p->policies, v->version);
	return v->version;
}

void
pool_release_policy(struct worker_pool *p, uint64_t version)
{
	policies_release(&p->policies, version);
}

static void
send_scan(struct pool_worker *w, struct scan *s)
{
	const struct pool_policy *policy = policies_find(&w->pool->policies, s->request.policy);
	struct buf b = BUF_INIT(REQUEST_MAX);
	int fds[CHANNEL_FDS] = {-1, -1};

	if (policy != NULL)
		send_policy(w, policy);
	if (s->body_fd >= 0)
		fds[0] = fcntl(s->body_fd, F_DUPFD_CLOEXEC, 0);
	s->request.skip =
	    s->only != 0 ? ~s->only : s->given_up | breakers_ask(w->pool->breakers, s->flow);
	scan_request_put(&b, &s->request);
	must(!b.failed);
	list_remove(&s->node);
	s->id = w->pool->next_scan++;
	s->worker = w;
	w->scan = s;
	w->scan_id = s->id;
	w->is_busy = true;
	if (w->first_mono_ms == 0)
		w->first_mono_ms = clock_mono_ms();
	channel_send(w->channel, WORKER_SCAN, s->id, buf_span(&b), fds);
	loop_timer(w->pool->loop, &w->pickup, POOL_PICKUP_MS, on_pickup, w);
	buf_free(&b);
}

static struct pool_worker *
idle_worker(const struct worker_pool *p)
{
	LIST_FOR (it, &p->workers) {
		struct pool_worker *w = LIST_ENTRY(it, struct pool_worker, node);

		if (!w->is_busy && !w->is_leaving && channel_is_open(w->channel))
			return w;
	}
	return NULL;
}

static void
give_work(struct worker_pool *p)
{
	while (!list_is_empty(&p->waiting)) {
		struct scan *s = LIST_ENTRY(p->waiting.next, struct scan, node);
		struct pool_worker *w = idle_worker(p);

		if (w == NULL)
			return;
		send_scan(w, s);
	}
}

static void
on_deadline(void *arg)
{
	struct scan *s = arg;

	log_event(LOG_WARN, "filters took too long", KV("id", s->request.id),
	    KV_STR("worker", s->worker != NULL ? "busy" : "none was free"));
	if (s->worker != NULL)
		kill_worker(s->worker);
	scan_end(s, NULL, UINT32_MAX);
}

void
pool_scan(struct worker_pool *p, struct scan *s)
{
	int64_t limit_ms = POOL_WAIT_MS;

	/* Twice: a message is given to a second worker once. */
	for (size_t i = 0; i < s->flow->n_filters; i++)
		limit_ms += 2 * s->flow->filters[i].filter->deadline_ms;
	s->pool = p;
	s->worker = NULL;
	s->deaths = s->given_up = 0;
	s->lost = s->n_deaths = 0;
	s->request.skip = 0;
	list_init(&s->node);
	if (s->only != 0)
		list_prepend(&p->waiting, &s->node);
	else
		list_append(&p->waiting, &s->node);
	loop_timer(p->loop, &s->deadline, limit_ms, on_deadline, s);
	give_work(p);
}

void
pool_cancel(struct scan *s)
{
	if (s->pool == NULL)
		return;
	scan_detach(s);
}

size_t
pool_idle(const struct worker_pool *p)
{
	size_t n = 0;

	LIST_FOR (it, &p->workers)
		n += !LIST_ENTRY(it, struct pool_worker, node)->is_busy;
	return n;
}

size_t
pool_size(const struct worker_pool *p)
{
	return p->n_workers;
}

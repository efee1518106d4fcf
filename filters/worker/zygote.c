#include "filters/worker/zygote.h"
#include "filters/worker/limits.h"
#include "relay/base/clock.h"
#include "relay/base/log.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATH_BYTES = 512 };

struct slot {
	struct zygote *z;
	struct zygote_front *front;
	unsigned index;
	pid_t pid;       /* 0: none */
	uint64_t number; /* of this worker; front knows it by that */
	int64_t born_mono_ms, delay_ms;
	bool was_deadline, is_outdated; /* why it was killed, if it was */
	struct timer *birth;            /* a birth that waits */
	struct worker_page *page;       /* a mapping of its own: its worker keeps this one only */
};

/* Who is served, and its share of the workers. */
struct zygote_front {
	struct zygote *z;
	struct channel *channel; /* NULL: it is away */
	struct slot *slots;      /* settings.n_workers of them */
};

struct zygote {
	struct loop *loop;
	struct chain *chain;
	struct zygote_settings settings;
	char *folder;
	struct zygote_front fronts[CONFIG_FRONTS_MAX];
	int child_fd;
	struct watch *child_watch;
	struct timer *tick;
	uint64_t last_number;
	struct slot *slots; /* of all fronts */
	unsigned n_slots;
	bool has_problem, is_draining;
	void (*drained)(void *arg); /* NULL: told, or not asked for */
	void *drained_arg;
	/* The trial, in the first slot: our end of its worker's channel; tried is NULL but during it. */
	struct channel *trial;
	bool was_ready;
	void (*tried)(void *arg, bool is_fine);
	void *tried_arg;
};

static void slot_fork(struct slot *s);

static void
slot_kill(struct slot *s)
{
	if (s->pid > 0 && kill(s->pid, SIGKILL) < 0 && errno != ESRCH)
		log_event(LOG_ERROR, "cannot kill worker", KV_INT("pid", s->pid));
}

static struct worker_page *
page_map(void)
{
	void *p = mmap(NULL, sizeof(struct worker_page), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	must(p != MAP_FAILED);
	return p;
}

static void
page_unmap(struct worker_page *p)
{
	must(munmap(p, sizeof(*p)) == 0);
}

/* In the worker: what it could write there would be believed of another. */
static void
unmap_others(const struct slot *own)
{
	for (unsigned i = 0; i < own->z->n_slots; i++)
		if (i != own->index)
			page_unmap(own->z->slots[i].page);
}

static void __attribute__((noreturn))
be_worker(struct slot *s, int fd, int parent, uint64_t memory_max)
{
	char path[PATH_BYTES];
	const struct zygote *z = s->z;
	const struct worker w = {.chain = z->chain,
	    .fd = fd,
	    .parent = parent,
	    .tmpdir = path,
	    .page = s->page,
	    .messages_max = z->settings.messages_max,
	    .age_max_ms = z->settings.age_max_ms,
	    .memory_max = memory_max,
	    .sandbox = z->settings.sandbox};

	unmap_others(s);
	must(snprintf(path, sizeof(path), "%s/%u", z->folder, z->settings.first_folder + s->index) <
	     (int)sizeof(path));
	worker_run(&w);
}

static void
on_birth(void *arg)
{
	slot_fork(arg);
}

static void
birth_later(struct slot *s)
{
	s->delay_ms = s->delay_ms == 0 ? ZYGOTE_FIRST_DELAY_MS : s->delay_ms * 2;
	if (s->delay_ms > ZYGOTE_LAST_DELAY_MS)
		s->delay_ms = ZYGOTE_LAST_DELAY_MS;
	loop_timer(s->z->loop, &s->birth, s->delay_ms, on_birth, s);
}

/* Returns our end of the channel to a new worker; -1: there is none. */
static int
slot_begin(struct slot *s)
{
	struct zygote *z = s->z;
	int ends[2], parent = getpid();
	uint64_t own = limits_memory(z->settings.memory_fd);

	channel_pair(ends);
	page_reset(s->page);
	s->number = ++z->last_number;
	s->was_deadline = s->is_outdated = false;
	s->born_mono_ms = clock_mono_ms();
	s->pid = fork();
	if (s->pid == 0) {
		(void)close(ends[0]); /* front's */
		be_worker(s, ends[1], parent, own > 0 ? own + WORKER_MEMORY_MAX : 0);
	}
	(void)close(ends[1]); /* the worker's */
	if (s->pid < 0) {
		log_event(LOG_ERROR, "no worker", KV_STR("why", "fork failed"));
		s->pid = 0;
		(void)close(ends[0]); /* nobody at the other end */
		return -1;
	}
	return ends[0];
}

static void
slot_fork(struct slot *s)
{
	struct zygote *z = s->z;
	int fds[CHANNEL_FDS];

	if (s->front->channel == NULL || s->pid != 0 || z->is_draining)
		return;
	for (int i = 0; i < CHANNEL_FDS; i++)
		fds[i] = -1;
	fds[0] = slot_begin(s);
	if (fds[0] < 0) {
		birth_later(s);
		return;
	}
	channel_send(s->front->channel, FILTER_WORKER, s->number, (struct span){0}, fds);
}

static void
tell_problem(struct zygote *z, bool is_over, const char *what)
{
	if (z->has_problem == !is_over)
		return;
	z->has_problem = !is_over;
	if (z->settings.problem != NULL)
		z->settings.problem(z->settings.arg, is_over, what);
}

/* NULL: it had started, or went as workers go. */
static const char *
start_problem(const struct slot *s, int status, char filter[PAGE_START_MAX])
{
	size_t n;

	if (page_read_start(s->page, filter) && !s->is_outdated) {
		n = strlen(filter);
		if (WIFSIGNALED(status))
			(void)snprintf(filter + n, PAGE_START_MAX - n, " (signal %d: %s)",
			    WTERMSIG(status), strsignal(WTERMSIG(status))); /* or cut */
		return filter;
	}
	switch (WIFEXITED(status) ? WEXITSTATUS(status) : -1) {
	case WORKER_NO_LIMITS:
		return "filter workers cannot use their folder or limits";
	case WORKER_NO_SANDBOX:
		return "filter workers cannot enter their sandbox";
	case WORKER_NO_FILTERS:
		return "a filter does not start in its worker";
	default:
		return NULL;
	}
}

/* Name of the filter it was at, by the worker's own word. */
static const char *
name_of(const struct zygote *z, const struct worker_doing *d)
{
	const struct config *c = z->chain->config;

	if (d->scan == 0 || d->filter < 0 || d->flow >= c->n_flows ||
	    (size_t)d->filter >= c->flows[d->flow].n_filters)
		return "-";
	return c->flows[d->flow].filters[d->filter].filter->name;
}

static void
tell_death(const struct slot *s, int status, const struct worker_doing *doing)
{
	struct buf b = BUF_INIT(64);
	struct worker_death d = {.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0,
	    .exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 0,
	    .filter = doing->scan != 0 ? doing->filter : -1,
	    .scan = doing->scan,
	    .was_deadline = s->was_deadline};

	/* Neither its filter nor its message is to blame: it counts as one that has left before it began. */
	if (s->is_outdated && !s->was_deadline && d.signal == SIGKILL)
		d = (struct worker_death){.filter = -1};
	/* The page is the worker's word: an index front would refuse is no index. */
	if (d.filter < -1 || d.filter >= CONFIG_FILTERS_MAX)
		d.filter = -1;
	if (d.signal != 0 || d.exit_status != 0)
		log_event(LOG_WARN, "worker died", KV_INT("worker", s->number),
		    KV_INT("signal", d.signal), KV_INT("status", d.exit_status),
		    KV_STR("filter", name_of(s->z, doing)), KV_INT("deadline", d.was_deadline));
	if (s->front->channel == NULL)
		return;
	worker_death_put(&b, &d);
	channel_send(s->front->channel, FILTER_DIED, s->number, buf_span(&b), NULL);
	buf_free(&b);
}

static void
tell_drained(struct zygote *z)
{
	void (*drained)(void *) = z->drained;

	for (unsigned i = 0; i < z->n_slots; i++)
		if (z->slots[i].pid != 0)
			return;
	z->drained = NULL;
	if (drained != NULL)
		drained(z->drained_arg);
}

/* It is over when its worker has gone, so that the slot is free. */
static void
tell_tried(struct zygote *z)
{
	void (*tried)(void *, bool) = z->tried;

	channel_free(&z->trial);
	z->tried = NULL;
	if (tried != NULL)
		tried(z->tried_arg, z->was_ready);
}

static void
slot_died(struct slot *s, int status)
{
	struct zygote *z = s->z;
	bool was_young = clock_mono_ms() - s->born_mono_ms < ZYGOTE_YOUNG_MS;
	bool was_clean = WIFEXITED(status) && WEXITSTATUS(status) == WORKER_DONE;
	char filter[PAGE_START_MAX];
	const char *problem = start_problem(s, status, filter);
	struct worker_doing doing;

	if (page_read(s->page, &doing) < 0)
		doing = (struct worker_doing){.filter = -1}; /* it died between two filters */
	s->pid = 0;
	tell_death(s, status, &doing);
	if (problem != NULL)
		tell_problem(z, false, problem);
	else if (was_clean || !was_young)
		tell_problem(z, true, NULL);
	tell_drained(z);
	if (s == z->slots)
		tell_tried(z);
	if (s->front->channel == NULL || z->is_draining)
		return;
	/* One that dies at its work is replaced at once; one that cannot start gets no such haste. */
	if (was_young && !was_clean && !s->was_deadline && doing.scan == 0) {
		birth_later(s);
		return;
	}
	s->delay_ms = 0;
	slot_fork(s);
}

static void
reap(struct zygote *z)
{
	for (unsigned i = 0; i < z->n_slots; i++) {
		struct slot *s = &z->slots[i];
		int status;

		/* One by one: another part of this process may have children of its own. */
		if (s->pid > 0 && waitpid(s->pid, &status, WNOHANG) == s->pid)
			slot_died(s, status);
	}
}

static void
on_child(void *arg, unsigned events)
{
	struct signalfd_siginfo info;
	struct zygote *z = arg;

	(void)events;
	while (read(z->child_fd, &info, sizeof(info)) == (ssize_t)sizeof(info))
		; /* which child it was, waitpid says */
	reap(z);
}

static int64_t
deadline_of(const struct zygote *z, const struct worker_doing *d)
{
	const struct config *c = z->chain->config;

	if (d->filter >= 0 && d->flow < c->n_flows &&
	    (size_t)d->filter < c->flows[d->flow].n_filters)
		return c->flows[d->flow].filters[d->filter].filter->deadline_ms;
	return ZYGOTE_PARSE_MS;
}

static void
check_deadline(struct zygote *z, struct slot *s)
{
	struct worker_doing d;

	if (s->pid == 0 || s->was_deadline || page_read(s->page, &d) < 0 || d.scan == 0)
		return;
	if (clock_mono_ms() - d.since_mono_ms <= deadline_of(z, &d))
		return;
	s->was_deadline = true;
	slot_kill(s);
}

static void
on_tick(void *arg)
{
	struct zygote *z = arg;

	for (unsigned i = 0; i < z->n_slots; i++)
		check_deadline(z, &z->slots[i]);
	reap(z);
	loop_timer(z->loop, &z->tick, ZYGOTE_TICK_MS, on_tick, z);
}

static void
on_front_message(void *arg, struct message *m)
{
	struct zygote_front *f = arg;

	if (m->type != FILTER_KILL) {
		log_event(LOG_WARN, "unknown message from front", KV_INT("type", m->type));
		return;
	}
	for (unsigned i = 0; i < f->z->settings.n_workers; i++)
		if (f->slots[i].pid > 0 && f->slots[i].number == m->id)
			slot_kill(&f->slots[i]);
}

static void
end_workers(struct zygote_front *f)
{
	for (unsigned i = 0; i < f->z->settings.n_workers; i++) {
		struct slot *s = &f->slots[i];

		timer_cancel(&s->birth);
		s->delay_ms = 0;
		if (s->pid == 0)
			continue;
		slot_kill(s);
		while (waitpid(s->pid, NULL, 0) < 0 && errno == EINTR)
			;
		s->pid = 0;
	}
}

static void
on_front_gone(void *arg)
{
	struct zygote_front *f = arg;

	channel_free(&f->channel);
	end_workers(f);
	tell_drained(f->z);
}

/* Without a channel the worker goes, as one without a front does. */
static void
on_trial_message(void *arg, struct message *m)
{
	struct zygote *z = arg;

	z->was_ready = m->type == WORKER_READY;
	channel_free(&z->trial);
}

static void
on_trial_gone(void *arg)
{
	struct zygote *z = arg;

	channel_free(&z->trial);
}

static const struct channel_events trial_events = {on_trial_message, on_trial_gone};

static const struct channel_events front_events = {on_front_message, on_front_gone};

struct zygote *
zygote_new(struct loop *loop, struct chain *chain, const struct zygote_settings *settings)
{
	unsigned fronts = settings->n_fronts > 0 ? settings->n_fronts : 1;
	unsigned n = settings->n_workers * fronts;
	struct zygote *z = mem_alloc(sizeof(*z));
	sigset_t child;

	must(n > 0 && n <= ZYGOTE_WORKERS_MAX && fronts <= CONFIG_FRONTS_MAX);
	z->loop = loop;
	z->chain = chain;
	z->settings = *settings;
	z->folder = mem_dup(span_str(settings->folder));
	z->settings.n_fronts = fronts;
	z->n_slots = n;
	z->slots = mem_array(n, sizeof(z->slots[0]));
	for (unsigned i = 0; i < fronts; i++)
		z->fronts[i] = (struct zygote_front){z, NULL, z->slots + i * settings->n_workers};
	for (unsigned i = 0; i < n; i++) {
		z->slots[i].z = z;
		z->slots[i].front = &z->fronts[i / settings->n_workers];
		z->slots[i].index = i;
		z->slots[i].page = page_map();
	}
	sigemptyset(&child);
	sigaddset(&child, SIGCHLD);
	must(sigprocmask(SIG_BLOCK, &child, NULL) == 0);
	z->child_fd = signalfd(-1, &child, SFD_NONBLOCK | SFD_CLOEXEC);
	must(z->child_fd >= 0);
	z->child_watch = loop_watch(loop, z->child_fd, LOOP_READ, on_child, z);
	loop_timer(loop, &z->tick, ZYGOTE_TICK_MS, on_tick, z);
	return z;
}

void
zygote_free(struct zygote **zp)
{
	struct zygote *z = *zp;

	if (z == NULL)
		return;
	for (unsigned i = 0; i < z->settings.n_fronts; i++) {
		end_workers(&z->fronts[i]);
		channel_free(&z->fronts[i].channel);
	}
	channel_free(&z->trial);
	timer_cancel(&z->tick);
	watch_remove(&z->child_watch);
	(void)close(z->child_fd); /* a signalfd: nothing to lose */
	for (unsigned i = 0; i < z->n_slots; i++)
		page_unmap(z->slots[i].page);
	mem_free(z->slots);
	mem_free(z->folder);
	mem_free(z);
	*zp = NULL;
}

void
zygote_try(struct zygote *z, void (*tried)(void *arg, bool is_fine), void *arg)
{
	int fd;

	must(z->slots[0].pid == 0 && z->fronts[0].channel == NULL);
	z->was_ready = false;
	z->tried = tried;
	z->tried_arg = arg;
	fd = slot_begin(&z->slots[0]);
	if (fd < 0)
		tell_tried(z);
	else
		z->trial = channel_new(z->loop, fd, &trial_events, z);
}

void
zygote_serve(struct zygote *z, unsigned front, int fd)
{
	struct zygote_front *f = &z->fronts[front];

	if (front >= z->settings.n_fronts) {
		(void)close(fd); /* the supervisor's configuration is another than ours */
		return;
	}
	end_workers(f);
	channel_free(&f->channel);
	f->channel = channel_new(z->loop, fd, &front_events, f);
	for (unsigned i = 0; i < z->settings.n_workers; i++)
		slot_fork(&f->slots[i]);
}

void
zygote_drain(struct zygote *z, void (*drained)(void *arg), void *arg)
{
	z->is_draining = true;
	z->drained = drained;
	z->drained_arg = arg;
	for (unsigned i = 0; i < z->n_slots; i++)
		timer_cancel(&z->slots[i].birth);
	tell_drained(z);
}

void
zygote_refresh(struct zygote *z)
{
	for (unsigned i = 0; i < z->n_slots; i++)
		if (z->slots[i].pid > 0) {
			z->slots[i].is_outdated = true;
			slot_kill(&z->slots[i]);
		}
}

#include "relay/spool/commit.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct committer {
	const struct spool_io *io;
	int dir, event_fd;
	pthread_t thread;
	pthread_mutex_t lock; /* of everything below */
	pthread_cond_t work, idle;
	struct list queue, done;
	bool is_busy, is_halted, is_stopping;
	uint64_t n_syncs;
};

/* The next job that may run now; NULL: none. Under the lock. */
static struct job *
next_job(struct committer *c)
{
	LIST_FOR (it, &c->queue) {
		struct job *j = LIST_ENTRY(it, struct job, node);

		if (j->kind != JOB_BATCH || !c->is_halted)
			return j;
	}
	return NULL;
}

static void
finish(struct committer *c, struct job *j)
{
	bool was_empty = list_is_empty(&c->done);

	list_append(&c->done, &j->node);
	if (j->kind == JOB_BATCH && j->failed != 0 && j->is_touched)
		c->is_halted = true;
	if (was_empty)
		must(eventfd_write(c->event_fd, 1) == 0);
}

static void *
committer_main(void *arg)
{
	struct committer *c = arg;
	struct job *j;

	must(pthread_mutex_lock(&c->lock) == 0);
	for (;;) {
		uint64_t n_syncs = 0;

		j = next_job(c);
		if (j == NULL) {
			c->is_busy = false;
			must(pthread_cond_broadcast(&c->idle) == 0);
			if (c->is_stopping)
				break;
			must(pthread_cond_wait(&c->work, &c->lock) == 0);
			continue;
		}
		c->is_busy = true;
		list_remove(&j->node);
		must(pthread_mutex_unlock(&c->lock) == 0);
		job_run(j, c->io, c->dir, &n_syncs);
		must(pthread_mutex_lock(&c->lock) == 0);
		c->n_syncs += n_syncs;
		finish(c, j);
	}
	must(pthread_mutex_unlock(&c->lock) == 0);
	return NULL;
}

struct committer *
commit_start(const struct spool_io *io, int dir)
{
	struct committer *c = mem_alloc(sizeof(*c));
	sigset_t all, before;

	c->io = io;
	c->dir = dir;
	list_init(&c->queue);
	list_init(&c->done);
	c->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	must(c->event_fd >= 0);
	must(pthread_mutex_init(&c->lock, NULL) == 0);
	must(pthread_cond_init(&c->work, NULL) == 0);
	must(pthread_cond_init(&c->idle, NULL) == 0);
	/* Signals are the loop thread's. */
	must(sigfillset(&all) == 0 && pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
	must(pthread_create(&c->thread, NULL, committer_main, c) == 0);
	must(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
	return c;
}

int
commit_fd(const struct committer *c)
{
	return c->event_fd;
}

void
commit_push(struct committer *c, struct job *j)
{
	must(pthread_mutex_lock(&c->lock) == 0);
	list_append(&c->queue, &j->node);
	if (!c->is_busy) {
		c->is_busy = true;
		must(pthread_cond_signal(&c->work) == 0);
	}
	must(pthread_mutex_unlock(&c->lock) == 0);
}

bool
commit_extend(struct committer *c, struct job *j, struct list *items)
{
	bool is_queued = false;

	must(pthread_mutex_lock(&c->lock) == 0);
	LIST_FOR (it, &c->queue)
		is_queued = is_queued || it == &j->node;
	if (is_queued)
		LIST_FOR_SAFE (it, items) {
			list_remove(it);
			list_append(&j->items, it);
		}
	must(pthread_mutex_unlock(&c->lock) == 0);
	return is_queued;
}

void
commit_finished(struct committer *c, struct list *out)
{
	eventfd_t count;

	must(pthread_mutex_lock(&c->lock) == 0);
	(void)eventfd_read(c->event_fd, &count); /* EAGAIN: taken by an earlier call */
	LIST_FOR_SAFE (it, &c->done) {
		list_remove(it);
		list_append(out, it);
	}
	must(pthread_mutex_unlock(&c->lock) == 0);
}

void
commit_take_back(struct committer *c, struct list *out)
{
	must(pthread_mutex_lock(&c->lock) == 0);
	LIST_FOR_SAFE (it, &c->queue) {
		if (LIST_ENTRY(it, struct job, node)->kind != JOB_BATCH)
			continue;
		list_remove(it);
		list_append(out, it);
	}
	c->is_halted = false;
	must(pthread_mutex_unlock(&c->lock) == 0);
}

void
commit_wait(struct committer *c)
{
	must(pthread_mutex_lock(&c->lock) == 0);
	while (c->is_busy)
		must(pthread_cond_wait(&c->idle, &c->lock) == 0);
	must(pthread_mutex_unlock(&c->lock) == 0);
}

uint64_t
commit_syncs(struct committer *c)
{
	uint64_t n;

	must(pthread_mutex_lock(&c->lock) == 0);
	n = c->n_syncs;
	must(pthread_mutex_unlock(&c->lock) == 0);
	return n;
}

static void
free_jobs(struct list *jobs)
{
	LIST_FOR_SAFE (it, jobs) {
		struct job *j = LIST_ENTRY(it, struct job, node);

		job_free(&j);
	}
}

void
commit_stop(struct committer **c)
{
	if (*c == NULL)
		return;
	must(pthread_mutex_lock(&(*c)->lock) == 0);
	(*c)->is_stopping = true;
	must(pthread_cond_signal(&(*c)->work) == 0);
	must(pthread_mutex_unlock(&(*c)->lock) == 0);
	must(pthread_join((*c)->thread, NULL) == 0);
	free_jobs(&(*c)->queue);
	free_jobs(&(*c)->done);
	must(pthread_mutex_destroy(&(*c)->lock) == 0);
	must(pthread_cond_destroy(&(*c)->work) == 0);
	must(pthread_cond_destroy(&(*c)->idle) == 0);
	(void)close((*c)->event_fd); /* nothing to lose */
	mem_free(*c);
	*c = NULL;
}

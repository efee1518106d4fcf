/*
 * sim_commit.h - commit.h without a thread, for the simulator: a job is done when the test says so,
 * so that a run repeats to the byte.  Defines what relay/spool/commit.c does; one file of a program
 * may include it.
 */
#ifndef TESTS_SIM_COMMIT_H
#define TESTS_SIM_COMMIT_H
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/spool/commit.h"

#include <sys/eventfd.h>
#include <unistd.h>

struct committer {
	const struct spool_io *io;
	int dir, event_fd;
	struct list queue, done;
	bool is_halted;
	uint64_t n_syncs;
};

struct committer *
commit_start(const struct spool_io *io, int dir)
{
	struct committer *c = mem_alloc(sizeof(*c));

	c->io = io;
	c->dir = dir;
	list_init(&c->queue);
	list_init(&c->done);
	c->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	must(c->event_fd >= 0);
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
	list_append(&c->queue, &j->node);
}

bool
commit_extend(struct committer *c, struct job *j, struct list *items)
{
	bool is_queued = false;

	LIST_FOR (it, &c->queue)
		is_queued = is_queued || it == &j->node;
	if (is_queued)
		LIST_FOR_SAFE (it, items) {
			list_remove(it);
			list_append(&j->items, it);
		}
	return is_queued;
}

/* Does the next job that may run; false: none. */
static bool
sim_commit_step(struct committer *c)
{
	LIST_FOR (it, &c->queue) {
		struct job *j = LIST_ENTRY(it, struct job, node);

		if (j->kind == JOB_BATCH && c->is_halted)
			continue;
		list_remove(it);
		job_run(j, c->io, c->dir, &c->n_syncs);
		if (j->kind == JOB_BATCH && j->failed != 0 && j->is_touched)
			c->is_halted = true;
		if (list_is_empty(&c->done))
			must(eventfd_write(c->event_fd, 1) == 0);
		list_append(&c->done, &j->node);
		return true;
	}
	return false;
}

void
commit_finished(struct committer *c, struct list *out)
{
	eventfd_t count;

	(void)eventfd_read(c->event_fd, &count); /* EAGAIN: nothing was done */
	LIST_FOR_SAFE (it, &c->done) {
		list_remove(it);
		list_append(out, it);
	}
}

void
commit_take_back(struct committer *c, struct list *out)
{
	LIST_FOR_SAFE (it, &c->queue) {
		if (LIST_ENTRY(it, struct job, node)->kind != JOB_BATCH)
			continue;
		list_remove(it);
		list_append(out, it);
	}
	c->is_halted = false;
}

void
commit_wait(struct committer *c)
{
	while (sim_commit_step(c))
		continue;
}

uint64_t
commit_syncs(struct committer *c)
{
	return c->n_syncs;
}

void
commit_stop(struct committer **c)
{
	struct list *lists[2];

	if (*c == NULL)
		return;
	lists[0] = &(*c)->queue;
	lists[1] = &(*c)->done;
	for (size_t i = 0; i < 2; i++)
		LIST_FOR_SAFE (it, lists[i]) {
			struct job *j = LIST_ENTRY(it, struct job, node);

			job_free(&j);
		}
	(void)close((*c)->event_fd); /* nothing to lose */
	mem_free(*c);
	*c = NULL;
}

#endif

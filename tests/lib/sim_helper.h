/*
 * sim_helper.h - helper.h without a thread, for the simulator: a task is run when the test says so,
 * so that a run repeats to the byte.  Defines what relay/quarantine/helper.c does; one file of a
 * program may include it.
 */
#ifndef TESTS_SIM_HELPER_H
#define TESTS_SIM_HELPER_H
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/quarantine/helper.h"

#include <sys/eventfd.h>
#include <unistd.h>

struct helper {
	struct watch *watch;
	int event_fd;
	struct list queue, finished;
};

/* Runs the next task; false: none. */
static bool
sim_helper_step(struct helper *h)
{
	struct task *t;

	if (list_is_empty(&h->queue))
		return false;
	t = LIST_ENTRY(h->queue.next, struct task, node);
	list_remove(&t->node);
	t->run(t);
	list_append(&h->finished, &t->node);
	must(eventfd_write(h->event_fd, 1) == 0);
	return true;
}

static void
sim_helper_tell(struct helper *h)
{
	struct list finished;

	list_init(&finished);
	LIST_FOR_SAFE (it, &h->finished) {
		list_remove(it);
		list_append(&finished, it);
	}
	while (!list_is_empty(&finished)) {
		struct task *t = LIST_ENTRY(finished.next, struct task, node);

		list_remove(&t->node);
		t->done(t);
	}
}

static void
sim_helper_on_finished(void *arg, unsigned events)
{
	struct helper *h = arg;
	eventfd_t count;

	(void)events;
	(void)eventfd_read(h->event_fd, &count); /* EAGAIN: told already */
	sim_helper_tell(h);
}

struct helper *
helper_start(struct loop *loop)
{
	struct helper *h = mem_alloc(sizeof(*h));

	list_init(&h->queue);
	list_init(&h->finished);
	h->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	must(h->event_fd >= 0);
	h->watch = loop_watch(loop, h->event_fd, LOOP_READ, sim_helper_on_finished, h);
	return h;
}

void
helper_push(struct helper *h, struct task *t)
{
	list_append(&h->queue, &t->node);
}

void
helper_stop(struct helper **h)
{
	struct helper *gone = *h;

	if (gone == NULL)
		return;
	do {
		while (sim_helper_step(gone))
			continue;
		sim_helper_tell(gone);
	} while (!list_is_empty(&gone->queue));
	watch_remove(&gone->watch);
	(void)close(gone->event_fd); /* nothing to lose */
	mem_free(gone);
	*h = NULL;
}

#endif

#include "relay/quarantine/helper.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"

#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct helper {
	struct watch *watch;
	int event_fd;
	pthread_t thread;
	pthread_mutex_t lock; /* of everything below */
	pthread_cond_t work, idle;
	struct list queue, finished;
	bool is_busy, is_stopping;
};

/* The next task, the lock held; waits for one.  NULL: the end. */
static struct task *
next_task(struct helper *h)
{
	while (list_is_empty(&h->queue)) {
		h->is_busy = false;
		must(pthread_cond_broadcast(&h->idle) == 0);
		if (h->is_stopping)
			return NULL;
		must(pthread_cond_wait(&h->work, &h->lock) == 0);
	}
	h->is_busy = true;
	return LIST_ENTRY(h->queue.next, struct task, node);
}

static void *
helper_main(void *arg)
{
	struct helper *h = arg;
	struct task *t;

	must(pthread_mutex_lock(&h->lock) == 0);
	while ((t = next_task(h)) != NULL) {
		list_remove(&t->node);
		must(pthread_mutex_unlock(&h->lock) == 0);
		t->run(t);
		must(pthread_mutex_lock(&h->lock) == 0);
		list_append(&h->finished, &t->node);
		must(eventfd_write(h->event_fd, 1) == 0);
	}
	must(pthread_mutex_unlock(&h->lock) == 0);
	return NULL;
}

/* Tells what is finished; true: there was something. */
static bool
tell(struct helper *h)
{
	struct list finished;
	bool has_any;

	list_init(&finished);
	must(pthread_mutex_lock(&h->lock) == 0);
	LIST_FOR_SAFE (it, &h->finished) {
		list_remove(it);
		list_append(&finished, it);
	}
	must(pthread_mutex_unlock(&h->lock) == 0);
	has_any = !list_is_empty(&finished);
	while (!list_is_empty(&finished)) {
		struct task *t = LIST_ENTRY(finished.next, struct task, node);

		list_remove(&t->node);
		t->done(t);
	}
	return has_any;
}

static void
on_finished(void *arg, unsigned events)
{
	struct helper *h = arg;
	eventfd_t count;

	(void)events;
	(void)eventfd_read(h->event_fd, &count); /* EAGAIN: told already */
	(void)tell(h);                           /* perhaps nothing, for the same reason */
}

struct helper *
helper_start(struct loop *loop)
{
	struct helper *h = mem_alloc(sizeof(*h));
	sigset_t all, before;

	list_init(&h->queue);
	list_init(&h->finished);
	h->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	must(h->event_fd >= 0);
	must(pthread_mutex_init(&h->lock, NULL) == 0);
	must(pthread_cond_init(&h->work, NULL) == 0);
	must(pthread_cond_init(&h->idle, NULL) == 0);
	h->watch = loop_watch(loop, h->event_fd, LOOP_READ, on_finished, h);
	/* Signals are the loop thread's. */
	must(sigfillset(&all) == 0 && pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
	must(pthread_create(&h->thread, NULL, helper_main, h) == 0);
	must(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
	return h;
}

void
helper_push(struct helper *h, struct task *t)
{
	must(pthread_mutex_lock(&h->lock) == 0);
	list_append(&h->queue, &t->node);
	h->is_busy = true;
	must(pthread_cond_signal(&h->work) == 0);
	must(pthread_mutex_unlock(&h->lock) == 0);
}

void
helper_stop(struct helper **h)
{
	struct helper *gone = *h;

	if (gone == NULL)
		return;
	do {
		must(pthread_mutex_lock(&gone->lock) == 0);
		while (gone->is_busy)
			must(pthread_cond_wait(&gone->idle, &gone->lock) == 0);
		must(pthread_mutex_unlock(&gone->lock) == 0);
	} while (tell(gone));
	must(pthread_mutex_lock(&gone->lock) == 0);
	gone->is_stopping = true;
	must(pthread_cond_signal(&gone->work) == 0);
	must(pthread_mutex_unlock(&gone->lock) == 0);
	must(pthread_join(gone->thread, NULL) == 0);
	watch_remove(&gone->watch);
	must(pthread_mutex_destroy(&gone->lock) == 0);
	must(pthread_cond_destroy(&gone->work) == 0);
	must(pthread_cond_destroy(&gone->idle) == 0);
	(void)close(gone->event_fd); /* nothing to lose */
	mem_free(gone);
	*h = NULL;
}

#include "relay/key/checker.h"
#include "relay/base/list.h"
#include "relay/base/mem.h"

#include <openssl/crypto.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct job {
	struct list node;
	uint64_t asker, id;
	struct user user;
	struct buf password;
	bool is_known, is_password;
};

struct checker {
	struct loop *loop;
	struct watch *watch;
	int event;
	pthread_t thread;
	void (*on_result)(void *arg, uint64_t asker, uint64_t id, bool is_password);
	void *arg;
	size_t n; /* asked and not yet answered; the loop's */
	pthread_mutex_t mutex;
	pthread_cond_t changed;
	/* Below, by the mutex. */
	struct list waiting, done;
	bool is_ending;
};

static void
job_free(struct job *job)
{
	OPENSSL_cleanse(job->password.p, job->password.n);
	buf_free(&job->password);
	OPENSSL_cleanse(job, sizeof(*job));
	mem_free(job);
}

static struct job *
first(struct list *head)
{
	struct job *job = LIST_ENTRY(head->next, struct job, node);

	list_remove(&job->node);
	return job;
}

static void
tell_loop(struct checker *c)
{
	const uint64_t one = 1;

	/* Fails only when it is told already. */
	(void)!write(c->event, &one, sizeof(one));
}

static void *
work(void *arg)
{
	struct checker *c = arg;

	must(pthread_mutex_lock(&c->mutex) == 0);
	for (;;) {
		struct job *job;

		while (list_is_empty(&c->waiting) && !c->is_ending)
			must(pthread_cond_wait(&c->changed, &c->mutex) == 0);
		if (c->is_ending)
			break;
		job = first(&c->waiting);
		must(pthread_mutex_unlock(&c->mutex) == 0);
		job->is_password =
		    user_is_password(&job->user, buf_span(&job->password)) && job->is_known;
		must(pthread_mutex_lock(&c->mutex) == 0);
		list_append(&c->done, &job->node);
		tell_loop(c);
	}
	must(pthread_mutex_unlock(&c->mutex) == 0);
	return NULL;
}

static void
on_event(void *arg, unsigned events)
{
	struct checker *c = arg;
	uint64_t count;

	(void)events;
	(void)!read(c->event, &count, sizeof(count)); /* how often does not matter */
	for (;;) {
		struct job *job = NULL;

		must(pthread_mutex_lock(&c->mutex) == 0);
		if (!list_is_empty(&c->done))
			job = first(&c->done);
		must(pthread_mutex_unlock(&c->mutex) == 0);
		if (job == NULL)
			return;
		c->n--;
		c->on_result(c->arg, job->asker, job->id, job->is_password);
		job_free(job);
	}
}

struct checker *
checker_new(struct loop *loop,
    void (*on_result)(void *arg, uint64_t asker, uint64_t id, bool is_password), void *arg)
{
	struct checker *c = mem_alloc(sizeof(*c));

	c->loop = loop;
	c->on_result = on_result;
	c->arg = arg;
	list_init(&c->waiting);
	list_init(&c->done);
	must(pthread_mutex_init(&c->mutex, NULL) == 0);
	must(pthread_cond_init(&c->changed, NULL) == 0);
	c->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	must(c->event >= 0);
	c->watch = loop_watch(loop, c->event, LOOP_READ, on_event, c);
	must(pthread_create(&c->thread, NULL, work, c) == 0);
	return c;
}

void
checker_free(struct checker **slot)
{
	struct checker *c = *slot;

	if (c == NULL)
		return;
	must(pthread_mutex_lock(&c->mutex) == 0);
	c->is_ending = true;
	must(pthread_cond_signal(&c->changed) == 0);
	must(pthread_mutex_unlock(&c->mutex) == 0);
	must(pthread_join(c->thread, NULL) == 0);
	while (!list_is_empty(&c->waiting))
		job_free(first(&c->waiting));
	while (!list_is_empty(&c->done))
		job_free(first(&c->done));
	watch_remove(&c->watch);
	(void)close(c->event);                   /* nothing was written */
	(void)pthread_cond_destroy(&c->changed); /* nobody waits */
	(void)pthread_mutex_destroy(&c->mutex);
	mem_free(c);
	*slot = NULL;
}

bool
checker_ask(struct checker *c, uint64_t asker, uint64_t id, const struct user *user, bool is_known,
    struct span password)
{
	struct job *job;

	if (c->n >= CHECKER_WAITING_MAX)
		return false;
	job = mem_alloc(sizeof(*job));
	*job = (struct job){.asker = asker, .id = id, .user = *user, .is_known = is_known};
	job->password.max = password.n;
	(void)buf_add_span(&job->password, password); /* it fits */
	c->n++;
	must(pthread_mutex_lock(&c->mutex) == 0);
	list_append(&c->waiting, &job->node);
	must(pthread_cond_signal(&c->changed) == 0);
	must(pthread_mutex_unlock(&c->mutex) == 0);
	return true;
}

#include "relay/base/loop.h"
#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/heap.h"
#include "relay/base/list.h"
#include "relay/base/log.h"
#include "relay/base/mem.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { LOOP_EVENTS = 256 };

struct watch {
	struct loop *loop;
	struct list removed; /* in loop->removed once gone, freed after the turn */
	int fd;
	unsigned events;
	bool is_gone;
	void (*on_ready)(void *arg, unsigned events);
	void *arg;
};

struct timer {
	struct loop *loop;
	struct timer **slot;
	struct heap_node due; /* monotonic */
	void (*on_time)(void *arg);
	void *arg;
};

struct end_hook {
	void (*on_end)(void *arg);
	void *arg;
};

struct loop {
	int epoll_fd;
	bool is_stopped, tells_slow_turns;
	struct list removed;
	struct heap timers;
	struct end_hook *hooks;
	size_t n_hooks;
};

struct loop *
loop_new(void)
{
	struct loop *loop = mem_alloc(sizeof(*loop));

	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0)
		die("no event queue: %m; raise the limit of open files");
	list_init(&loop->removed);
	return loop;
}

static struct timer *
first_timer(const struct loop *loop)
{
	struct heap_node *first = heap_first(&loop->timers);

	return first != NULL ? HEAP_ENTRY(first, struct timer, due) : NULL;
}

static void
free_removed(struct loop *loop)
{
	LIST_FOR_SAFE (it, &loop->removed) {
		list_remove(it);
		mem_free(LIST_ENTRY(it, struct watch, removed));
	}
}

void
loop_free(struct loop **loop)
{
	if (*loop == NULL)
		return;
	while (first_timer(*loop) != NULL)
		timer_cancel(first_timer(*loop)->slot);
	free_removed(*loop);
	heap_free(&(*loop)->timers);
	mem_free((*loop)->hooks);
	(void)close((*loop)->epoll_fd); /* nothing to lose */
	mem_free(*loop);
	*loop = NULL;
}

static uint32_t
epoll_bits(unsigned events)
{
	return (events & LOOP_READ ? (uint32_t)EPOLLIN : 0u) |
	       (events & LOOP_WRITE ? (uint32_t)EPOLLOUT : 0u);
}

struct watch *
loop_watch(
    struct loop *loop, int fd, unsigned events, void (*on_ready)(void *, unsigned), void *arg)
{
	struct watch *w = mem_alloc(sizeof(*w));
	struct epoll_event ev = {.events = epoll_bits(events), .data.ptr = w};

	w->loop = loop;
	w->fd = fd;
	w->events = events;
	w->on_ready = on_ready;
	w->arg = arg;
	list_init(&w->removed);
	must(epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, fd, &ev) == 0);
	return w;
}

void
watch_change(struct watch *w, unsigned events)
{
	struct epoll_event ev = {.events = epoll_bits(events), .data.ptr = w};

	if (w->events == events)
		return;
	w->events = events;
	must(epoll_ctl(w->loop->epoll_fd, EPOLL_CTL_MOD, w->fd, &ev) == 0);
}

void
watch_remove(struct watch **w)
{
	if (*w == NULL)
		return;
	must(epoll_ctl((*w)->loop->epoll_fd, EPOLL_CTL_DEL, (*w)->fd, NULL) == 0);
	(*w)->is_gone = true;
	list_append(&(*w)->loop->removed, &(*w)->removed);
	*w = NULL;
}

void
loop_timer(
    struct loop *loop, struct timer **slot, int64_t delay_ms, void (*on_time)(void *), void *arg)
{
	struct timer *t;

	timer_cancel(slot);
	t = mem_alloc(sizeof(*t));
	*t = (struct timer){.loop = loop,
	    .slot = slot,
	    .due.ms = clock_mono_ms() + delay_ms,
	    .on_time = on_time,
	    .arg = arg};
	heap_add(&loop->timers, &t->due);
	*slot = t;
}

void
timer_cancel(struct timer **slot)
{
	struct timer *t = *slot;

	if (t == NULL)
		return;
	heap_remove(&t->loop->timers, &t->due);
	*slot = NULL;
	mem_free(t);
}

void
loop_at_turn_end(struct loop *loop, void (*on_end)(void *), void *arg)
{
	loop->hooks = mem_grow(loop->hooks, (loop->n_hooks + 1) * sizeof(*loop->hooks));
	loop->hooks[loop->n_hooks++] = (struct end_hook){on_end, arg};
}

void
loop_forget_turn_end(struct loop *loop, void (*on_end)(void *), void *arg)
{
	for (size_t i = 0; i < loop->n_hooks; i++)
		if (loop->hooks[i].on_end == on_end && loop->hooks[i].arg == arg) {
			/* Cleared, not moved: we may be inside the walk over the hooks. */
			loop->hooks[i].on_end = NULL;
			return;
		}
}

static void
run_hooks(struct loop *loop)
{
	size_t kept = 0;

	for (size_t i = 0; i < loop->n_hooks; i++)
		if (loop->hooks[i].on_end != NULL)
			loop->hooks[i].on_end(loop->hooks[i].arg);
	for (size_t i = 0; i < loop->n_hooks; i++)
		if (loop->hooks[i].on_end != NULL)
			loop->hooks[kept++] = loop->hooks[i];
	loop->n_hooks = kept;
}

static void
run_timers(struct loop *loop, int64_t now_ms)
{
	struct timer *t;

	while ((t = first_timer(loop)) != NULL && t->due.ms <= now_ms) {
		void (*on_time)(void *) = t->on_time;
		void *arg = t->arg;

		timer_cancel(t->slot);
		on_time(arg);
	}
}

static int
time_to_wait(const struct loop *loop, int wait_ms)
{
	const struct heap_node *first = heap_first(&loop->timers);
	int64_t left;

	if (first == NULL)
		return wait_ms;
	left = first->ms - clock_mono_ms();
	if (left < 0)
		left = 0;
	if (wait_ms >= 0 && left > wait_ms)
		return wait_ms;
	return left > INT32_MAX ? INT32_MAX : (int)left;
}

void
loop_turn(struct loop *loop, int wait_ms)
{
	struct epoll_event events[LOOP_EVENTS];
	int n = epoll_wait(loop->epoll_fd, events, LOOP_EVENTS, time_to_wait(loop, wait_ms));
	int64_t began_ms = clock_mono_ms(), took_ms;

	must(n >= 0 || errno == EINTR);
	for (int i = 0; i < n; i++) {
		struct watch *w = events[i].data.ptr;
		unsigned ready = 0;

		if (w->is_gone)
			continue;
		if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
			ready |= w->events & LOOP_READ;
		if (events[i].events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
			ready |= w->events & LOOP_WRITE;
		if (events[i].events & (EPOLLHUP | EPOLLERR))
			ready |= LOOP_GONE;
		if (ready != 0)
			w->on_ready(w->arg, ready);
	}
	run_timers(loop, clock_mono_ms());
	run_hooks(loop);
	free_removed(loop);
	took_ms = clock_mono_ms() - began_ms;
	if (loop->tells_slow_turns && took_ms > LOOP_SLOW_MS)
		log_event(LOG_WARN, "slow turn", KV_INT("ms", took_ms), KV_INT("events", n));
}

void
loop_run(struct loop *loop)
{
	loop->is_stopped = false;
	run_hooks(loop); /* what was sent before the loop ran waits to be flushed */
	while (!loop->is_stopped)
		loop_turn(loop, -1);
}

void
loop_tell_slow_turns(struct loop *loop)
{
	loop->tells_slow_turns = true;
}

void
loop_stop(struct loop *loop)
{
	loop->is_stopped = true;
}

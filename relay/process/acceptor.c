#include "relay/process/acceptor.h"
#include "relay/base/clock.h"
#include "relay/base/log.h"

#include <errno.h>

static void on_ready(void *arg, unsigned events);

static void
on_rested(void *arg)
{
	struct acceptor *a = arg;

	a->watch = loop_watch(a->loop, a->fd, LOOP_READ, on_ready, a);
}

static void
complain(int error)
{
	static int64_t next_ms; /* one for the process: it has one table of descriptors */
	int64_t now_ms = clock_mono_ms();

	if (now_ms < next_ms)
		return;
	next_ms = now_ms + ACCEPTOR_LOG_MS;
	log_event(LOG_ERROR, "cannot accept", KV_STR("why", strerror(error)),
	    KV_STR("do", error == EINVAL ? "restart the relay: the listener was shut down"
					 : "raise the limit of open files (LimitNOFILE)"));
}

/* Whether the listener stays ready though nothing can be accepted: a shortage, or its end. */
static bool
is_lasting(int error)
{
	return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM ||
	       error == EINVAL;
}

static void
on_ready(void *arg, unsigned events)
{
	struct acceptor *a = arg;

	(void)events;
	/* The owner may close us while it takes one. */
	for (int i = 0; i < ACCEPTOR_TURN && a->watch != NULL; i++) {
		struct sockaddr_storage sa = {0};
		socklen_t n = sizeof(sa);
		int fd = accept4(a->fd, (struct sockaddr *)&sa, &n, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			a->on_accept(a->arg, fd, &sa);
			continue;
		}
		if (is_lasting(errno)) {
			complain(errno);
			watch_remove(&a->watch);
			loop_timer(a->loop, &a->rest, ACCEPTOR_REST_MS, on_rested, a);
		}
		return;
	}
}

void
acceptor_open(struct acceptor *a, struct loop *loop, int fd,
    void (*on_accept)(void *, int, const struct sockaddr_storage *), void *arg)
{
	*a = (struct acceptor){.loop = loop, .fd = fd, .on_accept = on_accept, .arg = arg};
	a->watch = loop_watch(loop, fd, LOOP_READ, on_ready, a);
}

void
acceptor_close(struct acceptor *a)
{
	watch_remove(&a->watch);
	timer_cancel(&a->rest);
}

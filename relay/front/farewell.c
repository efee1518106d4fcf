#include "relay/front/farewell.h"
#include "relay/base/clock.h"
#include "relay/base/mem.h"

#include <sys/socket.h>
#include <unistd.h>

enum { DROP_BYTES = 4096, DROPS = 4 };

struct kept {
	int fd; /* -1: none */
	int64_t until_ms;
};

struct farewells {
	struct loop *loop;
	struct kept kept[FAREWELLS]; /* a ring */
	unsigned next;
	struct timer *timer;
};

struct farewells *
farewells_new(struct loop *loop)
{
	struct farewells *f = mem_alloc(sizeof(*f));

	f->loop = loop;
	for (unsigned i = 0; i < FAREWELLS; i++)
		f->kept[i].fd = -1;
	return f;
}

/* False when the client has closed too, and there is nothing to wait for. */
static bool
drop_input(int fd)
{
	char room[DROP_BYTES];
	ssize_t n = 1;

	for (int i = 0; i < DROPS && n > 0; i++)
		n = recv(fd, room, sizeof(room), MSG_DONTWAIT);
	return n != 0;
}

static void
let_go(struct kept *k)
{
	if (k->fd < 0)
		return;
	(void)drop_input(k->fd); /* it closes either way */
	(void)close(k->fd);      /* all was said */
	k->fd = -1;
}

void
farewells_free(struct farewells **f)
{
	if (*f == NULL)
		return;
	timer_cancel(&(*f)->timer);
	for (unsigned i = 0; i < FAREWELLS; i++)
		let_go(&(*f)->kept[i]);
	mem_free(*f);
	*f = NULL;
}

static void
on_time(void *arg)
{
	struct farewells *f = arg;
	int64_t now_ms = clock_mono_ms(), wait_ms = 0;

	for (unsigned i = 0; i < FAREWELLS; i++) {
		struct kept *k = &f->kept[i];

		if (k->fd >= 0 && k->until_ms <= now_ms)
			let_go(k);
		if (k->fd >= 0 && (wait_ms == 0 || k->until_ms - now_ms < wait_ms))
			wait_ms = k->until_ms - now_ms;
	}
	if (wait_ms > 0)
		loop_timer(f->loop, &f->timer, wait_ms, on_time, f);
}

void
farewell_say(struct farewells *f, int fd, struct span word)
{
	struct kept *k = &f->kept[f->next];

	if (word.n > 0)
		(void)!send(fd, word.p, word.n, MSG_NOSIGNAL | MSG_DONTWAIT); /* it may not hear */
	if (shutdown(fd, SHUT_WR) < 0 || !drop_input(fd)) {
		(void)close(fd); /* it has gone */
		return;
	}
	let_go(k);
	*k = (struct kept){fd, clock_mono_ms() + FAREWELL_MS};
	f->next = (f->next + 1) % FAREWELLS;
	if (f->timer == NULL)
		loop_timer(f->loop, &f->timer, FAREWELL_MS, on_time, f);
}

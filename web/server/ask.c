#include "web/server/ask.h"
#include "relay/base/err.h"
#include "relay/base/map.h"
#include "relay/base/mem.h"
#include "relay/ipc/control.h"

enum { REQUEST_BYTES_MAX = 16384 };

struct asks {
	struct loop *loop;
	struct channel *control;
	struct map *by_id;
	uint64_t last_id;
};

struct pending {
	struct asks *asks;
	uint64_t id;
	struct timer *deadline;
	struct buf body;
	void (*done)(void *arg, int status, struct span body);
	void *arg;
};

struct asks *
asks_new(struct loop *loop, struct channel *control)
{
	struct asks *a = mem_alloc(sizeof(*a));

	a->loop = loop;
	a->control = control;
	a->by_id = map_new();
	return a;
}

static void
pending_free(struct pending *p)
{
	(void)map_remove_u64(p->asks->by_id, p->id); /* it is there */
	timer_cancel(&p->deadline);
	buf_free(&p->body);
	mem_free(p);
}

void
asks_free(struct asks **a)
{
	size_t at = 0;
	void *p;

	if (*a == NULL)
		return;
	while (map_next((*a)->by_id, &at, NULL, &p))
		pending_free(p);
	map_free(&(*a)->by_id);
	mem_free(*a);
	*a = NULL;
}

static void
finish(struct pending *p, int status)
{
	void (*done)(void *, int, struct span) = p->done;
	void *arg = p->arg;
	struct buf body = p->body;

	p->body = (struct buf){0};
	pending_free(p);
	done(arg, body.failed ? -E_LIMIT : status, buf_span(&body));
	buf_free(&body);
}

static void
on_deadline(void *arg)
{
	finish(arg, -E_TIMEOUT);
}

uint64_t
ask_send(struct asks *a, const struct span *words, size_t n_words,
    void (*done)(void *, int, struct span), void *arg)
{
	struct control_request r = {.n_words = n_words};
	struct buf payload = BUF_INIT(REQUEST_BYTES_MAX);
	struct pending *p;
	uint64_t id = 0;

	must(n_words <= CONTROL_WORDS_MAX);
	for (size_t i = 0; i < n_words; i++)
		r.words[i] = words[i];
	control_request_put(&payload, &r);
	if (!payload.failed && map_count(a->by_id) < ASK_PENDING_MAX) {
		id = ++a->last_id;
		p = mem_alloc(sizeof(*p));
		p->asks = a;
		p->id = id;
		p->body = BUF_INIT(ASK_BODY_MAX);
		p->done = done;
		p->arg = arg;
		(void)map_set_u64(a->by_id, id, p); /* ids are never used twice */
		loop_timer(a->loop, &p->deadline, ASK_TIMEOUT_MS, on_deadline, p);
		channel_send(a->control, CONTROL_REQUEST, id, buf_span(&payload), NULL);
	}
	buf_free(&payload);
	return id;
}

void
ask_cancel(struct asks *a, uint64_t id)
{
	struct pending *p = map_get_u64(a->by_id, id);

	if (p != NULL)
		pending_free(p);
}

void
asks_answer(struct asks *a, const struct message *m)
{
	struct pending *p = map_get_u64(a->by_id, m->id);
	struct control_end end;

	if (p == NULL)
		return;
	if (m->type == CONTROL_CHUNK) {
		(void)buf_add_span(&p->body, m->payload); /* finish tests `failed` */
	} else if (m->type == CONTROL_END) {
		if (control_end_get(m->payload, &end) < 0)
			end.status = EXIT_TEMPFAIL;
		finish(p, end.status);
	}
}

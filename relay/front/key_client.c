#include "relay/front/key_client.h"
#include "relay/base/clock.h"
#include "relay/base/log.h"
#include "relay/base/map.h"
#include "relay/base/mem.h"
#include "relay/ipc/channel.h"

#include <unistd.h>

/* As many as the channel's buffer holds for sure: sending never waits. */
enum { WAITING_MAX = 32 };

enum { QUESTION_MAX = KEY_USERS_MAX + KEY_NAME_MAX + KEY_PASSWORD_MAX + KEY_MESSAGE_MAX + 64 };

struct key_client {
	struct loop *loop;
	int fd; /* -1: the key role is away */
	struct watch *watch;
	struct map *waiting; /* id -> struct key_waiting */
	uint64_t next_id;
	struct timer *lost_soon, *due_soon;
	struct buf received;
	struct map *early; /* id -> struct verdict: came while a signature was waited for */
	void (*on_lost)(void *arg);
	void *lost_arg;
};

/* A verdict that is kept until the loop's turn. */
struct early {
	struct key_verdict verdict;
	char data[KEY_DATA_MAX];
};

static const struct key_verdict busy = {.status = KEY_BUSY};

static void
answer(struct key_waiting *w, const struct key_verdict *v)
{
	(void)map_remove_u64(w->client->waiting, w->id); /* it is w itself */
	timer_cancel(&w->patience);
	w->client = NULL;
	w->on_verdict(w, v);
}

/* --- the channel -------------------------------------------------------------------------------- */

static void
disconnect(struct key_client *k)
{
	watch_remove(&k->watch);
	if (k->fd >= 0)
		(void)close(k->fd); /* a channel: what was sent was sent */
	k->fd = -1;
}

static void
tell_lost(void *arg)
{
	struct key_client *k = arg;
	struct span key;
	void *value;
	size_t at = 0;

	while (map_next(k->waiting, &at, &key, &value)) {
		answer(value, &busy);
		at = 0; /* the callbacks may have changed the map */
	}
	if (k->on_lost != NULL)
		k->on_lost(k->lost_arg);
}

/* Callers do not expect to hear of it from inside. */
static void
lose(struct key_client *k)
{
	disconnect(k);
	loop_timer(k->loop, &k->lost_soon, 0, tell_lost, k);
}

/* One message, if it comes in time: 0, or an error. */
static int
receive(struct key_client *k, struct message *m, int64_t timeout_ms)
{
	int r = channel_receive(k->fd, m, &k->received, timeout_ms);

	for (int i = 0; r == 0 && i < CHANNEL_FDS; i++)
		if (m->fds[i] >= 0)
			(void)close(m->fds[i]); /* none is due here */
	return r;
}

static void
take_verdict(struct key_client *k, const struct message *m)
{
	struct key_waiting *w = map_get_u64(k->waiting, m->id);
	struct key_verdict v;

	if (w == NULL)
		return; /* its asker has gone */
	answer(w, key_verdict_get(m->payload, &v) < 0 ? &busy : &v);
}

static void
on_ready(void *arg, unsigned events)
{
	struct key_client *k = arg;
	struct message m;
	int r = receive(k, &m, 0);

	(void)events;
	if (r == 0 && m.type == KEY_VERDICT)
		take_verdict(k, &m); /* a late signature is nobody's */
	else if (r < 0 && r != -E_TIMEOUT)
		lose(k);
}

struct key_client *
key_client_new(struct loop *loop)
{
	struct key_client *k = mem_alloc(sizeof(*k));

	k->loop = loop;
	k->fd = -1;
	k->waiting = map_new();
	k->early = map_new();
	k->next_id = 1;
	return k;
}

static void
forget_early(struct key_client *k)
{
	struct span key;
	void *value;
	size_t at = 0;

	while (map_next(k->early, &at, &key, &value)) {
		(void)map_remove(k->early, key); /* it is value */
		mem_free(value);
	}
}

void
key_client_free(struct key_client **k)
{
	if (*k == NULL)
		return;
	disconnect(*k);
	timer_cancel(&(*k)->lost_soon);
	timer_cancel(&(*k)->due_soon);
	forget_early(*k);
	map_free(&(*k)->early);
	map_free(&(*k)->waiting);
	buf_free(&(*k)->received);
	mem_free(*k);
	*k = NULL;
}

void
key_client_on_lost(struct key_client *k, void (*on_lost)(void *arg), void *arg)
{
	k->on_lost = on_lost;
	k->lost_arg = arg;
}

void
key_client_connect(struct key_client *k, int fd)
{
	struct span key;
	void *value;
	size_t at = 0;

	disconnect(k);
	timer_cancel(&k->lost_soon);
	while (map_next(k->waiting, &at, &key, &value)) {
		answer(value, &busy); /* the old channel's */
		at = 0;
	}
	k->fd = fd;
	k->watch = loop_watch(k->loop, fd, LOOP_READ, on_ready, k);
}

bool
key_client_is_there(const struct key_client *k)
{
	return k->fd >= 0;
}

/* --- signatures --------------------------------------------------------------------------------- */

static void
take_early(void *arg)
{
	struct key_client *k = arg;
	struct span key;
	void *value;
	size_t at = 0;

	while (map_next(k->early, &at, &key, &value)) {
		struct early *e = value;
		struct key_waiting *w = map_get(k->waiting, key);

		(void)map_remove(k->early, key); /* it is e */
		if (w != NULL)
			answer(w, &e->verdict);
		mem_free(e);
		at = 0; /* the callback may have changed the map */
	}
}

/* We are inside OpenSSL, inside a session: this is not the time to call another one. */
static void
keep_early(struct key_client *k, const struct message *m)
{
	struct early *e = mem_alloc(sizeof(*e));

	if (key_verdict_get(m->payload, &e->verdict) < 0)
		e->verdict = busy;
	memcpy(e->data, e->verdict.data.p != NULL ? e->verdict.data.p : "", e->verdict.data.n);
	e->verdict.data.p = e->data;
	mem_free(map_set_u64(k->early, m->id, e));
	if (k->due_soon == NULL)
		loop_timer(k->loop, &k->due_soon, 0, take_early, k);
}

static int
await_signature(struct key_client *k, uint64_t id, struct buf *signature)
{
	int64_t end_ms = clock_mono_ms() + KEY_SIGN_MS;

	for (;;) {
		int64_t left_ms = end_ms - clock_mono_ms();
		struct key_answer a;
		struct message m;
		int r = receive(k, &m, left_ms > 0 ? left_ms : 0);

		if (r < 0)
			return r;
		if (m.type == KEY_VERDICT)
			keep_early(k, &m);
		if (m.type != KEY_SIGNATURE || m.id != id)
			continue; /* of one that was given up */
		if (key_answer_get(m.payload, &a) < 0)
			return -E_CORRUPT;
		if (a.status == KEY_YES)
			return buf_add_span(signature, a.signature);
		return a.status == KEY_NO ? -E_NOT_FOUND : -E_DENIED;
	}
}

int
key_client_sign(void *arg, const unsigned char fingerprint[KEY_FINGERPRINT], unsigned scheme,
    struct span content, struct buf *signature)
{
	struct key_client *k = arg;
	struct key_request request = {
	    span_of(fingerprint, KEY_FINGERPRINT), (uint16_t)scheme, content};
	struct buf b = BUF_INIT(KEY_SIGNED_MAX + KEY_FINGERPRINT + 64);
	uint64_t id = k->next_id++;
	int r = -E_CLOSED;

	key_request_put(&b, &request);
	if (k->fd >= 0 && !b.failed)
		r = channel_send_now(k->fd, KEY_SIGN, id, buf_span(&b), NULL);
	if (r == 0)
		r = await_signature(k, id, signature);
	buf_free(&b);
	if (r < 0)
		log_event(LOG_WARN, "no signature", KV_STR("why", err_name(-r)));
	if (r < 0 && r != -E_NOT_FOUND && r != -E_DENIED && k->fd >= 0)
		lose(k);
	return r;
}

/* --- passwords ---------------------------------------------------------------------------------- */

static void
give_up(void *arg)
{
	answer(arg, &busy);
}

void
key_ask(struct key_client *k, struct key_waiting *w, const struct key_question *q)
{
	struct buf b = BUF_INIT(QUESTION_MAX);
	int r = -E_CLOSED;

	must(w->client == NULL);
	w->client = k;
	w->id = k->next_id++;
	(void)map_set_u64(k->waiting, w->id, w); /* ids are never used twice */
	key_question_put(&b, q);
	if (k->fd >= 0 && !b.failed && map_count(k->waiting) <= WAITING_MAX)
		r = channel_send_now(k->fd, KEY_ASK, w->id, buf_span(&b), NULL);
	loop_timer(k->loop, &w->patience, r == 0 ? KEY_ANSWER_MS : 0, give_up, w);
	explicit_bzero(b.p, b.n); /* a password */
	buf_free(&b);
}

void
key_cancel(struct key_waiting *w)
{
	if (w->client == NULL)
		return;
	(void)map_remove_u64(w->client->waiting, w->id); /* it is w itself */
	timer_cancel(&w->patience);
	w->client = NULL;
}

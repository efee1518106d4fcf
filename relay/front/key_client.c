#include "relay/front/key_client.h"
#include "relay/base/log.h"
#include "relay/base/map.h"
#include "relay/base/mem.h"
#include "relay/ipc/channel.h"

#include <fcntl.h>
#include <unistd.h>

/* As many as the channel's buffer holds, beside TLS_JOBS_MAX signatures. */
enum { WAITING_MAX = 32 };

enum { QUESTION_MAX = KEY_USERS_MAX + KEY_NAME_MAX + KEY_PASSWORD_MAX + KEY_MESSAGE_MAX + 64 };

struct key_client {
	struct loop *loop;
	int fd; /* -1: the key role is away */
	struct watch *watch;
	struct map *waiting; /* id -> struct key_waiting */
	uint64_t next_id;
	struct timer *lost_soon;
	struct buf received;
	struct map *signings; /* id -> struct signing */
	void (*on_lost)(void *arg);
	void *lost_arg;
};

/* A signature that is waited for. */
struct signing {
	uint64_t id;
	struct key_client *client;
	struct remote_signing *asked;
	struct timer *patience;
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

/* Gives back what was asked for. */
static struct remote_signing *
signing_free(struct signing *g)
{
	struct remote_signing *asked = g->asked;

	(void)map_remove_u64(g->client->signings, g->id); /* it is g itself */
	timer_cancel(&g->patience);
	mem_free(g);
	return asked;
}

static void
settle(struct signing *g, int r, struct span signature)
{
	if (r < 0)
		log_event(LOG_WARN, "no signature", KV_STR("why", err_name(-r)));
	remote_key_answer(signing_free(g), r, signature);
}

/* The key role has gone, or another one has come: of what it was asked nothing will be answered. */
static void
answer_all(struct key_client *k)
{
	struct span key;
	void *value;
	size_t at = 0;

	while (map_next(k->waiting, &at, &key, &value)) {
		answer(value, &busy);
		at = 0; /* the callbacks may have changed the map */
	}
	at = 0;
	while (map_next(k->signings, &at, &key, &value)) {
		settle(value, -E_CLOSED, (struct span){0});
		at = 0;
	}
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

	answer_all(k);
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

/* One message, if it is there: 0, or an error. */
static int
receive(struct key_client *k, struct message *m)
{
	int r = channel_receive(k->fd, m, &k->received, 0);

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
take_signature(struct key_client *k, const struct message *m)
{
	struct signing *g = map_get_u64(k->signings, m->id);
	struct key_answer a = {0};
	int r;

	if (g == NULL)
		return; /* its handshake has ended */
	r = key_answer_get(m->payload, &a);
	if (r == 0 && a.status != KEY_YES)
		r = a.status == KEY_NO ? -E_NOT_FOUND : -E_DENIED;
	settle(g, r, a.signature);
}

static void
on_ready(void *arg, unsigned events)
{
	struct key_client *k = arg;
	struct message m;
	int r = receive(k, &m);

	(void)events;
	if (r == 0 && m.type == KEY_VERDICT)
		take_verdict(k, &m);
	else if (r == 0 && m.type == KEY_SIGNATURE)
		take_signature(k, &m);
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
	k->signings = map_new();
	k->next_id = 1;
	return k;
}

void
key_client_free(struct key_client **k)
{
	if (*k == NULL)
		return;
	disconnect(*k);
	timer_cancel(&(*k)->lost_soon);
	map_free(&(*k)->signings);
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
	disconnect(k);
	timer_cancel(&k->lost_soon);
	answer_all(k);
	k->fd = fd;
	(void)fcntl(fd, F_SETFL, O_NONBLOCK); /* one that lets its buffer fill up counts as lost */
	k->watch = loop_watch(k->loop, fd, LOOP_READ, on_ready, k);
}

bool
key_client_is_there(const struct key_client *k)
{
	return k->fd >= 0;
}

/* --- signatures --------------------------------------------------------------------------------- */

static void
lose_patience(void *arg)
{
	settle(arg, -E_TIMEOUT, (struct span){0});
}

static void
ask_for_signature(void *arg, struct remote_signing *s)
{
	struct key_client *k = arg;
	struct signing *g = mem_alloc(sizeof(*g));
	struct key_request request = {
	    span_of(s->fingerprint, KEY_FINGERPRINT), (uint16_t)s->scheme, s->content};
	struct buf b = BUF_INIT(KEY_SIGNED_MAX + KEY_FINGERPRINT + 64);
	int r = -E_CLOSED;

	*g = (struct signing){.id = k->next_id++, .client = k, .asked = s};
	s->asked = g;
	(void)map_set_u64(k->signings, g->id, g); /* ids are never used twice */
	loop_timer(k->loop, &g->patience, KEY_SIGN_MS, lose_patience, g);
	key_request_put(&b, &request);
	if (k->fd >= 0 && !b.failed)
		r = channel_send_now(k->fd, KEY_SIGN, g->id, buf_span(&b), NULL);
	buf_free(&b);
	if (r == 0)
		return;
	if (k->fd >= 0)
		lose(k);
	settle(g, r, (struct span){0});
}

static void
drop_signature(void *arg, struct remote_signing *s)
{
	(void)arg;
	(void)signing_free(s->asked); /* an answer that comes late is nobody's */
}

const struct remote_key_asker key_client_asker = {ask_for_signature, drop_signature};

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

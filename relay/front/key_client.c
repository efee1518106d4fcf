#include "relay/front/key_client.h"
#include "relay/base/log.h"
#include "relay/base/map.h"
#include "relay/base/mem.h"
#include "relay/ipc/channel.h"

enum {
	WAITING_MAX = 32,
	/* Bytes that the key role has not read: those of all who may wait at once (TLS_JOBS_MAX beside
	 * WAITING_MAX), thrice.  More are of those who have lost patience: it hangs. */
	QUEUED_MAX = 1024 * 1024
};

enum { QUESTION_MAX = KEY_USERS_MAX + KEY_NAME_MAX + KEY_PASSWORD_MAX + KEY_MESSAGE_MAX + 64 };

struct key_client {
	struct loop *loop;
	struct channel *channel; /* NULL: the key role is away */
	struct map *waiting;     /* id -> struct key_waiting */
	uint64_t next_id;
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
on_message(void *arg, struct message *m)
{
	if (m->type == KEY_VERDICT)
		take_verdict(arg, m);
	else if (m->type == KEY_SIGNATURE)
		take_signature(arg, m);
}

static void
on_close(void *arg)
{
	struct key_client *k = arg;

	channel_free(&k->channel);
	answer_all(k);
	if (k->on_lost != NULL)
		k->on_lost(k->lost_arg);
}

static const struct channel_events key_events = {on_message, on_close};

struct key_client *
key_client_new(struct loop *loop)
{
	struct key_client *k = mem_alloc(sizeof(*k));

	k->loop = loop;
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
	channel_free(&(*k)->channel);
	map_free(&(*k)->signings);
	map_free(&(*k)->waiting);
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
	channel_free(&k->channel);
	answer_all(k);
	k->channel = channel_new(k->loop, fd, &key_events, k);
}

bool
key_client_is_there(const struct key_client *k)
{
	return channel_is_open(k->channel);
}

/* Hands it to the channel, which sends all of a turn together; -E_FULL: the key role hangs. */
static int
send_question(struct key_client *k, uint16_t type, uint64_t id, const struct buf *b)
{
	if (!channel_is_open(k->channel))
		return -E_CLOSED;
	if (b->failed)
		return -E_LIMIT;
	if (channel_queued(k->channel) > QUEUED_MAX)
		return -E_FULL;
	channel_send(k->channel, type, id, buf_span(b), NULL);
	return 0;
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
	int r;

	*g = (struct signing){.id = k->next_id++, .client = k, .asked = s};
	s->asked = g;
	(void)map_set_u64(k->signings, g->id, g); /* ids are never used twice */
	loop_timer(k->loop, &g->patience, KEY_SIGN_MS, lose_patience, g);
	key_request_put(&b, &request);
	r = send_question(k, KEY_SIGN, g->id, &b);
	buf_free(&b);
	if (r < 0)
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
	int r = -E_FULL;

	must(w->client == NULL);
	w->client = k;
	w->id = k->next_id++;
	(void)map_set_u64(k->waiting, w->id, w); /* ids are never used twice */
	key_question_put(&b, q);
	if (map_count(k->waiting) <= WAITING_MAX)
		r = send_question(k, KEY_ASK, w->id, &b);
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

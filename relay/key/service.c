#include "relay/key/service.h"
#include "relay/base/log.h"
#include "relay/base/mem.h"
#include "relay/ipc/channel.h"
#include "relay/ipc/front_key.h"
#include "relay/key/checker.h"

struct key_front {
	struct key_service *service;
	unsigned number;
	struct channel *channel; /* NULL: it is away */
	uint64_t life;           /* of the channel: answers for an older one are dropped */
};

struct key_service {
	struct loop *loop;
	struct key_front fronts[CONFIG_FRONTS_MAX];
	uint64_t last_life;
	struct material *now, *before;
	struct checker *checker;
	void (*on_lost)(void *arg, unsigned front);
	void *lost_arg;
	uint64_t n_signed, n_refused, n_right, n_wrong;
};

struct key_service *
key_service_new(struct loop *loop)
{
	struct key_service *s = mem_alloc(sizeof(*s));

	s->loop = loop;
	for (unsigned i = 0; i < CONFIG_FRONTS_MAX; i++)
		s->fronts[i] = (struct key_front){.service = s, .number = i};
	return s;
}

void
key_service_free(struct key_service **s)
{
	if (*s == NULL)
		return;
	for (unsigned i = 0; i < CONFIG_FRONTS_MAX; i++)
		channel_free(&(*s)->fronts[i].channel);
	checker_free(&(*s)->checker);
	material_free(&(*s)->now);
	material_free(&(*s)->before);
	mem_free(*s);
	*s = NULL;
}

void
key_service_take(struct key_service *s, struct material *m)
{
	material_free(&s->before);
	s->before = s->now;
	s->now = m;
}

void
key_service_on_lost(struct key_service *s, void (*on_lost)(void *arg, unsigned front), void *arg)
{
	s->on_lost = on_lost;
	s->lost_arg = arg;
}

/* --- signatures --------------------------------------------------------------------------------- */

static int
sign_with(const struct material *m, const struct key_request *r, struct buf *signature)
{
	return m == NULL ? -E_NOT_FOUND
			 : keyring_sign(material_keyring(m), r->fingerprint, r->scheme, r->content,
			       signature);
}

static void
sign(struct key_front *f, uint64_t id, struct span payload)
{
	struct key_service *s = f->service;
	struct buf signature = BUF_INIT(KEY_SIGNATURE_MAX), b = BUF_INIT(KEY_SIGNATURE_MAX + 64);
	struct key_answer a = {.status = KEY_REFUSED};
	struct key_request request;
	int r = key_request_get(payload, &request);

	if (r == 0) {
		r = sign_with(s->now, &request, &signature);
		if (r == -E_NOT_FOUND)
			r = sign_with(s->before, &request, &signature);
	}
	if (r == 0)
		a = (struct key_answer){KEY_YES, buf_span(&signature)};
	else if (r == -E_NOT_FOUND)
		a.status = KEY_NO;
	if (r == 0)
		s->n_signed++;
	else
		s->n_refused++;
	if (r < 0)
		log_event(LOG_WARN, "signature refused", KV_STR("why", err_name(-r)));
	key_answer_put(&b, &a);
	channel_send(f->channel, KEY_SIGNATURE, id, buf_span(&b), NULL);
	buf_free(&signature);
	buf_free(&b);
}

/* --- passwords ---------------------------------------------------------------------------------- */

static void
answer(struct key_front *f, uint64_t id, const struct key_verdict *v)
{
	struct buf b = BUF_INIT(KEY_DATA_MAX + 64);

	key_verdict_put(&b, v);
	channel_send(f->channel, KEY_VERDICT, id, buf_span(&b), NULL);
	buf_free(&b);
}

static void
answer_proof(struct key_front *f, uint64_t id, bool is_right, struct span data)
{
	struct key_service *s = f->service;
	struct key_verdict v = {.status = KEY_NO};

	if (is_right)
		v = (struct key_verdict){.status = KEY_YES, .data = data};
	if (is_right)
		s->n_right++;
	else
		s->n_wrong++;
	answer(f, id, &v);
}

static void
on_result(void *arg, uint64_t asker, uint64_t id, bool is_password)
{
	struct key_service *s = arg;

	for (unsigned i = 0; i < CONFIG_FRONTS_MAX; i++)
		if (asker == s->fronts[i].life && s->fronts[i].channel != NULL)
			answer_proof(&s->fronts[i], id, is_password, (struct span){0});
}

static void
ask_password(
    struct key_front *f, uint64_t id, const struct users *users, const struct key_question *q)
{
	struct user user;
	bool is_known = users_find(users, q->name, &user);

	if (!checker_ask(f->service->checker, f->life, id, &user, is_known, q->proof))
		answer(f, id, &(struct key_verdict){.status = KEY_BUSY});
}

static void
scram_first(
    struct key_front *f, uint64_t id, const struct users *users, const struct key_question *q)
{
	struct user user;

	(void)users_find_scram(users, q->name, &user); /* an unknown one has a salt too */
	answer(f, id,
	    &(struct key_verdict){.status = KEY_YES,
		.data = span_of(user.salt, user.salt_n),
		.iterations = user.iterations});
}

static void
scram_final(
    struct key_front *f, uint64_t id, const struct users *users, const struct key_question *q)
{
	unsigned char signature[USERS_PROOF];
	struct user user;
	bool is_known = users_find_scram(users, q->name, &user);
	bool is_proof = user_is_proof(&user, q->message, q->proof, signature);

	answer_proof(f, id, is_known && is_proof, span_of(signature, sizeof(signature)));
}

static void
ask(struct key_front *f, uint64_t id, struct span payload)
{
	const struct key_service *s = f->service;
	struct key_question q;
	const struct users *users = NULL;

	if (key_question_get(payload, &q) == 0 && s->now != NULL)
		users = material_users(s->now, q.users);
	if (users == NULL) {
		answer(f, id, &(struct key_verdict){.status = KEY_REFUSED});
		return;
	}
	switch (q.kind) {
	case KEY_PASSWORD:
		ask_password(f, id, users, &q);
		break;
	case KEY_SCRAM_FIRST:
		scram_first(f, id, users, &q);
		break;
	case KEY_SCRAM_FINAL:
		scram_final(f, id, users, &q);
		break;
	}
}

/* --- the channel -------------------------------------------------------------------------------- */

static void
on_message(void *arg, struct message *m)
{
	struct key_front *f = arg;

	if (m->type == KEY_SIGN)
		sign(f, m->id, m->payload);
	else if (m->type == KEY_ASK)
		ask(f, m->id, m->payload);
	else
		log_event(LOG_WARN, "unknown message", KV_INT("type", m->type));
}

static void
on_close(void *arg)
{
	struct key_front *f = arg;
	struct key_service *s = f->service;

	channel_free(&f->channel);
	if (s->on_lost != NULL)
		s->on_lost(s->lost_arg, f->number);
}

static const struct channel_events front_events = {on_message, on_close};

void
key_service_start(struct key_service *s)
{
	s->checker = checker_new(s->loop, on_result, s);
}

void
key_service_peer(struct key_service *s, unsigned front, int fd)
{
	struct key_front *f = &s->fronts[front];

	must(front < CONFIG_FRONTS_MAX);
	channel_free(&f->channel);
	f->life = ++s->last_life;
	f->channel = channel_new(s->loop, fd, &front_events, f);
}

void
key_service_add_status(const struct key_service *s, struct buf *to)
{
	(void)buf_addf(to,
	    "{\"key\":{\"signed\":%llu,\"refused\":%llu,\"passwords_right\":%llu,"
	    "\"passwords_wrong\":%llu}}",
	    (unsigned long long)s->n_signed, (unsigned long long)s->n_refused,
	    (unsigned long long)s->n_right, (unsigned long long)s->n_wrong); /* bounded */
}

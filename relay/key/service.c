#include "relay/key/service.h"
#include "relay/base/log.h"
#include "relay/base/mem.h"
#include "relay/ipc/channel.h"
#include "relay/ipc/front_key.h"
#include "relay/key/checker.h"

struct key_service {
	struct loop *loop;
	struct channel *front;
	uint64_t generation; /* of the channel: answers for an older one are dropped */
	struct material *now, *before;
	struct checker *checker;
	void (*on_lost)(void *arg);
	void *lost_arg;
	uint64_t n_signed, n_refused, n_right, n_wrong;
};

struct key_service *
key_service_new(struct loop *loop)
{
	struct key_service *s = mem_alloc(sizeof(*s));

	s->loop = loop;
	return s;
}

void
key_service_free(struct key_service **s)
{
	if (*s == NULL)
		return;
	channel_free(&(*s)->front);
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
key_service_on_lost(struct key_service *s, void (*on_lost)(void *arg), void *arg)
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
sign(struct key_service *s, uint64_t id, struct span payload)
{
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
	channel_send(s->front, KEY_SIGNATURE, id, buf_span(&b), NULL);
	buf_free(&signature);
	buf_free(&b);
}

/* --- passwords ---------------------------------------------------------------------------------- */

static void
answer(struct key_service *s, uint64_t id, const struct key_verdict *v)
{
	struct buf b = BUF_INIT(KEY_DATA_MAX + 64);

	key_verdict_put(&b, v);
	channel_send(s->front, KEY_VERDICT, id, buf_span(&b), NULL);
	buf_free(&b);
}

static void
answer_proof(struct key_service *s, uint64_t id, bool is_right, struct span data)
{
	struct key_verdict v = {.status = KEY_NO};

	if (is_right)
		v = (struct key_verdict){.status = KEY_YES, .data = data};
	if (is_right)
		s->n_right++;
	else
		s->n_wrong++;
	answer(s, id, &v);
}

static void
on_result(void *arg, uint64_t asker, uint64_t id, bool is_password)
{
	struct key_service *s = arg;

	if (asker == s->generation && s->front != NULL)
		answer_proof(s, id, is_password, (struct span){0});
}

static void
ask_password(
    struct key_service *s, uint64_t id, const struct users *users, const struct key_question *q)
{
	struct user user;
	bool is_known = users_find(users, q->name, &user);

	if (!checker_ask(s->checker, s->generation, id, &user, is_known, q->proof))
		answer(s, id, &(struct key_verdict){.status = KEY_BUSY});
}

static void
scram_first(
    struct key_service *s, uint64_t id, const struct users *users, const struct key_question *q)
{
	struct user user;

	(void)users_find_scram(users, q->name, &user); /* an unknown one has a salt too */
	answer(s, id,
	    &(struct key_verdict){.status = KEY_YES,
		.data = span_of(user.salt, user.salt_n),
		.iterations = user.iterations});
}

static void
scram_final(
    struct key_service *s, uint64_t id, const struct users *users, const struct key_question *q)
{
	unsigned char signature[USERS_PROOF];
	struct user user;
	bool is_known = users_find_scram(users, q->name, &user);
	bool is_proof = user_is_proof(&user, q->message, q->proof, signature);

	answer_proof(s, id, is_known && is_proof, span_of(signature, sizeof(signature)));
}

static void
ask(struct key_service *s, uint64_t id, struct span payload)
{
	struct key_question q;
	const struct users *users = NULL;

	if (key_question_get(payload, &q) == 0 && s->now != NULL)
		users = material_users(s->now, q.users);
	if (users == NULL) {
		answer(s, id, &(struct key_verdict){.status = KEY_REFUSED});
		return;
	}
	switch (q.kind) {
	case KEY_PASSWORD:
		ask_password(s, id, users, &q);
		break;
	case KEY_SCRAM_FIRST:
		scram_first(s, id, users, &q);
		break;
	case KEY_SCRAM_FINAL:
		scram_final(s, id, users, &q);
		break;
	}
}

/* --- the channel -------------------------------------------------------------------------------- */

static void
on_message(void *arg, struct message *m)
{
	struct key_service *s = arg;

	if (m->type == KEY_SIGN)
		sign(s, m->id, m->payload);
	else if (m->type == KEY_ASK)
		ask(s, m->id, m->payload);
	else
		log_event(LOG_WARN, "unknown message", KV_INT("type", m->type));
}

static void
on_close(void *arg)
{
	struct key_service *s = arg;

	channel_free(&s->front);
	if (s->on_lost != NULL)
		s->on_lost(s->lost_arg);
}

static const struct channel_events front_events = {on_message, on_close};

void
key_service_start(struct key_service *s)
{
	s->checker = checker_new(s->loop, on_result, s);
}

void
key_service_peer(struct key_service *s, int fd)
{
	channel_free(&s->front);
	s->generation++;
	s->front = channel_new(s->loop, fd, &front_events, s);
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

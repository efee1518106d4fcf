#include "relay/ipc/front_key.h"

void
key_request_put(struct buf *to, const struct key_request *r)
{
	put_span(to, r->fingerprint);
	put_u16(to, r->scheme);
	put_span(to, r->content);
}

int
key_request_get(struct span payload, struct key_request *r)
{
	struct wire w = wire_over(payload);

	r->fingerprint = get_span(&w, KEY_FINGERPRINT);
	r->scheme = get_u16(&w);
	r->content = get_span(&w, KEY_SIGNED_MAX);
	if (r->fingerprint.n != KEY_FINGERPRINT)
		w.failed = true;
	return wire_end(&w);
}

void
key_answer_put(struct buf *to, const struct key_answer *a)
{
	put_u8(to, (uint8_t)a->status);
	put_span(to, a->signature);
}

int
key_answer_get(struct span payload, struct key_answer *a)
{
	struct wire w = wire_over(payload);

	a->status = (enum key_status)get_enum(&w, KEY_BUSY);
	a->signature = get_span(&w, KEY_SIGNATURE_MAX);
	if ((a->status == KEY_YES) != (a->signature.n > 0))
		w.failed = true;
	return wire_end(&w);
}

void
key_question_put(struct buf *to, const struct key_question *q)
{
	put_u8(to, (uint8_t)q->kind);
	put_span(to, q->users);
	put_span(to, q->name);
	put_span(to, q->proof);
	put_span(to, q->message);
}

int
key_question_get(struct span payload, struct key_question *q)
{
	struct wire w = wire_over(payload);

	q->kind = (enum key_question_kind)get_enum(&w, KEY_SCRAM_FINAL);
	q->users = get_span(&w, KEY_USERS_MAX);
	q->name = get_span(&w, KEY_NAME_MAX);
	q->proof = get_span(&w, KEY_PASSWORD_MAX);
	q->message = get_span(&w, KEY_MESSAGE_MAX);
	return wire_end(&w);
}

void
key_verdict_put(struct buf *to, const struct key_verdict *v)
{
	put_u8(to, (uint8_t)v->status);
	put_span(to, v->data);
	put_u32(to, v->iterations);
}

int
key_verdict_get(struct span payload, struct key_verdict *v)
{
	struct wire w = wire_over(payload);

	v->status = (enum key_status)get_enum(&w, KEY_BUSY);
	v->data = get_span(&w, KEY_DATA_MAX);
	v->iterations = get_u32(&w);
	if (v->iterations > KEY_ITERATIONS_MAX)
		w.failed = true;
	return wire_end(&w);
}

/*
 * 3_envelope.c - from whom, to whom?  Relay permission, the recipient tables and the rules for
 * sender and recipient; refusals decided earlier are spoken here, at each RCPT, so that the log
 * knows who would have got the mail.
 */
#include "policy/recipient/route.h"
#include "relay/walk/findings.h"
#include "relay/walk/walk.h"

enum { TRANSACTION_MEMORY = 16 * 1024 * 1024, RCPTS_FIRST = 8 };

static bool
size_param(struct session *s, struct span value)
{
	uint64_t size;

	if (!span_to_u64(value, &size)) {
		session_mistake(s, 501, "5.5.4", "SIZE is a number of bytes");
		return false;
	}
	if (size > s->listen->flow->max_size) {
		session_refuse(
		    s, 552, SPAN("5.3.4"), SPAN("Message is larger than this service takes"));
		return false;
	}
	return true;
}

/* Replies and returns false when a parameter is wrong. */
static bool
mail_params(struct session *s, const struct smtp_command *c)
{
	for (size_t i = 0; i < c->n_params; i++) {
		const struct smtp_param *p = &c->params[i];

		if (span_eq_nocase(p->name, SPAN("SIZE"))) {
			if (!size_param(s, p->value))
				return false;
		} else if (span_eq_nocase(p->name, SPAN("BODY"))) {
			if (!span_eq_nocase(p->value, SPAN("8BITMIME")) &&
			    !span_eq_nocase(p->value, SPAN("7BIT"))) {
				session_mistake(s, 501, "5.5.4", "BODY is 7BIT or 8BITMIME");
				return false;
			}
			s->transaction->is_8bit = span_eq_nocase(p->value, SPAN("8BITMIME"));
		} else {
			session_mistake(s, 555, "5.5.4", "Parameter not recognised");
			return false;
		}
	}
	return true;
}

static void
begin_transaction(struct session *s, const struct smtp_command *c)
{
	struct transaction *t = mem_alloc(sizeof(*t));

	arena_init(&t->memory, TRANSACTION_MEMORY);
	t->id = id_new();
	t->from = arena_copy(&t->memory, c->path);
	t->verdict = s->verdict;
	t->content.fd = -1;
	t->scan.body_fd = -1;
	s->transaction = t;
}

void
envelope_mail(struct session *s, const struct smtp_command *c)
{
	struct facts facts;

	if (s->helo[0] == '\0') {
		session_mistake(s, 503, "5.5.1", "Say EHLO first");
		return;
	}
	if (s->transaction != NULL) {
		session_mistake(s, 503, "5.5.1", "The sender was named already");
		return;
	}
	if (!spool_client_has_room(s->front->spool) || !content_has_room()) {
		session_refuse_client(s, 452, "4.3.1", "No room for mail now, try again later");
		return;
	}
	begin_transaction(s, c);
	if (!mail_params(s, c)) {
		session_end_transaction(s);
		return;
	}
	facts = session_facts(s);
	decide_stage(s->snapshot, STAGE_MAIL, &facts, &s->transaction->verdict, NULL, NULL);
	session_reply(s, 250, "2.1.0", "Sender OK");
}

static void
add_rcpt(struct transaction *t, const struct rcpt *r)
{
	if (t->n_rcpts == t->rcpts_size) {
		t->rcpts_size = t->rcpts_size ? t->rcpts_size * 2 : RCPTS_FIRST;
		t->rcpts = mem_grow(t->rcpts, t->rcpts_size * sizeof(*t->rcpts));
	}
	t->rcpts[t->n_rcpts++] = *r;
}

/* The rules' word on one recipient.  Returns false, having replied, when it is no. */
static bool
decide_rcpt(struct session *s, struct rcpt *r)
{
	struct transaction *t = s->transaction;
	struct verdict v = t->verdict;
	struct facts facts = session_facts(s);

	if (r->is_postmaster)
		findings_spare_postmaster(&v);
	facts.to = r->address;
	if (!r->is_postmaster)
		decide_stage(s->snapshot, STAGE_RCPT, &facts, &v, NULL, NULL);
	if (action_refuses_at_once(v.action)) {
		record_refusal(s, &v, r->address);
		session_speak(s, &v);
		return false;
	}
	if (memcmp(&v, &t->verdict, sizeof(v)) != 0) {
		r->verdict = mem_alloc(sizeof(v));
		*r->verdict = v;
	}
	return true;
}

void
envelope_rcpt(struct session *s, const struct smtp_command *c)
{
	struct transaction *t = s->transaction;
	struct rcpt r = {0};
	struct route route;
	enum route_result found;

	if (t == NULL) {
		session_mistake(s, 503, "5.5.1", "Say MAIL first");
		return;
	}
	t->had_rcpt = true;
	if (c->n_params > 0) {
		session_mistake(s, 555, "5.5.4", "Parameter not recognised");
		return;
	}
	if (t->n_rcpts >= s->listen->flow->max_recipients ||
	    arena_left(&t->memory) < SMTP_PATH_MAX * 2) {
		session_refuse(
		    s, 452, SPAN("4.5.3"), SPAN("Too many recipients; send the others apart"));
		return;
	}
	found =
	    route_find(s->front->config, s->listen->flow, s->front->recipients, c->path, &route);
	if (found != ROUTE_FOUND) {
		session_refuse_rcpt(s, 550, route_enhanced(found), route_text(found), c->path);
		/* Many unknown recipients are somebody who guesses. */
		session_count_error(s);
		return;
	}
	r.address = arena_copy(&t->memory, route.address);
	r.gateway = route.gateway;
	r.is_postmaster = route.is_postmaster;
	if (!decide_rcpt(s, &r))
		return;
	add_rcpt(t, &r);
	session_reply(s, 250, "2.1.5", "Recipient OK");
}

/*
 * 3_envelope.c - from whom, to whom?  Relay permission, the recipient tables and the rules for
 * sender and recipient; refusals decided earlier are spoken here, at each RCPT, so that the log
 * knows who would have got the mail.
 */
#include "policy/recipient/route.h"
#include "relay/base/log.h"
#include "relay/walk/findings.h"
#include "relay/walk/walk.h"

enum {
	TRANSACTION_MEMORY = 16 * 1024 * 1024,
	RCPT_MEMORY = SMTP_PATH_MAX * 2 + NOTIFY_ORCPT_MAX, /* of one, at most */
	RCPTS_FIRST = 8
};

static void
say_fault(struct session *s, const struct smtp_fault *fault)
{
	session_mistake(s, fault->code, fault->enhanced, fault->text);
}

/* The address as everything behind knows it: its domain in ASCII.  Replies and returns false when
 * that is no domain. */
static bool
read_address(
    struct session *s, const struct smtp_command *c, char to[SMTP_PATH_MAX], struct span *address)
{
	size_t n;
	int r = smtp_address_normalise(c->path, to, &n);

	if (r == 0)
		*address = span_of(to, n);
	else
		session_mistake(s, r == -E_LIMIT ? 553 : 501,
		    c->verb == SMTP_MAIL ? "5.1.7" : "5.1.3",
		    r == -E_LIMIT ? "Too long" : "The domain is no domain name");
	return r == 0;
}

/* So many clients with so many recipients each would be much, with not a byte of a message sent. */
static void
count_memory(struct transaction *t)
{
	content_count(&t->held, sizeof(*t) + (TRANSACTION_MEMORY - arena_left(&t->memory)) +
				    t->rcpts_size * sizeof(*t->rcpts) + t->verdict_bytes);
}

static void
begin_transaction(struct session *s, struct span from, const struct smtp_mail_params *params)
{
	struct transaction *t = mem_alloc(sizeof(*t));

	arena_init(&t->memory, TRANSACTION_MEMORY);
	t->id = id_new();
	t->from = arena_copy(&t->memory, from);
	t->is_8bit = params->is_8bit;
	t->has_said_utf8 = params->is_utf8;
	t->announced = params->size;
	t->is_utf8 = smtp_address_is_utf8(from);
	t->ret = params->ret;
	t->envid = arena_copy(&t->memory, params->envid);
	t->verdict = kept_verdict(s->verdict);
	t->content.fd = -1;
	t->scan.body_fd = -1;
	s->transaction = t;
	count_memory(t);
}

/* Whether this is the moment for MAIL; replies when it is not. */
static bool
may_begin(struct session *s)
{
	if (s->helo[0] == '\0') {
		session_mistake(s, 503, "5.5.1", "Say EHLO first");
	} else if (s->transaction != NULL) {
		session_mistake(s, 503, "5.5.1", "The sender was named already");
	} else if (s->n_mails >= s->listen->limits.messages) {
		/* RFC 9422 section 4.1: MAILMAX was announced. */
		session_refuse_client(
		    s, 421, "4.7.0", "Too many messages in one session, connect again");
		session_finish(s);
	} else if (!authenticate_is_member(s)) {
		session_mistake(s, 530, "5.7.0", "Sign in with AUTH first");
	} else if (!spool_client_has_room(s->front->spool) || !content_has_room()) {
		session_refuse_client(s, 452, "4.3.1", "No room for mail now, try again later");
	} else {
		return true;
	}
	return false;
}

/* The DNS has said what it knows of the sender's domain. */
static void
decide_sender(struct session *s)
{
	struct facts facts = session_facts(s);

	facts.rate = conduct_mail(s);
	facts.sender = s->transaction->sender;
	session_decide(s, STAGE_MAIL, &facts, &s->transaction->verdict);
	session_reply(s, 250, "2.1.0", "Sender OK");
}

static void
on_inquired(struct session *s)
{
	session_await_command(s);
	decide_sender(s);
	session_go_on(s);
}

void
envelope_mail(struct session *s, const struct smtp_command *c)
{
	char text[SMTP_PATH_MAX];
	struct smtp_mail_params params;
	const struct smtp_fault *fault;
	struct span from;

	if (!may_begin(s))
		return;
	fault = smtp_mail_params(c, &params);
	if (fault != NULL) {
		say_fault(s, fault);
		return;
	}
	if (params.has_auth && s->listen->auth == 0) {
		session_mistake(s, 555, "5.5.4", "Parameter not recognised");
		return;
	}
	if (!read_address(s, c, text, &from))
		return;
	if (params.size > s->listen->flow->max_size) {
		session_refuse(
		    s, 552, SPAN("5.3.4"), SPAN("Message is larger than this service takes"));
		return;
	}
	s->n_mails++;
	begin_transaction(s, from, &params);
	if (!inquire_sender(s, on_inquired))
		decide_sender(s);
}

static uint64_t
bytes_of(const struct rcpt *r)
{
	struct commit_rcpt in_envelope = {
	    .address = r->address, .gateway = span_str(r->gateway->name), .orcpt = r->orcpt};

	return commit_rcpt_size(&in_envelope);
}

static void
add_rcpt(struct transaction *t, const struct rcpt *r)
{
	t->rcpts_bytes += bytes_of(r);
	if (t->n_rcpts == t->rcpts_size) {
		t->rcpts_size = t->rcpts_size ? t->rcpts_size * 2 : RCPTS_FIRST;
		t->rcpts = mem_grow(t->rcpts, t->rcpts_size * sizeof(*t->rcpts));
	}
	t->rcpts[t->n_rcpts++] = *r;
	t->verdict_bytes += kept_bytes(r->verdict);
	count_memory(t);
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
	conduct_rcpt(s, &facts);
	if (!r->is_postmaster)
		session_decide(s, STAGE_RCPT, &facts, &v);
	if (action_refuses_at_once(v.action)) {
		record_refusal(s, &v, r->address);
		session_speak(s, &v);
		return false;
	}
	if (memcmp(&v, &t->verdict, sizeof(v)) != 0)
		r->verdict = kept_new(&v);
	return true;
}

static void
say_too_many(struct session *s)
{
	session_refuse(s, 452, SPAN("4.5.3"), SPAN("Too many recipients; send the others apart"));
}

/* Whether this is the moment for RCPT, and there is room; replies when not. */
static bool
may_add(struct session *s)
{
	struct transaction *t = s->transaction;

	if (t == NULL) {
		session_mistake(s, 503, "5.5.1", "Say MAIL first");
	} else if (t->is_chunked) {
		session_mistake(s, 503, "5.5.1", "The message has begun");
	} else if (t->n_rcpts >= s->listen->flow->max_recipients ||
		   arena_left(&t->memory) < RCPT_MEMORY) {
		t->had_rcpt = true;
		say_too_many(s);
	} else if (!content_has_room()) {
		t->had_rcpt = true;
		session_refuse_client(s, 452, "4.3.1", "No room for mail now, try again later");
	} else {
		t->had_rcpt = true;
		return true;
	}
	return false;
}

/* What the gateway has said it cannot take is refused while the client still listens; of one that
 * has not been asked yet nothing is known.  Replies and returns false. */
static bool
gateway_takes(struct session *s, const struct route *route)
{
	const struct config *config = s->front->config;
	const struct transaction *t = s->transaction;
	struct gateway_ability ability =
	    spool_client_ability(s->front->spool, (size_t)(route->gateway - config->gateways));

	if (!ability.is_known)
		return true;
	if (ability.size_limit > 0 && t->announced > ability.size_limit) {
		session_refuse_rcpt(s, 552, "5.3.4",
		    "Message is larger than the recipient's mail server takes", route->address);
		return false;
	}
	if (!ability.takes_utf8 && (t->is_utf8 || smtp_address_is_utf8(route->address))) {
		session_refuse_rcpt(s, 553, "5.6.7",
		    "The recipient's mail server takes no addresses beyond ASCII", route->address);
		return false;
	}
	return true;
}

static void
refuse_rcpt(struct session *s, enum route_result found, struct span address)
{
	session_refuse_rcpt(
	    s, route_code(found), route_enhanced(found), route_text(found), address);
	/* Many unknown recipients are somebody who guesses; that we cannot tell is not his doing. */
	if (found != ROUTE_UNKNOWN)
		session_count_error(s);
}

static void
accept_rcpt(struct session *s, const struct rcpt *r)
{
	struct transaction *t = s->transaction;

	add_rcpt(t, r);
	t->is_utf8 = t->is_utf8 || smtp_address_is_utf8(r->address);
	session_reply(s, 250, "2.1.5", "Recipient OK");
}

static void
on_known(struct recipient_request *request, const struct recipient_answer *answer)
{
	struct rcpt_question *q = request->arg;
	struct session *s = q->session;
	enum route_result found = route_answered(q->domain, answer->state);

	session_await_command(s);
	if (answer->state == RECIPIENT_UNKNOWN)
		log_event(LOG_WARN, "recipient not verified", KV("id", session_current_id(s)),
		    KV("to", q->rcpt.address), KV_STR("why", answer->why),
		    KV_INT("code", found == ROUTE_FOUND ? 250 : route_code(found)));
	if (found == ROUTE_FOUND) {
		accept_rcpt(s, &q->rcpt);
	} else {
		mem_free(q->rcpt.verdict);
		refuse_rcpt(s, found, q->rcpt.address); /* may end the transaction, and q */
	}
	session_go_on(s);
}

/* The commands behind this one wait, and are answered after it (RFC 2920 section 3.2). */
static void
ask_source(struct session *s, const struct conf_domain *domain, const struct rcpt *r)
{
	struct rcpt_question *q = &s->transaction->question;
	struct recipient_question question = {
	    .domain = (uint32_t)(domain - s->front->config->domains), .address = r->address};

	*q = (struct rcpt_question){.request = {.on_answer = on_known, .arg = q},
	    .session = s,
	    .domain = domain,
	    .rcpt = *r};
	s->state = SESSION_ASKING;
	connection_expect(&s->connection, 0);
	recipient_ask(
	    s->front->dns, &q->request, &question, recipient_patience_ms(s->front->config, domain));
}

void
envelope_cancel(struct session *s)
{
	struct rcpt_question *q = &s->transaction->question;

	if (q->request.client != NULL) /* asked, and not answered */
		mem_free(q->rcpt.verdict);
	recipient_cancel(&q->request);
}

/* Takes the recipient, says why not, or asks whether there is such a one. */
static void
take_rcpt(struct session *s, struct span address, struct span orcpt, unsigned notify)
{
	struct transaction *t = s->transaction;
	struct rcpt r = {.notify = notify};
	struct route route;
	enum route_result found =
	    route_find(s->front->config, s->listen->flow, s->front->recipients, address, &route);

	if (found != ROUTE_FOUND) {
		refuse_rcpt(s, found, address);
		return;
	}
	if (!gateway_takes(s, &route))
		return;
	r.address = arena_copy(&t->memory, route.address);
	r.orcpt = arena_copy(&t->memory, orcpt);
	r.gateway = route.gateway;
	r.is_postmaster = route.is_postmaster;
	/* What the spool cannot hold is refused while the client can still send it apart. */
	if (t->rcpts_bytes + bytes_of(&r) > COMMIT_RCPTS_BYTES_MAX) {
		say_too_many(s);
		return;
	}
	/* Whom the rules refuse costs no question and learns nothing of our recipients. */
	if (!decide_rcpt(s, &r))
		return;
	if (route.asks != NULL)
		ask_source(s, route.asks, &r);
	else
		accept_rcpt(s, &r);
}

void
envelope_rcpt(struct session *s, const struct smtp_command *c)
{
	char text[SMTP_PATH_MAX], orcpt[NOTIFY_ORCPT_MAX];
	struct smtp_rcpt_params params;
	const struct smtp_fault *fault;
	struct span address;
	size_t n;

	if (!may_add(s))
		return;
	fault = smtp_rcpt_params(c, s->transaction->has_said_utf8, &params);
	if (fault != NULL) {
		say_fault(s, fault);
		return;
	}
	if (smtp_orcpt_ascii(params.orcpt, orcpt, &n) < 0) {
		session_mistake(s, 501, "5.5.4", "ORCPT is too long");
		return;
	}
	if (read_address(s, c, text, &address))
		take_rcpt(s, address, span_of(orcpt, n), params.notify);
}

/*
 * authenticate.c - AUTH (RFC 4954): a client signs in and may then use its listener's flow as one of
 * the flow's `clients` may.
 *
 * Passwords are checked by the key role, which has their records; front waits for its word.  A failed
 * attempt is answered the later the more there were from that address, and in the same words for an
 * unknown user as for a wrong password.
 */
#include "relay/base/base64.h"
#include "relay/base/log.h"
#include "relay/base/rng.h"
#include "relay/smtp/sasl.h"
#include "relay/walk/walk.h"

enum { FAILURES_MAX = 5, NONCE_BYTES = 18, CHALLENGE_MAX = 4096 };

enum auth_step {
	STEP_RESPONSE, /* the first message of the mechanism */
	STEP_PASSWORD, /* LOGIN's second */
	STEP_SALT,     /* SCRAM: key is asked for the salt */
	STEP_PROOF,    /* SCRAM: the client's final message */
	STEP_CHECK,    /* key is asked whether it is right */
	STEP_CONFIRM   /* SCRAM: our signature is out, the client says nothing to it */
};

struct authentication {
	enum sasl_mechanism mechanism;
	enum auth_step step;
	struct key_waiting waiting;
	struct timer *delay;
	char name[SASL_NAME_MAX + 1];
	struct buf header, message; /* SCRAM: the client's header, AuthMessage so far */
	struct buf nonce;           /* the client's and ours */
};

static const unsigned bits[] = {
    [SASL_PLAIN] = AUTH_PLAIN, [SASL_LOGIN] = AUTH_LOGIN, [SASL_SCRAM_SHA256] = AUTH_SCRAM_SHA256};

/* --- its life ----------------------------------------------------------------------------------- */

void
authenticate_cancel(struct session *s)
{
	struct authentication *a = s->authentication;

	if (a == NULL)
		return;
	key_cancel(&a->waiting);
	timer_cancel(&a->delay);
	buf_free(&a->header);
	buf_free(&a->message);
	buf_free(&a->nonce);
	mem_free(a);
	s->authentication = NULL;
}

void
authenticate_abort(struct session *s)
{
	authenticate_cancel(s);
	session_await_command(s);
}

/* Over, with this reply. */
static void
end(struct session *s, int code, const char *enhanced, const char *text)
{
	authenticate_abort(s);
	session_reply(s, code, enhanced, text);
}

static void
mistake(struct session *s, int code, const char *enhanced, const char *text)
{
	authenticate_abort(s);
	session_mistake(s, code, enhanced, text);
}

static void
succeed(struct session *s)
{
	char ip[IP_TEXT_MAX];

	s->user = mem_dup(span_str(s->authentication->name));
	log_event(LOG_INFO, "signed in", KV("id", id_span(&s->id)), KV_STR("user", s->user),
	    KV("client", ip_format(&s->client, ip)),
	    KV_STR("mechanism", sasl_mechanism_name(s->authentication->mechanism)));
	end(s, 235, "2.7.0", "Signed in");
}

static void
on_delay(void *arg)
{
	struct session *s = arg;

	authenticate_abort(s);
	session_mistake(s, 535, "5.7.8", "Name or password is wrong");
	if (s->state != SESSION_ENDING && ++s->n_failed_auth >= FAILURES_MAX) {
		session_refuse(s, 421, SPAN("4.7.0"), SPAN("Too many failed attempts to sign in"));
		session_finish(s);
	}
	session_go_on(s);
}

static void
wait(struct session *s)
{
	s->state = SESSION_WAITING;
	connection_expect(&s->connection, 0); /* it is we who are slow */
}

static void
fail(struct session *s)
{
	struct authentication *a = s->authentication;
	char ip[IP_TEXT_MAX];

	log_event(LOG_INFO, "sign-in failed", KV("id", id_span(&s->id)), KV_STR("user", a->name),
	    KV("client", ip_format(&s->client, ip)));
	s->front->n_auth_failed++;
	wait(s);
	loop_timer(
	    s->front->loop, &a->delay, guesses_failed(s->front->tallies, &s->client), on_delay, s);
}

/* --- what is said ------------------------------------------------------------------------------- */

static void
challenge(struct session *s, enum auth_step next, struct span text)
{
	struct buf b = BUF_INIT(CHALLENGE_MAX);

	s->authentication->step = next;
	s->state = SESSION_AUTH;
	session_expect_line(s);
	(void)buf_add_str(&b, "334 "); /* bounded, as what follows */
	(void)base64_add(&b, text);
	(void)buf_add_str(&b, "\r\n");
	connection_send(&s->connection, buf_span(&b));
	buf_free(&b);
}

/* Nothing of a session may be touched after this has answered: it goes on from the loop. */
static void
ask(struct session *s, enum auth_step step, const struct key_question *question)
{
	struct authentication *a = s->authentication;
	struct key_question q = *question;

	a->step = step;
	q.users = span_str(s->listen->users);
	q.name = span_str(a->name);
	wait(s);
	key_ask(s->front->keys, &a->waiting, &q);
}

static bool
take_name(struct authentication *a, struct span name)
{
	return name.n > 0 && memchr(name.p, '\0', name.n) == NULL &&
	       span_copy(name, a->name, sizeof(a->name));
}

static void
take_plain(struct session *s, struct span message)
{
	struct sasl_plain plain;

	if (sasl_plain_parse(message, &plain) < 0) {
		mistake(s, 501, "5.5.2", "Not what PLAIN sends");
		return;
	}
	(void)take_name(s->authentication, plain.name); /* bounded by the parser */
	if (plain.authorize.n > 0 && !span_eq(plain.authorize, plain.name))
		fail(s); /* nobody acts for another here */
	else
		ask(s, STEP_CHECK,
		    &(struct key_question){.kind = KEY_PASSWORD, .proof = plain.password});
}

static void
take_login_name(struct session *s, struct span name)
{
	if (take_name(s->authentication, name))
		challenge(s, STEP_PASSWORD, SPAN("Password:"));
	else
		mistake(s, 501, "5.5.2", "No name that could be one");
}

static void
take_login_password(struct session *s, struct span password)
{
	if (password.n > SASL_PASSWORD_MAX)
		mistake(s, 501, "5.5.2", "Password too long");
	else
		ask(s, STEP_CHECK, &(struct key_question){.kind = KEY_PASSWORD, .proof = password});
}

/* --- SCRAM -------------------------------------------------------------------------------------- */

static void
take_scram_first(struct session *s, struct span message)
{
	struct authentication *a = s->authentication;
	char random[NONCE_BYTES];
	struct scram_first first;
	int r = scram_first_parse(message, &first);

	if (r == -E_UNSUPPORTED) {
		fail(s); /* channel binding was not offered */
		return;
	}
	if (r < 0 || !take_name(a, span_of(first.name, first.name_n))) {
		mistake(s, 501, "5.5.2", "Not what SCRAM sends");
		return;
	}
	a->header.max = a->message.max = CHALLENGE_MAX;
	a->nonce.max = SASL_NONCE_MAX * 2;
	rng_bytes(random, sizeof(random));
	/* All bounded by the parser. */
	(void)buf_add_span(&a->header, first.header);
	(void)buf_add_span(&a->message, first.bare);
	(void)buf_add_span(&a->nonce, first.nonce);
	(void)base64_add(&a->nonce, span_of(random, sizeof(random)));
	ask(s, STEP_SALT, &(struct key_question){.kind = KEY_SCRAM_FIRST});
}

static void
send_salt(struct session *s, const struct key_verdict *v)
{
	struct authentication *a = s->authentication;
	struct buf b = BUF_INIT(CHALLENGE_MAX);

	(void)buf_addf(&b, "r=%.*s,s=", SPAN_ARG(buf_span(&a->nonce))); /* bounded, as below */
	(void)base64_add(&b, v->data);
	(void)buf_addf(&b, ",i=%u", v->iterations);
	(void)buf_add_char(&a->message, ',');
	(void)buf_add_span(&a->message, buf_span(&b));
	(void)buf_add_char(&a->message, ',');
	challenge(s, STEP_PROOF, buf_span(&b));
	buf_free(&b);
}

static void
take_scram_final(struct session *s, struct span message)
{
	struct authentication *a = s->authentication;
	struct scram_final final;
	struct buf header = BUF_INIT(CHALLENGE_MAX);
	bool is_fine =
	    scram_final_parse(message, &final) == 0 && base64_decode(&header, final.binding) == 0;

	if (!is_fine) {
		mistake(s, 501, "5.5.2", "Not what SCRAM sends");
	} else if (!span_eq(buf_span(&header), buf_span(&a->header)) ||
		   !span_eq(final.nonce, buf_span(&a->nonce))) {
		fail(s);
	} else {
		(void)buf_add_span(&a->message, final.without_proof); /* bounded */
		ask(s, STEP_CHECK,
		    &(struct key_question){.kind = KEY_SCRAM_FINAL,
			.proof = span_of(final.proof, sizeof(final.proof)),
			.message = buf_span(&a->message)});
	}
	buf_free(&header);
}

static void
send_signature(struct session *s, struct span signature)
{
	struct buf b = BUF_INIT(CHALLENGE_MAX);

	(void)buf_add_str(&b, "v="); /* short */
	(void)base64_add(&b, signature);
	challenge(s, STEP_CONFIRM, buf_span(&b));
	buf_free(&b);
}

/* --- the exchange ------------------------------------------------------------------------------- */

static void
on_verdict(struct key_waiting *w, const struct key_verdict *v)
{
	struct session *s = w->arg;
	bool is_scram = s->authentication->mechanism == SASL_SCRAM_SHA256;

	switch (v->status) {
	case KEY_YES:
		if (s->authentication->step == STEP_SALT)
			send_salt(s, v);
		else if (is_scram)
			send_signature(s, v->data);
		else
			succeed(s);
		break;
	case KEY_NO:
		fail(s);
		break;
	case KEY_REFUSED:
	case KEY_BUSY:
		end(s, 454, "4.7.0", "Cannot check that now, try again later");
		break;
	}
	session_go_on(s);
}

static void
take_message(struct session *s, struct span message)
{
	struct authentication *a = s->authentication;

	switch (a->step) {
	case STEP_RESPONSE:
		if (a->mechanism == SASL_PLAIN)
			take_plain(s, message);
		else if (a->mechanism == SASL_LOGIN)
			take_login_name(s, message);
		else
			take_scram_first(s, message);
		break;
	case STEP_PASSWORD:
		take_login_password(s, message);
		break;
	case STEP_PROOF:
		take_scram_final(s, message);
		break;
	case STEP_CONFIRM:
		if (message.n == 0)
			succeed(s);
		else
			mistake(s, 501, "5.5.2", "Nothing was asked");
		break;
	case STEP_SALT:
	case STEP_CHECK:
		break; /* no line is taken while key is asked */
	}
}

static void
take_line(struct session *s, struct span line, bool is_initial)
{
	struct buf message = BUF_INIT(SASL_MESSAGE_MAX);

	if (!is_initial && span_eq(line, SPAN("*")))
		mistake(s, 501, "5.7.0", "Sign-in cancelled");
	else if (sasl_line_decode(line, is_initial, &message) < 0)
		mistake(s, 501, "5.5.2", "Not base64");
	else
		take_message(s, buf_span(&message));
	if (message.p != NULL)
		explicit_bzero(message.p, message.n); /* a password */
	buf_free(&message);
}

void
authenticate_line(struct session *s, struct span line)
{
	take_line(s, line, false);
}

/* Those that may be used now. */
static unsigned
allowed(const struct session *s)
{
	unsigned in_the_clear = s->listen->auth & AUTH_SCRAM_SHA256;

	return secure_is_on(s) ? s->listen->auth : in_the_clear;
}

void
authenticate_offer(const struct session *s, struct buf *to)
{
	if (allowed(s) == 0)
		return;
	(void)buf_add_str(to, "250-AUTH"); /* short */
	for (int m = 0; m < SASL_UNKNOWN; m++)
		if (allowed(s) & bits[m])
			(void)buf_addf(to, " %s", sasl_mechanism_name((enum sasl_mechanism)m));
	(void)buf_add_str(to, "\r\n");
}

/* Replies and returns false when there can be no AUTH now. */
static bool
may_begin(struct session *s, enum sasl_mechanism m)
{
	if (s->listen->auth == 0)
		session_mistake(s, 502, "5.5.1", "Command not implemented");
	else if (s->helo[0] == '\0')
		session_mistake(s, 503, "5.5.1", "Say EHLO first");
	else if (s->user != NULL)
		session_mistake(s, 503, "5.5.1", "You have signed in already");
	else if (s->transaction != NULL)
		session_mistake(s, 503, "5.5.1", "Finish the transaction first");
	else if (m == SASL_UNKNOWN || !(s->listen->auth & bits[m]))
		session_mistake(s, 504, "5.5.4", "Mechanism not offered");
	else if (!(allowed(s) & bits[m]))
		session_mistake(s, 538, "5.7.11", "Say STARTTLS first");
	else if (guesses_is_refused(s->front->tallies, &s->client)) {
		session_refuse(s, 421, SPAN("4.7.0"),
		    SPAN("Too many failed attempts to sign in from your address"));
		session_finish(s);
	} else
		return true;
	return false;
}

void
authenticate_command(struct session *s, const struct smtp_command *c)
{
	struct span initial;
	bool has_initial;
	enum sasl_mechanism m = sasl_command_parse(c->argument, &initial, &has_initial);
	struct authentication *a;

	if (!may_begin(s, m))
		return;
	a = mem_alloc(sizeof(*a));
	a->mechanism = m;
	a->waiting.on_verdict = on_verdict;
	a->waiting.arg = s;
	s->authentication = a;
	if (has_initial)
		take_line(s, initial, true);
	else
		challenge(s, STEP_RESPONSE, m == SASL_LOGIN ? SPAN("Username:") : SPAN(""));
}

bool
authenticate_is_member(const struct session *s)
{
	const struct nets *clients = &s->listen->flow->clients;

	return s->user != NULL || clients->n == 0 || nets_have(clients, &s->client);
}

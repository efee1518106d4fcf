/*
 * secure.c - TLS on a session: STARTTLS (RFC 3207), or from its first byte on where the listener says
 * "implicit" (RFC 8314).
 *
 * What was said in the clear counts for nothing afterwards, and what was pipelined behind STARTTLS
 * ends the session: nobody but an attacker in between sends that.
 */
#include "relay/base/log.h"
#include "relay/walk/walk.h"

bool
secure_is_offered(const struct session *s)
{
	return s->listen->tls == LISTEN_STARTTLS && s->front->tls != NULL &&
	       s->connection.tls == NULL;
}

/* Whether what is said now is inside TLS. */
bool
secure_is_on(const struct session *s)
{
	return s->connection.tls != NULL && !s->connection.is_handshaking;
}

/* One that is begun costs memory and a signature, and an attacker's is never finished. */
static bool
is_possible(const struct session *s)
{
	const struct front *f = s->front;
	size_t most = f->sessions_max / WALK_HANDSHAKES_SHARE;

	if (most < WALK_HANDSHAKES_MIN)
		most = WALK_HANDSHAKES_MIN;
	return f->tls != NULL && key_client_is_there(f->keys) && f->n_handshakes < most &&
	       content_has_room();
}

static void
shake_hands(struct session *s)
{
	s->is_securing = true;
	s->front->n_handshakes++;
	connection_start_tls(&s->connection, s->front->tls);
}

void
secure_leave(struct session *s)
{
	if (s->is_securing)
		s->front->n_handshakes--;
	s->is_securing = false;
}

void
secure_command(struct session *s, const struct smtp_command *c)
{
	if (s->listen->tls == LISTEN_PLAIN)
		session_mistake(s, 502, "5.5.1", "Command not implemented");
	else if (s->connection.tls != NULL)
		session_mistake(s, 503, "5.5.1", "TLS is on already");
	else if (c->argument.n > 0)
		session_mistake(s, 501, "5.5.4", "STARTTLS takes no argument");
	else if (s->transaction != NULL)
		session_mistake(s, 503, "5.5.1", "Finish the transaction first");
	else if (!is_possible(s))
		session_refuse(
		    s, 454, SPAN("4.7.0"), SPAN("TLS is not available now, try again later"));
	else
		s->state = SESSION_SECURING; /* begins when this command has been taken */
}

void
secure_welcome(struct session *s)
{
	if (s->listen->tls != LISTEN_IMPLICIT) {
		accept_begin(s);
	} else if (is_possible(s)) {
		s->state = SESSION_SECURING;
		shake_hands(s);
	} else {
		session_finish(s); /* a word in the clear would not be understood */
	}
}

void
secure_begin(struct session *s)
{
	struct connection *c = &s->connection;

	if (c->in.n > 0) {
		log_event(LOG_WARN, "bytes behind STARTTLS", KV("id", id_span(&s->id)));
		session_refuse(s, 501, SPAN("5.5.1"), SPAN("Wait for the reply to STARTTLS"));
		session_finish(s);
		return;
	}
	session_reply(s, 220, "2.0.0", "Go ahead with TLS");
	shake_hands(s);
}

/* RFC 3207 section 4.2: as after the banner. */
static void
forget(struct session *s)
{
	struct verdict v = kept_verdict(s->connected);

	s->helo[0] = '\0';
	s->is_esmtp = false;
	mem_free(s->user);
	s->user = NULL;
	session_keep_verdict(s, &s->verdict, &v);
}

void
secure_done(struct session *s)
{
	struct connection *c = &s->connection;

	secure_leave(s);
	s->front->n_tls++;
	log_event(LOG_INFO, "tls", KV("id", id_span(&s->id)), KV("version", tls_version(c->tls)),
	    KV("cipher", tls_cipher(c->tls)), KV_INT("resumed", tls_is_resumed(c->tls)));
	if (s->listen->tls == LISTEN_IMPLICIT) {
		accept_begin(s);
	} else {
		forget(s);
		session_await_command(s);
	}
	if (s->state != SESSION_ENDING)
		session_go_on(s);
}

void
secure_failed(struct session *s)
{
	char ip[IP_TEXT_MAX];

	s->front->n_tls_failed++;
	log_event(LOG_INFO, "tls failed", KV("id", id_span(&s->id)),
	    KV("client", ip_format(&s->client, ip)), KV_STR("why", tls_why(s->connection.tls)));
}

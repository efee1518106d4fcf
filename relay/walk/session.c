/*
 * session.c - the life of a session: input comes in, each command goes to its stage, replies leave
 * in one write; and its end, whatever it was waiting for.
 */
#include "relay/base/clock.h"
#include "relay/base/log.h"
#include "relay/smtp/reply.h"
#include "relay/walk/walk.h"

enum { REPLY_MAX = 4096 };

struct span
session_current_id(const struct session *s)
{
	return id_span(s->transaction != NULL ? &s->transaction->id : &s->id);
}

static void
send_reply(struct session *s, int code, struct span enhanced, struct span text, struct span id)
{
	struct buf b = BUF_INIT(REPLY_MAX);

	(void)smtp_reply_add(&b, code, enhanced, text, id); /* texts are bounded: it fits */
	connection_send(&s->connection, buf_span(&b));
	buf_free(&b);
}

void
session_reply(struct session *s, int code, const char *enhanced, const char *text)
{
	send_reply(s, code, span_str(enhanced), span_str(text), (struct span){0});
}

void
session_refuse(struct session *s, int code, struct span enhanced, struct span text)
{
	send_reply(s, code, enhanced, text, session_current_id(s));
	if (code >= 400)
		s->front->n_refused++;
}

void
session_refuse_rcpt(
    struct session *s, int code, const char *enhanced, const char *text, struct span to)
{
	struct verdict v = {.action = code >= 500 ? ACTION_REJECT : ACTION_TEMPFAIL,
	    .stage = s->transaction != NULL ? STAGE_RCPT : STAGE_CONNECT,
	    .code = code,
	    .by = SPAN("relay")};

	(void)span_copy(span_str(enhanced), v.enhanced, sizeof(v.enhanced)); /* ours: they fit */
	(void)span_copy(span_str(text), v.text, sizeof(v.text));
	record_refusal(s, &v, to);
	session_speak(s, &v);
}

void
session_refuse_client(struct session *s, int code, const char *enhanced, const char *text)
{
	session_refuse_rcpt(s, code, enhanced, text, (struct span){0});
}

void
session_speak(struct session *s, const struct verdict *v)
{
	session_refuse(s, v->code, span_str(v->enhanced), span_str(v->text));
}

void
session_mistake(struct session *s, int code, const char *enhanced, const char *text)
{
	session_refuse(s, code, span_str(enhanced), span_str(text));
	session_count_error(s);
}

void
session_count_error(struct session *s)
{
	if (++s->errors < WALK_ERRORS_MAX)
		return;
	session_refuse(s, 421, SPAN("4.7.0"), SPAN("Too many mistakes"));
	session_finish(s);
}

struct facts
session_facts(const struct session *s)
{
	return (struct facts){
	    .now_wall_ms = clock_wall_ms(),
	    .client = s->client,
	    .has_host = s->has_host,
	    .host = span_str(s->host),
	    .has_helo = s->helo[0] != '\0',
	    .helo = span_str(s->helo),
	    .from = s->transaction != NULL ? s->transaction->from : (struct span){0},
	    .answers = s->answers,
	    .n_answers = snapshot_list_count(s->snapshot),
	    .flow = s->listen->flow,
	    .hostname = s->front->config->hostname,
	};
}

void
session_end_transaction(struct session *s)
{
	struct transaction *t = s->transaction;

	if (t == NULL)
		return;
	filter_cancel(s);
	commit_cancel(s);
	timer_cancel(&t->data_limit);
	for (size_t i = 0; i < t->n_rcpts; i++)
		mem_free(t->rcpts[i].verdict);
	for (size_t i = 0; i < t->n_groups; i++)
		mem_free(t->groups[i].rcpts);
	mem_free(t->rcpts);
	mem_free(t->groups);
	mem_free((void *)(uintptr_t)t->addresses);
	content_free(&t->content);
	arena_free(&t->memory);
	mem_free(t);
	s->transaction = NULL;
}

static void
session_free(struct session *s)
{
	struct front *f = s->front;

	accept_cancel(s);
	authenticate_cancel(s);
	session_end_transaction(s);
	timer_cancel(&s->drain);
	connection_close(&s->connection);
	pool_release_policy(f->workers, snapshot_version(s->snapshot));
	if (s->is_counted)
		clients_leave(f->clients, &s->peer);
	snapshot_release(&s->snapshot);
	list_remove(&s->node);
	mem_free(s);
	f->n_sessions--;
	if (f->is_draining && f->n_sessions == 0)
		loop_stop(f->loop);
}

void
session_finish(struct session *s)
{
	accept_cancel(s);
	authenticate_cancel(s);
	session_end_transaction(s);
	s->state = SESSION_ENDING;
	connection_finish(&s->connection);
}

/* A command is due; when front is ending, the session ends now that nothing is in hand. */
void
session_await_command(struct session *s)
{
	s->state = SESSION_COMMAND;
	connection_expect(&s->connection, WALK_COMMAND_MS);
	if (s->front->is_draining)
		session_drain(s);
}

static void
dispatch(struct session *s, struct span line)
{
	struct smtp_command c;
	int r = smtp_command_parse(line, &c);

	if (r == -E_LIMIT) {
		bool is_path = c.verb == SMTP_MAIL || c.verb == SMTP_RCPT;

		session_mistake(s, is_path && c.n_params < SMTP_PARAMS_MAX ? 553 : 555,
		    is_path ? "5.1.3" : "5.5.4", "Too long");
		return;
	}
	if (r < 0 && c.verb != SMTP_UNKNOWN) {
		session_mistake(s, 501, "5.5.4", "Syntax error in the argument");
		return;
	}
	if (c.verb == SMTP_MAIL)
		envelope_mail(s, &c);
	else if (c.verb == SMTP_RCPT)
		envelope_rcpt(s, &c);
	else if (c.verb == SMTP_DATA && c.argument.n == 0)
		data_begin(s);
	else if (c.verb == SMTP_DATA)
		session_mistake(s, 501, "5.5.4", "DATA takes no argument");
	else
		greet_command(s, &c);
}

/* Returns false when no whole line is there yet. */
static bool
command_input(struct session *s)
{
	struct buf *in = &s->connection.in;
	struct span line;
	size_t used = 0;
	int r = reader_line(buf_span(in), SMTP_COMMAND_MAX, &line, &used);

	if (r == 0)
		return false;
	if (r == -E_LIMIT) {
		session_refuse(s, 500, SPAN("5.5.2"), SPAN("Line too long"));
		session_refuse(
		    s, 421, SPAN("4.7.0"), SPAN("Cannot tell where your commands begin"));
		session_finish(s);
		return false;
	}
	if (r == -E_SYNTAX) {
		if (used == 0)
			return false;
		session_mistake(s, 500, "5.5.2", "Line holds a bare CR, a bare LF or a NUL byte");
	} else if (s->state == SESSION_AUTH) {
		authenticate_line(s, line);
	} else {
		dispatch(s, line);
	}
	if (s->state != SESSION_ENDING)
		buf_consume(in, used);
	return true;
}

/* Handles what input there is, as far as the session's state lets it. */
void
session_go_on(struct session *s)
{
	bool has_more = true;

	if (s->is_processing)
		return;
	s->is_processing = true;
	while (has_more && s->connection.in.n > 0)
		switch (s->state) {
		case SESSION_COMMAND:
		case SESSION_AUTH:
			has_more = command_input(s);
			break;
		case SESSION_DATA:
			data_input(s);
			break;
		case SESSION_CHECKING:
		case SESSION_WAITING:
		case SESSION_SECURING:
		case SESSION_ENDING:
			has_more = false;
			break;
		}
	s->is_processing = false;
	if (s->state == SESSION_SECURING && s->connection.tls == NULL)
		secure_begin(s);
	connection_pause(
	    &s->connection, s->state == SESSION_CHECKING || s->state == SESSION_WAITING);
	connection_flush(&s->connection);
}

static void
on_input(void *arg)
{
	session_go_on(arg);
}

static void
on_gone(void *arg)
{
	struct session *s = arg;

	if (s->connection.is_handshaking)
		secure_failed(s);
	session_free(s);
}

static void
on_secure(void *arg)
{
	secure_done(arg);
}

static void
on_timeout(void *arg)
{
	struct session *s = arg;

	session_refuse(s, 421, SPAN("4.4.2"), SPAN("Time is up"));
	session_finish(s);
}

static const struct connection_events session_events = {
    on_input, on_gone, on_timeout, on_gone, on_secure};

bool
session_is_counted(const struct ip *peer, const struct conf_listen *listen)
{
	return !ip_is_loopback(peer) && !nets_have(&listen->xclient, peer);
}

void
session_new(struct front *f, int fd, const struct ip *peer, const struct conf_listen *listen)
{
	struct session *s = mem_alloc(sizeof(*s));

	s->front = f;
	s->id = id_new();
	s->peer = s->client = *peer;
	s->may_xclient = nets_have(&listen->xclient, peer);
	s->is_counted = session_is_counted(peer, listen);
	if (s->is_counted)
		clients_enter(f->clients, peer);
	s->listen = listen;
	s->snapshot = snapshot_hold(f->snapshot);
	pool_hold_policy(f->workers, snapshot_version(s->snapshot));
	list_append(&f->sessions, &s->node);
	f->n_sessions++;
	f->n_connections++;
	connection_open(&s->connection, f->loop, fd, &session_events, s);
	if (listen->tls == LISTEN_IMPLICIT) {
		s->state = SESSION_SECURING;
		if (f->tls != NULL && key_client_is_there(f->keys))
			connection_start_tls(&s->connection, f->tls);
		else
			session_finish(s); /* a word in the clear would not be understood */
		return;
	}
	accept_begin(s);
	if (s->state != SESSION_ENDING)
		session_go_on(s);
}

static void
on_drained(void *arg)
{
	struct session *s = arg;

	session_refuse(s, 421, SPAN("4.3.2"), SPAN("Service is restarting, try again"));
	session_finish(s);
}

void
session_drain(struct session *s)
{
	bool has_message = s->state == SESSION_DATA || s->state == SESSION_WAITING;

	if (s->state != SESSION_ENDING)
		loop_timer(
		    s->front->loop, &s->drain, has_message ? WALK_DRAIN_MS : 0, on_drained, s);
}

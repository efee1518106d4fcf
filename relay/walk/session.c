/*
 * session.c - the life of a session: input comes in, each command goes to its stage, replies leave
 * in one write; and its end, whatever it was waiting for.
 */
#include "relay/base/clock.h"
#include "relay/base/log.h"
#include "relay/smtp/reply.h"
#include "relay/smtp/sasl.h"
#include "relay/walk/walk.h"

#include <stdio.h>

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

static void
on_delay(void *arg)
{
	struct session *s = arg;

	s->is_delayed = false;
	session_go_on(s);
}

static void
count_mistake(struct session *s)
{
	uint32_t max = s->listen->limits.mistakes;

	s->errors++;
	if (s->errors >= max) {
		session_refuse(s, 421, SPAN("4.7.0"), SPAN("Too many mistakes"));
		session_finish(s);
	} else if (s->errors > max / 2) {
		s->is_delayed = true;
		loop_timer(s->front->loop, &s->delay, WALK_MISTAKE_MS, on_delay, s);
	}
}

void
session_count_error(struct session *s)
{
	conduct_error(s);
	count_mistake(s);
}

int64_t
session_patience(const struct session *s, int64_t ms)
{
	int64_t less = ms / WALK_STRESS_DIVISOR;

	if (!s->front->is_stressed || ms < WALK_STRESS_MS_MIN)
		return ms;
	return less < WALK_STRESS_MS_MIN ? WALK_STRESS_MS_MIN : less;
}

void
session_expect_line(struct session *s)
{
	connection_expect_all(&s->connection, session_patience(s, s->listen->limits.command_ms));
}

void
session_expect_bytes(struct session *s)
{
	connection_expect(&s->connection, session_patience(s, s->listen->limits.data_ms));
}

/* They are what keeps a session open for ever at no cost; they say nothing against its address. */
void
session_count_idle(struct session *s)
{
	if (++s->n_idle > WALK_IDLE_MAX)
		count_mistake(s);
}

struct span
session_protocol(const struct session *s)
{
	/* RFC 3848, RFC 6531 section 4.3: in the clear, S inside TLS; A where somebody signed in. */
	static const struct span plain[] = {
	    SPAN("ESMTP"), SPAN("ESMTPS"), SPAN("ESMTPA"), SPAN("ESMTPSA")};
	static const struct span utf8[] = {
	    SPAN("UTF8SMTP"), SPAN("UTF8SMTPS"), SPAN("UTF8SMTPA"), SPAN("UTF8SMTPSA")};
	size_t i = (secure_is_on(s) ? 1U : 0U) + (s->user != NULL ? 2U : 0U);

	if (s->transaction != NULL && s->transaction->has_said_utf8)
		return utf8[i];
	return s->is_esmtp ? plain[i] : SPAN("SMTP");
}

struct span
session_tls(const struct session *s)
{
	if (s->again != NULL)
		return refilter_tls(s);
	return secure_is_on(s) ? tls_version(s->connection.tls) : (struct span){0};
}

void
session_keep_verdict(struct session *s, struct kept_verdict **slot, const struct verdict *v)
{
	static const struct verdict nothing;

	mem_free(*slot);
	*slot = NULL;
	if (memcmp(v, &nothing, sizeof(*v)) != 0)
		*slot = kept_new(v);
	content_count(&s->held, kept_bytes(s->connected) + kept_bytes(s->verdict));
}

struct facts
session_facts(const struct session *s)
{
	static const struct list_answer unknown[POLICY_LISTS_MAX]; /* LIST_UNKNOWN */
	const struct front *f = s->front;

	return (struct facts){
	    .now_wall_ms = clock_wall_ms(),
	    .client = s->client,
	    .has_host = s->has_host,
	    .host = span_str(s->host),
	    .has_helo = s->helo[0] != '\0',
	    .helo = span_str(s->helo),
	    .from = s->transaction != NULL ? s->transaction->from : (struct span){0},
	    .tls = session_tls(s),
	    .user = span_str(s->user),
	    .answers = s->answers != NULL ? s->answers : unknown,
	    .n_answers = snapshot_list_count(s->snapshot),
	    .country = snapshot_needs(s->snapshot, FACET_COUNTRY)
			   ? mmdb_country(&f->countries, &s->client)
			   : (struct span){0},
	    .asn = snapshot_needs(s->snapshot, FACET_ASN) ? mmdb_asn(&f->networks, &s->client) : 0,
	    .flow = s->listen->flow,
	    .hostname = s->front->config->hostname,
	};
}

static void
report_limit(struct session *s, uint32_t rule)
{
	struct front *f = s->front;
	char what[160];

	f->n_limits++;
	if (f->limited != 0 && snapshot_version(s->snapshot) == snapshot_version(f->snapshot))
		return;
	log_event(LOG_WARN, "regex limit", KV("id", session_current_id(s)), KV_INT("rule", rule),
	    KV("text", span_take(snapshot_rule_text(s->snapshot, rule), 200)));
	if (f->report == NULL || snapshot_version(s->snapshot) != snapshot_version(f->snapshot))
		return;
	f->limited = rule;
	(void)snprintf(what, sizeof(what),
	    "the regex of rule %u is too costly for some mail: there it matches nothing", rule);
	f->report(f->report_arg, "regex", what,
	    "write it without nested repetition, or anchor it; `postern policy list` shows the "
	    "rule");
}

/* Which regex took the most, the worker's log says. */
static void
report_unread(struct session *s, uint32_t rule)
{
	struct front *f = s->front;
	bool is_old = snapshot_version(s->snapshot) != snapshot_version(f->snapshot);

	f->n_unread++;
	log_event(
	    LOG_WARN, "regexes not tried", KV("id", session_current_id(s)), KV_INT("rule", rule));
	if (f->report == NULL || f->has_unread || is_old)
		return;
	f->has_unread = true;
	f->report(f->report_arg, "regexes",
	    "the regexes of rules on the content are too much work for some mail: it is put off",
	    "write the one that the log's `regexes cost too much` names so that it starts with a "
	    "word, not with a repetition");
}

void
session_decide(struct session *s, enum stage stage, const struct facts *facts, struct verdict *v)
{
	struct facts counted = *facts;

	/* Said again, or filtered again, it is no further hit. */
	if (s->front->hits != NULL && s->again == NULL && !(stage == STAGE_HELO && s->has_greeted))
		counted.count = hits_count;
	counted.count_arg = s->front->hits;
	v->limited = 0;
	decide_stage(s->snapshot, stage, &counted, v, NULL, NULL);
	if (v->limited != 0)
		report_limit(s, v->limited);
	if (v->unread != 0)
		report_unread(s, v->unread);
	v->limited = 0; /* reported: not again with what is copied from this verdict */
}

void
session_end_transaction(struct session *s)
{
	struct transaction *t = s->transaction;

	if (t == NULL)
		return;
	envelope_cancel(s);
	inquire_cancel(s);
	inquire_forget(s, LIST_OF_FROM); /* these point into the transaction */
	inquire_forget(s, LIST_OF_URL);
	filter_cancel(s);
	commit_cancel(s);
	data_stop(s);
	for (size_t i = 0; i < t->n_rcpts; i++)
		mem_free(t->rcpts[i].verdict);
	for (size_t i = 0; i < t->n_groups; i++)
		mem_free(t->groups[i].rcpts);
	mem_free(t->rcpts);
	mem_free(t->groups);
	mem_free((void *)(uintptr_t)t->addresses);
	content_free(&t->content);
	content_count(&t->held, 0);
	buf_free(&t->kept);
	arena_free(&t->memory);
	mem_free(t);
	s->transaction = NULL;
}

size_t
session_room(const struct front *f)
{
	size_t left = files_left() / FILES_SESSION;

	if (f->sessions_max == 0)
		return SIZE_MAX;
	return left < f->sessions_max && f->n_sessions + left < f->sessions_max
		   ? f->n_sessions + left
		   : f->sessions_max;
}

/* Sessions run short at three quarters of what there may be, and have room again at half of it. */
static void
look_at_stress(struct front *f)
{
	bool was_stressed = f->is_stressed;
	size_t most = session_room(f);

	if (f->sessions_max == 0)
		return;
	if (f->n_sessions >= most / 4 * 3)
		f->is_stressed = true;
	else if (f->n_sessions <= most / 2)
		f->is_stressed = false;
	if (f->is_stressed == was_stressed)
		return;
	log_event(f->is_stressed ? LOG_WARN : LOG_INFO,
	    f->is_stressed ? "sessions run short" : "room for sessions again",
	    KV_INT("sessions", f->n_sessions), KV_INT("most", most));
	if (!f->is_stressed)
		return;
	/* Those who are idle were given more time than there is now. */
	LIST_FOR_SAFE (it, &f->sessions) {
		struct session *s = LIST_ENTRY(it, struct session, node);

		if (s->state == SESSION_COMMAND || s->state == SESSION_AUTH)
			session_expect_line(s);
		else if (s->state == SESSION_DATA || s->state == SESSION_CHUNK)
			session_expect_bytes(s);
	}
}

static void
session_free(struct session *s)
{
	struct front *f = s->front;

	accept_cancel(s);
	inquire_cancel(s);
	secure_leave(s);
	authenticate_cancel(s);
	session_end_transaction(s);
	data_stop(s);
	timer_cancel(&s->drain);
	timer_cancel(&s->delay);
	connection_close(&s->connection);
	files_give(FILES_SESSION);
	pool_release_policy(f->workers, snapshot_version(s->snapshot));
	if (s->is_counted)
		clients_leave(f->clients, &s->peer);
	conduct_leave(s);
	snapshot_release(&s->snapshot);
	list_remove(&s->node);
	mem_free(s->connected);
	mem_free(s->verdict);
	content_count(&s->held, 0);
	mem_free(s->answers);
	mem_free(s->user);
	mem_free(s);
	f->n_sessions--;
	look_at_stress(f);
	if (f->is_draining && f->n_sessions == 0)
		loop_stop(f->loop);
}

void
session_finish(struct session *s)
{
	accept_cancel(s);
	inquire_cancel(s);
	authenticate_cancel(s);
	session_end_transaction(s);
	data_stop(s);
	timer_cancel(&s->delay);
	s->is_delayed = false;
	s->state = SESSION_ENDING;
	connection_finish(&s->connection);
}

/* A command is due; when front is ending, the session ends now that nothing is in hand. */
void
session_await_command(struct session *s)
{
	s->state = SESSION_COMMAND;
	session_expect_line(s);
	if (s->front->is_draining)
		session_drain(s);
}

static void
dispatch_invalid(struct session *s, const struct smtp_command *c, int error)
{
	bool is_path =
	    (c->verb == SMTP_MAIL || c->verb == SMTP_RCPT) && c->n_params < SMTP_PARAMS_MAX;

	if (c->verb == SMTP_BDAT) {
		/* Its bytes follow, nobody knows how many: none of them may be read as a command. */
		session_refuse(s, 501, SPAN("5.5.4"), SPAN("BDAT takes a size, then perhaps LAST"));
		session_refuse(
		    s, 421, SPAN("4.7.0"), SPAN("Cannot tell where your commands begin"));
		session_finish(s);
	} else if (error == -E_LIMIT) {
		session_mistake(s, is_path ? 553 : 555,
		    !is_path               ? "5.5.4"
		    : c->verb == SMTP_MAIL ? "5.1.7"
					   : "5.1.3",
		    "Too long");
	} else {
		session_mistake(s, 501, "5.5.4", "Syntax error in the argument");
	}
}

static void
dispatch(struct session *s, struct span line)
{
	struct smtp_command c;
	int r = smtp_command_parse(line, &c);

	if (r < 0)
		dispatch_invalid(s, &c, r);
	else if (c.verb == SMTP_MAIL)
		envelope_mail(s, &c);
	else if (c.verb == SMTP_RCPT)
		envelope_rcpt(s, &c);
	else if (c.verb == SMTP_DATA)
		data_begin(s);
	else if (c.verb == SMTP_BDAT)
		data_chunk(s, &c);
	else
		greet_command(s, &c);
}

/* A line that is too long was refused once; the rest of it is dropped up to its CRLF. */
static bool
skip_input(struct session *s)
{
	struct buf *in = &s->connection.in;
	size_t used;

	s->is_skipping = !reader_skip_line(buf_span(in), &used);
	s->skipped += used;
	buf_consume(in, used);
	if (s->skipped > WALK_SKIP_MAX) {
		session_refuse(
		    s, 421, SPAN("4.7.0"), SPAN("Cannot tell where your commands begin"));
		session_finish(s);
		return false;
	}
	return !s->is_skipping;
}

/* Returns false when no whole line is there yet. */
static bool
command_input(struct session *s)
{
	struct buf *in = &s->connection.in;
	struct span line;
	size_t used = 0;
	bool is_response =
	    s->state == SESSION_AUTH; /* RFC 4954 section 4: of a length of its own */
	int r =
	    reader_line(buf_span(in), is_response ? SASL_LINE_MAX : SMTP_COMMAND_MAX, &line, &used);

	if (r == 0)
		return false;
	if ((r == -E_LIMIT || (r == -E_SYNTAX && used > 0)) && is_response)
		authenticate_abort(s);
	if (r == -E_LIMIT) {
		s->is_skipping = true;
		s->skipped = 0;
		session_mistake(s, 500, is_response ? "5.5.6" : "5.5.2", "Line too long");
		return s->state != SESSION_ENDING;
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

/* Who reads no replies, or sends far ahead, pays when memory has run out; not while a message is on
 * its way to the disk, since its client would send it again. */
static void
look_at_buffers(struct session *s)
{
	size_t buffers = s->connection.in.cap + s->connection.out.cap;

	if (content_has_room() || buffers <= WALK_BUFFERS_SPARED || s->state == SESSION_WAITING ||
	    s->state == SESSION_ENDING)
		return;
	buf_free(&s->connection.in);
	buf_free(&s->connection.out);
	session_refuse(s, 421, SPAN("4.3.1"), SPAN("No room for your session, try again later"));
	session_finish(s);
}

/* Handles what input there is, as far as the session's state lets it. */
void
session_go_on(struct session *s)
{
	bool has_more = true, has_command = false;

	if (s->is_processing)
		return;
	s->is_processing = true;
	while (has_more && s->connection.in.n > 0 && !s->is_delayed)
		switch (s->state) {
		case SESSION_PROXY:
			accept_proxy(s);
			has_more = s->state != SESSION_PROXY;
			break;
		case SESSION_COMMAND:
		case SESSION_AUTH:
			has_more = s->is_skipping ? skip_input(s) : command_input(s);
			has_command = has_command || has_more;
			break;
		case SESSION_DATA:
			data_input(s);
			break;
		case SESSION_CHUNK:
			data_chunk_input(s);
			break;
		case SESSION_CHECKING:
		case SESSION_ASKING:
		case SESSION_WAITING:
		case SESSION_SECURING:
		case SESSION_ENDING:
			has_more = false;
			break;
		}
	s->is_processing = false;
	if (has_command && s->state == SESSION_COMMAND)
		session_expect_line(s);
	if (s->state == SESSION_SECURING && s->connection.tls == NULL && !s->is_delayed)
		secure_begin(s);
	connection_pause(&s->connection, s->state == SESSION_CHECKING ||
					     s->state == SESSION_ASKING ||
					     s->state == SESSION_WAITING || s->is_delayed);
	connection_flush(&s->connection);
	look_at_buffers(s);
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

	if (s->state == SESSION_PROXY) {
		session_free(s); /* whoever it is, it does not expect to be spoken to yet */
		return;
	}
	session_refuse(s, 421, SPAN("4.4.2"), SPAN("Time is up"));
	session_finish(s);
}

static const struct connection_events session_events = {
    on_input, on_gone, on_timeout, on_gone, on_secure};

bool
session_is_counted(const struct ip *peer, const struct conf_listen *listen)
{
	return !ip_is_loopback(peer) && !nets_have(&listen->xclient, peer) &&
	       !nets_have(&listen->proxies, peer);
}

void
session_set_peer(struct session *s, const struct ip *peer)
{
	s->peer = s->client = *peer;
	s->may_xclient = nets_have(&s->listen->xclient, peer);
	s->is_counted = session_is_counted(peer, s->listen);
	if (s->is_counted)
		clients_enter(s->front->clients, peer);
}

void
session_new(struct front *f, int fd, const struct ip *peer, const struct conf_listen *listen)
{
	struct session *s = mem_alloc(sizeof(*s));

	s->front = f;
	s->id = id_new();
	s->listen = listen;
	session_set_peer(s, peer);
	s->snapshot = snapshot_hold(f->snapshot);
	pool_hold_policy(f->workers, snapshot_version(s->snapshot));
	list_append(&f->sessions, &s->node);
	files_take(FILES_SESSION);
	f->n_sessions++;
	f->n_connections++;
	connection_open(&s->connection, f->loop, fd, &session_events, s);
	look_at_stress(f);
	if (nets_have(&listen->proxies, peer)) {
		s->state = SESSION_PROXY;
		connection_read_slowly(&s->connection, listen->tls == LISTEN_IMPLICIT);
		connection_expect_all(&s->connection, WALK_PROXY_MS);
		return;
	}
	secure_welcome(s);
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
	bool has_message =
	    s->state == SESSION_DATA || s->state == SESSION_CHUNK || s->state == SESSION_WAITING;

	if (s->state != SESSION_ENDING)
		loop_timer(
		    s->front->loop, &s->drain, has_message ? WALK_DRAIN_MS : 0, on_drained, s);
}

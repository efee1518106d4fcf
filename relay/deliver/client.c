#include "relay/deliver/client.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/deliver/dialogue.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <unistd.h>

enum {
	READ_BYTES = 4096,
	OUT_MAX = 256 * 1024 /* the longest group of commands is below 64 KiB */
};

static void
enter(struct client *c)
{
	c->depth++;
}

static void
leave(struct client *c)
{
	if (--c->depth > 0 || !c->is_doomed)
		return;
	buf_free(&c->out);
	mem_free(c);
}

static void
hang_up(struct client *c)
{
	watch_remove(&c->watch);
	timer_cancel(&c->timer);
	if (c->tls != NULL && c->state == STATE_QUIT)
		tls_bye(c->tls);
	tls_free(&c->tls);
	if (c->fd >= 0)
		(void)close(c->fd); /* a socket: what was not answered is not delivered */
	c->fd = -1;
}

/* The connection is over, and the owner may have freed the client: only c->fd may be looked at. */
void
client_finish(struct client *c, enum client_outcome outcome, int code, const char *said)
{
	struct client_end end = {.outcome = outcome,
	    .code = code,
	    .reply = span_str(said),
	    .is_over = true,
	    .has_dsn = (c->offered.bits & CLIENT_DSN) != 0};

	if (c->fd < 0 && c->state != STATE_CONNECTING)
		return; /* over before */
	hang_up(c);
	if (c->has_mail) {
		c->has_mail = false;
		c->events->on_end(c->arg, &end);
	} else {
		c->events->on_gone(c->arg, &end);
	}
}

static void open_socket(struct client *c);

/* TLS came to nothing: where it is a mere wish, the server is asked once more without. */
static bool
begin_without_tls(struct client *c, const char *said)
{
	if (!trust_failed(c->options.trust, said) || c->options.port == 0)
		return false;
	hang_up(c);
	c->offered = (struct client_extensions){0};
	c->reply = (struct smtp_reply){0};
	buf_clear(&c->out);
	open_socket(c);
	return true;
}

/* The connection broke: what that means depends on how far the message was. */
void
client_lose(struct client *c, int code, const char *said)
{
	enum client_outcome outcome = CLIENT_LOST;

	/* 421 is about the server, which would say it without TLS as well. */
	if (code == 0 && (c->state == STATE_STARTTLS || c->state == STATE_HANDSHAKE) &&
	    begin_without_tls(c, said))
		return;
	switch (c->state) {
	case STATE_CONNECTING:
	case STATE_BANNER:
	case STATE_EHLO:
	case STATE_HELO:
	case STATE_STARTTLS:
	case STATE_HANDSHAKE:
		outcome = CLIENT_UNREACHABLE;
		break;
	case STATE_ENVELOPE:
		if (c->n_sent > 1 && c->n_replies == 0)
			outcome = CLIENT_STALE;
		break;
	case STATE_FINAL:
		/* 421 is an answer: it was not taken. */
		outcome = code != 0 ? CLIENT_LOST : CLIENT_UNCERTAIN;
		break;
	case STATE_IDLE:
	case STATE_BODY:
	case STATE_LONE_DOT:
	case STATE_RSET:
	case STATE_QUIT:
		break;
	}
	client_finish(c, outcome, code, said);
}

static const char *
waited_for(enum client_state state)
{
	switch (state) {
	case STATE_CONNECTING:
		return "the connection";
	case STATE_BANNER:
		return "the greeting";
	case STATE_EHLO:
	case STATE_HELO:
		return "the reply to EHLO";
	case STATE_STARTTLS:
		return "the reply to STARTTLS";
	case STATE_HANDSHAKE:
		return "the TLS handshake";
	case STATE_IDLE:
	case STATE_QUIT:
		return "the end";
	case STATE_ENVELOPE:
		return "the reply to MAIL, RCPT or DATA";
	case STATE_BODY:
		return "room to send the message";
	case STATE_FINAL:
	case STATE_LONE_DOT:
		return "the reply to the message";
	case STATE_RSET:
		return "the reply to RSET";
	}
	return "nothing";
}

void
client_explain(struct client *c, const char *what)
{
	(void)snprintf(
	    c->said, sizeof(c->said), "%s while waiting for %s", what, waited_for(c->state));
}

static void
on_time(void *arg)
{
	struct client *c = arg;

	enter(c);
	client_explain(c, "timed out");
	client_lose(c, 0, c->said);
	leave(c);
}

void
client_wait(struct client *c, int64_t ms)
{
	loop_timer(c->loop, &c->timer, ms, on_time, c);
}

/* What TLS found wrong. */
static void
explain_tls(struct client *c)
{
	(void)snprintf(c->said, sizeof(c->said), "TLS: %s while waiting for %s", tls_why(c->tls),
	    waited_for(c->state));
}

/* --- bytes out ---------------------------------------------------------------------------------- */

/* Some bytes of c->out: > 0; 0 when none go now, and *events says what to wait for; -1 with a text. */
static ssize_t
write_some(struct client *c, unsigned *events)
{
	enum tls_wait wait = TLS_FAILED;
	ssize_t n;

	*events = LOOP_READ | LOOP_WRITE;
	if (c->tls == NULL) {
		do
			n = send(c->fd, c->out.p, c->out.n, MSG_NOSIGNAL);
		while (n < 0 && errno == EINTR);
		if (n < 0 && errno == EAGAIN)
			return 0;
		if (n < 0)
			client_explain(c, "connection broken");
		return n;
	}
	n = tls_write(c->tls, c->out.p, c->out.n, &wait);
	if (n > 0)
		return n;
	if (wait == TLS_FAILED) {
		explain_tls(c);
		return -1;
	}
	if (wait == TLS_WANT_READ) /* ready to write it is, and would wake us for nothing */
		*events = LOOP_READ;
	return 0;
}

/* Writes what there is.  False: the connection is over. */
bool
client_write(struct client *c)
{
	unsigned events = LOOP_READ;

	if (c->fd < 0)
		return false;
	while (c->out.n > 0) {
		ssize_t n = write_some(c, &events);

		if (n == 0)
			break;
		if (n < 0) {
			client_lose(c, 0, c->said);
			return false;
		}
		buf_consume(&c->out, (size_t)n);
		if (c->state == STATE_BODY)
			client_wait(c, c->options.timeouts->data_ms);
	}
	watch_change(c->watch, c->out.n > 0 ? events : LOOP_READ);
	return true;
}

/* Sends one command or group of commands that stands in c->out, in a new state. */
bool
client_command(struct client *c, enum client_state state, int64_t timeout_ms)
{
	must(!c->out.failed);
	if (c->fd < 0)
		return false;
	c->state = state;
	client_wait(c, timeout_ms);
	return client_write(c);
}

/* --- TLS ---------------------------------------------------------------------------------------- */

static bool
shake_hands(struct client *c)
{
	switch (tls_handshake(c->tls)) {
	case TLS_DONE:
		watch_change(c->watch, LOOP_READ);
		return dialogue_greet(c);
	case TLS_WANT_READ:
		watch_change(c->watch, LOOP_READ);
		return true;
	case TLS_WANT_WRITE:
		watch_change(c->watch, LOOP_WRITE);
		return true;
	case TLS_WANT_KEY: /* of servers only */
	case TLS_FAILED:
		break;
	}
	(void)snprintf(c->said, sizeof(c->said), "TLS: %s", tls_why(c->tls));
	client_lose(c, 0, c->said);
	return false;
}

void
client_start_tls(struct client *c)
{
	c->tls = trust_connect(c->options.trust, c->fd);
	c->state = STATE_HANDSHAKE;
	client_wait(c, c->options.timeouts->greeting_ms);
}

/* --- bytes in ----------------------------------------------------------------------------------- */

static void
say_reply(struct client *c)
{
	(void)snprintf(c->said, sizeof(c->said), "%d %.*s", c->reply.code, (int)c->reply.text_n,
	    c->reply.text);
	for (char *p = c->said; *p != '\0'; p++)
		if (*p == '\n')
			*p = ' ';
}

/* Whether the client was told anything in a state in which nothing may be said. */
static bool
is_unasked(struct client *c)
{
	if (c->state == STATE_IDLE)
		client_lose(c, 0, "the gateway spoke unasked");
	else if (c->state == STATE_HANDSHAKE)
		/* In clear, behind the reply: whoever put it there wants it believed as said under
		 * TLS.  No reason to go on without. */
		client_finish(c, CLIENT_UNREACHABLE, 0, "TLS: more than a reply came to STARTTLS");
	else
		return false;
	return true;
}

static bool
take_input(struct client *c, struct span input)
{
	while (input.n > 0) {
		ssize_t n;

		if (is_unasked(c))
			return false;
		n = smtp_reply_push(&c->reply, input);
		if (n < 0) {
			client_explain(c,
			    n == -E_LIMIT ? "a reply without end" : "something that is no reply");
			client_lose(c, 0, c->said);
			return false;
		}
		input = span_skip(input, (size_t)n);
		if (!c->reply.is_complete)
			continue;
		say_reply(c);
		if (!dialogue_reply(c, c->reply.code) || c->fd < 0)
			return false;
		c->reply = (struct smtp_reply){0};
	}
	return true;
}

static bool
lose_closed(struct client *c)
{
	client_explain(c, "connection closed by the gateway");
	client_lose(c, 0, c->said);
	return false;
}

static bool
read_plain(struct client *c)
{
	char bytes[READ_BYTES];
	ssize_t n = recv(c->fd, bytes, sizeof(bytes), 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n <= 0)
		return lose_closed(c);
	if (!take_input(c, span_of(bytes, (size_t)n)))
		return false;
	/* Only now: what else came with the reply to STARTTLS has been looked at. */
	return c->state == STATE_HANDSHAKE ? shake_hands(c) : true;
}

static bool
read_tls(struct client *c)
{
	char bytes[READ_BYTES];

	do {
		enum tls_wait wait;
		bool is_cut;
		ssize_t n = tls_read(c->tls, bytes, sizeof(bytes), &wait, &is_cut);

		if (n < 0 && wait == TLS_FAILED) {
			explain_tls(c);
			client_lose(c, 0, c->said);
			return false;
		}
		if (n < 0)
			return true; /* a record that is not whole yet: the rest will wake us */
		if (n == 0)
			return lose_closed(c);
		if (!take_input(c, span_of(bytes, (size_t)n)))
			return false;
	} while (tls_has_pending(c->tls));
	return true;
}

static bool
read_input(struct client *c)
{
	return c->tls != NULL ? read_tls(c) : read_plain(c);
}

/* --- the connection ---------------------------------------------------------------------------- */

static bool
connected(struct client *c)
{
	int error = 0, one = 1;
	socklen_t n = sizeof(error);

	if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &n) < 0)
		error = errno;
	if (error != 0) {
		errno = error;
		(void)snprintf(c->said, sizeof(c->said), "no connection: %m");
		client_lose(c, 0, c->said);
		return false;
	}
	/* Commands leave in groups; waiting for more would only delay them. */
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c->state = STATE_BANNER;
	client_wait(c, c->options.timeouts->greeting_ms);
	watch_change(c->watch, LOOP_READ);
	return true;
}

/* Each step has told the owner what it found. */
static void
on_socket(void *arg, unsigned events)
{
	struct client *c = arg;
	bool is_open = true;

	enter(c);
	if (c->state == STATE_CONNECTING)
		is_open = connected(c);
	else if (c->state == STATE_HANDSHAKE)
		is_open = shake_hands(c);
	else if (events & LOOP_READ)
		is_open = read_input(c);
	/* Under TLS, what we have to write may have waited for something to be read. */
	if (is_open && c->fd >= 0 && ((events & LOOP_WRITE) || c->tls != NULL))
		(void)(c->state == STATE_BODY ? dialogue_body(c) : client_write(c));
	leave(c);
}

static struct client *
new_client(struct loop *loop, const struct client_options *options,
    const struct client_events *events, void *arg)
{
	struct client *c = mem_alloc(sizeof(*c));

	c->loop = loop;
	c->fd = -1;
	c->options = *options;
	if (c->options.timeouts == NULL)
		c->options.timeouts = &conf_timeouts_default;
	c->events = events;
	c->arg = arg;
	c->out = BUF_INIT(OUT_MAX);
	return c;
}

/* A connection that failed at once is told from the loop, like one that fails later. */
static void
on_failed_start(void *arg)
{
	struct client *c = arg;

	enter(c);
	client_lose(c, 0, c->said);
	leave(c);
}

/* False: it failed at once, with errno. */
static bool
start_to_connect(struct client *c)
{
	const struct client_options *o = &c->options;
	struct sockaddr_storage to, from;
	socklen_t n = ip_to_sockaddr(&o->ip, o->port, &to);
	int one = 1;

	c->fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0)
		return false;
	if (o->source != NULL) {
		socklen_t from_n = ip_to_sockaddr(o->source, 0, &from);

		/* The port is chosen by connect, which knows where to: more can be open at a time.
		 */
		(void)setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
		if (bind(c->fd, (const struct sockaddr *)&from, from_n) < 0)
			return false;
	}
	return connect(c->fd, (const struct sockaddr *)&to, n) == 0 || errno == EINPROGRESS;
}

/* What fails at once is told later, from the loop. */
static void
open_socket(struct client *c)
{
	c->state = STATE_CONNECTING;
	if (!start_to_connect(c)) {
		(void)snprintf(c->said, sizeof(c->said), "no connection: %m");
		loop_timer(c->loop, &c->timer, 0, on_failed_start, c);
		return;
	}
	c->watch = loop_watch(c->loop, c->fd, LOOP_WRITE, on_socket, c);
	client_wait(c, c->options.timeouts->connect_ms);
}

struct client *
client_new(struct loop *loop, const struct client_options *options,
    const struct client_events *events, void *arg)
{
	struct client *c = new_client(loop, options, events, arg);

	open_socket(c);
	return c;
}

struct client *
client_new_on(struct loop *loop, int fd, const struct client_options *options,
    const struct client_events *events, void *arg)
{
	struct client *c = new_client(loop, options, events, arg);

	c->fd = fd;
	c->state = STATE_BANNER;
	c->watch = loop_watch(loop, fd, LOOP_READ, on_socket, c);
	client_wait(c, c->options.timeouts->greeting_ms);
	return c;
}

void
client_free(struct client **c)
{
	if (*c == NULL)
		return;
	hang_up(*c);
	(*c)->is_doomed = true;
	enter(*c);
	leave(*c);
	*c = NULL;
}

bool
client_is_idle(const struct client *c)
{
	return c->state == STATE_IDLE && !c->has_mail && !c->is_quitting && c->fd >= 0;
}

bool
client_is_fresh(const struct client *c)
{
	return c->n_sent == 0;
}

struct client_extensions
client_extensions(const struct client *c)
{
	return c->offered;
}

void
client_send(struct client *c, const struct client_mail *mail)
{
	must(!c->has_mail && mail->n_rcpts > 0 && mail->n_rcpts <= CLIENT_RCPTS_MAX);
	c->mail = *mail;
	c->has_mail = true;
	enter(c);
	if (c->state == STATE_IDLE)
		(void)dialogue_begin(c); /* the owner hears of a failure by on_end */
	leave(c);
}

void
client_quit(struct client *c)
{
	c->is_quitting = true;
	if (c->state != STATE_IDLE || c->has_mail)
		return;
	enter(c);
	(void)buf_add_str(&c->out, "QUIT\r\n"); /* see client_command */
	(void)client_command(c, STATE_QUIT, CLIENT_QUIT_MS);
	leave(c);
}

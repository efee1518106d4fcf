#include "relay/deliver/client.h"
#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/smtp/reader.h"
#include "relay/smtp/reply.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
	READ_BYTES = 4096,
	PIECE_BYTES = 32 * 1024,     /* of the body at a time */
	OUT_MAX = 256 * 1024,        /* the longest group of commands is below 64 KiB */
	TURN_BYTES = 8 * PIECE_BYTES /* then other connections have their turn */
};

enum client_state {
	STATE_CONNECTING,
	STATE_BANNER,
	STATE_EHLO,
	STATE_HELO,
	STATE_IDLE,
	STATE_ENVELOPE, /* replies to MAIL, each RCPT and DATA, in this order */
	STATE_BODY,
	STATE_FINAL,
	STATE_LONE_DOT, /* 354 though nobody was accepted (RFC 2920 section 3.1) */
	STATE_RSET,
	STATE_QUIT
};

struct client {
	struct loop *loop;
	struct watch *watch;
	struct timer *timer;
	int fd;
	const char *hostname;
	const struct client_events *events;
	void *arg;
	enum client_state state;
	unsigned depth;   /* of our functions that call back: frees wait for the outermost */
	bool is_doomed;   /* client_free was called inside a callback */
	bool is_quitting; /* QUIT as soon as idle */
	bool has_pipelining, has_8bit, has_size;
	uint64_t size_limit; /* of SIZE, 0: none said */
	unsigned n_sent;     /* messages so far, this one included */
	struct smtp_reply reply;
	char said[CLIENT_REPLY_MAX + 1]; /* of the last reply, or of what happened */
	struct buf out;
	/* the message */
	bool has_mail;
	struct client_mail mail;
	size_t n_replies;  /* in STATE_ENVELOPE */
	size_t n_accepted; /* recipients */
	bool is_mail_ok;
	struct client_end end; /* what the message ends with once the dialogue allows */
	char end_reply[CLIENT_REPLY_MAX + 1];
	uint64_t offset; /* of the body */
	bool at_line_start;
	int64_t body_began_ms;
};

static void go_idle(struct client *c);

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
	if (c->fd >= 0)
		(void)close(c->fd); /* a socket: what was not answered is not delivered */
	c->fd = -1;
}

/* The connection is over, and the owner may have freed the client: only c->fd may be looked at. */
static void
finish(struct client *c, enum client_outcome outcome, int code, const char *said)
{
	struct client_end end = {
	    .outcome = outcome, .code = code, .reply = span_str(said), .is_over = true};

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

/* The connection broke: what that means depends on how far the message was. */
static void
lose(struct client *c, int code, const char *said)
{
	enum client_outcome outcome = CLIENT_LOST;

	switch (c->state) {
	case STATE_CONNECTING:
	case STATE_BANNER:
	case STATE_EHLO:
	case STATE_HELO:
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
	finish(c, outcome, code, said);
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

static void
say(struct client *c, const char *what)
{
	(void)snprintf(
	    c->said, sizeof(c->said), "%s while waiting for %s", what, waited_for(c->state));
}

static void
on_time(void *arg)
{
	struct client *c = arg;

	enter(c);
	if (c->state == STATE_IDLE) {
		client_quit(c);
	} else {
		say(c, "timed out");
		lose(c, 0, c->said);
	}
	leave(c);
}

static void
wait_at_most(struct client *c, int64_t ms)
{
	loop_timer(c->loop, &c->timer, ms, on_time, c);
}

/* Writes what there is.  False: the connection is over. */
static bool
write_out(struct client *c)
{
	if (c->fd < 0)
		return false;
	while (c->out.n > 0) {
		ssize_t n = send(c->fd, c->out.p, c->out.n, MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN)
			break;
		if (n < 0) {
			say(c, "connection broken");
			lose(c, 0, c->said);
			return false;
		}
		buf_consume(&c->out, (size_t)n);
		if (c->state == STATE_BODY)
			wait_at_most(c, CLIENT_STALL_MS);
	}
	watch_change(c->watch, c->out.n > 0 ? LOOP_READ | LOOP_WRITE : LOOP_READ);
	return true;
}

/* Sends one command or group of commands that stands in c->out, in a new state. */
static bool
send_commands(struct client *c, enum client_state state, int64_t timeout_ms)
{
	must(!c->out.failed);
	if (c->fd < 0)
		return false;
	c->state = state;
	wait_at_most(c, timeout_ms);
	return write_out(c);
}

/* --- the envelope ------------------------------------------------------------------------------ */

static void
add_mail_command(struct client *c)
{
	(void)buf_addf(&c->out, "MAIL FROM:<%.*s>", SPAN_ARG(c->mail.from)); /* see send_commands */
	if (c->has_size)
		(void)buf_addf(&c->out, " SIZE=%llu", (unsigned long long)c->mail.size);
	/* A gateway that does not offer 8BITMIME gets the bytes all the same, as everybody does:
	 * converting would break signatures, and bouncing would help nobody. */
	if (c->has_8bit && c->mail.is_8bit)
		(void)buf_add_str(&c->out, " BODY=8BITMIME");
	(void)buf_add_str(&c->out, "\r\n");
}

/* Command `i` of the envelope: MAIL, the recipients, DATA. */
static void
add_envelope_command(struct client *c, size_t i)
{
	if (i == 0)
		add_mail_command(c);
	else if (i <= c->mail.n_rcpts)
		(void)buf_addf(
		    &c->out, "RCPT TO:<%.*s>\r\n", SPAN_ARG(c->mail.rcpts[i - 1])); /* as above */
	else
		(void)buf_add_str(&c->out, "DATA\r\n");
}

static void
keep_end(struct client *c, enum client_outcome outcome, int code, const char *said)
{
	(void)snprintf(c->end_reply, sizeof(c->end_reply), "%s", said);
	c->end = (struct client_end){.outcome = outcome, .code = code};
}

/* Tells how the message ended; the connection goes on. */
static void
tell_end(struct client *c)
{
	struct client_end end = c->end;

	c->has_mail = false;
	end.reply = span_str(c->end_reply);
	c->events->on_end(c->arg, &end);
}

/* The transaction ended without a message: the result is told, and the gateway's state cleared. */
static bool
end_with_rset(struct client *c)
{
	c->state = STATE_RSET; /* first, or the owner would take it for idle */
	tell_end(c);
	(void)buf_add_str(&c->out, "RSET\r\n"); /* see send_commands */
	return send_commands(c, STATE_RSET, CLIENT_GREETING_MS);
}

static bool
start_envelope(struct client *c)
{
	c->n_sent++;
	c->n_replies = c->n_accepted = 0;
	c->is_mail_ok = false;
	if (c->size_limit > 0 && c->mail.size > c->size_limit) {
		(void)snprintf(c->said, sizeof(c->said),
		    "552 5.3.4 message of %llu bytes is over the gateway's limit of %llu",
		    (unsigned long long)c->mail.size, (unsigned long long)c->size_limit);
		keep_end(c, CLIENT_REFUSED, 552, c->said);
		return end_with_rset(c); /* not go_idle: it could recurse once a message */
	}
	for (size_t i = 0; i < (c->has_pipelining ? c->mail.n_rcpts + 2 : 1); i++)
		add_envelope_command(c, i);
	return send_commands(c, STATE_ENVELOPE, CLIENT_ENVELOPE_MS);
}

/* --- the body ---------------------------------------------------------------------------------- */

/* Puts the next piece into c->out, with the final dot when it is the last. */
static bool
add_piece(struct client *c)
{
	static char piece[PIECE_BYTES]; /* one loop, one thread; used up before we return */
	uint64_t left = c->mail.size - c->offset;
	size_t n = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;

	if (n > 0 && c->mail.read(c->mail.read_arg, c->offset, piece, n) < 0) {
		finish(c, CLIENT_UNREADABLE, 0, "the message cannot be read from the spool");
		return false;
	}
	c->offset += n;
	if (n > 0)
		(void)reader_data_stuff(span_of(piece, n), &c->at_line_start, &c->out);
	if (c->offset == c->mail.size) /* the empty piece is the final dot */
		(void)reader_data_stuff((struct span){0}, &c->at_line_start, &c->out);
	must(!c->out.failed);
	return true;
}

static bool
send_body(struct client *c)
{
	for (size_t n = 0; n < TURN_BYTES / PIECE_BYTES && c->state == STATE_BODY; n++) {
		if (c->out.n == 0 && !add_piece(c))
			return false;
		if (!write_out(c))
			return false;
		if (c->out.n > 0)
			break;
		if (c->offset == c->mail.size) {
			c->state = STATE_FINAL;
			wait_at_most(c, CLIENT_FINAL_MS);
			return true;
		}
	}
	if (clock_mono_ms() - c->body_began_ms > CLIENT_BODY_MS) {
		say(c, "too slow");
		lose(c, 0, c->said);
		return false;
	}
	watch_change(c->watch, LOOP_READ | LOOP_WRITE);
	return true;
}

static bool
start_body(struct client *c)
{
	c->state = STATE_BODY;
	c->offset = 0;
	c->at_line_start = true;
	c->body_began_ms = clock_mono_ms();
	wait_at_most(c, CLIENT_STALL_MS);
	return send_body(c);
}

/* --- replies ----------------------------------------------------------------------------------- */

static void
go_idle(struct client *c)
{
	if (c->fd < 0)
		return;
	c->state = STATE_IDLE;
	wait_at_most(c, CLIENT_IDLE_MS);
	if (c->has_mail)
		(void)start_envelope(c); /* the caller looks at c->fd */
	else if (c->is_quitting)
		client_quit(c);
	else
		c->events->on_ready(c->arg);
}

static void
take_keywords(struct client *c)
{
	struct span line;

	for (size_t i = 1; smtp_reply_line(&c->reply, i, &line); i++) {
		struct span word = span_word(&line);

		if (span_eq_nocase(word, SPAN("PIPELINING")))
			c->has_pipelining = true;
		else if (span_eq_nocase(word, SPAN("8BITMIME")))
			c->has_8bit = true;
		else if (span_eq_nocase(word, SPAN("SIZE"))) {
			c->has_size = true;
			if (!span_to_u64(span_word(&line), &c->size_limit))
				c->size_limit = 0;
		}
	}
}

static bool
got_banner(struct client *c, int code)
{
	if (code / 100 != 2) {
		finish(c, CLIENT_UNREACHABLE, code, c->said);
		return false;
	}
	(void)buf_addf(&c->out, "EHLO %s\r\n", c->hostname); /* see send_commands */
	return send_commands(c, STATE_EHLO, CLIENT_GREETING_MS);
}

static bool
got_greeting(struct client *c, int code)
{
	if (code / 100 == 2) {
		if (c->state == STATE_EHLO)
			take_keywords(c);
		go_idle(c);
		return true;
	}
	if (c->state == STATE_EHLO && code / 100 == 5) {
		(void)buf_addf(&c->out, "HELO %s\r\n", c->hostname); /* see send_commands */
		return send_commands(c, STATE_HELO, CLIENT_GREETING_MS);
	}
	finish(c, CLIENT_UNREACHABLE, code, c->said);
	return false;
}

static bool
got_data_reply(struct client *c, int code)
{
	bool is_wanted = c->is_mail_ok && c->n_accepted > 0;

	if (code == 354 && is_wanted)
		return start_body(c);
	if (code == 354) {
		(void)buf_add_str(&c->out, ".\r\n"); /* see send_commands */
		return send_commands(c, STATE_LONE_DOT, CLIENT_FINAL_MS);
	}
	if (is_wanted && code < 400) {
		lose(c, 0, c->said);
		return false;
	}
	if (is_wanted)
		keep_end(c, CLIENT_REFUSED, code, c->said);
	return end_with_rset(c);
}

static void
note_envelope_reply(struct client *c, size_t i, int code)
{
	if (i == 0) {
		c->is_mail_ok = code / 100 == 2;
		if (c->is_mail_ok)
			keep_end(c, CLIENT_NO_RCPT, 0, "");
		else
			keep_end(c, CLIENT_REFUSED, code, c->said);
	} else if (c->is_mail_ok) {
		if (code / 100 == 2)
			c->n_accepted++;
		else
			c->events->on_rcpt(c->arg, i - 1, code, span_str(c->said));
	}
}

static bool
got_envelope_reply(struct client *c, int code)
{
	size_t i = c->n_replies++;
	bool was_last_rcpt = i == c->mail.n_rcpts;

	if (i == c->mail.n_rcpts + 1)
		return got_data_reply(c, code);
	note_envelope_reply(c, i, code);
	wait_at_most(c, CLIENT_ENVELOPE_MS);
	if (c->has_pipelining)
		return true;
	if (!c->is_mail_ok || (was_last_rcpt && c->n_accepted == 0))
		return end_with_rset(c);
	add_envelope_command(c, i + 1);
	return send_commands(c, STATE_ENVELOPE, CLIENT_ENVELOPE_MS);
}

static bool
got_final(struct client *c, int code)
{
	if (code < 200 || code / 100 == 3) {
		lose(c, 0, c->said);
		return false;
	}
	keep_end(c, code / 100 == 2 ? CLIENT_ACCEPTED : CLIENT_REFUSED, code, c->said);
	tell_end(c);
	go_idle(c);
	return true;
}

/* The gateway spoke before the final dot: a refusal is believed, but the dialogue is out of step. */
static bool
got_early_reply(struct client *c, int code)
{
	if (code >= 400)
		finish(c, CLIENT_REFUSED, code, c->said);
	else
		lose(c, 0, "a reply came before the message's end");
	return false;
}

/* False: the connection is over. */
static bool
got_reply(struct client *c, int code)
{
	if (code == 421 && c->state != STATE_QUIT) {
		lose(c, code, c->said);
		return false;
	}
	switch (c->state) {
	case STATE_BANNER:
		return got_banner(c, code);
	case STATE_EHLO:
	case STATE_HELO:
		return got_greeting(c, code);
	case STATE_ENVELOPE:
		return got_envelope_reply(c, code);
	case STATE_BODY:
		return got_early_reply(c, code);
	case STATE_FINAL:
		return got_final(c, code);
	case STATE_LONE_DOT:
		tell_end(c);
		go_idle(c);
		return true;
	case STATE_RSET:
		if (code / 100 == 2) {
			go_idle(c);
			return true;
		}
		break;
	case STATE_CONNECTING:
	case STATE_IDLE:
	case STATE_QUIT:
		break;
	}
	lose(c, 0, c->said);
	return false;
}

static void
say_reply(struct client *c)
{
	(void)snprintf(c->said, sizeof(c->said), "%d %.*s", c->reply.code, (int)c->reply.text_n,
	    c->reply.text);
	for (char *p = c->said; *p != '\0'; p++)
		if (*p == '\n')
			*p = ' ';
}

static bool
take_input(struct client *c, struct span input)
{
	while (input.n > 0) {
		ssize_t n;

		if (c->state == STATE_IDLE) {
			lose(c, 0, "the gateway spoke unasked");
			return false;
		}
		n = smtp_reply_push(&c->reply, input);
		if (n < 0) {
			say(c,
			    n == -E_LIMIT ? "a reply without end" : "something that is no reply");
			lose(c, 0, c->said);
			return false;
		}
		input = span_skip(input, (size_t)n);
		if (!c->reply.is_complete)
			continue;
		say_reply(c);
		if (!got_reply(c, c->reply.code) || c->fd < 0)
			return false;
		c->reply = (struct smtp_reply){0};
	}
	return true;
}

static bool
read_input(struct client *c)
{
	char bytes[READ_BYTES];
	ssize_t n = recv(c->fd, bytes, sizeof(bytes), 0);

	if (n < 0 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n > 0)
		return take_input(c, span_of(bytes, (size_t)n));
	say(c, "connection closed by the gateway");
	lose(c, 0, c->said);
	return false;
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
		lose(c, 0, c->said);
		return false;
	}
	/* Commands leave in groups; waiting for more would only delay them. */
	(void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	c->state = STATE_BANNER;
	wait_at_most(c, CLIENT_GREETING_MS);
	watch_change(c->watch, LOOP_READ);
	return true;
}

static void
on_socket(void *arg, unsigned events)
{
	struct client *c = arg;
	bool is_open = true; /* each step below has told the owner what it found */

	enter(c);
	if (c->state == STATE_CONNECTING)
		(void)connected(c);
	else if (events & LOOP_READ)
		is_open = read_input(c);
	if (is_open && (events & LOOP_WRITE) && c->fd >= 0)
		(void)(c->state == STATE_BODY ? send_body(c) : write_out(c));
	leave(c);
}

static struct client *
new_client(struct loop *loop, const char *hostname, const struct client_events *events, void *arg)
{
	struct client *c = mem_alloc(sizeof(*c));

	c->loop = loop;
	c->fd = -1;
	c->hostname = hostname;
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
	lose(c, 0, c->said);
	leave(c);
}

struct client *
client_new(struct loop *loop, const struct ip *ip, uint16_t port, const char *hostname,
    const struct client_events *events, void *arg)
{
	struct client *c = new_client(loop, hostname, events, arg);
	struct sockaddr_storage sa;
	socklen_t n = ip_to_sockaddr(ip, port, &sa);

	c->fd = socket(sa.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (c->fd < 0 ||
	    (connect(c->fd, (const struct sockaddr *)&sa, n) < 0 && errno != EINPROGRESS)) {
		(void)snprintf(c->said, sizeof(c->said), "no connection: %m");
		loop_timer(loop, &c->timer, 0, on_failed_start, c);
		return c;
	}
	c->watch = loop_watch(loop, c->fd, LOOP_WRITE, on_socket, c);
	wait_at_most(c, CLIENT_CONNECT_MS);
	return c;
}

struct client *
client_new_on(
    struct loop *loop, int fd, const char *hostname, const struct client_events *events, void *arg)
{
	struct client *c = new_client(loop, hostname, events, arg);

	c->fd = fd;
	c->state = STATE_BANNER;
	c->watch = loop_watch(loop, fd, LOOP_READ, on_socket, c);
	wait_at_most(c, CLIENT_GREETING_MS);
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

void
client_send(struct client *c, const struct client_mail *mail)
{
	must(!c->has_mail && mail->n_rcpts > 0 && mail->n_rcpts <= CLIENT_RCPTS_MAX);
	c->mail = *mail;
	c->has_mail = true;
	enter(c);
	if (c->state == STATE_IDLE)
		(void)start_envelope(c); /* the owner hears of a failure by on_end */
	leave(c);
}

void
client_quit(struct client *c)
{
	c->is_quitting = true;
	if (c->state != STATE_IDLE || c->has_mail)
		return;
	enter(c);
	(void)buf_add_str(&c->out, "QUIT\r\n"); /* see send_commands */
	(void)send_commands(c, STATE_QUIT, CLIENT_QUIT_MS);
	leave(c);
}

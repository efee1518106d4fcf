/* What the SMTP client says and what it makes of the answers (RFC 5321, 2920, 1870, 6152). */
#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/deliver/dialogue.h"
#include "relay/smtp/reader.h"

#include <stdio.h>

enum {
	PIECE_BYTES = 32 * 1024,     /* of the body at a time */
	TURN_BYTES = 8 * PIECE_BYTES /* then other connections have their turn */
};

static void go_idle(struct client *c);

/* --- the envelope ------------------------------------------------------------------------------ */

static void
add_mail_command(struct client *c)
{
	(void)buf_addf(
	    &c->out, "MAIL FROM:<%.*s>", SPAN_ARG(c->mail.from)); /* see client_command */
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
	(void)buf_add_str(&c->out, "RSET\r\n"); /* see client_command */
	return client_command(c, STATE_RSET, CLIENT_GREETING_MS);
}

bool
dialogue_begin(struct client *c)
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
	return client_command(c, STATE_ENVELOPE, CLIENT_ENVELOPE_MS);
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
		client_finish(c, CLIENT_UNREADABLE, 0, "the message cannot be read from the spool");
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

bool
dialogue_body(struct client *c)
{
	for (size_t n = 0; n < TURN_BYTES / PIECE_BYTES && c->state == STATE_BODY; n++) {
		if (c->out.n == 0 && !add_piece(c))
			return false;
		if (!client_write(c))
			return false;
		if (c->out.n > 0)
			break;
		if (c->offset == c->mail.size) {
			c->state = STATE_FINAL;
			c->body_ended_ms = clock_mono_ms();
			client_wait(c, CLIENT_FINAL_MS);
			return true;
		}
	}
	if (clock_mono_ms() - c->body_began_ms > CLIENT_BODY_MS) {
		client_explain(c, "too slow");
		client_lose(c, 0, c->said);
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
	client_wait(c, CLIENT_STALL_MS);
	return dialogue_body(c);
}

/* --- replies ----------------------------------------------------------------------------------- */

static void
go_idle(struct client *c)
{
	if (c->fd < 0)
		return;
	c->state = STATE_IDLE;
	timer_cancel(&c->timer); /* how long an idle connection is kept is the owner's to say */
	if (c->has_mail)
		(void)dialogue_begin(c); /* the caller looks at c->fd */
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
		client_finish(c, CLIENT_UNREACHABLE, code, c->said);
		return false;
	}
	(void)buf_addf(&c->out, "EHLO %s\r\n", c->hostname); /* see client_command */
	return client_command(c, STATE_EHLO, CLIENT_GREETING_MS);
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
		(void)buf_addf(&c->out, "HELO %s\r\n", c->hostname); /* see client_command */
		return client_command(c, STATE_HELO, CLIENT_GREETING_MS);
	}
	client_finish(c, CLIENT_UNREACHABLE, code, c->said);
	return false;
}

static bool
got_data_reply(struct client *c, int code)
{
	bool is_wanted = c->is_mail_ok && c->n_accepted > 0;

	if (code == 354 && is_wanted)
		return start_body(c);
	if (code == 354) {
		(void)buf_add_str(&c->out, ".\r\n"); /* see client_command */
		return client_command(c, STATE_LONE_DOT, CLIENT_FINAL_MS);
	}
	if (is_wanted && code < 400) {
		client_lose(c, 0, c->said);
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
	client_wait(c, CLIENT_ENVELOPE_MS);
	if (c->has_pipelining)
		return true;
	if (!c->is_mail_ok || (was_last_rcpt && c->n_accepted == 0))
		return end_with_rset(c);
	add_envelope_command(c, i + 1);
	return client_command(c, STATE_ENVELOPE, CLIENT_ENVELOPE_MS);
}

static bool
got_final(struct client *c, int code)
{
	if (code < 200 || code / 100 == 3) {
		client_lose(c, 0, c->said);
		return false;
	}
	keep_end(c, code / 100 == 2 ? CLIENT_ACCEPTED : CLIENT_REFUSED, code, c->said);
	c->end.waited_ms = clock_mono_ms() - c->body_ended_ms;
	tell_end(c);
	go_idle(c);
	return true;
}

/* The gateway spoke before the final dot: a refusal is believed, but the dialogue is out of step. */
static bool
got_early_reply(struct client *c, int code)
{
	if (code >= 400)
		client_finish(c, CLIENT_REFUSED, code, c->said);
	else
		client_lose(c, 0, "a reply came before the message's end");
	return false;
}

/* False: the connection is over. */
bool
dialogue_reply(struct client *c, int code)
{
	if (c->events->on_reply != NULL)
		c->events->on_reply(c->arg, code, span_str(c->said));
	if (code == 421 && c->state != STATE_QUIT) {
		client_lose(c, code, c->said);
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
	client_lose(c, 0, c->said);
	return false;
}

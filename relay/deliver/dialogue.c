/* What the SMTP client says and what it makes of the answers (RFC 5321, 2920, 1870, 6152, 6531,
 * 3461, 3030, 3207). */
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

static bool
offers(const struct client *c, unsigned extension)
{
	return (c->offered.bits & extension) != 0;
}

/* What another process says that a sender said: never more than one word of one command. */
static bool
is_word(struct span s, size_t max)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] <= ' ' || s.p[i] == 0x7f)
			return false;
	return s.n > 0 && s.n <= max;
}

/* Adding here and below cannot fail: see client_command. */
static void
add_mail_command(struct client *c)
{
	const struct client_mail *m = &c->mail;

	(void)buf_addf(&c->out, "MAIL FROM:<%.*s>", SPAN_ARG(m->from));
	if (offers(c, CLIENT_SIZE))
		(void)buf_addf(&c->out, " SIZE=%llu", (unsigned long long)m->size);
	if (offers(c, CLIENT_8BITMIME) && m->is_8bit)
		(void)buf_add_str(&c->out, " BODY=8BITMIME");
	if (m->is_utf8)
		(void)buf_add_str(&c->out, " SMTPUTF8");
	if (offers(c, CLIENT_DSN) && m->ret != RET_NOT_GIVEN)
		(void)buf_add_str(&c->out, m->ret == RET_FULL ? " RET=FULL" : " RET=HDRS");
	if (offers(c, CLIENT_DSN) && is_word(m->envid, NOTIFY_ENVID_MAX))
		(void)buf_addf(&c->out, " ENVID=%.*s", SPAN_ARG(m->envid));
	(void)buf_add_str(&c->out, "\r\n");
}

static void
add_notify(struct client *c, unsigned notify)
{
	static const struct {
		unsigned bit;
		const char *word;
	} words[] = {
	    {NOTIFY_SUCCESS, "SUCCESS"}, {NOTIFY_FAILURE, "FAILURE"}, {NOTIFY_DELAY, "DELAY"}};
	const char *before = " NOTIFY=";

	if (notify & NOTIFY_NEVER) { /* stands alone (RFC 3461 section 4.1) */
		(void)buf_add_str(&c->out, " NOTIFY=NEVER");
		return;
	}
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (notify & words[i].bit) {
			(void)buf_addf(&c->out, "%s%s", before, words[i].word);
			before = ",";
		}
}

static void
add_rcpt_command(struct client *c, const struct client_rcpt *r)
{
	(void)buf_addf(&c->out, "RCPT TO:<%.*s>", SPAN_ARG(r->address));
	if (offers(c, CLIENT_DSN)) {
		add_notify(c, r->notify);
		if (is_word(r->orcpt, NOTIFY_ORCPT_MAX))
			(void)buf_addf(&c->out, " ORCPT=%.*s", SPAN_ARG(r->orcpt));
	}
	(void)buf_add_str(&c->out, "\r\n");
}

/* Command `i` of the envelope: MAIL, the recipients, DATA. */
static void
add_envelope_command(struct client *c, size_t i)
{
	if (i == 0)
		add_mail_command(c);
	else if (i <= c->mail.n_rcpts)
		add_rcpt_command(c, &c->mail.rcpts[i - 1]);
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
	end.has_dsn = offers(c, CLIENT_DSN);
	c->events->on_end(c->arg, &end);
}

/* The transaction ended without a message: the result is told, and the gateway's state cleared. */
static bool
end_with_rset(struct client *c)
{
	c->state = STATE_RSET; /* first, or the owner would take it for idle */
	tell_end(c);
	if (c->fd < 0) /* the owner has dropped it */
		return false;
	(void)buf_add_str(&c->out, "RSET\r\n"); /* see client_command */
	return client_command(c, STATE_RSET, c->options.timeouts->greeting_ms);
}

static char piece[PIECE_BYTES]; /* one loop, one thread: used up before anybody else comes */

/* Whether there is a byte over 127 in the message; -1: it cannot be read. */
static int
has_8bit_bytes(struct client *c)
{
	for (uint64_t at = 0; at < c->mail.size;) {
		uint64_t left = c->mail.size - at;
		size_t n = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;

		if (c->mail.read(c->mail.read_arg, at, piece, n) < 0)
			return -1;
		for (size_t i = 0; i < n; i++)
			if ((unsigned char)piece[i] > 127)
				return 1;
		at += n;
	}
	return 0;
}

/*
 * What this gateway cannot take: a code and our own words for it in c->said; 0: nothing.
 * -1: the message cannot be read.
 */
static int
find_obstacle(struct client *c)
{
	int found;

	if (c->offered.size_limit > 0 && c->mail.size > c->offered.size_limit) {
		(void)snprintf(c->said, sizeof(c->said),
		    "552 5.3.4 message of %llu bytes is larger than the gateway's limit of %llu",
		    (unsigned long long)c->mail.size, (unsigned long long)c->offered.size_limit);
		return 552;
	}
	if (c->mail.is_utf8 && !offers(c, CLIENT_SMTPUTF8)) {
		(void)snprintf(c->said, sizeof(c->said),
		    "553 5.6.7 the message needs SMTPUTF8, which the gateway does not offer");
		return 553;
	}
	if (!c->mail.is_8bit || offers(c, CLIENT_8BITMIME))
		return 0;
	/* Many senders say BODY=8BITMIME of everything: what counts is what is in it. */
	found = has_8bit_bytes(c);
	if (found <= 0)
		return found;
	(void)snprintf(c->said, sizeof(c->said),
	    "554 5.6.3 the message has 8-bit text, and the gateway does not offer 8BITMIME");
	return 554;
}

static bool
lose_unreadable(struct client *c)
{
	client_finish(c, CLIENT_UNREADABLE, 0, "the message cannot be read from the spool");
	return false;
}

bool
dialogue_begin(struct client *c)
{
	size_t n_commands;
	int code;

	c->n_sent++;
	c->n_replies = c->n_accepted = 0;
	c->is_mail_ok = false;
	code = find_obstacle(c);
	if (code < 0)
		return lose_unreadable(c);
	if (code > 0) {
		keep_end(c, CLIENT_REFUSED, code, c->said);
		return end_with_rset(c); /* not go_idle: it could recurse once a message */
	}
	/* BDAT waits for the replies to the recipients: the message goes behind it at once. */
	c->is_chunked = offers(c, CLIENT_CHUNKING) && !c->mail.is_probe;
	n_commands = c->mail.n_rcpts + (c->is_chunked || c->mail.is_probe ? 1 : 2);
	for (size_t i = 0; i < (offers(c, CLIENT_PIPELINING) ? n_commands : 1); i++)
		add_envelope_command(c, i);
	return client_command(c, STATE_ENVELOPE, c->options.timeouts->command_ms);
}

/* --- the body ---------------------------------------------------------------------------------- */

/* Puts the next piece into c->out, with the final dot when it is the last and goes by DATA. */
static bool
add_piece(struct client *c)
{
	uint64_t left = c->mail.size - c->offset;
	size_t n = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
	char *to = c->is_chunked ? buf_room(&c->out, n) : piece;

	must(to != NULL);
	if (n > 0 && c->mail.read(c->mail.read_arg, c->offset, to, n) < 0)
		return lose_unreadable(c);
	c->offset += n;
	if (c->is_chunked) {
		c->out.n += n;
		return true;
	}
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
			client_wait(c, c->options.timeouts->final_ms);
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
	client_wait(c, c->options.timeouts->data_ms);
	if (c->is_chunked) {
		(void)buf_addf(&c->out, "BDAT %llu LAST\r\n", (unsigned long long)c->mail.size);
		if (!add_piece(c)) /* in one write with its command */
			return false;
	}
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
	static const struct {
		struct span word;
		unsigned bit;
	} known[] = {{{"PIPELINING", 10}, CLIENT_PIPELINING}, {{"SIZE", 4}, CLIENT_SIZE},
	    {{"8BITMIME", 8}, CLIENT_8BITMIME}, {{"SMTPUTF8", 8}, CLIENT_SMTPUTF8},
	    {{"DSN", 3}, CLIENT_DSN}, {{"CHUNKING", 8}, CLIENT_CHUNKING},
	    {{"STARTTLS", 8}, CLIENT_STARTTLS}};
	struct span line;

	for (size_t i = 1; smtp_reply_line(&c->reply, i, &line); i++) {
		struct span word = span_word(&line);
		unsigned bit = 0;

		for (size_t k = 0; k < sizeof(known) / sizeof(known[0]); k++)
			if (span_eq_nocase(word, known[k].word))
				bit = known[k].bit;
		c->offered.bits |= bit;
		if (bit == CLIENT_SIZE && !span_to_u64(span_word(&line), &c->offered.size_limit))
			c->offered.size_limit = 0;
	}
}

bool
dialogue_greet(struct client *c)
{
	/* What was offered in clear is forgotten (RFC 3207 section 4.2). */
	c->offered = (struct client_extensions){.is_tls = c->tls != NULL};
	(void)buf_addf(&c->out, "EHLO %s\r\n", c->options.hostname); /* see client_command */
	return client_command(c, STATE_EHLO, c->options.timeouts->greeting_ms);
}

static bool
got_banner(struct client *c, int code)
{
	if (code / 100 != 2) {
		client_finish(c, CLIENT_UNREACHABLE, code, c->said);
		return false;
	}
	return dialogue_greet(c);
}

static enum gateway_tls
wanted_tls(const struct client *c)
{
	return c->options.trust != NULL ? trust_mode(c->options.trust) : GATEWAY_TLS_OFF;
}

/* The greeting is over, for now or for good. */
static bool
go_on_greeted(struct client *c)
{
	enum gateway_tls tls = c->tls != NULL ? GATEWAY_TLS_OFF : wanted_tls(c);

	if (tls != GATEWAY_TLS_OFF && offers(c, CLIENT_STARTTLS)) {
		(void)buf_add_str(&c->out, "STARTTLS\r\n"); /* see client_command */
		return client_command(c, STATE_STARTTLS, c->options.timeouts->greeting_ms);
	}
	if (tls == GATEWAY_TLS_REQUIRE || tls == GATEWAY_TLS_VERIFY) {
		client_finish(c, CLIENT_UNREACHABLE, 0, "TLS: the server does not offer STARTTLS");
		return false;
	}
	go_idle(c);
	return true;
}

static bool
got_greeting(struct client *c, int code)
{
	if (code / 100 == 2) {
		if (c->state == STATE_EHLO)
			take_keywords(c);
		return go_on_greeted(c);
	}
	if (c->state == STATE_EHLO && code / 100 == 5) {
		(void)buf_addf(
		    &c->out, "HELO %s\r\n", c->options.hostname); /* see client_command */
		return client_command(c, STATE_HELO, c->options.timeouts->greeting_ms);
	}
	client_finish(c, CLIENT_UNREACHABLE, code, c->said);
	return false;
}

/* RFC 3207 section 4.1: whoever does not get TLS may go on without, if that will do. */
static bool
got_starttls(struct client *c, int code)
{
	char said[CLIENT_REPLY_MAX + 1];

	if (code == 220) {
		client_start_tls(c);
		return true;
	}
	if (wanted_tls(c) == GATEWAY_TLS_MAY) {
		go_idle(c);
		return true;
	}
	(void)snprintf(said, sizeof(said), "TLS: %.*s", CLIENT_REPLY_MAX - 5, c->said);
	client_finish(c, CLIENT_UNREACHABLE, code, said);
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
		return client_command(c, STATE_LONE_DOT, c->options.timeouts->final_ms);
	}
	if (is_wanted && code < 400) {
		client_lose(c, 0, c->said);
		return false;
	}
	if (is_wanted)
		keep_end(c, CLIENT_REFUSED, code, c->said);
	return end_with_rset(c);
}

/* Perhaps only this connection has had its share: servers take so many messages on one, and say 452. */
static void
keep_stale(struct client *c, int code)
{
	keep_end(c, CLIENT_STALE, code, c->said);
	c->is_quitting = true;
}

static void
note_envelope_reply(struct client *c, size_t i, int code)
{
	if (i == 0) {
		c->is_mail_ok = code / 100 == 2;
		if (c->is_mail_ok)
			keep_end(c, CLIENT_NO_RCPT, 0, "");
		else if (code / 100 == 4 && c->n_sent > 1)
			keep_stale(c, code);
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
	bool was_last_rcpt = i == c->mail.n_rcpts, is_pipelined = offers(c, CLIENT_PIPELINING);

	if (i == c->mail.n_rcpts + 1)
		return got_data_reply(c, code);
	note_envelope_reply(c, i, code);
	client_wait(c, c->options.timeouts->command_ms);
	if (is_pipelined && !(was_last_rcpt && (c->is_chunked || c->mail.is_probe)))
		return true;
	if (was_last_rcpt && c->mail.is_probe && c->n_accepted > 0)
		keep_end(c, CLIENT_ACCEPTED, code, c->said);
	if (!c->is_mail_ok || (was_last_rcpt && (c->n_accepted == 0 || c->mail.is_probe)))
		return end_with_rset(c);
	if (was_last_rcpt && c->is_chunked)
		return start_body(c);
	add_envelope_command(c, i + 1);
	return client_command(c, STATE_ENVELOPE, c->options.timeouts->command_ms);
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
	case STATE_STARTTLS:
		return got_starttls(c, code);
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
	case STATE_HANDSHAKE:
	case STATE_IDLE:
	case STATE_QUIT:
		break;
	}
	client_lose(c, 0, c->said);
	return false;
}

/*
 * 4_data.c - the message itself: strict framing, dots undone, size counted, header section freed
 * of what may not come in from outside.  Whatever is wrong with it is said after its true end.
 */
#include "relay/walk/walk.h"

enum { DATA_PIECE = CONNECTION_IN_MAX + 16 };

/* A byte a minute keeps every read in time, and a session and its memory for ever. */
static void
on_data_limit(void *arg)
{
	struct session *s = arg;

	session_refuse(s, 421, SPAN("4.4.2"), SPAN("The message takes too long"));
	session_finish(s);
}

void
data_begin(struct session *s)
{
	struct transaction *t = s->transaction;

	if (t == NULL || !t->had_rcpt) {
		session_mistake(s, 503, "5.5.1", t == NULL ? "Say MAIL first" : "Say RCPT first");
		return;
	}
	if (t->n_rcpts == 0) {
		session_mistake(s, 554, "5.5.1", "No valid recipients");
		return;
	}
	reader_data_start(&t->data);
	content_start(&t->content, s->front->config->hostname);
	s->state = SESSION_DATA;
	session_reply(s, 354, NULL, "End data with <CR><LF>.<CR><LF>");
	connection_expect(&s->connection, WALK_DATA_MS);
	loop_timer(s->front->loop, &t->data_limit, WALK_DATA_TOTAL_MS, on_data_limit, s);
}

static void
refuse(struct session *s, int code, struct span enhanced, struct span text)
{
	struct verdict v = {.action = code >= 500 ? ACTION_REJECT : ACTION_TEMPFAIL,
	    .stage = STAGE_DATA,
	    .code = code,
	    .by = SPAN("protocol")};

	(void)span_copy(enhanced, v.enhanced, sizeof(v.enhanced)); /* ours: they fit */
	(void)span_copy(text, v.text, sizeof(v.text));
	record_message(s, "refused", &v, code, NULL);
	session_refuse(s, code, enhanced, text);
	session_end_transaction(s);
	session_await_command(s);
}

/* The true end has come: is it a message at all? */
static void
data_end(struct session *s)
{
	struct transaction *t = s->transaction;

	timer_cancel(&t->data_limit);
	s->state = SESSION_COMMAND;
	if (t->content_error == 0 && !t->is_too_large)
		t->content_error = content_end(&t->content);
	if (t->data.has_bare)
		refuse(
		    s, 550, SPAN("5.6.0"), SPAN("Message holds a bare CR or LF (RFC 5321, 2.3.8)"));
	else if (t->data.has_nul)
		refuse(s, 550, SPAN("5.6.0"), SPAN("Message holds a NUL byte"));
	else if (t->is_too_large)
		refuse(s, 552, SPAN("5.3.4"), SPAN("Message is larger than this service takes"));
	else if (t->content_error == -E_LIMIT)
		refuse(s, 552, SPAN("5.3.4"), SPAN("The message's header section is too long"));
	else if (t->content_error < 0)
		refuse(s, 452, SPAN("4.3.1"), SPAN("No room for the message now, try again later"));
	else if (t->content.hops > WALK_HOPS_MAX)
		refuse(s, 554, SPAN("5.4.6"), SPAN("Too many hops: this message is in a loop"));
	else
		filter_begin(s);
}

void
data_input(struct session *s)
{
	static char piece[DATA_PIECE]; /* one for all sessions: emptied before we return */
	struct transaction *t = s->transaction;
	struct buf out = {.p = piece, .cap = sizeof(piece), .max = sizeof(piece)};
	size_t used = reader_data_push(&t->data, buf_span(&s->connection.in), &out);

	buf_consume(&s->connection.in, used);
	if (t->data.size > s->listen->flow->max_size)
		t->is_too_large = true;
	if (t->content_error == 0 && !t->is_too_large)
		t->content_error = content_add(&t->content, buf_span(&out));
	if (t->content_error != 0 || t->is_too_large)
		content_drop(&t->content);
	if (t->data.is_ended)
		data_end(s);
}

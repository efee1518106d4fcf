/*
 * 4_data.c - the message itself: strict framing, dots undone, size counted, header section freed
 * of what may not come in from outside.  Whatever is wrong with it is said after its true end.
 */
#include "relay/base/clock.h"
#include "relay/walk/walk.h"

#include <stdio.h>

enum { DATA_PIECE = CONNECTION_IN_MAX + 16 };

void
data_stop(struct session *s)
{
	timer_cancel(&s->pace.timer);
}

static void on_pace(void *arg);

/* Next look: when the message must have brought something again, or its time is over. */
static void
watch_pace(struct session *s)
{
	const struct conf_limits *limits = &s->listen->limits;
	int64_t left = s->pace.began_ms + limits->message_ms - clock_mono_ms();
	int64_t window = session_patience(s, limits->data_ms);

	s->pace.bytes = 0;
	loop_timer(s->front->loop, &s->pace.timer, window < left ? window : left, on_pace, s);
}

/* A byte a minute keeps every read in time, and a session and its memory for ever. */
static void
on_pace(void *arg)
{
	struct session *s = arg;
	const struct conf_limits *limits = &s->listen->limits;
	int64_t now_ms = clock_mono_ms();
	uint64_t seconds = (uint64_t)session_patience(s, limits->data_ms) / 1000;
	bool is_late = now_ms >= s->pace.began_ms + limits->message_ms;
	/* Between two chunks a command is due, which has a time of its own. */
	bool is_receiving = s->state == SESSION_DATA || s->state == SESSION_CHUNK;

	if (!is_late && (!is_receiving || s->pace.bytes >= limits->data_rate * seconds)) {
		watch_pace(s);
		return;
	}
	session_refuse(s, 421, SPAN("4.4.2"),
	    is_late ? SPAN("The message takes too long") : SPAN("The message comes too slowly"));
	session_finish(s);
}

/* The first bytes of a message, or of a chunk that nobody wants, are due. */
static void
begin_pace(struct session *s)
{
	s->pace.began_ms = clock_mono_ms();
	watch_pace(s);
}

/* Whether a message may come now; NULL: it may. */
static const struct smtp_fault *
fault_before_data(const struct session *s)
{
	static const struct smtp_fault no_mail = {503, "5.5.1", "Say MAIL first"},
				       no_rcpt = {503, "5.5.1", "Say RCPT first"},
				       no_valid = {554, "5.5.1", "No valid recipients"};
	const struct transaction *t = s->transaction;

	if (t == NULL)
		return &no_mail;
	if (!t->had_rcpt)
		return &no_rcpt;
	return t->n_rcpts == 0 ? &no_valid : NULL;
}

void
data_begin(struct session *s)
{
	struct transaction *t = s->transaction;
	const struct smtp_fault *fault = fault_before_data(s);

	if (fault != NULL) {
		session_mistake(s, fault->code, fault->enhanced, fault->text);
		return;
	}
	if (t->is_chunked) {
		session_mistake(s, 503, "5.5.1", "The message has begun with BDAT");
		return;
	}
	reader_data_start(&t->data);
	content_start(&t->content, s->front->config->hostname);
	s->state = SESSION_DATA;
	session_reply(s, 354, NULL, "End data with <CR><LF>.<CR><LF>");
	session_expect_bytes(s);
	begin_pace(s);
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

/* It could not be kept. */
static void
refuse_content(struct session *s)
{
	if (s->transaction->content_error == -E_LIMIT)
		refuse(s, 552, SPAN("5.3.4"), SPAN("The message's header section is too long"));
	else
		refuse(s, 452, SPAN("4.3.1"), SPAN("No room for the message now, try again later"));
}

/* The true end has come: is it a message at all? */
static void
data_end(struct session *s)
{
	struct transaction *t = s->transaction;

	data_stop(s);
	s->state = SESSION_COMMAND;
	if (t->content_error == 0 && !t->is_too_large)
		t->content_error = content_end(&t->content);
	if (t->data.has_bare || (t->is_chunked && s->chunks.has_bare))
		refuse(
		    s, 550, SPAN("5.6.0"), SPAN("Message holds a bare CR or LF (RFC 5321, 2.3.8)"));
	else if (t->data.has_nul || (t->is_chunked && s->chunks.has_nul))
		refuse(s, 550, SPAN("5.6.0"), SPAN("Message holds a NUL byte"));
	else if (t->is_too_large)
		refuse(s, 552, SPAN("5.3.4"), SPAN("Message is larger than this service takes"));
	else if (t->content_error < 0)
		refuse_content(s);
	else if (t->content.hops > WALK_HOPS_MAX)
		refuse(s, 554, SPAN("5.4.6"), SPAN("Too many hops: this message is in a loop"));
	else
		filter_begin(s);
}

static void
add_content(struct session *s, struct span bytes)
{
	struct transaction *t = s->transaction;

	/* Who says SMTPUTF8 of everything shall not need a gateway that knows it for plain mail. */
	if (t->has_said_utf8 && !t->is_utf8)
		t->is_utf8 = smtp_address_is_utf8(bytes);
	if (t->content_error == 0 && !t->is_too_large)
		t->content_error = content_add(&t->content, bytes);
	if (t->content_error != 0 || t->is_too_large)
		content_drop(&t->content);
}

void
data_input(struct session *s)
{
	static char piece[DATA_PIECE]; /* one for all sessions: emptied before we return */
	struct transaction *t = s->transaction;
	struct buf out = {.p = piece, .cap = sizeof(piece), .max = sizeof(piece)};
	size_t used = reader_data_push(&t->data, buf_span(&s->connection.in), &out);

	buf_consume(&s->connection.in, used);
	s->pace.bytes += used;
	if (t->data.size > s->listen->flow->max_size)
		t->is_too_large = true;
	add_content(s, buf_span(&out));
	if (t->data.is_ended)
		data_end(s);
}

/* --- BDAT (RFC 3030) ------------------------------------------------------------------------ */

/* All bytes of the chunk have come; a chunk that failed ends the transaction, and those pipelined
 * behind it find none. */
static void
chunk_end(struct session *s)
{
	const struct smtp_fault *fault = s->chunk_fault;
	char text[64];

	s->chunk_fault = NULL;
	if (fault != NULL) {
		data_stop(s);
		session_mistake(s, fault->code, fault->enhanced, fault->text);
		if (s->state != SESSION_ENDING)
			session_await_command(s);
	} else if (s->transaction->is_too_large) {
		refuse(s, 552, SPAN("5.3.4"), SPAN("Message is larger than this service takes"));
	} else if (s->chunks.is_last) {
		data_end(s);
	} else if (s->transaction->content_error < 0) {
		refuse_content(s);
	} else {
		(void)snprintf(text, sizeof(text), "%llu octets received so far",
		    (unsigned long long)s->chunks.size); /* fits */
		session_reply(s, 250, "2.0.0", text);
		session_await_command(s);
	}
}

void
data_chunk(struct session *s, const struct smtp_command *c)
{
	struct transaction *t = s->transaction;

	s->chunk_fault = fault_before_data(s);
	if (s->chunk_fault != NULL) {
		s->chunks = (struct reader_chunks){0};
		begin_pace(s);
	} else if (!t->is_chunked) {
		t->is_chunked = true;
		s->chunks = (struct reader_chunks){0};
		content_start(&t->content, s->front->config->hostname);
		begin_pace(s);
	}
	reader_chunk_start(&s->chunks, c->chunk_size, c->is_last);
	if (s->chunk_fault == NULL && s->chunks.size + c->chunk_size > s->listen->flow->max_size)
		t->is_too_large = true; /* said when its bytes are here */
	s->state = SESSION_CHUNK;
	session_expect_bytes(s);
	if (s->chunks.left == 0)
		chunk_end(s);
}

void
data_chunk_input(struct session *s)
{
	struct buf *in = &s->connection.in;
	struct span bytes = reader_chunk_push(&s->chunks, buf_span(in));

	s->pace.bytes += bytes.n;
	if (s->chunk_fault == NULL)
		add_content(s, bytes);
	buf_consume(in, bytes.n);
	if (s->chunks.left == 0)
		chunk_end(s);
}

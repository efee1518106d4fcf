#include "relay/message/dsn.h"
#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/message/edit.h"

enum {
	DSN_BOUNDARY_MAX = 70,
	DSN_FIELD_MAX = 4096,
	DSN_WIRE_LINE_MAX = 998,
	DSN_TEXT_COLUMNS = 74
};

static char
clean_byte(char c)
{
	return c >= 0x20 && c <= 0x7e ? c : '?';
}

static void
add_clean(struct buf *to, struct span text)
{
	for (size_t i = 0; i < text.n; i++)
		(void)buf_add_char(to, clean_byte(text.p[i])); /* sticky */
}

/* "Name: PREFIX text", folded; line ends in the text become blanks. */
static void
add_field(struct buf *to, struct span name, const char *prefix, struct span text)
{
	struct buf value = BUF_INIT(DSN_FIELD_MAX + 64);

	text = span_take(text, DSN_FIELD_MAX);
	(void)buf_add_str(&value, prefix); /* fits, as all below */
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		(void)buf_add_char(&value, c == '\n' || c == '\r' ? ' ' : c);
	}
	(void)edit_add_field(to, name, buf_span(&value)); /* sticky */
	buf_free(&value);
}

static void
add_date_field(struct buf *to, const char *name, int64_t wall_ms)
{
	(void)buf_addf(to, "%s: ", name); /* sticky, as all below */
	(void)clock_add_rfc5322(to, wall_ms);
	(void)buf_add_str(to, "\r\n");
}

/* An address between <>; bytes that would end it are replaced. */
static void
add_address(struct buf *to, struct span address)
{
	(void)buf_add_char(to, '<'); /* sticky, as all below */
	for (size_t i = 0; i < address.n; i++) {
		char c = clean_byte(address.p[i]);

		(void)buf_add_char(to, c == '<' || c == '>' ? '?' : c);
	}
	(void)buf_add_char(to, '>');
}

/* "5.1.1" (RFC 3463 section 2) of the class that the action implies. */
static struct span
status_of(const struct dsn_recipient *r)
{
	char class = r->action == DSN_DELAYED ? '4' : '5';
	struct span rest = r->status, part;
	size_t parts = 0;
	uint64_t number;
	bool is_fine = rest.n > 0 && (rest.p[0] == class || rest.p[0] == '4');

	while (is_fine && rest.n > 0) {
		part = span_cut(&rest, '.');
		parts++;
		is_fine = part.n <= (parts == 1 ? 1U : 3U) && span_to_u64(part, &number);
	}
	if (is_fine && parts == 3 && r->status.p[r->status.n - 1] != '.')
		return r->status;
	return r->action == DSN_DELAYED ? SPAN("4.0.0") : SPAN("5.0.0");
}

/* What the status means to somebody who has never heard of SMTP, and what can be done. */
static const char *
advice_of(struct span status)
{
	static const struct {
		const char *tail, *text;
	} texts[] = {
	    {".1.1", "There is no such mailbox. Please check the address for typing errors."},
	    {".1.2", "There is no such mail domain. Please check what stands behind the @."},
	    {".1.10", "That domain does not take any mail."},
	    {".1.", "The address was not accepted. Please check it for typing errors."},
	    {".2.1", "The mailbox is switched off."},
	    {".2.2",
		"The mailbox is full. Please try again later or reach the person another way."},
	    {".2.3", "The message is too large for that mailbox."},
	    {".3.4", "The message is too large for the receiving server."},
	    {".4.7", "The receiving server could not be reached in time."},
	    {".4.", "The receiving server could not be reached."},
	    {".7.", "The receiving side does not allow this message. Only they can change that."},
	};
	struct span tail = span_skip(status, 1);

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		struct span want = span_str(texts[i].tail);

		if (want.p[want.n - 1] == '.' ? span_starts(tail, want) : span_eq(tail, want))
			return texts[i].text;
	}
	return NULL;
}

/* Text of several words, indented and wrapped. */
static void
add_wrapped(struct buf *to, struct span text)
{
	size_t column = DSN_TEXT_COLUMNS;

	while (text.n > 0) {
		struct span word;

		while (text.n > 0 && strchr(" \t\r\n", text.p[0]) != NULL && text.p[0] != '\0')
			text = span_skip(text, 1);
		for (word = span_take(text, 0); word.n < text.n && word.n < DSN_FIELD_MAX; word.n++)
			if (text.p[word.n] == ' ' || text.p[word.n] == '\t' ||
			    text.p[word.n] == '\r' || text.p[word.n] == '\n')
				break;
		text = span_skip(text, word.n);
		word = span_take(word, DSN_WIRE_LINE_MAX - 8);
		if (word.n == 0)
			continue;
		if (column + 1 + word.n > DSN_TEXT_COLUMNS) {
			(void)buf_add_str(to, "\r\n      "); /* sticky, as all below */
			column = 6;
		} else {
			(void)buf_add_char(to, ' ');
			column++;
		}
		add_clean(to, word);
		column += word.n;
	}
	(void)buf_add_str(to, "\r\n");
}

static void
add_explained(struct buf *to, const struct dsn_recipient *r)
{
	const char *advice = advice_of(status_of(r));

	(void)buf_add_str(to, "  "); /* sticky, as all below */
	add_address(to, r->address);
	(void)buf_add_str(to, "\r\n");
	if (advice != NULL)
		(void)buf_addf(to, "    %s\r\n", advice);
	if (r->reply.n > 0) {
		(void)buf_add_str(to, "    ");
		if (r->server.n > 0) {
			(void)buf_add_str(to, "The server ");
			add_clean(to, span_take(r->server, 255));
			(void)buf_add_str(to, " answered:");
		} else {
			(void)buf_add_str(to, "The answer was:");
		}
		add_wrapped(to, span_take(r->reply, DSN_FIELD_MAX));
	}
	(void)buf_add_str(to, "\r\n");
}

static void
add_group(const struct dsn *d, enum dsn_action action, const char *title, struct buf *to)
{
	bool is_started = false;

	for (size_t i = 0; i < d->n_recipients; i++) {
		if (d->recipients[i].action != action)
			continue;
		if (!is_started)
			(void)buf_addf(to, "%s\r\n\r\n", title); /* sticky */
		is_started = true;
		add_explained(to, &d->recipients[i]);
	}
}

static bool
has_action(const struct dsn *d, enum dsn_action action)
{
	for (size_t i = 0; i < d->n_recipients; i++)
		if (d->recipients[i].action == action)
			return true;
	return false;
}

static void
add_explanation(const struct dsn *d, struct buf *to)
{
	(void)buf_add_str(to, "This is the mail system at "); /* sticky, as all below */
	add_clean(to, span_take(d->reporting_mta, 255));
	(void)buf_add_str(to, ".\r\n\r\nIt is about the message that you sent on ");
	(void)clock_add_rfc5322(to, d->arrival_ms);
	(void)buf_add_str(to, ".\r\nThe header of that message is attached.\r\n\r\n");
	add_group(d, DSN_FAILED,
	    "It could NOT be delivered to the following address. This is final: it will\r\n"
	    "not be tried again.",
	    to);
	add_group(d, DSN_DELAYED,
	    "It could not be delivered YET to the following address. You need not do\r\n"
	    "anything: it will be tried again.",
	    to);
	if (has_action(d, DSN_DELAYED) && d->retry_until_ms > 0) {
		(void)buf_add_str(to, "It will be tried until ");
		(void)clock_add_rfc5322(to, d->retry_until_ms);
		(void)buf_add_str(to, "; if that fails\r\nyou will be told.\r\n\r\n");
	}
	(void)buf_add_str(to, "If you need help, write to ");
	add_address(to, span_take(d->postmaster, 320));
	(void)buf_add_str(to, "\r\nand include this message.\r\n");
}

static void
add_status_part(const struct dsn *d, struct buf *to)
{
	add_field(to, SPAN("Reporting-MTA"), "dns; ", d->reporting_mta);
	if (d->envelope_id.n > 0)
		add_field(to, SPAN("Original-Envelope-Id"), "", d->envelope_id);
	add_date_field(to, "Arrival-Date", d->arrival_ms);
	for (size_t i = 0; i < d->n_recipients; i++) {
		const struct dsn_recipient *r = &d->recipients[i];
		bool is_delayed = r->action == DSN_DELAYED;

		(void)buf_add_str(to, "\r\n"); /* sticky, as all below */
		add_field(to, SPAN("Final-Recipient"), "rfc822; ", r->address);
		(void)buf_addf(to, "Action: %s\r\n", is_delayed ? "delayed" : "failed");
		add_field(to, SPAN("Status"), "", status_of(r));
		if (r->server.n > 0)
			add_field(to, SPAN("Remote-MTA"), "dns; ", r->server);
		if (r->reply.n > 0)
			add_field(to, SPAN("Diagnostic-Code"), "smtp; ", r->reply);
		add_date_field(to, "Last-Attempt-Date", d->now_ms);
		if (is_delayed && d->retry_until_ms > 0)
			add_date_field(to, "Will-Retry-Until", d->retry_until_ms);
	}
}

/* Line by line: 7-bit, CRLF, no empty line, none longer than a message may hold. */
static void
add_original(struct span headers, struct buf *to)
{
	while (headers.n > 0) {
		struct span line = span_cut(&headers, '\n');

		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		while (line.n > 0) {
			struct span piece = span_take(line, DSN_WIRE_LINE_MAX - 1);

			for (size_t i = 0; i < piece.n; i++) {
				char c = piece.p[i];

				/* sticky */
				(void)buf_add_char(to, c == '\t' ? c : clean_byte(c));
			}
			(void)buf_add_str(to, "\r\n"); /* sticky */
			line = span_skip(line, piece.n);
			if (line.n > 0)
				(void)buf_add_char(to, ' '); /* a fold; sticky */
		}
	}
}

static void
add_top(const struct dsn *d, struct buf *to)
{
	bool is_failure = has_action(d, DSN_FAILED);

	(void)buf_add_str(to, "From: Mail delivery system "); /* sticky, as all below */
	add_address(to, span_take(d->postmaster, 320));
	(void)buf_add_str(to, "\r\nTo: ");
	add_address(to, span_take(d->sender, 320));
	(void)buf_addf(to, "\r\nSubject: %s\r\n",
	    is_failure ? "Your message could not be delivered"
		       : "Your message is delayed (no need to send it again)");
	add_date_field(to, "Date", d->now_ms);
	(void)buf_add_str(to, "Message-ID: <");
	add_clean(to, span_take(d->id, 64));
	(void)buf_add_char(to, '@');
	add_clean(to, span_take(d->reporting_mta, 255));
	(void)buf_addf(to,
	    ">\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
	    "Content-Type: multipart/report; report-type=delivery-status;\r\n"
	    "\tboundary=\"%.*s\"\r\n\r\n"
	    "This is a report in MIME format, for people and for programs.\r\n",
	    SPAN_ARG(d->boundary));
}

static void
add_part(const struct dsn *d, const char *type, const char *description, struct buf *to)
{
	(void)buf_addf(to,
	    "\r\n--%.*s\r\nContent-Type: %s\r\nContent-Description: %s\r\n"
	    "Content-Transfer-Encoding: 7bit\r\n\r\n",
	    SPAN_ARG(d->boundary), type, description); /* sticky */
}

static bool
boundary_is_fine(struct span boundary)
{
	for (size_t i = 0; i < boundary.n; i++) {
		char c = char_lower(boundary.p[i]);

		if ((c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_')
			return false;
	}
	return boundary.n > 0 && boundary.n <= DSN_BOUNDARY_MAX;
}

int
dsn_write(const struct dsn *d, struct buf *to)
{
	struct span headers = span_take(d->headers, DSN_HEADERS_MAX);

	if (!boundary_is_fine(d->boundary) || d->n_recipients == 0)
		return -E_SYNTAX;
	if (headers.n > 0 && memmem(headers.p, headers.n, d->boundary.p, d->boundary.n) != NULL)
		return -E_EXISTS;
	add_top(d, to);
	add_part(d, "text/plain; charset=us-ascii", "What happened", to);
	add_explanation(d, to);
	add_part(d, "message/delivery-status", "Delivery report", to);
	add_status_part(d, to);
	add_part(d, "text/rfc822-headers", "Header of your message", to);
	add_original(headers, to);
	(void)buf_addf(to, "\r\n--%.*s--\r\n", SPAN_ARG(d->boundary)); /* sticky */
	return to->failed ? -E_LIMIT : 0;
}

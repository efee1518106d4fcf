#include "relay/message/dsn.h"
#include "relay/base/base64.h"
#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/utf8.h"
#include "relay/message/dsn_status.h"
#include "relay/message/edit.h"
#include "relay/message/header.h"
#include "relay/smtp/command.h"
#include "relay/smtp/notify.h"

enum {
	DSN_BOUNDARY_MAX = 70,
	DSN_FIELD_MAX = 4096,
	DSN_WIRE_LINE_MAX = 998,
	DSN_TEXT_COLUMNS = 74,
	DSN_BASE64_BYTES = 57 /* of one line: 76 columns, RFC 2045 section 6.8 */
};

/* --- text from outside ------------------------------------------------------------------------- */

/* Visible text: printable ASCII and, where the report may hold it, well-formed UTF-8. */
static void
add_clean(const struct dsn *d, struct buf *to, struct span text)
{
	while (text.n > 0) {
		size_t n = utf8_length(text);

		if (n > 1 && d->is_utf8) {
			(void)buf_add(to, text.p, n); /* sticky */
			text = span_skip(text, n);
			continue;
		}
		(void)buf_add_char(
		    to, text.p[0] >= 0x20 && text.p[0] <= 0x7e ? text.p[0] : '?'); /* sticky */
		text = span_skip(text, 1);
	}
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
add_address(const struct dsn *d, struct buf *to, struct span address)
{
	(void)buf_add_char(to, '<'); /* sticky, as all below */
	while (address.n > 0) {
		struct span part = span_take(address, span_find(address, '<'));

		part = span_take(part, span_find(part, '>'));
		add_clean(d, to, part);
		if (part.n < address.n)
			(void)buf_add_char(to, '?');
		address = span_skip(address, part.n + 1);
	}
	(void)buf_add_char(to, '>');
}

/* --- for people -------------------------------------------------------------------------------- */

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* Text of several words, indented and wrapped. */
static void
add_wrapped(const struct dsn *d, struct buf *to, struct span text)
{
	size_t column = DSN_TEXT_COLUMNS;

	while (text.n > 0) {
		size_t n = 0;
		struct span word;

		while (text.n > 0 && is_blank(text.p[0]))
			text = span_skip(text, 1);
		while (n < text.n && !is_blank(text.p[n]))
			n++;
		word = span_take(text, n < DSN_WIRE_LINE_MAX - 8 ? n : DSN_WIRE_LINE_MAX - 8);
		text = span_skip(text, n);
		if (word.n == 0)
			continue;
		if (column + 1 + word.n > DSN_TEXT_COLUMNS) {
			(void)buf_add_str(to, "\r\n      "); /* sticky, as all below */
			column = 6;
		} else {
			(void)buf_add_char(to, ' ');
			column++;
		}
		add_clean(d, to, word);
		column += word.n;
	}
	(void)buf_add_str(to, "\r\n");
}

static void
add_explained(const struct dsn *d, struct buf *to, const struct dsn_recipient *r)
{
	const char *advice = dsn_advice(dsn_status(r->reply, r->action));

	(void)buf_add_str(to, "  "); /* sticky, as all below */
	add_address(d, to, r->address);
	(void)buf_add_str(to, "\r\n");
	if (advice != NULL)
		(void)buf_addf(to, "    %s\r\n", advice);
	if (r->reply.n > 0) {
		(void)buf_add_str(to, "    ");
		if (r->server.n > 0 && dsn_is_smtp_reply(r->reply)) {
			(void)buf_add_str(to, "The server ");
			add_clean(d, to, span_take(r->server, 255));
			(void)buf_add_str(to, " answered:");
		} else {
			(void)buf_add_str(to, "The reason is:");
		}
		add_wrapped(d, to, span_take(r->reply, DSN_FIELD_MAX));
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
		add_explained(d, to, &d->recipients[i]);
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
add_explanation(const struct dsn *d, bool is_whole, struct buf *to)
{
	(void)buf_add_str(to, "This is the mail system at "); /* sticky, as all below */
	add_clean(d, to, span_take(d->reporting_mta, 255));
	(void)buf_add_str(to, ".\r\n\r\nIt is about the message that you sent on ");
	(void)clock_add_rfc5322(to, d->arrival_ms);
	(void)buf_addf(to, ".\r\n%s is attached.\r\n\r\n",
	    is_whole ? "That message" : "The header of that message");
	add_group(d, DSN_FAILED,
	    "It could NOT be delivered to the following address. This is final: it will\r\n"
	    "not be tried again.",
	    to);
	add_group(d, DSN_DELAYED,
	    "It could not be delivered YET to the following address. You need not do\r\n"
	    "anything: it will be tried again.",
	    to);
	add_group(d, DSN_RELAYED,
	    "It was passed on towards the following address, to a server that does not\r\n"
	    "confirm delivery. You have asked to be told; you will hear no more of it\r\n"
	    "unless it fails later.",
	    to);
	if (has_action(d, DSN_DELAYED) && d->retry_until_ms > 0) {
		(void)buf_add_str(to, "It will be tried until ");
		(void)clock_add_rfc5322(to, d->retry_until_ms);
		(void)buf_add_str(to, "; if that fails\r\nyou will be told.\r\n\r\n");
	}
	(void)buf_add_str(to, "If you need help, write to ");
	add_address(d, to, span_take(d->postmaster, 320));
	(void)buf_add_str(to, "\r\nand include this message; the number of yours is ");
	add_clean(d, to, span_take(d->original_id, 64));
	(void)buf_add_str(to, ".\r\n");
}

/* --- for programs ------------------------------------------------------------------------------ */

/* RFC 3464 section 2.3.1: the address type as it was given, the address decoded.  What is not as
 * RFC 3461 section 4.2 says was refused at RCPT; it is left out here. */
static void
add_original_recipient(struct span orcpt, struct buf *to)
{
	char room[NOTIFY_ORCPT_MAX];
	struct buf value = BUF_INIT(NOTIFY_ORCPT_MAX + 2);
	struct span type = span_cut(&orcpt, ';');
	size_t n;

	if (type.n == 0 || orcpt.n == 0)
		return;
	(void)buf_add_span(&value, type); /* what is too long is left out */
	(void)buf_add_str(&value, "; ");
	if (smtp_xtext_decode(orcpt, room, sizeof(room), &n))
		(void)buf_add(&value, room, n);
	else
		(void)buf_add_span(&value, orcpt); /* UTF-8 as RFC 6533 section 3 allows it */
	if (!value.failed)
		add_field(to, SPAN("Original-Recipient"), "", buf_span(&value));
	buf_free(&value);
}

static bool
is_ascii(struct span text)
{
	for (size_t i = 0; i < text.n; i++)
		if ((unsigned char)text.p[i] >= 0x80)
			return false;
	return true;
}

/* RFC 6533 section 3: an address that is not ASCII has a type of its own. */
static void
add_final_recipient(const struct dsn *d, struct span address, struct buf *to)
{
	if (!d->is_utf8 || is_ascii(address)) {
		add_field(to, SPAN("Final-Recipient"), "rfc822; ", address);
		return;
	}
	(void)buf_add_str(to, "Final-Recipient: utf-8; "); /* sticky, as all below */
	add_clean(d, to, span_take(address, 320));
	(void)buf_add_str(to, "\r\n");
}

static void
add_envelope_id(struct span envid, struct buf *to)
{
	char room[NOTIFY_ENVID_MAX];
	size_t n;

	if (envid.n > 0 && smtp_xtext_decode(envid, room, sizeof(room), &n))
		add_field(to, SPAN("Original-Envelope-Id"), "", span_of(room, n));
}

static void
add_recipient(const struct dsn *d, const struct dsn_recipient *r, struct buf *to)
{
	static const char *const actions[] = {
	    [DSN_FAILED] = "failed", [DSN_DELAYED] = "delayed", [DSN_RELAYED] = "relayed"};
	bool is_smtp = dsn_is_smtp_reply(r->reply);

	(void)buf_add_str(to, "\r\n"); /* sticky, as all below */
	add_original_recipient(r->orcpt, to);
	add_final_recipient(d, r->address, to);
	(void)buf_addf(to, "Action: %s\r\n", actions[r->action]);
	add_field(to, SPAN("Status"), "", dsn_status(r->reply, r->action));
	if (r->server.n > 0 && is_smtp)
		add_field(to, SPAN("Remote-MTA"), "dns; ", r->server);
	if (r->reply.n > 0) /* not of SMTP: RFC 3464 section 2.1.2 asks for "X-" */
		add_field(
		    to, SPAN("Diagnostic-Code"), is_smtp ? "smtp; " : "X-Postern; ", r->reply);
	if (r->attempted_ms > 0)
		add_date_field(to, "Last-Attempt-Date", r->attempted_ms);
	if (r->action == DSN_DELAYED && d->retry_until_ms > 0)
		add_date_field(to, "Will-Retry-Until", d->retry_until_ms);
}

static void
add_status(const struct dsn *d, struct buf *to)
{
	add_envelope_id(d->envelope_id, to);
	add_field(to, SPAN("Reporting-MTA"), "dns; ", d->reporting_mta);
	add_date_field(to, "Arrival-Date", d->arrival_ms);
	for (size_t i = 0; i < d->n_recipients; i++)
		add_recipient(d, &d->recipients[i], to);
}

/* --- the original ------------------------------------------------------------------------------ */

/* What stands before the empty line, with its last CRLF. */
static struct span
header_section(struct span message)
{
	const char *end = message.n > 0 ? memmem(message.p, message.n, "\r\n\r\n", 4) : NULL;

	if (span_starts(message, SPAN("\r\n")))
		return (struct span){0}; /* it has none */
	return end != NULL ? span_take(message, (size_t)(end - message.p) + 2) : message;
}

/* Without our own fields.  One that cannot be looked through stays here: nothing of ours leaks. */
static void
strip(struct span section, struct buf *to)
{
	if (edit_strip_foreign(section, (struct span){0}, to) < 0)
		buf_clear(to);
}

/* Line by line: 7-bit, CRLF, no empty line, none longer than a message may hold. */
static void
add_header_lines(const struct dsn *d, struct span headers, struct buf *to)
{
	while (headers.n > 0) {
		struct span line = span_cut(&headers, '\n');

		if (line.n > 0 && line.p[line.n - 1] == '\r')
			line.n--;
		while (line.n > 0) {
			struct span piece = span_take(line, DSN_WIRE_LINE_MAX - 1), rest = piece;

			while (rest.n > 0) {
				add_clean(d, to, span_take(rest, span_find(rest, '\t')));
				rest = span_skip(rest, span_find(rest, '\t'));
				if (rest.n > 0)
					(void)buf_add_char(to, '\t'); /* sticky, as below */
				rest = span_skip(rest, 1);
			}
			(void)buf_add_str(to, "\r\n");
			line = span_skip(line, piece.n);
			if (line.n > 0)
				(void)buf_add_char(to, ' '); /* a fold */
		}
	}
}

/* Whether mail may hold these bytes as they are; *is_8bit says which mail. */
static bool
is_sendable(struct span text, bool *is_8bit)
{
	*is_8bit = false;
	while (text.n > 0) {
		struct span line = span_cut(&text, '\n');

		if (line.n > DSN_WIRE_LINE_MAX + 1) /* its CR is none of the 998 */
			return false;
		for (size_t i = 0; i < line.n; i++)
			if (line.p[i] == '\0')
				return false;
		*is_8bit = *is_8bit || !is_ascii(line);
	}
	return true;
}

/* The whole message; false: it goes back as its header section. */
static bool
add_message(const struct dsn *d, struct buf *to, bool *is_8bit)
{
	struct span section = header_section(d->original);

	if (!d->is_whole || section.n > HEADER_SECTION_MAX)
		return false;
	strip(section, to);
	(void)buf_add_span(to, span_skip(d->original, section.n)); /* the caller tests */
	if (!is_sendable(buf_span(to), is_8bit) && !d->is_utf8) {
		buf_clear(to);
		return false;
	}
	return true;
}

static void
add_headers(const struct dsn *d, struct buf *to)
{
	struct span section = span_take(header_section(d->original), DSN_HEADERS_MAX);
	struct buf ours = BUF_INIT(DSN_HEADERS_MAX);

	strip(section, &ours);
	add_header_lines(d, buf_span(&ours), to);
	buf_free(&ours);
}

/* --- put together ------------------------------------------------------------------------------ */

static void
add_base64(struct span text, struct buf *to)
{
	while (text.n > 0) {
		(void)base64_add(to, span_take(text, DSN_BASE64_BYTES)); /* sticky, as below */
		(void)buf_add_str(to, "\r\n");
		text = span_skip(text, DSN_BASE64_BYTES);
	}
}

/* One part; what may hold UTF-8 is base64, so that no relay needs SMTPUTF8 for it. */
static void
add_part(const struct dsn *d, const char *type, const char *description, struct span text,
    bool is_8bit, struct buf *to)
{
	(void)buf_addf(to,
	    "\r\n--%.*s\r\nContent-Type: %s\r\nContent-Description: %s\r\n"
	    "Content-Transfer-Encoding: %s\r\n\r\n",
	    SPAN_ARG(d->boundary), type, description,
	    d->is_utf8 ? "base64"
	    : is_8bit  ? "8bit"
		       : "7bit"); /* sticky, as below */
	if (d->is_utf8)
		add_base64(text, to);
	else
		(void)buf_add_span(to, text);
}

static const char *
subject_of(const struct dsn *d)
{
	if (has_action(d, DSN_FAILED))
		return "Your message could not be delivered";
	if (has_action(d, DSN_DELAYED))
		return "Your message is delayed (no need to send it again)";
	return "Your message was passed on";
}

static void
add_top(const struct dsn *d, bool is_8bit, struct buf *to)
{
	(void)buf_add_str(to, "From: Mail delivery system "); /* sticky, as all below */
	add_address(d, to, span_take(d->postmaster, 320));
	(void)buf_add_str(to, "\r\nTo: ");
	add_address(d, to, span_take(d->sender, 320));
	(void)buf_addf(to, "\r\nSubject: %s\r\n", subject_of(d));
	add_date_field(to, "Date", d->now_ms);
	(void)buf_add_str(to, "Message-ID: <");
	add_clean(d, to, span_take(d->id, 64));
	(void)buf_add_char(to, '@');
	add_clean(d, to, span_take(d->reporting_mta, 255));
	(void)buf_addf(to,
	    ">\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"
	    "Content-Type: multipart/report; report-type=%s;\r\n"
	    "\tboundary=\"%.*s\"\r\n%s\r\n"
	    "This is a report in MIME format, for people and for programs.\r\n",
	    d->is_utf8 ? "global-delivery-status" : "delivery-status", SPAN_ARG(d->boundary),
	    is_8bit ? "Content-Transfer-Encoding: 8bit\r\n" : "");
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

static void
add_parts(const struct dsn *d, struct span original, bool is_whole, bool is_8bit, struct buf *to)
{
	struct buf text = BUF_INIT(to->max), status = BUF_INIT(to->max);

	add_explanation(d, is_whole, &text);
	add_status(d, &status);
	if (text.failed || status.failed)
		to->failed = true;
	add_part(d, d->is_utf8 ? "text/plain; charset=utf-8" : "text/plain; charset=us-ascii",
	    "What happened", buf_span(&text), false, to);
	add_part(d, d->is_utf8 ? "message/global-delivery-status" : "message/delivery-status",
	    "Delivery report", buf_span(&status), false, to);
	if (is_whole)
		add_part(d, d->is_utf8 ? "message/global" : "message/rfc822", "Your message",
		    original, is_8bit, to);
	else
		add_part(d, d->is_utf8 ? "message/global-headers" : "text/rfc822-headers",
		    "Header of your message", original, false, to);
	(void)buf_addf(to, "\r\n--%.*s--\r\n", SPAN_ARG(d->boundary)); /* sticky */
	buf_free(&text);
	buf_free(&status);
}

int
dsn_write(const struct dsn *d, struct buf *to, bool *is_8bit)
{
	struct buf original = BUF_INIT(to->max);
	bool is_whole, fits;

	*is_8bit = false;
	if (!boundary_is_fine(d->boundary) || d->n_recipients == 0)
		return -E_SYNTAX;
	is_whole = add_message(d, &original, is_8bit);
	if (!is_whole)
		add_headers(d, &original);
	if (!is_whole || d->is_utf8)
		*is_8bit = false;
	fits = !original.failed;
	if (fits && original.n > 0 &&
	    memmem(original.p, original.n, d->boundary.p, d->boundary.n) != NULL) {
		buf_free(&original);
		return -E_EXISTS;
	}
	if (fits) {
		add_top(d, *is_8bit, to);
		add_parts(d, buf_span(&original), is_whole, *is_8bit, to);
	}
	buf_free(&original);
	return fits && !to->failed ? 0 : -E_LIMIT;
}

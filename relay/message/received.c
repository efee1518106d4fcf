#include "relay/message/received.h"
#include "relay/base/clock.h"
#include "relay/message/header.h"

enum { NAME_MAX_BYTES = 255, RCPT_MAX_BYTES = 320, WORD_MAX_BYTES = 64 };

/* What a domain or an address literal is made of; comments and clauses begin with none of it. */
static bool
is_name_byte(char c)
{
	char low = char_lower(c);

	return (low >= 'a' && low <= 'z') || (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr(".-_:[]", c) != NULL);
}

static void
add_name(struct buf *to, struct span name, size_t max)
{
	name = span_take(name, max);
	for (size_t i = 0; i < name.n; i++)
		(void)buf_add_char(to, is_name_byte(name.p[i]) ? name.p[i] : '?'); /* sticky */
}

/* Of a comment: what OpenSSL calls versions and ciphers. */
static void
add_word(struct buf *to, struct span word)
{
	word = span_take(word, WORD_MAX_BYTES);
	for (size_t i = 0; i < word.n; i++)
		(void)buf_add_char(
		    to, word.p[i] == '_' || is_name_byte(word.p[i]) ? word.p[i] : '?'); /* sticky */
}

static void
add_rcpt(struct buf *to, struct span rcpt)
{
	rcpt = span_take(rcpt, RCPT_MAX_BYTES);
	(void)buf_add_str(to, "\r\n\tfor <"); /* sticky, as all below */
	for (size_t i = 0; i < rcpt.n; i++) {
		char c = rcpt.p[i];

		(void)buf_add_char(to, c < 0x20 || c > 0x7e || c == '<' || c == '>' ? '?' : c);
	}
	(void)buf_add_char(to, '>');
}

int
received_add(struct buf *to, const struct received *r)
{
	char text[IP_TEXT_MAX];
	struct span ip = ip_format(&r->client, text);

	(void)buf_add_str(to, "Received: from "); /* sticky, as all below */
	add_name(to, r->helo.n > 0 ? r->helo : SPAN("unknown"), NAME_MAX_BYTES);
	(void)buf_add_str(to, " (");
	add_name(to, r->host.n > 0 ? r->host : SPAN("unknown"), NAME_MAX_BYTES);
	(void)buf_add_str(to, ip_is_v4(&r->client) ? " [" : " [IPv6:");
	(void)buf_add_span(to, ip);
	(void)buf_add_str(to, "])\r\n\tby ");
	add_name(to, r->hostname, NAME_MAX_BYTES);
	(void)buf_add_str(to, " with ");
	add_name(to, r->protocol, WORD_MAX_BYTES);
	(void)buf_add_str(to, " id ");
	add_name(to, r->id, WORD_MAX_BYTES);
	if (r->tls.n > 0) {
		(void)buf_add_str(to, "\r\n\t(");
		add_word(to, r->tls);
		(void)buf_add_char(to, ' ');
		add_word(to, r->cipher);
		(void)buf_add_char(to, ')');
	}
	if (r->rcpt.n > 0)
		add_rcpt(to, r->rcpt);
	(void)buf_add_str(to, ";\r\n\t");
	(void)clock_add_rfc5322(to, r->wall_ms);
	return buf_add_str(to, "\r\n");
}

size_t
received_count(struct span section)
{
	struct header_field field;
	size_t n = 0;

	while (header_next(&section, &field))
		if (span_eq_nocase(field.name, SPAN("Received")))
			n++;
	return n;
}

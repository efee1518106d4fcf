/*
 * 2_greet.c - who does the client say it is?  EHLO and HELO with what we offer, XCLIENT from those
 * who may speak for others, and the commands that change nothing.
 */
#include "relay/walk/walk.h"

/* RFC 5321 section 4.1.1.1: the first line names us, each further one an extension. */
static void
offer_extensions(struct session *s)
{
	struct buf b = BUF_INIT(2048);

	(void)buf_addf(
	    &b, "250-%s\r\n", s->front->config->hostname); /* short, as all that follows */
	(void)buf_addf(&b, "250-PIPELINING\r\n250-SIZE %llu\r\n250-8BITMIME\r\n",
	    (unsigned long long)s->listen->flow->max_size);
	if (s->may_xclient)
		(void)buf_addf(&b, "250-XCLIENT NAME ADDR HELO\r\n");
	(void)buf_addf(&b, "250 ENHANCEDSTATUSCODES\r\n");
	connection_send(&s->connection, buf_span(&b));
	buf_free(&b);
}

static void
hello(struct session *s, const struct smtp_command *c)
{
	struct facts facts;

	if (!smtp_helo_is_valid(c->argument)) {
		session_mistake(s, 501, "5.5.4", "Say EHLO with the name of your host");
		return;
	}
	session_end_transaction(s);
	(void)span_copy(c->argument, s->helo, sizeof(s->helo)); /* longer names are cut */
	s->is_esmtp = c->verb == SMTP_EHLO;
	facts = session_facts(s);
	s->verdict = s->connected;
	decide_stage(s->snapshot, STAGE_HELO, &facts, &s->verdict, NULL, NULL);
	if (action_refuses_at_once(s->verdict.action) &&
	    s->listen->flow->refuse_at == REFUSE_AT_BANNER) {
		record_refusal(s, &s->verdict, (struct span){0});
		session_speak(s, &s->verdict);
		session_finish(s);
	} else if (s->is_esmtp) {
		offer_extensions(s);
	} else {
		session_reply(s, 250, NULL, s->front->config->hostname);
	}
}

/* What XCLIENT says, until all of it is known to be right. */
struct named_client {
	struct ip ip;
	bool has_host;
	char host[LOOKUP_NAME_MAX + 1], helo[SCAN_TEXT_MAX];
};

static bool
xclient_attribute(struct named_client *s, const struct smtp_param *p)
{
	char text[LOOKUP_NAME_MAX + 1];
	size_t n;
	struct span value;
	bool is_absent;

	if (!smtp_xtext_decode(p->value, text, sizeof(text), &n))
		return false;
	value = span_of(text, n);
	is_absent = span_eq_nocase(value, SPAN("[UNAVAILABLE]")) ||
		    span_eq_nocase(value, SPAN("[TEMPUNAVAIL]"));
	if (span_eq_nocase(p->name, SPAN("ADDR"))) {
		if (span_starts_nocase(value, SPAN("IPV6:")))
			value = span_skip(value, 5);
		return ip_parse(value, &s->ip);
	}
	if (span_eq_nocase(p->name, SPAN("NAME"))) {
		s->has_host = !is_absent && smtp_domain_is_valid(value);
		return span_copy(s->has_host ? value : SPAN(""), s->host, sizeof(s->host));
	}
	if (span_eq_nocase(p->name, SPAN("HELO"))) {
		if (!is_absent && !smtp_helo_is_valid(value))
			return false;
		return span_copy(is_absent ? SPAN("") : value, s->helo, sizeof(s->helo));
	}
	return false;
}

/* The session begins anew, as the client that a trusted peer speaks for. */
static void
xclient(struct session *s, const struct smtp_command *c)
{
	struct named_client named = {0};

	if (!s->may_xclient) {
		session_mistake(s, 550, "5.7.1", "XCLIENT is not for your address");
		return;
	}
	if (s->transaction != NULL || c->n_params == 0) {
		session_mistake(s, s->transaction != NULL ? 503 : 501, "5.5.1",
		    s->transaction != NULL ? "Finish the transaction first"
					   : "Say XCLIENT with ADDR, NAME or HELO");
		return;
	}
	named.ip = s->client;
	for (size_t i = 0; i < c->n_params; i++)
		if (!xclient_attribute(&named, &c->params[i])) {
			session_mistake(s, 501, "5.5.4", "XCLIENT knows ADDR, NAME and HELO");
			return;
		}
	s->client = named.ip;
	s->has_host = named.has_host;
	(void)span_copy(span_str(named.host), s->host, sizeof(s->host)); /* the same sizes */
	(void)span_copy(span_str(named.helo), s->helo, sizeof(s->helo));
	s->id = id_new();
	accept_begin(s);
}

void
greet_command(struct session *s, const struct smtp_command *c)
{
	switch (c->verb) {
	case SMTP_EHLO:
	case SMTP_HELO:
		hello(s, c);
		break;
	case SMTP_XCLIENT:
		xclient(s, c);
		break;
	case SMTP_NOOP:
		session_reply(s, 250, "2.0.0", "OK");
		break;
	case SMTP_RSET:
		session_end_transaction(s);
		session_reply(s, 250, "2.0.0", "OK");
		break;
	case SMTP_VRFY:
		/* RFC 5321 section 3.5.3: neither yes nor no; the mail is what tells. */
		session_reply(s, 252, "2.5.0", "Send mail and see");
		break;
	case SMTP_HELP:
		session_reply(s, 214, "2.0.0",
		    "EHLO HELO MAIL RCPT DATA RSET NOOP VRFY HELP QUIT; see RFC 5321");
		break;
	case SMTP_QUIT:
		session_reply(s, 221, "2.0.0", "Bye");
		session_finish(s);
		break;
	case SMTP_KNOWN_ELSEWHERE:
		session_mistake(s, 502, "5.5.1", "Command not implemented");
		break;
	case SMTP_MAIL:
	case SMTP_RCPT:
	case SMTP_DATA:
	case SMTP_UNKNOWN:
		session_mistake(s, 500, "5.5.1", "Command not recognised");
		break;
	}
}

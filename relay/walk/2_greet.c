/*
 * 2_greet.c - who does the client say it is?  EHLO and HELO with what we offer, XCLIENT from those
 * who may speak for others, and the commands that change nothing.
 */
#include "relay/smtp/xclient.h"
#include "relay/walk/walk.h"

/* RFC 5321 section 4.1.1.1: the first line names us, each further one an extension. */
static void
offer_extensions(struct session *s)
{
	struct buf b = BUF_INIT(2048);

	(void)buf_addf(
	    &b, "250-%s\r\n", s->front->config->hostname); /* short, as all that follows */
	(void)buf_addf(&b,
	    "250-PIPELINING\r\n250-SIZE %llu\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n"
	    "250-CHUNKING\r\n250-LIMITS RCPTMAX=%u MAILMAX=%u\r\n",
	    (unsigned long long)s->listen->flow->max_size, s->listen->flow->max_recipients,
	    s->listen->limits.messages);
	if (secure_is_offered(s))
		(void)buf_addf(&b, "250-STARTTLS\r\n");
	authenticate_offer(s, &b);
	if (s->may_xclient)
		(void)buf_addf(&b, "250-XCLIENT " XCLIENT_ATTRIBUTES "\r\n");
	(void)buf_addf(&b, "250 ENHANCEDSTATUSCODES\r\n");
	connection_send(&s->connection, buf_span(&b));
	buf_free(&b);
}

/* The lists have said what they know of the name. */
static void
decide(struct session *s)
{
	struct facts facts = session_facts(s);
	struct verdict v = kept_verdict(s->connected);

	session_decide(s, STAGE_HELO, &facts, &v);
	s->has_greeted = true;
	session_keep_verdict(s, &s->verdict, &v);
	if (action_refuses_at_once(v.action) && s->listen->flow->refuse_at == REFUSE_AT_BANNER) {
		record_refusal(s, &v, (struct span){0});
		session_speak(s, &v);
		session_finish(s);
		return;
	}
	if (s->is_esmtp)
		offer_extensions(s);
	else
		session_reply(s, 250, NULL, s->front->config->hostname);
	session_count_idle(s);
}

static void
on_inquired(struct session *s)
{
	session_await_command(s);
	decide(s);
	session_go_on(s);
}

static void
hello(struct session *s, const struct smtp_command *c)
{
	if (!smtp_helo_is_valid(c->argument)) {
		session_mistake(s, 501, "5.5.4", "Say EHLO with the name of your host");
		return;
	}
	session_end_transaction(s);
	(void)span_copy(c->argument, s->helo, sizeof(s->helo)); /* valid: it fits */
	s->is_esmtp = c->verb == SMTP_EHLO;
	if (!inquire_helo(s, on_inquired))
		decide(s);
}

/* The session begins anew, as the client that a trusted peer speaks for. */
static void
xclient(struct session *s, const struct smtp_command *c)
{
	struct xclient said;

	if (!s->may_xclient) {
		session_mistake(s, 550, "5.7.1", "XCLIENT is not for your address");
		return;
	}
	if (s->transaction != NULL) {
		session_mistake(s, 503, "5.5.1", "Finish the transaction first");
		return;
	}
	if (!xclient_parse(c, &said)) {
		session_mistake(s, 501, "5.5.4", "XCLIENT knows " XCLIENT_ATTRIBUTES);
		return;
	}
	conduct_leave(s);
	s->client = said.has_addr ? said.addr : s->peer;
	s->is_named = true;
	s->has_greeted = false;
	s->is_host_told = said.is_name_told;
	s->has_host = said.name[0] != '\0';
	(void)span_copy(span_str(said.name), s->host, sizeof(s->host)); /* the same sizes */
	(void)span_copy(span_str(said.helo), s->helo, sizeof(s->helo));
	s->is_esmtp = said.is_esmtp;
	mem_free(s->user);
	s->user = said.login[0] != '\0' ? mem_dup(span_str(said.login)) : NULL;
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
		session_count_idle(s);
		break;
	case SMTP_RSET:
		session_end_transaction(s);
		session_reply(s, 250, "2.0.0", "OK");
		session_count_idle(s);
		break;
	case SMTP_VRFY:
		/* RFC 5321 section 3.5.3: neither yes nor no; the mail is what tells. */
		session_reply(s, 252, "2.5.0", "Send mail and see");
		session_count_idle(s);
		break;
	case SMTP_HELP:
		session_reply(s, 214, "2.0.0",
		    "EHLO HELO MAIL RCPT DATA BDAT RSET NOOP VRFY HELP QUIT; see RFC 5321");
		session_count_idle(s);
		break;
	case SMTP_QUIT:
		session_reply(s, 221, "2.0.0", "Bye");
		session_finish(s);
		break;
	case SMTP_STARTTLS:
		secure_command(s, c);
		break;
	case SMTP_AUTH:
		authenticate_command(s, c);
		break;
	case SMTP_KNOWN_ELSEWHERE:
		session_mistake(s, 502, "5.5.1", "Command not implemented");
		break;
	case SMTP_MAIL:
	case SMTP_RCPT:
	case SMTP_DATA:
	case SMTP_BDAT:
	case SMTP_UNKNOWN:
		session_mistake(s, 500, "5.5.1", "Command not recognised");
		break;
	}
}

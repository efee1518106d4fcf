/*
 * 1_accept.c - a client has connected: is it allowed here, what do the access rules say, and what
 * do the DNS lists know?  All lists are asked at once; the banner waits for them, but never
 * longer than dns.banner_wait.  What has not answered by then is unknown, and unknown hurts nobody.
 */
#include "relay/base/clock.h"
#include "relay/walk/findings.h"
#include "relay/walk/walk.h"

static void
speak_banner(struct session *s)
{
	char text[512];
	struct buf b = {.p = text, .cap = sizeof(text), .max = sizeof(text)};

	(void)buf_addf(
	    &b, "220 %s ESMTP Postern\r\n", s->front->config->hostname); /* a host name fits */
	connection_send(&s->connection, buf_span(&b));
	s->state = SESSION_COMMAND;
	connection_expect(&s->connection, WALK_COMMAND_MS);
	session_go_on(s);
}

/* As the banner: 554 for good, 421 for now (RFC 5321 sections 3.1 and 3.8). */
static void
refuse_in_banner(struct session *s)
{
	struct verdict *v = &s->verdict;

	record_refusal(s, v, (struct span){0});
	session_refuse(
	    s, v->action == ACTION_TEMPFAIL ? 421 : 554, span_str(v->enhanced), span_str(v->text));
	session_finish(s);
}

static void
decide(struct session *s)
{
	struct facts facts = session_facts(s);

	accept_cancel(s);
	s->verdict = (struct verdict){0};
	decide_stage(s->snapshot, STAGE_CONNECT, &facts, &s->verdict, NULL, NULL);
	if (s->verdict.action >= ACTION_TEMPFAIL && s->listen->flow->refuse_at == REFUSE_AT_BANNER)
		refuse_in_banner(s);
	else
		speak_banner(s);
}

static void
on_banner_wait(void *arg)
{
	decide(arg);
}

static void
on_answer(struct dns_request *r, const struct dns_answer *answer)
{
	struct session *s = r->arg;

	s->answers[r->index] = findings_type_list(s->snapshot, r->index, answer);
	if (--s->n_waiting == 0)
		decide(s);
}

static void
ask_lists(struct session *s)
{
	const struct conf_dns *dns = &s->front->config->dns;
	size_t n = snapshot_list_count(s->snapshot);

	s->n_waiting = n;
	for (size_t i = 0; i < n; i++) {
		struct buf name = BUF_INIT(LOOKUP_NAME_MAX);
		struct dns_question q = {.type = DNS_A, .timeout_ms = (uint32_t)dns->timeout_ms};

		findings_list_name(s->snapshot, i, &s->client, &name);
		q.name =
		    name.failed ? (struct span){0} : buf_span(&name); /* empty: lookup fails it */
		s->questions[i] =
		    (struct dns_request){.on_answer = on_answer, .arg = s, .index = i};
		dns_ask(s->front->dns, &s->questions[i], &q);
		buf_free(&name);
	}
	loop_timer(s->front->loop, &s->banner_wait, dns->banner_wait_ms, on_banner_wait, s);
}

void
accept_cancel(struct session *s)
{
	timer_cancel(&s->banner_wait);
	for (size_t i = 0; i < POLICY_LISTS_MAX; i++)
		dns_cancel(&s->questions[i]);
	s->n_waiting = 0;
}

static bool
is_client_allowed(const struct session *s)
{
	const struct nets *clients = &s->listen->flow->clients;

	return clients->n == 0 || nets_have(clients, &s->client);
}

void
accept_begin(struct session *s)
{
	s->state = SESSION_CHECKING;
	memset(s->answers, 0, sizeof(s->answers)); /* LIST_UNKNOWN */
	if (!is_client_allowed(s)) {
		session_refuse(s, 554, SPAN("5.7.1"), SPAN("This service is not for your address"));
		session_finish(s);
		return;
	}
	if ((s->listen->flow->connect & CONNECT_DNSBL) && snapshot_list_count(s->snapshot) > 0)
		ask_lists(s);
	else
		decide(s);
}

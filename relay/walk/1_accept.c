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
	/* A list that was found out meanwhile is not believed, whatever it has answered. */
	for (size_t i = 0; i < facts.n_answers; i++)
		if (list_watch_is_off(s->front->lists, snapshot_list(s->snapshot, i)->zone))
			s->answers[i] = (struct list_answer){.state = LIST_UNKNOWN};
	s->connected = (struct verdict){0};
	decide_stage(s->snapshot, STAGE_CONNECT, &facts, &s->connected, NULL, NULL);
	s->verdict = s->connected;
	if (action_refuses_at_once(s->verdict.action) &&
	    s->listen->flow->refuse_at == REFUSE_AT_BANNER)
		refuse_in_banner(s);
	else
		speak_banner(s);
}

static void
on_banner_wait(void *arg)
{
	decide(arg);
}

static struct span
zone_of(const struct session *s, size_t list)
{
	return snapshot_list(s->snapshot, list)->zone;
}

static void
answer_came(struct session *s)
{
	if (--s->n_waiting == 0)
		decide(s);
}

static void
on_answer(struct dns_request *r, const struct dns_answer *answer)
{
	struct session *s = r->arg;

	s->answers[r->index] = findings_type_list(s->snapshot, r->index, answer);
	if (s->answers[r->index].state == LIST_ERROR)
		list_watch_error(s->front->lists, zone_of(s, r->index));
	answer_came(s);
}

static void
on_canary(struct dns_request *r, const struct dns_answer *answer)
{
	struct session *s = r->arg;

	list_watch_canary(s->front->lists, zone_of(s, r->index), answer);
	answer_came(s);
}

static void
ask(struct session *s, struct dns_request *r, size_t list, struct buf *name,
    void (*on_reply)(struct dns_request *r, const struct dns_answer *answer))
{
	struct dns_question q = {
	    .type = DNS_A, .timeout_ms = (uint32_t)s->front->config->dns.timeout_ms};

	q.name = name->failed ? (struct span){0} : buf_span(name); /* empty: lookup fails it */
	*r = (struct dns_request){.on_answer = on_reply, .arg = s, .index = list};
	s->n_waiting++;
	dns_ask(s->front->dns, r, &q);
	buf_free(name);
}

static void
ask_lists(struct session *s)
{
	size_t n = snapshot_list_count(s->snapshot);

	for (size_t i = 0; i < n; i++) {
		struct buf name = BUF_INIT(LOOKUP_NAME_MAX), canary = BUF_INIT(LOOKUP_NAME_MAX);

		if (list_watch_is_off(s->front->lists, zone_of(s, i)))
			continue;
		findings_list_name(s->snapshot, i, &s->client, &name);
		ask(s, &s->questions[i], i, &name, on_answer);
		if (!list_watch_is_unproved(s->front->lists, zone_of(s, i)))
			continue;
		list_watch_canary_name(zone_of(s, i), &canary);
		ask(s, &s->canaries[i], i, &canary, on_canary);
	}
}

static void
on_host(struct host_lookup *h, struct span host, bool is_known)
{
	struct session *s = h->arg;

	(void)is_known; /* without a verified name the fact is unknown either way */
	s->has_host = host.n > 0;
	(void)span_copy(host, s->host, sizeof(s->host)); /* as long */
	answer_came(s);
}

static void
ask_host(struct session *s)
{
	s->host_lookup.on_done = on_host;
	s->host_lookup.arg = s;
	s->n_waiting++;
	host_lookup_start(
	    &s->host_lookup, s->front->dns, &s->client, (uint32_t)s->front->config->dns.timeout_ms);
}

void
accept_cancel(struct session *s)
{
	timer_cancel(&s->banner_wait);
	host_lookup_cancel(&s->host_lookup);
	for (size_t i = 0; i < POLICY_LISTS_MAX; i++) {
		dns_cancel(&s->questions[i]);
		dns_cancel(&s->canaries[i]);
	}
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
		session_refuse_client(s, 554, "5.7.1", "This service is not for your address");
		session_finish(s);
		return;
	}
	if (s->listen->flow->connect & CONNECT_DNSBL)
		ask_lists(s);
	if ((s->listen->flow->connect & CONNECT_PTR) && s->front->needs_host && !s->has_host)
		ask_host(s);
	if (s->n_waiting == 0)
		decide(s);
	else
		loop_timer(s->front->loop, &s->banner_wait, s->front->config->dns.banner_wait_ms,
		    on_banner_wait, s);
}

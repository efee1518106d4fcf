/*
 * 1_accept.c - a client has connected: is it allowed here, what do the access rules say, and what
 * do the DNS lists know?  All lists are asked at once; the banner waits for them, but never
 * longer than dns.banner_wait.  What has not answered by then is unknown, and unknown hurts nobody.
 */
#include "relay/base/log.h"
#include "relay/smtp/proxy.h"
#include "relay/walk/domain_round.h"
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
	session_expect_line(s);
	session_go_on(s);
}

static void
refuse_in_banner(struct session *s, const struct verdict *v)
{
	struct verdict spoken = *v;

	spoken.code = findings_banner_code(v);
	record_refusal(s, &spoken, (struct span){0});
	session_speak(s, &spoken);
	session_finish(s);
}

static void
decide(struct session *s)
{
	struct facts facts = session_facts(s);
	struct verdict v = {0};

	facts.greet = conduct_greeting(s);
	facts.rate = conduct_connection(s);
	accept_cancel(s);
	/* A list that was found out meanwhile is not believed, whatever it has answered. */
	for (size_t i = 0; s->answers != NULL && i < facts.n_answers; i++)
		if (snapshot_list(s->snapshot, i)->of == LIST_OF_CLIENT &&
		    list_watch_is_off(s->front->lists, snapshot_list(s->snapshot, i)->zone))
			s->answers[i] = (struct list_answer){.state = LIST_UNKNOWN};
	if (s->answers != NULL)
		list_watch_count(s->front->lists, s->snapshot, LIST_OF_CLIENT, s->answers);
	session_decide(s, STAGE_CONNECT, &facts, &v);
	session_keep_verdict(s, &s->connected, &v);
	session_keep_verdict(s, &s->verdict, &v);
	/* 421: there are too many of its sessions already to let one more wait for its RCPT. */
	if (v.code == 421 ||
	    (action_refuses_at_once(v.action) && s->listen->flow->refuse_at == REFUSE_AT_BANNER))
		refuse_in_banner(s, &v);
	else
		speak_banner(s);
}

static struct span
zone_of(const struct session *s, size_t list)
{
	return snapshot_list(s->snapshot, list)->zone;
}

static void
on_banner_wait(void *arg)
{
	struct session *s = arg;

	for (size_t i = 0; i < snapshot_list_count(s->snapshot); i++)
		if (s->checks->questions[i].client != NULL) /* it still waits */
			list_watch_late(s->front->lists, zone_of(s, i));
	decide(s);
}

static void
answer_came(struct session *s)
{
	if (--s->checks->n_waiting == 0)
		decide(s);
}

static void
on_answer(struct dns_request *r, const struct dns_answer *answer)
{
	struct session *s = r->arg;

	list_watch_answer(s->front->lists, zone_of(s, r->index), answer);
	s->answers[r->index] = findings_type_list(s->snapshot, r->index, answer);
	if (s->answers[r->index].state == LIST_ERROR)
		list_watch_error(s->front->lists, zone_of(s, r->index));
	answer_came(s);
}

static void
ask_list(struct session *s, size_t list)
{
	struct dns_request *r = &s->checks->questions[list];
	struct buf name = BUF_INIT(LOOKUP_NAME_MAX);
	struct dns_question q =
	    findings_list_question(s->snapshot, list, &s->client, &s->front->config->dns, &name);

	*r = (struct dns_request){.on_answer = on_answer, .arg = s, .index = list};
	s->checks->n_waiting++;
	dns_ask(s->front->dns, r, &q);
	buf_free(&name);
}

static void
ask_lists(struct session *s)
{
	size_t n = snapshot_list_count(s->snapshot);

	if (n > 0)
		s->answers = mem_array(n, sizeof(*s->answers));
	for (size_t i = 0; i < n; i++)
		if (snapshot_list(s->snapshot, i)->of == LIST_OF_CLIENT &&
		    !list_watch_is_off(s->front->lists, zone_of(s, i)))
			ask_list(s, i);
}

static void
on_host_lists(void *arg)
{
	struct session *s = arg;

	domain_round_take(s->checks->host_round, s->answers);
	answer_came(s);
}

static void
ask_host_lists(struct session *s)
{
	struct span host = span_str(s->host);

	if (!s->has_host)
		return;
	s->checks->host_round = inquire_lists(s, LIST_OF_HOST, &host, 1, on_host_lists, s);
	if (s->checks->host_round != NULL)
		s->checks->n_waiting++;
}

static void
on_host(struct host_lookup *h, struct span host, bool is_known)
{
	struct session *s = h->arg;

	(void)is_known; /* without a verified name the fact is unknown either way */
	s->has_host = host.n > 0;
	(void)span_copy(host, s->host, sizeof(s->host)); /* as long */
	ask_host_lists(s);
	answer_came(s);
}

static void
ask_host(struct session *s)
{
	s->checks->host_lookup.on_done = on_host;
	s->checks->host_lookup.arg = s;
	s->checks->n_waiting++;
	host_lookup_start(&s->checks->host_lookup, s->front->dns, &s->client,
	    (uint32_t)s->front->config->dns.timeout_ms);
}

static void
on_greet_wait(void *arg)
{
	answer_came(arg);
}

void
accept_cancel(struct session *s)
{
	struct checks *c = s->checks;

	if (c == NULL)
		return;
	timer_cancel(&c->banner_wait);
	timer_cancel(&c->greet_wait);
	host_lookup_cancel(&c->host_lookup);
	domain_round_free(&c->host_round);
	for (size_t i = 0; i < POLICY_LISTS_MAX; i++)
		dns_cancel(&c->questions[i]);
	mem_free(c);
	s->checks = NULL;
}

/* The balancer has said who is connected to it: from now on that is the peer. */
static void
behind_proxy(struct session *s, const struct proxy_header *h)
{
	struct span id = session_current_id(s);
	char proxy[IP_TEXT_MAX], client[IP_TEXT_MAX];

	if (h->has_client) {
		log_event(LOG_DEBUG, "proxied", KV("id", id),
		    KV("client", ip_format(&h->client, client)),
		    KV("proxy", ip_format(&s->peer, proxy)));
		if (session_is_counted(&h->client, s->listen) &&
		    clients_is_full(
			s->front->clients, &h->client, s->listen->limits.sessions_per_client)) {
			s->client = h->client;
			session_refuse_client(
			    s, 421, "4.7.0", "Too many connections from your address");
			session_finish(s);
			return;
		}
		session_set_peer(s, &h->client);
	}
	connection_read_slowly(&s->connection, false);
	secure_welcome(s);
}

void
accept_proxy(struct session *s)
{
	struct buf *in = &s->connection.in;
	struct proxy_header h;
	char ip[IP_TEXT_MAX];
	size_t used;
	int r = proxy_parse(buf_span(in), &h, &used);

	if (r == 0)
		return;
	if (r < 0) {
		log_event(LOG_WARN, "bad PROXY header", KV("id", session_current_id(s)),
		    KV("proxy", ip_format(&s->peer, ip)));
		session_finish(s);
		return;
	}
	buf_consume(in, used);
	behind_proxy(s, &h);
}

void
accept_begin(struct session *s)
{
	s->state = SESSION_CHECKING;
	connection_expect(&s->connection, 0);
	mem_free(s->answers); /* XCLIENT begins anew: LIST_UNKNOWN */
	s->answers = NULL;
	if (!authenticate_is_member(s) && s->listen->auth == 0) {
		session_refuse_client(s, 554, "5.7.1", FINDINGS_NOT_A_CLIENT);
		session_finish(s);
		return;
	}
	s->checks = mem_alloc(sizeof(*s->checks));
	if (s->listen->flow->connect & CONNECT_DNSBL)
		ask_lists(s);
	if ((s->listen->flow->connect & CONNECT_PTR) && s->front->needs_host && !s->is_host_told)
		ask_host(s);
	else if (s->is_host_told)
		ask_host_lists(s);
	if (conduct_needs_patience(s)) {
		s->checks->n_waiting++;
		loop_timer(s->front->loop, &s->checks->greet_wait, s->listen->flow->greet_wait_ms,
		    on_greet_wait, s);
	}
	if (s->checks->n_waiting == 0)
		decide(s);
	else
		loop_timer(s->front->loop, &s->checks->banner_wait,
		    s->front->config->dns.banner_wait_ms, on_banner_wait, s);
}

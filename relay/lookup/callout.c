#include "relay/lookup/callout.h"
#include "relay/base/clock.h"
#include "relay/base/rng.h"
#include "relay/deliver/client.h"
#include "relay/lookup/host.h"

#include <stdio.h>

enum { SERVERS_MAX = 64, WHY_MAX = LOOKUP_WHY_MAX };

/* What is remembered of a server. */
struct known_server {
	const struct conf_server *conf;
	struct trust_server *trust;
	int64_t rest_until_ms, probe_at_ms;
	bool takes_all, has_failed; /* has_failed: since it last answered */
	struct host_memory memory;
};

struct callout_gateway;

/* One connection, or none yet, and the question it is for. */
struct call {
	struct callout_gateway *gateway;
	struct source_query *query; /* NULL: the call is free, or its client says QUIT */
	struct client *client;
	struct host_search search;
	uint64_t tried; /* servers that have failed this question, a bit each */
	size_t server;
	struct source_server reached; /* by the client */
	bool is_leaving;              /* the client says QUIT */
	bool has_probe;               /* the random address goes with it */
	char probe[LOOKUP_ADDRESS_MAX + 1];
	struct client_rcpt rcpts[2];
	enum recipient_state states[2];
	char why[WHY_MAX + 1];
};

struct callout_gateway {
	struct callout *callout;
	const struct conf_gateway *conf;
	struct conf_timeouts timeouts;
	struct known_server *servers; /* by preference */
	size_t n_servers;
	struct list waiting; /* struct source_query */
	size_t n_waiting;
	struct call calls[CALLOUT_CONNECTIONS];
};

struct callout {
	struct loop *loop;
	struct resolver *resolver;
	const struct config *config;
	struct source_report report;
	struct trust *trust;
	struct callout_gateway *gateways; /* in the order of config->gateways */
};

/* --- what a reply means ------------------------------------------------------------------------- */

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* "5.1.1" as its class, subject and detail; false: it is none. */
static bool
read_enhanced(struct span word, uint64_t numbers[3])
{
	for (size_t i = 0; i < 3; i++)
		if (!span_to_u64(span_cut(&word, '.'), &numbers[i]) || numbers[i] > 999)
			return false;
	return word.n == 0;
}

enum recipient_state
callout_judge(int code, struct span reply)
{
	struct span rest = reply;
	uint64_t numbers[3];

	if (code / 100 == 2)
		return RECIPIENT_EXISTS;
	if (code / 100 != 5)
		return RECIPIENT_UNKNOWN;
	if (rest.n > 3 && is_digit(rest.p[0]))
		(void)span_word(&rest); /* the code itself */
	if (!read_enhanced(span_word(&rest), numbers) || numbers[0] != 5 || numbers[1] == 0)
		return code == 550 || code == 551 || code == 553 ? RECIPIENT_NONE
								 : RECIPIENT_UNKNOWN;
	if (numbers[1] == 1 || (numbers[1] == 2 && numbers[2] == 1))
		return RECIPIENT_NONE;
	return RECIPIENT_UNKNOWN;
}

/* --- questions ---------------------------------------------------------------------------------- */

static void next_query(struct call *c);
static void next_server(struct call *c);

static void
settle(struct source_query *q, enum recipient_state state, const char *why)
{
	list_remove(&q->node);
	timer_cancel(&q->deadline);
	q->source = NULL;
	q->on_answer(q, state, why);
}

static void
say(struct call *c, struct span said)
{
	size_t n = said.n < WHY_MAX ? said.n : WHY_MAX;

	for (size_t i = 0; i < n; i++)
		c->why[i] = (unsigned char)said.p[i] < ' ' || (unsigned char)said.p[i] >= 0x7f
				? ' '
				: said.p[i];
	c->why[n] = '\0';
}

static void
call_end(struct call *c, enum recipient_state state)
{
	struct source_query *q = c->query;

	c->query = NULL;
	c->tried = 0;
	settle(q, state, c->why);
}

/* A server that did not answer, for whatever reason. */
static void
server_failed(struct call *c, struct span said)
{
	struct known_server *s = &c->gateway->servers[c->server];

	s->rest_until_ms = clock_mono_ms() + CALLOUT_REST_MS;
	s->has_failed = true;
	c->tried |= (uint64_t)1 << c->server;
	say(c, said);
	next_server(c);
}

/* --- one dialogue ------------------------------------------------------------------------------- */

static int64_t
shorter(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static void
note_takes_all(struct call *c, bool takes_all)
{
	struct known_server *s = &c->gateway->servers[c->server];
	struct callout *o = c->gateway->callout;
	char name[300], what[600];

	s->probe_at_ms = clock_mono_ms() + o->config->callout.keep.probe_ms;
	if (s->takes_all == takes_all)
		return;
	s->takes_all = takes_all;
	(void)snprintf(name, sizeof(name), "callout %s", s->conf->text); /* cut is fine */
	(void)snprintf(what, sizeof(what),
	    "gateway %s: server %s takes mail for addresses that nobody has; callouts tell nothing",
	    c->gateway->conf->name, s->conf->text); /* cut is fine */
	source_tell(&o->report, name, what,
	    takes_all
		? "make it refuse unknown recipients at RCPT, or write recipients = \"any\" or "
		  "\"file:PATH\" for its domains"
		: NULL);
}

static void
send_query(struct call *c)
{
	struct known_server *s = &c->gateway->servers[c->server];
	struct span address = span_str(c->query->address);
	struct span domain = span_skip(address, span_rfind(address, '@'));
	struct client_mail mail = {.rcpts = c->rcpts, .n_rcpts = 1, .is_probe = true};

	c->rcpts[0] = (struct client_rcpt){.address = address};
	c->states[0] = c->states[1] = RECIPIENT_EXISTS; /* until it is refused */
	for (size_t i = 0; i < address.n; i++)
		mail.is_utf8 = mail.is_utf8 || (unsigned char)address.p[i] >= 0x80;
	c->has_probe = clock_mono_ms() >= s->probe_at_ms;
	if (c->has_probe) {
		/* An answer that says nothing of it is no reason to ask with each mail. */
		s->probe_at_ms =
		    clock_mono_ms() +
		    shorter(c->gateway->callout->config->callout.keep.probe_ms, CALLOUT_PROBE_MS);
		(void)snprintf(c->probe, sizeof(c->probe), "no-such-%016llx%.*s",
		    (unsigned long long)rng_u64(),
		    SPAN_ARG(domain)); /* shorter than LOOKUP_ADDRESS_MAX */
		c->rcpts[1] = (struct client_rcpt){.address = span_str(c->probe)};
		mail.n_rcpts = 2;
	}
	c->why[0] = '\0';
	client_send(c->client, &mail);
}

static void
on_ready(void *arg)
{
	struct call *c = arg;

	c->gateway->servers[c->server].has_failed = false;
	if (c->query == NULL)
		next_query(c);
	if (c->client == NULL || !client_is_idle(c->client))
		return;
	if (c->query != NULL) {
		send_query(c);
		return;
	}
	c->is_leaving = true;
	client_quit(c->client);
}

static void
on_rcpt(void *arg, size_t i, int code, struct span reply)
{
	struct call *c = arg;

	c->states[i] = callout_judge(code, reply);
	if (i == 0)
		say(c, reply);
}

static void
on_end(void *arg, const struct client_end *end)
{
	struct call *c = arg;
	bool is_answer = end->outcome == CLIENT_ACCEPTED || end->outcome == CLIENT_NO_RCPT;

	if (end->is_over || end->outcome == CLIENT_STALE)
		client_free(&c->client);
	if (!is_answer && end->outcome != CLIENT_REFUSED) {
		if (end->outcome == CLIENT_STALE)
			next_server(c); /* the same, afresh */
		else
			server_failed(c, end->reply);
		return;
	}
	if (is_answer && c->has_probe && c->states[1] != RECIPIENT_UNKNOWN)
		note_takes_all(c, c->states[1] == RECIPIENT_EXISTS);
	if (!is_answer) {
		c->states[0] = RECIPIENT_UNKNOWN; /* it will not hear us at all */
		say(c, end->reply);
	} else if (c->states[0] == RECIPIENT_EXISTS) {
		c->query->takes_all = c->gateway->servers[c->server].takes_all;
		say(c, c->query->takes_all ? SPAN("the server takes every address")
					   : SPAN("the server takes it"));
	}
	c->query->server = c->reached;
	call_end(c, c->states[0]);
	/* on_ready follows when the connection goes on */
	if (c->client == NULL && c->query == NULL)
		next_query(c);
}

static void
on_gone(void *arg, const struct client_end *end)
{
	struct call *c = arg;

	client_free(&c->client);
	if (c->query != NULL)
		server_failed(c, end->reply);
	else
		next_query(c);
}

/* --- to which server ---------------------------------------------------------------------------- */

static void
connect_to(struct call *c, const struct ip *ip)
{
	static const struct client_events events = {on_ready, on_rcpt, on_end, on_gone, NULL};
	struct callout_gateway *g = c->gateway;
	struct known_server *s = &g->servers[c->server];
	struct client_options options = {.ip = *ip,
	    .port = s->conf->port,
	    .hostname = g->callout->config->hostname,
	    .trust = s->trust,
	    .timeouts = &g->timeouts};

	for (size_t i = 0; i < g->conf->n_sources; i++)
		if (ip_is_v4(&g->conf->sources[i]) == ip_is_v4(ip))
			options.source = &g->conf->sources[i];
	c->is_leaving = false;
	c->reached = (struct source_server){*ip, s->conf->port};
	c->client = client_new(g->callout->loop, &options, &events, c);
}

static void
on_addresses(void *arg, const struct ip *addresses, size_t n)
{
	struct call *c = arg;

	if (n == 0)
		server_failed(c, SPAN("the DNS has no address of the server now"));
	else
		connect_to(c, &addresses[0]);
}

/* The best server not tried yet: those that have failed lately come last.  SIZE_MAX: none. */
static size_t
choose_server(const struct call *c)
{
	const struct callout_gateway *g = c->gateway;
	size_t resting = SIZE_MAX;
	int64_t now_ms = clock_mono_ms();

	for (size_t i = 0; i < g->n_servers; i++) {
		if (c->tried >> i & 1)
			continue;
		if (g->servers[i].rest_until_ms <= now_ms)
			return i;
		if (resting == SIZE_MAX)
			resting = i;
	}
	return resting;
}

static void
next_server(struct call *c)
{
	struct callout_gateway *g = c->gateway;
	size_t i = choose_server(c);

	if (i == SIZE_MAX) {
		call_end(c, RECIPIENT_UNKNOWN);
		next_query(c);
		return;
	}
	c->server = i;
	if (!g->servers[i].conf->is_name) {
		connect_to(c, &g->servers[i].conf->ip);
		return;
	}
	c->search.on_done = on_addresses;
	c->search.arg = c;
	host_search_start(&c->search, g->callout->loop, g->callout->resolver,
	    span_str(g->servers[i].conf->host), (uint32_t)g->timeouts.connect_ms,
	    g->servers[i].has_failed, &g->servers[i].memory);
}

/* Takes the next question, over the connection that is there or a new one. */
static void
next_query(struct call *c)
{
	struct callout_gateway *g = c->gateway;

	if (c->query != NULL || list_is_empty(&g->waiting))
		return;
	c->query = LIST_ENTRY(g->waiting.next, struct source_query, node);
	list_remove(&c->query->node);
	g->n_waiting--;
	c->tried = 0;
	if (c->client == NULL)
		next_server(c);
}

static void
on_deadline(void *arg)
{
	struct source_query *q = arg;
	struct callout_gateway *g = q->source;

	for (size_t i = 0; i < CALLOUT_CONNECTIONS; i++) {
		struct call *c = &g->calls[i];

		if (c->query != q)
			continue;
		g->servers[c->server].rest_until_ms = clock_mono_ms() + CALLOUT_REST_MS;
		g->servers[c->server].has_failed = true;
		host_search_cancel(&c->search);
		client_free(&c->client);
		say(c, SPAN("the gateway did not answer in time"));
		call_end(c, RECIPIENT_UNKNOWN);
		next_query(c);
		return;
	}
	g->n_waiting--;
	settle(q, RECIPIENT_UNKNOWN, "no callout was free in time");
}

/* From the loop: connecting may end at once. */
static void
on_start(void *arg)
{
	struct source_query *q = arg;
	struct callout_gateway *g = q->source;

	loop_timer(
	    g->callout->loop, &q->deadline, g->callout->config->callout.timeout_ms, on_deadline, q);
	for (size_t i = 0; i < CALLOUT_CONNECTIONS; i++) {
		struct call *c = &g->calls[i];

		if (c->query != NULL || (c->client != NULL && !c->is_leaving))
			continue;
		client_free(&c->client);
		next_query(c);
		return;
	}
}

void
callout_ask(struct callout *o, struct source_query *q)
{
	struct callout_gateway *g = &o->gateways[q->domain->gateway - o->config->gateways];

	must(q->source == NULL);
	q->source = g;
	list_append(&g->waiting, &q->node);
	g->n_waiting++;
	loop_timer(o->loop, &q->deadline, 0,
	    g->n_waiting > CALLOUT_WAITING_MAX ? on_deadline : on_start, q);
}

/* --- its life ----------------------------------------------------------------------------------- */

/* In the order of preference; as written where it is the same. */
static void
sort_servers(struct callout_gateway *g)
{
	for (size_t i = 1; i < g->n_servers; i++)
		for (size_t k = i;
		     k > 0 && g->servers[k].conf->preference < g->servers[k - 1].conf->preference;
		     k--) {
			struct known_server kept = g->servers[k];

			g->servers[k] = g->servers[k - 1];
			g->servers[k - 1] = kept;
		}
}

static void
fill_gateway(struct callout *o, struct callout_gateway *g, const struct conf_gateway *conf)
{
	/* So that a second server can be asked before the question's own time is over. */
	int64_t step_ms = o->config->callout.timeout_ms / (conf->n_servers > 1 ? 2 : 1);

	g->callout = o;
	g->conf = conf;
	list_init(&g->waiting);
	g->timeouts =
	    (struct conf_timeouts){.connect_ms = shorter(step_ms, conf->timeouts.connect_ms),
		.greeting_ms = shorter(step_ms, conf->timeouts.greeting_ms),
		.command_ms = shorter(step_ms, conf->timeouts.command_ms),
		.data_ms = step_ms,
		.final_ms = step_ms};
	g->n_servers = conf->n_servers < SERVERS_MAX ? conf->n_servers : SERVERS_MAX;
	g->servers = mem_array(g->n_servers, sizeof(*g->servers));
	for (size_t i = 0; i < g->n_servers; i++)
		g->servers[i] = (struct known_server){
		    .conf = &conf->servers[i], .trust = trust_server(o->trust, &conf->servers[i])};
	sort_servers(g);
	for (size_t i = 0; i < CALLOUT_CONNECTIONS; i++)
		g->calls[i].gateway = g;
}

struct callout *
callout_new(struct loop *loop, struct resolver *resolver, const struct config *config,
    const struct source_report *report, struct err *err)
{
	struct callout *o = mem_alloc(sizeof(*o));

	o->loop = loop;
	o->resolver = resolver;
	o->config = config;
	o->report = *report;
	o->trust = trust_new(config, err);
	if (o->trust == NULL) {
		mem_free(o);
		return NULL;
	}
	o->gateways = mem_array(config->n_gateways, sizeof(*o->gateways));
	for (size_t i = 0; i < config->n_gateways; i++)
		fill_gateway(o, &o->gateways[i], &config->gateways[i]);
	return o;
}

static void
drop(struct source_query *q)
{
	list_remove(&q->node);
	timer_cancel(&q->deadline);
	q->source = NULL;
}

void
callout_free(struct callout **callout)
{
	struct callout *o = *callout;

	if (o == NULL)
		return;
	for (size_t i = 0; i < o->config->n_gateways; i++) {
		struct callout_gateway *g = &o->gateways[i];

		for (size_t k = 0; k < CALLOUT_CONNECTIONS; k++) {
			host_search_cancel(&g->calls[k].search);
			client_free(&g->calls[k].client);
			if (g->calls[k].query != NULL)
				drop(g->calls[k].query);
		}
		while (!list_is_empty(&g->waiting))
			drop(LIST_ENTRY(g->waiting.next, struct source_query, node));
		mem_free(g->servers);
	}
	mem_free(o->gateways);
	trust_free(&o->trust);
	mem_free(o);
	*callout = NULL;
}

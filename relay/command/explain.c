/*
 * postern explain: one mail walked through the live decision code, with every step shown.  Facts
 * are gathered here (DNS, filters) instead of by front; the deciding functions are the same.
 */
#include "policy/recipient/route.h"
#include "policy/store/store.h"
#include "relay/base/clock.h"
#include "relay/command/explain.h"
#include "relay/command/explain_conduct.h"
#include "relay/command/explain_marks.h"
#include "relay/command/filter_once.h"
#include "relay/ipc/policy_bundle.h"
#include "relay/front/host_lookup.h"
#include "relay/front/list_watch.h"
#include "relay/lookup/service.h"
#include "relay/process/policy_source.h"
#include "relay/smtp/command.h"

#include <stdio.h>

enum { MESSAGE_MAX = 100 * 1024 * 1024 };

static void
add_step(struct explanation *e, const char *stage, const char *fact, struct span value,
    uint32_t rule, const char *result)
{
	struct json *j = &e->steps_json;

	if (!e->options.is_json) {
		(void)buf_addf(&e->steps, "  %-8s %-10s %-36.*s %s", stage, fact, SPAN_ARG(value),
		    result); /* bounded by OUTPUT_MAX */
		if (rule != 0)
			(void)buf_addf(&e->steps, "  (rule %u: %.*s)", rule,
			    SPAN_ARG(snapshot_rule_text(e->snapshot, rule)));
		(void)buf_add_char(&e->steps, '\n');
		return;
	}
	json_open(j, NULL, '{');
	json_str(j, "stage", stage);
	json_str(j, "fact", fact);
	json_text(j, "value", value);
	if (rule != 0)
		json_int(j, "rule", rule);
	else
		json_none(j, "rule");
	json_str(j, "result", result);
	json_close(j, '}');
}

static void
trace(void *arg, const struct step *s)
{
	const struct explanation *e = arg;
	const char *result = s->result;

	/* What only the running relay knows. */
	if (strcmp(result, "unknown") == 0 &&
	    (strcmp(s->fact, "rate") == 0 || strcmp(s->fact, "greylist") == 0))
		result = e->conduct.why;
	add_step(arg, stage_name(s->stage), s->fact, s->value, s->rule, result);
}

/* --- facts --- */

static void
answer_came(struct explanation *e)
{
	if (--e->n_waiting == 0)
		loop_stop(e->loop);
}

static void
on_list_answer(struct dns_request *r, const struct dns_answer *a)
{
	struct explanation *e = r->arg;

	e->answers[r->index] = findings_type_list(e->snapshot, r->index, a);
	/* A list that was caught listing everybody is not believed: nothing is lacking. */
	if (a->status != DNS_FOUND && a->status != DNS_NONE && a->proof != DNS_PROOF_BAD)
		e->lacks_fact = true;
	answer_came(e);
}

static void
on_host(struct host_lookup *h, struct span host, bool is_known)
{
	struct explanation *e = h->arg;

	(void)span_copy(host, e->host, sizeof(e->host)); /* as long */
	if (!is_known)
		e->lacks_fact = true;
	answer_came(e);
}

static void
on_recipient(struct recipient_request *r, const struct recipient_answer *a)
{
	((struct outcome *)r->arg)->known = *a;
	answer_came(((struct outcome *)r->arg)->explanation);
}

static void
ask_recipients(struct explanation *e, struct dns_client *dns)
{
	static struct recipient_request requests[EXPLAIN_TO_MAX];

	for (size_t i = 0; i < e->options.n_to; i++) {
		struct span to = span_str(e->options.to[i]);
		struct recipient_question q;
		struct route route;

		e->outcomes[i].explanation = e;
		(void)route_find(e->config, e->flow, e->recipients, to, &route); /* or asks NULL */
		if (route.asks == NULL)
			continue;
		q = (struct recipient_question){
		    .domain = (uint32_t)(route.asks - e->config->domains),
		    .address = route.address};
		requests[i] =
		    (struct recipient_request){.on_answer = on_recipient, .arg = &e->outcomes[i]};
		e->n_waiting++;
		recipient_ask(dns, &requests[i], &q, recipient_patience_ms(e->config, route.asks));
	}
}

static void
ask_lists(struct explanation *e, struct dns_client *dns)
{
	static struct dns_request requests[POLICY_LISTS_MAX];

	for (size_t i = 0; i < snapshot_list_count(e->snapshot); i++) {
		struct buf name = BUF_INIT(LOOKUP_NAME_MAX);
		struct dns_question q = findings_list_question(
		    e->snapshot, i, &e->options.client, &e->config->dns, &name);

		if (snapshot_list(e->snapshot, i)->of == LIST_OF_CLIENT) {
			requests[i] =
			    (struct dns_request){.on_answer = on_list_answer, .arg = e, .index = i};
			e->n_waiting++;
			dns_ask(dns, &requests[i], &q);
		}
		buf_free(&name);
	}
}

/* A lookup role of our own, without its process. */
static int
gather_answers(struct explanation *e)
{
	static const struct source_report nobody; /* the answers say it */
	static struct host_lookup host;
	struct err err = {0};
	struct service *service;
	int ends[2];

	e->loop = loop_new();
	service = service_new(e->loop, e->config, &nobody, &err);
	if (service == NULL)
		return command_fail(EXIT_TEMPFAIL, "%s", err.text);
	channel_pair(ends);
	service_peer(service, ends[0]);
	e->dns = dns_client_new(e->loop);
	dns_client_connect(e->dns, ends[1]);
	ask_recipients(e, e->dns);
	if (e->flow->connect & CONNECT_DNSBL)
		ask_lists(e, e->dns);
	if ((e->flow->connect & CONNECT_PTR) && snapshot_needs(e->snapshot, FACET_HOST)) {
		host.on_done = on_host;
		host.arg = e;
		e->n_waiting++;
		host_lookup_start(
		    &host, e->dns, &e->options.client, (uint32_t)e->config->dns.timeout_ms);
	}
	if (e->n_waiting > 0)
		loop_run(e->loop);
	explain_ask_names(e);
	return EXIT_OK;
}

static struct facts
facts_of(struct explanation *e)
{
	return (struct facts){
	    .now_wall_ms = clock_wall_ms(),
	    .client = e->options.client,
	    .has_host = e->host[0] != '\0',
	    .host = span_str(e->host),
	    .has_helo = e->options.helo != NULL,
	    .helo = span_str(e->options.helo),
	    .from = span_str(e->options.from),
	    .sender = e->sender,
	    .answers = e->answers,
	    .n_answers = snapshot_list_count(e->snapshot),
	    .country = mmdb_country(&e->countries, &e->options.client),
	    .asn = mmdb_asn(&e->networks, &e->options.client),
	    .flow = e->flow,
	    .hostname = e->config->hostname,
	};
}

/* A candidate's rules are called as they would be if it were imported. */
static void
add_ids(struct explanation *e, struct span text)
{
	struct store *store = store_open(e->config->state_dir, false, NULL);
	struct buf ids = BUF_INIT(0);

	/* Without a store they count from 1. */
	if (store != NULL && store_foresee_ids(store, text, &ids, NULL) == 0)
		bundle_add(&e->bundle, BUNDLE_RULE_IDS, SPAN(""), buf_span(&ids));
	store_close(&store);
	buf_free(&ids);
}

static int
load_policy(struct explanation *e)
{
	struct buf text = BUF_INIT(POLICY_TEXT_MAX), errors = BUF_INIT(0);
	struct span candidate;
	struct err err = {0};
	uint64_t version = 0;
	int r;

	if (e->options.policy == NULL) {
		r = policy_source_read(e->config, &e->bundle, &version, &errors);
	} else if (file_read(e->options.policy, POLICY_TEXT_MAX, &text, &err) < 0) {
		buf_free(&text);
		return command_fail(EXIT_NO, "%s", err.text);
	} else {
		candidate = span_skip_bom(buf_span(&text));
		r = policy_source_bundle(
		    e->config, candidate, e->options.policy, 0, &e->bundle, &errors);
		if (r == 0)
			add_ids(e, candidate);
	}
	fprintf(stderr, "%.*s", (int)errors.n, errors.n ? errors.p : "");
	buf_free(&text);
	buf_free(&errors);
	if (r < 0)
		return EXIT_CONFIG;
	e->snapshot = policy_source_compile(buf_span(&e->bundle), 1);
	policy_source_databases(e->config, buf_span(&e->bundle), &e->countries, &e->networks);
	return e->snapshot != NULL ? EXIT_OK : EXIT_CONFIG;
}

static void
load_recipients(struct explanation *e)
{
	struct span text;
	struct err err;

	e->recipients = mem_array(e->config->n_domains, sizeof(*e->recipients));
	for (size_t i = 0; i < e->config->n_domains; i++)
		if (bundle_find(buf_span(&e->bundle), BUNDLE_RECIPIENTS,
			span_str(e->config->domains[i].recipients_file), &text))
			e->recipients[i] =
			    recipients_parse(text, e->config->domains[i].recipients_file, &err);
}

/* The flow of the first listener that takes this client. */
static const struct conf_flow *
choose_flow(const struct config *config, const struct ip *client)
{
	for (size_t i = 0; i < config->n_listens; i++) {
		const struct conf_flow *flow = config->listens[i].flow;

		if (flow->clients.n == 0 || nets_have(&flow->clients, client))
			return flow;
	}
	return NULL;
}

/* Lines end with CRLF on the wire; a file's bare LF is taken for one. */
static int
load_content(struct explanation *e)
{
	struct buf raw = BUF_INIT(MESSAGE_MAX), wire = BUF_INIT(2 * MESSAGE_MAX);
	struct err err = {0};
	int r = file_read(e->options.message, MESSAGE_MAX, &raw, &err);

	content_start(&e->content, e->config->hostname);
	for (size_t i = 0; r == 0 && i < raw.n; i++) {
		if (raw.p[i] == '\n' && (i == 0 || raw.p[i - 1] != '\r'))
			(void)buf_add_char(&wire, '\r'); /* twice the size is enough */
		(void)buf_add_char(&wire, raw.p[i]);
	}
	for (struct span left = buf_span(&wire); r == 0 && left.n > 0;) {
		struct span piece = span_take(left, CHANNEL_INLINE_MAX);

		r = content_add(&e->content, piece);
		left = span_skip(left, piece.n);
	}
	if (r == 0)
		r = content_end(&e->content);
	buf_free(&raw);
	buf_free(&wire);
	if (r < 0)
		return command_fail(
		    EXIT_NO, "%s", err.text[0] ? err.text : "the header is too long");
	return EXIT_OK;
}

static bool
needs_hosts(const struct explanation *e)
{
	return (e->flow->connect & CONNECT_DNSBL) && snapshot_has_list(e->snapshot, LIST_OF_URL);
}

static int
run_filters(struct explanation *e)
{
	static struct filter_job job;
	struct span addresses[EXPLAIN_TO_MAX];
	struct err err = {0};
	int status = load_content(e);

	if (status != EXIT_OK)
		return status;
	if (e->flow->n_filters == 0 && snapshot_predicate_count(e->snapshot) == 0 &&
	    !needs_hosts(e))
		return EXIT_OK;
	for (size_t i = 0; i < e->options.n_to; i++)
		addresses[i] = span_str(e->options.to[i]);
	job.config = e->config;
	job.config_text = buf_span(&e->config_text);
	job.plugins = command_plugins();
	job.config_file = e->line->config_file;
	job.bundle = buf_span(&e->bundle);
	job.generation = 1;
	job.scan = (struct scan){.flow = e->flow,
	    .body_fd = e->content.fd,
	    .request = {.id = id_span(&e->id),
		.flow = (uint32_t)(e->flow - e->config->flows),
		.policy = 1,
		.client = e->options.client,
		.host = span_str(e->host),
		.helo = span_str(e->options.helo),
		.from = span_str(e->options.from),
		.rcpts = addresses,
		.n_rcpts = e->options.n_to,
		.wants_hosts = needs_hosts(e),
		.is_inline = e->content.fd < 0,
		.body = e->content.fd < 0 ? content_inline(&e->content) : (struct span){0}}};
	if (filter_once(&job, &err) < 0)
		return command_fail(EXIT_TEMPFAIL, "the filters cannot be run: %s", err.text);
	findings_add_failures(&job.result, &job.scan, job.failed);
	findings_gather(&e->findings, e->flow, &job.result);
	e->result = &job.result;
	e->n_hosts = job.result.n_hosts;
	memcpy(e->hosts, job.result.hosts, sizeof(e->hosts));
	return EXIT_OK;
}

/* --- the walk --- */

static void
refuse(struct explanation *e, struct outcome *o, enum route_result found)
{
	o->verdict = e->verdict;
	o->is_turned_away = true;
	o->verdict.action = found == ROUTE_UNKNOWN ? ACTION_TEMPFAIL : ACTION_REJECT;
	o->verdict.stage = STAGE_RCPT;
	o->verdict.rule = 0;
	o->verdict.by = found == ROUTE_DENIED ? SPAN("relay") : SPAN("recipient");
	o->verdict.why[0] = '\0';
	o->verdict.code = route_code(found);
	(void)span_copy(span_str(route_enhanced(found)), o->verdict.enhanced,
	    sizeof(o->verdict.enhanced)); /* ours: they fit */
	(void)span_copy(span_str(route_text(found)), o->verdict.text, sizeof(o->verdict.text));
	add_step(e, "rcpt", "recipient", span_str(o->to), 0, route_text(found));
}

/* What the source says of a recipient; as in 3_envelope.c, only if the rules do not refuse it. */
static enum route_result
ask_result(struct explanation *e, struct outcome *o, const struct route *route)
{
	struct facts facts = facts_of(e);
	struct verdict v = e->verdict;

	facts.to = route->address;
	conduct_set(&e->conduct, (size_t)(o - e->outcomes), &facts);
	decide_stage(e->snapshot, STAGE_RCPT, &facts, &v, NULL, NULL);
	if (v.action >= ACTION_TEMPFAIL)
		return ROUTE_FOUND;
	e->lacks_fact |= o->known.state == RECIPIENT_UNKNOWN && !e->options.is_offline;
	add_step(
	    e, "rcpt", "source", span_str(o->to), 0, o->known.why[0] ? o->known.why : "not asked");
	return route_answered(route->asks, o->known.state);
}

static void
walk_recipient(struct explanation *e, struct outcome *o)
{
	struct facts facts = facts_of(e);
	struct route route;
	enum route_result found =
	    route_find(e->config, e->flow, e->recipients, span_str(o->to), &route);

	if (found == ROUTE_FOUND && route.asks != NULL)
		found = ask_result(e, o, &route);
	if (found != ROUTE_FOUND) {
		refuse(e, o, found);
		return;
	}
	add_step(e, "rcpt", "recipient", span_str(o->to), 0, "known");
	o->gateway = route.gateway;
	o->verdict = e->verdict;
	facts.to = route.address;
	conduct_set(&e->conduct, (size_t)(o - e->outcomes), &facts);
	facts.domain = config_domain_of(e->config, route.address);
	if (route.is_postmaster)
		findings_spare_postmaster(&o->verdict);
	else
		decide_stage(e->snapshot, STAGE_RCPT, &facts, &o->verdict, trace, e);
	o->is_turned_away = action_refuses_at_once(o->verdict.action);
	if (o->is_turned_away)
		return;
	/* Without a message its content is unknown, but not what was found before it. */
	if (e->options.message != NULL)
		findings_set(&e->findings, &facts);
	decide_stage(e->snapshot, STAGE_DATA, &facts, &o->verdict, trace, e);
}

/* Whether the session ends with what was decided at this stage, as in 1_accept.c and 2_greet.c. */
static bool
is_end(const struct explanation *e, enum stage stage)
{
	const struct verdict *v = &e->verdict;

	return (stage == STAGE_CONNECT && v->code == 421) ||
	       (action_refuses_at_once(v->action) && e->flow->refuse_at == REFUSE_AT_BANNER);
}

static void
walk_client(struct explanation *e)
{
	struct facts facts = facts_of(e);

	facts.rate = e->conduct.connect;
	decide_stage(e->snapshot, STAGE_CONNECT, &facts, &e->verdict, trace, e);
	e->is_ended = is_end(e, STAGE_CONNECT);
	if (e->is_ended) {
		e->verdict.code = findings_banner_code(&e->verdict);
		return;
	}
	decide_stage(e->snapshot, STAGE_HELO, &facts, &e->verdict, trace, e);
	e->is_ended = is_end(e, STAGE_HELO);
	if (e->is_ended)
		return;
	facts.rate = e->conduct.mail;
	decide_stage(e->snapshot, STAGE_MAIL, &facts, &e->verdict, trace, e);
}

/* No flow takes this client: what 1_accept.c says for its banner. */
static void
turn_away(struct explanation *e)
{
	char client[IP_TEXT_MAX];

	e->verdict.action = ACTION_REJECT;
	e->verdict.stage = STAGE_CONNECT;
	e->verdict.by = SPAN("flow");
	e->verdict.code = 554;
	(void)span_copy(SPAN("5.7.1"), e->verdict.enhanced, sizeof(e->verdict.enhanced)); /* fits */
	(void)span_copy(
	    SPAN(FINDINGS_NOT_A_CLIENT), e->verdict.text, sizeof(e->verdict.text)); /* fits */
	add_step(e, "connect", "flow", ip_format(&e->options.client, client), 0,
	    "no flow takes mail from this client");
	e->is_ended = true;
}

static void
walk_recipients(struct explanation *e)
{
	for (size_t i = 0; i < e->options.n_to; i++) {
		e->outcomes[i].to = e->options.to[i];
		e->outcomes[i].is_turned_away = e->is_ended;
		if (e->is_ended)
			e->outcomes[i].verdict = e->verdict;
		else
			walk_recipient(e, &e->outcomes[i]);
	}
}

static int
exit_status(const struct explanation *e)
{
	if (e->lacks_fact)
		return command_fail(EXIT_TEMPFAIL,
		    "no answer from the DNS or a source of recipients: that counts as unknown");
	if (e->options.n_to == 0)
		return explain_is_delivered(&e->verdict) ? EXIT_OK : EXIT_NO;
	for (size_t i = 0; i < e->options.n_to; i++)
		if (!explain_is_delivered(&e->outcomes[i].verdict))
			return EXIT_NO;
	return EXIT_OK;
}

/* What filters want of the header section, of every copy that goes on or of the tagged ones. */
static void
add_edits(struct explanation *e)
{
	for (size_t i = 0; e->result != NULL && i < e->result->n_edits; i++) {
		const struct header_edit *edit = &e->result->edits[i];
		struct buf text = BUF_INIT(SCAN_EDIT_MAX + 64), result = BUF_INIT(OUTPUT_MAX);

		(void)buf_addf(&result, "by %s%s", e->flow->filters[edit->filter].filter->name,
		    edit->only_tagged ? ", where tagged" : ""); /* far shorter */
		if (explain_edit(edit, buf_span(&e->content.section), &text))
			add_step(e, "data", "header", buf_span(&text), 0, result.p);
		buf_free(&text);
		buf_free(&result);
	}
}

static int
tell(struct explanation *e)
{
	walk_recipients(e);
	add_edits(e);
	if (e->options.is_json)
		explain_print_json(e);
	else
		explain_print_text(e);
	return exit_status(e);
}

static int
explain(struct explanation *e)
{
	int status = load_policy(e);

	if (status != EXIT_OK)
		return status;
	e->flow = choose_flow(e->config, &e->options.client);
	if (e->flow == NULL) {
		turn_away(e);
		return tell(e);
	}
	load_recipients(e);
	status = e->options.is_offline ? EXIT_OK : gather_answers(e);
	conduct_ask(e->config, e->flow, &e->options, &e->conduct);
	/* Without a recipient the walk ends at MAIL, where no message has come yet. */
	if (status == EXIT_OK && e->options.message != NULL && e->options.n_to > 0)
		status = run_filters(e);
	if (status != EXIT_OK)
		return status;
	explain_ask_urls(e);
	walk_client(e);
	return tell(e);
}

int
command_explain(const struct command_line *line)
{
	static struct explanation e; /* large, and once a process */
	int status = explain_options_parse(&e.options, line);

	if (status != EXIT_OK)
		return status;
	e.line = line;
	e.steps.max = OUTPUT_MAX;
	e.steps_json.to = &e.steps;
	e.content.fd = -1;
	e.id = id_new();
	e.config = command_config(line, &e.config_text);
	if (e.config == NULL)
		return EXIT_CONFIG;
	return explain(&e);
}

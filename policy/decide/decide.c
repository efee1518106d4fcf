/*
 * decide.c - one stage: first what only marks, then the first rule that decides.
 */
#include "policy/decide/walk.h"

#include <stdio.h>

_Static_assert((int)STAGE_CONNECT == (int)RULE_AT_CONNECT && (int)STAGE_HELO == (int)RULE_AT_HELO &&
		   (int)STAGE_MAIL == (int)RULE_AT_MAIL && (int)STAGE_RCPT == (int)RULE_AT_RCPT &&
		   (int)STAGE_DATA == (int)RULE_AT_DATA,
    "a rule's stage indexes the stages of the walk");

const char *
stage_name(enum stage stage)
{
	static const char *const names[] = {"connect", "helo", "mail", "rcpt", "data"};

	return names[stage];
}

static struct span
rule_why(const struct rule *r)
{
	return r->text.n > 0 ? r->text : r->condition;
}

/* Whether the flow's `connect` list leaves this rule out: of DNS lists those of every stage. */
static bool
is_left_out(const struct decide_walk *w, const struct rule *r)
{
	const struct conf_flow *flow = w->facts->flow;
	unsigned needs = r->list == RULE_NO_LIST ? CONNECT_ACCESS : CONNECT_DNSBL;

	return (w->stage == STAGE_CONNECT || needs == CONNECT_DNSBL) && flow != NULL &&
	       (flow->connect & needs) == 0;
}

static const char *
list_result(enum list_state state)
{
	switch (state) {
	case LIST_UNKNOWN:
		return "unknown";
	case LIST_NOT_LISTED:
		return "no match";
	case LIST_LISTED:
		return "match";
	case LIST_ERROR:
		return "list error";
	}
	return "unknown";
}

static const char *
truth_result(enum truth truth)
{
	switch (truth) {
	case TRUTH_FALSE:
		return "no match";
	case TRUTH_TRUE:
		return "match";
	case TRUTH_UNKNOWN:
		return "unknown";
	case TRUTH_LIMIT:
		return "unknown: its regex met a limit";
	case TRUTH_SPENT:
		return "not tried: too much work for regexes";
	}
	return "unknown";
}

/* Whether the rule matches; traces every other result, a match is the caller's to trace. */
static bool
is_match(const struct decide_walk *w, const struct rule *r, struct judged *j)
{
	if (r->list != RULE_NO_LIST) {
		struct list_answer answer = rule_answer(w, r);
		const struct dns_list *list = snapshot_list(w->snapshot, r->list);

		*j = (struct judged){.fact = list->is_white ? "dnswl" : "dnsbl",
		    .value = answer.name.n > 0 ? answer.name : list->zone};
		if (!rule_is_expired(w, r) && !is_left_out(w, r) && answer.state == LIST_LISTED)
			return true;
		walk_trace(w, j->fact, j->value, r->id,
		    rule_is_expired(w, r) ? "expired"
		    : is_left_out(w, r)   ? "skipped: not in the flow's connect"
					  : list_result(answer.state));
		return false;
	}
	if (rule_is_expired(w, r) || is_left_out(w, r)) {
		walk_trace(w, "rule", r->condition, r->id,
		    rule_is_expired(w, r) ? "expired" : "skipped: not in the flow's connect");
		return false;
	}
	*j = rule_judge(w, r);
	if (j->truth == TRUTH_TRUE)
		return true;
	if (j->truth == TRUTH_LIMIT)
		w->v->limited = r->id;
	if (j->truth == TRUTH_SPENT && !r->is_observed && w->v->unread == 0)
		w->v->unread = r->id;
	walk_trace(w, j->fact, j->value, r->id, truth_result(j->truth));
	return false;
}

static void
mark(struct decide_walk *w, const struct rule *r)
{
	struct verdict_tag tag = {.name = r->name,
	    .by = SPAN("policy"),
	    .why = rule_why(r),
	    .score_milli = r->score_milli};

	if (r->name.n > 0)
		walk_tag(w, &tag, r->id);
	else
		w->v->score_milli += r->score_milli;
}

static void
count(const struct decide_walk *w, const struct rule *r)
{
	if (w->facts->count != NULL)
		w->facts->count(w->facts->count_arg, r->id);
}

/* For the journal; once, however often it is looked at. */
static void
observe(struct decide_walk *w, const struct rule *r)
{
	struct verdict *v = w->v;

	for (size_t i = 0; i < v->n_observed; i++)
		if (v->observed[i] == r->id)
			return;
	if (v->n_observed < VERDICT_OBSERVED_MAX)
		v->observed[v->n_observed++] = r->id;
}

static void
mark_all(struct decide_walk *w, const struct rule_row *marks)
{
	const struct rule *r;
	struct candidates c;

	candidates_start(&c, w, marks);
	while ((r = candidates_next(&c, w)) != NULL) {
		struct judged j;

		if (!is_match(w, r, &j))
			continue;
		count(w, r);
		if (r->is_observed)
			observe(w, r);
		else
			mark(w, r);
		walk_trace(w, j.fact, j.value, r->id,
		    r->is_observed ? "observed" : rule_verb_name(r->verb));
	}
}

static enum action
action_of(enum rule_verb verb)
{
	switch (verb) {
	case RULE_REJECT:
		return ACTION_REJECT;
	case RULE_TEMPFAIL:
		return ACTION_TEMPFAIL;
	case RULE_QUARANTINE:
		return ACTION_QUARANTINE;
	case RULE_DISCARD:
		return ACTION_DISCARD;
	case RULE_HOLD:
		return ACTION_HOLD;
	case RULE_KEEP:
		return ACTION_KEEP;
	case RULE_ACCEPT:
	case RULE_TAG:
	case RULE_SCORE:
		break;
	}
	return ACTION_PASS;
}

/* A rule that matched and neither tags nor scores. */
static void
decide(struct decide_walk *w, const struct rule *r)
{
	bool is_list = r->list != RULE_NO_LIST;
	struct ruling ruling = {.rule = r->id, .by = is_list ? SPAN("dnsbl") : SPAN("policy")};
	struct span name = is_list ? rule_answer(w, r).name : (struct span){0};
	char text[VERDICT_REPLY_MAX], why[VERDICT_WHY_MAX];

	(void)snprintf(why, sizeof(why), "rule %u%s%.*s: %.*s", r->id, name.n > 0 ? ", " : "",
	    SPAN_ARG(span_take(name, sizeof(why) / 2)),
	    SPAN_ARG(span_take(r->line, sizeof(why)))); /* cut is fine */
	ruling.why = span_str(why);
	if (name.n > 0)
		(void)snprintf(text, sizeof(text), "%.*s is listed by %.*s", SPAN_ARG(name),
		    SPAN_ARG(w->snapshot->lists[r->list].zone)); /* cut is fine */
	else
		(void)snprintf(text, sizeof(text), "%s by policy of %s",
		    r->verb == RULE_TEMPFAIL ? "Deferred" : "Refused",
		    w->facts->hostname != NULL ? w->facts->hostname : "this host");
	ruling.text = span_str(text);
	if (r->text.n > 0)
		ruling.text = r->text;
	else if (is_list && name.n == 0)
		ruling.text = r->condition;
	ruling.action = action_of(r->verb);
	if (r->verb == RULE_ACCEPT)
		w->v->is_accepted = true;
	walk_rule(w, &ruling);
}

/* dnswl lines count wherever they stand: they cancel every dnsbl result. */
static void
spare_lists(struct decide_walk *w)
{
	for (size_t i = 0; i < w->snapshot->n_lists; i++) {
		const struct rule *r = snapshot_rule(w->snapshot, w->snapshot->lists[i].rule);
		struct judged j;

		if (!w->snapshot->lists[i].is_white || r->is_observed || !is_match(w, r, &j))
			continue;
		w->v->spares_lists = true;
		count(w, r);
		walk_trace(w, j.fact, j.value, r->id, "accept");
	}
}

/* One dnsbl line or plain rule; true: the search of this stage ends. */
static bool
look_at(struct decide_walk *w, const struct rule *r)
{
	struct judged j;

	if (!is_match(w, r, &j))
		return false;
	if (r->list != RULE_NO_LIST && w->v->spares_lists) {
		walk_trace(w, j.fact, j.value, r->id, "skipped: dnswl");
		return false;
	}
	/* An accept spares what comes behind it; it does not lift what an earlier stage has decided. */
	walk_trace(w, j.fact, j.value, r->id,
	    r->verb == RULE_ACCEPT && w->v->action > ACTION_TAG ? "accept: from here on"
								: rule_verb_name(r->verb));
	count(w, r);
	if (r->verb == RULE_TAG || r->verb == RULE_SCORE) {
		mark(w, r);
		return false;
	}
	decide(w, r);
	return true;
}

static void
search(struct decide_walk *w, const struct rule_row *deciders)
{
	const struct rule *r;
	struct candidates c;

	if (w->v->is_accepted && w->tracer == NULL)
		return; /* nothing but steps to come */
	candidates_start(&c, w, deciders);
	while ((r = candidates_next(&c, w)) != NULL) {
		bool is_white = r->list != RULE_NO_LIST && w->snapshot->lists[r->list].is_white;

		if (is_white)
			continue;
		if (w->v->is_accepted)
			walk_trace(w, "rule", r->condition, r->id, "skipped: accepted");
		else if (look_at(w, r))
			return;
	}
}

/* Nobody knows whether this rule would refuse it: it waits until somebody does. */
static void
walk_unread(struct decide_walk *w)
{
	char why[VERDICT_WHY_MAX];
	struct ruling ruling = {.action = ACTION_TEMPFAIL,
	    .rule = w->v->unread,
	    .by = SPAN("policy"),
	    .code = 451,
	    .text = SPAN("Message could not be checked, try again later")};

	if (w->v->unread == 0 || w->v->action >= ACTION_HOLD)
		return;
	(void)snprintf(why, sizeof(why),
	    "rule %u was not tried: the regexes before it have done all the work they may",
	    w->v->unread); /* fits */
	ruling.why = span_str(why);
	walk_rule(w, &ruling);
	walk_trace(w, "rule", SPAN("regexes"), w->v->unread, "tempfail");
}

void
decide_stage(const struct snapshot *snapshot, enum stage stage, const struct facts *facts,
    struct verdict *v, decide_tracer *tracer, void *tracer_arg)
{
	struct decide_walk w = {.snapshot = snapshot,
	    .stage = stage,
	    .facts = facts,
	    .v = v,
	    .tracer = tracer,
	    .tracer_arg = tracer_arg};
	const struct rule_order *order = &snapshot->stages[stage];

	if (tracer != NULL || snapshot->reads_client_text)
		w.client = ip_format(&facts->client, w.client_text);
	if (facts->asn != 0)
		w.asn = span_of(w.asn_text,
		    (size_t)snprintf(w.asn_text, sizeof(w.asn_text), "%u", facts->asn)); /* fits */
	mark_all(&w, &order->marks);
	if (stage == STAGE_CONNECT)
		spare_lists(&w);
	search(&w, &order->deciders);
	walk_greet(&w);
	walk_helo(&w);
	walk_sender(&w);
	walk_rate(&w);
	walk_greylist(&w);
	if (stage != STAGE_DATA)
		return;
	walk_outcomes(&w);
	walk_score(&w);
	walk_unread(&w);
}

/*
 * conduct.c - how a client behaves, as facts of the decision: whether it waits for the banner, how
 * much it sends, whether it has been here before.  Who decides what follows is policy/decide.
 */
#include "relay/ipc/conduct.h"
#include "relay/walk/walk.h"

/* --- how much it sends ----------------------------------------------------------------------------- */

enum rate_fact
conduct_connection(struct session *s)
{
	struct limits *l = s->front->limits;
	const struct conf_flow *flow = s->listen->flow;
	enum rate_fact errors = limits_look(l, flow, RATE_ERRORS, &s->client);

	/* Who may speak for others is nobody's client until it has. */
	if (s->may_xclient && !s->is_named)
		return RATE_WITHIN;
	if (errors == RATE_ERRORS)
		return errors;
	s->is_limited = limits_enter(l, flow, &s->client);
	return s->is_limited ? RATE_WITHIN : RATE_CONNECTIONS;
}

void
conduct_leave(struct session *s)
{
	if (s->is_limited)
		limits_leave(s->front->limits, s->listen->flow, &s->client);
	s->is_limited = false;
}

enum rate_fact
conduct_mail(struct session *s)
{
	return limits_take(s->front->limits, s->listen->flow, RATE_MESSAGES, &s->client);
}

void
conduct_error(struct session *s)
{
	(void)limits_take(s->front->limits, s->listen->flow, RATE_ERRORS,
	    &s->client); /* asked for when it connects again */
}

/* --- whether it waits for the banner --------------------------------------------------------------- */

/* Behind XCLIENT and inside TLS the first bytes are not the client's own, or not in the clear. */
static bool
is_watched(const struct session *s)
{
	return (s->listen->flow->connect & CONNECT_GREET) && !s->is_named &&
	       s->connection.tls == NULL;
}

/* Whether a rule accepts it by what is known at once: it need not wait. */
static bool
is_welcome(const struct session *s)
{
	struct facts facts = session_facts(s);
	struct verdict v = {0};

	facts.n_answers = 0;
	decide_stage(s->snapshot, STAGE_CONNECT, &facts, &v, NULL, NULL);
	return v.is_accepted;
}

bool
conduct_needs_patience(struct session *s)
{
	return is_watched(s) && s->listen->flow->greet_wait_ms > 0 &&
	       !limits_is_patient(s->front->limits, &s->client) && !is_welcome(s);
}

enum greet_fact
conduct_greeting(struct session *s)
{
	if (!is_watched(s))
		return GREET_UNKNOWN;
	if (connection_has_spoken(&s->connection))
		return GREET_EARLY;
	limits_note_patient(s->front->limits, &s->client);
	return GREET_PATIENT;
}

/* --- whether it has been here before --------------------------------------------------------------- */

/* Nobody is learnt of who is spared, or refused already. */
static bool
is_greylisted(const struct session *s, const struct verdict *v)
{
	return (s->listen->flow->connect & CONNECT_GREYLIST) && s->front->grey != NULL &&
	       s->user == NULL && !v->is_accepted && !v->spares_lists &&
	       v->action < ACTION_TEMPFAIL;
}

void
conduct_rcpt(struct session *s, struct facts *facts)
{
	const struct conf_flow *flow = s->listen->flow;
	struct greylist_mail mail = {s->client, s->transaction->from, facts->to};

	facts->rate = limits_take(s->front->limits, flow, RATE_RECIPIENTS, &s->client);
	if (is_greylisted(s, &s->transaction->verdict))
		facts->greylist = grey_client_see(
		    s->front->grey, &flow->greylist, &mail, &facts->greylist_left_ms);
}

void
conduct_sent(struct session *s)
{
	const struct transaction *t = s->transaction;

	/* What has no sender is no letter: a report on spam does not make its sender known. */
	if (s->front->grey == NULL || s->listen->flow->relay != RELAY_ANY || t->from.n == 0)
		return;
	for (size_t i = 0; i < t->n_groups; i++)
		for (size_t k = 0;
		     action_delivers(t->groups[i].verdict.action) && k < t->groups[i].n_rcpts; k++)
			grey_client_know(s->front->grey, t->rcpts[t->groups[i].rcpts[k]].address);
}

/* --- what somebody asks of it ---------------------------------------------------------------------- */

static const struct conf_flow *
find_flow(const struct config *config, struct span name)
{
	for (size_t i = 0; i < config->n_flows; i++)
		if (span_eq(span_str(config->flows[i].name), name))
			return &config->flows[i];
	return NULL;
}

int
conduct_tell(struct front *f, const struct control_request *r, struct buf *to, struct err *err)
{
	const struct conf_flow *flow;
	struct greylist_mail mail;

	if (r->n_words < CONDUCT_FIXED_WORDS || !ip_parse(r->words[2], &mail.client))
		return err_set(err, E_SYNTAX, "conduct FLOW CLIENT FROM TO ... is asked");
	flow = find_flow(f->config, r->words[1]);
	if (flow == NULL)
		return err_set(err, E_SYNTAX,
		    "the relay that runs has no flow %.*s; reload its configuration",
		    SPAN_ARG(span_take(r->words[1], 80)));
	mail.from = r->words[3];
	/* A few numbers for each word: the caller's buf is larger. */
	(void)buf_addf(to, "%d %d %d", limits_look_connection(f->limits, flow, &mail.client),
	    limits_look(f->limits, flow, RATE_MESSAGES, &mail.client),
	    limits_look(f->limits, flow, RATE_RECIPIENTS, &mail.client));
	for (size_t i = CONDUCT_FIXED_WORDS; i < r->n_words; i++) {
		enum greylist_fact fact = GREYLIST_UNKNOWN;
		int64_t left_ms = 0;

		mail.to = r->words[i];
		if ((flow->connect & CONNECT_GREYLIST) && f->grey != NULL)
			fact = grey_client_look(f->grey, &flow->greylist, &mail, &left_ms);
		(void)buf_addf(to, " %d %lld", fact, (long long)left_ms);
	}
	(void)buf_add_char(to, '\n');
	return 0;
}

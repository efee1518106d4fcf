/* conduct.c - how the client behaves: does it wait for the banner, who does it say it is, how much
 * does it send, has it been here before? */
#include "policy/decide/helo.h"
#include "policy/decide/walk.h"

#include <stdio.h>

enum { MS_PER_S = 1000 };

static bool
is_asked(const struct decide_walk *w, unsigned connect_bit)
{
	return w->facts->flow != NULL && (w->facts->flow->connect & connect_bit) != 0;
}

/* --- greet ----------------------------------------------------------------------------------------- */

void
walk_greet(struct decide_walk *w)
{
	struct ruling ruling = {.action = ACTION_REJECT,
	    .by = SPAN("greet"),
	    .enhanced = "5.5.1",
	    .text = SPAN("You talked before our greeting; wait for it, as RFC 5321 says"),
	    .why = SPAN("talked before the banner")};

	if (w->stage != STAGE_CONNECT || !is_asked(w, CONNECT_GREET))
		return;
	if (w->facts->greet != GREET_EARLY) {
		walk_trace(w, "greet", w->facts->greet == GREET_PATIENT ? SPAN("waited") : SPAN(""),
		    0, w->facts->greet == GREET_PATIENT ? "no match" : "unknown");
	} else if (w->v->is_accepted) {
		walk_trace(w, "greet", ruling.why, 0, "skipped: accepted");
	} else {
		walk_trace(w, "greet", ruling.why, 0, "reject");
		walk_rule(w, &ruling);
	}
}

void
walk_helo(struct decide_walk *w)
{
	const struct facts *f = w->facts;
	enum helo_fault fault;
	struct verdict_tag tag;

	if (w->stage != STAGE_HELO || !is_asked(w, CONNECT_GREET) || !f->has_helo)
		return;
	fault = helo_fault_of(f->helo, &f->client, f->hostname);
	tag = (struct verdict_tag){.name = helo_fault_tag(fault),
	    .by = SPAN("greet"),
	    .why = span_str(helo_fault_text(fault))};
	if (fault != HELO_FINE)
		walk_tag(w, &tag, 0);
	walk_trace(w, "greet", fault == HELO_FINE ? f->helo : tag.why, 0,
	    fault == HELO_FINE ? "no match" : "tag");
}

/* --- rate ------------------------------------------------------------------------------------------ */

struct excess {
	const char *fact, *limit; /* as written */
	char count[16];           /* of a limit that is a number */
	const char *text;
};

static struct excess
excess_of(enum rate_fact fact, const struct conf_rate *limits)
{
	struct excess e = {0};

	switch (fact) {
	case RATE_CONNECTIONS:
		(void)snprintf(e.count, sizeof(e.count), "%u", limits->connections); /* fits */
		e.fact = "connections";
		e.text = "Too many connections from your address, try again later";
		break;
	case RATE_ERRORS:
		e.fact = "errors";
		e.limit = limits->errors.text;
		e.text = "Too many errors from your address, try again later";
		break;
	case RATE_MESSAGES:
		e.fact = "messages";
		e.limit = limits->messages.text;
		e.text = "Too many messages from your address, try again later";
		break;
	case RATE_RECIPIENTS:
		e.fact = "recipients";
		e.limit = limits->recipients.text;
		e.text = "Too many recipients from your address, try again later";
		break;
	case RATE_UNKNOWN:
	case RATE_WITHIN:
		break;
	}
	return e;
}

static void
refuse_excess(struct decide_walk *w, const struct excess *e, struct span what)
{
	char why[VERDICT_WHY_MAX];
	struct ruling ruling = {.action = ACTION_TEMPFAIL,
	    .by = SPAN("rate"),
	    .code = w->stage == STAGE_CONNECT ? 421 : 450,
	    .enhanced = w->stage == STAGE_CONNECT ? "4.7.0" : "4.7.1",
	    .text = span_str(e->text)};

	(void)snprintf(why, sizeof(why), "rate: more than %.*s", SPAN_ARG(what)); /* cut is fine */
	ruling.why = span_str(why);
	walk_trace(w, "rate", what, 0, "tempfail");
	walk_rule(w, &ruling);
}

/* Whether anything is counted at this stage. */
static bool
is_limited(const struct decide_walk *w)
{
	const struct conf_rate *limits = &w->facts->flow->rate;

	switch (w->stage) {
	case STAGE_CONNECT:
		return limits->connections > 0 || limits->errors.n > 0;
	case STAGE_MAIL:
		return limits->messages.n > 0;
	case STAGE_RCPT:
		return limits->recipients.n > 0;
	case STAGE_HELO:
	case STAGE_DATA:
		break;
	}
	return false;
}

void
walk_rate(struct decide_walk *w)
{
	enum rate_fact fact = w->facts->rate;
	char text[64];
	struct excess e;

	if (!is_asked(w, CONNECT_RATE) || !is_limited(w))
		return;
	if (fact == RATE_UNKNOWN || fact == RATE_WITHIN) {
		walk_trace(w, "rate", fact == RATE_WITHIN ? SPAN("within its limits") : SPAN(""), 0,
		    fact == RATE_WITHIN ? "no match" : "unknown");
		return;
	}
	e = excess_of(fact, &w->facts->flow->rate);
	(void)snprintf(text, sizeof(text), "%s %s", e.fact,
	    e.limit != NULL ? e.limit : e.count); /* cut is fine */
	if (w->v->is_accepted)
		walk_trace(w, "rate", span_str(text), 0, "skipped: accepted");
	else
		refuse_excess(w, &e, span_str(text));
}

/* --- greylist -------------------------------------------------------------------------------------- */

static void
refuse_stranger(struct decide_walk *w)
{
	/* Rounded up, so that who takes it at its word is not sent away again. */
	long long left_s = (w->facts->greylist_left_ms + MS_PER_S - 1) / MS_PER_S;
	char text[VERDICT_REPLY_MAX], why[VERDICT_WHY_MAX];
	struct ruling ruling = {
	    .action = ACTION_TEMPFAIL, .by = SPAN("greylist"), .enhanced = "4.7.1"};

	(void)snprintf(text, sizeof(text),
	    "Greylisted: not seen here before, try again in %lld seconds", left_s); /* fits */
	(void)snprintf(why, sizeof(why), "greylist: a stranger, %lld s left", left_s);
	ruling.text = span_str(text);
	ruling.why = span_str(why);
	walk_trace(w, "greylist", SPAN("stranger"), 0, "tempfail");
	walk_rule(w, &ruling);
}

void
walk_greylist(struct decide_walk *w)
{
	static const char *const values[] = {[GREYLIST_UNKNOWN] = "",
	    [GREYLIST_WAIT] = "stranger",
	    [GREYLIST_PASSED] = "has passed",
	    [GREYLIST_CLIENT] = "known network",
	    [GREYLIST_CORRESPONDENT] = "correspondent"};
	enum greylist_fact fact = w->facts->greylist;

	if (w->stage != STAGE_RCPT || !is_asked(w, CONNECT_GREYLIST))
		return;
	if (w->v->is_accepted || w->v->spares_lists)
		walk_trace(w, "greylist", span_str(values[fact]), 0,
		    w->v->is_accepted ? "skipped: accepted" : "skipped: dnswl");
	else if (w->facts->user.n > 0)
		walk_trace(w, "greylist", w->facts->user, 0, "skipped: signed in");
	else if (fact == GREYLIST_WAIT)
		refuse_stranger(w);
	else
		walk_trace(w, "greylist", span_str(values[fact]), 0,
		    fact == GREYLIST_UNKNOWN ? "unknown" : "no match");
}

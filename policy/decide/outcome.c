/* outcome.c - what filters found, and what the sum of scores comes to. */
#include "policy/decide/walk.h"
#include "relay/base/err.h"

#include <inttypes.h>
#include <stdio.h>

enum { TEXT_MAX = 512, SCORE_TEXT_MAX = 32 };

/* Never spared by `accept`: malware does not become welcome with its sender. */
static bool
is_never_spared(const struct conf_filter *filter)
{
	static const char *const plugins[] = {"clamav", "antivirus", "attachment"};

	for (size_t i = 0; i < sizeof(plugins) / sizeof(plugins[0]); i++)
		if (strcmp(filter->plugin->name, plugins[i]) == 0)
			return true;
	return false;
}

/* Its parts were to be taken out, or the message to be rewritten, and that cannot be done. */
static bool
is_kept_whole(const struct decide_walk *w, const struct filter_outcome *o)
{
	return o->uncut.n > 0 &&
	       action_edits(config_action(o->filter, w->facts->domain, o->outcome));
}

static enum action
action_of(const struct decide_walk *w, const struct filter_outcome *o)
{
	enum action action = config_action(o->filter, w->facts->domain, o->outcome);

	if (!is_kept_whole(w, o))
		return action;
	/* A part that nobody should have can wait here; what nobody can read goes back to who wrote it. */
	return action == ACTION_STRIP ? ACTION_QUARANTINE : ACTION_REJECT;
}

static void
say_outcome(struct decide_walk *w, const struct filter_outcome *o, enum action action)
{
	const struct conf_filter *filter = o->filter->filter;
	const char *name = o->outcome < 0 ? "failure" : filter->plugin->outcomes[o->outcome].name;
	struct span why = o->why.n > 0 ? o->why : span_str(name);
	char text[TEXT_MAX], reason[TEXT_MAX];
	struct ruling ruling = {.action = action,
	    .by = span_str(filter->name),
	    .code = action == ACTION_TEMPFAIL ? 451 : 0};

	if (action == ACTION_TEMPFAIL && o->outcome < 0)
		(void)snprintf(text, sizeof(text), "Message could not be checked, try again later");
	else
		(void)snprintf(text, sizeof(text), "Message %s by %s: %.*s",
		    action == ACTION_TEMPFAIL ? "deferred" : "refused", filter->name,
		    SPAN_ARG(span_take(why, VERDICT_WHY_MAX)));
	(void)snprintf(reason, sizeof(reason), "filter %s: %s%s%.*s%s%s%.*s", filter->name, name,
	    !is_kept_whole(w, o) ? ""
	    : config_action(o->filter, w->facts->domain, o->outcome) == ACTION_STRIP
		? ", not stripped ("
		: ", not normalised (",
	    SPAN_ARG(span_take(is_kept_whole(w, o) ? o->uncut : SPAN(""), VERDICT_WHY_MAX)),
	    is_kept_whole(w, o) ? ")" : "", o->why.n > 0 ? ": " : "",
	    SPAN_ARG(span_take(o->why, VERDICT_WHY_MAX)));
	ruling.text = span_str(text);
	ruling.why = span_str(reason);
	walk_rule(w, &ruling);
}

struct span
outcome_tag(const struct decide_walk *w, const struct filter_outcome *o)
{
	if (!action_marks(action_of(w, o)))
		return (struct span){0};
	if (o->outcome < 0)
		return SPAN("unscanned");
	return span_str(o->filter->filter->plugin->outcomes[o->outcome].name);
}

static void
mark(struct decide_walk *w, const struct filter_outcome *o)
{
	struct verdict_tag tag = {
	    .name = outcome_tag(w, o), .by = span_str(o->filter->filter->name), .why = o->why};

	walk_tag(w, &tag, 0);
}

/* `action`: ACTION_STRIP or ACTION_NORMALISE. */
static void
edit(struct decide_walk *w, const struct filter_outcome *o, enum action action)
{
	size_t i = (size_t)(o - w->facts->outcomes);

	must(i < VERDICT_OUTCOMES_MAX);
	w->v->strips[i / 64] |= (uint64_t)1 << (i % 64);
	mark(w, o);
	say_outcome(w, o, action);
}

bool
verdict_normalises(const struct verdict *v, size_t outcome)
{
	return v->action == ACTION_NORMALISE && outcome < VERDICT_OUTCOMES_MAX &&
	       (v->strips[outcome / 64] >> (outcome % 64) & 1) != 0;
}

bool
verdict_strips(const struct verdict *v, size_t outcome)
{
	return v->action == ACTION_STRIP && outcome < VERDICT_OUTCOMES_MAX &&
	       (v->strips[outcome / 64] >> (outcome % 64) & 1) != 0;
}

static void
weigh_outcome(struct decide_walk *w, const struct filter_outcome *o)
{
	const struct conf_filter *filter = o->filter->filter;
	bool is_failure = o->outcome < 0;
	enum action action = action_of(w, o);
	const char *result = action_name(action);

	if (action == ACTION_TAG) {
		mark(w, o);
	} else if (action > ACTION_TAG && w->v->is_accepted && !is_failure &&
		   !is_never_spared(filter)) {
		result = "skipped: accepted";
	} else if (action_edits(action)) {
		edit(w, o, action);
	} else if (action > ACTION_TAG) {
		say_outcome(w, o, action);
		if (is_kept_whole(w, o))
			result = action == ACTION_QUARANTINE ? "quarantine: cannot be stripped"
							     : "reject: cannot be normalised";
	}
	walk_trace(w, "filter", span_str(filter->name), 0, result);
}

void
walk_outcomes(struct decide_walk *w)
{
	const struct facts *facts = w->facts;

	for (size_t i = 0; i < facts->n_filter_tags; i++) {
		const struct filter_tag *t = &facts->filter_tags[i];
		struct verdict_tag tag = {.name = t->name,
		    .by = span_str(t->filter->name),
		    .why = t->why,
		    .score_milli = t->score_milli};

		walk_tag(w, &tag, 0);
		walk_trace(w, "tag", t->name, 0, "tag");
	}
	for (size_t i = 0; i < facts->n_outcomes; i++)
		weigh_outcome(w, &facts->outcomes[i]);
}

static struct span
score_text(int64_t milli, char to[SCORE_TEXT_MAX])
{
	uint64_t size = milli < 0 ? (uint64_t)-milli : (uint64_t)milli;
	int n = snprintf(to, SCORE_TEXT_MAX, "%s%" PRIu64 ".%03u", milli < 0 ? "-" : "",
	    size / 1000, (unsigned)(size % 1000));

	while (to[n - 1] == '0')
		n--;
	return span_of(to, to[n - 1] == '.' ? (size_t)n - 1 : (size_t)n);
}

static void
say_score(struct decide_walk *w, enum action action, struct span score)
{
	char why[VERDICT_WHY_MAX];
	struct ruling ruling = {.action = action, .by = SPAN("score")};

	if (action == ACTION_TEMPFAIL)
		ruling.text = SPAN("Message looks like spam, try again later");
	else if (action == ACTION_REJECT || action == ACTION_KEEP)
		ruling.text = SPAN("Message refused as likely spam; contact the recipient by "
				   "another way if it is not");
	(void)snprintf(why, sizeof(why), "score %.*s reaches score { %s }", SPAN_ARG(score),
	    action_name(action));
	ruling.why = span_str(why);
	walk_rule(w, &ruling);
	walk_trace(w, "score", score, 0, action_name(action));
}

static bool
has_thresholds(const struct conf_score *at)
{
	for (enum action a = ACTION_TAG; a <= ACTION_KEEP; a++)
		if (at->has[a])
			return true;
	return false;
}

/* The strongest action whose threshold the sum meets. */
static enum action
reached(const struct conf_score *at, int64_t sum_milli)
{
	enum action a = ACTION_KEEP;

	while (a > ACTION_PASS && !(at->has[a] && sum_milli >= at->milli[a]))
		a--;
	return a;
}

void
walk_score(struct decide_walk *w)
{
	const struct conf_score *at = w->facts->flow != NULL ? &w->facts->flow->score : NULL;
	struct verdict *v = w->v;
	char room[SCORE_TEXT_MAX];
	struct span score = score_text(v->score_milli, room);
	enum action strongest;

	if (at == NULL || !has_thresholds(at))
		return;
	if (v->is_accepted) {
		walk_trace(w, "score", score, 0, "skipped: accepted");
		return;
	}
	v->is_spam = at->has[ACTION_TAG] && v->score_milli >= at->milli[ACTION_TAG];
	strongest = reached(at, v->score_milli);
	if (strongest == ACTION_PASS)
		walk_trace(w, "score", score, 0, "pass");
	else
		say_score(w, strongest, score);
}

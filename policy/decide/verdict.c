/* verdict.c - how rulings and tags become the verdict. */
#include "policy/decide/walk.h"

#include <stdio.h>

void
walk_trace(const struct decide_walk *w, const char *fact, struct span value, uint32_t rule,
    const char *result)
{
	struct step step = {
	    .stage = w->stage, .fact = fact, .value = value, .rule = rule, .result = result};

	if (w->tracer != NULL)
		w->tracer(w->tracer_arg, &step);
}

/* Printable ASCII, cut to fit: a reply line may carry nothing else, and `why` may come from a
 * filter that was fooled by the message. */
static void
copy_clean(struct span from, char *to, size_t size)
{
	size_t n = from.n < size - 1 ? from.n : size - 1;

	for (size_t i = 0; i < n; i++)
		to[i] = from.p[i] >= 32 && from.p[i] <= 126 ? from.p[i] : '?';
	to[n] = '\0';
}

static int
code_of(enum action action)
{
	switch (action) {
	case ACTION_PASS:
	case ACTION_TAG:
	case ACTION_NORMALISE:
	case ACTION_STRIP:
	case ACTION_QUARANTINE:
	case ACTION_DISCARD:
	case ACTION_HOLD:
		return 0;
	case ACTION_TEMPFAIL:
		return 450;
	case ACTION_REJECT:
	case ACTION_KEEP:
		return 550;
	}
	return 0;
}

void
walk_rule(struct decide_walk *w, const struct ruling *ruling)
{
	struct verdict *v = w->v;

	if (ruling->action < v->action || (ruling->action == v->action && v->by.n > 0))
		return;
	v->action = ruling->action;
	v->stage = w->stage;
	v->rule = ruling->rule;
	v->by = ruling->by;
	v->code = code_of(ruling->action);
	if (v->code != 0 && ruling->code != 0)
		v->code = ruling->code;
	v->enhanced[0] = '\0';
	v->text[0] = '\0';
	if (v->code != 0) {
		(void)snprintf(v->enhanced, sizeof(v->enhanced), "%s",
		    ruling->enhanced != NULL ? ruling->enhanced
		    : v->code >= 500         ? "5.7.1"
					     : "4.7.1");
		copy_clean(ruling->text, v->text, sizeof(v->text));
	}
	copy_clean(ruling->why, v->why, sizeof(v->why));
}

void
walk_tag(struct decide_walk *w, const struct verdict_tag *tag, uint32_t rule)
{
	struct verdict *v = w->v;
	struct ruling marked = {.action = ACTION_TAG, .rule = rule, .by = tag->by, .why = tag->why};
	size_t i = 0;

	v->score_milli += tag->score_milli;
	while (i < v->n_tags &&
	       !(span_eq(v->tags[i].name, tag->name) && span_eq(v->tags[i].by, tag->by)))
		i++;
	if (i < v->n_tags) {
		int64_t sum = (int64_t)v->tags[i].score_milli + tag->score_milli;

		v->tags[i].score_milli = (int32_t)(sum > INT32_MAX   ? INT32_MAX
						   : sum < INT32_MIN ? INT32_MIN
								     : sum);
	} else if (i < VERDICT_TAGS_MAX) {
		v->tags[v->n_tags++] = *tag;
	} else {
		walk_trace(w, "tag", tag->name, rule, "skipped: too many tags");
	}
	walk_rule(w, &marked);
}

/* decide_world.h - a flow, two filters and the facts of one session, for tests of the decision. */
#ifndef TEST_DECIDE_WORLD_H
#define TEST_DECIDE_WORLD_H
#include "policy/decide/decide.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

enum { NOW_2026_11_22 = 1795305600 }; /* seconds */

/* --- a world: flow, filters, facts ----------------------------------------------------------------- */

static const struct pnf_outcome av_outcomes[] = {
    {"infected", "reject", ""}, {"unscannable", "tag", ""}, {NULL, NULL, NULL}};
static const struct pnf_outcome spf_outcomes[] = {
    {"fail", "reject", ""}, {"softfail", "tag", ""}, {NULL, NULL, NULL}};
static const struct pnf_about av_about = {.name = "clamav", .outcomes = av_outcomes};
static const struct pnf_about spf_about = {.name = "content", .outcomes = spf_outcomes};
static const struct conf_filter av = {.name = "antivirus", .plugin = &av_about};
static const struct conf_filter spf = {.name = "content", .plugin = &spf_about};

struct world {
	enum action av_actions[2], spf_actions[2];
	struct conf_flow flow;
	struct facts facts;
	struct list_answer answers[8];
	uint8_t truths[8];
	struct filter_outcome outcomes[4];
	struct filter_tag tags[60];
	struct snapshot *snapshot;
	struct verdict v;
	struct buf trace;
};

static inline struct ip
ip_of(const char *text)
{
	struct ip ip;

	assert_true(ip_parse(span_str(text), &ip));
	return ip;
}

static inline int
setup(void **state)
{
	static struct world w;

	w = (struct world){.av_actions = {ACTION_REJECT, ACTION_TAG},
	    .spf_actions = {ACTION_REJECT, ACTION_TAG},
	    .trace = BUF_INIT(65536)};
	w.flow = (struct conf_flow){.name = "inbound", .connect = CONNECT_ACCESS | CONNECT_DNSBL};
	w.flow.filters[0] = (struct conf_flow_filter){
	    .filter = &av, .actions = {.outcomes = w.av_actions, .failure = ACTION_TEMPFAIL}};
	w.flow.filters[1] = (struct conf_flow_filter){
	    .filter = &spf, .actions = {.outcomes = w.spf_actions, .failure = ACTION_TAG}};
	w.flow.n_filters = 2;
	w.facts = (struct facts){.now_wall_ms = (int64_t)NOW_2026_11_22 * 1000,
	    .client = ip_of("192.0.2.1"),
	    .has_host = true,
	    .host = SPAN("mail.example.net"),
	    .has_helo = true,
	    .helo = SPAN("helo.example.net"),
	    .from = SPAN("a@example.net"),
	    .to = SPAN("b@example.org"),
	    .answers = w.answers,
	    .n_answers = COUNT(w.answers),
	    .truths = w.truths,
	    .n_truths = COUNT(w.truths),
	    .outcomes = w.outcomes,
	    .filter_tags = w.tags,
	    .flow = &w.flow,
	    .hostname = "mx1.example.org"};
	*state = &w;
	return 0;
}

static inline int
teardown(void **state)
{
	struct world *w = *state;

	snapshot_release(&w->snapshot);
	buf_free(&w->trace);
	return 0;
}

static inline void
trace(void *arg, const struct step *step)
{
	struct world *w = arg;

	assert_int_equal(buf_addf(&w->trace, "%s %s=%.*s #%u %s\n", stage_name(step->stage),
			     step->fact, SPAN_ARG(step->value), step->rule, step->result),
	    0);
}

static inline void
take_policy(struct world *w, const char *text)
{
	struct policy_errors errors;

	snapshot_release(&w->snapshot);
	w->snapshot = snapshot_parse(span_str(text), "p", NULL, NULL, &errors);
	if (w->snapshot == NULL)
		fail_msg("%.*s", SPAN_ARG(buf_span(&errors.lines)));
	buf_free(&errors.lines);
	w->v = (struct verdict){0};
	buf_clear(&w->trace);
}

static inline void
stage(struct world *w, enum stage at)
{
	decide_stage(w->snapshot, at, &w->facts, &w->v, trace, w);
}

/* All stages up to `last`. */
static inline void
walk(struct world *w, const char *policy, enum stage last)
{
	take_policy(w, policy);
	for (int at = STAGE_CONNECT; at <= (int)last; at++)
		stage(w, (enum stage)at);
}

static inline bool
has_step(struct world *w, const char *line)
{
	struct span rest = buf_span(&w->trace);

	while (rest.n > 0)
		if (span_eq(span_cut(&rest, '\n'), span_str(line)))
			return true;
	print_message("%.*s", SPAN_ARG(buf_span(&w->trace)));
	return false;
}

static inline void
expect(struct world *w, enum action action, uint32_t rule)
{
	if (w->v.action != action || w->v.rule != rule)
		fail_msg("action %d by rule %u, not %d by %u:\n%.*s", (int)w->v.action, w->v.rule,
		    (int)action, rule, SPAN_ARG(buf_span(&w->trace)));
}

#endif

/*
 * A policy text, then random facts: the text before the first NUL is parsed; what follows are the
 * facts.  Whatever is taken must come back byte for byte, parse again alike and decide alike.
 */
#include "policy/decide/decide.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int
read_list(void *arg, struct span name, struct buf *text, struct err *err)
{
	struct span list = *(const struct span *)arg;

	(void)name;
	(void)err;
	return list.n > 0 ? buf_add_span(text, list) : 0;
}

static struct snapshot *
parse(struct span text, struct span list)
{
	struct policy_errors errors;
	struct snapshot *s = snapshot_parse(text, "p", read_list, &list, &errors);

	must((s == NULL) == (errors.n > 0));
	must(errors.n == 0 || errors.lines.n > 0);
	buf_free(&errors.lines);
	return s;
}

static void
trace(void *arg, const struct step *step)
{
	size_t *n = arg;

	must(step->fact != NULL && step->result != NULL);
	must(step->value.n == 0 || step->value.p != NULL);
	*n += step->value.n;
}

static void
decide(const struct snapshot *s, const struct facts *facts, struct verdict *v)
{
	size_t n = 0;

	*v = (struct verdict){0};
	for (int at = STAGE_CONNECT; at <= STAGE_DATA; at++)
		decide_stage(s, (enum stage)at, facts, v, trace, &n);
	must(v->n_tags <= VERDICT_TAGS_MAX);
	must((v->action >= ACTION_TEMPFAIL) == (v->code != 0));
	for (const char *c = v->text; *c != '\0'; c++)
		must(*c >= 32 && *c <= 126);
}

static void
check(const struct snapshot *s, const struct snapshot *again, struct span rest)
{
	struct list_answer answers[POLICY_LISTS_MAX];
	struct facts facts = {.now_wall_ms = 1795305600000,
	    .has_host = true,
	    .has_helo = true,
	    .answers = answers,
	    .n_answers = snapshot_list_count(s),
	    .truths = (const uint8_t *)rest.p,
	    .n_truths = rest.n,
	    .hostname = "mx"};
	struct verdict first, second;

	memcpy(facts.client.bytes, rest.p, rest.n < 16 ? rest.n : 16);
	facts.host = span_cut(&rest, '\n');
	facts.helo = span_cut(&rest, '\n');
	facts.from = span_cut(&rest, '\n');
	facts.to = span_cut(&rest, '\n');
	for (size_t i = 0; i < facts.n_answers; i++) {
		uint32_t address = 0x7f000000u + (uint32_t)(facts.host.n + i) % 16;

		answers[i] = list_type_answer(s, i, &address, facts.from.n % 2);
		answers[i].name = facts.helo;
	}
	for (size_t i = 0; i < snapshot_predicate_count(s); i++)
		(void)matcher_match(snapshot_predicate(s, i)->matcher, rest); /* must return */
	decide(s, &facts, &first);
	decide(again, &facts, &second);
	must(first.action == second.action && first.rule == second.rule);
	must(first.n_tags == second.n_tags && first.score_milli == second.score_milli);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct span text, rest = span_of(data, size);
	struct snapshot *s, *again;

	text = span_cut(&rest, '\0');
	s = parse(text, rest);
	if (s == NULL)
		return 0;
	must(span_eq(snapshot_text(s), text));
	for (uint32_t id = 0; id <= snapshot_rule_count(s) + 1; id++)
		must(snapshot_rule_text(s, id).n <= text.n);
	again = parse(snapshot_text(s), rest);
	must(again != NULL);
	must(snapshot_predicate_count(s) == snapshot_predicate_count(again));
	check(s, again, rest.n > 0 ? rest : SPAN("x"));
	snapshot_release(&s);
	snapshot_release(&again);
	return 0;
}

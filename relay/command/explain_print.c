/* explain_print.c - what `postern explain` prints. */
#include "relay/command/explain.h"
#include "relay/command/explain_marks.h"

#include <stdio.h>

static void
add_reply(struct buf *to, const struct verdict *v, const struct id *id)
{
	if (v->action >= ACTION_TEMPFAIL)
		(void)buf_addf(to, "%d %s %s [%s]", v->code, v->enhanced, v->text, id->text);
	else
		(void)buf_addf(to, "250 2.0.0 Queued [%s]", id->text);
}

static void
print_reply(struct json *j, const struct explanation *e, const struct verdict *v)
{
	struct buf b = BUF_INIT(1024);

	add_reply(&b, v, &e->id); /* a reply is shorter */
	json_text(j, "reply", buf_span(&b));
	buf_free(&b);
}

bool
explain_is_delivered(const struct verdict *v)
{
	return action_delivers(v->action);
}

static size_t
count_taken(const struct explanation *e)
{
	size_t n = 0;

	for (size_t i = 0; i < e->options.n_to; i++)
		n += !e->outcomes[i].is_turned_away;
	return n;
}

/* What the client is told in the end: the strongest refusal, or what the delivered ones get.  Who was
 * turned away by name counts only where nobody else is left. */
static const struct verdict *
overall(const struct explanation *e)
{
	const struct verdict *best = e->options.n_to > 0 ? NULL : &e->verdict;
	size_t n_taken = count_taken(e);

	for (size_t i = 0; i < e->options.n_to; i++) {
		const struct verdict *v = &e->outcomes[i].verdict;
		bool is_taken = explain_is_delivered(v);

		if (n_taken > 0 && e->outcomes[i].is_turned_away)
			continue;
		if (best == NULL || (is_taken && !explain_is_delivered(best)) ||
		    (is_taken == explain_is_delivered(best) && v->action > best->action))
			best = v;
	}
	return best;
}

void
explain_print_json(struct explanation *e)
{
	const struct verdict *v = overall(e);
	struct buf out = BUF_INIT(OUTPUT_MAX);
	struct json j = {.to = &out};

	json_open(&j, NULL, '{');
	json_text(&j, "id", id_span(&e->id));
	json_str(&j, "action", action_name(v->action));
	print_reply(&j, e, v);
	json_str(&j, "stage", stage_name(v->stage));
	if (v->rule != 0)
		json_int(&j, "rule", v->rule);
	else
		json_none(&j, "rule");
	json_decimal(&j, "score", v->score_milli);
	explain_tags(&j, v);
	json_open(&j, "recipients", '[');
	for (size_t i = 0; i < e->options.n_to; i++) {
		const struct outcome *o = &e->outcomes[i];

		json_open(&j, NULL, '{');
		json_str(&j, "to", o->to);
		json_str(&j, "action", action_name(o->verdict.action));
		print_reply(&j, e, &o->verdict);
		json_open(&j, "gateway", '[');
		for (size_t k = 0; o->gateway != NULL && k < o->gateway->n_servers; k++)
			json_str(&j, NULL, o->gateway->servers[k].text);
		json_close(&j, ']');
		explain_strip(&j, &o->verdict, e->result);
		explain_normalise(&j, &o->verdict, e->result);
		json_close(&j, '}');
	}
	json_close(&j, ']');
	(void)buf_addf(&out, ",\"steps\":[%.*s]}", (int)e->steps.n, e->steps.n ? e->steps.p : "");
	printf("%.*s\n", (int)out.n, out.p);
	buf_free(&out);
}

static void
print_verdict(const struct explanation *e, const char *to, const struct verdict *v)
{
	struct buf reply = BUF_INIT(1024);

	add_reply(&reply, v, &e->id); /* a reply is shorter */
	printf("%s: %s, decided at %s by %.*s%s%s\n  %.*s\n", to, action_name(v->action),
	    stage_name(v->stage), SPAN_ARG(v->by.n > 0 ? v->by : SPAN("no rule")),
	    v->why[0] ? ": " : "", v->why, (int)reply.n, reply.p);
	explain_print_marks(v, e->result);
	buf_free(&reply);
}

void
explain_print_text(struct explanation *e)
{
	printf("%.*s", (int)e->steps.n, e->steps.n ? e->steps.p : "");
	if (e->options.n_to == 0)
		print_verdict(e, "so far", &e->verdict);
	for (size_t i = 0; i < e->options.n_to; i++)
		print_verdict(e, e->outcomes[i].to, &e->outcomes[i].verdict);
}

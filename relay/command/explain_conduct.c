#include "relay/command/explain_conduct.h"
#include "relay/command/ask.h"
#include "relay/ipc/conduct.h"

/* An excess beats what is within its limit, and that beats what nobody knows. */
static void
take_rate(enum rate_fact *to, uint64_t fact)
{
	if (fact > (uint64_t)*to && fact <= RATE_RECIPIENTS)
		*to = (enum rate_fact)fact;
}

/* Fronts tell each other: who knows the client knows it best. */
static void
take_greylist(struct conduct_rcpt *to, uint64_t fact, uint64_t left_ms)
{
	if (fact <= (uint64_t)to->greylist || fact > GREYLIST_CORRESPONDENT)
		return;
	*to = (struct conduct_rcpt){(enum greylist_fact)fact, (int64_t)left_ms};
}

static bool
next_number(struct span *line, uint64_t *to)
{
	return span_to_u64(span_word(line), to) && *to <= INT64_MAX;
}

void
conduct_take(struct conduct *c, struct span line, size_t first, size_t n)
{
	uint64_t connect, mail, rcpt, fact, left_ms;

	if (!next_number(&line, &connect) || !next_number(&line, &mail) ||
	    !next_number(&line, &rcpt))
		return;
	take_rate(&c->connect, connect);
	take_rate(&c->mail, mail);
	take_rate(&c->rcpt, rcpt);
	for (size_t i = 0; i < n && next_number(&line, &fact) && next_number(&line, &left_ms); i++)
		take_greylist(&c->rcpts[first + i], fact, left_ms);
}

/* False: it has been said why. */
static bool
ask_some(const struct config *config, const struct conf_flow *flow, const struct explain_options *o,
    size_t first, struct conduct *c)
{
	char client[IP_TEXT_MAX];
	const char *words[CONDUCT_FIXED_WORDS + CONDUCT_TO_MAX] = {
	    "conduct", flow->name, client, o->from};
	struct buf answer = BUF_INIT(0);
	struct span rest;
	size_t n = 0;
	bool is_answered;

	(void)span_copy(ip_format(&o->client, client), client, sizeof(client)); /* as long */
	while (n < CONDUCT_TO_MAX && first + n < o->n_to) {
		words[CONDUCT_FIXED_WORDS + n] = o->to[first + n];
		n++;
	}
	is_answered = ask_relay(config, words, CONDUCT_FIXED_WORDS + n, &answer) == EXIT_OK;
	rest = buf_span(&answer);
	while (is_answered && rest.n > 0)
		conduct_take(c, span_cut(&rest, '\n'), first, n);
	buf_free(&answer);
	return is_answered;
}

void
conduct_ask(const struct config *config, const struct conf_flow *flow,
    const struct explain_options *o, struct conduct *c)
{
	size_t first = 0;

	c->why = "unknown";
	if ((flow->connect & (CONNECT_RATE | CONNECT_GREYLIST)) == 0)
		return;
	if (!ask_is_running(config)) {
		c->why = "unknown: the relay is not running";
		return;
	}
	do {
		if (!ask_some(config, flow, o, first, c)) {
			c->why = "unknown: the relay gives no answer";
			return;
		}
		first += CONDUCT_TO_MAX;
	} while (first < o->n_to);
}

void
conduct_set(const struct conduct *c, size_t i, struct facts *facts)
{
	facts->rate = c->rcpt;
	facts->greylist = c->rcpts[i].greylist;
	facts->greylist_left_ms = c->rcpts[i].left_ms;
}

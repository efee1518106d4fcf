#include "relay/command/explain_conduct.h"
#include "relay/command/ask.h"
#include "relay/ipc/conduct.h"

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

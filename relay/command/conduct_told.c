#include "relay/command/conduct_told.h"

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

void
conduct_set(const struct conduct *c, size_t i, struct facts *facts)
{
	facts->rate = c->rcpt;
	facts->greylist = c->rcpts[i].greylist;
	facts->greylist_left_ms = c->rcpts[i].left_ms;
}

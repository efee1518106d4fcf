#include "policy/rate/rates.h"
#include "policy/rate/bucket.h"
#include "relay/base/mem.h"

enum { KINDS = RATE_RECIPIENTS + 1, NS_PER_MS = 1000000 };

struct rates {
	const struct conf_rate *limits;
	struct tallies *tallies;
	unsigned flow;
};

struct rates *
rates_new(const struct conf_rate *limits, struct tallies *tallies, unsigned flow)
{
	struct rates *r = mem_alloc(sizeof(*r));

	r->limits = limits;
	r->tallies = tallies;
	r->flow = flow;
	return r;
}

void
rates_free(struct rates **r)
{
	mem_free(*r);
	*r = NULL;
}

static const struct conf_allowance *
limit_of(const struct rates *r, enum rate_fact kind)
{
	switch (kind) {
	case RATE_MESSAGES:
		return &r->limits->messages;
	case RATE_RECIPIENTS:
		return &r->limits->recipients;
	case RATE_ERRORS:
		return &r->limits->errors;
	case RATE_UNKNOWN:
	case RATE_WITHIN:
	case RATE_CONNECTIONS: /* counted where connections begin and end */
		break;
	}
	return NULL;
}

/* The bucket as the fronts know it together.  None is empty for longer than a period. */
static struct bucket
bucket_of(const struct rates *r, const struct conf_allowance *limit, uint64_t name, int64_t now_ms)
{
	return (struct bucket){
	    tallies_largest(r->tallies, TALLY_RATES, name, (now_ms + limit->per_ms) * NS_PER_MS)};
}

static uint64_t
name_of(const struct rates *r, enum rate_fact kind, const struct ip *client)
{
	return tallies_name(r->tallies, r->flow * KINDS + kind, client);
}

enum rate_fact
rates_take(struct rates *r, enum rate_fact kind, const struct ip *client, int64_t now_ms)
{
	const struct conf_allowance *limit = limit_of(r, kind);
	struct bucket b;
	uint64_t name;

	if (limit == NULL || limit->n == 0)
		return RATE_UNKNOWN;
	name = name_of(r, kind, client);
	b = bucket_of(r, limit, name, now_ms);
	if (!bucket_take(&b, limit, now_ms))
		return kind;
	/* There is always room: whose bucket is the fullest is forgotten for it. */
	(void)tallies_set(r->tallies, TALLY_RATES, name, b.full_ns, INT64_MAX);
	return RATE_WITHIN;
}

enum rate_fact
rates_look(const struct rates *r, enum rate_fact kind, const struct ip *client, int64_t now_ms)
{
	const struct conf_allowance *limit = limit_of(r, kind);
	struct bucket b;

	if (limit == NULL || limit->n == 0)
		return RATE_UNKNOWN;
	b = bucket_of(r, limit, name_of(r, kind, client), now_ms);
	return bucket_is_empty(&b, limit, now_ms) ? kind : RATE_WITHIN;
}

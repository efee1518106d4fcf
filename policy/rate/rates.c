#include "policy/rate/rates.h"
#include "policy/rate/bucket.h"
#include "policy/rate/recent.h"

enum { V4_BITS = 32, V6_BITS = 64 };

struct client {
	struct bucket messages, recipients, errors;
};

struct rates {
	const struct conf_rate *limits;
	struct recent *clients; /* of struct client */
};

struct rates *
rates_new(const struct conf_rate *limits)
{
	struct rates *r = mem_alloc(sizeof(*r));

	r->limits = limits;
	r->clients = recent_new(sizeof(struct client), RATES_CLIENTS_MAX);
	return r;
}

void
rates_free(struct rates **r)
{
	if (*r == NULL)
		return;
	recent_free(&(*r)->clients);
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

static struct bucket *
bucket_of(struct client *c, enum rate_fact kind)
{
	return kind == RATE_MESSAGES     ? &c->messages
	       : kind == RATE_RECIPIENTS ? &c->recipients
					 : &c->errors;
}

enum rate_fact
rates_take(struct rates *r, enum rate_fact kind, const struct ip *client, int64_t now_ms)
{
	const struct conf_allowance *limit = limit_of(r, kind);
	struct ip network = ip_network(client, V4_BITS, V6_BITS);
	struct client *c;

	if (limit == NULL || limit->n == 0)
		return RATE_UNKNOWN;
	c = recent_add(r->clients, span_of(network.bytes, sizeof(network.bytes)));
	return bucket_take(bucket_of(c, kind), limit, now_ms) ? RATE_WITHIN : kind;
}

enum rate_fact
rates_look(struct rates *r, enum rate_fact kind, const struct ip *client, int64_t now_ms)
{
	const struct conf_allowance *limit = limit_of(r, kind);
	struct ip network = ip_network(client, V4_BITS, V6_BITS);
	struct client *c;

	if (limit == NULL || limit->n == 0)
		return RATE_UNKNOWN;
	c = recent_get(r->clients, span_of(network.bytes, sizeof(network.bytes)));
	return c == NULL || !bucket_is_empty(bucket_of(c, kind), limit, now_ms) ? RATE_WITHIN
										: kind;
}

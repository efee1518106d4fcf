#include "relay/front/limits.h"
#include "policy/rate/recent.h"
#include "relay/base/clock.h"
#include "relay/front/clients.h"

enum { V4_BITS = 32, V6_BITS = 64 };

/* One flow's. */
struct counts {
	struct clients *clients; /* that are connected */
	struct rates *rates;
};

struct limits {
	const struct config *config;
	struct counts *flows;   /* one for each of config->flows */
	struct recent *patient; /* of int64_t: monotonic ms until which it is believed */
};

struct limits *
limits_new(const struct config *config)
{
	struct limits *l = mem_alloc(sizeof(*l));

	l->config = config;
	l->flows = mem_array(config->n_flows, sizeof(*l->flows));
	for (size_t i = 0; i < config->n_flows; i++) {
		l->flows[i].clients = clients_new();
		l->flows[i].rates = rates_new(&config->flows[i].rate);
	}
	l->patient = recent_new(sizeof(int64_t), LIMITS_PATIENT_MAX);
	return l;
}

void
limits_free(struct limits **l)
{
	if (*l == NULL)
		return;
	for (size_t i = 0; i < (*l)->config->n_flows; i++) {
		clients_free(&(*l)->flows[i].clients);
		rates_free(&(*l)->flows[i].rates);
	}
	recent_free(&(*l)->patient);
	mem_free((*l)->flows);
	mem_free(*l);
	*l = NULL;
}

static struct counts *
counts_of(struct limits *l, const struct conf_flow *flow)
{
	return &l->flows[flow - l->config->flows];
}

static bool
is_limited(const struct conf_flow *flow)
{
	return (flow->connect & CONNECT_RATE) != 0;
}

static bool
is_full(struct limits *l, const struct conf_flow *flow, const struct ip *client)
{
	return is_limited(flow) && flow->rate.connections > 0 &&
	       clients_is_full(counts_of(l, flow)->clients, client, flow->rate.connections);
}

bool
limits_enter(struct limits *l, const struct conf_flow *flow, const struct ip *client)
{
	if (is_full(l, flow, client))
		return false;
	clients_enter(counts_of(l, flow)->clients, client);
	return true;
}

void
limits_leave(struct limits *l, const struct conf_flow *flow, const struct ip *client)
{
	clients_leave(counts_of(l, flow)->clients, client);
}

enum rate_fact
limits_take(
    struct limits *l, const struct conf_flow *flow, enum rate_fact kind, const struct ip *client)
{
	if (!is_limited(flow))
		return RATE_UNKNOWN;
	return rates_take(counts_of(l, flow)->rates, kind, client, clock_mono_ms());
}

enum rate_fact
limits_look(
    struct limits *l, const struct conf_flow *flow, enum rate_fact kind, const struct ip *client)
{
	if (!is_limited(flow))
		return RATE_UNKNOWN;
	return rates_look(counts_of(l, flow)->rates, kind, client, clock_mono_ms());
}

enum rate_fact
limits_look_connection(struct limits *l, const struct conf_flow *flow, const struct ip *client)
{
	if (!is_limited(flow))
		return RATE_UNKNOWN;
	if (limits_look(l, flow, RATE_ERRORS, client) == RATE_ERRORS)
		return RATE_ERRORS;
	return is_full(l, flow, client) ? RATE_CONNECTIONS : RATE_WITHIN;
}

bool
limits_is_patient(struct limits *l, const struct ip *client)
{
	struct ip network = ip_network(client, V4_BITS, V6_BITS);
	const int64_t *until_ms =
	    recent_get(l->patient, span_of(network.bytes, sizeof(network.bytes)));

	return until_ms != NULL && clock_mono_ms() < *until_ms;
}

void
limits_note_patient(struct limits *l, const struct ip *client)
{
	struct ip network = ip_network(client, V4_BITS, V6_BITS);
	int64_t *until_ms = recent_add(l->patient, span_of(network.bytes, sizeof(network.bytes)));

	*until_ms = clock_mono_ms() + LIMITS_PATIENT_MS;
}

#include "relay/front/limits.h"
#include "relay/base/clock.h"
#include "relay/base/mem.h"
#include "relay/front/clients.h"

/* One flow's. */
struct counts {
	struct clients *clients; /* that are connected */
	struct rates *rates;
};

struct limits {
	const struct config *config;
	struct counts *flows; /* one for each of config->flows */
	struct tallies *tallies;
};

struct limits *
limits_new(const struct config *config, struct tallies *tallies)
{
	struct limits *l = mem_alloc(sizeof(*l));

	l->config = config;
	l->flows = mem_array(config->n_flows, sizeof(*l->flows));
	for (size_t i = 0; i < config->n_flows; i++) {
		l->flows[i].clients = clients_new(tallies, (unsigned)i + 1); /* 0: by listener */
		l->flows[i].rates = rates_new(&config->flows[i].rate, tallies, (unsigned)i);
	}
	l->tallies = tallies;
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

/* Whether connections are counted: what nobody limits needs no room. */
static bool
is_counted(const struct conf_flow *flow)
{
	return is_limited(flow) && flow->rate.connections > 0;
}

static bool
is_full(struct limits *l, const struct conf_flow *flow, const struct ip *client)
{
	return is_counted(flow) &&
	       clients_is_full(counts_of(l, flow)->clients, client, flow->rate.connections);
}

bool
limits_enter(struct limits *l, const struct conf_flow *flow, const struct ip *client)
{
	if (is_full(l, flow, client))
		return false;
	if (is_counted(flow))
		clients_enter(counts_of(l, flow)->clients, client);
	return true;
}

void
limits_leave(struct limits *l, const struct conf_flow *flow, const struct ip *client)
{
	if (is_counted(flow))
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
	int64_t now_ms = clock_mono_ms();

	return now_ms < tallies_largest(l->tallies, TALLY_PATIENT,
			    tallies_name(l->tallies, 0, client), now_ms + LIMITS_PATIENT_MS);
}

void
limits_note_patient(struct limits *l, const struct ip *client)
{
	/* Who has waited is kept; the one of longest ago gives way. */
	(void)tallies_set(l->tallies, TALLY_PATIENT, tallies_name(l->tallies, 0, client),
	    clock_mono_ms() + LIMITS_PATIENT_MS, INT64_MAX);
}

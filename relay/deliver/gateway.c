#include "relay/deliver/gateway.h"
#include "relay/base/mem.h"
#include "relay/base/rng.h"

#include <stdio.h>

enum {
	WEIGHT_MAX = 65535, /* RFC 2782 */
	WEIGHT_SCALE = 64,  /* so that the addresses of a name can share its weight */
	TTL_MIN_MS = 5000,
	TTL_MAX_MS = 24 * 3600 * 1000
};

static struct target *
free_slot(struct gateway *g)
{
	for (size_t i = 0; i < g->n_targets; i++)
		if (g->targets[i].is_gone && g->targets[i].n_connections == 0)
			return &g->targets[i];
	return g->n_targets < GATEWAY_TARGETS_MAX ? &g->targets[g->n_targets++] : NULL;
}

/* A new target is believed to be up until it shows otherwise. */
static void
add_target(struct gateway *g, const struct conf_server *server, const struct ip *ip)
{
	struct target *t = free_slot(g);
	char address[IP_TEXT_MAX];
	struct span text;

	if (t == NULL)
		return;
	*t = (struct target){.server = server, .ip = *ip, .is_up = true};
	text = ip_format(ip, address);
	(void)snprintf(t->text, sizeof(t->text), ip_is_v4(ip) ? "%.*s:%u" : "[%.*s]:%u",
	    SPAN_ARG(text), server->port);
}

struct gateway *
gateway_new(const struct conf_gateway *conf)
{
	struct gateway *g = mem_alloc(sizeof(*g));

	g->conf = conf;
	g->names = mem_array(conf->n_servers, sizeof(*g->names));
	list_init(&g->ready);
	list_init(&g->connections);
	for (size_t i = 0; i < conf->n_servers; i++) {
		g->names[i].state = conf->servers[i].is_name ? NAME_UNKNOWN : NAME_LITERAL;
		if (!conf->servers[i].is_name)
			add_target(g, &conf->servers[i], &conf->servers[i].ip);
	}
	return g;
}

void
gateway_free(struct gateway **g)
{
	if (*g == NULL)
		return;
	mem_free((*g)->names);
	mem_free(*g);
	*g = NULL;
}

static struct target *
find_target(struct gateway *g, const struct conf_server *server, const struct ip *ip)
{
	for (size_t i = 0; i < g->n_targets; i++)
		if (g->targets[i].server == server && ip_eq(&g->targets[i].ip, ip))
			return &g->targets[i];
	return NULL;
}

static int64_t
next_backoff(int64_t backoff_ms)
{
	if (backoff_ms == 0)
		return GATEWAY_BACKOFF_MIN_MS;
	return 2 * backoff_ms < GATEWAY_BACKOFF_MAX_MS ? 2 * backoff_ms : GATEWAY_BACKOFF_MAX_MS;
}

static int64_t
bounded(int64_t ms, int64_t least, int64_t most)
{
	return ms < least ? least : ms > most ? most : ms;
}

void
gateway_set_addresses(
    struct gateway *g, size_t s, const struct ip *ips, size_t n, int64_t ttl_ms, int64_t now_ms)
{
	const struct conf_server *server = &g->conf->servers[s];
	struct server_name *name = &g->names[s];

	if (n == 0) {
		/* What was known before is better than nothing: the addresses stay in use. */
		if (name->state != NAME_KNOWN)
			name->state = NAME_FAILED;
		name->backoff_ms = next_backoff(name->backoff_ms);
		name->expires_ms = now_ms + name->backoff_ms;
		return;
	}
	name->state = NAME_KNOWN;
	name->backoff_ms = 0;
	name->expires_ms = now_ms + bounded(ttl_ms, TTL_MIN_MS, TTL_MAX_MS);
	for (size_t i = 0; i < g->n_targets; i++)
		if (g->targets[i].server == server)
			g->targets[i].is_gone = true;
	for (size_t i = 0; i < n && i < GATEWAY_ADDRESSES_MAX; i++) {
		struct target *t = find_target(g, server, &ips[i]);

		if (t != NULL)
			t->is_gone = false;
		else
			add_target(g, server, &ips[i]);
	}
}

static bool
is_usable(const struct gateway *g, uint64_t tried, size_t i)
{
	return g->targets[i].is_up && !g->targets[i].is_gone && !(tried >> i & 1);
}

static bool
has_room(const struct target *t)
{
	return t->n_idle > 0 || t->n_connections < GATEWAY_CONNECTIONS_MAX;
}

/* The lowest preference that can be used now, or that a lookup under way may still give. */
static bool
best_preference(const struct gateway *g, uint64_t tried, uint32_t *best)
{
	bool is_found = false;

	for (size_t i = 0; i < g->n_targets; i++)
		if (is_usable(g, tried, i) &&
		    (!is_found || g->targets[i].server->preference < *best)) {
			*best = g->targets[i].server->preference;
			is_found = true;
		}
	for (size_t s = 0; s < g->conf->n_servers; s++)
		if (g->names[s].state == NAME_UNKNOWN &&
		    (!is_found || g->conf->servers[s].preference < *best)) {
			*best = g->conf->servers[s].preference;
			is_found = true;
		}
	return is_found;
}

/* A name's weight is shared by its addresses; weight 0 is a small chance, not none (RFC 2782). */
static uint32_t
weight_of(const struct gateway *g, const struct target *t)
{
	uint32_t weight = t->server->weight < WEIGHT_MAX ? t->server->weight : WEIGHT_MAX;
	uint32_t n = 0;

	for (size_t i = 0; i < g->n_targets; i++)
		if (g->targets[i].server == t->server && !g->targets[i].is_gone)
			n++;
	weight = weight * WEIGHT_SCALE / (n > 0 ? n : 1);
	return weight > 0 ? weight : 1;
}

enum pick
gateway_pick(const struct gateway *g, uint64_t tried, size_t *index)
{
	size_t candidates[GATEWAY_TARGETS_MAX], n = 0, at = 0;
	uint32_t best = 0, sum = 0, point;

	if (!best_preference(g, tried, &best))
		return PICK_NONE;
	for (size_t i = 0; i < g->n_targets; i++)
		if (is_usable(g, tried, i) && g->targets[i].server->preference == best &&
		    has_room(&g->targets[i])) {
			candidates[n++] = i;
			sum += weight_of(g, &g->targets[i]);
		}
	if (n == 0)
		return PICK_WAIT;
	point = n > 1 ? rng_below(sum) : 0;
	while (at + 1 < n && point >= weight_of(g, &g->targets[candidates[at]]))
		point -= weight_of(g, &g->targets[candidates[at++]]);
	*index = candidates[at];
	return PICK_OK;
}

bool
target_up(struct target *t)
{
	bool was_up = t->is_up;

	t->is_up = true;
	t->is_in_trial = false;
	t->losses = 0;
	t->backoff_ms = 0;
	return !was_up;
}

bool
target_down(struct target *t, int64_t now_ms)
{
	bool was_up = t->is_up;

	/* Several connections may fail together: that is one failure, not several steps back. */
	if (!was_up && !t->is_in_trial)
		return false;
	t->is_up = false;
	t->is_in_trial = false;
	t->losses = 0;
	t->backoff_ms = next_backoff(t->backoff_ms);
	t->trial_ms = now_ms + t->backoff_ms;
	return was_up;
}

bool
target_lost(struct target *t, int64_t now_ms)
{
	if (++t->losses < GATEWAY_LOSSES_MAX)
		return false;
	return target_down(t, now_ms);
}

static bool
wants_trial(const struct target *t)
{
	return !t->is_up && !t->is_in_trial && !t->is_gone;
}

struct target *
gateway_trial_due(struct gateway *g, int64_t now_ms)
{
	for (size_t i = 0; i < g->n_targets; i++)
		if (wants_trial(&g->targets[i]) && g->targets[i].trial_ms <= now_ms)
			return &g->targets[i];
	return NULL;
}

int64_t
gateway_next_trial_ms(const struct gateway *g)
{
	int64_t next_ms = -1;

	for (size_t i = 0; i < g->n_targets; i++)
		if (wants_trial(&g->targets[i]) &&
		    (next_ms < 0 || g->targets[i].trial_ms < next_ms))
			next_ms = g->targets[i].trial_ms;
	return next_ms;
}

bool
gateway_is_up(const struct gateway *g)
{
	for (size_t i = 0; i < g->n_targets; i++)
		if (g->targets[i].is_up && !g->targets[i].is_gone)
			return true;
	return false;
}

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

static enum target_state
state_of(const struct target *t)
{
	if (t->is_drained)
		return TARGET_DRAINING;
	if (!t->is_up)
		return TARGET_DOWN;
	return t->is_slow ? TARGET_SLOW : TARGET_UP;
}

/* To be called after whatever may have changed the state. */
static void
note_state(struct target *t, int64_t now_ms)
{
	enum target_state state = state_of(t);

	if (state == t->state)
		return;
	t->state = state;
	t->since_ms = now_ms;
}

bool
target_is(const struct target *t, struct span server)
{
	return span_eq_nocase(server, span_str(t->text)) ||
	       span_eq_nocase(server, span_str(t->server->text));
}

static bool
is_drained(const struct gateway *g, const struct target *t)
{
	for (size_t i = 0; i < g->n_drained; i++)
		if (target_is(t, span_str(g->drained[i])))
			return true;
	return false;
}

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
add_target(struct gateway *g, const struct conf_server *server, const struct ip *ip, int64_t now_ms)
{
	struct target *t = free_slot(g);
	char address[IP_TEXT_MAX];
	struct span text;

	if (t == NULL)
		return;
	*t = (struct target){.server = server, .ip = *ip, .is_up = true, .since_ms = now_ms};
	health_init(&t->health, g->conf->connections);
	text = ip_format(ip, address);
	(void)snprintf(t->text, sizeof(t->text), ip_is_v4(ip) ? "%.*s:%u" : "[%.*s]:%u",
	    SPAN_ARG(text), server->port);
	t->is_drained = is_drained(g, t);
	t->state = state_of(t);
}

struct gateway *
gateway_new(const struct conf_gateway *conf, int64_t now_ms)
{
	struct gateway *g = mem_alloc(sizeof(*g));

	g->conf = conf;
	g->names = mem_array(conf->n_servers, sizeof(*g->names));
	list_init(&g->ready);
	list_init(&g->again);
	list_init(&g->parked);
	list_init(&g->asleep);
	list_init(&g->connections);
	for (size_t i = 0; i < conf->n_servers; i++) {
		g->names[i].state = conf->servers[i].is_name ? NAME_UNKNOWN : NAME_LITERAL;
		if (!conf->servers[i].is_name)
			add_target(g, &conf->servers[i], &conf->servers[i].ip, now_ms);
	}
	return g;
}

void
gateway_free(struct gateway **g)
{
	if (*g == NULL)
		return;
	for (size_t i = 0; i < (*g)->n_drained; i++)
		mem_free((*g)->drained[i]);
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
			add_target(g, server, &ips[i], now_ms);
	}
}

bool
gateway_is_lost(const struct gateway *g, size_t s)
{
	bool has_any = false;

	for (size_t i = 0; i < g->n_targets; i++) {
		const struct target *t = &g->targets[i];

		if (t->server != &g->conf->servers[s] || t->is_gone)
			continue;
		if (t->is_up)
			return false;
		has_any = true;
	}
	return has_any;
}

static bool
is_usable(const struct gateway *g, uint64_t tried, size_t i)
{
	const struct target *t = &g->targets[i];

	return t->is_up && !t->is_gone && !t->is_drained && !(tried >> i & 1);
}

unsigned
target_busy(const struct target *t)
{
	return t->n_connections - t->n_idle;
}

static bool
has_room(const struct target *t)
{
	return target_busy(t) < t->health.limit;
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

static bool
is_slow_now(const struct target *t, int64_t now_ms)
{
	int64_t final_ms = t->health.final.sampled_ms, greeting_ms = t->health.greeting.sampled_ms;
	int64_t last_ms = final_ms > greeting_ms ? final_ms : greeting_ms;

	return t->is_slow && now_ms - last_ms < GATEWAY_FORGET_MS;
}

/* By weight, among the candidates. */
static size_t
choose(const struct gateway *g, const size_t *candidates, size_t n)
{
	uint32_t sum = 0, point;
	size_t at = 0;

	for (size_t i = 0; i < n; i++)
		sum += weight_of(g, &g->targets[candidates[i]]);
	point = n > 1 ? rng_below(sum) : 0;
	while (at + 1 < n && point >= weight_of(g, &g->targets[candidates[at]]))
		point -= weight_of(g, &g->targets[candidates[at++]]);
	return candidates[at];
}

enum pick
gateway_pick(const struct gateway *g, uint64_t tried, int64_t now_ms, size_t *index)
{
	size_t fast[GATEWAY_TARGETS_MAX], slow[GATEWAY_TARGETS_MAX], n_fast = 0, n_slow = 0;
	uint32_t best = 0;

	if (!best_preference(g, tried, &best))
		return PICK_NONE;
	for (size_t i = 0; i < g->n_targets; i++) {
		const struct target *t = &g->targets[i];

		if (!is_usable(g, tried, i) || t->server->preference != best || !has_room(t))
			continue;
		if (!is_slow_now(t, now_ms)) {
			fast[n_fast++] = i;
		} else if (t->look_ms <= now_ms) {
			*index = i; /* has it recovered? only mail can tell */
			return PICK_OK;
		} else {
			slow[n_slow++] = i;
		}
	}
	if (n_fast + n_slow == 0)
		return PICK_WAIT;
	*index = n_fast > 0 ? choose(g, fast, n_fast) : choose(g, slow, n_slow);
	return PICK_OK;
}

bool
target_up(struct target *t, int64_t now_ms)
{
	bool was_up = t->is_up;

	t->is_up = true;
	t->is_in_trial = false;
	t->losses = 0;
	t->backoff_ms = 0;
	if (!was_up) {
		t->is_slow = false;
		health_return(&t->health);
		note_state(t, now_ms);
	}
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
	note_state(t, now_ms);
	return was_up;
}

bool
target_lost(struct target *t, int64_t now_ms)
{
	if (++t->losses < GATEWAY_LOSSES_MAX)
		return false;
	return target_down(t, now_ms);
}

void
target_given(struct target *t, int64_t now_ms)
{
	if (t->is_slow)
		t->look_ms = now_ms + GATEWAY_LOOK_MS;
}

/* --- slow -------------------------------------------------------------------------------------- */

static bool
is_peer(const struct target *t, const struct target *other)
{
	return other != t && other->is_up && !other->is_gone && !other->is_drained &&
	       other->server->preference == t->server->preference;
}

static const struct pace *
faster(const struct pace *best, const struct pace *p)
{
	return pace_is_known(p) && (best == NULL || p->us < best->us) ? p : best;
}

bool
gateway_judge(struct gateway *g, struct target *t, int64_t now_ms)
{
	const struct pace *final = NULL, *greeting = NULL;
	bool was_slow = t->is_slow;

	for (size_t i = 0; i < g->n_targets; i++)
		if (is_peer(t, &g->targets[i])) {
			final = faster(final, &g->targets[i].health.final);
			greeting = faster(greeting, &g->targets[i].health.greeting);
		}
	t->is_slow = (final != NULL && pace_is_slow(&t->health.final, final, was_slow)) ||
		     (greeting != NULL && pace_is_slow(&t->health.greeting, greeting, was_slow));
	if (t->is_slow && !was_slow)
		t->look_ms = now_ms + GATEWAY_LOOK_MS;
	note_state(t, now_ms);
	return t->is_slow != was_slow;
}

/* --- drained ----------------------------------------------------------------------------------- */

static void
mark_drained(struct gateway *g, int64_t now_ms)
{
	for (size_t i = 0; i < g->n_targets; i++) {
		g->targets[i].is_drained = is_drained(g, &g->targets[i]);
		note_state(&g->targets[i], now_ms);
	}
}

static bool
is_listed(const struct gateway *g, struct span server)
{
	for (size_t i = 0; i < g->n_drained; i++)
		if (span_eq_nocase(span_str(g->drained[i]), server))
			return true;
	return false;
}

bool
gateway_drain(struct gateway *g, struct span server, int64_t now_ms)
{
	if (is_listed(g, server))
		return true;
	if (g->n_drained == GATEWAY_DRAINED_MAX)
		return false;
	g->drained[g->n_drained++] = mem_dup(server);
	mark_drained(g, now_ms);
	return true;
}

/* Whether undraining `server` undoes the drain written as `drained`: the same words, or an address
 * of that name and the other way round. */
static bool
is_undone_by(const struct gateway *g, struct span drained, struct span server)
{
	if (span_eq_nocase(drained, server))
		return true;
	for (size_t i = 0; i < g->n_targets; i++)
		if (!g->targets[i].is_gone && target_is(&g->targets[i], drained) &&
		    target_is(&g->targets[i], server))
			return true;
	return false;
}

void
gateway_undrain(struct gateway *g, struct span server, int64_t now_ms)
{
	size_t kept = 0;

	for (size_t i = 0; i < g->n_drained; i++)
		if (is_undone_by(g, span_str(g->drained[i]), server))
			mem_free(g->drained[i]);
		else
			g->drained[kept++] = g->drained[i];
	g->n_drained = kept;
	mark_drained(g, now_ms);
}

bool
gateway_has_server(const struct gateway *g, struct span server)
{
	for (size_t i = 0; i < g->conf->n_servers; i++)
		if (span_eq_nocase(server, span_str(g->conf->servers[i].text)))
			return true;
	for (size_t i = 0; i < g->n_targets; i++)
		if (!g->targets[i].is_gone && target_is(&g->targets[i], server))
			return true;
	return false;
}

/* --- down -------------------------------------------------------------------------------------- */

bool
target_wants_trial(const struct target *t)
{
	return !t->is_up && !t->is_in_trial && !t->is_gone && !t->is_drained;
}

struct target *
gateway_trial_due(struct gateway *g, int64_t now_ms)
{
	for (size_t i = 0; i < g->n_targets; i++)
		if (target_wants_trial(&g->targets[i]) && g->targets[i].trial_ms <= now_ms)
			return &g->targets[i];
	return NULL;
}

int64_t
gateway_next_trial_ms(const struct gateway *g)
{
	int64_t next_ms = -1;

	for (size_t i = 0; i < g->n_targets; i++)
		if (target_wants_trial(&g->targets[i]) &&
		    (next_ms < 0 || g->targets[i].trial_ms < next_ms))
			next_ms = g->targets[i].trial_ms;
	return next_ms;
}

bool
gateway_is_usable(const struct gateway *g)
{
	for (size_t i = 0; i < g->n_targets; i++)
		if (is_usable(g, 0, i))
			return true;
	return false;
}

void
gateway_why(const struct gateway *g, struct buf *to)
{
	size_t n = 0, n_drained = 0;

	for (size_t i = 0; i < g->n_targets; i++) {
		n += !g->targets[i].is_gone;
		n_drained += !g->targets[i].is_gone && g->targets[i].is_drained;
	}
	/* What does not fit is left out. */
	(void)buf_add_str(to, n > 0 && n == n_drained ? "drained: every server of the gateway"
						      : "no server can be reached");
	for (size_t i = 0; i < g->n_targets; i++) {
		const struct target *t = &g->targets[i];

		if (t->is_gone || (t->is_up && !t->is_drained))
			continue;
		(void)buf_addf(to, "; %s: %s", t->text, t->is_drained ? "drained" : t->why);
	}
}

struct gateway_ability
gateway_ability(const struct gateway *g)
{
	struct gateway_ability all = {.is_known = true};
	bool is_unlimited = false;

	for (size_t i = 0; i < g->n_targets; i++) {
		const struct target *t = &g->targets[i];

		if (t->is_gone || t->is_drained)
			continue;
		/* One that is down has said it before, or nobody knows. */
		if (!t->is_asked)
			all.is_known = false;
		all.takes_8bit |= t->takes_8bit;
		all.takes_utf8 |= t->takes_utf8;
		is_unlimited |= t->is_asked && t->size_limit == 0;
		if (t->size_limit > all.size_limit)
			all.size_limit = t->size_limit;
	}
	for (size_t i = 0; i < g->conf->n_servers; i++)
		if (g->names[i].state == NAME_UNKNOWN || g->names[i].state == NAME_FAILED)
			all.is_known = false;
	if (is_unlimited || !all.is_known)
		all.size_limit = 0;
	return all;
}

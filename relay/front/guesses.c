#include "relay/front/guesses.h"
#include "relay/base/clock.h"
#include "relay/base/map.h"
#include "relay/base/mem.h"

enum { IPV6_CLIENT_BYTES = 8, WAIT_DOUBLINGS = 5 };

struct failures {
	unsigned n;
	int64_t last_ms;
};

struct guesses {
	struct map *by_client; /* -> struct failures */
	size_t sweep_at;       /* so many of them */
};

static struct span
key_of(const struct ip *ip)
{
	return span_of(
	    (const char *)ip->bytes, ip_is_v4(ip) ? sizeof(ip->bytes) : IPV6_CLIENT_BYTES);
}

static bool
is_forgotten(const struct failures *f)
{
	return clock_mono_ms() - f->last_ms >= GUESSES_FORGET_MS;
}

struct guesses *
guesses_new(void)
{
	struct guesses *g = mem_alloc(sizeof(*g));

	g->by_client = map_new();
	g->sweep_at = GUESSES_SWEEP_MIN;
	return g;
}

static void
forget(struct guesses *g, bool is_all)
{
	struct span key;
	void *value;
	size_t at = 0;

	while (map_next(g->by_client, &at, &key, &value))
		if (is_all || is_forgotten(value)) {
			(void)map_remove(g->by_client, key); /* it is value */
			mem_free(value);
		}
}

void
guesses_free(struct guesses **g)
{
	if (*g == NULL)
		return;
	forget(*g, true);
	map_free(&(*g)->by_client);
	mem_free(*g);
	*g = NULL;
}

/* Each look at all is paid for by as many that were added. */
static void
sweep(struct guesses *g)
{
	size_t n;

	forget(g, false);
	n = 2 * map_count(g->by_client);
	g->sweep_at = n < GUESSES_SWEEP_MIN     ? GUESSES_SWEEP_MIN
		      : n < GUESSES_CLIENTS_MAX ? n
						: GUESSES_CLIENTS_MAX;
}

int64_t
guesses_failed(struct guesses *g, const struct ip *client)
{
	struct failures *f = map_get(g->by_client, key_of(client));
	int64_t wait_ms = GUESSES_FIRST_MS;

	if (f == NULL) {
		if (map_count(g->by_client) >= g->sweep_at)
			sweep(g);
		if (map_count(g->by_client) >= GUESSES_CLIENTS_MAX)
			return GUESSES_WAIT_MAX_MS;
		f = mem_alloc(sizeof(*f));
		(void)map_set(g->by_client, key_of(client), f); /* was not there */
	}
	if (is_forgotten(f))
		f->n = 0;
	for (unsigned i = 0; i < f->n && i < WAIT_DOUBLINGS; i++)
		wait_ms *= 2;
	f->n++;
	f->last_ms = clock_mono_ms();
	return wait_ms;
}

size_t
guesses_count(const struct guesses *g)
{
	return map_count(g->by_client);
}

bool
guesses_is_refused(const struct guesses *g, const struct ip *client)
{
	const struct failures *f = map_get(g->by_client, key_of(client));

	return f != NULL && f->n >= GUESSES_MAX && !is_forgotten(f);
}

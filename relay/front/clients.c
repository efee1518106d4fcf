#include "relay/front/clients.h"
#include "relay/base/err.h"
#include "relay/base/map.h"
#include "relay/base/mem.h"

enum { IPV6_CLIENT_BYTES = 8 };

struct client_sessions {
	size_t n;
};

struct clients {
	struct map *by_key; /* -> struct client_sessions, while there are any */
};

static struct span
key_of(const struct ip *ip)
{
	return span_of(
	    (const char *)ip->bytes, ip_is_v4(ip) ? sizeof(ip->bytes) : IPV6_CLIENT_BYTES);
}

struct clients *
clients_new(void)
{
	struct clients *c = mem_alloc(sizeof(*c));

	c->by_key = map_new();
	return c;
}

void
clients_free(struct clients **c)
{
	struct span key;
	void *value;
	size_t at = 0;

	if (*c == NULL)
		return;
	while (map_next((*c)->by_key, &at, &key, &value))
		mem_free(value);
	map_free(&(*c)->by_key);
	mem_free(*c);
	*c = NULL;
}

bool
clients_is_full(const struct clients *c, const struct ip *ip, size_t max_each)
{
	const struct client_sessions *sessions = map_get(c->by_key, key_of(ip));

	return sessions != NULL && sessions->n >= max_each;
}

void
clients_enter(struct clients *c, const struct ip *ip)
{
	struct client_sessions *sessions = map_get(c->by_key, key_of(ip));

	if (sessions == NULL) {
		sessions = mem_alloc(sizeof(*sessions));
		(void)map_set(c->by_key, key_of(ip), sessions); /* none stood there */
	}
	sessions->n++;
}

void
clients_leave(struct clients *c, const struct ip *ip)
{
	struct client_sessions *sessions = map_get(c->by_key, key_of(ip));

	must(sessions != NULL && sessions->n > 0);
	if (--sessions->n == 0)
		mem_free(map_remove(c->by_key, key_of(ip)));
}

size_t
clients_count(const struct clients *c)
{
	return map_count(c->by_key);
}

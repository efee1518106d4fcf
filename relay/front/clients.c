#include "relay/front/clients.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"

struct clients {
	struct tallies *tallies;
	unsigned matter;
	size_t n; /* sessions */
};

struct clients *
clients_new(struct tallies *tallies, unsigned matter)
{
	struct clients *c = mem_alloc(sizeof(*c));

	c->tallies = tallies;
	c->matter = matter;
	return c;
}

void
clients_free(struct clients **c)
{
	mem_free(*c);
	*c = NULL;
}

bool
clients_is_full(const struct clients *c, const struct ip *ip, size_t max_each)
{
	return tallies_sum(c->tallies, TALLY_HELD, tallies_name(c->tallies, c->matter, ip)) >=
	       max_each;
}

/* All sessions that a front can have find room in the tallies, but for odd names that want the same
 * few places; who finds none is not counted: better than to be turned away. */
static void
add(struct clients *c, const struct ip *ip, int64_t n)
{
	uint64_t name = tallies_name(c->tallies, c->matter, ip);
	int64_t value = tallies_own(c->tallies, TALLY_HELD, name) + n;

	if (value >= 0)
		(void)tallies_set(c->tallies, TALLY_HELD, name, value, 1);
}

void
clients_enter(struct clients *c, const struct ip *ip)
{
	c->n++;
	add(c, ip, 1);
}

void
clients_leave(struct clients *c, const struct ip *ip)
{
	must(c->n > 0);
	c->n--;
	add(c, ip, -1);
}

size_t
clients_count(const struct clients *c)
{
	return c->n;
}

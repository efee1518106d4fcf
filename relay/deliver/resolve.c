#include "relay/deliver/resolve.h"
#include "relay/base/clock.h"
#include "relay/base/log.h"
#include "relay/base/map.h"
#include "relay/base/mem.h"
#include "relay/ipc/lookup.h"

enum { ASK_TIMEOUT_MS = 10000, QUESTION_MAX = 1024 };

struct question {
	uint64_t id;
	struct gateway *gateway;
	size_t server;
};

struct resolve {
	struct channel *lookup;
	struct map *questions; /* by id */
	uint64_t last_id;
	void (*on_changed)(void *arg, struct gateway *g);
	void *arg;
};

struct resolve *
resolve_new(void (*on_changed)(void *arg, struct gateway *g), void *arg)
{
	struct resolve *r = mem_alloc(sizeof(*r));

	r->questions = map_new();
	r->on_changed = on_changed;
	r->arg = arg;
	return r;
}

/* Nobody will answer what was asked: the names are free to be asked again. */
static void
drop_questions(struct resolve *r)
{
	size_t at = 0;
	struct span key;
	void *value;

	while (map_next(r->questions, &at, &key, &value)) {
		struct question *q = value;

		q->gateway->names[q->server].is_asking = false;
		(void)map_remove(r->questions, key); /* it is q */
		mem_free(q);
	}
}

void
resolve_free(struct resolve **r)
{
	if (*r == NULL)
		return;
	drop_questions(*r);
	map_free(&(*r)->questions);
	mem_free(*r);
	*r = NULL;
}

void
resolve_attach(struct resolve *r, struct channel *lookup)
{
	drop_questions(r);
	r->lookup = lookup;
}

static void
ask(struct resolve *r, struct gateway *g, size_t server, enum dns_type type, bool is_fresh)
{
	struct dns_question question = {.type = type,
	    .name = span_str(g->conf->servers[server].host),
	    .timeout_ms = ASK_TIMEOUT_MS,
	    .is_fresh = is_fresh};
	struct question *q = mem_alloc(sizeof(*q));
	struct buf payload = BUF_INIT(QUESTION_MAX);

	*q = (struct question){.id = ++r->last_id, .gateway = g, .server = server};
	(void)map_set_u64(r->questions, q->id, q); /* a new number: nothing stood there */
	dns_question_put(&payload, &question);
	channel_send(r->lookup, LOOKUP_ASK, q->id, buf_span(&payload), NULL);
	buf_free(&payload);
}

int64_t
resolve_refresh(struct resolve *r, struct gateway *g, int64_t now_ms)
{
	int64_t next_ms = -1;

	for (size_t i = 0; i < g->conf->n_servers; i++) {
		struct server_name *name = &g->names[i];
		bool is_lost = gateway_is_lost(g, i);
		int64_t due_ms = name->expires_ms;

		if (name->state == NAME_LITERAL || name->is_asking)
			continue;
		if (is_lost && name->asked_ms + GATEWAY_DOUBT_MS < due_ms)
			due_ms = name->asked_ms + GATEWAY_DOUBT_MS;
		if (name->state != NAME_UNKNOWN && due_ms > now_ms) {
			if (next_ms < 0 || due_ms < next_ms)
				next_ms = due_ms;
			continue;
		}
		if (!channel_is_open(r->lookup))
			continue; /* resolve_attach will come */
		name->is_asking = true;
		name->asked_ms = now_ms;
		name->n_missing = 2;
		name->n_found = 0;
		name->ttl_s = UINT32_MAX;
		ask(r, g, i, DNS_A, is_lost);
		ask(r, g, i, DNS_AAAA, is_lost);
	}
	return next_ms;
}

static void
keep_addresses(struct server_name *name, const struct dns_answer *a)
{
	for (size_t i = 0; i < a->n_addresses && name->n_found < GATEWAY_ADDRESSES_MAX; i++)
		name->found[name->n_found++] = a->addresses[i];
	if (a->n_addresses > 0 && a->ttl_s < name->ttl_s)
		name->ttl_s = a->ttl_s;
}

void
resolve_take(struct resolve *r, const struct message *m)
{
	static struct dns_answer answer; /* large; one loop, one thread, used during this call */
	struct question *q = m->type == LOOKUP_ANSWER ? map_remove_u64(r->questions, m->id) : NULL;
	struct server_name *name;
	struct gateway *g;
	size_t server;

	if (q == NULL)
		return;
	g = q->gateway;
	server = q->server;
	name = &g->names[server];
	mem_free(q);
	if (dns_answer_get(m->payload, &answer) == 0 && answer.status == DNS_FOUND)
		keep_addresses(name, &answer);
	if (--name->n_missing > 0)
		return;
	name->is_asking = false;
	if (name->n_found == 0)
		log_event(LOG_WARN, "gateway name not found", KV_STR("gateway", g->conf->name),
		    KV_STR("name", g->conf->servers[server].host));
	gateway_set_addresses(
	    g, server, name->found, name->n_found, (int64_t)name->ttl_s * 1000, clock_mono_ms());
	r->on_changed(r->arg, g);
}

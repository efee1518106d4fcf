#include "relay/lookup/resolver.h"
#include "relay/base/clock.h"
#include "relay/base/list.h"
#include "relay/base/map.h"
#include "relay/lookup/cache.h"
#include "relay/lookup/packet.h"

#include <ares.h>
#include <arpa/nameser.h>

enum {
	TRY_MS = 1000, /* c-ares doubles it with each round */
	TRIES = 3,
	SERVERS_MAX = 16
};

/* One c-ares channel on our loop. */
struct lane {
	struct resolver *resolver;
	ares_channel channel;
	struct list sockets;
	struct timer *timer;
};

struct socket_watch {
	struct list node;
	struct lane *lane;
	ares_socket_t fd;
	struct watch *watch;
};

struct query {
	struct resolver *resolver;
	struct list node; /* of all queries */
	struct cache_key key;
	struct dns_question question;
	char name[LOOKUP_NAME_MAX + 1];
	struct list waiters;
	struct timer *later; /* next try, or the answer */
	struct dns_answer *found;
	bool needs_tcp;
	unsigned n_refused;
};

struct waiter {
	struct list node; /* of its query */
	struct resolver *resolver;
	struct timer *deadline;
	void (*done)(void *arg, const struct dns_answer *a);
	void *arg;
};

struct resolver {
	struct loop *loop;
	struct lane udp, tcp;
	struct cache *cache;
	struct map *by_key;
	struct list queries;
	size_t n_queries;
	struct resolver_stats stats;
	bool is_closing;
};

static void query_start(struct query *q);

/* --- c-ares on our loop ------------------------------------------------------------------------ */

static void on_lane_time(void *arg);

static void
lane_schedule(struct lane *lane)
{
	struct timeval tv;

	if (ares_timeout(lane->channel, NULL, &tv) == NULL) {
		timer_cancel(&lane->timer);
		return;
	}
	loop_timer(lane->resolver->loop, &lane->timer,
	    (int64_t)tv.tv_sec * 1000 + tv.tv_usec / 1000 + 1, on_lane_time, lane);
}

static void
on_lane_time(void *arg)
{
	struct lane *lane = arg;

	ares_process_fd(lane->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	lane_schedule(lane);
}

static void
on_socket_ready(void *arg, unsigned events)
{
	struct socket_watch *s = arg;
	struct lane *lane = s->lane; /* s may be gone after the call */

	ares_process_fd(lane->channel, events & LOOP_READ ? s->fd : ARES_SOCKET_BAD,
	    events & LOOP_WRITE ? s->fd : ARES_SOCKET_BAD);
	lane_schedule(lane);
}

static struct socket_watch *
socket_find(struct lane *lane, ares_socket_t fd)
{
	LIST_FOR (it, &lane->sockets) {
		struct socket_watch *s = LIST_ENTRY(it, struct socket_watch, node);

		if (s->fd == fd)
			return s;
	}
	return NULL;
}

/* ares_sock_state_cb: both false when the socket is about to be closed. */
static void
on_socket_state(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct lane *lane = arg;
	struct socket_watch *s = socket_find(lane, fd);
	unsigned events = (readable ? LOOP_READ : 0u) | (writable ? LOOP_WRITE : 0u);

	if (events == 0) {
		if (s == NULL)
			return;
		list_remove(&s->node);
		watch_remove(&s->watch);
		mem_free(s);
	} else if (s == NULL) {
		s = mem_alloc(sizeof(*s));
		s->lane = lane;
		s->fd = fd;
		s->watch = loop_watch(lane->resolver->loop, fd, events, on_socket_ready, s);
		list_append(&lane->sockets, &s->node);
	} else {
		watch_change(s->watch, events);
	}
}

static int
set_servers(ares_channel channel, const struct conf_dns *conf)
{
	struct ares_addr_port_node nodes[SERVERS_MAX] = {0};
	size_t n = conf->n_servers < SERVERS_MAX ? conf->n_servers : SERVERS_MAX;

	for (size_t i = 0; i < n; i++) {
		const struct endpoint *e = &conf->servers[i];

		nodes[i].next = i + 1 < n ? &nodes[i + 1] : NULL;
		nodes[i].family = ip_is_v4(&e->ip) ? AF_INET : AF_INET6;
		if (ip_is_v4(&e->ip))
			memcpy(&nodes[i].addr.addr4, e->ip.bytes + 12, 4);
		else
			memcpy(&nodes[i].addr.addr6, e->ip.bytes, 16);
		nodes[i].udp_port = nodes[i].tcp_port = e->port;
	}
	return n == 0 ? ARES_SUCCESS : ares_set_servers_ports(channel, nodes);
}

static int
lane_open(struct lane *lane, struct resolver *r, const struct conf_dns *conf, int transport,
    struct err *err)
{
	struct ares_options options = {
	    .flags = ARES_FLAG_NOSEARCH | ARES_FLAG_NOALIASES | transport,
	    .timeout = TRY_MS,
	    .tries = TRIES,
	    .sock_state_cb = on_socket_state,
	    .sock_state_cb_data = lane};
	int rc;

	lane->resolver = r;
	list_init(&lane->sockets);
	/* Reads /etc/resolv.conf and the key for query ids now, before the sandbox closes. */
	rc = ares_init_options(&lane->channel, &options,
	    ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
	if (rc != ARES_SUCCESS)
		return err_set(err, E_IO, "cannot start the resolver: %s", ares_strerror(rc));
	rc = set_servers(lane->channel, conf);
	if (rc != ARES_SUCCESS)
		return err_set(err, E_CONFIG,
		    "cannot use the servers in dns { }: %s; give them as "
		    "{\"ADDRESS:PORT\"}",
		    ares_strerror(rc));
	return 0;
}

struct resolver *
resolver_new(struct loop *loop, const struct conf_dns *conf, struct err *err)
{
	struct resolver *r = mem_alloc(sizeof(*r));
	int rc = ares_library_init(ARES_LIB_INIT_ALL);

	r->loop = loop;
	r->cache = cache_new(CACHE_ENTRIES_MAX);
	r->by_key = map_new();
	list_init(&r->queries);
	list_init(&r->udp.sockets);
	list_init(&r->tcp.sockets);
	if (rc != ARES_SUCCESS) {
		(void)err_set(err, E_IO, "cannot start the resolver: %s", ares_strerror(rc));
		resolver_free(&r);
	} else if (lane_open(&r->udp, r, conf, ARES_FLAG_IGNTC, err) < 0 ||
		   lane_open(&r->tcp, r, conf, ARES_FLAG_USEVC, err) < 0) {
		resolver_free(&r);
	}
	return r;
}

/* --- waiters ----------------------------------------------------------------------------------- */

static void
waiter_free(struct waiter *w)
{
	timer_cancel(&w->deadline);
	list_remove(&w->node);
	mem_free(w);
}

void
resolver_cancel(struct waiter **w)
{
	if (*w != NULL)
		waiter_free(*w);
	*w = NULL;
}

static void
count(struct resolver *r, const struct dns_answer *a)
{
	if (a->status == DNS_TIMEOUT)
		r->stats.timeouts++;
	if (a->status == DNS_FAILED)
		r->stats.failures++;
}

static void
waiter_settle(struct waiter *w, const struct dns_answer *a)
{
	void (*done)(void *, const struct dns_answer *) = w->done;
	void *arg = w->arg;

	count(w->resolver, a);
	waiter_free(w);
	done(arg, a);
}

static void
on_deadline(void *arg)
{
	static const struct dns_answer late = {.status = DNS_TIMEOUT};

	waiter_settle(arg, &late);
}

static struct waiter *
waiter_new(struct query *q, uint32_t timeout_ms, void (*done)(void *, const struct dns_answer *),
    void *arg)
{
	struct waiter *w = mem_alloc(sizeof(*w));
	int64_t wait_ms = timeout_ms;

	if (wait_ms < RESOLVER_TIMEOUT_MIN_MS)
		wait_ms = RESOLVER_TIMEOUT_MIN_MS;
	if (wait_ms > RESOLVER_TIMEOUT_MAX_MS)
		wait_ms = RESOLVER_TIMEOUT_MAX_MS;
	w->resolver = q->resolver;
	w->done = done;
	w->arg = arg;
	list_append(&q->waiters, &w->node);
	loop_timer(q->resolver->loop, &w->deadline, wait_ms, on_deadline, w);
	return w;
}

/* --- queries ----------------------------------------------------------------------------------- */

static struct span
query_key(const struct query *q)
{
	return span_of(q->key.bytes, q->key.n);
}

static void
query_free(struct query *q)
{
	timer_cancel(&q->later);
	LIST_FOR_SAFE (it, &q->waiters)
		waiter_free(LIST_ENTRY(it, struct waiter, node));
	if (map_get(q->resolver->by_key, query_key(q)) == q)
		(void)map_remove(q->resolver->by_key, query_key(q)); /* the same q */
	list_remove(&q->node);
	q->resolver->n_queries--;
	mem_free(q->found);
	mem_free(q);
}

/* Of a list: a listing that nothing has proved yet is no knowledge, nor is a probe. */
static bool
is_worth_keeping(const struct dns_question *q, const struct dns_answer *a)
{
	return q->list == DNS_LIST_NONE || (!q->is_fresh && a->status != DNS_FOUND);
}

/* Ends the query with this answer.  A waiter's callback may ask, cancel and be asked again. */
static void
query_settle(struct query *q, const struct dns_answer *a)
{
	if (is_worth_keeping(&q->question, a))
		cache_put(q->resolver->cache, &q->key, clock_mono_ms(), a);
	if (map_get(q->resolver->by_key, query_key(q)) == q)
		(void)map_remove(q->resolver->by_key, query_key(q)); /* no one joins from here */
	while (!list_is_empty(&q->waiters))
		waiter_settle(LIST_ENTRY(q->waiters.next, struct waiter, node), a);
	query_free(q);
}

static void
on_found(void *arg)
{
	struct query *q = arg;

	query_settle(q, q->found);
}

static void
on_again(void *arg)
{
	query_start(arg);
}

static void
query_finish(struct query *q, const struct dns_answer *a)
{
	/* From the loop: this may be inside resolver_ask, whose caller has not got the waiter yet, or
	 * c-ares is in the middle of dropping a connection, and whoever is answered may ask again. */
	q->found = mem_alloc(sizeof(*a));
	*q->found = *a;
	loop_timer(q->resolver->loop, &q->later, 0, on_found, q);
}

/* The same question again, from the loop: c-ares is in the middle of dropping the connection. */
static void
query_again(struct query *q, int64_t delay_ms)
{
	loop_timer(q->resolver->loop, &q->later, delay_ms, on_again, q);
}

static void
query_fail(struct query *q, int status)
{
	struct dns_answer a = {
	    .status = status == ARES_ETIMEOUT ? DNS_TIMEOUT : DNS_FAILED,
	};
	bool is_waited_for = !list_is_empty(&q->waiters);

	if (is_waited_for && status == ARES_ECONNREFUSED && q->n_refused < RESOLVER_REFUSED_MAX)
		query_again(q, (int64_t)RESOLVER_AGAIN_MS << q->n_refused++);
	else if (is_waited_for && status == ARES_ETIMEOUT)
		query_again(q, RESOLVER_AGAIN_MS); /* who joined late still has time */
	else
		query_finish(q, &a);
}

/* ares_callback */
static void
on_reply(void *arg, int status, int timeouts, unsigned char *bytes, int n)
{
	struct query *q = arg;
	struct dns_answer a;
	int rc;

	(void)timeouts;
	if (status == ARES_EDESTRUCTION || q->resolver->is_closing) {
		return; /* resolver_free frees the query */
	}
	if (bytes == NULL || n <= 0) {
		query_fail(q, status);
		return;
	}
	rc = packet_read(span_of(bytes, (size_t)n), &q->question, &a);
	if (rc == -E_LIMIT && !q->needs_tcp) {
		q->needs_tcp = true;
		query_again(q, 0);
		return;
	}
	query_finish(q, &a);
}

static void
query_start(struct query *q)
{
	struct lane *lane = q->needs_tcp ? &q->resolver->tcp : &q->resolver->udp;

	ares_query(
	    lane->channel, q->name, ns_c_in, packet_type_number(q->question.type), on_reply, q);
	/* q lives: inside the call nothing settles it. */
	lane_schedule(lane);
}

static struct query *
query_new(struct resolver *r, const struct cache_key *key, const struct dns_question *asked)
{
	struct query *q = mem_alloc(sizeof(*q));

	q->resolver = r;
	q->key = *key;
	q->question = *asked;
	(void)span_copy(asked->name, q->name, sizeof(q->name)); /* askable, so it fits */
	q->question.name = span_str(q->name);
	list_init(&q->waiters);
	q->question.zone = (struct span){0}; /* the caller's */
	list_append(&r->queries, &q->node);
	r->n_queries++;
	if (!asked->is_fresh)
		(void)map_set(r->by_key, query_key(q), q); /* the caller found none */
	return q;
}

/* --- the outside ------------------------------------------------------------------------------- */

/* Lists have entries of their own: only they may keep what they were told with its proof. */
static struct cache_key
key_of(const struct dns_question *q)
{
	struct cache_key key = cache_key(q->type, q->name);

	if (q->list != DNS_LIST_NONE)
		key.bytes[0] = (char)(key.bytes[0] | 0x40);
	return key;
}

/* The query under way that may be joined. */
static struct query *
joinable(const struct resolver *r, const struct dns_question *asked, const struct cache_key *key)
{
	return asked->is_fresh ? NULL : map_get(r->by_key, span_of(key->bytes, key->n));
}

/* An answer that needs no query; false: none. */
static bool
answer_at_once(struct resolver *r, const struct dns_question *asked, const struct cache_key *key,
    struct dns_answer *a)
{
	if (!asked->is_fresh && cache_get(r->cache, key, clock_mono_ms(), a)) {
		r->stats.cache_hits++;
		return true;
	}
	if (joinable(r, asked, key) != NULL || r->n_queries < RESOLVER_QUERIES_MAX)
		return false;
	*a = (struct dns_answer){.status = DNS_FAILED};
	r->stats.failures++;
	return true;
}

struct waiter *
resolver_ask(struct resolver *r, const struct dns_question *asked,
    void (*done)(void *, const struct dns_answer *), void *arg)
{
	static const struct dns_answer failed = {.status = DNS_FAILED};
	struct dns_answer a;
	struct cache_key key;
	struct waiter *w;
	struct query *q;

	r->stats.questions++;
	if (!packet_name_is_askable(asked->name)) {
		r->stats.failures++;
		done(arg, &failed);
		return NULL;
	}
	key = key_of(asked);
	if (answer_at_once(r, asked, &key, &a)) {
		done(arg, &a);
		return NULL;
	}
	q = joinable(r, asked, &key);
	if (q != NULL)
		return waiter_new(q, asked->timeout_ms, done, arg);
	q = query_new(r, &key, asked);
	w = waiter_new(q, asked->timeout_ms, done, arg);
	query_start(q);
	return w;
}

void
resolver_keep(struct resolver *r, const struct dns_question *q, const struct dns_answer *a)
{
	struct cache_key key = key_of(q);

	cache_put(r->cache, &key, clock_mono_ms(), a);
}

void
resolver_free(struct resolver **pr)
{
	struct resolver *r = *pr;

	if (r == NULL)
		return;
	r->is_closing = true;
	if (r->udp.channel != NULL)
		ares_destroy(r->udp.channel);
	if (r->tcp.channel != NULL)
		ares_destroy(r->tcp.channel);
	LIST_FOR_SAFE (it, &r->queries)
		query_free(LIST_ENTRY(it, struct query, node));
	timer_cancel(&r->udp.timer);
	timer_cancel(&r->tcp.timer);
	map_free(&r->by_key);
	cache_free(&r->cache);
	ares_library_cleanup();
	mem_free(r);
	*pr = NULL;
}

struct resolver_stats
resolver_stats(const struct resolver *r)
{
	return r->stats;
}

size_t
resolver_cached(const struct resolver *r)
{
	return cache_count(r->cache);
}

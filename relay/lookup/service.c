#include "relay/lookup/service.h"
#include "relay/base/json.h"
#include "relay/base/list.h"
#include "relay/base/log.h"
#include "relay/ipc/channel.h"
#include "relay/lookup/listing.h"

enum { ANSWER_BYTES_MAX = 8192 };

struct service {
	struct loop *loop;
	struct resolver *resolver;
	struct listings *listings;
	struct verify *verify;
	struct list peers;
	size_t n_pending;
	struct buf scratch;
};

struct peer {
	struct list node;
	struct service *service;
	struct channel *channel;
	struct list asks;
	size_t n_asks;
};

struct ask {
	struct list node;
	struct peer *peer;
	struct waiter *waiter;           /* of the resolver, or */
	struct listing_waiter *listing;  /* of a DNS list, or */
	struct verify_waiter *recipient; /* of a source */
	uint64_t id;
};

static void
ask_free(struct ask *a)
{
	resolver_cancel(&a->waiter);
	listing_cancel(&a->listing);
	verify_cancel(&a->recipient);
	list_remove(&a->node);
	a->peer->n_asks--;
	a->peer->service->n_pending--;
	mem_free(a);
}

static void
send_answer(struct peer *p, uint64_t id, const struct dns_answer *answer)
{
	struct buf *b = &p->service->scratch;

	buf_clear(b);
	dns_answer_put(b, answer);
	must(!b->failed);
	channel_send(p->channel, LOOKUP_ANSWER, id, buf_span(b), NULL);
}

static void
on_answer(void *arg, const struct dns_answer *answer)
{
	struct ask *a = arg;

	a->waiter = NULL; /* they end with this call */
	a->listing = NULL;
	send_answer(a->peer, a->id, answer);
	ask_free(a);
}

static void
peer_free(struct peer *p)
{
	LIST_FOR_SAFE (it, &p->asks)
		ask_free(LIST_ENTRY(it, struct ask, node));
	channel_free(&p->channel);
	list_remove(&p->node);
	mem_free(p);
}

static void
send_recipient(struct peer *p, uint64_t id, const struct recipient_answer *answer)
{
	struct buf *b = &p->service->scratch;

	buf_clear(b);
	recipient_answer_put(b, answer);
	must(!b->failed);
	channel_send(p->channel, LOOKUP_RECIPIENT_ANSWER, id, buf_span(b), NULL);
}

static void
on_recipient(void *arg, const struct recipient_answer *answer)
{
	struct ask *a = arg;

	a->recipient = NULL; /* it ends with this call */
	send_recipient(a->peer, a->id, answer);
	ask_free(a);
}

static struct ask *
ask_new(struct peer *p, uint64_t id)
{
	struct ask *a = mem_alloc(sizeof(*a));

	a->peer = p;
	a->id = id;
	list_append(&p->asks, &a->node);
	p->n_asks++;
	p->service->n_pending++;
	return a;
}

static void
take_recipient(struct peer *p, uint64_t id, const struct recipient_question *q)
{
	static const struct recipient_answer unknown = {
	    .state = RECIPIENT_UNKNOWN, .why = "too many questions at a time"};
	struct verify_waiter *w;
	struct ask *a;

	if (p->n_asks >= SERVICE_PENDING_MAX) {
		send_recipient(p, id, &unknown);
		return;
	}
	a = ask_new(p, id);
	w = verify_ask(p->service->verify, q, on_recipient, a);
	if (w != NULL) /* else a is gone */
		a->recipient = w;
}

static void
take_question(struct peer *p, uint64_t id, const struct dns_question *q)
{
	static const struct dns_answer failed = {.status = DNS_FAILED};
	struct listing_waiter *l;
	struct waiter *w;
	struct ask *a;

	if (p->n_asks >= SERVICE_PENDING_MAX) {
		send_answer(p, id, &failed);
		return;
	}
	a = ask_new(p, id);
	if (q->list != DNS_LIST_NONE) {
		l = listing_ask(p->service->listings, q, on_answer, a);
		if (l != NULL) /* else a is gone */
			a->listing = l;
		return;
	}
	w = resolver_ask(p->service->resolver, q, on_answer, a);
	if (w != NULL) /* else a is gone */
		a->waiter = w;
}

static void
on_message(void *arg, struct message *m)
{
	struct peer *p = arg;
	struct recipient_question r;
	struct dns_question q;

	if (m->type == LOOKUP_ASK && dns_question_get(m->payload, &q) == 0) {
		take_question(p, m->id, &q);
		return;
	}
	if (m->type == LOOKUP_RECIPIENT && recipient_question_get(m->payload, &r) == 0) {
		take_recipient(p, m->id, &r);
		return;
	}
	log_event(LOG_ERROR, "peer dropped", KV_STR("why", "a message that is no question"));
	peer_free(p);
}

static void
on_close(void *arg)
{
	peer_free(arg);
}

void
service_peer(struct service *s, int fd)
{
	static const struct channel_events events = {
	    .on_message = on_message, .on_close = on_close};
	struct peer *p = mem_alloc(sizeof(*p));

	p->service = s;
	list_init(&p->asks);
	list_append(&s->peers, &p->node);
	p->channel = channel_new(s->loop, fd, &events, p);
}

struct service *
service_new(struct loop *loop, const struct config *config, const struct source_report *report,
    struct err *err)
{
	struct service *s = mem_alloc(sizeof(*s));

	s->loop = loop;
	list_init(&s->peers);
	s->scratch = BUF_INIT(ANSWER_BYTES_MAX);
	s->resolver = resolver_new(loop, &config->dns, err);
	if (s->resolver != NULL) {
		s->listings = listings_new(loop, s->resolver);
		s->verify = verify_new(loop, config, s->resolver, report, err);
	}
	if (s->verify == NULL)
		service_free(&s);
	return s;
}

struct verify *
service_verify(struct service *s)
{
	return s->verify;
}

void
service_free(struct service **s)
{
	if (*s == NULL)
		return;
	LIST_FOR_SAFE (it, &(*s)->peers)
		peer_free(LIST_ENTRY(it, struct peer, node));
	verify_free(&(*s)->verify); /* its searches are the resolver's */
	listings_free(&(*s)->listings);
	resolver_free(&(*s)->resolver);
	buf_free(&(*s)->scratch);
	mem_free(*s);
	*s = NULL;
}

void
service_add_status(const struct service *s, struct buf *to)
{
	struct resolver_stats stats = resolver_stats(s->resolver);
	struct json j = {.to = to};

	json_open(&j, NULL, '{');
	json_open(&j, "lookup", '{');
	json_int(&j, "questions", (int64_t)stats.questions);
	json_int(&j, "cache_hits", (int64_t)stats.cache_hits);
	json_int(&j, "timeouts", (int64_t)stats.timeouts);
	json_int(&j, "failures", (int64_t)stats.failures);
	json_int(&j, "cached", (int64_t)resolver_cached(s->resolver));
	json_int(&j, "pending", (int64_t)s->n_pending);
	verify_add_status(s->verify, &j);
	json_close(&j, '}');
	json_close(&j, '}');
}

#include "relay/front/dns_client.h"
#include "relay/base/err.h"
#include "relay/base/map.h"
#include "relay/base/mem.h"

struct dns_client {
	struct loop *loop;
	struct channel *channel;
	struct map *pending;    /* id -> struct dns_request */
	struct map *recipients; /* id -> struct recipient_request */
	uint64_t next_id;
	void (*on_lost)(void *arg);
	void *lost_arg;
};

enum { LOOKUP_GRACE_MS = 2000 };

static const struct dns_answer failure = {.status = DNS_FAILED};
static const struct recipient_answer unknown = {
    .state = RECIPIENT_UNKNOWN, .why = "the lookup role does not answer"};

static void
answer(struct dns_request *r, const struct dns_answer *a)
{
	(void)map_remove_u64(r->client->pending, r->id); /* it is r itself */
	timer_cancel(&r->failed);
	r->client = NULL;
	r->on_answer(r, a);
}

static void
answer_recipient(struct recipient_request *r, const struct recipient_answer *a)
{
	(void)map_remove_u64(r->client->recipients, r->id); /* it is r itself */
	timer_cancel(&r->patience);
	r->client = NULL;
	r->on_answer(r, a);
}

static void
take_recipient(struct dns_client *d, const struct message *m)
{
	struct recipient_request *r = map_get_u64(d->recipients, m->id);
	struct recipient_answer a;

	if (r != NULL) /* else its asker has gone */
		answer_recipient(r, recipient_answer_get(m->payload, &a) < 0 ? &unknown : &a);
}

static void
on_message(void *arg, struct message *m)
{
	struct dns_client *d = arg;
	struct dns_request *r = map_get_u64(d->pending, m->id);
	struct dns_answer a;

	if (m->type == LOOKUP_RECIPIENT_ANSWER) {
		take_recipient(d, m);
		return;
	}
	if (m->type != LOOKUP_ANSWER || r == NULL)
		return; /* its asker has gone */
	answer(r, dns_answer_get(m->payload, &a) < 0 ? &failure : &a);
}

/* No answer is an answer: every asker goes on without. */
static void
fail_all(struct dns_client *d)
{
	struct span key;
	void *value;
	size_t at = 0;

	channel_free(&d->channel);
	while (map_next(d->pending, &at, &key, &value)) {
		answer(value, &failure);
		at = 0; /* the callbacks may have changed the map */
	}
	for (at = 0; map_next(d->recipients, &at, &key, &value); at = 0)
		answer_recipient(value, &unknown);
}

static void
on_close(void *arg)
{
	struct dns_client *d = arg;

	fail_all(d);
	if (d->on_lost != NULL)
		d->on_lost(d->lost_arg);
}

static const struct channel_events lookup_events = {on_message, on_close};

struct dns_client *
dns_client_new(struct loop *loop)
{
	struct dns_client *d = mem_alloc(sizeof(*d));

	d->loop = loop;
	d->pending = map_new();
	d->recipients = map_new();
	d->next_id = 1;
	return d;
}

void
dns_client_on_lost(struct dns_client *d, void (*on_lost)(void *arg), void *arg)
{
	d->on_lost = on_lost;
	d->lost_arg = arg;
}

void
dns_client_connect(struct dns_client *d, int fd)
{
	if (d->channel != NULL)
		fail_all(d);
	d->channel = channel_new(d->loop, fd, &lookup_events, d);
}

static void
fail(void *arg)
{
	answer(arg, &failure);
}

void
dns_ask(struct dns_client *d, struct dns_request *r, const struct dns_question *q)
{
	struct buf b = BUF_INIT(LOOKUP_NAME_MAX + 64);

	must(r->client == NULL);
	r->client = d;
	r->id = d->next_id++;
	(void)map_set_u64(d->pending, r->id, r); /* ids are never used twice */
	dns_question_put(&b, q);
	if (channel_is_open(d->channel) && !b.failed)
		channel_send(d->channel, LOOKUP_ASK, r->id, buf_span(&b), NULL);
	else
		loop_timer(d->loop, &r->failed, 0, fail, r);
	buf_free(&b);
}

void
dns_cancel(struct dns_request *r)
{
	if (r->client == NULL)
		return;
	(void)map_remove_u64(r->client->pending, r->id); /* it is r itself */
	timer_cancel(&r->failed);
	r->client = NULL;
}

static void
on_recipient_patience(void *arg)
{
	answer_recipient(arg, &unknown);
}

void
recipient_ask(struct dns_client *d, struct recipient_request *r, const struct recipient_question *q,
    int64_t patience_ms)
{
	struct buf b = BUF_INIT(LOOKUP_ADDRESS_MAX + 64);
	bool is_sent = false;

	must(r->client == NULL);
	r->client = d;
	r->id = d->next_id++;
	(void)map_set_u64(d->recipients, r->id, r); /* ids are never used twice */
	recipient_question_put(&b, q);
	if (channel_is_open(d->channel) && !b.failed) {
		channel_send(d->channel, LOOKUP_RECIPIENT, r->id, buf_span(&b), NULL);
		is_sent = true;
	}
	loop_timer(d->loop, &r->patience, is_sent ? patience_ms : 0, on_recipient_patience, r);
	buf_free(&b);
}

void
recipient_cancel(struct recipient_request *r)
{
	if (r->client == NULL)
		return;
	(void)map_remove_u64(r->client->recipients, r->id); /* it is r itself */
	timer_cancel(&r->patience);
	r->client = NULL;
}

int64_t
recipient_patience_ms(const struct config *config, const struct conf_domain *domain)
{
	/* A denial may be held against the canary, which takes as long again. */
	return 2 * (domain->ldap != NULL ? domain->ldap->timeout_ms : config->callout.timeout_ms) +
	       LOOKUP_GRACE_MS;
}

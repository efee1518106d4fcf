#include "relay/lookup/listing.h"
#include "policy/dnsbl/answer.h"
#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/list.h"
#include "relay/base/map.h"
#include "relay/base/mem.h"
#include "relay/base/rng.h"

#include <stdio.h>

enum { CANARIES = 2 };

struct listings {
	struct loop *loop;
	struct resolver *resolver;
	struct map *proofs; /* those under way, by kind and zone */
	struct list waiters;
};

/* What a zone is being asked; gone when nobody waits for it. */
struct proof {
	struct listings *owner;
	enum dns_list_kind kind;
	char zone[LOOKUP_NAME_MAX + 1];
	uint32_t timeout_ms;
	struct list asking; /* struct listing_waiter.node: this proof is theirs */
	struct list next;   /* the next one is: they came while this one was under way */
	struct canary {
		struct proof *proof;
		struct waiter *waiter;
		enum dns_status status;
	} canaries[CANARIES];
	size_t n_waiting;
	struct timer *soon;
};

struct listing_waiter {
	struct list all;  /* of listings->waiters */
	struct list node; /* of a proof */
	struct listings *owner;
	struct dns_question question;
	char name[LOOKUP_NAME_MAX + 1];
	struct waiter *waiter;
	struct timer *deadline;
	bool is_asking; /* inside resolver_ask */
	bool has_answer, awaits_proof;
	bool is_known; /* the answer was in the cache */
	enum dns_proof proof;
	struct dns_answer answer;
	void (*done)(void *arg, const struct dns_answer *a);
	void *arg;
};

/* --- entries that nobody can be ----------------------------------------------------------------- */

/* ::ffff:a.b.c.d in nibbles, the last one first (RFC 5782 section 2.4). */
static void
nibbles(uint32_t address, char to[LISTING_PREFIX_MAX])
{
	static const char digits[] = "0123456789abcdef";
	uint64_t low = (uint64_t)0xffff << 32 | address;

	for (size_t i = 0; i < 32; i++) {
		to[2 * i] = digits[i < 16 ? low >> (4 * i) & 0xf : 0];
		to[2 * i + 1] = '.';
	}
	to[63] = '\0';
}

void
listing_canary(enum dns_list_kind kind, char to[LISTING_PREFIX_MAX])
{
	/* A list of IPv6 addresses has the IPv4 canary, too, or does not know it. */
	const char *text = kind == DNS_LIST_DOMAIN ? "invalid" : "1.0.0.127";

	(void)span_copy(span_str(text), to, LISTING_PREFIX_MAX); /* short */
}

void
listing_random(enum dns_list_kind kind, uint64_t random, char to[LISTING_PREFIX_MAX])
{
	/* 127.128.0.0/9: the test entries of lists lie in the lower half. */
	uint32_t address = 0x7f800000U | (uint32_t)(random & 0x7fffff);

	if (kind == DNS_LIST_DOMAIN)
		(void)snprintf(to, LISTING_PREFIX_MAX, "%016llx.example",
		    (unsigned long long)random); /* short */
	else if (kind == DNS_LIST_IPV6)
		nibbles(address, to);
	else
		(void)snprintf(to, LISTING_PREFIX_MAX, "%u.%u.%u.127", address & 0xff,
		    address >> 8 & 0xff, address >> 16 & 0xff); /* short */
}

/* --- waiters ------------------------------------------------------------------------------------ */

static void
waiter_end(struct listing_waiter *w)
{
	resolver_cancel(&w->waiter);
	timer_cancel(&w->deadline);
	list_remove(&w->node);
	list_remove(&w->all);
}

void
listing_cancel(struct listing_waiter **w)
{
	if (*w == NULL)
		return;
	waiter_end(*w); /* a proof that nobody waits for ends by itself */
	mem_free(*w);
	*w = NULL;
}

static bool
has_error(const struct dns_answer *a)
{
	for (size_t i = 0; i < a->n_addresses; i++) {
		const uint8_t *b = a->addresses[i].bytes + 12;

		if (answer_is_error(
			(uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3]))
			return true;
	}
	return false;
}

/* Answer and proof are there: what the list says counts, or it does not. */
static void
finish(struct listing_waiter *w)
{
	struct dns_answer *a = &w->answer;

	waiter_end(w);
	a->proof = w->proof;
	if (a->proof == DNS_PROOF_GOOD && a->status == DNS_FOUND && !w->is_known &&
	    !w->question.is_fresh && !has_error(a))
		resolver_keep(w->owner->resolver, &w->question, a);
	if (a->proof == DNS_PROOF_BAD ||
	    (a->proof == DNS_PROOF_MISSING && a->status == DNS_FOUND)) {
		a->status = a->proof == DNS_PROOF_BAD ? DNS_FAILED : DNS_TIMEOUT;
		a->n_addresses = 0;
	}
	w->done(w->arg, a);
	mem_free(w);
}

static void
on_deadline(void *arg)
{
	struct listing_waiter *w = arg;

	if (!w->has_answer)
		w->answer.status = DNS_TIMEOUT;
	if (w->awaits_proof)
		w->proof = DNS_PROOF_MISSING;
	finish(w);
}

/* --- proofs ------------------------------------------------------------------------------------- */

static void proof_start(struct proof *p);

static size_t
proof_key(enum dns_list_kind kind, struct span zone, char to[LOOKUP_NAME_MAX + 1])
{
	to[0] = (char)('0' + (int)kind);
	for (size_t i = 0; i < zone.n; i++)
		to[i + 1] = char_lower(zone.p[i]);
	return zone.n + 1;
}

static void
proof_free(struct proof *p)
{
	char key[LOOKUP_NAME_MAX + 1];
	size_t n = proof_key(p->kind, span_str(p->zone), key);

	must(map_remove(p->owner->proofs, span_of(key, n)) == p);
	for (size_t i = 0; i < CANARIES; i++)
		resolver_cancel(&p->canaries[i].waiter);
	timer_cancel(&p->soon);
	mem_free(p);
}

static enum dns_proof
proof_outcome(const struct proof *p)
{
	enum dns_proof outcome = DNS_PROOF_GOOD;

	for (size_t i = 0; i < CANARIES; i++) {
		if (p->canaries[i].status == DNS_FOUND)
			return DNS_PROOF_BAD;
		if (p->canaries[i].status != DNS_NONE)
			outcome = DNS_PROOF_MISSING;
	}
	return outcome;
}

/* Whoever is told may ask again, and goes to the next one. */
static void
proof_end(struct proof *p)
{
	enum dns_proof outcome = proof_outcome(p);

	for (size_t i = 0; i < CANARIES; i++)
		resolver_cancel(&p->canaries[i].waiter);
	while (!list_is_empty(&p->asking)) {
		struct listing_waiter *w = LIST_ENTRY(p->asking.next, struct listing_waiter, node);

		list_remove(&w->node);
		w->awaits_proof = false;
		w->proof = outcome;
		if (w->has_answer)
			finish(w);
	}
	if (list_is_empty(&p->next))
		proof_free(p);
	else
		proof_start(p);
}

static void
on_soon(void *arg)
{
	proof_end(arg);
}

static void
on_canary(void *arg, const struct dns_answer *a)
{
	struct canary *c = arg;

	c->waiter = NULL; /* it ends with this call */
	c->status = a->status;
	/* One that is listed says it all.  From the loop: this may be inside resolver_ask. */
	if (--c->proof->n_waiting == 0 || a->status == DNS_FOUND)
		loop_timer(c->proof->owner->loop, &c->proof->soon, 0, on_soon, c->proof);
}

static void
ask_canary(struct proof *p, struct canary *c, const char *entry)
{
	char name[LISTING_PREFIX_MAX + 1 + LOOKUP_NAME_MAX + 1];
	struct dns_question q = {
	    .type = DNS_A, .timeout_ms = p->timeout_ms, .list = p->kind, .is_fresh = true};
	struct waiter *w;

	(void)snprintf(name, sizeof(name), "%s.%s", entry, p->zone); /* fits */
	q.name = span_str(name); /* too long: it fails, and what is listed there is unknown */
	c->proof = p;
	w = resolver_ask(p->owner->resolver, &q, on_canary, c);
	if (w != NULL) /* else it has been answered */
		c->waiter = w;
}

static void
proof_start(struct proof *p)
{
	char entry[LISTING_PREFIX_MAX];

	while (!list_is_empty(&p->next)) {
		struct list *first = p->next.next;

		list_remove(first);
		list_append(&p->asking, first);
	}
	p->n_waiting = CANARIES;
	for (size_t i = 0; i < CANARIES; i++)
		p->canaries[i].status = DNS_TIMEOUT; /* until it answers */
	listing_canary(p->kind, entry);
	ask_canary(p, &p->canaries[0], entry);
	listing_random(p->kind, rng_u64(), entry);
	ask_canary(p, &p->canaries[1], entry);
}

/* The zone is asked for its canaries from now on: what was asked before proves nothing. */
static void
prove(struct listing_waiter *w)
{
	struct listings *l = w->owner;
	char key[LOOKUP_NAME_MAX + 1];
	size_t n = proof_key(w->question.list, w->question.zone, key);
	struct proof *p = map_get(l->proofs, span_of(key, n));
	bool is_new = p == NULL;

	if (is_new) {
		p = mem_alloc(sizeof(*p));
		p->owner = l;
		p->kind = w->question.list;
		p->timeout_ms = w->question.timeout_ms;
		(void)span_copy(
		    w->question.zone, p->zone, sizeof(p->zone)); /* shorter than a name */
		list_init(&p->asking);
		list_init(&p->next);
		(void)map_set(l->proofs, span_of(key, n), p); /* nothing stood there */
	}
	w->awaits_proof = true;
	list_append(&p->next, &w->node);
	if (is_new)
		proof_start(p);
}

/* --- questions ---------------------------------------------------------------------------------- */

static void
on_answer(void *arg, const struct dns_answer *a)
{
	struct listing_waiter *w = arg;

	w->waiter = NULL; /* it ends with this call */
	w->has_answer = true;
	w->answer = *a;
	w->is_known = w->is_asking;
	if (a->status == DNS_FOUND && w->is_known)
		w->proof = DNS_PROOF_GOOD; /* it was proved when it went into the cache */
	else if (a->status == DNS_FOUND && !w->question.is_fresh)
		prove(w);
	if (!w->is_asking && !w->awaits_proof)
		finish(w);
}

static struct listing_waiter *
waiter_new(struct listings *l, const struct dns_question *q,
    void (*done)(void *arg, const struct dns_answer *a), void *arg)
{
	struct listing_waiter *w = mem_alloc(sizeof(*w));

	w->owner = l;
	w->question = *q;
	w->done = done;
	w->arg = arg;
	list_init(&w->node);
	list_append(&l->waiters, &w->all);
	must(span_copy(q->name, w->name, sizeof(w->name))); /* dns_question_get has bounded it */
	w->question.name = span_str(w->name);
	w->question.zone = span_skip(w->question.name, q->name.n - q->zone.n);
	return w;
}

struct listing_waiter *
listing_ask(struct listings *l, const struct dns_question *q,
    void (*done)(void *arg, const struct dns_answer *a), void *arg)
{
	struct listing_waiter *w = waiter_new(l, q, done, arg);
	struct waiter *asked;

	must(q->list != DNS_LIST_NONE && q->zone.n < q->name.n);
	w->is_asking = true;
	asked = resolver_ask(l->resolver, &w->question, on_answer, w);
	w->is_asking = false;
	if (asked != NULL)
		w->waiter = asked;
	if (q->is_fresh)
		prove(w);
	if (w->has_answer && !w->awaits_proof) {
		finish(w);
		return NULL;
	}
	loop_timer(l->loop, &w->deadline, q->timeout_ms, on_deadline, w);
	return w;
}

/* --- its life ----------------------------------------------------------------------------------- */

struct listings *
listings_new(struct loop *loop, struct resolver *resolver)
{
	struct listings *l = mem_alloc(sizeof(*l));

	l->loop = loop;
	l->resolver = resolver;
	l->proofs = map_new();
	list_init(&l->waiters);
	return l;
}

void
listings_free(struct listings **pl)
{
	struct listings *l = *pl;
	struct span key;
	void *value;

	if (l == NULL)
		return;
	LIST_FOR_SAFE (it, &l->waiters) {
		struct listing_waiter *w = LIST_ENTRY(it, struct listing_waiter, all);

		listing_cancel(&w);
	}
	for (size_t at = 0; map_next(l->proofs, &at, &key, &value); at = 0)
		proof_free(value);
	map_free(&l->proofs);
	mem_free(l);
	*pl = NULL;
}

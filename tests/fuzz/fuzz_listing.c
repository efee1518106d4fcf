/*
 * DNS lists that say anything, at any time: each byte is a question, an answer to what is asked, a
 * change of mind, or time gone by.  Whoever asks is answered once; a listing counts, or is kept, only when
 * both canaries of its zone were denied and were asked for after it had come.
 */
#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/lookup/listing.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { ASKERS = 16, QUERIES_MAX = 64, ZONES = 2, TIMEOUT_MS = 1000 };

/* A resolver that answers when we say so: it takes the place of resolver.c. */
struct waiter {
	char name[LOOKUP_NAME_MAX + 1];
	int asked_at;
	bool is_canary;
	void (*done)(void *arg, const struct dns_answer *a);
	void *arg;
};

static struct waiter *queries[QUERIES_MAX];
static size_t n_queries;
static int step;
static bool fails_at_once, knows_at_once; /* the next question that is no canary */
static int denied_at[ZONES][2]; /* when the canaries were asked for that were denied last */

static struct asker {
	struct listing_waiter *waiter;
	bool is_waiting;
	int zone, listed_at; /* -1: not listed */
	bool is_known, is_fresh;
} askers[ASKERS];

static int
zone_of(const char *name)
{
	return span_ends_nocase(span_str(name), SPAN("b.test"));
}

static int
canary_of(const char *name)
{
	return !span_starts(span_str(name), SPAN("1.0.0.127."));
}

static void
drop(struct waiter *w)
{
	size_t i = 0;

	while (i < n_queries && queries[i] != w)
		i++;
	must(i < n_queries);
	memmove(&queries[i], &queries[i + 1], (--n_queries - i) * sizeof(struct waiter *));
	mem_free(w);
}

struct waiter *
resolver_ask(struct resolver *r, const struct dns_question *q,
    void (*done)(void *arg, const struct dns_answer *a), void *arg)
{
	static const struct dns_answer failed = {.status = DNS_FAILED};
	static const struct dns_answer known = {.status = DNS_FOUND};
	struct waiter *w;

	(void)r;
	must(q->list != DNS_LIST_NONE && q->name.n <= LOOKUP_NAME_MAX);
	if (q->zone.n == 0)
		must(q->is_fresh); /* a canary */
	if (fails_at_once || n_queries == QUERIES_MAX) {
		done(arg, &failed);
		return NULL;
	}
	if (knows_at_once && q->zone.n > 0 && !q->is_fresh) {
		done(arg, &known);
		return NULL;
	}
	w = mem_alloc(sizeof(*w));
	(void)span_copy(q->name, w->name, sizeof(w->name)); /* as long */
	*w = (struct waiter){
	    .asked_at = step, .is_canary = q->zone.n == 0, .done = done, .arg = arg};
	(void)span_copy(q->name, w->name, sizeof(w->name)); /* as long */
	queries[n_queries++] = w;
	return w;
}

void
resolver_cancel(struct waiter **w)
{
	if (*w != NULL)
		drop(*w);
	*w = NULL;
}

void
resolver_keep(struct resolver *r, const struct dns_question *q, const struct dns_answer *a)
{
	(void)r;
	must(a->status == DNS_FOUND && a->proof == DNS_PROOF_GOOD && !q->is_fresh);
}

static void
on_done(void *arg, const struct dns_answer *a)
{
	struct asker *x = arg;
	const int *denied = denied_at[x->zone];

	must(x->is_waiting);
	x->is_waiting = false;
	x->waiter = NULL;
	if (a->status != DNS_FOUND || x->is_known)
		return;
	must(a->proof == DNS_PROOF_GOOD && x->listed_at >= 0);
	must(x->is_fresh || (denied[0] >= x->listed_at && denied[1] >= x->listed_at));
}

static void
answer(struct waiter *w, enum dns_status status)
{
	struct dns_answer a = {.status = status};
	void (*done)(void *, const struct dns_answer *) = w->done;
	void *arg = w->arg;

	if (w->is_canary)
		denied_at[zone_of(w->name)][canary_of(w->name)] =
		    status == DNS_NONE ? w->asked_at : -1;
	else
		for (int i = 0; i < ASKERS;
		     i++) /* all who ask for it: each has a name of its own */
			if (askers[i].is_waiting && (int)w->name[0] == 'a' + i)
				askers[i].listed_at = status == DNS_FOUND ? step : -1;
	drop(w);
	done(arg, &a);
}

static void
ask(struct listings *l, int i, bool is_fresh)
{
	struct asker *x = &askers[i];
	char name[40];
	struct dns_question q = {
	    .type = DNS_A, .timeout_ms = TIMEOUT_MS, .list = DNS_LIST_IPV4, .is_fresh = is_fresh};
	struct listing_waiter *waiter;

	if (x->is_waiting)
		return;
	(void)snprintf(
	    name, sizeof(name), "%c.%s", 'a' + i, i & 1 ? "b.test" : "a.test"); /* short */
	q.name = span_str(name);
	q.zone = span_skip(q.name, 2);
	*x = (struct asker){.is_waiting = true,
	    .zone = i & 1,
	    .listed_at = -1,
	    .is_known = knows_at_once && !is_fresh,
	    .is_fresh = is_fresh};
	waiter = listing_ask(l, &q, on_done, x);
	if (x->is_waiting)
		x->waiter = waiter;
	must(x->is_waiting == (waiter != NULL));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static struct loop *loop;
	struct listings *listings;
	int64_t now_ms = 1000;

	if (loop == NULL)
		loop = loop_new();
	clock_fake(now_ms, 1);
	n_queries = 0;
	step = 0;
	memset(askers, 0, sizeof(askers));
	memset(denied_at, -1, sizeof(denied_at));
	listings = listings_new(loop, NULL);
	for (size_t i = 0; i < n; i++) {
		struct asker *x = &askers[data[i] % ASKERS];

		step++;
		fails_at_once = knows_at_once = false;
		switch (data[i] >> 4) {
		case 0:
			fails_at_once = true;
			ask(listings, data[i] % ASKERS, false);
			break;
		case 1:
			knows_at_once = true;
			ask(listings, data[i] % ASKERS, false);
			break;
		case 2:
			ask(listings, data[i] % ASKERS, true);
			break;
		case 3:
		case 4:
		case 5:
			ask(listings, data[i] % ASKERS, false);
			break;
		case 6:
			listing_cancel(&x->waiter);
			x->is_waiting = false;
			break;
		case 7:
			clock_fake(now_ms += TIMEOUT_MS / 4, 1);
			break;
		default:
			if (n_queries > 0)
				answer(queries[data[i] % n_queries],
				    (enum dns_status)((data[i] >> 4) % 4));
			break;
		}
		loop_turn(loop, 0);
	}
	clock_fake(now_ms += TIMEOUT_MS, 1);
	loop_turn(loop, 0);
	for (int i = 0; i < ASKERS; i++)
		must(!askers[i].is_waiting);
	listings_free(&listings);
	must(n_queries == 0);
	return 0;
}

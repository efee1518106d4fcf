/*
 * A source that says anything, at any time: each byte is a denial, a confirmation, an answer or an
 * hour gone by.  Everybody who waits is told once, and no denial is believed without an answer to a
 * question asked after it.
 */
#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"
#include "relay/lookup/witness.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

enum { WAITERS = 32, HOUR_MS = 3600 * 1000 };

static struct world {
	struct witness *witness;
	struct source_query *query;
	int asked_at; /* when the first question of this round was */
	bool is_round, has_found;
	struct waiting {
		struct witness_waiter waiter;
		int denied_at; /* -1: nobody waits */
	} waiting[WAITERS];
	int step;
} w;

static void
take_query(void *arg, struct source_query *q)
{
	(void)arg;
	must(w.query == NULL && span_str(q->address).n > 0);
	w.query = q;
	if (!w.is_round)
		w.asked_at = w.step;
	w.is_round = true;
}

static void
on_done(void *arg, bool is_believed, const char *why)
{
	struct waiting *x = arg;

	must(x->denied_at >= 0 && x->denied_at <= w.asked_at);
	must(is_believed == w.has_found);
	must(is_believed || why[0] != '\0');
	x->denied_at = -1;
	w.is_round = false;
}

static void
answer(enum recipient_state state)
{
	struct source_query *q = w.query;

	if (q == NULL)
		return;
	w.query = NULL;
	w.has_found = state == RECIPIENT_EXISTS;
	q->on_answer(q, state, "so");
	w.has_found = false;
	must(w.query != NULL || !w.is_round);
}

static void
deny(struct waiting *x, const char *address)
{
	if (x->denied_at >= 0)
		return;
	x->denied_at = w.step;
	x->waiter = (struct witness_waiter){.done = on_done, .arg = x};
	list_init(&x->waiter.node);
	witness_ask(w.witness, &x->waiter, span_str(address));
	must(w.query != NULL); /* whoever waits waits for something */
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const struct conf_ldap directory = {.name = "l"};
	struct conf_domain domain = {.name = "d.example"};
	int64_t now_ms = 1000;

	if (n == 0)
		return 0;
	if (data[0] & 1)
		domain.ldap = &directory;
	domain.has_subdomains = data[0] & 2;
	if (data[0] & 4)
		domain.canary = "yes@d.example";
	clock_fake(now_ms, 1);
	w = (struct world){0};
	for (int i = 0; i < WAITERS; i++)
		w.waiting[i].denied_at = -1;
	w.witness = witness_new(&domain, take_query, NULL);
	for (size_t i = 1; i < n; i++) {
		char address[40];

		w.step++;
		(void)snprintf(address, sizeof(address), "u%d@d.example", data[i] & 15); /* short */
		switch (data[i] >> 5) {
		case 0:
		case 1:
			deny(&w.waiting[data[i] % WAITERS], address);
			break;
		case 2:
			witness_confirmed(w.witness, span_str(address));
			break;
		case 3:
			witness_forget(w.witness, data[i] & 16 ? SPAN("") : span_str(address));
			break;
		case 4:
			clock_fake(now_ms += HOUR_MS, 1);
			break;
		default:
			answer((enum recipient_state)(data[i] >> 5) - 5);
			break;
		}
	}
	witness_free(&w.witness);
	return 0;
}

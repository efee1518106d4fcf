#include "relay/lookup/witness.h"
#include "relay/base/clock.h"
#include "relay/base/err.h"
#include "relay/base/mem.h"

#include <stdio.h>

struct voucher {
	int64_t confirmed_ms;
	bool is_denied; /* in this round, */
	struct source_server denied_by;
	char address[LOOKUP_ADDRESS_MAX + 1];
};

struct witness {
	const struct conf_domain *domain;
	void (*ask)(void *arg, struct source_query *q);
	void *arg;
	struct voucher *vouchers[WITNESS_VOUCHERS_MAX]; /* the one confirmed last comes first */
	size_t n_vouchers;
	struct list asking; /* struct witness_waiter: what is being asked is for them */
	struct list next;   /* they came while it was under way */
	struct source_query query;
	bool is_asking;
	size_t n_denied;                            /* in this round */
	char denied_domain[LOOKUP_ADDRESS_MAX + 1]; /* the last one's */
};

/* --- vouchers ----------------------------------------------------------------------------------- */

static size_t
find(const struct witness *w, struct span address)
{
	size_t i = 0;

	while (i < w->n_vouchers && !span_eq_nocase(span_str(w->vouchers[i]->address), address))
		i++;
	return i;
}

static struct voucher *
take_out(struct witness *w, size_t i)
{
	struct voucher *v = w->vouchers[i];

	w->n_vouchers--;
	memmove(
	    &w->vouchers[i], &w->vouchers[i + 1], (w->n_vouchers - i) * sizeof(struct voucher *));
	return v;
}

static void
put_first(struct witness *w, struct voucher *v)
{
	memmove(&w->vouchers[1], &w->vouchers[0], w->n_vouchers * sizeof(struct voucher *));
	w->vouchers[0] = v;
	w->n_vouchers++;
}

static void
drop_last(struct witness *w)
{
	mem_free(take_out(w, w->n_vouchers - 1));
}

/* Denied: the others are asked before it from now on. */
static void
put_last(struct witness *w, size_t i)
{
	struct voucher *v = take_out(w, i);

	v->is_denied = true;
	v->denied_by = w->query.server;
	w->vouchers[w->n_vouchers++] = v;
}

/* By the server that has just shown that it knows others. */
static void
drop_denied(struct witness *w)
{
	for (size_t i = w->n_vouchers; i-- > 0;)
		if (w->vouchers[i]->is_denied &&
		    source_server_eq(&w->vouchers[i]->denied_by, &w->query.server))
			mem_free(take_out(w, i));
}

static void
drop_old(struct witness *w)
{
	for (size_t i = w->n_vouchers; i-- > 0;)
		if (clock_mono_ms() - w->vouchers[i]->confirmed_ms >= WITNESS_KEEP_MS)
			mem_free(take_out(w, i));
}

void
witness_confirmed(struct witness *w, struct span address)
{
	size_t i = find(w, address);
	struct voucher *v;

	if (i < w->n_vouchers) {
		v = take_out(w, i);
	} else {
		v = mem_alloc(sizeof(*v));
		must(span_copy(address, v->address, sizeof(v->address)));
		if (w->n_vouchers == WITNESS_VOUCHERS_MAX)
			drop_last(w);
	}
	v->confirmed_ms = clock_mono_ms();
	v->is_denied = false;
	put_first(w, v);
}

void
witness_forget(struct witness *w, struct span address)
{
	for (size_t i = w->n_vouchers; i-- > 0;)
		if (address.n == 0 || span_eq_nocase(span_str(w->vouchers[i]->address), address))
			mem_free(take_out(w, i));
}

/* --- what is asked, one after the other --------------------------------------------------------- */

static void ask_next(struct witness *w);

static void
begin(struct witness *w)
{
	while (!list_is_empty(&w->next)) {
		struct list *first = w->next.next;

		list_remove(first);
		list_append(&w->asking, first);
	}
	w->n_denied = 0;
	drop_old(w);
	for (size_t i = 0; i < w->n_vouchers; i++)
		w->vouchers[i]->is_denied = false;
	ask_next(w);
}

/* Whoever is told may ask again, and goes to the next round. */
static void
end(struct witness *w, bool is_vouched, const char *why)
{
	static const char other[] = "it is not believed, since another of its servers vouches";
	struct source_server server = w->query.server;

	while (!list_is_empty(&w->asking)) {
		struct witness_waiter *waiter =
		    LIST_ENTRY(w->asking.next, struct witness_waiter, node);

		list_remove(&waiter->node);
		if (is_vouched && !source_server_eq(&waiter->server, &server))
			waiter->done(waiter->arg, false, other);
		else
			waiter->done(waiter->arg, is_vouched, why);
	}
	w->is_asking = !list_is_empty(&w->next);
	if (w->is_asking)
		begin(w);
}

static void
end_denied(struct witness *w)
{
	char why[LOOKUP_WHY_MAX + 1];
	const char *format = "it is not believed, since it denies %.120s, too";

	if (w->query.is_ending)
		format = "it is not believed, since it finds no address at all that ends in %.120s";
	else if (w->domain->canary == NULL && w->n_vouchers == 0)
		format = "it is not believed, since it has confirmed nobody yet, not even %.120s; "
			 "give the domain a canary";
	(void)snprintf(why, sizeof(why), format, w->query.address); /* cut is fine */
	end(w, false, why);
}

static void
on_answer(struct source_query *q, enum recipient_state state, const char *why)
{
	struct witness *w = q->arg;
	char text[LOOKUP_WHY_MAX + 1];
	size_t i = find(w, span_str(q->address));

	switch (state) {
	case RECIPIENT_EXISTS:
		if (i < w->n_vouchers) {
			witness_confirmed(w, span_str(q->address));
			drop_denied(w); /* they have really gone */
		}
		end(w, true, "");
		return;
	case RECIPIENT_NONE:
		if (i < w->n_vouchers)
			put_last(w, i);
		w->n_denied++;
		ask_next(w);
		return;
	case RECIPIENT_UNKNOWN:
		(void)snprintf(text, sizeof(text), "its canary: %.200s", why); /* cut is fine */
		end(w, false, text);
		return;
	}
}

static void
ask_for(struct witness *w, struct span address, bool is_ending)
{
	w->query = (struct source_query){
	    .domain = w->domain, .is_ending = is_ending, .on_answer = on_answer, .arg = w};
	list_init(&w->query.node);
	must(span_copy(address, w->query.address, sizeof(w->query.address)));
	w->ask(w->arg, &w->query);
}

/* Nobody is known: anybody at all will do, or who must be there. */
static void
ask_stranger(struct witness *w)
{
	const struct conf_domain *d = w->domain;
	char address[LOOKUP_ADDRESS_MAX + 1];

	if (d->ldap != NULL)
		(void)snprintf(address, sizeof(address), "%s%s", d->has_subdomains ? "" : "@",
		    d->name); /* fits */
	else
		(void)snprintf(
		    address, sizeof(address), "postmaster@%.400s", w->denied_domain); /* fits */
	ask_for(w, span_str(address), d->ldap != NULL);
}

static void
ask_next(struct witness *w)
{
	const char *canary = w->domain->canary;
	size_t most = w->n_vouchers < WITNESS_ASKED_MAX ? w->n_vouchers : WITNESS_ASKED_MAX;

	if (canary != NULL)
		most = 1;
	if (w->n_denied > 0 && w->n_denied >= most)
		end_denied(w);
	else if (canary != NULL)
		ask_for(w, span_str(canary), false);
	else if (w->n_vouchers > 0)
		ask_for(w, span_str(w->vouchers[0]->address), false);
	else
		ask_stranger(w);
}

void
witness_ask(struct witness *w, struct witness_waiter *waiter, struct span denied)
{
	list_append(&w->next, &waiter->node);
	(void)span_copy(span_skip(denied, span_rfind(denied, '@') + 1), w->denied_domain,
	    sizeof(w->denied_domain)); /* an address fits */
	if (w->is_asking)
		return;
	w->is_asking = true;
	begin(w);
}

/* --- its life ----------------------------------------------------------------------------------- */

struct witness *
witness_new(
    const struct conf_domain *domain, void (*ask)(void *arg, struct source_query *q), void *arg)
{
	struct witness *w = mem_alloc(sizeof(*w));

	w->domain = domain;
	w->ask = ask;
	w->arg = arg;
	list_init(&w->asking);
	list_init(&w->next);
	return w;
}

void
witness_free(struct witness **w)
{
	if (*w == NULL)
		return;
	witness_forget(*w, (struct span){0});
	mem_free(*w);
	*w = NULL;
}

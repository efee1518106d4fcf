#include "relay/lookup/verify.h"
#include "relay/base/clock.h"
#include "relay/base/map.h"
#include "relay/base/mem.h"
#include "relay/base/rng.h"
#include "relay/lookup/callout.h"
#include "relay/lookup/known.h"
#include "relay/lookup/ldap.h"
#include "relay/lookup/witness.h"

#include <stdio.h>

/* An address that its source is asked for. */
struct asking {
	struct list node;
	struct verify *verify;
	const struct conf_domain *domain;
	char key[LOOKUP_ADDRESS_MAX + 1]; /* lower case */
	char address[LOOKUP_ADDRESS_MAX + 1];
	struct source_query query;
	struct witness_waiter witness; /* of the denial in `why` */
	char why[LOOKUP_WHY_MAX + 1];
	struct list waiters;
};

struct verify_waiter {
	struct list node;
	void (*done)(void *arg, const struct recipient_answer *a);
	void *arg;
};

/* How the source of a domain does. */
struct source_state {
	struct verify *verify;
	const struct conf_domain *domain;
	bool is_away;
	bool is_doubted; /* and the canary of the configuration has not vouched since */
	struct witness *witness;
	int64_t pause_ms;
	struct timer *again;
	char address[LOOKUP_ADDRESS_MAX + 1]; /* what it could not say */
	/* Whether it says yes to everybody: a random address is asked for, and while it does, again. */
	struct source_query random;
	struct timer *random_again;
	int64_t random_due_ms;
	bool takes_all;
};

struct verify {
	struct loop *loop;
	const struct config *config;
	struct source_report report;
	struct known *known;
	struct map *by_key; /* struct asking */
	struct list askings;
	struct ldap_source **ldaps;   /* in the order of config->ldaps */
	struct callout *callout;      /* NULL: no domain has one */
	struct source_state *sources; /* in the order of config->domains */
	uint64_t n_asked, n_unknown;
};

/* --- names -------------------------------------------------------------------------------------- */

static void
source_name(const struct conf_domain *d, char *to, size_t size)
{
	if (d->ldap != NULL)
		(void)snprintf(to, size, "ldap:%s", d->ldap->name); /* cut is fine */
	else
		(void)snprintf(to, size, "callout:%s", d->gateway->name); /* cut is fine */
}

static const struct conf_keep *
keep_of(const struct verify *v, const struct conf_domain *d)
{
	return d->ldap != NULL ? &d->ldap->keep : &v->config->callout.keep;
}

static void
send_query(struct verify *v, struct source_query *q)
{
	const struct conf_domain *d = q->domain;

	v->n_asked++;
	if (d->ldap != NULL)
		ldap_source_ask(v->ldaps[d->ldap - v->config->ldaps], q);
	else
		callout_ask(v->callout, q);
}

/* --- alarms ------------------------------------------------------------------------------------- */

static struct asking *ask_source(
    struct verify *v, const struct conf_domain *d, struct span address);
static struct asking *find_asking(const struct verify *v, struct span address);

static void on_random_again(void *arg);

static void
report(struct source_state *s, const char *why)
{
	char name[320], source[160], what[700];

	source_name(s->domain, source, sizeof(source));
	(void)snprintf(name, sizeof(name), "recipients %s", s->domain->name); /* fits */
	(void)snprintf(what, sizeof(what), "recipients of %s cannot be verified by %s: %s",
	    s->domain->name, source, why); /* cut is fine */
	source_tell(&s->verify->report, name, what,
	    !s->is_away ? NULL
	    : s->domain->takes_unknown
		? "see to it; until then recipients that were not asked for before are taken unseen"
		: "see to it; until then recipients that were not asked for before get 451");
}

static void
on_again(void *arg)
{
	struct source_state *s = arg;
	struct span address =
	    span_str(s->is_doubted ? s->domain->canary : s->address); /* for the alarm only */

	if (find_asking(s->verify, address) == NULL)
		(void)ask_source(s->verify, s->domain, address);
}

static void
source_away(struct source_state *s, struct span address, const char *why)
{
	s->pause_ms = s->is_away ? s->pause_ms * 2 : VERIFY_AGAIN_MIN_MS;
	if (s->pause_ms > VERIFY_AGAIN_MAX_MS)
		s->pause_ms = VERIFY_AGAIN_MAX_MS;
	if (s->again != NULL && s->is_away)
		s->pause_ms /= 2; /* one that a client asked in between: the pace stays */
	else
		loop_timer(s->verify->loop, &s->again, s->pause_ms, on_again, s);
	s->is_away = true;
	(void)span_copy(address, s->address, sizeof(s->address)); /* as long */
	report(s, why);
}

/*
 * The source knows this address, or its denial of it is believed.  One that has denied its canary
 * and knows others has lost some of its data, and is not well; the canary is asked for soon, since
 * it may be.
 */
static void
source_well(struct source_state *s, struct span address, bool is_denial)
{
	if (s->is_doubted && !is_denial && !span_eq_nocase(address, span_str(s->domain->canary))) {
		if (s->pause_ms > VERIFY_AGAIN_MIN_MS) {
			s->pause_ms = VERIFY_AGAIN_MIN_MS;
			loop_timer(s->verify->loop, &s->again, s->pause_ms, on_again, s);
		}
		return;
	}
	timer_cancel(&s->again);
	s->is_doubted = false;
	if (!s->is_away)
		return;
	s->is_away = false;
	report(s, "it answers again");
}

/* --- answers ------------------------------------------------------------------------------------ */

static struct source_state *
state_of(struct verify *v, const struct conf_domain *d)
{
	return &v->sources[d - v->config->domains];
}

static void
asking_free(struct asking *a)
{
	list_remove(&a->node);
	must(map_remove(a->verify->by_key, span_str(a->key)) == a);
	LIST_FOR_SAFE (it, &a->waiters) {
		list_remove(it);
		mem_free(LIST_ENTRY(it, struct verify_waiter, node));
	}
	mem_free(a);
}

static void
tell(struct asking *a, const struct recipient_answer *answer)
{
	while (!list_is_empty(&a->waiters)) {
		struct verify_waiter *w = LIST_ENTRY(a->waiters.next, struct verify_waiter, node);

		list_remove(&w->node);
		w->done(w->arg, answer);
		mem_free(w);
	}
	asking_free(a);
}

/* --- those who say yes to everybody -------------------------------------------------------------- */

static void
note_takes_all(struct source_state *s, bool takes_all)
{
	char name[320], source[160], what[600];

	if (s->takes_all == takes_all)
		return;
	s->takes_all = takes_all;
	if (s->domain->ldap == NULL)
		return; /* callout.c says it, for the server */
	source_name(s->domain, source, sizeof(source));
	(void)snprintf(name, sizeof(name), "recipients-all %s", s->domain->name); /* fits */
	(void)snprintf(what, sizeof(what),
	    "%s finds addresses of %s that nobody has; its answers tell nothing", source,
	    s->domain->name); /* cut is fine */
	source_tell(&s->verify->report, name, what,
	    takes_all ? "see to its filter: it should find one entry by its address" : NULL);
}

static void
on_random(struct source_query *q, enum recipient_state state, const char *why)
{
	struct source_state *s = q->arg;

	(void)why; /* nobody has asked */
	if (state != RECIPIENT_UNKNOWN)
		note_takes_all(s, state == RECIPIENT_EXISTS);
	if (s->takes_all)
		loop_timer(s->verify->loop, &s->random_again,
		    keep_of(s->verify, s->domain)->probe_ms, on_random_again, s);
}

static void
ask_random(struct source_state *s)
{
	struct source_query *q = &s->random;

	s->random_due_ms = clock_mono_ms() + keep_of(s->verify, s->domain)->probe_ms;
	if (q->source != NULL)
		return; /* it is being asked */
	*q = (struct source_query){.domain = s->domain, .on_answer = on_random, .arg = s};
	list_init(&q->node);
	(void)snprintf(q->address, sizeof(q->address), "no-such-%016llx@%s",
	    (unsigned long long)rng_u64(), s->domain->name); /* fits */
	send_query(s->verify, q);
}

static void
on_random_again(void *arg)
{
	ask_random(arg);
}

/* The source has found somebody. */
static void
look_for_everybody(struct source_state *s, const struct source_query *q)
{
	int64_t probe_ms = keep_of(s->verify, s->domain)->probe_ms;

	if (q->takes_all && !s->takes_all) {
		s->takes_all = true;
		loop_timer(s->verify->loop, &s->random_again, probe_ms, on_random_again, s);
	} else if (s->domain->ldap != NULL && s->random_again == NULL &&
		   clock_mono_ms() >= s->random_due_ms) {
		/* A while later: nothing of ours shall keep a directory busy that clients wait for. */
		loop_timer(s->verify->loop, &s->random_again,
		    probe_ms < VERIFY_RANDOM_MS ? probe_ms : VERIFY_RANDOM_MS, on_random_again, s);
	}
}

/* --- denials and the rest ------------------------------------------------------------------------ */

static void
settle(struct asking *a, enum recipient_state state, const char *why)
{
	struct recipient_answer answer = {.state = state};
	struct verify *v = a->verify;
	struct span address = span_str(a->address);
	int64_t now_ms = clock_mono_ms();
	struct known_answer old;

	(void)span_copy(span_take(span_str(why), LOOKUP_WHY_MAX), answer.why,
	    sizeof(answer.why)); /* cut to fit */
	if (state != RECIPIENT_UNKNOWN) {
		known_put(v->known, address, now_ms, keep_of(v, a->domain), state, why);
		source_well(state_of(v, a->domain), address, state == RECIPIENT_NONE);
	} else {
		source_away(state_of(v, a->domain), address, why);
		if (known_get(v->known, address, now_ms, &old) && old.state == RECIPIENT_EXISTS) {
			answer.state = RECIPIENT_EXISTS;
			answer.is_cached = answer.is_stale = true;
		} else {
			v->n_unknown++;
		}
	}
	tell(a, &answer);
}

static void
on_witness(void *arg, bool is_believed, const char *why)
{
	struct asking *a = arg;

	if (!is_believed && a->domain->canary != NULL)
		state_of(a->verify, a->domain)->is_doubted = true;
	settle(a, is_believed ? RECIPIENT_NONE : RECIPIENT_UNKNOWN, is_believed ? a->why : why);
}

static void
on_answer(struct source_query *q, enum recipient_state state, const char *why)
{
	struct asking *a = q->arg;
	struct source_state *s = state_of(a->verify, a->domain);

	if (state == RECIPIENT_NONE) {
		(void)span_copy(span_take(span_str(why), LOOKUP_WHY_MAX), a->why,
		    sizeof(a->why)); /* cut to fit */
		a->witness.server = q->server;
		witness_ask(s->witness, &a->witness, span_str(a->address));
		return;
	}
	if (state == RECIPIENT_EXISTS) {
		if (!q->takes_all && !s->takes_all)
			witness_confirmed(s->witness, span_str(a->address));
		look_for_everybody(s, q);
	}
	settle(a, state, why);
}

/* --- questions ---------------------------------------------------------------------------------- */

static void
lower(struct span address, char *to)
{
	for (size_t i = 0; i < address.n; i++)
		to[i] = char_lower(address.p[i]);
	to[address.n] = '\0';
}

static struct asking *
find_asking(const struct verify *v, struct span address)
{
	char key[LOOKUP_ADDRESS_MAX + 1];

	lower(address, key);
	return map_get(v->by_key, span_str(key));
}

static struct asking *
ask_source(struct verify *v, const struct conf_domain *d, struct span address)
{
	struct asking *a = mem_alloc(sizeof(*a));

	a->verify = v;
	a->domain = d;
	lower(address, a->key);
	must(span_copy(address, a->address, sizeof(a->address)));
	list_init(&a->waiters);
	list_append(&v->askings, &a->node);
	(void)map_set(v->by_key, span_str(a->key), a); /* find_asking has found none */
	a->query = (struct source_query){.domain = d, .on_answer = on_answer, .arg = a};
	list_init(&a->query.node);
	must(span_copy(address, a->query.address, sizeof(a->query.address)));
	a->witness = (struct witness_waiter){.done = on_witness, .arg = a};
	list_init(&a->witness.node);
	send_query(v, &a->query);
	return a;
}

static struct verify_waiter *
answer_unknown(
    void (*done)(void *arg, const struct recipient_answer *a), void *arg, const char *why)
{
	struct recipient_answer answer = {.state = RECIPIENT_UNKNOWN};

	(void)span_copy(span_str(why), answer.why, sizeof(answer.why)); /* ours: it fits */
	done(arg, &answer);
	return NULL;
}

struct verify_waiter *
verify_ask(struct verify *v, const struct recipient_question *q,
    void (*done)(void *arg, const struct recipient_answer *a), void *arg)
{
	const struct conf_domain *d;
	struct known_answer known;
	struct verify_waiter *w;
	struct asking *a;

	if (q->domain >= v->config->n_domains ||
	    !config_asks_recipients(&v->config->domains[q->domain]))
		return answer_unknown(done, arg, "this domain has no source to be asked");
	d = &v->config->domains[q->domain];
	if (known_get(v->known, q->address, clock_mono_ms(), &known) &&
	    clock_mono_ms() < known.expires_ms) {
		struct recipient_answer answer = {.state = known.state, .is_cached = true};

		(void)span_copy(span_str(known.why), answer.why, sizeof(answer.why)); /* as long */
		done(arg, &answer);
		return NULL;
	}
	a = find_asking(v, q->address);
	if (a == NULL && map_count(v->by_key) >= VERIFY_ASKING_MAX)
		return answer_unknown(done, arg, "too many recipients are asked for at a time");
	if (a == NULL)
		a = ask_source(v, d, q->address);
	w = mem_alloc(sizeof(*w));
	w->done = done;
	w->arg = arg;
	list_append(&a->waiters, &w->node);
	return w;
}

void
verify_cancel(struct verify_waiter **w)
{
	if (*w == NULL)
		return;
	list_remove(&(*w)->node);
	mem_free(*w);
	*w = NULL;
}

/* --- for the admin ------------------------------------------------------------------------------ */

bool
verify_show(struct verify *v, struct span address, struct buf *to)
{
	struct span domain = span_skip(address, span_rfind(address, '@') + 1);
	const struct conf_domain *d = config_domain(v->config, domain);
	int64_t now_ms = clock_mono_ms(), wall_ms = clock_wall_ms();
	struct known_answer known;
	struct json j = {.to = to};
	char source[160];

	if (address.n > LOOKUP_ADDRESS_MAX || d == NULL || !config_asks_recipients(d)) {
		(void)buf_add_str(to, "no source is asked for recipients of this domain");
		return false;
	}
	if (!known_get(v->known, address, now_ms, &known)) {
		(void)buf_add_str(to, "nothing is known of this recipient; it is asked for at the "
				      "next RCPT");
		return false;
	}
	source_name(d, source, sizeof(source));
	json_open(&j, NULL, '{');
	json_text(&j, "address", address);
	json_str(&j, "domain", d->name);
	json_str(&j, "source", source);
	json_str(&j, "state", known.state == RECIPIENT_EXISTS ? "exists" : "none");
	json_str(&j, "why", known.why);
	json_int(&j, "age", (now_ms - known.learned_ms) / 1000);
	json_time(&j, "expires", wall_ms + known.expires_ms - now_ms);
	json_bool(&j, "stale", now_ms >= known.expires_ms);
	json_close(&j, '}');
	(void)buf_add_char(to, '\n'); /* sticky: whoever reads tests */
	return true;
}

size_t
verify_clear(struct verify *v, struct span address)
{
	for (size_t i = 0; i < v->config->n_domains; i++)
		if (v->sources[i].witness != NULL)
			witness_forget(v->sources[i].witness, address);
	if (address.n == 0)
		return known_drop_all(v->known);
	return address.n <= LOOKUP_ADDRESS_MAX && known_drop(v->known, address);
}

void
verify_add_status(const struct verify *v, struct json *j)
{
	json_open(j, "recipients", '{');
	json_int(j, "known", (int64_t)known_count(v->known));
	json_int(j, "asking", (int64_t)map_count(v->by_key));
	json_int(j, "asked", (int64_t)v->n_asked);
	json_int(j, "unknown", (int64_t)v->n_unknown);
	json_close(j, '}');
}

/* --- its life ----------------------------------------------------------------------------------- */

static void
ask_for_witness(void *arg, struct source_query *q)
{
	send_query(arg, q);
}

static int
open_sources(struct verify *v, struct resolver *resolver, struct err *err)
{
	const struct config *c = v->config;

	v->ldaps = mem_array(c->n_ldaps, sizeof(struct ldap_source *));
	for (size_t i = 0; i < c->n_ldaps; i++) {
		v->ldaps[i] = ldap_source_new(v->loop, resolver, &c->ldaps[i], err);
		if (v->ldaps[i] == NULL)
			return -err->code;
	}
	v->sources = mem_array(c->n_domains, sizeof(struct source_state));
	for (size_t i = 0; i < c->n_domains; i++) {
		v->sources[i].verify = v;
		v->sources[i].domain = &c->domains[i];
		if (config_asks_recipients(&c->domains[i]))
			v->sources[i].witness = witness_new(&c->domains[i], ask_for_witness, v);
		if (c->domains[i].recipients != RECIPIENTS_CALLOUT || v->callout != NULL)
			continue;
		v->callout = callout_new(v->loop, resolver, c, &v->report, err);
		if (v->callout == NULL)
			return -err->code;
	}
	return 0;
}

struct verify *
verify_new(struct loop *loop, const struct config *config, struct resolver *resolver,
    const struct source_report *to, struct err *err)
{
	struct verify *v = mem_alloc(sizeof(*v));

	v->loop = loop;
	v->config = config;
	v->report = *to;
	v->known = known_new(KNOWN_ENTRIES_MAX);
	v->by_key = map_new();
	list_init(&v->askings);
	if (open_sources(v, resolver, err) < 0)
		verify_free(&v);
	return v;
}

void
verify_free(struct verify **verify)
{
	struct verify *v = *verify;

	if (v == NULL)
		return;
	for (size_t i = 0; v->sources != NULL && i < v->config->n_domains; i++) {
		timer_cancel(&v->sources[i].again);
		timer_cancel(&v->sources[i].random_again);
	}
	callout_free(&v->callout); /* lets go of the queries that the askings hold */
	for (size_t i = 0; v->ldaps != NULL && i < v->config->n_ldaps; i++)
		ldap_source_free(&v->ldaps[i]);
	for (size_t i = 0; v->sources != NULL && i < v->config->n_domains; i++)
		witness_free(&v->sources[i].witness);
	LIST_FOR_SAFE (it, &v->askings)
		asking_free(LIST_ENTRY(it, struct asking, node));
	map_free(&v->by_key);
	known_free(&v->known);
	mem_free(v->ldaps);
	mem_free(v->sources);
	mem_free(v);
	*verify = NULL;
}

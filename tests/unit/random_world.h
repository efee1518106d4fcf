/*
 * random_world.h - three gateways, their servers' whims, and what is told of every message: the first
 * half of test_walk_random.c.
 */
#ifndef TEST_RANDOM_WORLD_H
#define TEST_RANDOM_WORLD_H
#include "relay/base/log.h"
#include "relay/base/rng.h"
#include "relay/deliver/report.h"
#include "relay/deliver/transit.h"
#include "relay/walk/admin.h"
#include "tests/unit/fake_courier.h"
#include "tests/unit/fake_spool.h"
#include "tests/unit/random_ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

enum {
	ROUNDS = 400,
	STEPS = 250,
	MAILS = 25,
	TEXT_MAX = 1024,
	MINUTE_MS = 60 * 1000,
	HOUR_MS = 60 * MINUTE_MS,

	WAIT_MS = 20000,
	DRAIN_HOURS = 60
};
#define WALL_MS    1700000000000LL
#define LONGEST_MS (31LL * 24 * 3600 * 1000)

static struct loop *loop;
static struct conf_server servers[4];
static struct conf_gateway gateways[3];
static struct conf_domain domains[3];
static struct conf_flow flows[1];
static struct config config;
static struct delivery d;
static int64_t mono_ms, wall_ms;
static uint64_t seed;
static size_t n_mails;
static int n_step;
static bool is_calm; /* everything works */

static bool
one_in(uint32_t n)
{
	return rng_below(n) == 0;
}

void
log_write(enum log_level level, const char *event, const struct kv *kvs)
{
	(void)level;
	(void)event;
	(void)kvs;
}

/* --- what is told ------------------------------------------------------------------------------ */

void
report_rcpt(struct channel *journal, const struct queue_entry *e, const struct queue_rcpt *r,
    const char *event, const char *server, struct span reply)
{
	struct ledger_rcpt *l = ledger_rcpt(span_str(e->id), r->address);

	(void)journal;
	(void)server;
	(void)reply;
	l->n_bounced += strcmp(event, "bounced") == 0;
	l->n_deleted += strcmp(event, "deleted") == 0;
}

static void
on_problem(void *arg, const char *name, const char *what, const char *do_this)
{
	(void)arg;
	(void)name;
	(void)what;
	(void)do_this;
}

static void
on_through(void *arg, const struct arrival *a, const struct refusal *refusal)
{
	struct ledger_mail *m = &ledger[a->front_id];

	(void)arg;
	must(!m->is_acked && m->refused == 0);
	if (refusal == NULL)
		m->is_acked = true;
	else
		m->refused = refusal->code;
}

static void
on_arrival(void *arg, struct arrival *a, const struct err *err)
{
	(void)arg;
	if (a->is_notice && err == NULL)
		(void)ledger_adopt(a->entry);
	if (a->is_kept) {
		through_arrived(&d, a, err);
	} else if (a->is_notice) {
		settle_notice(&d, a, err);
	} else if (err == NULL) {
		ledger[a->front_id].is_acked = true;
		deliver_start(&d, a->entry);
	} else {
		ledger[a->front_id].refused = 451;
	}
}

/* --- gateways ---------------------------------------------------------------------------------- */

/* As the courier reads it; of front's messages the bytes are known. */
static void
check_bytes(const struct carry *c)
{
	const struct queue_leg *leg = c->carriage.leg;
	char *bytes = mem_alloc((size_t)leg_size(leg) + 1), wanted[TEXT_MAX];
	const struct ledger_mail *m = ledger_find(span_str(leg->entry->id));

	for (size_t at = 0; at < leg_size(leg);) {
		size_t n = (size_t)leg_size(leg) - at;
		uint64_t place = leg_place(leg, at, &n);

		must(n > 0);
		must(transit_read(d.spool, leg->entry, place, bytes + at, n) == 0);
		at += n;
	}
	(void)snprintf(wanted, sizeof(wanted), "Subject: copy %u\r\n\r\n%s\r\n", leg->copy, m->id);
	if (leg->entry->kind == MAIL_RELAYED)
		must(span_eq(span_of(bytes, (size_t)leg_size(leg)), span_str(wanted)));
	mem_free(bytes);
}

static struct ledger_rcpt *
carried(const struct carry *c, size_t i)
{
	const struct queue_entry *e = c->carriage.leg->entry;

	return ledger_rcpt(span_str(e->id), e->rcpts[c->carriage.rcpts[i]].address);
}

/* The server has it, for whoever was not refused by name. */
static void
deliver_all(const struct carry *c, bool is_certain)
{
	check_bytes(c);
	for (size_t i = 0; i < c->carriage.n_rcpts; i++) {
		if (c->carriage.is_refused[i])
			continue;
		carried(c, i)->n_delivered++;
		if (!is_certain)
			carried(c, i)->may_repeat = true;
	}
}

static void
refuse_some(struct carry *c)
{
	struct courier *k = d.courier;

	for (size_t i = 0; i < c->carriage.n_rcpts; i++) {
		int code = one_in(2) ? 550 : 451;

		if (!one_in(4))
			continue;
		c->carriage.is_refused[i] = true;
		c->carriage.n_refused++;
		k->events->on_rcpt(
		    k->arg, &c->carriage, i, code, SPAN("450 4.2.0 words of a server"));
	}
}

static void
end_carry(struct carry *c)
{
	static const enum client_outcome outcomes[] = {CLIENT_ACCEPTED, CLIENT_ACCEPTED,
	    CLIENT_ACCEPTED, CLIENT_REFUSED, CLIENT_REFUSED, CLIENT_UNREACHABLE, CLIENT_LOST,
	    CLIENT_STALE, CLIENT_UNCERTAIN, CLIENT_UNREADABLE};
	struct client_end end = {
	    .code = 250, .reply = SPAN("250 2.0.0 taken"), .has_dsn = one_in(2)};

	end.outcome = is_calm ? CLIENT_ACCEPTED : outcomes[rng_below(9 + one_in(10))];
	if (!is_calm && end.outcome <= CLIENT_REFUSED)
		refuse_some(c);
	if (end.outcome == CLIENT_REFUSED) {
		end.code = one_in(2) ? 554 : 452;
		end.reply = end.code == 554 ? SPAN("554 5.6.0 no") : SPAN("452 4.3.1 later");
	}
	if (c->carriage.n_refused == c->carriage.n_rcpts)
		end.outcome = CLIENT_NO_RCPT;
	if (end.outcome == CLIENT_ACCEPTED)
		deliver_all(c, true);
	else if (end.outcome == CLIENT_UNCERTAIN && one_in(2))
		deliver_all(c, false);
	if (end.outcome > CLIENT_REFUSED)
		end.reply = SPAN("connection broken");
	fake_courier_end(d.courier, c, &end);
}

static bool
on_carry(struct courier *k, struct carry *c)
{
	const struct ledger_mail *m = ledger_find(span_str(c->carriage.leg->entry->id));

	(void)k;
	must(m != NULL && m->refused == 0); /* its client tries again: nobody else does */
	if (!one_in(10))
		return false;
	end_carry(c); /* from inside, as what the gateway cannot take */
	return true;
}

/* A kill: what had come to the gateway by then nobody knows. */
static void
on_cut(const struct carry *c)
{
	if (one_in(2))
		deliver_all(c, false);
}

static void
some_end(void)
{
	LIST_FOR (it, &d.courier->carries)
		if (one_in(2)) {
			end_carry(LIST_ENTRY(it, struct carry, node));
			return; /* others may have come or gone */
		}
}

static void
some_trial(void)
{
	LIST_FOR (it, &d.courier->trials)
		if (is_calm || one_in(2)) {
			fake_courier_tried(d.courier, LIST_ENTRY(it, struct fake_trial, node),
			    is_calm || one_in(2));
			return;
		}
}

static void
some_drain(void)
{
	struct gateway *g = d.gateways[rng_below((uint32_t)d.n_gateways)];
	struct span server = span_str(g->targets[rng_below((uint32_t)g->n_targets)].text);

	if (one_in(2))
		must(gateway_drain(g, server, mono_ms));
	else
		gateway_undrain(g, server, mono_ms);
	deliver_drained(&d, g);
}

#endif

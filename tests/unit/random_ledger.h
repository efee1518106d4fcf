/*
 * random_ledger.h - what test_walk_random.c knows of every message: who has acknowledged it, and
 * how often each recipient came to which end.
 */
#ifndef TEST_RANDOM_LEDGER_H
#define TEST_RANDOM_LEDGER_H
#include "relay/deliver/queue.h"
#include "tests/unit/fake_quarantine.h"

#include <stdio.h>

enum { LEDGER_MAILS = 2048, LEDGER_RCPTS = 8, LEDGER_ADDRESS = 64 };

struct ledger_rcpt {
	char address[LEDGER_ADDRESS];
	unsigned n_delivered, n_bounced, n_deleted, n_quarantined, n_held;
	bool may_repeat; /* an end was uncertain, or what was known of it is lost */
};

struct ledger_mail {
	char id[SPOOL_ID_MAX + 1];
	bool is_acked; /* its client, or for a notice we, rely on it */
	int refused;   /* the code its client heard */
	struct ledger_rcpt rcpts[LEDGER_RCPTS];
	size_t n_rcpts;
};

static struct ledger_mail ledger[LEDGER_MAILS];
static size_t n_ledger;

static inline struct ledger_mail *
ledger_find(struct span id)
{
	for (size_t i = 0; i < n_ledger; i++)
		if (span_eq(span_str(ledger[i].id), id))
			return &ledger[i];
	return NULL;
}

static inline struct ledger_mail *
ledger_add(struct span id)
{
	struct ledger_mail *m = &ledger[n_ledger++];

	must(n_ledger <= LEDGER_MAILS);
	*m = (struct ledger_mail){0};
	must(span_copy(id, m->id, sizeof(m->id)));
	return m;
}

static inline void
ledger_add_rcpt(struct ledger_mail *m, struct span address)
{
	struct ledger_rcpt *r = &m->rcpts[m->n_rcpts++];

	must(m->n_rcpts <= LEDGER_RCPTS && span_copy(address, r->address, sizeof(r->address)));
}

/* A notice of our own, or what became durable without anybody being told. */
static inline struct ledger_mail *
ledger_adopt(const struct queue_entry *e)
{
	struct ledger_mail *m = ledger_find(span_str(e->id));

	if (m == NULL) {
		m = ledger_add(span_str(e->id));
		for (size_t i = 0; i < e->n_rcpts; i++)
			ledger_add_rcpt(m, e->rcpts[i].address);
	}
	m->is_acked = true;
	return m;
}

static inline struct ledger_rcpt *
ledger_rcpt(struct span id, struct span address)
{
	struct ledger_mail *m = ledger_find(id);

	must(m != NULL);
	for (size_t i = 0; i < m->n_rcpts; i++)
		if (span_eq(span_str(m->rcpts[i].address), address))
			return &m->rcpts[i];
	must(false); /* a recipient that it never had */
	return NULL;
}

static inline void
ledger_all_may_repeat(void)
{
	for (size_t i = 0; i < n_ledger; i++)
		for (size_t k = 0; k < ledger[i].n_rcpts; k++)
			ledger[i].rcpts[k].may_repeat = true;
}

/* Of the letters that lie in quarantine in the end: a later one of a name is in place of the first. */
static inline void
ledger_count_letters(void)
{
	for (size_t i = 0; i < fake_quarantine.n; i++) {
		const struct fake_letter *f = &fake_quarantine.letters[i];
		bool is_there = f->is_durable;

		for (size_t k = i + 1; k < fake_quarantine.n; k++)
			if (fake_quarantine.letters[k].is_durable &&
			    span_eq(fake_quarantine.letters[k].letter.id, f->letter.id))
				is_there = false;
		for (size_t k = 0; is_there && k < f->letter.n_rcpts; k++)
			ledger_rcpt(span_str(f->from.about), f->letter.rcpts[k].address)
			    ->n_quarantined++;
	}
}

static inline void
ledger_check(uint64_t seed)
{
	for (size_t i = 0; i < n_ledger; i++) {
		const struct ledger_mail *m = &ledger[i];

		for (size_t k = 0; k < m->n_rcpts; k++) {
			const struct ledger_rcpt *r = &m->rcpts[k];
			unsigned n = r->n_delivered + r->n_bounced + r->n_deleted +
				     r->n_quarantined + r->n_held;
			bool is_fine = !m->is_acked || (r->may_repeat ? n >= 1 : n == 1);

			if (m->refused >= 500 && r->n_delivered > 0 && !r->may_repeat)
				is_fine = false;
			if (is_fine)
				continue;
			(void)fprintf(stderr,
			    "seed %llu: %s <%s>: delivered %u, bounced %u, deleted %u, quarantined "
			    "%u, held %u%s; answered %d\n",
			    (unsigned long long)seed, m->id, r->address, r->n_delivered,
			    r->n_bounced, r->n_deleted, r->n_quarantined, r->n_held,
			    r->may_repeat ? ", may repeat" : "", m->is_acked ? 250 : m->refused);
			must(false);
		}
	}
}

#endif

/*
 * release_ledger.h - where each recipient's mail may be at a moment: the places it has come through
 * and which of them it has left, as the walk has told them.
 *
 * A recipient's way is spool, letter, spool again (released), letter again …, and an end: delivered,
 * expired, deleted.  An image may hold it in any place that is not left yet, must hold it in one, and
 * in none only when an end may have come after the last place that it was told to be in.
 */
#ifndef TESTS_RELEASE_LEDGER_H
#define TESTS_RELEASE_LEDGER_H
#include "relay/base/err.h"
#include "relay/base/span.h"
#include "relay/spool/spool.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { WAY_RCPTS = 2048, WAY_MAILS = 1024, WAY_PLACES = 24, WAY_FOUND = 6 };

enum place_kind { IN_SPOOL, IN_LETTER, AT_END };

enum place_left {
	LEFT_NOT,
	LEFT_TOLD, /* kill -9 does not bring it back */
	LEFT_FIRM  /* nor does a power loss */
};

struct place {
	enum place_kind kind;
	/* Until it is told, what it begins with: letters of message ID are ID and ID-N; "ID-R" for
	 * what is released of it. */
	char id[SPOOL_ID_MAX + 1];
	bool is_exact;
	enum place_left left;
};

struct way {
	size_t mail;
	struct place places[WAY_PLACES];
	size_t n, told; /* told: the last place that it was said to be in */
	bool is_acked, is_refused;
	bool is_loose;      /* a crash or a failing disk has left it in two places for good */
	bool has_ended;     /* on one of its ways */
	int64_t expires_ms; /* wall, of its newest letter */
	struct place found[WAY_FOUND];
	size_t n_found;
};

struct ways {
	struct way rcpts[WAY_RCPTS];
	size_t n;
	size_t sizes[WAY_MAILS]; /* bytes of each body */
	size_t n_mails;
};

static inline bool
way_matches(const struct place *p, enum place_kind kind, struct span id)
{
	struct span base = span_str(p->id), rest;

	if (p->kind != kind)
		return false;
	if (kind == AT_END || span_eq(base, id))
		return kind == AT_END || kind == IN_LETTER || p->is_exact;
	if (p->is_exact || id.n <= base.n || memcmp(id.p, base.p, base.n) != 0)
		return false;
	rest = span_skip(id, base.n);
	if (kind == IN_SPOOL)
		return true;
	return rest.n > 1 && rest.p[0] == '-' && isdigit((unsigned char)rest.p[1]) != 0;
}

static inline struct place *
way_newest(struct way *w)
{
	return &w->places[w->n - 1];
}

/* It may be there from now on. */
static inline void
way_add(struct way *w, enum place_kind kind, struct span id, bool is_exact)
{
	struct place *p;
	size_t old = 0;

	if (w->n > 0 && way_newest(w)->left == LEFT_NOT && way_matches(way_newest(w), kind, id)) {
		p = way_newest(w);
	} else {
		while (w->n == WAY_PLACES && old < w->told && w->places[old].left == LEFT_FIRM)
			old++;
		w->n -= old;
		w->told -= old;
		memmove(w->places, w->places + old, w->n * sizeof(w->places[0]));
		must(w->n < WAY_PLACES);
		p = &w->places[w->n++];
		*p = (struct place){.kind = kind};
		must(span_copy(id, p->id, sizeof(p->id)));
	}
	if (is_exact) {
		must(span_copy(id, p->id, sizeof(p->id)));
		p->is_exact = true;
	}
	w->has_ended = w->has_ended || kind == AT_END;
}

/* It is there, durably; what follows may have begun already. */
static inline void
way_arrived(struct way *w, enum place_kind kind, struct span id)
{
	for (size_t k = w->n; k > 0; k--) {
		struct place *p = &w->places[k - 1];

		if (p->left != LEFT_NOT || !way_matches(p, kind, id))
			continue;
		must(span_copy(id, p->id, sizeof(p->id)));
		p->is_exact = true;
		w->told = k - 1 > w->told ? k - 1 : w->told;
		return;
	}
	way_add(w, kind, id, true); /* a letter that was another when its release was ordered */
	w->told = w->n - 1;
}

/* What it was on its way to, it will never reach. */
static inline void
way_cancel(struct way *w, const char *base)
{
	for (size_t k = w->n; k > w->told + 1; k--) {
		struct place *p = &w->places[k - 1];

		if (p->kind != IN_SPOOL || p->is_exact || strcmp(p->id, base) != 0)
			continue;
		w->n--;
		memmove(p, p + 1, (w->n - (k - 1)) * sizeof(*p));
		return;
	}
}

/* It is there no more. */
static inline void
way_left(struct way *w, enum place_kind kind, struct span id, enum place_left how)
{
	for (size_t k = 0; k < w->n; k++)
		if ((kind == IN_LETTER || w->places[k].is_exact) &&
		    way_matches(&w->places[k], kind, id) && w->places[k].left < how)
			w->places[k].left = how;
}

/* What was said is durable by now. */
static inline void
way_settle(struct way *w)
{
	for (size_t k = 0; k < w->n; k++)
		if (w->places[k].left == LEFT_TOLD)
			w->places[k].left = LEFT_FIRM;
}

/* NULL: an address that nobody has sent to. */
static inline struct way *
way_of_address(struct ways *all, struct span address)
{
	size_t i = strtoul(address.p + 1, NULL, 10); /* "rN@…" of our own making */

	return i < all->n ? &all->rcpts[i] : NULL;
}

/* is_exact: under the name that it was given; of two of one name a start renames one. */
static inline void
way_found(struct way *w, enum place_kind kind, struct span id, bool is_exact)
{
	struct place *p = &w->found[w->n_found];

	must(++w->n_found <= WAY_FOUND);
	*p = (struct place){.kind = kind, .is_exact = is_exact};
	must(span_copy(id, p->id, sizeof(p->id)));
}

static inline bool
way_is_allowed(const struct way *w, const struct place *found, enum place_left below)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->places[i].left < below &&
		    (way_matches(&w->places[i], found->kind, span_str(found->id)) ||
			(!found->is_exact && w->places[i].kind == found->kind)))
			return true;
	return false;
}

/* What is wrong with what was found of it, NULL: nothing.  is_exact: after kill -9. */
static inline const char *
way_check(const struct way *w, bool is_exact)
{
	bool may_be_nowhere = w->is_loose && w->has_ended;

	if (w->is_refused)
		return w->n_found > 0 ? "refused, and found" : NULL;
	if (!w->is_acked)
		return NULL;
	for (size_t i = w->told; i < w->n; i++)
		may_be_nowhere = may_be_nowhere || w->places[i].kind == AT_END;
	if (w->n_found == 0 && !may_be_nowhere)
		return "lost";
	for (size_t i = 0; i < w->n_found && !w->is_loose; i++)
		if (!way_is_allowed(w, &w->found[i], is_exact ? LEFT_TOLD : LEFT_FIRM))
			return "where it must not be any more";
	return NULL;
}

/* In the spool and in a letter of that same message: one of them goes in a moment. */
static inline bool
way_is_going(const struct way *w)
{
	struct place letter = w->found[0];

	letter.kind = IN_LETTER;
	letter.is_exact = false;
	return w->found[0].kind == IN_SPOOL &&
	       way_matches(&letter, w->found[1].kind, span_str(w->found[1].id));
}

/* What was found is the truth of the life that begins; is_power: what was not found is gone for good. */
static inline void
way_adopt(struct way *w, bool is_power)
{
	struct way was = *w;

	if (!w->is_acked && w->n_found == 0)
		w->is_refused = true;
	if (w->is_refused)
		return;
	w->n = 0;
	for (size_t i = 0; i < was.n && !is_power; i++) {
		struct place *p = &was.places[i];
		bool is_found = p->kind == AT_END || p->left == LEFT_FIRM;

		for (size_t k = 0; k < was.n_found; k++)
			is_found = is_found ||
				   way_matches(p, was.found[k].kind, span_str(was.found[k].id));
		if (is_found)
			continue;
		p->left = LEFT_TOLD;
		w->places[w->n++] = *p;
	}
	for (size_t i = 0; i < was.n_found; i++) {
		was.found[i].is_exact = true;
		w->places[w->n++] = was.found[i];
	}
	if (was.n_found == 0)
		way_add(w, AT_END, SPAN(""), true);
	w->told = w->n - 1;
	w->is_loose = w->is_loose || was.n_found > 2 || (was.n_found == 2 && !way_is_going(&was));
	w->is_acked = true;
}

#endif

/*
 * lister.h - the letters of a shelf one by one, newest first, and which of them a `list` wants.
 *
 * Blocks, as the shelf does; a loop lets its helper take some steps at a time.
 */
#ifndef QUARANTINE_LISTER_H
#define QUARANTINE_LISTER_H
#include "relay/base/err.h"
#include "relay/quarantine/shelf.h"

enum { LISTER_LIMIT = 1000 /* letters, where nothing else is asked for */ };

struct lister {
	const struct shelf *shelf;
	struct span *ids; /* newest first, into `text` */
	size_t n, next;
	struct buf text;
};

/* Reads the names.  clears: as for shelf_names.  0 or -E_IO; lister_free in any case. */
int lister_start(struct lister *l, const struct shelf *s, bool clears);
void lister_free(struct lister *l);
/* The next id, false at the end; it lives as long as the lister. */
bool lister_next(struct lister *l, struct span *id);

/* All that is given must match, without case: a part of the field; "" is the null sender. */
struct letter_filter {
	struct span from, to, subject, reason; /* p == NULL: any */
	int64_t since_ms, until_ms;            /* received; 0 and INT64_MAX: any */
	uint64_t limit;
};

/* The words behind `quarantine list`; spans point into them.  0 or -E_SYNTAX with what is wrong. */
int letter_filter_parse(const struct span *words, size_t n_words, int64_t now_ms,
    struct letter_filter *out, struct err *err);
bool letter_filter_matches(const struct letter_filter *f, const struct letter *l);

#endif

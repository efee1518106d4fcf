/*
 * selection.h - which messages of the queue a command is about: the words of `postern queue` behind
 * its verb.  Pure; owns a copy of the words.
 */
#ifndef DELIVER_SELECTION_H
#define DELIVER_SELECTION_H
#include "relay/deliver/queue.h"

enum { SELECTION_IDS_MAX = 10000, SELECTION_TEXT_MAX = 512 * 1024, SELECTION_BY_MAX = 64 };

struct selection {
	bool is_all;            /* "all" was said */
	bool has_headers;       /* --headers */
	const struct span *ids; /* exact, in capitals */
	size_t n_ids;
	/* Of each, p == NULL: any.  Addresses are exact or "@domain"; from "" is the null sender. */
	struct span from, to, domain, gateway, state;
	struct span id;                /* --id: a beginning of it */
	int64_t until_ms;              /* wall; received at or before; INT64_MAX: any */
	uint64_t limit;                /* --limit; 0: none */
	char by[SELECTION_BY_MAX + 1]; /* who asks, for the journal; never empty */
	char *text;                    /* what the spans point into */
	struct span *id_room;
};

/* 0, or -E_SYNTAX or -E_LIMIT with what is wrong; then nothing is to be freed. */
int selection_parse(const struct span *words, size_t n_words, struct span by, int64_t wall_ms,
    struct selection *out, struct err *err);
void selection_free(struct selection *s);
/* Whether it names anything: "all", ids, or a word that says which. */
bool selection_is_given(const struct selection *s);

/* Whether the recipient still waits for something and is among those named. */
bool selection_has_rcpt(
    const struct selection *s, const struct queue_entry *e, const struct queue_rcpt *r);
/* Whether the message is, by one of its recipients at least. Ids are not looked at. */
bool selection_has(const struct selection *s, const struct queue_entry *e);

#endif

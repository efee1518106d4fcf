/*
 * quarantine.h - the quarantine as the spool role sees it: what goes in, what there is, what leaves
 * by age or for want of room.
 *
 * The loop never waits for a disk: a helper thread does all work on files, in order.  In memory
 * stands one small entry for each letter (id, size, time), read from the files at the start, a
 * slice at a time; everything else that is known of a letter stands in its file only.
 */
#ifndef QUARANTINE_QUARANTINE_H
#define QUARANTINE_QUARANTINE_H
#include "relay/base/err.h"
#include "relay/quarantine/helper.h"
#include "relay/quarantine/shelf.h"
#include "relay/spool/spool.h"

enum {
	QUARANTINE_PUTS_MAX = 256, /* letters on their way in at one time */
	QUARANTINE_TICK_MS = 1000  /* how often age and room are looked at */
};

struct quarantine;

/* Whose bytes a letter gets: the owner's words for it, handed back as they are. */
struct quarantine_source {
	char about[SPOOL_ID_MAX + 1];
	uint32_t copy;
};

struct quarantine_events {
	/* n bytes of the message from `offset` on: 0, or the put is given up with this error. */
	int (*on_read)(
	    void *arg, const struct quarantine_source *from, uint64_t offset, void *to, size_t n);
	/* err NULL: the letter is durable under `id`; else nothing of it is left. */
	void (*on_stored)(
	    void *arg, const struct quarantine_source *from, struct span id, const struct err *err);
	/* Whether somebody is at work on this letter: it does not expire before that is over. */
	bool (*is_in_use)(void *arg, struct span id);
	/* is_early: younger than `keep`, since there is no room. */
	void (*on_expired)(void *arg, struct span id, bool is_early);
	/* As spool_events.on_problem. */
	void (*on_problem)(void *arg, const char *name, const char *what, const char *do_this);
};

struct quarantine_options {
	const char *dir; /* made if its parent is there */
	int64_t keep_ms;
	uint64_t max, min_free;    /* bytes */
	size_t share_min;          /* as of struct shelf; 0: the usual */
	const struct spool_io *io; /* NULL: the system's; tests inject faults */
};

/* NULL with err when the folder cannot be used. */
struct quarantine *quarantine_open(const struct quarantine_options *options, struct loop *loop,
    const struct quarantine_events *events, void *arg, struct err *err);
void quarantine_close(struct quarantine **q); /* what is on its way in is given up, untold */

/* Whether quarantine_put may be called now. */
bool quarantine_has_room(const struct quarantine *q);
/* Begins to store a letter; on_stored answers, never before this returns.  0, or -E_LIMIT (more
 * about it than a file's head may hold) and nothing is called. */
int quarantine_put(
    struct quarantine *q, const struct quarantine_source *from, const struct letter *l);

struct quarantine_totals {
	uint64_t messages, bytes, max;
	int64_t oldest_ms; /* wall, when the oldest was stored; -1: none */
	bool is_counting;  /* the start's count still goes on */
};
struct quarantine_totals quarantine_totals(const struct quarantine *q);

/* For tasks of others on the same files; both live as long as `q`. */
const struct shelf *quarantine_shelf(const struct quarantine *q);
struct helper *quarantine_helper(const struct quarantine *q);
int64_t quarantine_keep_ms(const struct quarantine *q);
/* Whether a letter of this id is known: all are, once they have been counted after the start. */
bool quarantine_has(const struct quarantine *q, struct span id);
/* Such a task has removed a letter. */
void quarantine_gone(struct quarantine *q, struct span id);

#endif

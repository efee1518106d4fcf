/*
 * hold.h - what is held to be filtered again, in the spool role.
 *
 * hold.c says when: by queue.retry, when a filter that failed works again or the policy has changed,
 * when an admin asks, and at queue.expire_after that it is over.  again.c does it, one message at a
 * time: it reads the bytes, asks a front (refilter.c there), and puts what may go into the spool as a
 * message of its own, which names the one it replaces.  docs/decisions/0010-hold.md.
 */
#ifndef WALK_HOLD_H
#define WALK_HOLD_H
#include "relay/base/map.h"
#include "relay/ipc/held.h"
#include "relay/walk/delivery.h"

enum {
	HOLD_READY_MAX = 64, /* messages in the list; the others' time is put off */
	HOLD_AGAIN_MS = 60 * 1000,
	HOLD_AWAITED_MAX = 64, /* filters; the others' mail has its times */
	HOLD_DEATHS_MAX = 5,   /* of workers or fronts, by one message: no more by itself */
	HOLD_CALM_MS = 2000,   /* between tries for a signal; doubles with each */
	HOLD_CALM_LAST = 60 * 60 * 1000,
	HOLD_STEP_BYTES = 1 << 20, /* read in a turn */
	HOLD_PASS_LOOKS = 50,      /* held messages looked at in a turn */
	HOLD_PASS_STEPS = 20000,   /* messages looked at in a turn */
	HOLD_JOB_MS = 120 * 1000   /* for a front to answer, beside the filters' deadlines */
};

struct hold_job;

struct hold_work {
	struct list ready;    /* entries' hold.node */
	struct hold_job *job; /* NULL: none goes on */
	uint64_t last_job;
	bool has_fronts; /* somebody can be asked */
	/* Filters that mail is held for, since they were heard of last. */
	char awaited[HOLD_AWAITED_MAX][COMMIT_FILTER_MAX + 1];
	size_t n_awaited;
	/* A walk over everything that is held, since something works again. */
	struct queue_cursor cursor;
	bool is_passing, is_wanted;         /* is_wanted: once more, from the start */
	char filter[COMMIT_FILTER_MAX + 1]; /* it works again; "": any */
	bool is_filter, is_policy;          /* what the walk is for */
	struct timer *next;           /* turns end by themselves only when something happens */
	bool is_recovering;           /* until hold_recovered: */
	struct map *by_serial;        /* held messages: struct queue_item */
	struct spool_message **parts; /* messages that name one they replace */
	size_t n_parts, parts_size;
};

/* hold.c */
struct hold_work *hold_new(void);
void hold_free(struct delivery *d);                        /* before the queue */
void hold_wait(struct delivery *d, struct queue_entry *e); /* new in the queue */
/* It waits again, so long or until it is too old; settle_entry is still to be called. */
void hold_wait_for(struct delivery *d, struct queue_entry *e, int64_t wait_ms);
/* How long a signal leaves alone what was tried so often. */
int64_t hold_calm_ms(uint32_t tries);
void hold_due(struct delivery *d, struct queue_entry *e); /* a leg of it has come out of the heap */
void hold_now(struct delivery *d, struct queue_entry *e); /* an admin asks: whatever was before */
void hold_forgive(struct queue_entry *e);                 /* what it has cost does not count */
/* Behind those that are ready: `most` of its recipients (0: all), from the one with index `next` on;
 * settle_entry is still to be called. */
void hold_go_on(struct delivery *d, struct queue_entry *e, uint32_t next, uint32_t most);
/* The fronts shall say when the filter that it is held for works. */
void hold_await(struct delivery *d, const struct queue_entry *e);
/* A filter works again (empty: any), or (is_policy) the policy has changed. */
void hold_signal(struct delivery *d, struct span filter, bool is_policy);
void hold_run(struct delivery *d); /* the end of a turn: begins the next one, if it may */
/* While the spool is being recovered, and (hold_recovered) behind it. */
void hold_recover(struct delivery *d, struct queue_entry *e);
void hold_recover_part(struct delivery *d, struct spool_message *m);
void hold_recovered(struct delivery *d);

/* again.c */
void again_begin(struct delivery *d, struct queue_entry *e);
void again_free(struct delivery *d);
void again_answer(struct delivery *d, uint64_t life, uint64_t job, struct span payload);
void again_put_back(struct delivery *d, uint64_t life, uint64_t job);
/* Front cannot say it of so many at once: it is asked about half of them, then about the others. */
void again_split(struct delivery *d, uint64_t life, uint64_t job);
void again_front_lost(struct delivery *d, uint64_t life);
void again_arrived(struct delivery *d, struct arrival *a, const struct err *err);

#endif

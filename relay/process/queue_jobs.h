/*
 * queue_jobs.h - what is asked of the whole queue, done in slices: mail goes on meanwhile.
 *
 * A job walks the queue, some hundred messages in a turn of the loop, and ends its answer after a
 * page (so many bytes, messages or milliseconds) with the status 0 and the words "more TOKEN": whoever wants to go on
 * asks "queue more TOKEN".  So the pace is the asker's, any length works, and one who has gone away leaves
 * nothing behind but a place in the queue, which the next askers take.
 */
#ifndef PROCESS_QUEUE_JOBS_H
#define PROCESS_QUEUE_JOBS_H
#include "relay/process/role.h"
#include "relay/walk/admin.h"

enum {
	QUEUE_JOBS_MAX = 32,              /* at work, or waiting to be asked for more */
	QUEUE_SLICE_MESSAGES = 500,       /* in one turn … */
	QUEUE_SLICE_MS = 5,               /* … and not longer */
	QUEUE_PAGE_BYTES = 512 * 1024,    /* of an answer */
	QUEUE_PAGE_MESSAGES = 100 * 1000, /* that an order was given to */
	QUEUE_PAGE_MS = 2000,
	/* "retry all": so many are due at once, and as many again after each step. */
	QUEUE_RETRY_BATCH = 500,
	QUEUE_RETRY_STEP_MS = 250
};

struct queue_jobs;
struct queue_jobs *queue_jobs_new(struct role *role, struct delivery *d);
void queue_jobs_free(struct queue_jobs **j);

/* Takes the selection. */
void queue_jobs_list(struct queue_jobs *j, uint64_t id, struct selection *s);
void queue_jobs_order(struct queue_jobs *j, uint64_t id, enum admin_verb verb, struct selection *s);
void queue_jobs_more(struct queue_jobs *j, uint64_t id, struct span token);

#endif

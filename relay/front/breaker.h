/*
 * breaker.h - circuit breakers: a filter that is broken is not asked for a while, so that nobody waits
 * for its deadline; its `failure` action applies at once.
 *
 * Closed: it is asked.  After `max_failures` in a row it is doubted: asked as before, while a trial
 * (trial.h) tells whether it is broken, or the messages were of a kind that it fails at.  Whoever sends mail can
 * have it fail at theirs; only what it does with a message of ours is taken for its health.  Open: the trial
 * failed, it is not asked; another trial after each `pause` until one works.
 *
 * What counts as a failure is a worker that it has ended (crash, deadline) and its own word that it
 * could not look; not that it was not loaded, which costs no time.  One breaker a filter, whatever the flow.
 */
#ifndef FRONT_BREAKER_H
#define FRONT_BREAKER_H
#include "policy/config/config.h"

struct breakers;

struct breakers_events {
	/* It is not asked any more, or (is_over) works again.  May be NULL. */
	void (*on_change)(void *arg, const struct conf_filter *filter, bool is_over);
	/* It has worked, and somebody wanted to know: breakers_watch.  May be NULL. */
	void (*on_works)(void *arg, const struct conf_filter *filter);
	void *arg;
};

enum trial_end {
	TRIAL_WORKED,
	TRIAL_FAILED,
	TRIAL_UNKNOWN /* the filter was not run, for no fault of its own */
};

struct breakers *breakers_new(void);
void breakers_free(struct breakers **b);
void breakers_set_events(struct breakers *b, const struct breakers_events *events);

/* For a message that is about to be given to a worker: bit i, filter i of the flow is not to be run. */
uint32_t breakers_ask(struct breakers *b, const struct conf_flow *flow);
/* A message has met with a failure.  True: that makes it doubtful, a trial is to be made. */
bool breakers_failed(struct breakers *b, const struct conf_filter *filter);
void breakers_worked(struct breakers *b, const struct conf_filter *filter);
/* What became of a trial.  True: it is not asked, and another trial is to be made after its pause. */
bool breakers_tried(struct breakers *b, const struct conf_filter *filter, enum trial_end end);
/* Somebody waits for this filter: the next time that it works is told, once. */
void breakers_watch(struct breakers *b, const struct conf_filter *filter);

#endif

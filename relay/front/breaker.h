/*
 * breaker.h - circuit breakers: a filter that fails again and again is not asked for a while, so that
 * nobody waits for its deadline; its `failure` action applies at once.
 *
 * Closed: it is asked.  After `max_failures` in a row open: it is not asked for `pause`.  Then one
 * message tries it: if that works the breaker closes, if not it opens again.  What counts is a worker
 * that it has ended (crash, deadline) and its own word that it could not look; not that it was not
 * loaded, which costs no time.  One breaker a filter, whatever the flow.
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

struct breakers *breakers_new(void);
void breakers_free(struct breakers **b);
void breakers_set_events(struct breakers *b, const struct breakers_events *events);

/*
 * For a message that is about to be given to a worker: bit i of the result, filter i of the flow is
 * not to be run.  *tries gets the filters that this message tries out; whoever asked tells what
 * became of them: breakers_failed, breakers_worked or breakers_undecided.
 */
uint32_t breakers_ask(struct breakers *b, const struct conf_flow *flow, uint32_t *tries);
void breakers_failed(struct breakers *b, const struct conf_filter *filter);
void breakers_worked(struct breakers *b, const struct conf_filter *filter);
/* Somebody waits for this filter: the next time that it works is told, once. */
void breakers_watch(struct breakers *b, const struct conf_filter *filter);
/* The message was not looked at after all: the next one tries. */
void breakers_undecided(struct breakers *b, const struct conf_flow *flow, uint32_t tries);

#endif

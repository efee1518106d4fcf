/*
 * trial.h - a policy version that nobody confirms in time goes back by itself (`postern policy import
 * --confirm`).  What is on trial, and until when, stands in the policy store, so that it survives a
 * restart.
 */
#ifndef PROCESS_TRIAL_H
#define PROCESS_TRIAL_H
#include "relay/process/supervisor.h"

/* Before the policy is first read: a trial whose time has come meanwhile is over. */
void trial_settle(const struct config *config);
/* Looks at the store and waits for the end of the trial there is, if any; again whenever the policy
 * was read. */
void trial_watch(struct supervisor *s);

#endif

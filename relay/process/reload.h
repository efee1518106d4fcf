/*
 * reload.h - a new configuration, policy, or both, put in force while mail flows.
 *
 * A changed configuration is loaded by a filter role of its own first, beside the one that serves (successor.h).
 * Only when that is ready do the others end and come back with it; what it cannot load at all, though the one that
 * serves has it, or dies of, is refused: then nothing has changed.
 */
#ifndef PROCESS_RELOAD_H
#define PROCESS_RELOAD_H
#include "relay/process/supervisor.h"

/* What is read from files, to be put in force. */
struct proposal {
	struct buf config_text, bundle;
	struct plugins plugins;
	struct config *config;
	uint64_t policy_version;
	int secrets;
	bool is_policy_old; /* the policy in force has changed since this was read */
};

/* The filter role of s->next is ready: takes the proposal, or refuses it. */
void reload_commit(struct supervisor *s, struct child *filter);
/* Drops s->next; `lines` says why. */
void reload_refuse(struct supervisor *s, struct span lines);

#endif

/*
 * loads.h - what the loads of filters have come to in one filter role's process, and in those before it
 * at the same place.
 *
 * A plugin's load runs in the zygote, before any worker: one that crashes or hangs ends that process.  So the role
 * says whose load begins, and whoever has started it remembers: the filter that was at it when the process
 * died is barred, and the next process does without it.  The role's word is untrusted: at worst it bars its own filters.
 */
#ifndef PROCESS_LOADS_H
#define PROCESS_LOADS_H
#include "policy/config/config.h"
#include "relay/ipc/supervision.h"

struct load;

/* All zeros: nothing is known. */
struct loads {
	struct load *items; /* what the process has told */
	size_t n;
	struct buf barred;     /* as in struct role_setup */
	uint32_t loading;      /* 1 + index of the filter that is at it; 0: none */
	int64_t since_mono_ms; /* ... since then */
	bool is_late;          /* ... and is over its limit: to be killed for that */
};

/* A process starts: what the one before has told is forgotten, who is barred is not. */
void loads_begin(struct loads *l);
/* Who is barred as well. */
void loads_forget(struct loads *l);
/* ROLE_LOADING with this id.  How long it may take, in ms; 0: nothing is loaded now. */
int64_t loads_loading(struct loads *l, const struct config *c, uint64_t id);
/* ROLE_LOADS.  What cannot be is dropped. */
void loads_take(struct loads *l, const struct config *c, struct span payload);
/* The process has died.  True: of a load, whose filter is barred from now on; err says which and why. */
bool loads_died(struct loads *l, const struct config *c, int wait_status, struct err *err);
/* Name of the filter whose load is going on; NULL: none. */
const char *loads_now(const struct loads *l, const struct config *c);
/* Whether this filter was not loaded there, or nothing is known of it since nobody has told. */
bool loads_lacks(const struct loads *l, const char *filter);
/* The same for the filter that loads_died has barred last. */
bool loads_lacks_barred(const struct loads *l, const struct loads *of, const struct config *c);
/* A line "filter NAME: why" for each that is not loaded: broken ones that `before` has are `refused`, the others
 * `lacking`. */
void loads_compare(
    const struct loads *l, const struct loads *before, struct buf *refused, struct buf *lacking);

#endif

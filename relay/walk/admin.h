/*
 * admin.h - what an administrator does to mail that waits: `postern queue` and the console.
 *
 * One message at a time; whoever asks for many does so in slices.  What is with a gateway at this
 * moment is left alone.  Every change is told to the journal with the admin's name, and is in the
 * message's note before the function returns.
 */
#ifndef WALK_ADMIN_H
#define WALK_ADMIN_H
#include "relay/deliver/selection.h"
#include "relay/walk/delivery.h"

enum admin_verb { ADMIN_RETRY, ADMIN_HOLD, ADMIN_RELEASE, ADMIN_DELETE, ADMIN_BOUNCE };
enum { ADMIN_VERBS = ADMIN_BOUNCE + 1 };

enum admin_result {
	ADMIN_DONE,
	ADMIN_UNCHANGED, /* there is nothing in it to be done */
	ADMIN_ACTIVE,    /* is being delivered now, or its report is being written: ask again */
	ADMIN_REFUSED    /* may not be done; `why` says it */
};
enum { ADMIN_RESULTS = ADMIN_REFUSED + 1 };

/*
 * For the recipients that the selection has; in a message named by its id those are all.
 *
 * retry: their next attempt is in `after_ms`.  Of a message named by its id also what is held since nobody
 * may be told of its failure, but neither what an admin holds nor what the policy keeps.
 * hold: they are not sent until release, across restarts.  release: undoes exactly that.
 * delete: they are forgotten and nobody is told.  bounce: they have failed, and the sender is told,
 * where that is allowed.
 *
 * *why is a sentence for ADMIN_REFUSED.  The entry may be gone afterwards.
 */
enum admin_result admin_do(struct delivery *d, struct queue_entry *e, enum admin_verb verb,
    const struct selection *s, int64_t after_ms, const char **why);

#endif

/*
 * verify.h - whether a recipient exists: what is known, else its domain's source (ldap.h,
 * callout.h).
 *
 * Same questions at the same time are one.  A source that cannot say is an alarm, is asked again by
 * itself until it can, and meanwhile what it said before counts (known.h); nothing it fails to say
 * is ever RECIPIENT_NONE.  A denial is believed only with a witness (witness.h).  A source that says
 * yes to everybody hurts nobody; an alarm names it.
 */
#ifndef LOOKUP_VERIFY_H
#define LOOKUP_VERIFY_H
#include "relay/base/json.h"
#include "relay/lookup/resolver.h"
#include "relay/lookup/source.h"

enum {
	VERIFY_ASKING_MAX = 10000,    /* addresses at a time; more are RECIPIENT_UNKNOWN */
	VERIFY_RANDOM_MS = 10 * 1000, /* after an answer, at most, a random address is asked for */
	VERIFY_AGAIN_MIN_MS = 1000,   /* a source that is away is asked again, first after this, */
	VERIFY_AGAIN_MAX_MS = 60 * 1000 /* then after twice as long each time, up to this */
};

struct verify;
struct verify_waiter;

/* Before the sandbox closes: reads passwords and authorities.  `config` and `resolver` must outlive
 * it.  NULL: err says which file is wrong. */
struct verify *verify_new(struct loop *loop, const struct config *config, struct resolver *resolver,
    const struct source_report *report, struct err *err);
void verify_free(struct verify **v); /* waiters still there are dropped without an answer */

/*
 * `done` is called exactly once, unless cancelled: before this returns NULL when the answer is
 * known at once, else from the loop, and the waiter returned is valid until then.
 */
struct verify_waiter *verify_ask(struct verify *v, const struct recipient_question *q,
    void (*done)(void *arg, const struct recipient_answer *a), void *arg);
void verify_cancel(struct verify_waiter **w); /* NULL is fine; the source goes on */

/* What is known of the address: appends {address, domain, source, state, why, age, expires, stale},
 * age in seconds, and returns true.  False, with why not as text: no source, or nothing is known. */
bool verify_show(struct verify *v, struct span address, struct buf *to);
/* Forgets what is known of the address, or (empty) of all; how many that were. */
size_t verify_clear(struct verify *v, struct span address);
/* "recipients": {known, asking, asked, unknown} */
void verify_add_status(const struct verify *v, struct json *j);

#endif

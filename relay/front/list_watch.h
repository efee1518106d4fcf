/*
 * list_watch.h - which DNS lists can be believed: one watch for those of clients, one for those of
 * domains.
 *
 * A list that answers with an error, or that lists its canary 127.0.0.1 (RFC 5782 section 5), is
 * off: whatever it says is unknown, and an alarm names it.  It is probed again and comes back by
 * itself.  One that does not list its test entry 127.0.0.2 stays on, with a warning.  One that does
 * not answer hurts nobody; an alarm says so.
 */
#ifndef FRONT_LIST_WATCH_H
#define FRONT_LIST_WATCH_H
#include "policy/rules/rules.h"
#include "relay/base/json.h"
#include "relay/front/dns_client.h"

enum {
	LIST_PROBE_ON_MS = 60000,  /* between probes of a list that is well */
	LIST_PROBE_OFF_MS = 15000, /* ... that is off, or silent */
	/* Silent: so many questions without an answer within the window, and half of them all (answers
	 * out of the cache go on coming); over when the last one is LIST_QUIET_MS ago. */
	LIST_SILENT_MAX = 3,
	LIST_WINDOW_MS = 10000,
	LIST_QUIET_MS = 5000
};

/* What a watch's lists are asked about: addresses have the canary 127.0.0.1 and the test entry 127.0.0.2,
 * domains `invalid` and `test` (RFC 5782 section 5). */
enum list_kind { LIST_OF_ADDRESSES, LIST_OF_DOMAINS };

struct list_watch;

/* `report`: do_this NULL when the problem of this name is over. */
struct list_watch *list_watch_new(struct loop *loop, struct dns_client *dns, enum list_kind kind,
    uint32_t timeout_ms,
    void (*report)(void *arg, const char *name, const char *what, const char *do_this), void *arg);
/* The lists of a new snapshot are watched too; those it no longer names are forgotten. */
void list_watch_follow(struct list_watch *w, const struct snapshot *s);
/* Whether nothing is known of the list yet: its canary should be asked beside it. */
bool list_watch_is_unproved(const struct list_watch *w, struct span zone);
bool list_watch_is_off(const struct list_watch *w, struct span zone);
/* What a session has seen: the canary's answer, an error answer. */
void list_watch_canary(struct list_watch *w, struct span zone, const struct dns_answer *a);
void list_watch_error(struct list_watch *w, struct span zone);
/* ... and whether there was an answer at all (DNS_FOUND, DNS_NONE) in time. */
void list_watch_heard(struct list_watch *w, struct span zone, enum dns_status status);
/* What the lists of `of` have said of one client or mail, for list_watch_counts; `answers` as in struct
 * facts. */
void list_watch_count(struct list_watch *w, const struct snapshot *s, enum list_of of,
    const struct list_answer *answers);
/* Members "ZONE":{"asked":N,"listed":N,"sole":N,"not_listed":N,"errors":N,"unanswered":N,"off":0}.
 * sole: the one list that listed the client; off: 1 while it is. */
void list_watch_counts(const struct list_watch *w, struct json *j);
/* The name of the canary in this zone, for a list of addresses and one of domains. */
void list_watch_canary_name(struct span zone, struct buf *to);
void list_watch_invalid_name(struct span zone, struct buf *to);

#endif

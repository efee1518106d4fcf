/*
 * list_watch.h - which DNS lists can be believed: one watch for those of clients, one for those of
 * domains.
 *
 * The lookup role believes no listing that it could not prove (relay/lookup/listing.h); here is what
 * follows.  A list that answers with an error, or that was caught listing its canary 127.0.0.1 (RFC
 * 5782 section 5) or a random address of 127/8, is off: it is not asked, what sessions have heard of
 * it is unknown, and an alarm names it.  It is probed and comes back by itself.  One that does not
 * list its test entry 127.0.0.2 stays on, with a warning.  One that does not answer hurts nobody;
 * an alarm says so.
 */
#ifndef FRONT_LIST_WATCH_H
#define FRONT_LIST_WATCH_H
#include "policy/rules/rules.h"
#include "relay/base/json.h"
#include "relay/front/dns_client.h"

enum {
	LIST_PROBE_OFF_SHARE =
	    4, /* a list that is off or silent is probed so many times as often */
	/* Silent: so many questions without an answer within the window, and half of them all (answers
	 * out of the cache go on coming); over when the last one is LIST_QUIET_MS ago. */
	LIST_SILENT_MAX = 3,
	LIST_WINDOW_MS = 10000,
	LIST_QUIET_MS = 5000
};

/* What a watch's lists are asked about: addresses have the canary 127.0.0.1 and the test entry 127.0.0.2,
 * domains INVALID and TEST (RFC 5782 section 5). */
enum list_kind { LIST_OF_ADDRESSES, LIST_OF_DOMAINS };

struct list_watch;

/* `conf` outlives it; `report`: do_this NULL when the problem of this name is over. */
struct list_watch *list_watch_new(struct loop *loop, struct dns_client *dns, enum list_kind kind,
    const struct conf_dns *conf,
    void (*report)(void *arg, const char *name, const char *what, const char *do_this), void *arg);
/* The lists of a new snapshot are watched too; those it no longer names are forgotten. */
void list_watch_follow(struct list_watch *w, const struct snapshot *s);
bool list_watch_is_off(const struct list_watch *w, struct span zone);
/* What a session has seen: an answer, one that is an error, none in time. */
void list_watch_answer(struct list_watch *w, struct span zone, const struct dns_answer *a);
void list_watch_error(struct list_watch *w, struct span zone);
void list_watch_late(struct list_watch *w, struct span zone);
/* What the lists of `of` have said of one client or mail, for list_watch_counts; `answers` as in struct
 * facts. */
void list_watch_count(struct list_watch *w, const struct snapshot *s, enum list_of of,
    const struct list_answer *answers);
/* Members "ZONE":{"asked":N,"listed":N,"sole":N,"not_listed":N,"errors":N,"unanswered":N,"off":0}.
 * sole: the one list that listed the client; off: 1 while it is. */
void list_watch_counts(const struct list_watch *w, struct json *j);
#endif

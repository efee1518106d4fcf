/*
 * domain_round.h - the lists of domains asked about one thing: the verified reverse name, HELO, the
 * sender's domain, the hosts of a message's URLs.  Shared by the live walk and `postern explain`.
 *
 * All questions are asked at once; the lookup role proves what is listed (relay/lookup/listing.h).  What
 * has not answered when the time is up is unknown.
 */
#ifndef WALK_DOMAIN_ROUND_H
#define WALK_DOMAIN_ROUND_H
#include "relay/front/dns_client.h"
#include "relay/front/list_watch.h"

enum { DOMAIN_NAMES_MAX = 32 /* that one list is asked for in one round: the first ones */ };

struct domain_round_about {
	struct loop *loop;
	struct dns_client *dns;
	struct list_watch *watch; /* NULL: nobody counts */
	const struct snapshot *snapshot;
	const struct conf_dns *conf;
};

struct domain_round;

/*
 * Asks every list of `of` for `hosts`, which must outlive the round and the answers.  NULL: there is
 * nothing to ask.  Else on_done is called once, from the loop, conf->timeout_ms later at the latest.
 */
struct domain_round *domain_round_start(const struct domain_round_about *about, enum list_of of,
    const struct span *hosts, size_t n_hosts, void (*on_done)(void *arg), void *arg);
/* Sets the answers of the lists of `of` among those of the snapshot (each at its index), and counts
 * them.  What has not answered yet is unknown. */
void domain_round_take(const struct domain_round *r, struct list_answer *answers);
bool domain_round_lacks(const struct domain_round *r); /* an answer could not be had */
void domain_round_free(struct domain_round **r);

#endif

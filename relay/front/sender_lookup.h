/*
 * sender_lookup.h - what the DNS says of a sender's domain: does it exist, does it take mail
 * (RFC 7505), has it a mail server that could be reached from here?
 *
 * Only what the DNS denies with authority is held against anybody.  No answer, and an answer that
 * does not add up, is SENDER_UNKNOWN; and before a fault is believed a name that is known to exist (the
 * canary) must be there for the same resolver: one that denies everything accuses nobody.
 */
#ifndef FRONT_SENDER_LOOKUP_H
#define FRONT_SENDER_LOOKUP_H
#include "policy/decide/decide.h"
#include "relay/front/dns_client.h"

enum { SENDER_HOSTS_MAX = LOOKUP_NAMES_MAX - 1 /* mail servers looked at; with more it is fine */ };

/* What has become of the canary. */
enum sender_canary { CANARY_UNASKED, CANARY_ALIVE, CANARY_DENIED, CANARY_SILENT };

/* What is known of a sender's domain without asking: SENDER_OWN, SENDER_FINE for an address literal, else
 * SENDER_UNKNOWN. */
enum sender_fact sender_presumed(const struct config *config, struct span domain);

/* What an answer to the question for a canary's MX says. */
enum sender_canary sender_canary_of(const struct dns_answer *a);

struct sender_lookup;

/*
 * `domain`: of the address, in ASCII; it and the canary outlive the lookup.  on_done is called once, from the
 * loop, timeout_ms later at the latest.  Never NULL.
 */
struct sender_lookup *sender_lookup_start(struct loop *loop, struct dns_client *dns,
    struct span domain, struct span canary, uint32_t timeout_ms, void (*on_done)(void *arg),
    void *arg);
/* After on_done; before, SENDER_UNKNOWN and what is known. */
enum sender_fact sender_lookup_fact(const struct sender_lookup *l);
enum sender_canary sender_lookup_canary(const struct sender_lookup *l);
void sender_lookup_free(struct sender_lookup **l);
/* Nobody on the Internet can reach it: RFC 1918, loopback, link-local, RFC 6598, RFC 4193, multicast. */
bool sender_ip_is_private(const struct ip *ip);

#endif

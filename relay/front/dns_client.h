/*
 * dns_client.h - questions to the lookup role and their answers: of the DNS, and of the sources
 * that know recipients.
 *
 * A question belongs to whoever asked and dies with it (dns_cancel, recipient_cancel).  When lookup
 * is away, the answer is DNS_FAILED or RECIPIENT_UNKNOWN, from the loop, never from inside.
 */
#ifndef FRONT_DNS_CLIENT_H
#define FRONT_DNS_CLIENT_H
#include "policy/config/config.h"
#include "relay/base/list.h"
#include "relay/ipc/channel.h"
#include "relay/ipc/lookup.h"

struct dns_client;

/* Embedded in its owner; all zeros: not asked. */
struct dns_request {
	uint64_t id;
	struct dns_client *client; /* NULL: nothing is asked */
	struct timer *failed;
	void (*on_answer)(struct dns_request *r, const struct dns_answer *answer);
	void *arg;
	size_t index; /* the owner's */
};

struct dns_client *dns_client_new(struct loop *loop);
/* Called when the channel closes by itself. */
void dns_client_on_lost(struct dns_client *d, void (*on_lost)(void *arg), void *arg);
void dns_client_connect(struct dns_client *d, int fd); /* takes the fd; an older channel closes */
/* Set on_answer and arg first.  The answer comes at most a little after q->timeout_ms. */
void dns_ask(struct dns_client *d, struct dns_request *r, const struct dns_question *q);
void dns_cancel(struct dns_request *r);

/* Embedded in its owner; all zeros: not asked. */
struct recipient_request {
	uint64_t id;
	struct dns_client *client; /* NULL: nothing is asked */
	struct timer *patience;
	void (*on_answer)(struct recipient_request *r, const struct recipient_answer *answer);
	void *arg;
};

/* Set on_answer and arg first.  The answer comes at the latest after `patience_ms`, whatever has
 * become of the lookup role. */
void recipient_ask(struct dns_client *d, struct recipient_request *r,
    const struct recipient_question *q, int64_t patience_ms);
void recipient_cancel(struct recipient_request *r);
/* How long the answer of this domain's source may take: its own time, and a little more. */
int64_t recipient_patience_ms(const struct config *config, const struct conf_domain *domain);

#endif

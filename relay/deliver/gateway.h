/*
 * gateway.h - a gateway's servers: which one a message goes to next, and how each of them is.
 *
 * A server is one target for each of its addresses.  Targets of the lowest preference come
 * first; inside one preference weight shares the load (RFC 2782's rule).  A target that fails is
 * down until a trial connection greets us again; trials back off from 1 s to 60 s.  One that takes
 * far longer than its peers gets mail only when they are at their limit, and a message now and then
 * to see whether it has recovered.  One that an admin has drained gets none.  Pure: no sockets, no
 * lookups; time is passed in.
 */
#ifndef DELIVER_GATEWAY_H
#define DELIVER_GATEWAY_H
#include "policy/config/config.h"
#include "relay/base/list.h"
#include "relay/deliver/health.h"
#include "relay/ipc/front_spool.h"

enum {
	GATEWAY_TARGETS_MAX = 64,   /* bits of queue_leg.tried */
	GATEWAY_ADDRESSES_MAX = 16, /* of one name */
	GATEWAY_BACKOFF_MIN_MS = 1000,
	GATEWAY_BACKOFF_MAX_MS = 60 * 1000,
	GATEWAY_LOSSES_MAX = 3, /* connections broken in a row before a target counts as down */
	GATEWAY_LOOK_MS = 5000, /* a slow target gets a message so often */
	GATEWAY_FORGET_MS =
	    5 * 60 * 1000, /* a target without mail for so long is not slow any more */
	/* No address of a name can be reached: the DNS is asked again so often, whatever their TTL. */
	GATEWAY_DOUBT_MS = 10 * 1000,
	GATEWAY_DRAINED_MAX = 64,
	GATEWAY_TEXT_MAX = 64,
	GATEWAY_WHY_MAX = 256
};

enum target_state { TARGET_UP, TARGET_SLOW, TARGET_DRAINING, TARGET_DOWN };

struct target {
	const struct conf_server *server;
	struct ip ip;
	char text[GATEWAY_TEXT_MAX]; /* "10.0.0.11:25" */
	bool
	    is_gone; /* its name no longer has this address; the slot is free without connections */
	bool is_up;
	bool is_in_trial;          /* while down: a trial connection is on its way */
	bool is_slow;              /* beside its peers; counts while it is up */
	bool is_drained;           /* by an admin */
	char why[GATEWAY_WHY_MAX]; /* it went down; "" while it never has */
	char last_reply[GATEWAY_WHY_MAX];
	unsigned losses;
	int64_t backoff_ms, trial_ms, look_ms;
	unsigned n_connections, n_idle;
	bool is_asked; /* it has answered EHLO once: what follows is known */
	bool takes_8bit, takes_utf8;
	uint64_t size_limit; /* bytes, 0: none said */
	unsigned n_greeted;  /* of n_connections: those with a banner */
	struct health health;
	enum target_state state; /* as of the last change, since since_ms */
	int64_t since_ms;
};

/* What is known of a server's name. */
enum name_state {
	NAME_LITERAL, /* an address */
	NAME_UNKNOWN, /* to be asked, or being asked, for the first time */
	NAME_KNOWN,
	NAME_FAILED /* no address to be had; asked again at expires_ms */
};

struct server_name {
	enum name_state state;
	int64_t expires_ms;
	int64_t backoff_ms;
	bool is_asking; /* the resolver's */
	int64_t asked_ms;
	unsigned n_missing;
	struct ip found[GATEWAY_ADDRESSES_MAX];
	size_t n_found;
	uint32_t ttl_s;
};

struct gateway {
	const struct conf_gateway *conf;
	struct server_name *names; /* one for each of conf->servers */
	struct target targets[GATEWAY_TARGETS_MAX];
	size_t n_targets;
	char *drained[GATEWAY_DRAINED_MAX]; /* servers, as written or by address */
	size_t n_drained;
	/* Legs, the dispatcher's: */
	struct list ready; /* wait for a connection */
	struct list again; /* the same, refused by one server already */
	struct list
	    parked; /* wait for a server to be there at all; deferred, for their age's sake */
	struct list asleep; /* the same, of messages that sleep: their queue_item.parked */
	bool is_parked_next;
	struct list connections; /* the courier's */
};

enum pick {
	PICK_OK,
	PICK_WAIT, /* the right ones are busy, or a name is being asked */
	PICK_NONE  /* all are down, drained or were tried */
};

struct gateway *gateway_new(const struct conf_gateway *conf, int64_t now_ms);
void gateway_free(struct gateway **g); /* the lists must be empty */
/* Chooses a target for a message that failed at those in `tried` (a bit for each index). */
enum pick gateway_pick(const struct gateway *g, uint64_t tried, int64_t now_ms, size_t *index);
/* The addresses of server `s` as a lookup found them; none: the name failed until retry. */
void gateway_set_addresses(
    struct gateway *g, size_t s, const struct ip *ips, size_t n, int64_t ttl_ms, int64_t now_ms);

/* Whether server `s` has addresses and none that is up. */
bool gateway_is_lost(const struct gateway *g, size_t s);

/* Each returns whether the target was not up, or was, before. */
bool target_up(struct target *t, int64_t now_ms);
bool target_down(struct target *t, int64_t now_ms);
/* A connection broke in the middle of a message. */
bool target_lost(struct target *t, int64_t now_ms);
/* It gets a message. */
void target_given(struct target *t, int64_t now_ms);
unsigned target_busy(const struct target *t); /* connections in use */
/* Compares a target with its peers after a sample of its health; true: is_slow has changed. */
bool gateway_judge(struct gateway *g, struct target *t, int64_t now_ms);

/*
 * Drains a server, given as it is written in the configuration or by one of its addresses, and
 * undoes that.  Draining what is drained changes nothing.  false: GATEWAY_DRAINED_MAX are.
 */
bool gateway_drain(struct gateway *g, struct span server, int64_t now_ms);
void gateway_undrain(struct gateway *g, struct span server, int64_t now_ms);
bool gateway_has_server(const struct gateway *g, struct span server);
/* Whether `server` names the target: by its address or by what the configuration says. */
bool target_is(const struct target *t, struct span server);

/* What at least one server that may get mail can take. */
struct gateway_ability gateway_ability(const struct gateway *g);
/* The next target whose trial is due; NULL: none.  And when the next will be; -1: never. */
struct target *gateway_trial_due(struct gateway *g, int64_t now_ms);
int64_t gateway_next_trial_ms(const struct gateway *g);
bool target_wants_trial(const struct target *t);
bool gateway_is_usable(const struct gateway *g); /* at least one target is up and not drained */
/* Why it is not: a sentence for an admin. */
void gateway_why(const struct gateway *g, struct buf *to);

#endif

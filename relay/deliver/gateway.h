/*
 * gateway.h - a gateway's servers: which one a message goes to next, and which ones are down.
 *
 * A server is one target for each of its addresses.  Targets of the lowest preference come
 * first; inside one preference weight shares the load (RFC 2782's rule).  A target that fails is
 * down until a trial connection greets us again; trials back off from 1 s to 60 s.  Pure: no
 * sockets, no lookups; time is passed in.
 */
#ifndef DELIVER_GATEWAY_H
#define DELIVER_GATEWAY_H
#include "policy/config/config.h"
#include "relay/base/list.h"

enum {
	GATEWAY_TARGETS_MAX = 64,     /* bits of queue_leg.tried */
	GATEWAY_ADDRESSES_MAX = 16,   /* of one name */
	GATEWAY_CONNECTIONS_MAX = 20, /* to one target */
	GATEWAY_BACKOFF_MIN_MS = 1000,
	GATEWAY_BACKOFF_MAX_MS = 60 * 1000,
	GATEWAY_LOSSES_MAX = 3, /* connections broken in a row before a target counts as down */
	GATEWAY_TEXT_MAX = 64,
	GATEWAY_WHY_MAX = 256
};

struct target {
	const struct conf_server *server;
	struct ip ip;
	char text[GATEWAY_TEXT_MAX]; /* "10.0.0.11:25" */
	bool
	    is_gone; /* its name no longer has this address; the slot is free without connections */
	bool is_up;
	bool is_in_trial;          /* while down: a trial connection is on its way */
	char why[GATEWAY_WHY_MAX]; /* it went down; "" while it never has */
	unsigned losses;
	int64_t backoff_ms, trial_ms;
	unsigned n_connections, n_idle;
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
	struct list ready;       /* legs that wait for a connection; the dispatcher's */
	struct list connections; /* the dispatcher's */
};

enum pick {
	PICK_OK,
	PICK_WAIT, /* the right ones are busy, or a name is being asked */
	PICK_NONE  /* all are down or were tried */
};

struct gateway *gateway_new(const struct conf_gateway *conf);
void gateway_free(struct gateway **g); /* the lists must be empty */
/* Chooses a target for a message that failed at those in `tried` (a bit for each index). */
enum pick gateway_pick(const struct gateway *g, uint64_t tried, size_t *index);
/* The addresses of server `s` as a lookup found them; none: the name failed until retry. */
void gateway_set_addresses(
    struct gateway *g, size_t s, const struct ip *ips, size_t n, int64_t ttl_ms, int64_t now_ms);

/* Each returns whether the state changed. */
bool target_up(struct target *t);
bool target_down(struct target *t, int64_t now_ms);
/* A connection broke in the middle of a message. */
bool target_lost(struct target *t, int64_t now_ms);
/* The next target whose trial is due; NULL: none.  And when the next will be; -1: never. */
struct target *gateway_trial_due(struct gateway *g, int64_t now_ms);
int64_t gateway_next_trial_ms(const struct gateway *g);
bool gateway_is_up(const struct gateway *g); /* at least one target is */

#endif

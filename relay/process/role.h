/*
 * role.h - what every role process has in common: its start, its peers, its sandbox, its end.
 *
 * A role is an executable of its own.  The supervisor starts it with a control channel on fd 3
 * and sends, over it: the configuration and policy texts (sealed memfds), the listeners (front),
 * a channel to each peer, again whenever that peer is restarted, and then "go".  The role drops to
 * its user, prepares, enters its sandbox, says ready, and loops.  Threads are started in start(),
 * inside the sandbox: Landlock binds the calling thread and its children only.
 */
#ifndef PROCESS_ROLE_H
#define PROCESS_ROLE_H
#include "policy/config/config.h"
#include "relay/base/loop.h"
#include "relay/ipc/channel.h"
#include "relay/ipc/control.h"

enum role_id {
	ROLE_SUPERVISOR,
	ROLE_FRONT,
	ROLE_LOOKUP,
	ROLE_FILTER,
	ROLE_SPOOL,
	ROLE_JOURNAL,
	ROLE_WEB,
	ROLE_KEY
};
enum { ROLE_COUNT = ROLE_KEY + 1 };

/*
 * A place is one process: of most roles there is one, and its place is the role itself; fronts there
 * may be several, and the second has the place ROLE_COUNT.  The filter role has two, since it is
 * renewed beside itself (successor.h): it serves at either.
 */
enum { PLACE_FILTER_2 = ROLE_COUNT + CONFIG_FRONTS_MAX - 1, PLACES };

const char *role_name(enum role_id id);
unsigned place_of_front(unsigned instance); /* from 0 on */
enum role_id place_role(unsigned place);    /* below PLACES */
unsigned place_instance(unsigned place);    /* 0 for who is alone in its role */
/* "front", "front-2", ...: for logs and people. */
const char *place_name(unsigned place);

struct catalog;

struct role {
	const struct role_ops *ops;
	unsigned
	    instance; /* of several fronts, from 0 on; of the filter role, which of its places */
	bool is_successor;   /* another one serves until this one is ready */
	struct span loaded;  /* the filters that one has loaded: supervision.h */
	struct span barred;  /* the filters that are not to be loaded: supervision.h */
	bool is_ready_later; /* set by start: the role calls role_policy_live when it can serve */
	struct loop *loop;
	struct catalog *catalog; /* of plugins; the configuration points into it */
	struct config *config;
	struct buf policy; /* a policy bundle: relay/ipc/policy_bundle.h */
	uint64_t policy_version;
	struct channel *control;
	unsigned
	    n_listeners; /* front: it may be given so many at once, those of other fronts with them */
	int secrets;     /* key: a sealed bundle of keys and users (material.h); -1: taken */
	int tickets;     /* key and front: the table of tickets.h (shared.h); -1: taken */
	/* front: each front's page (tallies.h), its own to be written; -1: none or taken */
	int tallies[CONFIG_FRONTS_MAX];
	uint64_t tallies_secret[2];
	void *self; /* the role's own state */
};

struct role_ops {
	enum role_id id;
	/* Before the sandbox but already as the role's own user, with the configuration read: load
	 * libraries, read system files.  On failure err says what to do. */
	int (*prepare)(struct role *, struct err *err);
	/* Inside the sandbox; peers may come right after. */
	void (*start)(struct role *);
	/* A channel to the one at `place` has come (or a new one, since it was restarted; the old
	 * one closes). */
	void (*peer)(struct role *, unsigned place, int fd);
	/* A listener has come (front and web), by its number (listener.h); fd -1: it is another
	 * front's again, no more is to be accepted from it. */
	void (*listener)(struct role *, unsigned number, int fd);
	/* A new policy bundle is in role->policy, its version in policy_version.  May be NULL.  It is
	 * in force when the role has called role_policy_live. */
	void (*policy)(struct role *);
	/* A new bundle of secrets is in role->secrets (key).  May be NULL. */
	void (*secrets)(struct role *);
	/* A request for this role, to be answered with role_reply and role_reply_end. May be NULL. */
	void (*request)(struct role *, uint64_t id, const struct control_request *r);
	/* Asked to end: finish what must be finished, then loop_stop(role->loop). NULL: at once. */
	void (*stop)(struct role *);
	/* CONTROL_CHUNK and CONTROL_END that answer this role's own requests (web). May be NULL. */
	void (*answer)(struct role *, const struct message *m);
};

/* The whole life of a role process; returns the exit status of main. */
int role_main(const struct role_ops *ops, int argc, char **argv);

/* From now on, or from the next session on, the policy of this version decides. */
void role_policy_live(struct role *, uint64_t version);
/* Asks the supervisor for another process of this role beside this one, to take over when it is
 * ready; then this one is told to stop.  Of the filter role only; the other one gets `loaded`. */
void role_renew(struct role *, struct span loaded);
void role_reply(struct role *, uint64_t id, struct span chunk); /* any length, cut into chunks */
void role_reply_end(struct role *, uint64_t id, int status, struct span text);
/* The channel to the peer at this place has closed.  When the peer lives (the channel broke), a new one comes;
 * when it died, one comes with its successor anyway. */
void role_peer_lost(struct role *, unsigned place);
/* Tells the supervisor something that `status` shows: a problem with its remedy, or (do == NULL)
 * that the problem of this name is over. */
void role_problem(struct role *, const char *name, const char *what, const char *do_this);

#endif

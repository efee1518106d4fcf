/*
 * supervision.h - what the supervisor and a role say to each other over the role's fd 3, beside
 * the control requests of control.h.
 */
#ifndef IPC_SUPERVISION_H
#define IPC_SUPERVISION_H
#include "relay/base/wire.h"

enum supervision_type {
	ROLE_CONFIG =
	    16, /* to the role: id = its place, fds[0] = configuration text, fds[1] = bytes of its plugins'
		 * catalog (catalog.h; none: no plugin folder), payload = struct role_setup */
	ROLE_POLICY,   /* to the role: id = version, payload = policy bundle */
	ROLE_LISTENER, /* to the role: id = number, fds[0] = listening socket, or none: let it go */
	ROLE_PEER,     /* to the role: id = place (role.h), fds[0] = channel to it */
	ROLE_GO,       /* to the role: that was all, start; id = listeners of all fronts together */
	ROLE_STOP,     /* to the role: finish and exit */
	ROLE_READY, /* from the role: started, inside its sandbox; id = policy version in force */
	ROLE_PEER_LOST, /* from the role: its channel to place `id` has closed */
	ROLE_PROBLEM,   /* from the role: payload = struct role_problem_report */
	ROLE_SECRETS,   /* to key: id = generation, fds[0] = sealed bundle of keys and users */
	ROLE_TICKETS, /* to key and front, before go: fds[0] = keys of session tickets (tickets.h),
			 * for key to write and for front to read */
	ROLE_TALLIES, /* to front, before go, for each: id = its number, fds[0] = its page of tallies.h,
			 * payload = their secret, two u64 */
	ROLE_HITS,  /* from front: how often rules have matched (hits.h) */
	ROLE_RENEW, /* from filter: another one beside me, please, to take over when it is ready;
		     * payload = what I have loaded, as in struct role_setup */
	ROLE_LOADING, /* from filter: id = 1 + index of the configuration's filter whose code runs outside of any
			 * worker from now on; 0: none does */
	ROLE_LOADS /* from filter: payload = what loading has come to, a struct load_state for each filter of
		    * its chain */
};

enum {
	SUPERVISION_FD = 3,
	PROBLEM_TEXT_MAX = 1024,
	SETUP_NAME_MAX = 4096,
	SETUP_LOADED_MAX = 4096,
	LOAD_STATES_MAX = 4096, /* filters of a configuration that flows use */
	LOAD_WHY_MAX = 400,
	LOADS_BYTES_MAX = 2 * 1024 * 1024
};

enum load_result { LOAD_FINE, LOAD_NOT_NOW, LOAD_BROKEN };

/* What has become of one filter's load. */
struct load_state {
	uint32_t filter; /* index in the configuration */
	enum load_result result;
	struct span why; /* "what is wrong; what to do", LOAD_WHY_MAX at most */
};

struct role_setup {
	struct span config_file; /* its name, for messages */
	bool is_json_log;
	struct span
	    run_dir; /* instead of the configuration's, for a role outside a relay; or empty */
	bool is_successor; /* another one serves: ready with all that it has, or not at all */
	struct span
	    loaded; /* what that one has: bit i % 8 of byte i / 8 for filter i of its chain */
	struct span
	    barred; /* struct load_state of those not to be loaded: one before it has died of that */
};

struct role_problem_report {
	struct span name, what, do_this; /* do_this empty: the problem is over */
};

void role_setup_put(struct buf *to, const struct role_setup *s);
int role_setup_get(struct span payload, struct role_setup *s);
/* One behind the other. */
void load_state_put(struct buf *to, const struct load_state *s);
/* The next one, while the wire has one; w->failed says that it was none. */
struct load_state load_state_get(struct wire *w);
void role_problem_put(struct buf *to, const struct role_problem_report *p);
int role_problem_get(struct span payload, struct role_problem_report *p);

#endif

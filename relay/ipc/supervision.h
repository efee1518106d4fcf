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
	ROLE_HITS, /* from front: how often rules have matched (hits.h) */
	ROLE_RENEW /* from filter: another one beside me, please, to take over when it is ready;
		    * payload = what I have loaded, as in struct role_setup */
};

enum {
	SUPERVISION_FD = 3,
	PROBLEM_TEXT_MAX = 1024,
	SETUP_NAME_MAX = 4096,
	SETUP_LOADED_MAX = 4096
};

struct role_setup {
	struct span config_file; /* its name, for messages */
	bool is_json_log;
	struct span
	    run_dir; /* instead of the configuration's, for a role outside a relay; or empty */
	bool is_successor; /* another one serves: ready with all that it has, or not at all */
	struct span
	    loaded; /* what that one has: bit i % 8 of byte i / 8 for filter i of its chain */
};

struct role_problem_report {
	struct span name, what, do_this; /* do_this empty: the problem is over */
};

void role_setup_put(struct buf *to, const struct role_setup *s);
int role_setup_get(struct span payload, struct role_setup *s);
void role_problem_put(struct buf *to, const struct role_problem_report *p);
int role_problem_get(struct span payload, struct role_problem_report *p);

#endif

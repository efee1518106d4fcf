/*
 * supervisor.h - the parent of all roles: reads configuration and policy, opens listeners,
 * starts the roles, connects them, restarts what dies, answers the control socket.
 *
 * It never reads a byte from the network.
 */
#ifndef PROCESS_SUPERVISOR_H
#define PROCESS_SUPERVISOR_H
#include "relay/ipc/shared.h"
#include "relay/process/console.h"
#include "relay/process/listener.h"
#include "relay/process/loads.h"
#include "relay/process/plugins.h"
#include "relay/process/problem.h"
#include "relay/process/role.h"

struct control_socket;
struct proposal;

enum child_state { CHILD_DOWN, CHILD_STARTING, CHILD_UP, CHILD_STOPPING };

/* One role's process, and its place when there is none. */
struct child {
	struct supervisor *supervisor;
	enum role_id role;
	unsigned place;
	enum child_state state;
	bool is_wanted; /* false: this configuration has no use for it */
	int pid;
	struct channel *channel;
	struct timer *restart, *kill;
	struct timer *pair_again[PLACES]; /* a channel that broke is made anew in a moment */
	bool is_pair_due[PLACES];
	int64_t delay_ms, started_ms;
	uint64_t restarts, failed_starts;
	uint64_t generation; /* front: of the policy that it has confirmed */
	struct loads loads;  /* of a filter role */
};

/* A new configuration is being put in force. */
enum renewal { RENEWAL_NONE, RENEWAL_STOPPING, RENEWAL_STARTING };

struct supervisor {
	struct loop *loop;
	char *config_file;
	bool is_json_log;
	struct buf config_text;
	struct plugins plugins; /* what `config` stands on */
	struct config *config;
	struct buf bundle;        /* policy bundle in force */
	uint64_t generation;      /* of the bundle: the version the roles know it by */
	uint64_t policy_version;  /* of the store */
	uint64_t live_generation; /* what all fronts that run have confirmed */
	int secrets; /* the key role's bundle, sealed and never mapped here; -1: there are none */
	struct shared_fds tickets; /* keys of session tickets: key writes, fronts read */
	struct shared_fds
	    tallies[CONFIG_FRONTS_MAX]; /* each front writes its own, reads the others */
	uint64_t tallies_secret[2];
	bool policy_waits_for_key; /* front may have a certificate when key has its key */
	unsigned filter_place; /* of its two, where the filter role that serves is (successor.h) */
	bool is_filter_due;    /* it has asked to be renewed */
	bool is_filter_again; /* who was to take over has died of a load: once more, without that */
	struct proposal *next;    /* is being loaded by the other one (reload.h); NULL: none */
	struct buf filter_loaded; /* what it had loaded then (supervision.h) */
	struct listener_set listeners;
	struct child children[PLACES]; /* by place: the one of a role at its number */
	struct problem_set problems;
	struct console console;
	struct control_socket *control;
	struct watch *signals;
	int signal_fd;
	bool was_ready, is_stopping;
	enum renewal renewal;
	struct timer *front_waits;
	struct timer *trial; /* trial.c */
	struct buf hits;     /* rule_hits.c: entries that wait for the store */
	struct timer *hits_again;
	unsigned hits_failed; /* tries in a row */
	int exit_status;
	int64_t started_wall_ms;
};

/* supervisor.c */
/* Mail can flow: who is needed runs, and of the fronts at least one. */
bool supervisor_is_ready(const struct supervisor *s);
/* ... and every front. */
bool supervisor_is_whole(const struct supervisor *s);
/* Whether this configuration has work for the one at this place. */
bool supervisor_wants(const struct supervisor *s, unsigned place);
/* To the fronts, but to key first: when a client sees a new certificate, its key is there. */
void supervisor_send_policy(struct supervisor *s);
/* reload.c.  Reads configuration and policy again and puts them in force.  0, or -E_CONFIG with every error
 * as a line in `errors`; then nothing has changed.  With 0 they name filters that are not loaded.
 * s->next != NULL: not yet, control_reload_done tells the end; else live_generation tells, which is there at
 * once when nothing had changed. */
int supervisor_reload(struct supervisor *s, struct buf *errors);
/* The same for the policy alone: the configuration stays the one in force. */
int supervisor_reload_policy(struct supervisor *s, struct buf *errors);
void supervisor_stop(struct supervisor *s, int exit_status);
/* Called by child.c when a role has come up or died. */
void supervisor_child_changed(struct supervisor *s, struct child *c);
void supervisor_child_message(struct supervisor *s, struct child *c, struct message *m);

/* child.c */
void child_init(struct child *c, struct supervisor *s, unsigned place);
void child_start(struct child *c);
void child_stop(struct child *c); /* asks; kills after a while */
void child_died(struct child *c, int wait_status);
/* ROLE_LOADING: the time that it may take runs. */
void child_loading(struct child *c, uint64_t id);
void child_send_policy(struct child *c);
void child_send_secrets(struct child *c);
/* The same a moment later, unless one of the two is started anew before: peers that break every
 * channel must not keep us busy. */
void child_pair_later(struct child *a, unsigned b_place);
/* What a front that is down would accept, the others do, and let go again when it is back. */
void child_share_listeners(struct supervisor *s, struct child *changed);
/* A new channel between the two, when both are there and have something to say to each other. */
void child_pair(struct child *a, struct child *b);

/* status.c: the JSON of `postern status`, with what roles say of themselves added. */
/* Adds the members of a role's own JSON object, each behind a comma. */
void status_add_role(struct buf *to, struct span object);
/* What fronts say of themselves, added up: {"front":{"sessions":N,...},
 * "dnsbl":{"ZONE":{"asked":N,...},...}}; the latter becomes a list. */
enum { STATUS_COUNTS_MAX = 32, STATUS_NAME_MAX = 32, STATUS_ZONE_MAX = 253, STATUS_ZONES_MAX = 64 };
enum { STATUS_ZONE_COUNTS = 7 }; /* asked, listed, sole, not_listed, errors, unanswered, off */
/* What they say of one DNS list. */
struct status_zone {
	char zone[STATUS_ZONE_MAX + 1];
	uint64_t n[STATUS_ZONE_COUNTS];
};
struct status_counts {
	struct status_zone zones[STATUS_ZONES_MAX];
	size_t n_zones;
	struct {
		char name[STATUS_NAME_MAX + 1];
		uint64_t n;
	} items[STATUS_COUNTS_MAX];
	size_t n;
};
void status_add_counts(struct status_counts *to, struct span object);
void status_put_counts(const struct status_counts *c, struct buf *to);
/* The whole document; silent: bit for each place that was asked and has not answered. */
void status_write(const struct supervisor *s, unsigned silent, struct span members, struct buf *to);

#endif

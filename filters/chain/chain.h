/*
 * chain.h - the filters of a configuration, loaded once, and one message's run through those of
 * its flow.
 *
 * A chain belongs to the zygote; forked workers share it read-only.  A run is a worker's: parse
 * the MIME once, run each filter's hooks from connect to done, one filter after the other in the
 * flow's order (so a deadline or a crash belongs to exactly one), then evaluate the policy's
 * content predicates.  A filter that is not loaded, or skipped after a crash, is a `failure`:
 * nothing here lets a message pass unseen.
 */
#ifndef CHAIN_CHAIN_H
#define CHAIN_CHAIN_H
#include "policy/rules/rules.h"
#include "relay/ipc/front_filter.h"

enum {
	CHAIN_WHY_MAX = 400,
	CHAIN_FILTER_MEMORY = 16 * 1024 * 1024, /* what all filters of a run may ask for */
	CHAIN_MIME_MEMORY = 640 * 1024 * 1024,  /* message parts decoded, their texts */
	CHAIN_HEADER_MEMORY = 16 * 1024 * 1024, /* far over what a header section decodes to */
	CHAIN_UNPACK_MEMORY = 96 * 1024 * 1024, /* what is in archives: names, types, members */
	CHAIN_NOTES_MAX = 128,
	CHAIN_BODY_MAX = 512 * 1024 * 1024
};

/* One filter section with its code. */
struct chain_filter {
	const struct conf_filter *conf;
	const struct pnf_filter *plugin; /* NULL: there is none; else `own` once it is accepted */
	struct pnf_filter own;           /* with the fields of all minors */
	void *self;
	bool is_loaded, is_broken; /* broken: not for want of something that may come by itself */
	bool is_barred;            /* it is not to be loaded at all: chain_bar */
	char why[CHAIN_WHY_MAX];   /* why it is not loaded, and what to do */
};

struct chain {
	const struct config *config;
	char *tmpdir;                 /* of this process */
	struct chain_filter *filters; /* those that some flow uses */
	size_t n_filters;
	void (*on_load)(void *arg, const struct conf_filter *filter); /* chain_on_load; or NULL */
	void *on_load_arg;
	uint64_t effort; /* of the policy's regexes over one message; EFFORT_MESSAGE but in tests */
};

typedef const struct pnf_filter *chain_plugins(const struct pnf_about *about);

/* Nothing is loaded yet.  `config` outlives the chain. */
struct chain *chain_new(const struct config *config, chain_plugins *plugins, const char *tmpdir);
/* Unloads the filters; never in a worker, whose pages are the zygote's. */
void chain_free(struct chain **c);

/*
 * Loads what is not loaded.  What cannot be loaded keeps is_loaded == false and a `why`.  0; -E_AGAIN
 * when that may change by itself; -E_CONFIG when the settings of one can never work.  err says of
 * which filter, the first of that kind; -E_AGAIN when there are both.
 */
int chain_load(struct chain *c, struct err *err);
/* Told before each load or start, and with NULL when chain_load or chain_start is through with them. */
void chain_on_load(
    struct chain *c, void (*on_load)(void *arg, const struct conf_filter *filter), void *arg);
/* This filter is never loaded: its messages fail for this reason. */
void chain_bar(struct chain *c, const struct conf_filter *filter, struct span why);
/* In a worker, in its sandbox: the start hooks of all loaded filters. */
int chain_start(struct chain *c, const char *tmpdir, struct err *err);

/* Told before each filter runs: its index in the flow, -1 for what is no filter's work. */
typedef void chain_progress(void *arg, int filter);

struct chain_run; /* owns everything the result points to */

/* `snapshot` may be NULL: then no truths.  -E_NOT_FOUND: no such flow. */
int chain_scan(struct chain *c, const struct scan_request *request, struct span body,
    const struct snapshot *snapshot, chain_progress *progress, void *arg, struct chain_run **out);
const struct scan_result *chain_result(const struct chain_run *run);
/* After it the worker should not judge another message: something hostile was seen. */
bool chain_was_rough(const struct chain_run *run);
void chain_run_free(struct chain_run **run);

#endif

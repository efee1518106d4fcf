/* run.h - one message's run, inside the chain: shared by chain.c, host.c and truths.c. */
#ifndef CHAIN_RUN_H
#define CHAIN_RUN_H
#include "filters/chain/chain.h"
#include "filters/unpack/unpack.h"
#include "relay/message/mime.h"

struct note {
	struct span key, value;
};

/* What filters know as struct pnf_msg. */
struct pnf_msg {
	struct arena memory;        /* for results and filters' own */
	struct arena mime_memory;   /* the parsed message */
	struct arena header_memory; /* decoded header fields */
	struct arena unpack_memory; /* names in archives */
	struct arena host_memory;   /* hosts of URLs */
	const struct chain *chain;
	const struct conf_flow *flow;
	const struct chain_filter *now; /* the filter that runs */
	uint8_t filter;                 /* its index in the flow */
	int64_t deadline_mono_ms;
	struct span id, body;
	struct mime_message mime;
	struct unpack unpack; /* see run_unpack */
	bool is_unpacked;
	struct span *decoded; /* one for each of mime.headers */
	struct note notes[CHAIN_NOTES_MAX];
	size_t n_notes, edit_bytes;
	bool is_rough;
	uint32_t has_refused; /* bit i: something that filter i may not do was logged */
	struct scan_result result;
	uint8_t truths[SCAN_TRUTHS_MAX];
};

struct chain_run {
	struct pnf_msg msg;
};

/* The constant host table (host.c). */
const struct pnf_host *host_table(void);
/* Records an outcome of the filter at `filter`, its text made harmless; the first ones stay. */
void run_record(struct pnf_msg *m, uint8_t filter, int outcome, struct span why);
/* What is in the message's archives: looked at once, when first asked for (chain.c); so are its types. */
const struct unpack *run_unpack(struct pnf_msg *m, bool with_types);
/* Evaluates all predicates into m->truths (truths.c). */
void truths_fill(struct pnf_msg *m, const struct snapshot *snapshot);
/* Gathers the hosts of the message's URLs into its result (hosts.c). */
void hosts_fill(struct pnf_msg *m);
/* This filter's settings, as the host table hands them to load (host.c). */
struct pnf_config {
	const struct conf_filter *conf;
	const char *tmpdir;
};

#endif

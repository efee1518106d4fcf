/* run.h - one message's run, inside the chain: shared by chain.c, host.c and truths.c. */
#ifndef CHAIN_RUN_H
#define CHAIN_RUN_H
#include "filters/chain/abi.h"
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
	struct arena normal_memory; /* the message in one reading */
	const struct chain *chain;
	const struct conf_flow *flow;
	const struct chain_filter *now;      /* the filter that runs */
	uint8_t filter;                      /* its index in the flow */
	uint8_t may_strip[ABI_OUTCOMES_MAX]; /* of its outcomes: 0 not yet asked, 1 no, 2 yes */
	int64_t deadline_mono_ms;
	struct span id, body;
	struct mime_message mime;
	struct unpack unpack; /* see run_unpack */
	bool is_unpacked;
	struct span *decoded; /* one for each of mime.headers */
	struct note notes[CHAIN_NOTES_MAX];
	size_t n_notes, edit_bytes;
	size_t part_bytes, uncut_bytes; /* of the texts of parts and marks; of why parts stay */
	bool is_rough;
	uint32_t has_refused;      /* bit i: something that filter i may not do was logged */
	struct scan_result result; /* until strips_place its marks name parts of `mime` */
	uint8_t truths[SCAN_TRUTHS_MAX];
};

struct chain_run {
	struct pnf_msg msg;
};

/* The constant host table (host.c). */
const struct pnf_host *host_table(void);
/* Records an outcome of the filter at `filter`, its text made harmless; the first ones stay. */
void run_record(struct pnf_msg *m, uint8_t filter, int outcome, struct span why);
/* Index of the outcome that the filter at m->filter has reported; SIZE_MAX: it has not. */
size_t run_recorded(const struct pnf_msg *m, int outcome);
/* A text that the result may hold: whole characters, at most max bytes, no controls (host.c). */
struct span run_line(struct pnf_msg *m, struct span s, size_t max);
/* strips.c: outcome `i` is about this part too. */
void strips_mark(struct pnf_msg *m, size_t i, uint32_t part, struct span why);
/* What stands for an outcome that says no part, or a part that cannot be taken out. */
void strips_give_up(struct pnf_msg *m, size_t i, struct span why);
/* What a notice says of a part, but for its place. */
void strips_describe(struct pnf_msg *m, const struct mime_part *part, struct scan_part *to);
/* Once, after strips_place: the message in one reading, if that is asked for (normals.c). */
void normals_make(struct pnf_msg *m);
/* Once, after the filters: which of the parts can be taken out, and where they are. */
void strips_place(struct pnf_msg *m);
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

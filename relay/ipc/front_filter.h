/*
 * front_filter.h - what front says to the filter zygote and to its workers, and their answers.
 *
 * Front and zygote share one channel; each worker comes with a channel of its own, whose front
 * end the zygote sends along in FILTER_WORKER.  Everything a worker sends is untrusted: counts,
 * lengths and indexes are checked against the limits here before anything is believed.
 */
#ifndef IPC_FRONT_FILTER_H
#define IPC_FRONT_FILTER_H
#include "policy/config/config.h"
#include "relay/base/ip.h"
#include "relay/base/wire.h"

/* zygote <-> front */
enum filter_type {
	FILTER_WORKER =
	    1,       /* zygote: id = worker number, fds[0] = its channel; ready for messages */
	FILTER_DIED, /* zygote: id = worker number, payload = struct worker_death */
	FILTER_KILL  /* front: id = worker number; it is over its time */
};

/* worker <-> front */
enum worker_type {
	WORKER_POLICY = 1, /* front: id = version, fds[0] = sealed policy text */
	WORKER_SCAN, /* front: id = its own number for the message, payload = struct scan_request */
	WORKER_RESULT, /* worker: same id, payload = struct scan_result */
	WORKER_REWRITE, /* worker: same id, a piece of a struct rewrite (rewrite.h); the result follows */
	WORKER_LEAVING, /* worker: exits after the result that follows; no more messages, please */
	WORKER_READY /* worker: inside its sandbox, its filters started; it may have been sent work before */
};

/* A worker keeps the policies it has received last; front sends one again when it needs to. */
enum { WORKER_POLICIES = 4 };
/* So many messages, or so long after its first, and a worker leaves: what was taken over by one mail ends. */
enum { WORKER_MESSAGES = 100, WORKER_AGE_MS = 60000 };

struct worker_death {
	int32_t signal, exit_status; /* signal 0: it exited */
	int32_t filter;              /* index in the flow of the filter that ran, -1: none */
	uint64_t scan;               /* id of the WORKER_SCAN it was on, 0: none */
	bool was_deadline;           /* the zygote killed it for its filter's deadline */
};

enum {
	SCAN_RCPTS_MAX = 10000,
	SCAN_TEXT_MAX = 1024,    /* helo, addresses, names */
	SCAN_OUTCOMES_MAX = 256, /* each filter reports each of its outcomes once */
	SCAN_TAGS_MAX = 64,
	SCAN_EDITS_MAX = 256,
	SCAN_WHY_MAX = 200,
	SCAN_TAG_NAME_MAX = 64,
	SCAN_EDIT_MAX = 8192,     /* name and value */
	SCAN_EDITS_BYTES = 65536, /* of all edits, so that a result always fits its packet */
	SCAN_PARTS_MAX = 48,      /* parts that may be taken out */
	SCAN_MARKS_MAX = 128,     /* what outcomes say of them */
	SCAN_PART_NAME_MAX = 256,
	SCAN_PART_TYPE_MAX = 128,
	SCAN_PART_HEAD_MAX = 16384, /* a part's header section */
	SCAN_PARTS_BYTES = 5120,    /* texts of all parts and marks, for the same reason as above */
	SCAN_UNCUT_MAX = 80,
	SCAN_UNCUT_BYTES = 8192, /* of all outcomes; so many that each can have a short one */
	SCAN_HASH_BYTES = 32,    /* SHA-256 */
	SCAN_REWRITE_MAX = 3 * 1024 * 1024,
	SCAN_REWRITE_PIECE = 128 * 1024, /* of it in one packet: a worker has no memory files */
	SCAN_TRUTHS_MAX = 4096,
	SCAN_TRUTH_LAST = 4,   /* TRUTH_SPENT of rules.h */
	SCAN_DOMAINS_MAX = 32, /* registered domains of a message's URLs that lists are asked for */
	SCAN_HOSTS_OF_DOMAIN = 4,
	SCAN_HOSTS_MAX = SCAN_DOMAINS_MAX * SCAN_HOSTS_OF_DOMAIN,
	SCAN_HOST_MAX = 253,
	HEADER_INDEX_MAX = 2000 /* HEADER_FIELDS_MAX of header.h */
};

/* The body is inline when it is up to CHANNEL_INLINE_MAX, else fds[0] is a sealed memfd. */
struct scan_request {
	struct span id;  /* the transaction's */
	uint32_t flow;   /* index in the configuration */
	uint64_t policy; /* version whose predicates are asked */
	uint32_t skip;   /* bit i: filter i of the flow failed before and is not run */
	struct ip client;
	struct span host, helo, from;
	const struct span *rcpts;
	size_t n_rcpts;
	bool wants_hosts; /* the policy asks lists about the hosts of URLs */
	bool is_inline;
	struct span body; /* when inline */
};

enum edit_kind { EDIT_ADD, EDIT_CHANGE, EDIT_REMOVE };

struct header_edit {
	enum edit_kind kind;
	uint8_t filter; /* index in the flow */
	bool only_tagged;
	uint32_t index;    /* of the header field, for change and remove */
	struct span name;  /* for add */
	struct span value; /* for add and change */
};

struct scan_outcome {
	uint8_t filter; /* index in the flow */
	int8_t outcome; /* index in the filter's about, -1: failure */
	struct span why;
	struct span
	    uncut; /* why what is asked for it, strip or normalise, cannot be done; empty: it can */
};

/* A part that can be taken out: its bytes in the message, and what a notice says of it. */
struct scan_part {
	uint64_t at, n;                      /* header section and body */
	uint32_t head;                       /* bytes of them before its body */
	struct span name;                    /* may be empty */
	struct span declared;                /* its Content-Type */
	struct span type;                    /* what its bytes are; may be empty */
	uint64_t size;                       /* decoded */
	unsigned char hash[SCAN_HASH_BYTES]; /* of the same */
};

/* One of the parts that an outcome is about. */
struct scan_mark {
	uint16_t outcome, part; /* indexes in the result */
	struct span why;
};

struct scan_tag {
	uint8_t filter;
	struct span name, why;
	int32_t score_milli;
};

struct scan_result {
	uint32_t
	    not_run; /* bit i: filter i was skipped, or is not loaded; it has an outcome failure */
	struct scan_outcome outcomes[SCAN_OUTCOMES_MAX];
	size_t n_outcomes;
	struct scan_tag tags[SCAN_TAGS_MAX];
	size_t n_tags;
	struct header_edit edits[SCAN_EDITS_MAX];
	size_t n_edits;
	struct scan_part parts[SCAN_PARTS_MAX]; /* as they begin; one may lie in another */
	size_t n_parts;
	struct scan_mark marks[SCAN_MARKS_MAX];
	size_t n_marks;
	struct span truths; /* one enum truth a byte, one for each predicate of the policy */
	struct span hosts[SCAN_HOSTS_MAX]; /* of URLs: names in lower case and ASCII, addresses */
	size_t n_hosts;
	/* The message in one reading (rewrite.h), empty: nobody asks for it, or it cannot be had.  A worker
	 * sends it ahead, in WORKER_REWRITE. */
	struct span rewrite;
};

/* Of a tag: letters, digits, "-" and "_", at most SCAN_TAG_NAME_MAX of them. */
bool scan_tag_name_is_valid(struct span s);
/* Parts in the order given; of those that do not lie in the message `at` is 0.  Returns bytes of texts. */
void scan_parts_put(struct buf *to, const struct scan_part *parts, size_t n);
size_t scan_parts_get(struct wire *w, struct scan_part *parts, uint32_t max, size_t *n);
void worker_death_put(struct buf *to, const struct worker_death *d);
int worker_death_get(struct span payload, struct worker_death *d);
void scan_request_put(struct buf *to, const struct scan_request *r);
/* rcpts are written into `rcpts` (room for max of them). 0 or -E_CORRUPT. */
int scan_request_get(struct span payload, struct scan_request *r, struct span *rcpts, size_t max);
void scan_result_put(struct buf *to, const struct scan_result *r);
/* Checks every limit, and every index against the flow's filters and their abouts. */
int scan_result_get(struct span payload, const struct conf_flow *flow, struct scan_result *r);

#endif

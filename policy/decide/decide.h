/*
 * decide.h - the decision: a pure function of a policy snapshot and facts.
 *
 * No I/O, no clock, no randomness.  The live relay, `postern explain` and the tests call the same
 * function.  A verdict accumulates over the stages of one session: it is a plain value, copied
 * where the walk branches (session -> transaction -> each recipient), never shared.
 */
#ifndef DECIDE_DECIDE_H
#define DECIDE_DECIDE_H
#include "policy/config/config.h"
#include "policy/rate/greylist.h"
#include "policy/rate/rates.h"
#include "policy/rules/rules.h"

enum stage { STAGE_CONNECT, STAGE_HELO, STAGE_MAIL, STAGE_RCPT, STAGE_DATA };

enum {
	VERDICT_TAGS_MAX = 48,
	VERDICT_REPLY_MAX = 400,
	VERDICT_WHY_MAX = 200,
	VERDICT_OUTCOMES_MAX = 256, /* of the facts */
	VERDICT_OBSERVED_MAX = 16   /* rules; further ones are counted, but not named */
};

/* Called for each rule that matched and was not passed over: `observe` rules too. */
typedef void decide_counter(void *arg, uint32_t rule);

/* What a filter reported, resolved against its about. `outcome` < 0 is `failure`. */
struct filter_outcome {
	const struct conf_flow_filter *filter;
	int outcome;
	struct span why;
	struct span
	    uncut; /* why what is asked for it, strip or normalise, cannot be done; empty: it can */
};

struct filter_tag {
	const struct conf_filter *filter;
	struct span name, why;
	int32_t score_milli;
};

/* Whether the client waited for the banner.  GREET_UNKNOWN: nobody looked. */
enum greet_fact { GREET_UNKNOWN, GREET_PATIENT, GREET_EARLY };

/* What the DNS says of the sender's domain (RFC 5321 section 5.1, RFC 7505).  SENDER_UNKNOWN: nobody
 * asked, or no answer that could be believed. */
enum sender_fact {
	SENDER_UNKNOWN,
	SENDER_FINE,
	SENDER_OWN,         /* one of our domains: not asked for */
	SENDER_MISSING,     /* there is no such name */
	SENDER_NULL_MX,     /* it says that it takes no mail */
	SENDER_UNREACHABLE, /* no MX and no address, or MX hosts without one */
	SENDER_PRIVATE      /* all its mail servers have private or loopback addresses */
};

struct facts {
	int64_t now_wall_ms; /* for `until` */
	struct ip client;
	bool has_host; /* a reverse name verified both ways; false: unknown */
	struct span host;
	bool has_helo;
	struct span helo;
	struct span from;            /* without <>; empty is the null sender (from STAGE_MAIL) */
	struct span to;              /* from STAGE_RCPT */
	struct span country;         /* of the client, "DE"; empty: unknown */
	uint32_t asn;                /* of the client; 0: unknown */
	struct span tls;             /* "TLSv1.3"; empty: in the clear (from STAGE_MAIL) */
	struct span user;            /* who has signed in; empty: nobody (from STAGE_MAIL) */
	enum greet_fact greet;       /* of STAGE_CONNECT */
	enum rate_fact rate;         /* of the stage: what the client has too much of */
	enum sender_fact sender;     /* of STAGE_MAIL */
	enum greylist_fact greylist; /* of STAGE_RCPT */
	int64_t greylist_left_ms;    /* GREYLIST_WAIT: until the mail may pass */
	const struct list_answer
	    *answers; /* one for each of the snapshot's DNS lists, in its order */
	size_t n_answers;
	const uint8_t *truths; /* one enum truth for each of the snapshot's predicates */
	size_t n_truths;
	const struct filter_outcome *outcomes;
	size_t n_outcomes;
	const struct filter_tag *filter_tags;
	size_t n_filter_tags;
	const struct conf_flow *flow;
	const struct conf_domain
	    *domain;           /* of `to`, for the filters' actions; NULL: none of ours */
	const char *hostname;  /* ours, for texts */
	decide_counter *count; /* no fact: who counts the rules' hits; NULL: nobody */
	void *count_arg;
};

struct verdict_tag {
	struct span name; /* lives in the snapshot, the config or the facts */
	struct span by;   /* "policy" or the filter's name */
	struct span why;
	int32_t score_milli;
};

struct verdict {
	enum action action; /* the strongest so far */
	enum stage stage;   /* at which `action` was decided */
	uint32_t rule;      /* id of the rule that decided, 0: none (a filter, the score) */
	struct span by; /* "policy", a filter's name, "score", "dnsbl", "rate", "greet", "greylist",
		 * "sender" */
	bool is_accepted;  /* an `accept` rule stands */
	bool spares_lists; /* a dnswl accept stands */
	int code;          /* 550, 450 or 0; 421: the session is to end, before anything is said */
	char enhanced[12]; /* "5.7.1" */
	size_t n_tags;
	int64_t score_milli; /* sum of tags' scores */
	bool is_spam;        /* score >= score.tag: X-Spam-Flag */
	uint32_t limited;    /* id of a rule whose regex met its limit, 0: none */
	uint32_t unread; /* id of the first rule that nobody has tried on the content, 0: none */
	size_t n_observed;
	/* With ACTION_STRIP: bit i % 64 of word i / 64: outcome i of the facts takes its parts out.  With
	 * ACTION_NORMALISE: it asks for that. */
	uint64_t strips[VERDICT_OUTCOMES_MAX / 64];
	/* What fills up comes last (policy/decide/kept.h). */
	struct verdict_tag tags[VERDICT_TAGS_MAX];
	uint32_t observed[VERDICT_OBSERVED_MAX]; /* `observe` rules that matched */
	char text[VERDICT_REPLY_MAX];            /* for an outsider, without code and id */
	char why[VERDICT_WHY_MAX];               /* for the admin */
};

/* One line of the trace: which rule saw which fact, and what came of it. */
struct step {
	enum stage stage;
	const char *fact; /* "client", "dnsbl", "rate", "filter", "score", … */
	struct span value;
	uint32_t rule;      /* 0: none */
	const char *result; /* "match", "no match", "unknown", "reject", "skipped: accepted", … */
};

/* May be NULL. Called for each step in order; the spans live during the call only. */
typedef void decide_tracer(void *arg, const struct step *step);

/*
 * With a tracer every rule of the stage is looked at, one after the other, and each is a step.
 * Without one only those that can match are (policy/rules/index.h): the same verdict, sooner.
 *
 * Runs one stage and adds what it finds to `v` (all zeros before the first stage).  Facts of later
 * stages need not be set.  At STAGE_DATA, for each recipient, the filters' outcomes and tags and
 * the score thresholds compete with the rules; the strongest action wins unless accept stands.
 */
void decide_stage(const struct snapshot *snapshot, enum stage stage, const struct facts *facts,
    struct verdict *v, decide_tracer *tracer, void *tracer_arg);

const char *stage_name(enum stage stage);
/* Whether this outcome of the facts is why the message is rewritten to one reading. */
bool verdict_normalises(const struct verdict *v, size_t outcome);
/* Whether the parts that this outcome of the facts is about are to be taken out. */
bool verdict_strips(const struct verdict *v, size_t outcome);

#endif

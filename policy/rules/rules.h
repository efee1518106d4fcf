/*
 * rules.h - a policy text compiled to an immutable snapshot, and back to text.
 *
 * The grammar is the outer contract's section 3.  A snapshot is built aside and swapped;
 * whoever uses one holds a reference.  Single-threaded reference counts.
 */
#ifndef RULES_RULES_H
#define RULES_RULES_H
#include "policy/config/action.h"
#include "relay/base/buf.h"
#include "relay/base/err.h"
#include "relay/base/ip.h"

enum {
	POLICY_TEXT_MAX = 64 * 1024 * 1024,
	POLICY_RULES_MAX = 1000000,
	POLICY_LISTS_MAX = 64,       /* dnsbl and dnswl lines */
	POLICY_PREDICATES_MAX = 4096 /* content predicates */
};

enum facet {
	FACET_CLIENT,
	FACET_HOST,
	FACET_HELO,
	FACET_FROM,
	FACET_TO,
	FACET_COUNTRY, /* of the client: two letters (ISO 3166) */
	FACET_ASN,     /* of the client: digits */
	FACET_TLS,
	FACET_AUTH,
	FACET_TAG, /* one that a rule before this one or a filter has given */
	FACET_SUBJECT,
	FACET_HEADER,
	FACET_BODY,
	FACET_URL,            /* of the text parts, or its host */
	FACET_ATTACHMENT,     /* names, those in archives too */
	FACET_ATTACHMENT_TYPE /* MIME types, declared and real */
};

/* TRUTH_UNKNOWN: the fact could not be had; TRUTH_LIMIT: a regex met its limit, which is reported.
 * Both match nothing.  TRUTH_SPENT: nobody has looked, the message's regexes had done all they may:
 * the mail is put off. */
enum truth { TRUTH_FALSE, TRUTH_TRUE, TRUTH_UNKNOWN, TRUTH_LIMIT, TRUTH_SPENT };

struct snapshot;
struct matcher; /* one compiled value */

/* What policy_parse needs from outside to read `list:NAME` values: the file's text, or an error.
 * NULL: lists are refused. */
typedef int list_reader(void *arg, struct span name, struct buf *text, struct err *err);

struct policy_errors {
	struct buf lines; /* "FILE:LINE: what is wrong; what would be right\n" each */
	size_t n;
};

/* NULL when anything is wrong, all of it in `errors` (buf_free(&errors->lines)).  References: 1. */
struct snapshot *snapshot_parse(struct span text, const char *file, list_reader *reader,
    void *reader_arg, struct policy_errors *errors);
struct snapshot *snapshot_hold(struct snapshot *s);
void snapshot_release(struct snapshot **s); /* frees at the last release */

uint64_t snapshot_version(const struct snapshot *s);
void snapshot_set_version(struct snapshot *s, uint64_t version); /* once, before it is shared */
size_t snapshot_rule_count(const struct snapshot *s);
/*
 * Ids count rule lines from 1, unless the store says otherwise: four bytes (wire.h) for each rule, in
 * listed order, before the snapshot is shared.  False: not one for each, a zero, or one twice; nothing
 * has changed then.
 */
bool snapshot_set_ids(struct snapshot *s, struct span ids);
uint32_t snapshot_rule_id(const struct snapshot *s, size_t i); /* of the i-th, from 0 on */
/* Text of the rule with this id, as it was written. */
struct span snapshot_rule_text(const struct snapshot *s, uint32_t id);
/* Wall milliseconds from which the rule never matches; INT64_MAX: it has no `until`. */
int64_t snapshot_rule_expires_ms(const struct snapshot *s, uint32_t id);
/* The whole text, comments and empty lines included: what was parsed, byte for byte. */
struct span snapshot_text(const struct snapshot *s);

/*
 * `policy query FACET VALUE`: calls on_rule for each rule, expired ones too, that looks at this
 * facet and whose value for it matches the one given.  0, or -E_SYNTAX (no such facet, no address).
 * "dnsbl" and "dnswl" are facets here, whose value is the zone.
 */
int snapshot_query(const struct snapshot *s, struct span facet, struct span value,
    void (*on_rule)(void *arg, uint32_t id), void *arg, struct err *err);
/* The text with one rule line added at its end (-E_SYNTAX: not one line), or without the line of
 * one rule (-E_NOT_FOUND); nothing else is touched.  The caller parses what came out. */
int snapshot_text_add(const struct snapshot *s, struct span rule, struct buf *to, struct err *err);
int snapshot_text_remove(const struct snapshot *s, uint32_t id, struct buf *to, struct err *err);

/* What a DNS list is asked about: `of SUBJECT`. */
enum list_of { LIST_OF_CLIENT, LIST_OF_HOST, LIST_OF_HELO, LIST_OF_FROM, LIST_OF_URL };

/* DNS lists (dnsbl and dnswl lines), in listed order. */
struct dns_list {
	struct span zone; /* lower case, no dot at the end */
	uint32_t rule;
	enum list_of of; /* all but LIST_OF_CLIENT: a list of domains (RFC 5782 section 3) */
	bool is_white;
	bool is_whole;      /* the whole name is asked for, not the domain that was registered */
	bool has_addresses; /* LIST_OF_URL: addresses in URLs are asked for too */
};

/* The typed answer of one list for one client. */
enum list_state {
	LIST_UNKNOWN, /* not asked, late, failed: matches nothing */
	LIST_NOT_LISTED,
	LIST_LISTED, /* at least one answer inside the rule's ranges */
	LIST_ERROR   /* 127.255.255.0/24, 127.0.0.1, outside 127/8: the list is in error */
};

struct list_answer {
	enum list_state state;
	uint32_t address; /* the deciding A record, host byte order; 0: none */
	/* Of a list of domains: what was listed, or the one name asked for; how many were asked for. */
	struct span name;
	size_t n_names;
};

size_t snapshot_list_count(const struct snapshot *s);
/* Whether any list is asked about this. */
bool snapshot_has_list(const struct snapshot *s, enum list_of of);
const struct dns_list *snapshot_list(const struct snapshot *s, size_t i);
/* Types the A records (host byte order) that a list gave: pure. n == 0 is LIST_NOT_LISTED. */
struct list_answer list_type_answer(
    const struct snapshot *s, size_t list, const uint32_t *addresses, size_t n);

/* Content predicates: the subject, header, body, url and attachment facets of all rules, in order of the text, so
 * that two processes which parsed the same text number them alike. */
struct predicate {
	enum facet facet;        /* FACET_SUBJECT and those after it */
	struct span header_name; /* for FACET_HEADER */
	const struct matcher *matcher;
	bool is_negated;     /* applied by the decision, not by whoever evaluates */
	struct span written; /* facet and value as they stand in the rule */
};

size_t snapshot_predicate_count(const struct snapshot *s);
const struct predicate *snapshot_predicate(const struct snapshot *s, size_t i);
/*
 * What has no use but for these: appends a policy text with the same predicates in the same order and
 * nothing else, and calls on_list for each list file that one of them names (several times for one
 * that several name).  A process that only evaluates predicates parses this instead of the whole.
 */
void snapshot_content(const struct snapshot *s, struct buf *to,
    void (*on_list)(void *arg, struct span name), void *arg);
/* From here to the end all regexes of this snapshot together may do `units` of work (effort.h); what is left then is
 * TRUTH_SPENT.  Outside of it each match has a limit of its own. */
void snapshot_begin_message(const struct snapshot *s, uint64_t units);
uint64_t snapshot_effort_left(const struct snapshot *s);
void snapshot_end_message(const struct snapshot *s);
/* Whether any rule looks at this facet. */
bool snapshot_needs(const struct snapshot *s, enum facet facet);
/* Whether the value matches (is_negated not applied). Bounded by PCRE2's match and depth limits
 * and by effort.h. */
enum truth matcher_match(const struct matcher *m, struct span value);

#endif

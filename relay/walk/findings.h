/*
 * findings.h - what was found out about a client and a message, as facts of the decision.  Shared
 * by the live walk and by `postern explain`, so that both decide from the same facts.
 */
#ifndef WALK_FINDINGS_H
#define WALK_FINDINGS_H
#include "policy/decide/decide.h"
#include "relay/front/worker_pool.h"
#include "relay/ipc/lookup.h"

/* What a client is told whom no flow takes: 554 5.7.1. */
#define FINDINGS_NOT_A_CLIENT "This service is not for your address"

/* A worker's result, resolved against the flow.  Points into the result. */
struct findings {
	struct filter_outcome outcomes[SCAN_OUTCOMES_MAX];
	struct filter_tag tags[SCAN_TAGS_MAX];
	size_t n_outcomes, n_tags;
	struct span truths;
};

/* What list `i` of the snapshot is asked for this client; `name`, empty, holds the question's name:
 * room for LOOKUP_NAME_MAX, and what has no name as long as that gets no answer. */
struct dns_question findings_list_question(const struct snapshot *s, size_t i,
    const struct ip *client, const struct conf_dns *conf, struct buf *name);
/* What list `i` of domains is asked for `host`, a name or an address; likewise.  `asked` is the part of
 * `host` that it is asked about; empty: it is not to be asked. */
struct dns_question findings_domain_question(const struct snapshot *s, size_t i, struct span host,
    const struct conf_dns *conf, struct span *asked, struct buf *name);
/* The typed answer of list `i`: DNS_FOUND or DNS_NONE, else unknown. */
struct list_answer findings_type_list(
    const struct snapshot *s, size_t i, const struct dns_answer *answer);
/* Says of each filter of the scan whose bit is set, with the outcome `failure`, why it has failed; in a full table
 * instead of its last outcomes.  The texts stay until the next call. */
void findings_add_failures(struct scan_result *result, const struct scan *scan, uint32_t failed);
void findings_gather(
    struct findings *f, const struct conf_flow *flow, const struct scan_result *result);
/* Puts them into the facts of STAGE_DATA. */
void findings_set(const struct findings *f, struct facts *facts);
/* The code of a refusal that is said as the banner: 554 for good, 421 for now (RFC 5321 sections 3.1
 * and 3.8). */
int findings_banner_code(const struct verdict *v);
/* RFC 5321 section 4.5.1: the postmaster hears even those whom we refuse before RCPT. */
void findings_spare_postmaster(struct verdict *v);

#endif
